//! The store that forgets: for tests, and for a process that is told to keep nothing.

use super::Change;
use super::Example;
use super::Limits;
use super::batch::Batch;
#[cfg(test)]
use super::batch::Saved;
use super::batch::Trimmed;
use super::form;
#[cfg(test)]
use crate::evidence::Part;
use crate::model::PairId;
use crate::model::SliceId;
use crate::model::UnixMillis;
use std::collections::BTreeMap;

/// Everything that the embedded store holds, in maps.
#[derive(Debug, Default)]
pub(super) struct Memory {
    parts: BTreeMap<(SliceId, String), Vec<u8>>,
    counts: BTreeMap<SliceId, super::Counts>,
    gone: BTreeMap<SliceId, Option<UnixMillis>>,
    examples: BTreeMap<PairId, (u64, u64, Example)>,
    changes: Vec<Change>,
    last_change: i64,
}

impl Memory {
    pub(super) fn write(&mut self, batch: &Batch, limits: &Limits) {
        for slice in &batch.forget {
            self.parts.retain(|(s, _), _| s != slice);
            self.counts.remove(slice);
            self.gone.remove(slice);
            self.examples.retain(|_, (_, _, e)| e.slice != *slice);
        }
        self.gone
            .extend(batch.gone.iter().map(|(s, at)| (s.clone(), *at)));
        self.parts
            .retain(|key, _| !batch.replace.contains(&key.0) || batch.parts.contains_key(key));
        for (key, data) in &batch.parts {
            match data {
                Some(data) => self.parts.insert(key.clone(), data.clone()),
                None => self.parts.remove(key),
            };
        }
        for (slice, counts) in &batch.counts {
            self.counts.insert(slice.clone(), counts.clone());
        }
        for example in &batch.examples {
            self.insert_example(example, limits);
        }
        for change in &batch.changes {
            self.last_change += 1;
            let mut change = change.clone();
            change.id = self.last_change;
            self.changes.push(change);
        }
    }

    fn insert_example(&mut self, example: &Example, limits: &Limits) {
        let family = form::family(example);
        let bytes = form::example(example).len() as u64;
        let row = (family, bytes, example.clone());
        self.examples.insert(example.id, row);
        let mut same: Vec<_> = self
            .examples
            .values()
            .filter(|(f, _, _)| *f == family)
            .map(|(_, _, e)| (e.at, e.id))
            .collect();
        same.sort_unstable();
        let over = same.len().saturating_sub(limits.examples_per_set as usize);
        let keep = limits.examples_per_set as usize / 2;
        for (_, id) in same.into_iter().skip(keep).take(over) {
            self.examples.remove(&id);
        }
    }

    #[cfg(test)]
    pub(super) fn load(&self) -> Saved {
        let mut saved = Saved {
            counts: self.counts.clone(),
            gone: self.gone.clone(),
            ..Saved::default()
        };
        for ((slice, name), data) in &self.parts {
            saved.parts.entry(slice.clone()).or_default().push(Part {
                name: name.clone(),
                data: Some(data.clone()),
            });
        }
        saved
    }

    pub(super) fn example(&self, id: PairId) -> Option<Example> {
        self.examples.get(&id).map(|(_, _, e)| e.clone())
    }

    pub(super) fn changes(&self, limit: u32, before: Option<i64>) -> Vec<Change> {
        let before = before.unwrap_or(i64::MAX);
        let older = self.changes.iter().rev().filter(|c| c.id < before);
        older.take(limit as usize).cloned().collect()
    }

    pub(super) fn trim(&mut self, limits: &Limits, now: UnixMillis) -> Trimmed {
        let oldest = now.0.saturating_sub(i64::from(limits.days) * 86_400_000);
        let before = self.examples.len();
        self.examples.retain(|_, (_, _, e)| e.at.0 >= oldest);
        let days = (before - self.examples.len()) as u64;
        let mut newest: Vec<_> = self
            .examples
            .values()
            .map(|(_, bytes, e)| (e.at, e.id, *bytes))
            .collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let (mut held, mut bytes) = (0, 0);
        for (_, id, size) in newest {
            held += size;
            if held > limits.bytes {
                self.examples.remove(&id);
                bytes += 1;
            }
        }
        let over = self.changes.len().saturating_sub(limits.changes as usize);
        self.changes.drain(..over);
        let plain = self.changes.len().saturating_sub(limits.diffs as usize);
        for change in &mut self.changes[..plain] {
            change.diff = None;
        }
        Trimmed { bytes, days }
    }
}
