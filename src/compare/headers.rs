//! Differences of header and trailer fields. Pure.
//!
//! Names ignore case, the order of different names is ignored, the order of equal names is kept.
//! Lists of directives are compared as sets, `Content-Type` by media type and parameters,
//! `Set-Cookie` by cookie and its attributes.

use crate::compare::Comparator;
use crate::compare::compared::Raw;
use crate::compare::found::Found;
use crate::compare::own;
use crate::compare::own::OwnField;
use crate::model::Kind;
use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header;

/// Header or trailer fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Header,
    Trailer,
}

/// Adds the differences of two sets of fields. `Content-Encoding` is left to the bodies.
pub(crate) fn compare(
    comparator: &Comparator,
    part: Part,
    (legacy, candidate): (&HeaderMap, &HeaderMap),
    own: &[OwnField],
    found: &mut Found,
) {
    for name in legacy.keys() {
        if !legacy.get_all(name).iter().eq(candidate.get_all(name)) {
            field(comparator, part, name, (legacy, candidate), own, found);
        }
    }
    for name in candidate.keys() {
        if !legacy.contains_key(name) {
            field(comparator, part, name, (legacy, candidate), own, found);
        }
    }
}

fn field(
    comparator: &Comparator,
    part: Part,
    name: &HeaderName,
    (legacy, candidate): (&HeaderMap, &HeaderMap),
    own: &[OwnField],
    found: &mut Found,
) {
    let ignored = match part {
        Part::Header => comparator.ignores.header(name.as_str()),
        Part::Trailer => comparator.ignores.trailer(name.as_str()),
    };
    let hop = || is_named_by_connection(legacy, name) || is_named_by_connection(candidate, name);
    if ignored || is_out(name, comparator.config.validators) || hop() {
        return;
    }
    let (a, b) = (values(legacy, name), values(candidate, name));
    if by_meaning(name, &a).is_some_and(|a| Some(a) == by_meaning(name, &b)) {
        return;
    }
    let ours = |values: &[&HeaderValue]| values.iter().all(|v| own::is_value(own, v.as_bytes()));
    if own::is_name(own, name.as_str().as_bytes()) && ours(&a) && ours(&b) {
        return found.own();
    }
    difference(part, name, (&a, &b), found);
}

/// Adds the difference of one field, without asking whether it is ignored.
pub(crate) fn difference(
    part: Part,
    name: &HeaderName,
    (legacy, candidate): (&[&HeaderValue], &[&HeaderValue]),
    found: &mut Found,
) {
    let kind = match (legacy.is_empty(), candidate.is_empty()) {
        (false, true) => Kind::Missing,
        (true, false) => Kind::Extra,
        _ => Kind::Value,
    };
    let prefix = match part {
        Part::Header => "header",
        Part::Trailer => "trailer",
    };
    found.add(
        &format!("{prefix}:{name}"),
        kind,
        raw(name, legacy),
        raw(name, candidate),
    );
}

/// Returns all values of one name, in order.
pub(crate) fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a HeaderValue> {
    headers.get_all(name).iter().collect()
}

fn raw(name: &HeaderName, values: &[&HeaderValue]) -> Raw {
    if values.is_empty() {
        return Raw::Nothing;
    }
    let joined: Vec<&[u8]> = values.iter().map(|v| v.as_bytes()).collect();
    Raw::Header(
        name.as_str().to_owned(),
        Bytes::from(joined.join(&b"\n"[..])),
    )
}

/// Returns whether a field is left out by default: it belongs to one connection, to one moment, to
/// one instance or to a cache, or says the length of what is compared anyway.
fn is_out(name: &HeaderName, validators: bool) -> bool {
    let name = name.as_str();
    match name {
        // `content-encoding` is compared with the bodies, which it says how to read.
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "te"
        | "trailer"
        | "upgrade"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "transfer-encoding"
        | "content-length"
        | "content-encoding"
        | "date"
        | "server"
        | "via"
        | "x-request-id"
        | "traceparent"
        | "age"
        | "server-timing"
        | "x-runtime"
        | "x-response-time"
        | "x-served-by" => true,
        "etag" | "last-modified" => !validators,
        _ => ["x-cache", "ratelimit", "x-ratelimit"]
            .iter()
            .any(|start| name.strip_prefix(start).is_some_and(is_end_of_word)),
    }
}

fn is_end_of_word(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('-')
}

fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        let mut names = value
            .as_bytes()
            .split(|b| *b == b',')
            .map(<[u8]>::trim_ascii);
        names.any(|n| n.eq_ignore_ascii_case(name.as_str().as_bytes()))
    })
}

/// Returns the values in a form in which equal meanings are equal, for fields whose meaning is
/// known.
fn by_meaning(name: &HeaderName, values: &[&HeaderValue]) -> Option<Vec<Vec<Vec<u8>>>> {
    let values = values.iter().map(|v| v.as_bytes());
    match name.as_str() {
        "cache-control" | "vary" | "allow" => {}
        "content-type" => return Some(values.map(media_type).collect()),
        "set-cookie" => {
            let mut cookies: Vec<_> = values.map(cookie).collect();
            // Two cookies of one name keep their order: the later one wins.
            cookies.sort_by(|a, b| cookie_name(a).cmp(cookie_name(b)));
            return Some(cookies);
        }
        other if other.starts_with("accept-") => {}
        _ => return None,
    }
    let mut set: Vec<Vec<u8>> = values
        .flat_map(|v| split_quoted(v, b','))
        .filter(|v| !v.is_empty())
        .map(<[u8]>::to_ascii_lowercase)
        .collect();
    set.sort();
    set.dedup();
    Some(vec![set])
}

fn media_type(value: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = split_quoted(value, b';')
        .into_iter()
        .filter(|part| !part.is_empty());
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut parameters: Vec<Vec<u8>> = parts
        .map(|part| {
            let (name, value) = split_once(part, b'=');
            let value = value
                .strip_prefix(b"\"")
                .and_then(|v| v.strip_suffix(b"\""))
                .unwrap_or(value);
            let name = name.to_ascii_lowercase();
            let value = match name.as_slice() {
                b"charset" => value.to_ascii_lowercase(),
                _ => value.to_vec(),
            };
            [name.as_slice(), b"=", &value].concat()
        })
        .collect();
    parameters.sort();
    parameters.insert(0, essence);
    parameters
}

/// Returns the cookie with its value, then its attributes in one order.
fn cookie(value: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = value.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let pair = parts.next().unwrap_or_default().to_vec();
    let mut attributes: Vec<Vec<u8>> = parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = split_once(part, b'=');
            let name = name.to_ascii_lowercase();
            let value = match name.as_slice() {
                b"samesite" | b"domain" => value.to_ascii_lowercase(),
                _ => value.to_vec(),
            };
            [name.as_slice(), b"=", &value].concat()
        })
        .collect();
    attributes.sort();
    attributes.insert(0, pair);
    attributes
}

fn cookie_name(cookie: &[Vec<u8>]) -> &[u8] {
    let pair = cookie.first().map(Vec::as_slice).unwrap_or_default();
    split_once(pair, b'=').0
}

fn split_once(text: &[u8], at: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|b| *b == at) {
        Some(i) => (
            text.get(..i).unwrap_or_default().trim_ascii(),
            text.get(i + 1..).unwrap_or_default().trim_ascii(),
        ),
        None => (text.trim_ascii(), b""),
    }
}

/// Splits at a separator that stands outside double quotes.
fn split_quoted(text: &[u8], at: u8) -> Vec<&[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(|b| {
        let closes = *b == b'"' && !escaped;
        quoted ^= closes;
        escaped = quoted && *b == b'\\' && !escaped;
        *b == at && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(name: &'static str, a: &str, b: &str) -> bool {
        let name = HeaderName::from_static(name);
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let (a, b) = (value(a), value(b));
        by_meaning(&name, &[&a]).is_some_and(|a| Some(a) == by_meaning(&name, &[&b]))
    }

    #[test]
    fn lists_of_directives_are_sets() {
        assert!(same(
            "cache-control",
            "no-cache, max-age=0",
            "Max-Age=0,no-cache"
        ));
        assert!(same("vary", "Accept, Origin", "origin, accept"));
        assert!(same("allow", "GET, HEAD", "HEAD,GET"));
        assert!(!same("cache-control", "max-age=0", "max-age=10"));
        assert!(!same("vary", "Accept", "Accept, Origin"));
    }

    #[test]
    fn a_content_type_is_its_media_type_and_parameters() {
        assert!(same(
            "content-type",
            "text/html; charset=utf-8",
            "Text/HTML;charset=\"UTF-8\""
        ));
        assert!(!same(
            "content-type",
            "text/html",
            "text/html; charset=utf-8"
        ));
        assert!(!same("content-type", "application/json", "text/json"));
        assert!(same(
            "content-type",
            "a/b; x=\"1;2\"; y=3",
            "a/b; y=3; x=\"1;2\""
        ));
    }

    #[test]
    fn a_cookie_is_its_value_and_its_attributes() {
        assert!(same(
            "set-cookie",
            "a=1; Path=/; HttpOnly",
            "a=1; httponly; path=/"
        ));
        assert!(!same("set-cookie", "a=1; Path=/", "a=1; Path=/x"));
        assert!(!same("set-cookie", "a=1", "a=2"));
    }

    #[test]
    fn what_belongs_to_a_connection_a_moment_or_an_instance_is_out() {
        for name in [
            "keep-alive",
            "date",
            "x-cache",
            "x-cache-hits",
            "ratelimit-limit",
            "etag",
        ] {
            assert!(is_out(&HeaderName::from_static(name), false), "{name}");
        }
        for name in ["x-cached-by", "content-type", "location", "x-rates"] {
            assert!(!is_out(&HeaderName::from_static(name), false), "{name}");
        }
        assert!(!is_out(&header::ETAG, true));
    }
}
