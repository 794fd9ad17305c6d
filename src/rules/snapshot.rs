//! The compiled rules, immutable; `held` lowers what is in force. Pure.

use crate::compare::Comparator;
use crate::compare::IgnorePath;
use crate::model::BackendIx;
use crate::model::Position;
use crate::model::Share;
use crate::model::SliceId;
use crate::model::SliceIx;
use crate::model::Stage;
use crate::rules::backend::Backend;
use crate::rules::condition::Condition;
use crate::rules::condition::Names;
use crate::rules::edits::Edits;
use crate::rules::edits::Fallback;
use crate::rules::edits::FieldEdits;
use crate::rules::identity::Identity;
use crate::rules::matcher::Matcher;
use crate::rules::split::By;
use crate::rules::startup::Startup;
use crate::rules::startup::StartupLines;
use crate::rules::tenant::Tenants;
use http::Method;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The rules as compiled, and what of them is in force. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) rules: Arc<Rules>,
    force: Arc<[Force]>,
    all_killed: bool,
}

/// What the file says.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) text: Arc<str>,
    pub(super) hash: String,
    pub(super) startup: Startup,
    pub(super) startup_lines: StartupLines,
    pub(super) backends: Vec<Backend>,
    pub(super) slices: Vec<Slice>,
    pub(super) by_name: HashMap<SliceId, SliceIx>,
    pub(super) matcher: Matcher,
    pub(super) tenants: Tenants,
    pub(super) identity: Identity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Force {
    position: Position,
    killed: bool,
    days: u32,
}

/// What guards and operators hold down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Everything goes to legacy.
    pub all_killed: bool,
    /// By slice; names that the rules do not have are ignored.
    pub slices: BTreeMap<SliceId, Ceiling>,
}

/// What holds one slice down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// How far it may be at most.
    pub position: Option<Position>,
    /// All of it goes to legacy.
    pub killed: bool,
    /// How many whole days it has stood where it stands, for the falling sample of `cutover`.
    pub days: u32,
}

impl Snapshot {
    pub(super) fn new(rules: Rules) -> Self {
        let force = rules
            .slices
            .iter()
            .map(|s| Force {
                position: s.declared,
                killed: false,
                days: 0,
            })
            .collect();
        Self {
            rules: Arc::new(rules),
            force,
            all_killed: false,
        }
    }

    /// Returns the first 12 hexadecimal digits of the SHA-256 of the text.
    pub fn hash(&self) -> &str {
        &self.rules.hash
    }

    /// Returns the text it was compiled from.
    pub fn text(&self) -> &Arc<str> {
        &self.rules.text
    }

    /// Returns what is read at start.
    pub fn startup(&self) -> &Startup {
        &self.rules.startup
    }

    /// Returns the lines of what is read at start.
    pub(super) fn startup_lines(&self) -> &StartupLines {
        &self.rules.startup_lines
    }

    /// Returns the applications; the first is legacy.
    pub fn backends(&self) -> &[Backend] {
        &self.rules.backends
    }

    /// Returns how what a client says of itself is judged.
    pub fn identity(&self) -> &Identity {
        &self.rules.identity
    }

    /// Returns the slices in the order of the file.
    pub fn slices(&self) -> &[Slice] {
        &self.rules.slices
    }

    /// Returns a slice by its place.
    pub fn slice(&self, ix: SliceIx) -> Option<&Slice> {
        self.rules.slices.get(ix.get())
    }

    /// Returns the place of a slice.
    pub fn ix(&self, id: &SliceId) -> Option<SliceIx> {
        self.rules.by_name.get(id).copied()
    }

    /// Returns how far a slice is: the lower of what is declared and its ceiling.
    pub fn position(&self, ix: SliceIx) -> Position {
        self.force
            .get(ix.get())
            .map_or(Position::LEGACY, |f| f.position)
    }

    /// Returns whether a slice is killed, by itself or with everything.
    pub fn killed(&self, ix: SliceIx) -> bool {
        self.all_killed || self.force.get(ix.get()).is_none_or(|f| f.killed)
    }

    /// Returns whether everything is killed.
    pub fn all_killed(&self) -> bool {
        self.all_killed
    }

    /// Returns the share of requests that is mirrored at the position in force.
    ///
    /// In `cutover` legacy is asked to watch for drift only: at most 10 %, half of it after each
    /// day, down to 1 %.
    pub fn sample(&self, ix: SliceIx) -> Share {
        let declared = self.slice(ix).map_or(Share::NONE, |s| s.shadow.sample);
        match self.position(ix).stage() {
            Stage::Cutover => {
                let days = self.force.get(ix.get()).map_or(0, |f| f.days);
                let watch = (1_000 >> days.min(8)).max(100);
                declared.min(Share::new(watch).unwrap_or(Share::NONE))
            }
            _ => declared,
        }
    }

    /// Returns the same rules with what the ceilings allow in force, whatever was before.
    #[must_use]
    pub fn held(&self, ceilings: &Ceilings) -> Self {
        let force = self
            .rules
            .slices
            .iter()
            .map(|slice| {
                let ceiling = ceilings.slices.get(&slice.id).copied().unwrap_or_default();
                Force {
                    position: ceiling
                        .position
                        .map_or(slice.declared, |c| c.min(slice.declared)),
                    killed: ceiling.killed,
                    days: ceiling.days,
                }
            })
            .collect();
        Self {
            rules: Arc::clone(&self.rules),
            force,
            all_killed: ceilings.all_killed,
        }
    }
}

/// A part of the surface that moves as one.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Its name.
    pub id: SliceId,
    /// The candidate.
    pub backend: BackendIx,
    /// The position that the file declares.
    pub declared: Position,
    /// Whom the candidate answers, if the file has a ramp.
    pub ramp: Option<Ramp>,
    /// What is mirrored.
    pub shadow: ShadowPolicy,
    /// What counts as different.
    pub compare: ComparePolicy,
    /// Whether legacy answers where the candidate fails.
    pub fallback: Option<Fallback>,
    /// What changes in requests and answers on their way.
    pub edits: Edits,
    /// What changes in copies only.
    pub copy_edits: FieldEdits,
    /// Whom to ask.
    pub owner: Option<String>,
    /// Changes when evidence so far says nothing any more: match, backend, endpoints, host, edits,
    /// tenant source or compare rules are others.
    pub epoch_key: u64,
    /// The line of the file.
    pub line: u32,
    /// What it takes, in one line.
    pub matches: String,
}

/// Whom the candidate answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ramp {
    /// The share, in stage `canary`.
    pub percent: Option<Share>,
    /// By what it splits.
    pub by: Option<By>,
    /// The name that the bucket hashes.
    pub group: Arc<str>,
    /// The kind that the bucket hashes.
    pub(super) kind: Arc<str>,
    pub(super) always: Names,
    pub(super) never: Names,
    pub(super) always_written: Vec<String>,
    pub(super) never_written: Vec<String>,
}

/// What is mirrored.
#[derive(Clone, Debug)]
pub struct ShadowPolicy {
    /// The share of requests.
    pub sample: Share,
    /// Copies a second at most; none for no limit.
    pub rate: Option<u32>,
    /// The methods.
    pub methods: Vec<Method>,
    /// The largest body that is compared, in bytes.
    pub body_limit: u64,
    /// The deadline of a copy.
    pub timeout: Duration,
    /// Copies under way at a time.
    pub max_inflight: u32,
    pub(super) except: Vec<Condition>,
    pub(super) allow: Vec<Condition>,
}

/// What counts as different, and how noise is told from it.
#[derive(Clone, Debug)]
pub struct ComparePolicy {
    /// Compares two answers by the rules of this slice; shared by slices of equal rules.
    pub comparator: Arc<Comparator>,
    /// Places that do not count, sorted.
    pub ignore: Vec<IgnorePath>,
    /// The share of mirrored requests for which legacy is asked again.
    pub control: Share,
    /// Whether the file says so, which stage `legacy` needs.
    pub control_written: bool,
    /// Whether the caps on control calls hold.
    pub control_capped: bool,
}
