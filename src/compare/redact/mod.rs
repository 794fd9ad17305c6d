//! What of an answer may leave the process's memory. Pure.
//!
//! Before anything goes to a store, a log or a page, secrets become keyed tokens: equal values stay
//! equal under one key, and nothing else can be learned from them. Names, structure and types stay.

mod json;
mod key;
mod names;
mod secrets;

pub use key::RedactKey;
pub(crate) use names::is_secret_place;
pub(crate) use secrets::looks_secret;

use crate::compare::Limits;
use crate::compare::body::is_json;
use crate::compare::captured::Answer;
use crate::compare::captured::CapturedBody;
use crate::compare::compared::Raw;
use crate::compare::decode;
use crate::compare::place::is_id;
use crate::compare::redact::json::Layout;
use crate::compare::redact::names::Show;
use crate::compare::redact::secrets::scrub;
use crate::compare::redact::secrets::scrub_from;
use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde::Serialize;
use std::borrow::Cow;

/// Bytes of a body that are shown.
const VIEW_BYTES: usize = 64 * 1024;

/// Bytes of one side of a difference that are shown.
const EXCERPT_BYTES: usize = 256;

/// Bytes around what is shown that are searched for secrets, so that none is cut in two.
const WINDOW_BYTES: usize = 4 * 1024;

/// A body as it may leave the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyView {
    /// How the text is to be read.
    pub kind: BodyKind,
    /// JSON indented and in the order sent, other text as it is, or a sentence about bytes; secrets
    /// as keyed tokens, about 64 KiB at most.
    pub text: String,
    /// Whether something was left out at the end.
    pub truncated: bool,
    /// Bytes of the body as it arrived.
    pub bytes: u64,
}

/// What a [`BodyView`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyKind {
    /// JSON, indented.
    Json,
    /// Text.
    Text,
    /// A sentence about bytes that are not shown, or about a body that is not there.
    Bytes,
}

/// Returns the body of an answer as it may leave the process.
pub fn body_view(answer: &Answer, key: &RedactKey) -> BodyView {
    let bytes = answer.body.len();
    let said = |text: String| BodyView {
        kind: BodyKind::Bytes,
        text,
        truncated: false,
        bytes,
    };
    let body = match &answer.body {
        CapturedBody::Whole(body) if body.is_empty() => return said("no body".to_owned()),
        CapturedBody::Whole(body) => body,
        CapturedBody::Absent => return said("no body".to_owned()),
        CapturedBody::TooLarge {
            len,
            complete: true,
        } => {
            return said(format!("{len} bytes, over the limit and not kept"));
        }
        CapturedBody::TooLarge { len, .. } => {
            return said(format!(
                "more than {len} bytes, over the limit and not kept"
            ));
        }
    };
    let limits = Limits::default();
    let Ok(body) = decode::decode(&answer.headers, body, limits.ratio, limits.steps) else {
        return said(format!("{bytes} bytes that could not be decoded"));
    };
    let Some(text) = readable(&body) else {
        return said(format!("{} bytes, {}", body.len(), key.token(&body)));
    };
    let view = |kind, text, truncated| BodyView {
        kind,
        text,
        truncated,
        bytes,
    };
    if is_json(&answer.headers) {
        let text = text.trim_start_matches('\u{feff}').as_bytes();
        if let Ok((text, truncated)) = json::write(text, Layout::Indented, false, VIEW_BYTES, key) {
            return view(BodyKind::Json, text, truncated);
        }
    }
    let truncated = text.len() > VIEW_BYTES;
    let end = text.floor_char_boundary(VIEW_BYTES + WINDOW_BYTES);
    let shown = scrub_from(text.get(..end).unwrap_or_default(), 0, VIEW_BYTES, key);
    let shown = if truncated {
        cut(&shown, VIEW_BYTES)
    } else {
        shown
    };
    view(BodyKind::Text, shown.into_owned(), truncated)
}

/// Returns header fields as they may leave the process: values outside an allow-list as tokens.
pub fn headers_view(headers: &HeaderMap, key: &RedactKey) -> Vec<(String, String)> {
    let fields = headers.iter();
    fields
        .map(|(name, value)| {
            let value = field_value(name.as_str(), value.as_bytes(), key);
            (name.as_str().to_owned(), value)
        })
        .collect()
}

/// Returns a path with its query as it may leave the process: ids and query values as tokens.
pub fn target_view(path_and_query: &str, key: &RedactKey) -> String {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let token = |text: &str| key.token(text.as_bytes());
    let segment = |segment: &str| {
        if is_id(segment.as_bytes()) || hides(segment) {
            token(segment)
        } else {
            segment.to_owned()
        }
    };
    let mut out = path.split('/').map(segment).collect::<Vec<_>>().join("/");
    let Some(query) = query else {
        return out;
    };
    let name = |name: &str| {
        if is_id(name.as_bytes()) || hides(name) {
            token(name)
        } else {
            name.to_owned()
        }
    };
    let pair = |pair: &str| match pair.split_once('=') {
        Some((n, "")) => format!("{}=", name(n)),
        Some((n, value)) => format!("{}={}", name(n), token(value)),
        None => name(pair),
    };
    out.push('?');
    out.push_str(&query.split('&').map(pair).collect::<Vec<_>>().join("&"));
    out
}

/// Returns whether a part of a URL is a secret by its form, percent-encoded or not.
pub(crate) fn hides(part: &str) -> bool {
    let plain = part
        .replace("%40", "@")
        .replace("%2E", ".")
        .replace("%2e", ".");
    looks_secret(&plain) || !matches!(scrub(&plain, &RedactKey::new([0; 32])), Cow::Borrowed(_))
}

fn field_value(name: &str, value: &[u8], key: &RedactKey) -> String {
    let text = String::from_utf8_lossy(value);
    match names::show(name) {
        Show::Text => scrub(&text, key).into_owned(),
        Show::Url => url(&text, key),
        Show::Cookies => cookies(name, &text, key),
        Show::Credentials => match text.split_once(' ') {
            Some((scheme, rest)) if scheme.len() <= 16 => {
                format!("{scheme} {}", key.token(rest.as_bytes()))
            }
            _ => key.token(value),
        },
        Show::Token if value.is_empty() => String::new(),
        Show::Token => key.token(value),
    }
}

fn url(text: &str, key: &RedactKey) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    let Some(scheme) = scheme else {
        return target_view(rest, key);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{}", target_view(target, key))
}

fn cookies(field: &str, text: &str, key: &RedactKey) -> String {
    let parts = text.split(';').enumerate().map(|(i, part)| {
        let part = part.trim();
        match part.split_once('=') {
            // The attributes of a cookie that is being set.
            _ if field == "set-cookie" && i > 0 => scrub(part, key).into_owned(),
            Some((name, "")) => format!("{name}="),
            Some((name, value)) => format!("{name}={}", key.token(value.as_bytes())),
            None => key.token(part.as_bytes()),
        }
    });
    parts.collect::<Vec<_>>().join("; ")
}

/// Returns one side of a difference as it may leave the process; `secret` says that its name does.
pub(crate) fn excerpt(raw: &Raw, secret: bool, key: &RedactKey) -> String {
    match raw {
        Raw::Nothing => String::new(),
        Raw::Plain(text) => cut(text, EXCERPT_BYTES).into_owned(),
        Raw::Json(text) => match json::write(text, Layout::Compact, secret, EXCERPT_BYTES, key) {
            Ok((text, _)) => cut(&text, EXCERPT_BYTES).into_owned(),
            Err(_) => key.token(text),
        },
        Raw::Text(text, _) if secret => key.token(text),
        Raw::Text(text, at) => text_excerpt(text, *at, key),
        Raw::Header(name, values) => {
            let values = values.split(|b| *b == b'\n');
            let shown: Vec<String> = values.map(|value| field_value(name, value, key)).collect();
            cut(&shown.join("\n"), EXCERPT_BYTES).into_owned()
        }
    }
}

/// Returns text from a little before the place where the sides part.
fn text_excerpt(text: &Bytes, at: usize, key: &RedactKey) -> String {
    let Some(text) = readable(text) else {
        return format!("{} bytes, {}", text.len(), key.token(text));
    };
    let start = text.floor_char_boundary(at.saturating_sub(WINDOW_BYTES));
    let end = text.floor_char_boundary(at.saturating_add(WINDOW_BYTES));
    let around = text.get(start..end).unwrap_or_default();
    let from = text.floor_char_boundary(at.saturating_sub(32)) - start;
    let shown = scrub_from(around, from, EXCERPT_BYTES, key);
    let mut out = String::new();
    if start + from > 0 {
        out.push('…');
    }
    out.push_str(&shown);
    cut(&out, EXCERPT_BYTES).into_owned()
}

/// Returns bytes as text, unless they are not meant to be.
fn readable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let control = |b: u8| b < 0x20 && !b"\t\r\n\x0b\x0c\x1b".contains(&b);
    (!text.bytes().any(control)).then_some(text)
}

/// Returns the start of a long text that must be searched to show what is shown of it.
pub(crate) fn window(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WINDOW_BYTES))
        .unwrap_or_default()
}

/// Cuts a text to at most `max` bytes, the mark for what is left out included.
pub(crate) fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(max.saturating_sub('…'.len_utf8()));
    Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default()))
}

#[cfg(test)]
mod tests;
