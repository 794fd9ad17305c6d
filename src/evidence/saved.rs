//! How the evidence outlives the process: small parts, of which only the changed ones are written.
//! Pure.
//!
//! A part is eight bytes of XXH3-64 over the rest, then JSON. Names, not places, tie parts to each
//! other. A damaged part is dropped and counted; an endpoint whose pairs then no longer add up
//! counts anew from nothing, since parity must not look better by a loss.

use crate::evidence::book::Book;
use crate::evidence::book::SetId;
use crate::evidence::book::Settled;
use crate::evidence::delta::Class;
use crate::evidence::delta::Discords;
use crate::evidence::epoch::Dirty;
use crate::evidence::epoch::Evidence;
use crate::evidence::epoch::FORMER;
use crate::evidence::epoch::Former;
use crate::evidence::epoch::HISTORY;
use crate::evidence::latency::Latencies;
use crate::evidence::latency::Times;
use crate::evidence::rows;
use crate::evidence::rows::sane;
use crate::evidence::slots::Counted;
use crate::evidence::slots::KEPT;
use crate::evidence::tally::Examples;
use crate::evidence::tally::Tally;
use crate::model::FieldKey;
use crate::model::Kind;
use crate::model::PairId;
use crate::model::UnixMillis;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// A piece of saved evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name, unique in the slice.
    pub name: String,
    /// Its content; none to delete it.
    pub data: Option<Vec<u8>>,
}

const META: &str = "meta";
const FOLDS: &str = "folds";
const LATENCY: &str = "latency";

impl Evidence {
    /// Returns what has changed since the last call; store all of it or, better, none.
    pub fn save(&mut self) -> Vec<Part> {
        let dirty = std::mem::take(&mut self.dirty);
        let renewed = std::mem::take(&mut self.renewed);
        let mut parts = Parts::default();
        if renewed {
            let book = &mut self.current.book;
            book.dirty
                .extend(0..u32::try_from(book.endpoints.len()).unwrap_or(u32::MAX));
            book.dirty_sets.extend(0..=u8::MAX);
        }
        let book_changed = !self.current.book.dirty.is_empty();
        if dirty.meta || renewed || book_changed {
            parts.put(META, &self.meta());
        }
        if dirty.folds {
            parts.put(FOLDS, &rows::Folds::of(&self.folds));
        }
        if dirty.latency || renewed {
            parts.put(LATENCY, &self.latency_row());
        }
        self.save_book(&mut parts);
        for number in std::mem::take(&mut self.slots.dirty) {
            if let Some(slot) = self.slots.slots.get(&number) {
                let name = format!("t/{}", number.rem_euclid(KEPT));
                parts.put(&name, &rows::Slot::of(number, slot));
            }
        }
        if renewed {
            for former in &self.former {
                let row = rows::Former::of(former);
                parts.put(&format!("f/{}", former.number), &row);
            }
        }
        if renewed {
            self.forget_stale(&mut parts);
        }
        let parts = parts.0;
        for part in &parts {
            if part.data.is_some() {
                self.written.insert(part.name.clone());
            } else {
                self.written.remove(&part.name);
            }
        }
        parts
    }

    /// Returns everything, for a store that has nothing of it.
    pub fn save_all(&mut self) -> Vec<Part> {
        self.dirty = Dirty {
            meta: true,
            folds: true,
            latency: true,
        };
        self.renewed = true;
        let slots = self.slots.slots.keys().copied();
        self.slots.dirty = slots.collect();
        self.save()
    }

    fn save_book(&mut self, parts: &mut Parts) {
        let number = self.current.number;
        let book = &mut self.current.book;
        for place in std::mem::take(&mut book.dirty) {
            let row = rows::Endpoint::of(book, place, number);
            parts.put(&endpoint_part(&row.name), &row);
        }
        let dirty = std::mem::take(&mut book.dirty_sets);
        if dirty.is_empty() {
            return;
        }
        let mut buckets: BTreeMap<u8, Vec<rows::Set>> =
            dirty.iter().map(|&bucket| (bucket, Vec::new())).collect();
        for (id, tally) in book.sorted_sets() {
            if let Some(rows) = buckets.get_mut(&book.bucket(id)) {
                rows.push(rows::Set::of(book, id, tally));
            }
        }
        for (bucket, sets) in buckets {
            let name = format!("s/{bucket:02x}");
            if !sets.is_empty() {
                parts.put(
                    &name,
                    &rows::Sets {
                        epoch: number,
                        sets,
                    },
                );
            } else if self.written.contains(&name) {
                parts.0.push(Part { name, data: None });
            }
        }
    }

    /// Deletes what an earlier epoch left.
    fn forget_stale(&self, parts: &mut Parts) {
        let kept: BTreeSet<String> = self
            .former
            .iter()
            .map(|f| format!("f/{}", f.number))
            .collect();
        let fresh: BTreeSet<&str> = parts.0.iter().map(|part| part.name.as_str()).collect();
        let gone: Vec<String> = self
            .written
            .iter()
            .filter(|name| {
                let old = name.starts_with("e/") || name.starts_with("f/") && !kept.contains(*name);
                old && !fresh.contains(name.as_str())
            })
            .cloned()
            .collect();
        let gone = gone.into_iter().map(|name| Part { name, data: None });
        parts.0.extend(gone);
    }

    fn meta(&self) -> rows::Meta {
        let (current, book) = (&self.current, &self.current.book);
        rows::Meta {
            number: current.number,
            since: current.since.0,
            reason: current.reason.clone(),
            versions: rows::versions(&current.versions),
            announced: current.announced,
            last: current.last.0,
            history: self.history.iter().map(rows::versions).collect(),
            late: self.late,
            damaged: self.damaged,
            triples: book.triples,
            ranks: book.ranks,
            learning: book.learning,
            counts: [
                book.restarts,
                book.reclassified,
                book.key_overflow,
                book.endpoint_overflow,
                book.mixed,
            ],
        }
    }

    fn latency_row(&self) -> rows::Latency {
        let held = &self.current.latencies;
        rows::Latency {
            epoch: self.current.number,
            counts: [
                held.pairs,
                held.slow_candidate,
                held.slow_legacy,
                held.errors,
            ],
            alarm: held.alarm,
            ratio: held.ratio.iter().map(|(&bin, &n)| (bin, n)).collect(),
            legacy: held.legacy.counts(),
            candidate: held.candidate.counts(),
        }
    }

    /// Reads what was saved; damaged parts are dropped and counted.
    ///
    /// Where the rules have changed since, a new epoch begins at `now`.
    pub fn restore(target: f64, epoch_key: u64, parts: Vec<Part>, now: UnixMillis) -> Self {
        let mut evidence = Self::new(target, epoch_key, now);
        let mut read = Read::default();
        for part in parts {
            let Some(data) = part.data else { continue };
            evidence.written.insert(part.name.clone());
            if !read.take(&part.name, &data) {
                read.damaged += 1;
            }
        }
        if let Some(folds) = read.folds {
            evidence.folds = folds.into();
        }
        for (number, slot) in read.slots {
            evidence.slots.slots.insert(number, slot);
        }
        evidence.slots.trim(now);
        read.former
            .sort_by_key(|former| std::cmp::Reverse(former.number));
        evidence.former = read.former.into_iter().take(FORMER).collect();
        if let Some(meta) = read.meta {
            evidence.restore_epoch(meta, &read.endpoints, &read.sets, read.latency, now);
        } else if !evidence.written.is_empty() {
            // Without it nobody knows to which epoch the rest belongs.
            evidence.current.number = evidence.former.front().map_or(1, |f| f.number + 1);
            evidence.renewed = true;
        }
        evidence.damaged = evidence.damaged.saturating_add(read.damaged);
        evidence.dirty.meta |= read.damaged > 0;
        evidence.relearn();
        evidence.rules_changed(epoch_key, now);
        evidence.refresh();
        evidence
    }

    fn restore_epoch(
        &mut self,
        meta: rows::Meta,
        endpoints: &[rows::Endpoint],
        sets: &[rows::Sets],
        latency: Option<rows::Latency>,
        now: UnixMillis,
    ) {
        self.late = meta.late;
        self.damaged = meta.damaged;
        self.history = meta
            .history
            .into_iter()
            .map(rows::unversions)
            .take(HISTORY)
            .collect();
        let current = &mut self.current;
        current.number = meta.number;
        current.since = UnixMillis(meta.since);
        current.reason = meta.reason;
        current.versions = rows::unversions(meta.versions);
        current.announced = meta.announced;
        current.last = UnixMillis(meta.last).min(now);
        if let Some(row) = latency.filter(|row| row.epoch == meta.number) {
            current.latencies = row.into();
        }
        let book = &mut current.book;
        for row in endpoints.iter().filter(|row| row.epoch == meta.number) {
            book.restore_endpoint(row);
        }
        for row in sets.iter().filter(|row| row.epoch == meta.number) {
            for set in &row.sets {
                book.restore_set(set);
            }
        }
        book.learning = meta.learning;
        book.ranks = meta.ranks.max(
            book.keys
                .iter()
                .filter_map(|key| key.rank)
                .max()
                .unwrap_or(0),
        );
        book.triples = book.endpoints.iter().map(|e| e.triples).sum();
        [
            book.restarts,
            book.reclassified,
            book.key_overflow,
            book.endpoint_overflow,
            book.mixed,
        ] = meta.counts;
        let lost = book.mend(endpoints);
        book.dirty.clear();
        book.dirty_sets.clear();
        if lost > 0 {
            self.damaged = self.damaged.saturating_add(lost);
            self.renewed = true;
        }
    }

    /// Shows the learner what it had seen, as far as that is still known.
    fn relearn(&mut self) {
        let book = &self.current.book;
        for seen in &book.endpoints {
            self.learner
                .endpoint(&mut self.folds, &seen.name, seen.n.max(1));
        }
        for key in &book.keys {
            let name = &book.at(key.endpoint).name;
            self.learner
                .key(&mut self.folds, name, &key.field.path, key.pairs.max(1));
        }
    }
}

fn endpoint_part(name: &str) -> String {
    format!("e/{:016x}", xxh3_64(name.as_bytes()))
}

#[derive(Debug, Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn put(&mut self, name: &str, row: &impl Serialize) {
        let Ok(json) = serde_json::to_vec(row) else {
            debug_assert!(false, "rows are made of numbers and strings");
            return;
        };
        let mut data = xxh3_64(&json).to_le_bytes().to_vec();
        data.extend(json);
        self.0.push(Part {
            name: name.to_owned(),
            data: Some(data),
        });
    }
}

/// What could be read.
#[derive(Default)]
struct Read {
    meta: Option<rows::Meta>,
    folds: Option<rows::Folds>,
    latency: Option<rows::Latency>,
    endpoints: Vec<rows::Endpoint>,
    sets: Vec<rows::Sets>,
    slots: Vec<(i64, Counted)>,
    former: Vec<Former>,
    damaged: u64,
}

impl Read {
    /// Takes a part, or says that it is damaged.
    fn take(&mut self, name: &str, data: &[u8]) -> bool {
        let taken = match name.split_once('/').map_or(name, |(kind, _)| kind) {
            META => read(data)
                .filter(rows::Meta::is_sane)
                .map(|row| self.meta = Some(row)),
            FOLDS => read(data).map(|row| self.folds = Some(row)),
            LATENCY => read(data)
                .filter(rows::Latency::is_sane)
                .map(|row| self.latency = Some(row)),
            "e" => read(data)
                .filter(rows::Endpoint::is_sane)
                .map(|row| self.endpoints.push(row)),
            "s" => read(data)
                .filter(rows::Sets::is_sane)
                .map(|row| self.sets.push(row)),
            "t" => read(data)
                .and_then(rows::Slot::get)
                .map(|slot| self.slots.push(slot)),
            "f" => read(data)
                .and_then(rows::Former::get)
                .map(|row| self.former.push(row)),
            _ => None,
        };
        taken.is_some()
    }
}

fn read<T: DeserializeOwned>(data: &[u8]) -> Option<T> {
    let (sum, json) = data.split_first_chunk::<8>()?;
    if xxh3_64(json).to_le_bytes() != *sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

impl From<rows::Latency> for Latencies {
    fn from(row: rows::Latency) -> Self {
        let times = |counts: &[(u64, u32)]| {
            let mut times = Times::default();
            for &(us, count) in counts {
                times.add(us, count);
            }
            times
        };
        let [pairs, slow_candidate, slow_legacy, errors] = row.counts;
        Self {
            pairs,
            slow_candidate,
            slow_legacy,
            errors,
            alarm: row.alarm,
            ratio: row.ratio.into_iter().collect(),
            legacy: times(&row.legacy),
            candidate: times(&row.candidate),
        }
    }
}

impl Book {
    fn restore_endpoint(&mut self, row: &rows::Endpoint) {
        let place = self.endpoint(&row.name);
        let [n, masked, f, triples, controls, control_n, control_f] = row.counts;
        let held = self.at_mut(place);
        // Its sets bring their own pairs.
        held.n = n - f;
        held.masked = masked;
        held.triples = triples;
        held.controls = controls;
        held.control_n = control_n - control_f;
        for row in &row.keys {
            let Some(kind) = Kind::parse(&row.kind) else {
                continue;
            };
            let key = self.key(place, &FieldKey::new(row.path.as_str(), kind));
            let key = self.key_mut(key);
            let [b, c, both] = row.discords;
            let first = row.first.map(UnixMillis);
            key.discords = Discords { b, c, both, first };
            key.pairs = row.pairs;
            key.seen = row.seen.map(|(a, b)| (UnixMillis(a), UnixMillis(b)));
            key.rank = row.rank;
            key.settled = match row.settled {
                1 => Settled::Noisy,
                2 => Settled::Regression,
                _ => Settled::Open,
            };
        }
    }

    fn restore_set(&mut self, row: &rows::Set) {
        let endpoint = self.endpoint(&row.endpoint);
        let keys = row.keys.iter();
        let keys = keys.filter_map(|(path, kind)| {
            let key = FieldKey::new(path.as_str(), Kind::parse(kind)?);
            Some(self.key(endpoint, &key))
        });
        let class = match row.class {
            1 => Class::Error,
            2 => Class::Timeout,
            3 => Class::Control,
            _ => Class::Keys,
        };
        let id = SetId {
            endpoint,
            status: row.status,
            class,
            keys: keys.collect(),
        };
        let first = row.first.iter();
        let tally = Tally {
            count: row.count,
            first: UnixMillis(row.span.0),
            last: UnixMillis(row.span.1),
            examples: Examples {
                first: first
                    .map(|&(at, id)| (UnixMillis(at), PairId(id)))
                    .collect(),
                sample: row.sample.iter().copied().map(PairId).collect(),
            },
        };
        self.enter(id, &tally);
    }

    /// Lets endpoints whose pairs do not add up count anew, and returns how many those were.
    fn mend(&mut self, rows: &[rows::Endpoint]) -> u64 {
        let saved: HashMap<&str, &rows::Endpoint> =
            rows.iter().map(|row| (row.name.as_str(), row)).collect();
        let mut broken = BTreeSet::new();
        for (place, held) in (0u32..).zip(&self.endpoints) {
            let [n, masked, f, _, _, control_n, control_f] =
                saved.get(&*held.name).map_or([0; 7], |row| row.counts);
            let now = [held.n, held.masked, held.f, held.control_n, held.control_f];
            if now != [n, masked, f, control_n, control_f] {
                broken.insert(place);
            }
        }
        self.clear(|place| broken.contains(&place));
        u64::try_from(broken.len()).unwrap_or(u64::MAX)
    }
}

impl rows::Endpoint {
    fn is_sane(&self) -> bool {
        let [n, masked, f, _, controls, control_n, control_f] = self.counts;
        let keys = self.keys.iter();
        let mut counts =
            keys.flat_map(|key| key.discords.into_iter().chain([key.pairs]).chain(key.rank));
        self.counts.into_iter().all(sane)
            && counts.all(sane)
            && masked + f <= n
            && control_f <= control_n
            && control_n <= controls
    }
}
