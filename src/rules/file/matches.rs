//! Reads matches: a path prefix, a map of conditions, or a list of either. Pure.

use crate::rules::condition::Condition;
use crate::rules::condition::Host;
use crate::rules::condition::Segment;
use crate::rules::condition::Shape;
use crate::rules::condition::Want;
use crate::rules::file::backend::header_name;
use crate::rules::file::fields::Fields;
use crate::rules::file::fields::each;
use crate::rules::file::fields::members;
use crate::rules::file::fields::scalar;
use crate::rules::file::fields::text;
use crate::rules::file::tenant::TenantDecl;
use crate::rules::keys::Section;
use crate::rules::parse::Node;
use crate::rules::parse::Value;
use crate::rules::parse::short;
use crate::rules::path::canonical;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::value::Read;
use http::HeaderName;
use http::HeaderValue;
use http::Method;

const SEGMENTS_MAX: usize = 64;

/// Reads a match or a list of matches; broken ones are left out.
pub(super) fn read(
    node: &Node,
    label: &str,
    tenants: &mut TenantDecl,
    problems: &mut Problems,
) -> Vec<(Condition, At)> {
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        problems.error(
            code::MISSING,
            node.at,
            format!("`{label}` has no entry"),
            "give a path prefix, such as `/api`",
        );
    }
    members(node)
        .iter()
        .filter_map(|item| Some((read_one(item, label, tenants, problems)?, item.at)))
        .collect()
}

fn any() -> Condition {
    Condition {
        host: Host::Any,
        shape: Shape::ANY,
        methods: Vec::new(),
        headers: Vec::new(),
        tenants: None,
        tenants_written: Vec::new(),
    }
}

fn read_one(
    item: &Node,
    label: &str,
    tenants: &mut TenantDecl,
    problems: &mut Problems,
) -> Option<Condition> {
    let mut condition = any();
    if !matches!(item.value, Value::Map(_)) {
        if matches!(item.value, Value::List(_)) {
            problems.error(
                code::FORM,
                item.at,
                format!("`{label}` has a list in a list"),
                "write the entries one below the other",
            );
            return None;
        }
        condition.shape = scalar(item, label, problems, prefix)?;
        return Some(condition);
    }
    if matches!(&item.value, Value::Map(entries) if entries.is_empty()) {
        problems.error(
            code::MISSING,
            item.at,
            format!("`{label}` has no condition"),
            "write `/` to take everything",
        );
        return None;
    }
    let fields = Fields::open(Section::Match, item, label, problems)?;
    let where_whole = read_where(&fields, &mut condition, problems);
    let who_whole = read_who(&fields, &mut condition, tenants, problems);
    (fields.is_clean() && where_whole && who_whole).then_some(condition)
}

/// Reads host and path; returns whether they are whole.
fn read_where(fields: &Fields<'_>, condition: &mut Condition, problems: &mut Problems) -> bool {
    let mut whole = true;
    if fields.has("host") {
        let host = fields.read("host", problems, host);
        whole &= host.is_some();
        condition.host = host.unwrap_or(Host::Any);
    }
    if let (Some(_), Some(at)) = (fields.get("path"), fields.key_at("path_prefix")) {
        problems.error(
            code::CONDITION,
            at,
            "`path` is the whole path already",
            "keep one of `path` and `path_prefix`",
        );
        whole = false;
    }
    for (name, read) in [
        ("path", path as fn(&str) -> Read<Shape>),
        ("path_prefix", prefix),
    ] {
        if fields.has(name) {
            let shape = fields.read(name, problems, read);
            whole &= shape.is_some();
            condition.shape = shape.unwrap_or(Shape::ANY);
        }
    }
    whole
}

/// Reads methods, fields and tenants; returns whether they are whole.
fn read_who(
    fields: &Fields<'_>,
    condition: &mut Condition,
    tenants: &mut TenantDecl,
    problems: &mut Problems,
) -> bool {
    let mut whole = true;
    if let Some(node) = fields.get("methods") {
        condition.methods = each(node, "methods", problems, method)
            .into_iter()
            .map(|(m, _)| m)
            .collect();
        whole &= !condition.methods.is_empty();
        condition
            .methods
            .sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        condition.methods.dedup();
    }
    if let Some(node) = fields.get("headers") {
        let headers = read_headers(node, problems);
        whole &= headers.is_some();
        condition.headers = headers.unwrap_or_default();
    }
    if let Some(node) = fields.get("tenants") {
        let (names, written) = tenants.resolve(node, "tenants", problems);
        whole &= !written.is_empty();
        condition.tenants = Some(names);
        condition.tenants_written = written;
    }
    whole
}

fn read_headers(node: &Node, problems: &mut Problems) -> Option<Vec<(HeaderName, Want)>> {
    let Value::Map(entries) = &node.value else {
        if !matches!(node.value, Value::Refused) {
            problems.error(
                code::FORM,
                node.at,
                "`headers` wants a map of names to values",
                "write `headers: { X-Name: \"value\" }`",
            );
        }
        return None;
    };
    let mut found: Vec<(HeaderName, Want)> = Vec::new();
    let mut whole = !entries.is_empty();
    for (key, value) in entries {
        let name = match header_name(&key.name) {
            Ok(name) if found.iter().any(|(n, _)| *n == name) => {
                problems.error(
                    code::DUPLICATE_KEY,
                    key.at,
                    format!("`{name}` is given twice"),
                    "names of fields do not care about upper case",
                );
                None
            }
            Ok(name) => Some(name),
            Err((code, message, hint)) => {
                problems.error(code, key.at, message, hint);
                None
            }
        };
        let want = text(value, &key.name, problems).and_then(|t| want(t, value.at, problems));
        match (name, want) {
            (Some(name), Some(want)) => found.push((name, want)),
            _ => whole = false,
        }
    }
    found.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
    whole.then_some(found)
}

fn want(text: &str, at: At, problems: &mut Problems) -> Option<Want> {
    if text == "*" {
        return Some(Want::Any);
    }
    let sendable = HeaderValue::from_bytes(text.as_bytes()).is_ok();
    if text.is_empty() {
        problems.error(
            code::HEADER,
            at,
            "no field has the empty value",
            "write the value as it is sent, or `\"*\"` for any",
        );
        return None;
    }
    if text.trim() != text || !sendable {
        problems.error(
            code::HEADER,
            at,
            format!("`{}` is no value that a client can send", short(text)),
            "write the value as it is sent, or `\"*\"` for any",
        );
        return None;
    }
    Some(Want::Value(text.into()))
}

/// Reads a method, as a request line has it.
pub(super) fn method(text: &str) -> Read<Method> {
    let wrong = |hint: String| {
        Err((
            code::METHOD,
            format!("`{}` is not a method", short(text)),
            hint,
        ))
    };
    match Method::from_bytes(text.as_bytes()) {
        Ok(_) if text.bytes().any(|b| b.is_ascii_lowercase()) => {
            wrong(format!("write `{}`", text.to_ascii_uppercase()))
        }
        Ok(method) => Ok(method),
        Err(_) => wrong("write it as `GET`".to_owned()),
    }
}

fn host(text: &str) -> Read<Host> {
    let wrong = |hint: &str| {
        Err((
            code::HOST,
            format!("`{}` is not a host", short(text)),
            hint.to_owned(),
        ))
    };
    if text.contains("://") {
        return wrong("write the name alone, without scheme");
    }
    if text == "*" {
        return wrong("remove the key to take any host");
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return Ok(Host::Exact(inner.to_ascii_lowercase().into()));
    }
    if text.contains(':') {
        return wrong("write the name alone; any port of it is meant");
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let (suffix, exact) = match name.strip_prefix('*') {
        Some(suffix) => (suffix, false),
        None => (name.as_str(), true),
    };
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let labels = suffix
        .strip_prefix('.')
        .filter(|_| !exact)
        .unwrap_or(suffix);
    if labels.is_empty()
        || !labels.bytes().all(good)
        || labels.split('.').any(str::is_empty)
        || (!exact && !suffix.starts_with('.'))
    {
        return wrong("write `app.example.com`, or `*.example.com` for every name below");
    }
    Ok(if exact {
        Host::Exact(suffix.into())
    } else {
        Host::Below(suffix.into())
    })
}

/// Reads a path into canonical segments, still with its braces.
fn segments(text: &str) -> Read<Vec<String>> {
    let wrong = |hint: &str| {
        Err((
            code::PATH,
            format!("`{}` is not a path", short(text)),
            hint.to_owned(),
        ))
    };
    if !text.starts_with('/') {
        return wrong(&format!("write `/{}`", short(text.trim_start_matches('.'))));
    }
    if text.contains(['?', '#']) {
        return wrong("a path has no `?` and no `#`");
    }
    if text
        .bytes()
        .any(|b| b.is_ascii_whitespace() || b.is_ascii_control())
    {
        return wrong("no request has white space in its path; encode it as `%20`");
    }
    let Ok(copy) = canonical(text) else {
        return wrong(
            "it leaves the root, or holds a NUL or a backslash; such requests are refused",
        );
    };
    let segments: Vec<String> = copy.split('/').skip(1).map(str::to_owned).collect();
    if segments.len() > SEGMENTS_MAX {
        return wrong("a path condition has at most 64 segments");
    }
    Ok(segments)
}

fn path(text: &str) -> Read<Shape> {
    let wrong = |hint: String| Err((code::PATH, format!("`{}` is not a path", short(text)), hint));
    let mut shape: Vec<Segment> = Vec::new();
    for segment in segments(text)? {
        if let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            if name.is_empty() || !name.bytes().all(good) {
                return wrong("a capture is `{name}`, of letters, digits, `_` and `-`".to_owned());
            }
            if shape
                .iter()
                .any(|s| matches!(s, Segment::Capture(n) if **n == *name))
            {
                return wrong(format!(
                    "`{{{name}}}` is captured twice; give each its own name"
                ));
            }
            shape.push(Segment::Capture(name.into()));
        } else if segment.contains(['{', '}']) {
            return wrong("a capture is a whole segment: `/{name}/`".to_owned());
        } else if segment == "*" || segment == "**" {
            return wrong(
                "write `{name}` for one segment, or `path_prefix` for all that follow".to_owned(),
            );
        } else {
            shape.push(Segment::Literal(segment.into()));
        }
    }
    Ok(Shape::Whole(shape))
}

/// Reads the first segments of a path.
pub(super) fn prefix(text: &str) -> Read<Shape> {
    let wrong = |hint: &str| {
        Err((
            code::PATH,
            format!("`{}` is not a path prefix", short(text)),
            hint.to_owned(),
        ))
    };
    let mut segments = segments(text)?;
    if segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    if segments.iter().any(|s| s.contains(['{', '}'])) {
        return wrong("captures stand in `path` only: `{ path: … }`");
    }
    if segments.iter().any(|s| s == "*" || s == "**") {
        return wrong("a prefix takes all that follows; leave out the `*`");
    }
    Ok(Shape::Prefix(
        segments.into_iter().map(Into::into).collect(),
    ))
}
