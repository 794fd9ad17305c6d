//! A count with its first and last moment and some examples, merged in any order. Pure.

use crate::model::PairId;
use crate::model::UnixMillis;

/// Examples that are the first ones.
const FIRST: usize = 5;
/// Examples in all.
const SHOWN: usize = 20;

/// How often something was seen, when, and in which pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) first: UnixMillis,
    pub(super) last: UnixMillis,
    pub(super) examples: Examples,
}

impl Tally {
    pub(super) fn see(&mut self, at: UnixMillis, example: Option<PairId>) {
        self.span(at, at);
        self.count += 1;
        if let Some(id) = example {
            self.examples.add(at, id);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.span(other.first, other.last);
        self.count += other.count;
        self.examples.merge(&other.examples);
    }

    fn span(&mut self, first: UnixMillis, last: UnixMillis) {
        let fresh = self.count == 0;
        self.first = if fresh { first } else { self.first.min(first) };
        self.last = if fresh { last } else { self.last.max(last) };
    }
}

/// The first pairs, and those whose hashes are the smallest: a fair sample that merges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Examples {
    pub(super) first: Vec<(UnixMillis, PairId)>,
    pub(super) sample: Vec<PairId>,
}

impl Examples {
    pub(super) fn add(&mut self, at: UnixMillis, id: PairId) {
        keep(&mut self.first, (at, id), FIRST, |&entry| entry);
        keep(&mut self.sample, id, SHOWN, |id| (mix(id.0), *id));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for &entry in &other.first {
            keep(&mut self.first, entry, FIRST, |&entry| entry);
        }
        for &id in &other.sample {
            keep(&mut self.sample, id, SHOWN, |id| (mix(id.0), *id));
        }
    }

    /// Returns at most twenty: the first ones in order of time, then the sample.
    pub(super) fn ids(&self) -> Vec<PairId> {
        let mut ids: Vec<PairId> = self.first.iter().map(|(_, id)| *id).collect();
        for id in &self.sample {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        ids.truncate(SHOWN);
        ids
    }
}

fn keep<T: Clone, K: Ord>(list: &mut Vec<T>, entry: T, limit: usize, rank: impl Fn(&T) -> K) {
    let wanted = rank(&entry);
    match list.binary_search_by(|held| rank(held).cmp(&wanted)) {
        Err(place) if place < limit => {
            list.insert(place, entry);
            list.truncate(limit);
        }
        Ok(_) | Err(_) => {}
    }
}

/// Scatters a number (the finalizer of `SplitMix64`).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
