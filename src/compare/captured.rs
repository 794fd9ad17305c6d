//! An answer as it was captured. Pure.

use bytes::Bytes;
use http::HeaderMap;

/// One complete answer of one side.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields, as they arrived.
    pub headers: HeaderMap,
    /// The body, as it arrived: still with its content coding.
    pub body: CapturedBody,
    /// The trailer fields, if there were any.
    pub trailers: Option<HeaderMap>,
}

/// What was kept of a body.
#[derive(Clone, Debug)]
pub enum CapturedBody {
    /// All of it.
    Whole(Bytes),
    /// Nothing, because it was over the limit for captured bodies.
    TooLarge {
        /// The bytes counted, at least.
        len: u64,
        /// Whether the body ended, so that `len` is its whole length.
        complete: bool,
    },
    /// There is none by rule: the answer to a HEAD, or a 204 or 304.
    Absent,
}

impl CapturedBody {
    /// Returns the bytes that are known to have arrived.
    pub fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::TooLarge { len, .. } => *len,
            Self::Absent => 0,
        }
    }

    /// Returns whether not a byte arrived.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
