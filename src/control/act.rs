//! What the control loop can be told, and what it answers.

use crate::model::SliceId;
use tokio::sync::oneshot;

/// What the loop is told.
#[derive(Debug)]
pub enum Event {
    /// The rules may have changed; forced means: read and take them now.
    RulesChanged {
        /// Whether somebody asked for it, so that no second look is needed.
        forced: bool,
    },
    /// Somebody wants something done.
    Act {
        /// What.
        act: Act,
        /// Who.
        actor: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Done, Refused>>,
    },
    /// The process drains: say so, and go on.
    Drain,
    /// Save and end.
    Shutdown,
}

/// What a person or a program may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// To legacy, now.
    Kill(Target),
    /// To shadow, now.
    Rollback(SliceId),
    /// Lift one hold.
    Resume {
        /// Of what.
        target: Target,
        /// Why, where one is asked for.
        reason: Option<String>,
    },
    /// A version is out.
    Deploy {
        /// Of which backend.
        backend: String,
        /// Which.
        version: String,
    },
    /// Read the rules now.
    Reload,
}

/// What an act is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everything.
    All,
    /// One slice.
    Slice(SliceId),
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// In a sentence.
    pub text: String,
    /// Whether it is on disk. An act that is in force but not on disk is tried again every second.
    pub persisted: bool,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such slice.
    #[error("there is no slice `{name}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownSlice {
        /// The name asked for.
        name: String,
        /// The nearest one.
        nearest: Option<String>,
    },
    /// There is no such backend.
    #[error("there is no backend `{name}`; there are: {known}")]
    UnknownBackend {
        /// The name asked for.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// There is nothing to do.
    #[error("{0}")]
    Nothing(String),
    /// It needs a reason.
    #[error("{0}")]
    NeedsReason(String),
    /// It could not be written, so it was not done.
    #[error("{0}")]
    NotPersisted(String),
    /// The rules are wrong; the board has the problems.
    #[error("{0}")]
    Rules(String),
    /// The process is ending.
    #[error("the process is ending")]
    Ending,
}
