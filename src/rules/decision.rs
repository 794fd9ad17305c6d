//! What a decision says, and who may watch it being made. Pure.

use crate::model::Outcome;
use crate::model::Position;
use crate::model::Side;
use crate::model::SliceIx;
use crate::rules::split::Draws;

/// What the rules say about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The slice that takes it; none if everything goes to legacy for want of one.
    pub slice: Option<SliceIx>,
    /// How far that slice is.
    pub position: Position,
    /// Who answers.
    pub primary: Side,
    /// Why.
    pub reason: Reason,
    /// Whether the other side gets a copy.
    pub mirror: Mirror,
    /// What chance says about a control.
    pub draws: Draws,
}

/// Why a side answers, in one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No slice takes the request.
    Unmatched,
    /// The slice, or everything, is killed.
    Killed,
    /// The tenant is on the `never` list.
    Never,
    /// The stage is `legacy`.
    Legacy,
    /// The stage is `shadow`.
    Shadow,
    /// The stage is `cutover`.
    Cutover,
    /// The stage is `retired`.
    Retired,
    /// The tenant is on the `always` list.
    Always,
    /// The share admits the key.
    InShare,
    /// The request has no key to split by.
    NoKey,
    /// The share does not admit the key.
    OutOfShare,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Unmatched,
        Self::Killed,
        Self::Never,
        Self::Legacy,
        Self::Shadow,
        Self::Cutover,
        Self::Retired,
        Self::Always,
        Self::InShare,
        Self::NoKey,
        Self::OutOfShare,
    ];

    /// Returns the token used in the log and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unmatched => "unmatched",
            Self::Killed => "killed",
            Self::Never => "never",
            Self::Legacy => "legacy",
            Self::Shadow => "shadow",
            Self::Cutover => "cutover",
            Self::Retired => "retired",
            Self::Always => "always",
            Self::InShare => "in_share",
            Self::NoKey => "no_key",
            Self::OutOfShare => "out_of_share",
        }
    }
}

/// Whether the other side gets a copy, as far as the head decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// Offer a copy to the other side, if rate and memory allow it.
    Copy,
    /// Stage `legacy` with controls that the file asks for: legacy may be asked again, nobody gets
    /// a copy, and the outcome is `not_mirrored(stage)`.
    ControlOnly,
    /// The outcome is decided.
    Ended(Outcome),
}

/// A step of the walk, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was asked, in one token.
    pub name: &'static str,
    /// What was found.
    pub found: String,
    /// What to say instead where the number of chance is not known.
    pub without_chance: Option<String>,
}

impl Step {
    pub(super) fn new(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            found: found.into(),
            without_chance: None,
        }
    }

    pub(super) fn drawn(mut self, otherwise: String) -> Self {
        self.without_chance = Some(otherwise);
        self
    }
}

/// Watches the walk.
pub trait Trace {
    /// Takes a step; the words are made only if somebody wants them.
    fn step(&mut self, step: impl FnOnce() -> Step);
}

/// Watches nothing.
impl Trace for () {
    fn step(&mut self, _: impl FnOnce() -> Step) {}
}

impl Trace for Vec<Step> {
    fn step(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}
