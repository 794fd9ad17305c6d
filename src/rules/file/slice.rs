//! Reads `slices` and what `defaults` gives them. Pure.

use crate::compare::IgnorePath;
use crate::model::Share;
use crate::model::Stage;
use crate::rules::condition::Condition;
use crate::rules::condition::Names;
use crate::rules::edits::FieldEdits;
use crate::rules::file::backend::header_name;
use crate::rules::file::edits;
use crate::rules::file::edits::FallbackDecl;
use crate::rules::file::fields::Fields;
use crate::rules::file::fields::each;
use crate::rules::file::fields::members;
use crate::rules::file::fields::text;
use crate::rules::file::matches;
use crate::rules::file::tenant::TenantDecl;
use crate::rules::keys::Section;
use crate::rules::near::nearest;
use crate::rules::parse::Node;
use crate::rules::parse::Value;
use crate::rules::parse::short;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::split::By;
use crate::rules::value;
use crate::rules::value::Rate;
use crate::rules::value::Read;
use http::Method;
use std::time::Duration;

/// A slice as written; what is broken is not there.
#[derive(Debug)]
pub(in crate::rules) struct SliceDecl {
    pub(in crate::rules) at: At,
    pub(in crate::rules) name: Option<(String, At)>,
    /// Empty if any of them is broken.
    pub(in crate::rules) matches: Vec<(Condition, At)>,
    pub(in crate::rules) to: Option<(String, At)>,
    pub(in crate::rules) stage: Option<(Stage, At)>,
    pub(in crate::rules) ramp: Option<RampDecl>,
    pub(in crate::rules) shadow: ShadowDecl,
    pub(in crate::rules) compare: CompareDecl,
    /// With the place of its key.
    pub(in crate::rules) fallback: Option<(FallbackDecl, At)>,
    /// The prefix that the candidate sees, with the place of the key.
    pub(in crate::rules) rewrite: Option<(String, At)>,
    /// Of requests, and of answers.
    pub(in crate::rules) edits: (FieldEdits, FieldEdits),
    pub(in crate::rules) owner: Option<String>,
}

/// `ramp` as written.
#[derive(Debug)]
pub(in crate::rules) struct RampDecl {
    pub(in crate::rules) at: At,
    pub(in crate::rules) percent: Option<(Share, At)>,
    pub(in crate::rules) by: Option<(By, At)>,
    pub(in crate::rules) group: Option<String>,
    pub(in crate::rules) always: (Names, Vec<String>),
    pub(in crate::rules) never: (Names, Vec<String>),
    /// Whether something of it was refused, so that nothing must be said about what is missing.
    pub(in crate::rules) broken: bool,
}

/// `shadow` as written.
#[derive(Clone, Debug, Default)]
pub(in crate::rules) struct ShadowDecl {
    pub(in crate::rules) sample: Option<Share>,
    pub(in crate::rules) rate: Option<Rate>,
    pub(in crate::rules) methods: Option<Vec<Method>>,
    pub(in crate::rules) body_limit: Option<u64>,
    pub(in crate::rules) timeout: Option<Duration>,
    pub(in crate::rules) max_inflight: Option<u32>,
    pub(in crate::rules) except: Vec<Condition>,
    pub(in crate::rules) allow: Vec<Condition>,
    pub(in crate::rules) headers: Option<FieldEdits>,
}

/// `compare` as written.
#[derive(Clone, Debug, Default)]
pub(in crate::rules) struct CompareDecl {
    pub(in crate::rules) ignore: Vec<IgnorePath>,
    pub(in crate::rules) control: Option<Share>,
    pub(in crate::rules) uncapped: bool,
}

/// What slices share.
#[derive(Debug, Default)]
pub(in crate::rules) struct Defaults {
    pub(in crate::rules) shadow: ShadowDecl,
    pub(in crate::rules) compare: CompareDecl,
    pub(in crate::rules) fallback: Option<FallbackDecl>,
}

pub(super) fn read_defaults(
    top: &Fields<'_>,
    tenants: &mut TenantDecl,
    problems: &mut Problems,
) -> Defaults {
    let mut defaults = Defaults::default();
    let fields = top
        .get("defaults")
        .and_then(|n| Fields::open(Section::Defaults, n, "defaults", problems));
    if let Some(fields) = fields {
        defaults.shadow = read_shadow(&fields, tenants, problems);
        defaults.compare = read_compare(&fields, problems);
        defaults.fallback = edits::read_fallback(&fields, problems).map(|(f, _)| f);
    }
    defaults
}

pub(super) fn read(
    top: &Fields<'_>,
    tenants: &mut TenantDecl,
    problems: &mut Problems,
) -> Vec<SliceDecl> {
    let Some(node) = top.get("slices") else {
        return Vec::new();
    };
    match &node.value {
        Value::List(items) => items
            .iter()
            .filter_map(|item| read_slice(item, tenants, problems))
            .collect(),
        Value::Null | Value::Refused => Vec::new(),
        Value::Text(..) | Value::Map(_) => {
            problems.error(
                code::FORM,
                node.at,
                "`slices` wants a list",
                "begin each slice with `- name: …`",
            );
            Vec::new()
        }
    }
}

fn read_slice(item: &Node, tenants: &mut TenantDecl, problems: &mut Problems) -> Option<SliceDecl> {
    let fields = Fields::open(Section::Slice, item, "slices", problems)?;
    let name = fields.read_must("name", problems, value::name);
    let matches = match fields.must("match", problems) {
        Some(node) => {
            let matches = matches::read(node, "match", tenants, problems);
            if matches.len() == members(node).len() {
                matches
            } else {
                Vec::new()
            }
        }
        None => Vec::new(),
    };
    let to = fields
        .must("to", problems)
        .and_then(|n| Some((text(n, "to", problems)?.to_owned(), n.at)));
    let stage = fields.read_must("stage", problems, stage);
    let ramp = fields
        .get("ramp")
        .and_then(|n| read_ramp(n, tenants, problems));
    Some(SliceDecl {
        at: fields.at(),
        name: name.map(|(n, at)| (n.to_owned(), at)),
        matches,
        to,
        stage,
        ramp,
        shadow: read_shadow(&fields, tenants, problems),
        compare: read_compare(&fields, problems),
        fallback: edits::read_fallback(&fields, problems),
        rewrite: edits::read_rewrite(&fields, problems),
        edits: edits::read_headers(&fields, problems),
        owner: fields.read("owner", problems, |t| Ok(t.to_owned())),
    })
}

fn stage(text: &str) -> Read<Stage> {
    Stage::parse(text).ok_or_else(|| {
        let words = Stage::ALL.map(Stage::as_str);
        let near = nearest(text, words).map_or(String::new(), |n| format!("did you mean `{n}`? "));
        (
            code::WORD,
            format!("`{}` is not a stage", short(text)),
            format!("{near}stages are: {}", words.join(", ")),
        )
    })
}

fn read_ramp(node: &Node, tenants: &mut TenantDecl, problems: &mut Problems) -> Option<RampDecl> {
    let fields = Fields::open(Section::Ramp, node, "ramp", problems)?;
    let mut list = |name: &str, problems: &mut Problems| match fields.get(name) {
        Some(node) => tenants.resolve(node, name, problems),
        None => (Names::default(), Vec::new()),
    };
    let always = list("always", problems);
    let never = list("never", problems);
    let percent = fields.read("percent", problems, value::share);
    let by = fields.read("by", problems, by);
    let place = |name: &str| fields.get(name).map_or(node.at, |n| n.at);
    let broken = !fields.is_clean()
        || fields.has("percent") && percent.is_none()
        || fields.has("by") && by.is_none();
    Some(RampDecl {
        at: node.at,
        percent: percent.map(|p| (p, fields.key_at("percent").unwrap_or(node.at))),
        by: by.map(|b| (b, place("by"))),
        group: fields
            .read("group", problems, value::name)
            .map(str::to_owned),
        always,
        never,
        broken,
    })
}

const BY_LATER: [&str; 2] = ["client_ip", "id_cookie"];

fn by(text: &str) -> Read<By> {
    let hint = "write `tenant`, `header:NAME`, `cookie:NAME` or `random`".to_owned();
    if let Some(name) = text.strip_prefix("header:") {
        return header_name(name).map(By::Header);
    }
    if let Some(name) = text.strip_prefix("cookie:") {
        let good = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
        if !name.is_empty() && name.bytes().all(good) {
            return Ok(By::Cookie(name.to_owned()));
        }
        return Err((
            code::HEADER,
            format!("`{}` is not the name of a cookie", short(name)),
            "write it as `cookie:uid`".to_owned(),
        ));
    }
    match text {
        "tenant" => Ok(By::Tenant),
        "random" => Ok(By::Random),
        _ if BY_LATER.contains(&text) => Err((
            code::LATER,
            format!("`{text}` is not supported in this version"),
            hint,
        )),
        _ => {
            let near = nearest(text, ["tenant", "random"])
                .map_or(String::new(), |n| format!("did you mean `{n}`? "));
            Err((
                code::WORD,
                format!("`{}` is nothing to split by", short(text)),
                format!("{near}{hint}"),
            ))
        }
    }
}

fn read_shadow(
    parent: &Fields<'_>,
    tenants: &mut TenantDecl,
    problems: &mut Problems,
) -> ShadowDecl {
    let mut shadow = ShadowDecl::default();
    let fields = parent
        .get("shadow")
        .and_then(|n| Fields::open(Section::Shadow, n, "shadow", problems));
    let Some(fields) = fields else { return shadow };
    shadow.sample = fields.read("sample", problems, value::share);
    shadow.rate = fields.read("rate", problems, value::rate);
    shadow.methods = fields.get("methods").map(|n| read_methods(n, problems));
    shadow.body_limit = fields.read("body_limit", problems, value::size);
    shadow.timeout = fields.read("timeout", problems, value::duration);
    let inflight = fields.read("max_inflight", problems, |t| value::count(t, 1, 100_000));
    shadow.max_inflight = inflight.and_then(|n| u32::try_from(n).ok());
    let mut list = |name: &str, problems: &mut Problems| -> Vec<Condition> {
        let Some(node) = fields.get(name) else {
            return Vec::new();
        };
        matches::read(node, name, tenants, problems)
            .into_iter()
            .map(|(c, _)| c)
            .collect()
    };
    shadow.except = list("except", problems);
    shadow.allow = list("allow", problems);
    shadow.headers = fields
        .get("headers")
        .map(|n| edits::read_edits(n, "headers", problems));
    shadow
}

fn read_methods(node: &Node, problems: &mut Problems) -> Vec<Method> {
    let mut found = Vec::new();
    for (method, at) in each(node, "methods", problems, matches::method) {
        if !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) {
            let message = format!("mirroring {method} sends it twice");
            problems.error(
                code::MIRROR,
                at,
                message,
                "this version mirrors GET, HEAD and OPTIONS only; leave it out",
            );
        } else if !found.contains(&method) {
            found.push(method);
        }
    }
    found
}

fn read_compare(parent: &Fields<'_>, problems: &mut Problems) -> CompareDecl {
    let mut compare = CompareDecl::default();
    let fields = parent
        .get("compare")
        .and_then(|n| Fields::open(Section::Compare, n, "compare", problems));
    let Some(fields) = fields else { return compare };
    if let Some(node) = fields.get("ignore") {
        let ignore = each(node, "ignore", problems, |text| {
            IgnorePath::parse(text).map_err(|hint| {
                (
                    code::IGNORE,
                    format!("`{}` is not a place", short(text)),
                    hint,
                )
            })
        });
        compare.ignore = ignore.into_iter().map(|(i, _)| i).collect();
    }
    compare.control = fields.read("control", problems, value::share);
    let only_none = |t: &str| match t {
        "none" => Ok(true),
        _ => Err((
            code::WORD,
            format!("`{}` is not a control rate", short(t)),
            "write `none` to lift the caps, or remove the key".to_owned(),
        )),
    };
    compare.uncapped = fields
        .read("control_rate", problems, only_none)
        .unwrap_or(false);
    compare
}
