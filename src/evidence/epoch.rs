//! The evidence of a slice, owned by the tick. Pure.

use crate::evidence::delta::SliceDelta;
use crate::evidence::known::Known;
use crate::evidence::summary::Group;
use crate::evidence::summary::KeyView;
use crate::evidence::summary::Summary;
use crate::model::Side;
use crate::model::UnixMillis;
use std::sync::Arc;

/// A piece of saved evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name, unique in the slice.
    pub name: String,
    /// Its content; none to delete it.
    pub data: Option<Vec<u8>>,
}

/// The evidence of a slice.
#[derive(Debug)]
pub struct Evidence {
    target: f64,
    key: u64,
}

impl Evidence {
    /// Starts with nothing: `target` is the parity wanted, 0 to 1; `epoch_key` hashes the rules.
    pub fn new(target: f64, epoch_key: u64, _now: UnixMillis) -> Self {
        Self {
            target,
            key: epoch_key,
        }
    }

    /// Says whether the slice has controls; without them nothing can be told from noise.
    pub fn set_controls(&mut self, _controls: bool) {}

    /// Adds what a worker has seen.
    pub fn absorb(&mut self, _delta: SliceDelta, _now: UnixMillis) {}

    /// Begins a new epoch if the rules that matter have changed.
    pub fn rules_changed(&mut self, epoch_key: u64, _now: UnixMillis) {
        self.key = epoch_key;
    }

    /// Begins a new epoch if this version of the side is a new one.
    pub fn deployed(&mut self, _side: Side, _version: &str, _now: UnixMillis) {}

    /// Returns what workers may know.
    pub fn known(&self) -> Arc<Known> {
        Arc::default()
    }

    /// Returns the figures.
    pub fn summary(&self, _now: UnixMillis) -> Summary {
        let mut summary = Summary::default();
        summary.parity.target = self.target;
        summary
    }

    /// Returns the divergence groups of this epoch, the most frequent first.
    pub fn groups(&self) -> Vec<Group> {
        Vec::new()
    }

    /// Returns what is being checked.
    pub fn checking(&self) -> Vec<Group> {
        Vec::new()
    }

    /// Returns the groups of earlier epochs, the latest first.
    pub fn earlier(&self) -> Vec<Group> {
        Vec::new()
    }

    /// Returns every key.
    pub fn keys(&self) -> Vec<KeyView> {
        Vec::new()
    }

    /// Returns what has changed since the last call.
    pub fn save(&mut self) -> Vec<Part> {
        Vec::new()
    }

    /// Returns everything, for a store that has nothing of it.
    pub fn save_all(&mut self) -> Vec<Part> {
        Vec::new()
    }

    /// Returns the epoch that counts.
    pub fn epoch(&self) -> crate::evidence::summary::EpochView {
        crate::evidence::summary::EpochView::default()
    }

    /// Reads what was saved; damaged parts are dropped and counted.
    pub fn restore(target: f64, epoch_key: u64, _parts: Vec<Part>, now: UnixMillis) -> Self {
        Self::new(target, epoch_key, now)
    }
}
