//! What outlives the process: examples, evidence, counters, the history, and positions.
//!
//! Nothing here is in the path of a request. Samples are offered to a bounded queue that never
//! waits; one writer takes them in batches; reads have a connection of their own. Whatever happens
//! to the store (full disk, a lock, a deleted file, a directory gone and put back) costs samples,
//! is counted, and ends by itself. [`Positions`] have rules of their own.

mod backend;
mod batch;
mod error;
mod example;
mod form;
mod health;
mod keeper;
mod library;
mod memory;
mod open;
mod positions;
mod rows;
mod sqlite;
mod writer;

#[cfg(test)]
mod tests;

pub use batch::Saved;
pub use error::Error;
pub use example::AnswerView;
pub use example::DifferenceView;
pub use example::Example;
pub use example::RequestView;
pub use health::Health;
pub use health::Lost;
pub use keeper::Keeper;
pub use keeper::KeeperTask;
pub use keeper::Report;
pub use library::Library;
pub use open::OpenError;
pub use open::Opened;
pub use open::Options;
pub use open::open;
pub use positions::Held;
pub use positions::Positions;
pub use writer::Write;
pub use writer::Writer;
pub use writer::WriterTask;

use crate::model::Outcome;
use crate::model::SliceId;
use crate::model::UnixMillis;

/// How much is kept. What is over a limit leaves, the oldest first, and is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Examples of the same difference: the first half of them, and the newest.
    pub examples_per_set: u32,
    /// Bytes of all examples.
    pub bytes: u64,
    /// Days an example is kept.
    pub days: u32,
    /// Entries of the history.
    pub changes: u32,
    /// The newest entries keep their diffs.
    pub diffs: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            examples_per_set: 20,
            bytes: 256 * 1_024 * 1_024,
            days: 14,
            changes: 10_000,
            diffs: 500,
        }
    }
}

/// What a slice counted since it was first seen, restarts included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Requests that ended, and those pending.
    pub requests: u64,
    /// How they ended, by [`Outcome::index`].
    pub outcomes: [u64; Outcome::COUNT],
    /// Control calls to legacy that made a pair.
    pub control_pairs: u64,
    /// Control calls to legacy that failed.
    pub control_failed: u64,
    /// Requests that legacy had to answer although the slice is retired.
    pub retired_hits: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            requests: 0,
            outcomes: [0; Outcome::COUNT],
            control_pairs: 0,
            control_failed: 0,
            retired_hits: 0,
        }
    }
}

/// What kind of thing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// The process started.
    Started,
    /// New rules run.
    RulesTaken,
    /// New rules were refused.
    RulesRefused,
    /// A slice, or everything, was sent to legacy.
    Kill,
    /// A slice was sent back to shadow.
    Rollback,
    /// A hold was lifted.
    Resume,
    /// Somebody said that a version is out.
    Deploy,
    /// The evidence of a slice began anew.
    Epoch,
    /// The store was lost, or came back.
    Store,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Started,
        Self::RulesTaken,
        Self::RulesRefused,
        Self::Kill,
        Self::Rollback,
        Self::Resume,
        Self::Deploy,
        Self::Epoch,
        Self::Store,
    ];

    /// Returns the word used in the store, the API and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::RulesTaken => "rules_taken",
            Self::RulesRefused => "rules_refused",
            Self::Kill => "kill",
            Self::Rollback => "rollback",
            Self::Resume => "resume",
            Self::Deploy => "deploy",
            Self::Epoch => "epoch",
            Self::Store => "store",
        }
    }

    /// Reads the word, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place in the history, given by the store; 0 before.
    pub id: i64,
    /// When it happened.
    pub at: UnixMillis,
    /// Who did it: a token's name, `file`, `page`, `supplant`.
    pub actor: String,
    /// What kind of change it was.
    pub kind: ChangeKind,
    /// The slice it concerns, if it is one.
    pub slice: Option<SliceId>,
    /// What happened, in a sentence.
    pub text: String,
    /// What changed in the rules, as a unified diff.
    pub diff: Option<String>,
    /// The hash of the rules in force after it.
    pub hash: Option<String>,
}
