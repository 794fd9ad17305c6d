//! What workers have seen since the tick last took it: plain counts that add up in any order. Pure.

use crate::evidence::tally::Tally;
use crate::model::FieldKey;
use crate::model::PairId;
use crate::model::SliceId;
use crate::model::UnixMillis;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Entries that a delta holds before its worker must shed: about 20 MB of keys and sets.
const FULL: usize = 100_000;

/// Under which rules and between which versions something was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Versions {
    /// The epoch key of the slice in the table that the request was decided by.
    pub rules: u64,
    /// Legacy's version, or [`Versions::UNKNOWN`].
    pub legacy: Arc<str>,
    /// The candidate's version, or [`Versions::UNKNOWN`], as where it gave no answer.
    pub candidate: Arc<str>,
}

impl Versions {
    /// The version of an answer that names none.
    pub const UNKNOWN: &'static str = "unknown";

    /// Returns two versions that nothing is known about.
    pub fn unknown(rules: u64) -> Self {
        Self {
            rules,
            legacy: Self::UNKNOWN.into(),
            candidate: Self::UNKNOWN.into(),
        }
    }
}

/// A request that both sides were asked, and what came of it.
#[derive(Clone, Debug)]
pub struct PairSeen {
    /// The pair's id, if an example of it was kept.
    pub example: Option<PairId>,
    /// When it was compared.
    pub at: UnixMillis,
    /// The endpoint template, from [`Known::endpoint`](crate::evidence::Known::endpoint).
    pub endpoint: Arc<str>,
    /// Legacy's status and the candidate's.
    pub status: (u16, u16),
    /// The versions that the two answers carry.
    pub versions: Versions,
    /// How they compare.
    pub verdict: PairVerdict,
}

/// How the answers of a comparable pair compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairVerdict {
    /// The same, echoes of our own fields aside.
    Equal,
    /// At these keys they differ, noisy ones included.
    Differs(Vec<FieldKey>),
    /// The candidate gave no complete answer.
    CandidateError,
    /// The candidate did not answer in time.
    Timeout,
}

/// A sandwiched triple: legacy, then the candidate, then legacy again.
#[derive(Clone, Debug)]
pub struct TripleSeen {
    /// When it was compared.
    pub at: UnixMillis,
    /// The endpoint template.
    pub endpoint: Arc<str>,
    /// The versions of legacy's first answer and of the candidate's.
    pub versions: Versions,
    /// The version of legacy's second answer.
    pub legacy_again: Arc<str>,
    /// From `discord`.
    pub discord: Vec<(FieldKey, Discord)>,
}

/// Who differs from legacy's first answer at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discord {
    /// Only the candidate.
    Candidate,
    /// Only legacy's second answer.
    Legacy,
    /// Both.
    Both,
}

/// Legacy's two answers to one request, of either half of the controls.
#[derive(Clone, Debug)]
pub struct ControlSeen {
    /// When they were compared.
    pub at: UnixMillis,
    /// The endpoint template.
    pub endpoint: Arc<str>,
    /// The versions of legacy's first answer and of the candidate that was asked or would be.
    pub versions: Versions,
    /// At these keys they differ.
    pub differs: Vec<FieldKey>,
}

/// Times to first byte of the second calls of both sides.
#[derive(Clone, Debug)]
pub struct LatencySeen {
    /// When the later one ended.
    pub at: UnixMillis,
    /// The versions of both answers.
    pub versions: Versions,
    /// Legacy's time, in microseconds.
    pub legacy_us: u64,
    /// The candidate's time, in microseconds; none if it failed or timed out.
    pub candidate_us: Option<u64>,
}

/// What one worker has seen, slice by slice.
#[derive(Debug, Default)]
pub struct Delta {
    slices: BTreeMap<SliceId, SliceDelta>,
    weight: usize,
}

impl Delta {
    /// Returns whether nothing more fits, so that the worker sheds the job before it compares.
    pub fn is_full(&self) -> bool {
        self.weight >= FULL
    }

    /// Returns what was seen, slice by slice.
    pub fn slices(self) -> impl Iterator<Item = (SliceId, SliceDelta)> {
        self.slices.into_iter()
    }

    /// Adds a pair.
    pub fn pair(&mut self, slice: &SliceId, pair: PairSeen) {
        self.weight += self.of(slice).pair(pair);
    }

    /// Adds a triple.
    pub fn triple(&mut self, slice: &SliceId, triple: TripleSeen) {
        self.weight += self.of(slice).triple(triple);
    }

    /// Adds a control pair.
    pub fn control(&mut self, slice: &SliceId, control: ControlSeen) {
        self.weight += self.of(slice).control(control);
    }

    /// Adds a latency pair.
    pub fn latency(&mut self, slice: &SliceId, latency: LatencySeen) {
        self.weight += self.of(slice).latency(latency);
    }

    fn of(&mut self, slice: &SliceId) -> &mut SliceDelta {
        if !self.slices.contains_key(slice) {
            self.slices.insert(slice.clone(), SliceDelta::default());
        }
        self.slices
            .get_mut(slice)
            .expect("the slice was inserted above")
    }
}

/// What was seen of one slice.
#[derive(Debug, Default)]
pub struct SliceDelta {
    pub(super) parts: Vec<(Versions, Seen)>,
}

impl SliceDelta {
    /// Adds what another worker has seen.
    pub fn merge(&mut self, other: Self) {
        for (versions, seen) in other.parts {
            self.part(&versions, seen.first, seen.last).merge(seen);
        }
    }

    fn part(&mut self, versions: &Versions, first: UnixMillis, last: UnixMillis) -> &mut Seen {
        let place = self.parts.iter().position(|(v, _)| v == versions);
        let place = place.unwrap_or_else(|| {
            let seen = Seen {
                first,
                last,
                ..Seen::default()
            };
            self.parts.push((versions.clone(), seen));
            self.parts.len() - 1
        });
        let seen = &mut self.parts[place].1;
        seen.first = seen.first.min(first);
        seen.last = seen.last.max(last);
        seen
    }

    fn pair(&mut self, pair: PairSeen) -> usize {
        let PairSeen {
            example,
            at,
            endpoint,
            ..
        } = pair;
        let seen = self.part(&pair.versions, at, at);
        seen.count += 1;
        let (seen, mut weight) = seen.endpoint(&endpoint);
        seen.at = seen.at.max(at);
        let (class, keys) = match pair.verdict {
            PairVerdict::Equal => {
                seen.equal += 1;
                return weight;
            }
            PairVerdict::Differs(mut keys) => {
                keys.sort_unstable();
                keys.dedup();
                (Class::Keys, keys)
            }
            PairVerdict::CandidateError => (Class::Error, Vec::new()),
            PairVerdict::Timeout => (Class::Timeout, Vec::new()),
        };
        let status = match class {
            Class::Keys | Class::Control => pair.status,
            Class::Error | Class::Timeout => (pair.status.0, 0),
        };
        let set = SetSeen {
            status,
            class,
            keys,
        };
        weight += match seen.sets.entry(set) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().see(at, example);
                0
            }
            Entry::Vacant(entry) => {
                let weight = 4 + entry.key().keys.len();
                entry.insert(Tally::default()).see(at, example);
                weight
            }
        };
        weight
    }

    fn triple(&mut self, triple: TripleSeen) -> usize {
        let at = triple.at;
        let seen = self.part(&triple.versions, at, at);
        seen.count += 1;
        if triple.versions.legacy != triple.legacy_again {
            seen.mixed += 1;
            return 0;
        }
        let (seen, mut weight) = seen.endpoint(&triple.endpoint);
        seen.triples += 1;
        if !triple.discord.is_empty() {
            weight += 2 + triple.discord.len();
            seen.discordant.push((at, triple.discord));
        }
        weight
    }

    fn control(&mut self, control: ControlSeen) -> usize {
        let at = control.at;
        let seen = self.part(&control.versions, at, at);
        seen.count += 1;
        let (seen, weight) = seen.endpoint(&control.endpoint);
        let mut keys = control.differs;
        keys.sort_unstable();
        keys.dedup();
        let size = 2 + keys.len();
        match seen.controls.entry(keys) {
            Entry::Occupied(mut entry) => {
                *entry.get_mut() += 1;
                weight
            }
            Entry::Vacant(entry) => {
                entry.insert(1);
                weight + size
            }
        }
    }

    fn latency(&mut self, latency: LatencySeen) -> usize {
        let LatencySeen { at, versions, .. } = latency;
        let seen = self.part(&versions, at, at);
        seen.count += 1;
        seen.latency
            .push((at, latency.legacy_us, latency.candidate_us));
        1
    }
}

/// What was seen under one pair of versions.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) first: UnixMillis,
    pub(super) last: UnixMillis,
    /// Everything that was added, for counting what comes late.
    pub(super) count: u64,
    pub(super) mixed: u64,
    pub(super) endpoints: HashMap<Arc<str>, EndpointSeen>,
    pub(super) latency: Vec<(UnixMillis, u64, Option<u64>)>,
}

impl Seen {
    fn endpoint(&mut self, endpoint: &Arc<str>) -> (&mut EndpointSeen, usize) {
        let weight = if self.endpoints.contains_key(endpoint) {
            0
        } else {
            self.endpoints
                .insert(Arc::clone(endpoint), EndpointSeen::default());
            4
        };
        let seen = self
            .endpoints
            .get_mut(endpoint)
            .expect("the endpoint was inserted above");
        (seen, weight)
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.mixed += other.mixed;
        self.latency.extend(other.latency);
        for (endpoint, seen) in sorted(other.endpoints) {
            self.endpoint(&endpoint).0.merge(seen);
        }
    }
}

/// Returns the entries in the order of their keys, so that chance decides nothing.
pub(super) fn sorted<K: Ord, V>(map: HashMap<K, V>) -> Vec<(K, V)> {
    let mut entries: Vec<_> = map.into_iter().collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    entries
}

/// What was seen of one endpoint.
#[derive(Debug, Default)]
pub(super) struct EndpointSeen {
    pub(super) at: UnixMillis,
    pub(super) equal: u64,
    pub(super) sets: HashMap<SetSeen, Tally>,
    pub(super) triples: u64,
    /// Triples in which somebody differs, each whole: places fold later, triple by triple.
    pub(super) discordant: Vec<(UnixMillis, Vec<(FieldKey, Discord)>)>,
    pub(super) controls: HashMap<Vec<FieldKey>, u64>,
}

impl EndpointSeen {
    fn merge(&mut self, other: Self) {
        self.at = self.at.max(other.at);
        self.equal += other.equal;
        self.triples += other.triples;
        for (set, tally) in sorted(other.sets) {
            self.sets.entry(set).or_default().merge(&tally);
        }
        self.discordant.extend(other.discordant);
        for (keys, count) in sorted(other.controls) {
            *self.controls.entry(keys).or_default() += count;
        }
    }
}

/// Why the pairs of a set count as different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    /// Keys differ.
    Keys,
    /// The candidate gave no complete answer.
    Error,
    /// The candidate did not answer in time.
    Timeout,
    /// Legacy's own two answers differ.
    Control,
}

/// A set as a worker names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SetSeen {
    pub(super) status: (u16, u16),
    pub(super) class: Class,
    pub(super) keys: Vec<FieldKey>,
}

/// What triples say about a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Discords {
    pub(super) b: u64,
    pub(super) c: u64,
    pub(super) both: u64,
    /// When one side alone first differed.
    pub(super) first: Option<UnixMillis>,
}

impl Discords {
    pub(super) fn see(&mut self, at: UnixMillis, discord: Discord) {
        match discord {
            Discord::Candidate => self.b += 1,
            Discord::Legacy => self.c += 1,
            Discord::Both => self.both += 1,
        }
        if discord != Discord::Both {
            self.first = Some(self.first.map_or(at, |first| first.min(at)));
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.b += other.b;
        self.c += other.c;
        self.both += other.both;
        self.first = match (self.first, other.first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
