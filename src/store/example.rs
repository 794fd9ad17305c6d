//! One pair of answers as it is kept: redacted before it gets here.

use crate::compare::BodyView;
use crate::model::FieldKey;
use crate::model::Kind;
use crate::model::PairId;
use crate::model::SliceId;
use crate::model::UnixMillis;

/// A pair worth looking at. Everything in it was redacted before.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The request it belongs to.
    pub id: PairId,
    /// Its slice.
    pub slice: SliceId,
    /// When the client asked.
    pub at: UnixMillis,
    /// Method and template, such as `GET /orders/{}`.
    pub endpoint: String,
    /// Every key that differed, noisy ones included.
    pub set_keys: Vec<FieldKey>,
    /// What was asked.
    pub request: RequestView,
    /// What legacy answered, if it did.
    pub legacy: Option<AnswerView>,
    /// What the candidate answered, if it did.
    pub candidate: Option<AnswerView>,
    /// Why there is no answer of the candidate.
    pub error: Option<String>,
    /// The differences, as many as are shown.
    pub differences: Vec<DifferenceView>,
}

/// The head of a request, redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestView {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The header fields, in the order they came.
    pub headers: Vec<(String, String)>,
}

/// An answer, redacted.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerView {
    /// The status.
    pub status: u16,
    /// The header fields, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: BodyView,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// One difference, with excerpts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferenceView {
    /// The place, with array indices folded.
    pub path: String,
    /// The kind.
    pub kind: Kind,
    /// The concrete place.
    pub place: String,
    /// What legacy has there.
    pub legacy: String,
    /// What the candidate has there.
    pub candidate: String,
}
