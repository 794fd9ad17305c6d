//! Places in an answer, and the kinds of difference there. Pure.

use std::fmt;
use std::sync::Arc;

/// How two answers differ at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Other content of the same type.
    Value,
    /// Another type.
    Type,
    /// Legacy has it, the candidate lacks it.
    Missing,
    /// The candidate has it, legacy lacks it.
    Extra,
    /// The same members in another order.
    Order,
    /// Another number of members or bytes.
    Length,
    /// The same meaning, written differently, or not readable as what it claims to be.
    Format,
    /// Another digest of a body too large to keep.
    Digest,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Value,
        Self::Type,
        Self::Missing,
        Self::Extra,
        Self::Order,
        Self::Length,
        Self::Format,
        Self::Digest,
    ];

    /// Returns the word used in labels, the API and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Type => "type",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Order => "order",
            Self::Length => "length",
            Self::Format => "format",
            Self::Digest => "digest",
        }
    }

    /// Reads the word, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place, with array indices folded to `[*]`, and the kind of difference there.
///
/// Places share one namespace: `status`, `header:NAME`, `trailer:NAME`, `body`, and JSON paths:
/// `$`, then `.name` for a name of letters, digits, `_` and `-`, `["any name"]` (as a JSON string)
/// for others, `[*]` for members of an array, `.{}` for names that are ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldKey {
    /// The place.
    pub path: Arc<str>,
    /// The kind of difference.
    pub kind: Kind,
}

impl FieldKey {
    /// Makes a key.
    pub fn new(path: impl Into<Arc<str>>, kind: Kind) -> Self {
        Self {
            path: path.into(),
            kind,
        }
    }
}
