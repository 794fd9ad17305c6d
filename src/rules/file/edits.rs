//! Reads what changes in requests and answers on their way: `headers`, `rewrite`, and when legacy
//! answers instead, `fallback`. Pure.

use crate::model::Share;
use crate::rules::edits::Fallback;
use crate::rules::edits::FieldEdits;
use crate::rules::file::backend::header_name;
use crate::rules::file::fields::Choice;
use crate::rules::file::fields::Fields;
use crate::rules::file::fields::each;
use crate::rules::file::fields::map;
use crate::rules::file::fields::members;
use crate::rules::file::fields::text;
use crate::rules::file::matches;
use crate::rules::keys::Section;
use crate::rules::near::nearest;
use crate::rules::parse::Node;
use crate::rules::parse::Value;
use crate::rules::parse::short;
use crate::rules::problem::At;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::value;
use crate::rules::value::Read;
use crate::rules::value::Wrong;
use http::HeaderName;
use http::HeaderValue;
use http::uri::PathAndQuery;

/// How many fields one map may edit.
const EDITS_MAX: usize = 64;

/// Reads `headers` of a slice: for requests, and for answers.
pub(super) fn read_headers(
    parent: &Fields<'_>,
    problems: &mut Problems,
) -> (FieldEdits, FieldEdits) {
    let mut both = (FieldEdits::default(), FieldEdits::default());
    let fields = parent
        .get("headers")
        .and_then(|n| Fields::open(Section::Headers, n, "headers", problems));
    if let Some(fields) = fields {
        if let Some(node) = fields.get("request") {
            both.0 = read_edits(node, "request", problems);
        }
        if let Some(node) = fields.get("response") {
            both.1 = read_edits(node, "response", problems);
        }
    }
    both
}

/// Reads `set`, `add` and `remove`.
pub(super) fn read_edits(node: &Node, label: &str, problems: &mut Problems) -> FieldEdits {
    let mut edits = FieldEdits::default();
    let Some(fields) = Fields::open(Section::Edits, node, label, problems) else {
        return edits;
    };
    if let Some(node) = fields.get("remove") {
        for (name, at) in each(node, "remove", problems, editable) {
            if edits.remove.contains(&name) {
                twice(&name, at, problems);
            } else {
                edits.remove.push(name);
            }
        }
    }
    if let Some(node) = fields.get("set") {
        edits.set = read_values(node, "set", &edits.remove, problems);
    }
    if let Some(node) = fields.get("add") {
        edits.add = read_values(node, "add", &[], problems);
    }
    if edits.remove.len() + edits.set.len() + edits.add.len() > EDITS_MAX {
        problems.error(
            code::EDITS,
            node.at,
            format!("`{label}` edits more than {EDITS_MAX} fields"),
            "let the application do this",
        );
    }
    edits
}

fn twice(name: &HeaderName, at: At, problems: &mut Problems) {
    problems.error(
        code::DUPLICATE_KEY,
        at,
        format!("`{name}` is given twice"),
        "names of fields do not care about upper case; remove one of the two",
    );
}

/// Reads values by the names of their fields, none of which may be among the refused.
fn read_values(
    node: &Node,
    label: &str,
    refused: &[HeaderName],
    problems: &mut Problems,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut found: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let Some(entries) = map(node, label, problems) else {
        if matches!(node.value, Value::Text(..) | Value::List(_)) {
            problems.error(
                code::FORM,
                node.at,
                format!("`{label}` wants a map of names to values"),
                format!("write `{label}: {{ X-Name: \"value\" }}`"),
            );
        }
        return found;
    };
    for (key, node) in entries {
        let name = match editable(&key.name) {
            Ok(name) => name,
            Err((code, message, hint)) => {
                problems.error(code, key.at, message, hint);
                continue;
            }
        };
        let again = found.iter().any(|(n, _)| *n == name);
        if again {
            twice(&name, key.at, problems);
        }
        if refused.contains(&name) {
            problems.error(
                code::EDITS,
                key.at,
                format!("`{}` is set and removed", short(&key.name)),
                "keep it in `set`, which replaces what is there, or in `remove`",
            );
        }
        if again {
            continue;
        }
        let several = label == "add" && matches!(node.value, Value::List(_));
        let values = if several {
            members(node)
        } else {
            std::slice::from_ref(node)
        };
        for node in values {
            let read = text(node, &key.name, problems).map(|t| field_value(t, &key.name));
            match read {
                Some(Ok(value)) => found.push((name.clone(), value)),
                Some(Err((code, message, hint))) => problems.error(code, node.at, message, hint),
                None => {}
            }
        }
    }
    found
}

/// Reads the value of a field. What is wrong is told without the value, which may be a secret.
fn field_value(text: &str, name: &str) -> Read<HeaderValue> {
    let wrong = |hint: &str| {
        let message = format!("the value of `{}` cannot be sent", short(name));
        Err((code::HEADER, message, hint.to_owned()))
    };
    if text.trim() != text {
        return wrong("a value does not begin or end with white space");
    }
    if text.contains(['\r', '\n']) {
        return wrong("a value is one line; write several with `add`");
    }
    if !text.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
        return wrong("a value has the visible characters of ASCII; encode others");
    }
    HeaderValue::from_str(text).or_else(|_| wrong("write the value as it is sent"))
}

/// Reads the name of a field that a file may edit.
fn editable(text: &str) -> Read<HeaderName> {
    let name = header_name(text)?;
    let refuse = |what: &str, hint: &str| -> Result<HeaderName, Wrong> {
        let message = format!("`{name}` {what}");
        Err((code::FIELD, message, hint.to_owned()))
    };
    // CGI and PHP cannot tell the two apart.
    let folded = name.as_str().replace('_', "-");
    match folded.as_str() {
        "host" => refuse(
            "is what the application is asked for",
            "write `host` at the backend instead",
        ),
        "content-length" | "transfer-encoding" | "trailer" | "te" => refuse(
            "says where a body ends, which the proxy alone writes",
            "remove it here; bodies and trailers pass by themselves",
        ),
        "connection" | "keep-alive" | "upgrade" | "http2-settings" => refuse(
            "belongs to one connection, which the proxy alone writes",
            "remove it here; upgrades pass, and `timeouts.keepalive` says how long connections are kept",
        ),
        "expect" => refuse(
            "belongs to the body that follows",
            "remove it here; `100-continue` passes by itself",
        ),
        "via" | "max-forwards" => refuse(
            "counts the proxies on the way, which the proxy writes itself",
            "remove it here",
        ),
        "forwarded" => refuse(
            "says who the client is, which the proxy writes itself",
            "remove it here; name the proxies before this one in `trusted_proxies`",
        ),
        f if f.starts_with("x-forwarded-") => refuse(
            "says who the client is, which the proxy writes itself",
            "remove it here; name the proxies before this one in `trusted_proxies`",
        ),
        f if f.starts_with("proxy-") => refuse(
            "is between a client and this proxy",
            "remove it here; it goes no further",
        ),
        f if f.starts_with("supplant-") => refuse(
            "is written by this proxy",
            "remove it here; copies are marked by themselves",
        ),
        _ => Ok(name),
    }
}

/// Reads `rewrite`: the prefix that the candidate sees, without a slash at its end.
pub(super) fn read_rewrite(parent: &Fields<'_>, problems: &mut Problems) -> Option<(String, At)> {
    let node = parent.get("rewrite")?;
    if let Value::Text(text, _) = &node.value
        && text.starts_with('/')
    {
        problems.error(
            code::FORM,
            node.at,
            "`rewrite` wants a map",
            format!("write `rewrite: {{ prefix: {} }}`", short(text)),
        );
        return None;
    }
    let fields = Fields::open(Section::Rewrite, node, "rewrite", problems)?;
    let (prefix, _) = fields.read_must("prefix", problems, prefix)?;
    Some((prefix, parent.key_at("rewrite").unwrap_or(node.at)))
}

fn prefix(text: &str) -> Read<String> {
    let shape = matches::prefix(text)?.to_string();
    let shape = if shape == "/" { String::new() } else { shape };
    if !shape.is_empty() && PathAndQuery::try_from(shape.as_str()).is_err() {
        return Err((
            code::PATH,
            format!("`{}` is not a path prefix", short(text)),
            "encode what a path cannot hold".to_owned(),
        ));
    }
    Ok(shape)
}

/// What `fallback` says.
#[derive(Clone, Debug)]
pub(in crate::rules) enum FallbackDecl {
    /// `none`.
    None,
    /// A map.
    On(Fallback),
}

/// Reads `fallback`, with the place of its key.
pub(super) fn read_fallback(
    parent: &Fields<'_>,
    problems: &mut Problems,
) -> Option<(FallbackDecl, At)> {
    let node = parent.get("fallback")?;
    let at = parent.key_at("fallback").unwrap_or(node.at);
    let fields = match Fields::choice(Section::Fallback, node, "fallback", problems) {
        Choice::None => return Some((FallbackDecl::None, at)),
        Choice::Broken => return None,
        Choice::Map(fields) => fields,
    };
    let mut fallback = Fallback {
        connect_error: true,
        timeout: true,
        statuses: vec![502, 503, 504],
        budget: Share::new(1_000).unwrap_or(Share::NONE),
    };
    if let Some(node) = fields.get("on") {
        read_on(node, &mut fallback, problems);
    }
    fields.set("budget", problems, &mut fallback.budget, |t| {
        value::some_share(t).map_err(|(code, message, hint)| {
            (code, message, format!("{hint}, or `fallback: none`"))
        })
    });
    Some((FallbackDecl::On(fallback), at))
}

fn read_on(node: &Node, fallback: &mut Fallback, problems: &mut Problems) {
    (fallback.connect_error, fallback.timeout) = (false, false);
    fallback.statuses.clear();
    for (failure, _) in each(node, "on", problems, failure) {
        match failure {
            Failure::Connect => fallback.connect_error = true,
            Failure::Timeout => fallback.timeout = true,
            Failure::Status(status) => fallback.statuses.push(status),
        }
    }
    fallback.statuses.sort_unstable();
    fallback.statuses.dedup();
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        problems.error(
            code::MISSING,
            node.at,
            "`on` names no failure",
            "name some, such as `[connect_error, timeout, 502]`, or write `fallback: none`",
        );
    }
}

/// What a candidate may do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Connect,
    Timeout,
    Status(u16),
}

fn failure(text: &str) -> Read<Failure> {
    match text {
        "connect_error" => return Ok(Failure::Connect),
        "timeout" => return Ok(Failure::Timeout),
        _ => {}
    }
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        return match text.parse() {
            Ok(status @ 400..=599) => Ok(Failure::Status(status)),
            _ => Err((
                code::NUMBER,
                format!("`{}` is not the status of a failure", short(text)),
                "write a status from 400 to 599".to_owned(),
            )),
        };
    }
    let hint = match nearest(text, ["connect_error", "timeout"]) {
        Some(near) => format!("did you mean `{near}`? "),
        None if text.ends_with("xx") => {
            "write each status by itself, such as `502, 503, 504`; ".to_owned()
        }
        None => String::new(),
    };
    Err((
        code::WORD,
        format!("`{}` is not a failure", short(text)),
        format!("{hint}failures are: connect_error, timeout, and statuses from 400 to 599"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_that_the_proxy_writes_are_refused_however_they_are_spelled() {
        for text in [
            "Host",
            "Content-Length",
            "transfer-encoding",
            "Transfer_Encoding",
            "Connection",
            "Keep-Alive",
            "Proxy-Authorization",
            "TE",
            "Upgrade",
            "Expect",
            "Via",
            "Forwarded",
            "X-Forwarded-For",
            "x_forwarded_proto",
            "Supplant-Role",
        ] {
            assert_eq!(editable(text).unwrap_err().0, code::FIELD, "{text}");
        }
        assert_eq!(editable("a b").unwrap_err().0, code::HEADER);
        for text in ["Authorization", "Cookie", "X-Real-IP", "hosts", "viat"] {
            assert!(editable(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn values_are_what_can_be_sent_and_are_never_shown() {
        for text in ["", "a b", "a\tb", "Bearer xyz=="] {
            assert_eq!(field_value(text, "X").unwrap(), text);
        }
        for text in [" secret", "secret\r\nX: y", "secret\u{e4}", "secret\u{7f}"] {
            let (code, message, hint) = field_value(text, "X").unwrap_err();
            assert_eq!(code, code::HEADER);
            assert!(!message.contains("secret") && !hint.contains("secret"));
        }
    }

    #[test]
    fn failures_are_words_and_statuses() {
        assert_eq!(failure("connect_error"), Ok(Failure::Connect));
        assert_eq!(failure("502"), Ok(Failure::Status(502)));
        for (text, code) in [
            ("200", code::NUMBER),
            ("600", code::NUMBER),
            ("99999", code::NUMBER),
            ("5xx", code::WORD),
            ("timeuot", code::WORD),
            ("", code::WORD),
        ] {
            assert_eq!(failure(text).unwrap_err().0, code, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_name_or_value_makes_it_panic(name in "\\PC{0,20}", value in "\\PC{0,20}") {
            let _either = (editable(&name), field_value(&value, &name), failure(&value), prefix(&value));
        }
    }
}
