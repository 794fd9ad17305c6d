//! Are two answers the same? Values in, [`Compared`] out. Pure: no clock, no chance, no I/O.
//!
//! Laws, the earlier one wins:
//! 1. Equal bytes, status and kept header fields are a match and cost a `memcmp`: nothing is parsed.
//! 2. Never a verdict on a part. Over a limit is an outcome, never a guess.
//! 3. JSON is read by a borrowing tokenizer over both texts at once; trees are built only for
//!    subtrees that differ. Numbers are compared as decimal text, exactly.
//!
//! Whether a difference counts (noise, verdicts) is not decided here. What may leave the process
//! passes through [`redact`].

mod body;
mod captured;
mod compared;
mod decode;
mod found;
mod headers;
mod ignore;
mod json;
mod own;
mod place;
pub mod redact;

pub use captured::Answer;
pub use captured::CapturedBody;
pub use compared::Compared;
pub use compared::Difference;
pub use compared::Sample;
pub use compared::Shown;
pub use ignore::IgnorePath;
pub use own::OwnField;
pub use redact::BodyKind;
pub use redact::BodyView;
pub use redact::RedactKey;
pub use redact::body_view;
pub use redact::headers_view;
pub(crate) use redact::hides;
pub use redact::target_view;

use crate::compare::compared::Raw;
use crate::compare::found::Found;
use crate::compare::headers::Part;
use crate::compare::ignore::Ignores;
use crate::model::Kind;
use crate::model::NotComparable;
use http::HeaderMap;
use http::header::RETRY_AFTER;

/// How one slice compares its answers, as the rules say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompareConfig {
    /// Places that are not compared, in addition to the default header fields.
    pub ignore: Vec<IgnorePath>,
    /// Whether `ETag` and `Last-Modified` are compared; they are not by default.
    pub validators: bool,
    /// Whether `1.0` and `1` differ, in kind `format`; by default that is accepted.
    pub number_format: bool,
    /// Bytes of a body that the capture keeps; what is longer arrives as
    /// [`CapturedBody::TooLarge`].
    pub body_limit: u64,
    /// The bounds of one comparison.
    pub limits: Limits,
}

impl Default for CompareConfig {
    fn default() -> Self {
        Self {
            ignore: Vec::new(),
            validators: false,
            number_format: false,
            body_limit: 1 << 20,
            limits: Limits::default(),
        }
    }
}

/// The bounds of one comparison. Over any of them there is no verdict on the bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nested arrays and objects of JSON; at most 128.
    pub depth: u32,
    /// Values in one JSON text.
    pub nodes: u32,
    /// Decoded bytes for each encoded byte; texts under 64 KiB are exempt.
    pub ratio: u32,
    /// Steps in all: a token, an element compared, a byte decoded. Counted, since the pure core
    /// reads no clock; five million are about 50 ms.
    pub steps: u64,
    /// Keys kept apart; those beyond share `_other`, one for each kind.
    pub keys: usize,
    /// Keys that keep a sample.
    pub shown: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 128,
            nodes: 200_000,
            ratio: 100,
            steps: 5_000_000,
            keys: 2_000,
            shown: 100,
        }
    }
}

/// A [`CompareConfig`] made ready, once for each slice.
#[derive(Clone, Debug)]
pub struct Comparator {
    ignores: Ignores,
    config: CompareConfig,
}

impl Comparator {
    /// Compiles the rules of a slice.
    pub fn new(config: CompareConfig) -> Self {
        Self {
            ignores: Ignores::compile(&config.ignore),
            config,
        }
    }
}

impl Default for Comparator {
    fn default() -> Self {
        Self::new(CompareConfig::default())
    }
}

/// Compares two complete answers to the same request.
///
/// `own` names the fields that this proxy set on one of the two requests only; where an answer
/// echoes them, the difference is not the application's.
///
/// What is known from sizes and heads is said before a body is read. A reason against comparing
/// counts if it holds for legacy's answer or for both; where only the candidate's body fails it is
/// a difference: `header:content-encoding` in kind `format` if it cannot be decoded, `body` in kind
/// `length` if it is too complex, or over the limit and over four times legacy's length.
pub fn compare(
    comparator: &Comparator,
    legacy: &Answer,
    candidate: &Answer,
    own: &[OwnField],
) -> Compared {
    let bodies = !comparator.ignores.body;
    if bodies && body::is_too_large(&legacy.body, &candidate.body) {
        return Compared::Incomparable(NotComparable::TooLarge);
    }
    if is_vacuous(legacy, candidate) {
        return Compared::Vacuous;
    }
    let mut found = Found::new(comparator.config.limits);
    if legacy.status != candidate.status && !comparator.ignores.status {
        let raw = |answer: &Answer| Raw::Plain(answer.status.to_string());
        found.add("status", Kind::Value, raw(legacy), raw(candidate));
    }
    let heads = (&legacy.headers, &candidate.headers);
    headers::compare(comparator, Part::Header, heads, own, &mut found);
    if legacy.trailers.is_some() || candidate.trailers.is_some() {
        let none = HeaderMap::new();
        let trailers = (
            legacy.trailers.as_ref().unwrap_or(&none),
            candidate.trailers.as_ref().unwrap_or(&none),
        );
        headers::compare(comparator, Part::Trailer, trailers, own, &mut found);
    }
    if bodies && let Err(reason) = body::compare(comparator, legacy, candidate, own, &mut found) {
        return Compared::Incomparable(reason);
    }
    found.finish()
}

/// Returns whether a pair says nothing about either side: nothing has changed, nobody is let in,
/// both ask to come back later, or both fail in the same way.
fn is_vacuous(legacy: &Answer, candidate: &Answer) -> bool {
    let later = |answer: &Answer| {
        matches!(answer.status, 429 | 503) && answer.headers.contains_key(RETRY_AFTER)
    };
    match (legacy.status, candidate.status) {
        (304, 304) | (401, 401) => true,
        (a, b) if a == b && (500..600).contains(&a) => true,
        _ => later(legacy) && later(candidate),
    }
}

#[cfg(test)]
mod tests;
