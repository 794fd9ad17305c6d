//! What changes in a slice's requests and answers on their way, and who answers when the candidate
//! fails. Pure.

use crate::model::Share;
use http::HeaderName;
use http::HeaderValue;

/// What changes for both directions. Nothing, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Edits {
    /// What the candidate sees in place of the matched prefix.
    pub rewrite: Option<Rewrite>,
    /// In requests, to both sides.
    pub request: FieldEdits,
    /// In answers, of both sides.
    pub response: FieldEdits,
}

/// Moves a prefix of the path; `Location`, `Content-Location`, `Refresh` and the `Path` of
/// `Set-Cookie` in answers are moved back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// The prefix that clients use, the longest that the slice's matches share; without a slash at
    /// its end.
    pub from: String,
    /// The prefix that the candidate uses, without a slash at its end.
    pub to: String,
}

/// Edits of fields, in this order: remove, set, add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldEdits {
    /// Fields that are dropped.
    pub remove: Vec<HeaderName>,
    /// Fields that get this one value, whatever they had.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Values added to what is there.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl FieldEdits {
    /// Returns whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// When legacy answers in place of a candidate that failed: for safe methods, before the first byte
/// went to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// After a connection could not be made.
    pub connect_error: bool,
    /// After no answer came in time.
    pub timeout: bool,
    /// After one of these statuses.
    pub statuses: Vec<u16>,
    /// At most this share of the slice's requests.
    pub budget: Share,
}
