//! Pairs that differ alike, as pages show them. Pure.

use crate::evidence::book::Book;
use crate::evidence::book::Key;
use crate::evidence::book::SetId;
use crate::evidence::book::Settled;
use crate::evidence::delta::Class;
use crate::evidence::parity::real;
use crate::evidence::summary::Group;
use crate::evidence::summary::KeyView;
use crate::evidence::summary::Verdict;
use crate::evidence::tally::Tally;
use crate::evidence::words;
use crate::model::FieldKey;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Groups shown, the most frequent ones.
const SHOWN: usize = 2_000;

/// Which part of a set makes a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// What counts as a divergence: the regression keys, or without controls all keys.
    Divergence,
    /// What is being checked: the keys that are not decided.
    Checking,
}

impl Book {
    /// Returns the groups, the most frequent first.
    pub(super) fn groups(&self, part: Part, controls: bool, epoch: u64) -> Vec<Group> {
        let mut gathered: BTreeMap<SetId, Tally> = BTreeMap::new();
        for (id, tally) in self.sorted_sets() {
            if let Some(id) = self.part_of(id, part, controls) {
                gathered.entry(id).or_default().merge(tally);
            }
        }
        let mut gathered: Vec<_> = gathered.into_iter().collect();
        gathered.sort_by(|(a, x), (b, y)| {
            let by_name = || self.by_name(a, b);
            y.count.cmp(&x.count).then_with(by_name)
        });
        gathered.truncate(SHOWN);
        gathered
            .iter()
            .map(|(id, tally)| self.group(id, tally, controls, epoch))
            .collect()
    }

    /// Orders sets by what they are called, since places differ from process to process.
    fn by_name(&self, a: &SetId, b: &SetId) -> Ordering {
        let front = |id: &SetId| (&*self.at(id.endpoint).name, id.status, id.class);
        let keys = |id: &SetId| {
            let mut keys: Vec<&FieldKey> = id.keys.iter().map(|&k| &self.key_at(k).field).collect();
            keys.sort_unstable();
            keys
        };
        front(a).cmp(&front(b)).then_with(|| keys(a).cmp(&keys(b)))
    }

    fn part_of(&self, id: &SetId, part: Part, controls: bool) -> Option<SetId> {
        let keys: Box<[u32]> = match (id.class, part) {
            (Class::Control, _) | (Class::Error | Class::Timeout, Part::Checking) => return None,
            (Class::Error | Class::Timeout, Part::Divergence) => return Some(id.clone()),
            (Class::Keys, Part::Checking) if !controls => return None,
            (Class::Keys, Part::Divergence) if !controls => id.keys.clone(),
            (Class::Keys, _) => {
                let wanted = |key: &&u32| {
                    let regression = self.key_at(**key).settled == Settled::Regression;
                    regression == (part == Part::Divergence)
                };
                id.keys.iter().filter(wanted).copied().collect()
            }
        };
        (!keys.is_empty()).then(|| SetId { keys, ..id.clone() })
    }

    fn group(&self, id: &SetId, tally: &Tally, controls: bool, epoch: u64) -> Group {
        let seen = self.at(id.endpoint);
        let mut keys: Vec<&Key> = id.keys.iter().map(|&key| self.key_at(key)).collect();
        keys.sort_unstable_by(|a, b| a.field.cmp(&b.field));
        let verdict = self.verdict_of(&keys, controls);
        let telling = keys
            .iter()
            .map(|key| self.key_counts(key))
            .reduce(|a, b| if b.log_e > a.log_e { b } else { a })
            .unwrap_or_default();
        let fields: Vec<FieldKey> = keys.iter().map(|key| key.field.clone()).collect();
        let sentence = words::group(words::Said {
            keys: &fields,
            status: id.status,
            timeout: id.class == Class::Timeout,
            verdict,
            count: tally.count,
            of: seen.n,
            since: tally.first,
            triples: telling,
        });
        Group {
            id: name(&seen.name, id, &fields),
            endpoint: Arc::clone(&seen.name),
            status: id.status,
            keys: fields,
            verdict,
            count: tally.count,
            of: seen.n,
            share: real(tally.count) / real(seen.n.max(1)),
            first_seen: tally.first,
            last_seen: tally.last,
            examples: tally.examples.ids(),
            triples: telling,
            sentence,
            epoch,
            current: true,
        }
    }

    /// A group is as grave as its gravest key; an answer that never came needs no test.
    fn verdict_of(&self, keys: &[&Key], controls: bool) -> Verdict {
        let verdicts = keys.iter().map(|key| self.verdict(key, controls));
        let rank = |verdict: &Verdict| match verdict {
            Verdict::Regression => 0,
            Verdict::Unchecked => 1,
            Verdict::Undecided => 2,
            Verdict::Stable => 3,
            Verdict::Noisy => 4,
            Verdict::Expected => 5,
        };
        verdicts.min_by_key(rank).unwrap_or(Verdict::Regression)
    }

    /// Returns every key, those seen most often first.
    pub(super) fn key_views(&self, controls: bool) -> Vec<KeyView> {
        let mut views: Vec<KeyView> = self
            .keys
            .iter()
            .map(|key| {
                let seen = self.at(key.endpoint);
                let (first_seen, last_seen) = key.seen.unwrap_or_default();
                let mut view = KeyView {
                    endpoint: Arc::clone(&seen.name),
                    key: key.field.clone(),
                    verdict: self.verdict(key, controls),
                    pairs: key.pairs,
                    of: seen.n,
                    triples: self.key_counts(key),
                    first_seen,
                    last_seen,
                    sentence: String::new(),
                };
                view.sentence = words::key(&view);
                view
            })
            .collect();
        views.sort_by(|a, b| {
            let by_name = || (&a.endpoint, &a.key).cmp(&(&b.endpoint, &b.key));
            b.pairs.cmp(&a.pairs).then_with(by_name)
        });
        views
    }
}

/// Names a group by what it is, so that links to it stay good.
fn name(endpoint: &str, id: &SetId, keys: &[FieldKey]) -> String {
    let mut hash = Xxh3::new();
    hash.update(endpoint.as_bytes());
    let class = match id.class {
        Class::Keys | Class::Control => 0,
        Class::Error => 1,
        Class::Timeout => 2,
    };
    hash.update(&[0, class]);
    hash.update(&id.status.0.to_le_bytes());
    hash.update(&id.status.1.to_le_bytes());
    for key in keys {
        hash.update(key.path.as_bytes());
        hash.update(&[0]);
        hash.update(key.kind.as_str().as_bytes());
        hash.update(&[0]);
    }
    format!("{:016x}", hash.digest())
}
