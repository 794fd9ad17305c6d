//! Gathers the differences of one pair within its bounds. Pure.

use crate::compare::Limits;
use crate::compare::compared::Compared;
use crate::compare::compared::Difference;
use crate::compare::compared::Raw;
use crate::compare::compared::Sample;
use crate::compare::place::Place;
use crate::model::FieldKey;
use crate::model::Kind;
use std::collections::HashMap;
use std::sync::Arc;

/// The path that keys share which are beyond the bound, or too long to keep.
const OTHER: &str = "_other";

/// Bytes of a path that are kept.
const PATH_BYTES: usize = 512;

/// The compare budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// What was found so far, and the steps that are left.
#[derive(Debug)]
pub(crate) struct Found {
    limits: Limits,
    steps: u64,
    index: HashMap<Arc<str>, [Option<usize>; Kind::ALL.len()]>,
    list: Vec<Difference>,
    samples: usize,
    own: bool,
}

/// A moment to go back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    keys: usize,
    samples: usize,
    own: bool,
}

impl Found {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            steps: limits.steps,
            index: HashMap::new(),
            list: Vec::new(),
            samples: 0,
            own: false,
        }
    }

    /// Takes steps from the budget.
    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), Exhausted> {
        self.steps = self.steps.checked_sub(steps as u64).ok_or(Exhausted)?;
        Ok(())
    }

    /// Returns the steps that are left.
    pub(crate) fn left(&self) -> u64 {
        self.steps
    }

    /// Notes that an echo of our own was seen.
    pub(crate) fn own(&mut self) {
        self.own = true;
    }

    /// Adds a difference outside JSON, where the concrete place is the path.
    pub(crate) fn add(&mut self, path: &str, kind: Kind, legacy: Raw, candidate: Raw) {
        let at = self.entry(path, kind);
        self.sample(at, path, || (legacy, candidate));
    }

    /// Adds a difference within JSON.
    pub(crate) fn add_at(
        &mut self,
        place: &Place,
        kind: Kind,
        values: impl FnOnce() -> (Raw, Raw),
    ) -> Result<(), Exhausted> {
        self.spend(1 + place.concrete().len() / 32)?;
        let at = self.entry(place.folded(), kind);
        if let (Some(hash), Some(difference)) = (place.hash(), self.list.get_mut(at)) {
            difference.places.push(hash);
        }
        self.sample(at, place.concrete(), values);
        Ok(())
    }

    fn entry(&mut self, path: &str, kind: Kind) -> usize {
        let known = |index: &HashMap<Arc<str>, [Option<usize>; Kind::ALL.len()]>, path: &str| {
            index
                .get(path)
                .and_then(|kinds| kinds.get(kind as usize).copied().flatten())
        };
        if let Some(at) = known(&self.index, path) {
            return at;
        }
        let fits = self.list.len() < self.limits.keys && path.len() <= PATH_BYTES;
        let path = if fits { path } else { OTHER };
        if let Some(at) = known(&self.index, path) {
            return at;
        }
        let path: Arc<str> = Arc::from(path);
        let at = self.list.len();
        let kinds = self.index.entry(Arc::clone(&path)).or_default();
        if let Some(slot) = kinds.get_mut(kind as usize) {
            *slot = Some(at);
        }
        self.list
            .push(Difference::new(FieldKey::new(path, kind), Vec::new()));
        at
    }

    fn sample(&mut self, at: usize, place: &str, values: impl FnOnce() -> (Raw, Raw)) {
        let room = self.samples < self.limits.shown;
        let Some(difference) = self.list.get_mut(at) else {
            return;
        };
        if room && difference.sample.is_none() {
            let (legacy, candidate) = values();
            difference.sample = Some(Sample {
                place: place.to_owned(),
                legacy,
                candidate,
            });
            self.samples += 1;
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            keys: self.list.len(),
            samples: self.samples,
            own: self.own,
        }
    }

    /// Forgets the keys that were added since; steps stay spent.
    pub(crate) fn back(&mut self, moment: Moment) {
        self.list.truncate(moment.keys);
        self.samples = moment.samples;
        self.own = moment.own;
        self.index.retain(|_, kinds| {
            for slot in kinds.iter_mut() {
                *slot = slot.filter(|at| *at < moment.keys);
            }
            kinds.iter().any(Option::is_some)
        });
    }

    pub(crate) fn finish(mut self) -> Compared {
        if self.list.is_empty() {
            return if self.own {
                Compared::OwnHeader
            } else {
                Compared::Match
            };
        }
        for difference in &mut self.list {
            difference.places.sort_unstable();
            difference.places.dedup();
        }
        self.list.sort_by(|a, b| a.key.cmp(&b.key));
        Compared::Differs(self.list)
    }
}
