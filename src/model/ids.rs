//! Names and indices that cannot be mixed up. Pure.

use std::fmt;
use std::sync::Arc;

/// The name of a slice, as the file writes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceId(Arc<str>);

impl SliceId {
    /// The slice of requests that no slice takes.
    pub const UNMATCHED: &'static str = "_unmatched";

    /// Takes a name as it is; the rules check its form.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Returns the name of the slice that stands for everything unmatched.
    pub fn unmatched() -> Self {
        Self::new(Self::UNMATCHED)
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this is the slice of everything unmatched.
    pub fn is_unmatched(&self) -> bool {
        &*self.0 == Self::UNMATCHED
    }
}

impl fmt::Display for SliceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for SliceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The place of a slice in its snapshot, in file order from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceIx(pub u32);

impl SliceIx {
    /// Returns the index for a slice of slices.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// The place of a backend in its snapshot; 0 is legacy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendIx(pub u16);

impl BackendIx {
    /// The backend that every snapshot has.
    pub const LEGACY: Self = Self(0);

    /// Returns the index for a slice of backends.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// Names one request of this installation, its log line, its pair and its example.
///
/// Shown as sixteen hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairId(pub u64);

impl PairId {
    /// Reads sixteen hexadecimal digits, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for PairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
