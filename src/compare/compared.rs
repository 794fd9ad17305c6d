//! What comparing two answers yields. Pure.

use crate::compare::redact::RedactKey;
use crate::compare::redact::excerpt;
use crate::compare::redact::is_secret_place;
use crate::model::FieldKey;
use crate::model::NotComparable;
use bytes::Bytes;
use std::fmt;

/// The result of comparing two answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Compared {
    /// The same answer, up to what is ignored or accepted by default.
    Match,
    /// They differ only where a field that this proxy set on the copy is echoed.
    OwnHeader,
    /// They differ. One entry a key, sorted by key, never empty; echoes of our own are left out.
    Differs(Vec<Difference>),
    /// Both gave an answer that says nothing about either.
    Vacuous,
    /// They could not be compared.
    Incomparable(NotComparable),
}

impl Compared {
    /// Returns the differences; none unless they differ.
    pub fn differences(&self) -> &[Difference] {
        match self {
            Self::Differs(differences) => differences,
            Self::Match | Self::OwnHeader | Self::Vacuous | Self::Incomparable(_) => &[],
        }
    }
}

/// All differences of two answers under one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The folded place and the kind.
    pub key: FieldKey,
    /// Hashes of the concrete places, sorted, each once; empty when the path folds nothing.
    ///
    /// The same place has the same hash in every pair and every process.
    pub places: Vec<u64>,
    /// The first of those places, for showing; only the first keys of a pair have one.
    pub sample: Option<Sample>,
}

impl Difference {
    /// Makes a difference without a sample.
    pub fn new(key: FieldKey, places: Vec<u64>) -> Self {
        Self {
            key,
            places,
            sample: None,
        }
    }

    /// Returns the sample as it may leave the process.
    pub fn shown(&self, key: &RedactKey) -> Option<Shown> {
        self.sample.as_ref().map(|sample| sample.show(key))
    }
}

/// One concrete difference, with the values as sent.
///
/// It shares memory with the captured bodies, holds secrets, and has no way out but
/// [`Sample::show`]: even `Debug` prints lengths only.
#[derive(Clone, PartialEq)]
pub struct Sample {
    pub(crate) place: String,
    pub(crate) legacy: Raw,
    pub(crate) candidate: Raw,
}

/// A value as sent.
#[derive(Clone, PartialEq)]
pub(crate) enum Raw {
    /// Not there.
    Nothing,
    /// JSON text of one value.
    Json(Bytes),
    /// Text, or bytes that may be text; the offset is where the sides begin to differ.
    Text(Bytes, usize),
    /// The value of a header field, with its name.
    Header(String, Bytes),
    /// Words of our own, such as a length.
    Plain(String),
}

impl Raw {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Json(bytes) | Self::Text(bytes, _) | Self::Header(_, bytes) => bytes.len(),
            Self::Plain(text) => text.len(),
        }
    }
}

impl Sample {
    /// Returns the difference as it may leave the process: secrets as keyed tokens, values cut at
    /// 256 bytes.
    pub fn show(&self, key: &RedactKey) -> Shown {
        let secret = is_secret_place(&self.place);
        Shown {
            place: self.place.clone(),
            legacy: excerpt(&self.legacy, secret, key),
            candidate: excerpt(&self.candidate, secret, key),
        }
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample")
            .field("place", &self.place)
            .field("legacy_bytes", &self.legacy.len())
            .field("candidate_bytes", &self.candidate.len())
            .finish()
    }
}

/// One concrete difference, redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The concrete place.
    pub place: String,
    /// What legacy has there, at most 256 bytes; empty where it has nothing.
    pub legacy: String,
    /// What the candidate has there, at most 256 bytes; empty where it has nothing.
    pub candidate: String,
}
