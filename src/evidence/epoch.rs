//! The evidence of a slice: epochs, one after the other, owned by the tick. Pure.
//!
//! An epoch is the time in which nothing that matters changed: the rules, and both versions. A
//! pair belongs to the epoch of the versions that its own answers carry; the current epoch is the
//! one whose versions were first seen last, so a rolling deploy does not flap.

use crate::evidence::book::Book;
use crate::evidence::book::Limits;
use crate::evidence::book::SetId;
use crate::evidence::book::Settled;
use crate::evidence::delta::Class;
use crate::evidence::delta::EndpointSeen;
use crate::evidence::delta::Seen;
use crate::evidence::delta::SliceDelta;
use crate::evidence::delta::Versions;
use crate::evidence::delta::sorted;
use crate::evidence::groups;
use crate::evidence::known::Known;
use crate::evidence::known::KnownEndpoint;
use crate::evidence::latency::Latencies;
use crate::evidence::learn::Learner;
use crate::evidence::parity::ALPHA;
use crate::evidence::slots::Slots;
use crate::evidence::summary::EpochView;
use crate::evidence::summary::Group;
use crate::evidence::summary::KeyView;
use crate::evidence::tally::Tally;
use crate::evidence::template::Folds;
use crate::evidence::template::OTHER;
use crate::model::Side;
use crate::model::UnixMillis;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Earlier epochs whose groups are still shown.
pub(super) const FORMER: usize = 5;
/// Groups that an earlier epoch keeps.
const FORMER_GROUPS: usize = 100;
/// Earlier versions that are remembered, so that their late pairs are known.
pub(super) const HISTORY: usize = 64;
/// Versions of the past that answer alone for this long are back.
const BACK: Duration = Duration::from_mins(10);

/// The evidence of a slice.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub(super) target: f64,
    pub(super) controls: bool,
    pub(super) current: Epoch,
    pub(super) former: VecDeque<Former>,
    pub(super) history: VecDeque<Versions>,
    pub(super) folds: Folds,
    pub(super) learner: Learner,
    pub(super) slots: Slots,
    pub(super) late: u64,
    pub(super) damaged: u64,
    pub(super) written: BTreeSet<String>,
    pub(super) dirty: Dirty,
    /// Whether everything is to be saved: the epoch is a new one, or names changed.
    pub(super) renewed: bool,
    known: Arc<Known>,
    known_by: KnownBy,
}

/// What the published knowledge was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct KnownBy {
    epoch: u64,
    folds: usize,
    settled: Vec<Settled>,
    hungry: Vec<bool>,
}

/// What changed since it was last saved, beside what the book says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dirty {
    pub(super) meta: bool,
    pub(super) folds: bool,
    pub(super) latency: bool,
}

/// The epoch that counts.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    pub(super) number: u64,
    pub(super) since: UnixMillis,
    pub(super) reason: String,
    pub(super) versions: Versions,
    /// Whether somebody announced it, so that answers without a version need a look at the clock.
    pub(super) announced: bool,
    /// When something of it was last seen.
    pub(super) last: UnixMillis,
    pub(super) book: Book,
    pub(super) latencies: Latencies,
}

/// An epoch that is over.
#[derive(Clone, Debug)]
pub(super) struct Former {
    pub(super) number: u64,
    pub(super) groups: Vec<Group>,
}

impl Evidence {
    /// Starts with nothing: `target` is the parity wanted, 0 to 1; `epoch_key` hashes the rules.
    pub fn new(target: f64, epoch_key: u64, now: UnixMillis) -> Self {
        Self {
            target,
            controls: true,
            current: Epoch {
                number: 1,
                since: now,
                reason: "first seen".to_owned(),
                versions: Versions::unknown(epoch_key),
                announced: false,
                last: now,
                book: Book::new(Limits::default()),
                latencies: Latencies::default(),
            },
            former: VecDeque::new(),
            history: VecDeque::new(),
            folds: Folds::default(),
            learner: Learner::default(),
            slots: Slots::default(),
            late: 0,
            damaged: 0,
            written: BTreeSet::new(),
            dirty: Dirty::default(),
            renewed: false,
            known: Arc::default(),
            known_by: KnownBy::default(),
        }
    }

    /// Says whether the slice has controls; without them nothing can be told from noise.
    pub fn set_controls(&mut self, controls: bool) {
        self.controls = controls;
    }

    /// Adds what workers have seen.
    pub fn absorb(&mut self, delta: SliceDelta, now: UnixMillis) {
        let mut parts = delta.parts;
        parts.sort_by(|a, b| (a.1.first, &a.0).cmp(&(b.1.first, &b.0)));
        for (versions, seen) in parts {
            if self.admit(&versions, &seen) {
                self.learn(&seen);
                self.count(seen);
            } else {
                self.late += seen.count;
            }
            self.dirty.meta = true;
        }
        self.slots.trim(now);
        self.refresh();
    }

    /// Begins a new epoch if the rules that matter have changed.
    pub fn rules_changed(&mut self, epoch_key: u64, now: UnixMillis) {
        if epoch_key != self.current.versions.rules {
            let mut versions = self.current.versions.clone();
            versions.rules = epoch_key;
            self.begin(versions, now, "rules changed".to_owned());
        }
    }

    /// Begins a new epoch if this version of a side is a new one.
    pub fn deployed(&mut self, side: Side, version: &str, now: UnixMillis) {
        let mut versions = self.current.versions.clone();
        let held = match side {
            Side::Legacy => &mut versions.legacy,
            Side::Candidate => &mut versions.candidate,
        };
        if **held != *version {
            *held = version.into();
            self.begin(versions, now, format!("{side} {version} deployed"));
            self.current.announced = true;
        }
    }

    /// Decides whether something seen belongs to the current epoch, or begins a new one with it.
    fn admit(&mut self, versions: &Versions, seen: &Seen) -> bool {
        let current = &self.current.versions;
        let mut whole = versions.clone();
        let mut guessed = false;
        for (side, held) in [
            (&mut whole.legacy, &current.legacy),
            (&mut whole.candidate, &current.candidate),
        ] {
            if &**side == Versions::UNKNOWN {
                guessed |= &**held != Versions::UNKNOWN;
                *side = Arc::clone(held);
            }
        }
        if whole == *current {
            let early = guessed && self.current.announced && seen.first < self.current.since;
            if !early {
                self.current.last = self.current.last.max(seen.last);
            }
            return !early;
        }
        if self.history.contains(&whole) {
            let back = whole.rules == current.rules && seen.last > self.current.last.plus(BACK);
            if back {
                let text = format!("candidate {} is back", whole.candidate);
                self.begin(whole, seen.first, text);
            }
            return back;
        }
        let reason = if whole.rules != current.rules {
            "rules changed".to_owned()
        } else if whole.candidate == current.candidate {
            format!("legacy {} seen", whole.legacy)
        } else {
            format!("candidate {} seen", whole.candidate)
        };
        // Failures alone name no version: those before the first answer are failures of this one.
        let named = whole.rules == current.rules
            && [
                (&whole.legacy, &current.legacy),
                (&whole.candidate, &current.candidate),
            ]
            .iter()
            .all(|(seen, held)| seen == held || ***held == *Versions::UNKNOWN);
        if named && self.current.book.is_blank() && self.current.latencies.pairs == 0 {
            self.rename(whole, seen.first);
        } else {
            self.begin(whole, seen.first, reason);
        }
        self.current.last = seen.last;
        true
    }

    /// Goes on with the current epoch under other versions.
    fn rename(&mut self, versions: Versions, now: UnixMillis) {
        self.history.retain(|old| *old != versions);
        let old = std::mem::replace(&mut self.current.versions, versions);
        self.remember(old);
        self.current.since = now;
        self.current.announced = false;
        self.dirty.meta = true;
    }

    /// Begins a new epoch; one in which nothing was seen only changes its versions.
    fn begin(&mut self, versions: Versions, now: UnixMillis, reason: String) {
        let book = &self.current.book;
        if book.is_blank() && book.totals().0 == 0 && self.current.latencies.pairs == 0 {
            return self.rename(versions, now);
        }
        self.history.retain(|old| *old != versions);
        self.dirty.meta = true;
        let mut groups = self.groups();
        groups.truncate(FORMER_GROUPS);
        for group in &mut groups {
            group.current = false;
        }
        let number = self.current.number;
        if !groups.is_empty() {
            self.former.push_front(Former { number, groups });
            self.former.truncate(FORMER);
        }
        let limits = self.current.book.limits;
        let next = Epoch {
            number: number + 1,
            since: now,
            reason,
            versions,
            announced: false,
            last: now,
            book: Book::new(limits),
            latencies: Latencies::default(),
        };
        let old = std::mem::replace(&mut self.current, next);
        self.remember(old.versions);
        self.renewed = true;
        self.refresh();
    }

    fn remember(&mut self, versions: Versions) {
        self.history.push_front(versions);
        self.history.truncate(HISTORY);
    }

    /// Lets the learner see names, and folds the book where a place became crowded.
    fn learn(&mut self, seen: &Seen) {
        let mut folded = false;
        let mut endpoints: Vec<_> = seen.endpoints.iter().collect();
        endpoints.sort_unstable_by_key(|(name, _)| *name);
        for (endpoint, seen) in endpoints {
            let name = self.folds.again(endpoint);
            let count = seen.equal + seen.sets.values().map(|t| t.count).sum::<u64>();
            folded |= self.learner.endpoint(&mut self.folds, &name, count.max(1));
            let sets = seen
                .sets
                .iter()
                .map(|(set, tally)| (&set.keys, tally.count));
            let controls = seen.controls.iter().map(|(keys, count)| (keys, *count));
            for (keys, count) in sets.chain(controls) {
                for key in keys {
                    let field = self.folds.field(&name, key);
                    folded |= self.learner.key(&mut self.folds, &name, &field.path, count);
                }
            }
            for (key, _) in seen.discordant.iter().flat_map(|(_, keys)| keys) {
                let field = self.folds.field(&name, key);
                folded |= self.learner.key(&mut self.folds, &name, &field.path, 1);
            }
        }
        if folded {
            self.current.book = self.current.book.folded(&self.folds);
            self.dirty.folds = true;
            self.renewed = true;
        }
    }

    fn count(&mut self, seen: Seen) {
        self.current.book.mixed += seen.mixed;
        let mut touched = BTreeSet::new();
        for (name, seen) in sorted(seen.endpoints) {
            self.count_endpoint(&name, seen, &mut touched);
        }
        let book = &mut self.current.book;
        if book.judge(&touched) {
            book.strike();
        }
        book.restart_if_they_fit();
        for (at, legacy_us, candidate_us) in seen.latency {
            self.current.latencies.add(legacy_us, candidate_us);
            self.slots.latency(at, legacy_us, candidate_us);
            self.dirty.latency = true;
        }
    }

    fn count_endpoint(&mut self, name: &str, seen: EndpointSeen, touched: &mut BTreeSet<u32>) {
        let (book, folds) = (&mut self.current.book, &self.folds);
        let endpoint = book.endpoint(&folds.again(name));
        let name = Arc::clone(&book.at(endpoint).name);
        let held = book.at_mut(endpoint);
        held.n += seen.equal;
        held.triples += seen.triples;
        book.triples += seen.triples;
        let (mut n, mut f) = (seen.equal, 0);
        for (set, tally) in sorted(seen.sets) {
            n += tally.count;
            let keys: BTreeSet<u32> = set
                .keys
                .iter()
                .map(|key| book.key(endpoint, &folds.field(&name, key)))
                .collect();
            for &key in &keys {
                let key = book.key_mut(key);
                key.pairs += tally.count;
                key.see(tally.first, tally.last);
            }
            let id = SetId {
                endpoint,
                status: set.status,
                class: set.class,
                keys: keys.into_iter().collect(),
            };
            f += book.enter(id, &tally);
        }
        for (keys, count) in sorted(seen.controls) {
            book.at_mut(endpoint).controls += count;
            let keys = keys
                .iter()
                .map(|key| book.key(endpoint, &folds.field(&name, key)))
                .collect();
            let tally = Tally {
                count,
                first: seen.at,
                last: seen.at,
                ..Tally::default()
            };
            let id = SetId {
                endpoint,
                status: (0, 0),
                class: Class::Control,
                keys,
            };
            book.enter(id, &tally);
        }
        for (at, discord) in &seen.discordant {
            book.triple(folds, endpoint, *at, discord, touched);
        }
        if n > 0 {
            self.slots.pairs(seen.at, n, f);
        }
    }

    /// Computes what follows from the counts: bounds, and what workers may know.
    pub(super) fn refresh(&mut self) {
        let book = &mut self.current.book;
        book.settle_bounds(1.0 - self.target, ALPHA);
        let by = KnownBy {
            epoch: self.current.number,
            folds: self.folds.places.len(),
            settled: book.keys.iter().map(|key| key.settled).collect(),
            hungry: book.hungry(),
        };
        if by != self.known_by {
            self.known = Arc::new(self.make_known(&by.hungry));
            self.known_by = by;
        }
    }

    fn make_known(&self, hungry: &[bool]) -> Known {
        let book = &self.current.book;
        let noisy = |place: u32| book.key_at(place).settled == Settled::Noisy;
        let endpoints = book.endpoints.iter().zip(hungry);
        let endpoints = endpoints.map(|(seen, &hungry)| {
            let keys = seen.keys.iter();
            let keys = keys.map(|(key, &place)| (key.clone(), noisy(place)));
            let known = KnownEndpoint {
                keys: keys.collect(),
                hungry,
            };
            (Arc::clone(&seen.name), known)
        });
        let shared = book
            .keys
            .iter()
            .filter(|key| &*key.field.path == OTHER && key.settled == Settled::Noisy);
        Known {
            folds: self.folds.clone(),
            endpoints: endpoints.collect(),
            endpoints_full: book.endpoints.len() >= book.limits.endpoints,
            keys_full: book.keys.len() >= book.limits.keys,
            other_noisy: shared.map(|key| key.field.kind).collect(),
        }
    }

    /// Returns what workers may know.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Returns the epoch that counts.
    pub fn epoch(&self) -> EpochView {
        EpochView {
            number: self.current.number,
            since: self.current.since,
            reason: self.current.reason.clone(),
            legacy: Arc::clone(&self.current.versions.legacy),
            candidate: Arc::clone(&self.current.versions.candidate),
        }
    }

    /// Returns the divergence groups of this epoch, the most frequent first.
    pub fn groups(&self) -> Vec<Group> {
        let book = &self.current.book;
        book.groups(groups::Part::Divergence, self.controls, self.current.number)
    }

    /// Returns what is being checked, the most frequent first.
    pub fn checking(&self) -> Vec<Group> {
        let book = &self.current.book;
        book.groups(groups::Part::Checking, self.controls, self.current.number)
    }

    /// Returns the groups of earlier epochs, the latest epoch first.
    pub fn earlier(&self) -> Vec<Group> {
        let former = self.former.iter();
        former.flat_map(|f| f.groups.iter().cloned()).collect()
    }

    /// Returns every key, those seen most often first.
    pub fn keys(&self) -> Vec<KeyView> {
        self.current.book.key_views(self.controls)
    }
}
