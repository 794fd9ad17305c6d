//! The counts of an epoch: endpoints, keys, sets of keys. Pure.
//!
//! A pair is counted under the set of keys at which it differs, keys found noisy left out. So when
//! a key becomes noisy it is struck from every set, sets that are now equal are added together,
//! and the pairs of the empty set count as masked: the verdict reclassifies the whole epoch.

use crate::evidence::delta::Class;
use crate::evidence::delta::Discords;
use crate::evidence::parity::k1_bounds;
use crate::evidence::tally::Tally;
use crate::evidence::template::Folds;
use crate::evidence::template::OTHER;
use crate::model::FieldKey;
use crate::model::UnixMillis;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

/// How much a slice may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Sets of keys; over it parity is not known yet.
    pub(super) sets: usize,
    /// Keys; over it a shared one for each kind.
    pub(super) keys: usize,
    /// Endpoints; over it a shared one.
    pub(super) endpoints: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sets: 20_000,
            keys: 2_000,
            endpoints: 2_000,
        }
    }
}

/// One endpoint template. Its pairs are equal, masked, or in a set: `n − masked − f` are equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Endpoint {
    pub(super) name: Arc<str>,
    pub(super) n: u64,
    pub(super) masked: u64,
    pub(super) f: u64,
    pub(super) triples: u64,
    /// Controls of either half, ever in this epoch.
    pub(super) controls: u64,
    /// Controls that count for legacy's parity with itself, and those that differ.
    pub(super) control_n: u64,
    pub(super) control_f: u64,
    pub(super) keys: HashMap<FieldKey, u32>,
    /// The bounds of its parity, computed when `n` or `f` moved.
    pub(super) bounds: (f64, f64),
}

/// Whether a key is decided for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Settled {
    #[default]
    Open,
    Noisy,
    Regression,
}

/// One key of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) endpoint: u32,
    pub(super) field: FieldKey,
    pub(super) discords: Discords,
    /// Pairs in which it was seen, candidate against legacy.
    pub(super) pairs: u64,
    pub(super) seen: Option<(UnixMillis, UnixMillis)>,
    pub(super) rank: Option<u64>,
    pub(super) settled: Settled,
}

impl Key {
    pub(super) fn see(&mut self, first: UnixMillis, last: UnixMillis) {
        let (a, b) = self.seen.unwrap_or((first, last));
        self.seen = Some((a.min(first), b.max(last)));
    }

    /// Controls in which legacy differs from itself here.
    ///
    /// A triple in which the candidate differs at more places does not say so: there the question
    /// is whose change it is, and noise must not be the answer to that.
    pub(super) fn noise(&self) -> u64 {
        self.discords.c.saturating_add(self.discords.both)
    }
}

/// A set of keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SetId {
    pub(super) endpoint: u32,
    pub(super) status: (u16, u16),
    pub(super) class: Class,
    /// Sorted, each once, none of them noisy.
    pub(super) keys: Box<[u32]>,
}

/// The counts of an epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) limits: Limits,
    pub(super) endpoints: Vec<Endpoint>,
    index: HashMap<Arc<str>, u32>,
    pub(super) keys: Vec<Key>,
    pub(super) sets: HashMap<SetId, Tally>,
    pub(super) triples: u64,
    pub(super) ranks: u64,
    pub(super) learning: bool,
    pub(super) restarts: u64,
    pub(super) reclassified: u64,
    pub(super) key_overflow: u64,
    pub(super) endpoint_overflow: u64,
    pub(super) mixed: u64,
    /// Endpoints that changed since they were last saved.
    pub(super) dirty: BTreeSet<u32>,
    /// Buckets of sets that did.
    pub(super) dirty_sets: BTreeSet<u8>,
    /// Endpoints whose bounds are to be computed.
    moved: BTreeSet<u32>,
}

impl Book {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Returns the place of an endpoint, or of the shared one where no more fit.
    pub(super) fn endpoint(&mut self, name: &str) -> u32 {
        if let Some(&place) = self.index.get(name) {
            return place;
        }
        if self.endpoints.len() >= self.limits.endpoints && name != OTHER {
            self.endpoint_overflow += 1;
            return self.endpoint(OTHER);
        }
        let name: Arc<str> = name.into();
        let place = u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX);
        self.endpoints.push(Endpoint {
            name: Arc::clone(&name),
            bounds: (0.0, 1.0),
            ..Endpoint::default()
        });
        self.index.insert(name, place);
        place
    }

    /// Returns the place of a key, or of the shared one of its kind where no more fit.
    pub(super) fn key(&mut self, endpoint: u32, key: &FieldKey) -> u32 {
        if &*key.path == OTHER && &*self.at(endpoint).name != OTHER {
            let other = self.endpoint(OTHER);
            return self.key(other, key);
        }
        if let Some(&place) = self.at(endpoint).keys.get(key) {
            return place;
        }
        if self.keys.len() >= self.limits.keys && &*key.path != OTHER {
            self.key_overflow += 1;
            let other = self.endpoint(OTHER);
            return self.key(other, &FieldKey::new(OTHER, key.kind));
        }
        let place = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.push(Key {
            endpoint,
            field: key.clone(),
            discords: Discords::default(),
            pairs: 0,
            seen: None,
            rank: None,
            settled: Settled::Open,
        });
        self.at_mut(endpoint).keys.insert(key.clone(), place);
        place
    }

    pub(super) fn at(&self, endpoint: u32) -> &Endpoint {
        &self.endpoints[endpoint as usize]
    }

    pub(super) fn at_mut(&mut self, endpoint: u32) -> &mut Endpoint {
        self.dirty.insert(endpoint);
        self.moved.insert(endpoint);
        &mut self.endpoints[endpoint as usize]
    }

    pub(super) fn key_at(&self, key: u32) -> &Key {
        &self.keys[key as usize]
    }

    pub(super) fn key_mut(&mut self, key: u32) -> &mut Key {
        let key = &mut self.keys[key as usize];
        self.dirty.insert(key.endpoint);
        key
    }

    /// Triples in which a key could have been seen.
    pub(super) fn triples_of(&self, key: &Key) -> u64 {
        if &*key.field.path == OTHER {
            self.triples
        } else {
            self.at(key.endpoint).triples
        }
    }

    /// Counts pairs, or controls, that differ at these keys; returns how many count as different.
    pub(super) fn enter(&mut self, mut id: SetId, tally: &Tally) -> u64 {
        let mut keys = id.keys.into_vec();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|&key| self.key_at(key).settled != Settled::Noisy);
        id.keys = keys.into();
        let (endpoint, class, count) = (id.endpoint, id.class, tally.count);
        if id.is_masked() {
            let seen = self.at_mut(endpoint);
            if class == Class::Control {
                seen.control_n += count;
            } else {
                seen.n += count;
                seen.masked += count;
            }
            return 0;
        }
        if !self.sets.contains_key(&id) && self.sets.len() >= self.limits.sets {
            self.learning = true;
            return count;
        }
        self.dirty_sets.insert(self.bucket(&id));
        self.sets.entry(id).or_default().merge(tally);
        let seen = self.at_mut(endpoint);
        if class == Class::Control {
            seen.control_n += count;
            seen.control_f += count;
        } else {
            seen.n += count;
            seen.f += count;
        }
        count
    }

    /// Strikes noisy keys from every set, and adds together the sets that are now equal.
    pub(super) fn strike(&mut self) {
        let keys = &self.keys;
        let noisy = |key: &u32| keys[*key as usize].settled == Settled::Noisy;
        let mut struck: Vec<_> = self
            .sets
            .extract_if(|id, _| id.keys.iter().any(noisy))
            .collect();
        struck.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (mut id, tally) in struck {
            self.dirty_sets.insert(self.bucket(&id));
            let (endpoint, class, count) = (id.endpoint, id.class, tally.count);
            id.keys = id
                .keys
                .iter()
                .copied()
                .filter(|&key| self.key_at(key).settled != Settled::Noisy)
                .collect();
            if !id.is_masked() {
                self.dirty_sets.insert(self.bucket(&id));
                self.sets.entry(id).or_default().merge(&tally);
                continue;
            }
            if class == Class::Control {
                self.at_mut(endpoint).control_f -= count;
            } else {
                let seen = self.at_mut(endpoint);
                seen.f -= count;
                seen.masked += count;
                self.reclassified += count;
            }
        }
    }

    /// Begins counting anew once the sets that outgrew their bound fit well.
    pub(super) fn restart_if_they_fit(&mut self) {
        if !self.learning || self.sets.len() > self.limits.sets / 4 * 3 {
            return;
        }
        self.learning = false;
        self.restarts += 1;
        self.reclassified = 0;
        self.clear(|_| true);
    }

    /// Forgets the pairs of some endpoints; what triples say about their keys stays.
    pub(super) fn clear(&mut self, which: impl Fn(u32) -> bool) {
        let gone: BTreeSet<u8> = self
            .sets
            .keys()
            .filter(|id| which(id.endpoint))
            .map(|id| self.bucket(id))
            .collect();
        self.sets.retain(|id, _| !which(id.endpoint));
        self.dirty_sets.extend(gone);
        for place in 0..u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX) {
            if which(place) {
                let seen = self.at_mut(place);
                (seen.n, seen.masked, seen.f) = (0, 0, 0);
                (seen.control_n, seen.control_f) = (0, 0);
            }
        }
    }

    /// Computes the bounds of the endpoints that moved, and says whether any did.
    pub(super) fn settle_bounds(&mut self, q0: f64, alpha: f64) -> bool {
        let moved = std::mem::take(&mut self.moved);
        for &place in &moved {
            let seen = &mut self.endpoints[place as usize];
            seen.bounds = k1_bounds(seen.n, seen.f, q0, alpha);
        }
        !moved.is_empty()
    }

    /// Returns `n` and `f` of all endpoints together.
    pub(super) fn totals(&self) -> (u64, u64) {
        let add = |(n, f), seen: &Endpoint| (n + seen.n, f + seen.f);
        self.endpoints.iter().fold((0, 0), add)
    }

    /// Returns the controls, and how many of them differ.
    pub(super) fn control_totals(&self) -> (u64, u64) {
        let add = |(n, f), seen: &Endpoint| (n + seen.control_n, f + seen.control_f);
        self.endpoints.iter().fold((0, 0), add)
    }

    /// Returns the sets in a fixed order.
    pub(super) fn sorted_sets(&self) -> Vec<(&SetId, &Tally)> {
        let mut sets: Vec<_> = self.sets.iter().collect();
        sets.sort_unstable_by(|a, b| a.0.cmp(b.0));
        sets
    }

    /// Returns the bucket that a set is saved in: by names, which places do not outlive.
    pub(super) fn bucket(&self, id: &SetId) -> u8 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        hash.update(self.at(id.endpoint).name.as_bytes());
        hash.update(&id.status.0.to_le_bytes());
        hash.update(&id.status.1.to_le_bytes());
        let mut keys: Vec<&FieldKey> = id.keys.iter().map(|&k| &self.key_at(k).field).collect();
        keys.sort_unstable();
        for key in keys {
            hash.update(key.path.as_bytes());
        }
        hash.digest().to_le_bytes()[0]
    }

    /// Names everything anew after places were folded: what is now equal is added together.
    ///
    /// Of keys that become one, the earliest rank stays, and the gravest verdict.
    #[must_use]
    pub(super) fn folded(&self, folds: &Folds) -> Self {
        let mut book = Self::new(self.limits);
        let endpoints: Vec<u32> = self
            .endpoints
            .iter()
            .map(|old| {
                let place = book.endpoint(&folds.again(&old.name));
                let new = book.at_mut(place);
                new.n += old.n - old.f;
                new.masked += old.masked;
                new.triples += old.triples;
                new.controls += old.controls;
                new.control_n += old.control_n - old.control_f;
                place
            })
            .collect();
        let keys: Vec<u32> = self
            .keys
            .iter()
            .map(|old| {
                let endpoint = endpoints[old.endpoint as usize];
                let name = Arc::clone(&book.at(endpoint).name);
                let place = book.key(endpoint, &folds.field(&name, &old.field));
                let new = book.key_mut(place);
                new.discords.merge(old.discords);
                new.pairs += old.pairs;
                if let Some((first, last)) = old.seen {
                    new.see(first, last);
                }
                new.rank = new.rank.into_iter().chain(old.rank).min();
                new.settled = new.settled.max(old.settled);
                place
            })
            .collect();
        book.reclassified = self.reclassified;
        for (id, tally) in self.sorted_sets() {
            let id = SetId {
                endpoint: endpoints[id.endpoint as usize],
                keys: id.keys.iter().map(|&key| keys[key as usize]).collect(),
                ..id.clone()
            };
            let class = id.class;
            if book.enter(id, tally) == 0 && class == Class::Keys {
                book.reclassified += tally.count;
            }
        }
        book.triples = self.triples;
        book.ranks = self.ranks;
        book.learning = self.learning;
        book.restarts = self.restarts;
        book.key_overflow = self.key_overflow;
        book.endpoint_overflow = self.endpoint_overflow;
        book.mixed = self.mixed;
        book
    }

    /// Returns whether no answer of the candidate was seen, and nothing else that versions name.
    pub(super) fn is_blank(&self) -> bool {
        let no_answer = |id: &SetId| matches!(id.class, Class::Error | Class::Timeout);
        let errors: u64 = self
            .sets
            .iter()
            .filter(|(id, _)| no_answer(id))
            .map(|(_, tally)| tally.count)
            .sum();
        let pairs = self.totals().0;
        pairs == errors && self.triples == 0 && self.endpoints.iter().all(|e| e.controls == 0)
    }
}

impl SetId {
    /// Returns whether nothing of it counts.
    fn is_masked(&self) -> bool {
        self.keys.is_empty() && matches!(self.class, Class::Keys | Class::Control)
    }
}
