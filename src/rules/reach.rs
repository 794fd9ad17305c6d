//! Which slices can never match, and which depend on their order. Pure.
//!
//! A slice is unreachable if each of its matches is contained in a match of one earlier slice with
//! the same host and the same shape of path. Unions of several are not claimed.

use crate::model::Head;
use crate::model::SliceIx;
use crate::model::Stage;
use crate::rules::condition::Condition;
use crate::rules::condition::Host;
use crate::rules::condition::Segment;
use crate::rules::condition::Shape;
use crate::rules::condition::View;
use crate::rules::condition::Want;
use crate::rules::exclude;
use crate::rules::file::File;
use crate::rules::file::SliceDecl;
use crate::rules::matcher::Matcher;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::Severity;
use crate::rules::problem::code;
use crate::rules::snapshot::ShadowPolicy;
use crate::rules::tenant::Source;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use std::collections::HashMap;
use std::fmt::Write as _;

/// How many earlier matches of one host and shape are looked at.
const NEIGHBORS_MAX: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Place<'f> {
    slice: usize,
    entry: usize,
    condition: &'f Condition,
    at: At,
}

/// Host, segments without the names of captures, and whether it is the whole path.
type Key<'f> = (&'f Host, Vec<Option<&'f str>>, bool);

/// Places by which of their segments are literal.
type ByMask<'f> = Vec<(Vec<bool>, Vec<Place<'f>>)>;

/// Checks all slices of a file against each other.
pub(super) fn check(file: &File, matcher: &Matcher, problems: &mut Problems) {
    let mut groups: HashMap<Key<'_>, Vec<Place<'_>>> = HashMap::new();
    for (slice, decl) in file.slices.iter().enumerate() {
        let mut covered: Vec<Option<usize>> = Vec::with_capacity(decl.matches.len());
        for (entry, (condition, at)) in decl.matches.iter().enumerate() {
            let (key, whole) = shape_key(&condition.shape);
            let group = groups.entry((&condition.host, key, whole)).or_default();
            let place = Place {
                slice,
                entry,
                condition,
                at: *at,
            };
            let cover = group
                .iter()
                .take(NEIGHBORS_MAX)
                .find(|p| contains(p.condition, condition));
            if cover.is_none() {
                let earlier = group.iter().take(NEIGHBORS_MAX);
                if let Some(other) = earlier.into_iter().find(|p| depends(p, &place)) {
                    order(file, other, &place, problems);
                }
            }
            covered.push(cover.map(|p| p.slice));
            group.push(place);
        }
        say_covered(file, slice, decl, &covered, matcher, problems);
    }
    mixed(file, problems);
}

fn say_covered(
    file: &File,
    slice: usize,
    decl: &SliceDecl,
    covered: &[Option<usize>],
    matcher: &Matcher,
    problems: &mut Problems,
) {
    let all = !covered.is_empty() && covered.iter().all(|c| c.is_some_and(|by| by != slice));
    for ((condition, at), by) in decl.matches.iter().zip(covered) {
        let Some(by) = by else { continue };
        let earlier = format!(
            "{} (line {})",
            name(file, *by),
            file.slices.get(*by).map_or(0, |s| s.at.line)
        );
        let (code, severity, at, what) = if all {
            (
                code::UNREACHABLE,
                Severity::Error,
                decl.at,
                format!("slice {} can never match", name(file, slice)),
            )
        } else {
            (
                code::USELESS_MATCH,
                Severity::Warning,
                *at,
                format!("{condition} can never match"),
            )
        };
        let message = format!("{what}: {earlier} has the same host, path and conditions");
        let example = example(condition, file, matcher);
        problems.proven(code, severity, at, message, example);
        if all {
            return;
        }
    }
}

fn name(file: &File, slice: usize) -> String {
    let name = file.slices.get(slice).and_then(|s| s.name.as_ref());
    name.map_or_else(
        || format!("number {}", slice + 1),
        |(n, _)| format!("`{n}`"),
    )
}

/// Returns the segments without the names of captures, and whether it is the whole path.
fn shape_key(shape: &Shape) -> (Vec<Option<&str>>, bool) {
    match shape {
        Shape::Whole(segments) => (segments.iter().map(literal).collect(), true),
        Shape::Prefix(segments) => (segments.iter().map(|s| Some(&**s)).collect(), false),
    }
}

fn literal(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Literal(text) => Some(text),
        Segment::Capture(_) => None,
    }
}

/// Returns whether `a`, which stands earlier, takes everything that `b` of the same host and shape
/// could take. It must not be ranked behind `b`, so it has as many conditions.
fn contains(a: &Condition, b: &Condition) -> bool {
    let methods = match (a.methods.as_slice(), b.methods.as_slice()) {
        ([], []) => true,
        ([], _) | (_, []) => false,
        (a, b) => b.iter().all(|m| a.contains(m)),
    };
    let headers = a.headers.len() == b.headers.len()
        && a.headers
            .iter()
            .zip(&b.headers)
            .all(|((an, aw), (bn, bw))| an == bn && (*aw == Want::Any || aw == bw));
    let tenants = match (&a.tenants, &b.tenants) {
        (None, None) => true,
        (Some(a), Some(b)) => a.contains_all(b),
        _ => false,
    };
    methods && headers && tenants
}

/// Returns whether both take a request in common and only their order decides whose it is.
fn depends(a: &Place<'_>, b: &Place<'_>) -> bool {
    let (x, y) = (a.condition, b.condition);
    a.slice != b.slice
        && x.methods.is_empty() == y.methods.is_empty()
        && x.count() == y.count()
        && overlaps(x, y)
}

fn overlaps(a: &Condition, b: &Condition) -> bool {
    let methods = a.methods.is_empty()
        || b.methods.is_empty()
        || a.methods.iter().any(|m| b.methods.contains(m));
    let headers = a.headers.iter().all(|(name, want)| {
        b.headers.iter().all(|(other, wanted)| {
            name != other || *want == Want::Any || *wanted == Want::Any || want == wanted
        })
    });
    let tenants = match (&a.tenants, &b.tenants) {
        (Some(a), Some(b)) => a.iter().any(|t| b.contains(t)),
        _ => true,
    };
    methods && headers && tenants
}

fn order(file: &File, earlier: &Place<'_>, later: &Place<'_>, problems: &mut Problems) {
    let message = format!(
        "{} and {} (line {}) take the same requests, and only their order decides",
        name(file, later.slice),
        name(file, earlier.slice),
        earlier.at.line
    );
    problems.warn(
        code::ORDER,
        later.at,
        message,
        "add a condition to one of them",
    );
}

/// Finds paths with as many literal segments at different places: `/a/{x}` and `/{y}/b`.
fn mixed(file: &File, problems: &mut Problems) {
    let mut groups: HashMap<(&Host, usize, usize), ByMask<'_>> = HashMap::new();
    for (slice, decl) in file.slices.iter().enumerate() {
        for (entry, (condition, at)) in decl.matches.iter().enumerate() {
            let Shape::Whole(segments) = &condition.shape else {
                continue;
            };
            let mask: Vec<bool> = segments.iter().map(|s| literal(s).is_some()).collect();
            let literals = mask.iter().filter(|m| **m).count();
            if literals == segments.len() {
                continue;
            }
            let masks = groups
                .entry((&condition.host, segments.len(), literals))
                .or_default();
            let place = Place {
                slice,
                entry,
                condition,
                at: *at,
            };
            match masks.iter_mut().find(|(m, _)| *m == mask) {
                Some((_, places)) => places.push(place),
                None => masks.push((mask, vec![place])),
            }
        }
    }
    let mut found: Vec<(Place<'_>, Place<'_>)> = Vec::new();
    for masks in groups.into_values() {
        for (at, (mask, places)) in masks.iter().enumerate().take(16) {
            for (other_mask, others) in masks.iter().take(at) {
                let common: Vec<bool> =
                    mask.iter().zip(other_mask).map(|(a, b)| *a && *b).collect();
                pairs(&common, places, others, &mut found);
            }
        }
    }
    found.sort_by_key(|(_, later)| (later.slice, later.entry));
    for (earlier, later) in found {
        order(file, &earlier, &later, problems);
    }
}

fn pairs<'f>(
    common: &[bool],
    places: &[Place<'f>],
    others: &[Place<'f>],
    found: &mut Vec<(Place<'f>, Place<'f>)>,
) {
    let key = |place: &Place<'f>| -> Vec<&'f str> {
        let Shape::Whole(segments) = &place.condition.shape else {
            return Vec::new();
        };
        let both = segments.iter().zip(common).filter(|(_, common)| **common);
        both.filter_map(|(segment, _)| literal(segment)).collect()
    };
    let mut by_key: HashMap<Vec<&str>, Vec<Place<'f>>> = HashMap::new();
    for other in others {
        by_key.entry(key(other)).or_default().push(*other);
    }
    for place in places {
        let near = by_key
            .get(&key(place))
            .into_iter()
            .flatten()
            .take(NEIGHBORS_MAX);
        for other in near.filter(|other| depends(other, place)).take(1) {
            let (earlier, later) = if other.slice < place.slice {
                (other, place)
            } else {
                (place, other)
            };
            found.push((*earlier, *later));
        }
    }
}

/// Returns a request that `condition` would take, and where it goes instead.
fn example(condition: &Condition, file: &File, matcher: &Matcher) -> String {
    let path = match &condition.shape {
        Shape::Prefix(segments) => segments.iter().fold(String::new(), |p, s| p + "/" + s) + "/1",
        Shape::Whole(segments) => segments
            .iter()
            .fold(String::new(), |p, s| p + "/" + literal(s).unwrap_or("1")),
    };
    let mut host = match &condition.host {
        Host::Exact(name) => Some(name.to_string()),
        Host::Below(suffix) => Some(format!("a{suffix}")),
        Host::Any => None,
    };
    let mut headers = HeaderMap::new();
    for (name, want) in &condition.headers {
        let value = match want {
            Want::Any => "1",
            Want::Value(value) => value,
        };
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name.clone(), value);
        }
    }
    if let Some(tenant) = condition.tenants.as_ref().and_then(|t| t.first()) {
        match file.tenants.sources.first() {
            Some(Source::Header(name)) => {
                if let Ok(value) = HeaderValue::from_str(tenant) {
                    headers.insert(name.clone(), value);
                }
            }
            Some(Source::Host { before, after }) if host.is_none() => {
                host = Some(format!("{before}{tenant}{after}"));
            }
            _ => {}
        }
    }
    let method = condition.methods.first().unwrap_or(&Method::GET);
    let head = Head {
        method,
        path: &path,
        query: None,
        host: host.as_deref(),
        headers: &headers,
    };
    let winner = View::new(&head, &file.tenants)
        .ok()
        .and_then(|view| matcher.find(&view))
        .map(|r| r.slice);
    let mut text = match &host {
        Some(host) => format!("{method} http://{host}{path}"),
        None => format!("{method} {path}"),
    };
    for (name, value) in &headers {
        let _written = write!(
            text,
            " -H '{name}: {}'",
            String::from_utf8_lossy(value.as_bytes())
        );
    }
    let winner = winner.map_or_else(
        || "another slice".to_owned(),
        |SliceIx(ix)| name(file, ix as usize),
    );
    format!("{text} goes to {winner}; make this path longer, or add a method, header or tenant")
}

/// Warns of a slice whose every path says a word that keeps requests out of mirroring.
pub(super) fn all_excluded(
    decl: &SliceDecl,
    stage: Stage,
    shadow: &ShadowPolicy,
    problems: &mut Problems,
) {
    if matches!(stage, Stage::Legacy | Stage::Retired) || decl.matches.is_empty() {
        return;
    }
    let words: Vec<_> = decl
        .matches
        .iter()
        .filter_map(|(c, _)| word(c, shadow))
        .collect();
    if words.len() < decl.matches.len() {
        return;
    }
    if let (Some((path, word)), Some((_, at))) = (words.first(), decl.matches.first()) {
        let message = format!("nothing of this slice is mirrored: its path says `{word}`");
        problems.warn(
            code::ALL_EXCLUDED,
            *at,
            message,
            format!("if that has no effects, write `shadow: {{ allow: [\"{path}\"] }}`"),
        );
    }
}

fn word(condition: &Condition, shadow: &ShadowPolicy) -> Option<(String, String)> {
    let path = match &condition.shape {
        Shape::Prefix(_) => condition.shape.to_string(),
        Shape::Whole(segments) => segments
            .iter()
            .fold(String::new(), |p, s| p + "/" + literal(s).unwrap_or("1")),
    };
    let word = exclude::word_of_path(&path)?;
    let allowed = shadow.allow.iter().any(|a| a.shape.holds(&path));
    (!allowed).then(|| (path.clone(), word.to_owned()))
}
