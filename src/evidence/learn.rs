//! Learns which places are crowded. Pure.

use crate::evidence::delta::sorted;
use crate::evidence::template::CROWDED;
use crate::evidence::template::FOLDED;
use crate::evidence::template::FREQUENT;
use crate::evidence::template::Folds;
use crate::evidence::template::INSIDE;
use crate::evidence::template::is_name;
use crate::evidence::template::steps;
use std::collections::HashMap;
use std::collections::HashSet;

/// Names that are counted in all places together; about 2 MB.
const NAMES: usize = 20_000;

/// The names seen so far in the places that are not crowded yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Learner {
    places: HashMap<Box<str>, HashMap<Box<str>, u64>>,
    names: usize,
}

impl Learner {
    /// Counts the segments of a template, and returns whether a place became crowded.
    pub(super) fn endpoint(&mut self, folds: &mut Folds, endpoint: &str, count: u64) -> bool {
        let Some((method, path)) = endpoint.split_once(" /") else {
            return false;
        };
        let mut place = format!("{method} ");
        let mut crowded = false;
        for segment in path.split('/') {
            place.push('/');
            if segment != FOLDED && !segment.is_empty() {
                crowded |= self.see(folds, &place, segment, count);
            }
            place.push_str(segment);
        }
        crowded && self.settle(folds)
    }

    /// Counts the names in the path of a key, and returns whether a place became crowded.
    pub(super) fn key(
        &mut self,
        folds: &mut Folds,
        endpoint: &str,
        path: &str,
        count: u64,
    ) -> bool {
        if !path.starts_with('$') {
            return false;
        }
        let mut place = format!("{endpoint}{INSIDE}");
        let mut crowded = false;
        for step in steps(path) {
            if is_name(step) {
                crowded |= self.see(folds, &place, step, count);
            }
            place.push_str(step);
        }
        crowded && self.settle(folds)
    }

    fn see(&mut self, folds: &Folds, place: &str, name: &str, count: u64) -> bool {
        if folds.places.contains_key(place) {
            return false;
        }
        if !self.places.contains_key(place) {
            self.places.insert(place.into(), HashMap::new());
        }
        let names = self.places.get_mut(place).expect("the place is there");
        if let Some(seen) = names.get_mut(name) {
            *seen += count;
        } else if self.names < NAMES {
            self.names += 1;
            names.insert(name.into(), count);
        }
        names.len() > CROWDED
    }

    /// Folds crowded places until none is left; folding one adds together what lies below it.
    fn settle(&mut self, folds: &mut Folds) -> bool {
        let mut folded = false;
        while let Some(place) = self.crowded() {
            let names = self.places.remove(&place).unwrap_or_default();
            let kept: HashSet<Box<str>> = names
                .into_iter()
                .filter(|(_, seen)| *seen >= FREQUENT)
                .map(|(name, _)| name)
                .collect();
            if let Some((endpoint, _)) = place.split_once(INSIDE) {
                folds.inside.insert(endpoint.into());
            }
            folds.places.insert(place, kept);
            folds.rename();
            self.rename(folds);
            folded = true;
        }
        folded
    }

    fn crowded(&self) -> Option<Box<str>> {
        let crowded = self
            .places
            .iter()
            .filter(|(_, names)| names.len() > CROWDED);
        crowded.map(|(place, _)| place.clone()).min()
    }

    fn rename(&mut self, folds: &Folds) {
        let mut places: HashMap<Box<str>, HashMap<Box<str>, u64>> = HashMap::new();
        for (place, names) in sorted(std::mem::take(&mut self.places)) {
            let place = folds.place(&place);
            if folds.places.contains_key(place.as_str()) {
                continue;
            }
            let merged = places.entry(place.into()).or_default();
            for (name, seen) in sorted(names) {
                *merged.entry(name).or_default() += seen;
            }
        }
        self.names = places.values().map(HashMap::len).sum();
        self.places = places;
    }
}

impl Folds {
    /// Returns the name of a place under what is folded now.
    fn place(&self, place: &str) -> String {
        let Some((endpoint, inside)) = place.split_once(INSIDE) else {
            return self.again(place);
        };
        let endpoint = self.again(endpoint);
        let inside = self.key(&endpoint, inside).unwrap_or_else(|| inside.into());
        format!("{endpoint}{INSIDE}{inside}")
    }

    /// Names every crowded place anew, after one more was found above some of them.
    fn rename(&mut self) {
        loop {
            let mut changed = false;
            let mut renamed: HashMap<Box<str>, HashSet<Box<str>>> = HashMap::new();
            let mut inside = HashSet::new();
            let mut held: Vec<_> = self.places.iter().collect();
            held.sort_unstable_by_key(|(place, _)| *place);
            for (place, kept) in held {
                let name = self.place(place);
                changed |= *name != **place;
                if let Some((endpoint, _)) = name.split_once(INSIDE) {
                    inside.insert(endpoint.into());
                }
                renamed
                    .entry(name.into())
                    .or_default()
                    .extend(kept.iter().cloned());
            }
            self.places = renamed;
            self.inside = inside;
            if !changed {
                return;
            }
        }
    }
}
