//! Differences of bodies. Pure.

use crate::compare::Comparator;
use crate::compare::captured::Answer;
use crate::compare::captured::CapturedBody;
use crate::compare::compared::Raw;
use crate::compare::decode;
use crate::compare::decode::Failure;
use crate::compare::found::Exhausted;
use crate::compare::found::Found;
use crate::compare::headers;
use crate::compare::headers::Part;
use crate::compare::json;
use crate::compare::json::Reading;
use crate::compare::own;
use crate::compare::own::OwnField;
use crate::model::Kind;
use crate::model::NotComparable;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;

impl From<Exhausted> for NotComparable {
    fn from(_: Exhausted) -> Self {
        Self::TooComplex
    }
}

/// Returns whether a body is too large for a verdict: legacy's is over the limit, or the
/// candidate's is but not four times as long as legacy's.
pub(crate) fn is_too_large(legacy: &CapturedBody, candidate: &CapturedBody) -> bool {
    match (legacy, candidate) {
        (CapturedBody::TooLarge { .. }, _) => true,
        (_, CapturedBody::TooLarge { len, .. }) => *len <= legacy.len().saturating_mul(4),
        _ => false,
    }
}

/// Adds the differences of two bodies and of their codings.
pub(crate) fn compare(
    comparator: &Comparator,
    legacy: &Answer,
    candidate: &Answer,
    own: &[OwnField],
    found: &mut Found,
) -> Result<(), NotComparable> {
    let (a, b) = match (&legacy.body, &candidate.body) {
        (CapturedBody::Whole(a), CapturedBody::Whole(b)) => (a, b),
        (CapturedBody::TooLarge { .. }, _) => return Err(NotComparable::TooLarge),
        (a, CapturedBody::TooLarge { len, complete }) => {
            let more = if *complete { "" } else { "more than " };
            add_lengths(
                found,
                format!("{} bytes", a.len()),
                format!("{more}{len} bytes"),
            );
            return Ok(());
        }
        (CapturedBody::Absent, CapturedBody::Absent) => {
            absent_codings(comparator, legacy, candidate, found);
            return Ok(());
        }
        (CapturedBody::Whole(a), CapturedBody::Absent) => {
            add_bytes(found, a, &Bytes::new());
            return Ok(());
        }
        (CapturedBody::Absent, CapturedBody::Whole(b)) => {
            add_bytes(found, &Bytes::new(), b);
            return Ok(());
        }
    };
    let coding = |headers: &HeaderMap| {
        headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .cloned()
            .collect::<Vec<_>>()
    };
    if a == b && coding(&legacy.headers) == coding(&candidate.headers) {
        return Ok(());
    }
    let Some((a, b)) = decoded(comparator, (legacy, a), (candidate, b), found)? else {
        return Ok(());
    };
    if a == b {
        return Ok(());
    }
    if is_json(&legacy.headers) || is_json(&candidate.headers) {
        match json::compare(comparator, (&a, &b), own, found) {
            Reading::Both => return Ok(()),
            Reading::TooComplex => return Err(NotComparable::TooComplex),
            Reading::CandidateTooComplex => {
                add_lengths(
                    found,
                    format!("{} bytes", a.len()),
                    "too complex to read".to_owned(),
                );
                return Ok(());
            }
            // An empty body is not JSON either, and is named as what it is.
            Reading::One if !a.is_empty() && !b.is_empty() => {
                let at = common_prefix(&a, &b);
                found.add("body", Kind::Format, Raw::Text(a, at), Raw::Text(b, at));
                return Ok(());
            }
            Reading::One | Reading::Neither => {}
        }
    }
    found.spend((a.len() + b.len()) / 64)?;
    if own::same_but_own(own, &a, &b) {
        found.own();
        return Ok(());
    }
    add_bytes(found, &a, &b);
    Ok(())
}

/// Undoes the codings of both bodies; nothing if only the candidate's could not be, which is then
/// a difference.
fn decoded(
    comparator: &Comparator,
    (legacy, a): (&Answer, &Bytes),
    (candidate, b): (&Answer, &Bytes),
    found: &mut Found,
) -> Result<Option<(Bytes, Bytes)>, NotComparable> {
    let ratio = comparator.config.limits.ratio;
    let decode = |answer: &Answer, body: &Bytes, found: &mut Found| {
        let decoded = decode::decode(&answer.headers, body, ratio, found.left());
        if let Ok(text) = &decoded
            && text.as_ptr() != body.as_ptr()
            && found.spend(text.len()).is_err()
        {
            return Err(Failure::Exhausted(text.len() as u64));
        }
        decoded
    };
    let a = match decode(legacy, a, found) {
        Ok(a) => a,
        Err(Failure::Undecodable) => return Err(NotComparable::Undecodable),
        Err(Failure::Exhausted(_)) => return Err(NotComparable::TooComplex),
    };
    match decode(candidate, b, found) {
        Ok(b) => Ok(Some((a, b))),
        Err(Failure::Undecodable) if comparator.ignores.header(CONTENT_ENCODING.as_str()) => {
            Err(NotComparable::Undecodable)
        }
        Err(Failure::Undecodable) => {
            let raw = |answer: &Answer, body: &Bytes| {
                let names = headers::values(&answer.headers, &CONTENT_ENCODING);
                let names: Vec<_> = names
                    .iter()
                    .map(|v| String::from_utf8_lossy(v.as_bytes()))
                    .collect();
                Raw::Plain(format!("{} ({} bytes)", names.join(", "), body.len()))
            };
            let (a, b) = (raw(legacy, &a), raw(candidate, b));
            found.add("header:content-encoding", Kind::Format, a, b);
            Ok(None)
        }
        // The budget is of the pair; only where this side is far longer is it this side's doing.
        Err(Failure::Exhausted(len)) if len > (a.len() as u64).saturating_mul(4) => {
            add_lengths(
                found,
                format!("{} bytes", a.len()),
                format!("more than {len} bytes"),
            );
            Ok(None)
        }
        Err(Failure::Exhausted(_)) => Err(NotComparable::TooComplex),
    }
}

/// Without bodies the coding is compared as a field, unless both could be undone.
fn absent_codings(comparator: &Comparator, legacy: &Answer, candidate: &Answer, found: &mut Found) {
    let known =
        decode::codings(&legacy.headers).is_some() && decode::codings(&candidate.headers).is_some();
    let values = |answer| headers::values(answer, &CONTENT_ENCODING);
    let (a, b) = (values(&legacy.headers), values(&candidate.headers));
    if !known && a != b && !comparator.ignores.header(CONTENT_ENCODING.as_str()) {
        headers::difference(Part::Header, &CONTENT_ENCODING, (&a, &b), found);
    }
}

fn add_lengths(found: &mut Found, legacy: String, candidate: String) {
    found.add(
        "body",
        Kind::Length,
        Raw::Plain(legacy),
        Raw::Plain(candidate),
    );
}

fn add_bytes(found: &mut Found, legacy: &Bytes, candidate: &Bytes) {
    let kind = match (legacy.len(), candidate.len()) {
        (0, 0) => return,
        (_, 0) => Kind::Missing,
        (0, _) => Kind::Extra,
        (a, b) if a == b => Kind::Value,
        _ => Kind::Length,
    };
    let at = common_prefix(legacy, candidate);
    let raw = |body: &Bytes| Raw::Text(body.clone(), at);
    found.add("body", kind, raw(legacy), raw(candidate));
}

/// Returns how many bytes are equal from the start.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let chunks = a.chunks(64).zip(b.chunks(64));
    let whole = chunks
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len())
        .sum::<usize>();
    let rest = a.iter().zip(b).skip(whole);
    whole + rest.take_while(|(a, b)| a == b).count()
}

/// Returns whether the media type says JSON: `application/json`, `text/json`, or a `+json` suffix.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let essence = value
        .as_bytes()
        .split(|b| *b == b';')
        .next()
        .unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    matches!(essence.as_slice(), b"application/json" | b"text/json") || essence.ends_with(b"+json")
}
