//! What is written together, and what is read back at start.

use super::Change;
use super::Counts;
use super::Example;
use crate::evidence::Part;
use crate::model::SliceId;
use crate::model::UnixMillis;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Writes that go together, whole or not at all.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Slices whose everything goes, before anything else is written.
    pub(super) forget: BTreeSet<SliceId>,
    /// Since when a slice is not in the rules, or that it is.
    pub(super) gone: BTreeMap<SliceId, Option<UnixMillis>>,
    /// Parts of evidence; nothing deletes.
    pub(super) parts: BTreeMap<(SliceId, String), Option<Vec<u8>>>,
    /// Slices whose parts are all in `parts`: others go.
    pub(super) replace: BTreeSet<SliceId>,
    /// Counters.
    pub(super) counts: BTreeMap<SliceId, Counts>,
    /// Samples.
    pub(super) examples: Vec<Example>,
    /// History.
    pub(super) changes: Vec<Change>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            forget,
            gone,
            parts,
            replace,
            counts,
            examples,
            changes,
        } = self;
        forget.is_empty()
            && gone.is_empty()
            && parts.is_empty()
            && replace.is_empty()
            && counts.is_empty()
            && examples.is_empty()
            && changes.is_empty()
    }

    /// Puts `older` under this batch: what both have stays as it is here.
    pub(super) fn put_under(&mut self, older: Self) {
        let Self {
            forget,
            gone,
            parts,
            replace,
            counts,
            examples: _,
            changes,
        } = older;
        for (key, data) in parts {
            let dropped = self.forget.contains(&key.0) || self.replace.contains(&key.0);
            if !dropped {
                self.parts.entry(key).or_insert(data);
            }
        }
        for (slice, counts) in counts {
            if !self.forget.contains(&slice) {
                self.counts.entry(slice).or_insert(counts);
            }
        }
        for (slice, at) in gone {
            if !self.forget.contains(&slice) {
                self.gone.entry(slice).or_insert(at);
            }
        }
        self.forget.extend(forget);
        self.replace.extend(replace);
        self.changes.splice(0..0, changes);
    }
}

/// What outlived the last process.
#[derive(Debug, Default)]
pub struct Saved {
    /// Parts of evidence by slice.
    pub parts: BTreeMap<SliceId, Vec<Part>>,
    /// Counters by slice.
    pub counts: BTreeMap<SliceId, Counts>,
    /// Slices that were seen, and since when they are not in the rules.
    pub gone: BTreeMap<SliceId, Option<UnixMillis>>,
}

/// How many examples left because of which limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trimmed {
    pub(super) bytes: u64,
    pub(super) days: u64,
}
