//! The shapes of saved evidence. Pure.

use crate::evidence::book::Book;
use crate::evidence::book::SetId;
use crate::evidence::book::Settled;
use crate::evidence::delta::Class;
use crate::evidence::delta::Versions;
use crate::evidence::epoch;
use crate::evidence::slots::Counted;
use crate::evidence::summary::Group;
use crate::evidence::summary::KeyCounts;
use crate::evidence::summary::Verdict;
use crate::evidence::tally::Tally;
use crate::evidence::template;
use crate::model::FieldKey;
use crate::model::Kind;
use crate::model::PairId;
use crate::model::UnixMillis;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// Returns whether a count can be true; sums of such counts do not overflow.
pub(super) fn sane(count: u64) -> bool {
    count < 1 << 48
}

pub(super) type Version = (u64, String, String);

pub(super) fn versions(versions: &Versions) -> Version {
    (
        versions.rules,
        versions.legacy.to_string(),
        versions.candidate.to_string(),
    )
}

pub(super) fn unversions((rules, legacy, candidate): Version) -> Versions {
    Versions {
        rules,
        legacy: legacy.into(),
        candidate: candidate.into(),
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) number: u64,
    pub(super) since: i64,
    pub(super) reason: String,
    pub(super) versions: Version,
    pub(super) announced: bool,
    pub(super) last: i64,
    pub(super) history: Vec<Version>,
    pub(super) late: u64,
    pub(super) damaged: u64,
    pub(super) triples: u64,
    pub(super) ranks: u64,
    pub(super) learning: bool,
    /// Restarts, reclassified, key and endpoint overflow, mixed triples.
    pub(super) counts: [u64; 5],
}

impl Meta {
    pub(super) fn is_sane(&self) -> bool {
        let counts = [
            self.number,
            self.late,
            self.damaged,
            self.triples,
            self.ranks,
        ];
        counts.into_iter().chain(self.counts).all(sane)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Folds {
    places: BTreeMap<String, Vec<String>>,
}

impl Folds {
    pub(super) fn of(folds: &template::Folds) -> Self {
        let places = folds.places.iter();
        let places = places.map(|(place, kept)| {
            let mut kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
            kept.sort_unstable();
            (place.to_string(), kept)
        });
        Self {
            places: places.collect(),
        }
    }
}

impl From<Folds> for template::Folds {
    fn from(row: Folds) -> Self {
        let inside = row.places.keys().filter_map(|place| {
            let (endpoint, _) = place.split_once(template::INSIDE)?;
            Some(endpoint.into())
        });
        let inside = inside.collect();
        let places = row.places.into_iter().map(|(place, kept)| {
            let kept = kept.into_iter().map(String::into_boxed_str).collect();
            (place.into_boxed_str(), kept)
        });
        Self {
            places: places.collect(),
            inside,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) epoch: u64,
    /// Pairs, candidate slower, legacy slower, errors.
    pub(super) counts: [u64; 4],
    pub(super) alarm: bool,
    pub(super) ratio: Vec<(i16, u64)>,
    pub(super) legacy: Vec<(u64, u32)>,
    pub(super) candidate: Vec<(u64, u32)>,
}

impl Latency {
    pub(super) fn is_sane(&self) -> bool {
        let ratio: Option<u64> = self
            .ratio
            .iter()
            .try_fold(0u64, |sum, (_, n)| sum.checked_add(*n));
        self.counts.into_iter().all(sane) && ratio == Some(self.counts[0])
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub(super) epoch: u64,
    pub(super) name: String,
    /// n, masked, f, triples, controls, control n, control f.
    pub(super) counts: [u64; 7],
    pub(super) keys: Vec<Key>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) path: String,
    pub(super) kind: String,
    /// b, c, both.
    pub(super) discords: [u64; 3],
    pub(super) first: Option<i64>,
    pub(super) pairs: u64,
    pub(super) seen: Option<(i64, i64)>,
    pub(super) rank: Option<u64>,
    /// 0 open, 1 noisy, 2 regression.
    pub(super) settled: u8,
}

impl Endpoint {
    pub(super) fn of(book: &Book, place: u32, epoch: u64) -> Self {
        let held = book.at(place);
        let mut keys: Vec<Key> = held
            .keys
            .values()
            .map(|&key| {
                let key = book.key_at(key);
                let discords = key.discords;
                Key {
                    path: key.field.path.to_string(),
                    kind: key.field.kind.as_str().to_owned(),
                    discords: [discords.b, discords.c, discords.both],
                    first: discords.first.map(|at| at.0),
                    pairs: key.pairs,
                    seen: key.seen.map(|(a, b)| (a.0, b.0)),
                    rank: key.rank,
                    settled: match key.settled {
                        Settled::Open => 0,
                        Settled::Noisy => 1,
                        Settled::Regression => 2,
                    },
                }
            })
            .collect();
        keys.sort_unstable_by(|a, b| (&a.path, &a.kind).cmp(&(&b.path, &b.kind)));
        Self {
            epoch,
            name: held.name.to_string(),
            counts: [
                held.n,
                held.masked,
                held.f,
                held.triples,
                held.controls,
                held.control_n,
                held.control_f,
            ],
            keys,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sets {
    pub(super) epoch: u64,
    pub(super) sets: Vec<Set>,
}

impl Sets {
    pub(super) fn is_sane(&self) -> bool {
        self.sets.iter().all(|set| sane(set.count))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Set {
    pub(super) endpoint: String,
    pub(super) status: (u16, u16),
    /// 0 keys, 1 error, 2 timeout, 3 control.
    pub(super) class: u8,
    pub(super) keys: Vec<(String, String)>,
    pub(super) count: u64,
    pub(super) span: (i64, i64),
    pub(super) first: Vec<(i64, u64)>,
    pub(super) sample: Vec<u64>,
}

impl Set {
    pub(super) fn of(book: &Book, id: &SetId, tally: &Tally) -> Self {
        let keys = id.keys.iter().map(|&key| &book.key_at(key).field);
        let examples = &tally.examples;
        let first = examples.first.iter();
        Self {
            endpoint: book.at(id.endpoint).name.to_string(),
            status: id.status,
            class: match id.class {
                Class::Keys => 0,
                Class::Error => 1,
                Class::Timeout => 2,
                Class::Control => 3,
            },
            keys: keys.map(field).collect(),
            count: tally.count,
            span: (tally.first.0, tally.last.0),
            first: first.map(|(at, id)| (at.0, id.0)).collect(),
            sample: examples.sample.iter().map(|id| id.0).collect(),
        }
    }
}

fn field(key: &FieldKey) -> (String, String) {
    (key.path.to_string(), key.kind.as_str().to_owned())
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Slot {
    number: i64,
    counts: [u64; 3],
    legacy: Vec<u64>,
    candidate: Vec<u64>,
}

impl Slot {
    pub(super) fn of(number: i64, slot: &Counted) -> Self {
        Self {
            number,
            counts: [slot.n, slot.f, slot.pairs],
            legacy: slot.legacy.clone(),
            candidate: slot.candidate.clone(),
        }
    }

    pub(super) fn get(self) -> Option<(i64, Counted)> {
        let [n, f, pairs] = self.counts;
        let counted = Counted {
            n,
            f,
            pairs,
            legacy: self.legacy,
            candidate: self.candidate,
        };
        self.counts
            .into_iter()
            .all(sane)
            .then_some((self.number, counted))
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Former {
    number: u64,
    groups: Vec<FormerGroup>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FormerGroup {
    id: String,
    endpoint: String,
    status: (u16, u16),
    keys: Vec<(String, String)>,
    verdict: String,
    count: u64,
    of: u64,
    span: (i64, i64),
    examples: Vec<u64>,
    /// Triples, b, c, both.
    triples: [u64; 4],
    rank: Option<u64>,
    sentence: String,
}

impl Former {
    pub(super) fn of(former: &epoch::Former) -> Self {
        let groups = former.groups.iter().map(|group| FormerGroup {
            id: group.id.clone(),
            endpoint: group.endpoint.to_string(),
            status: group.status,
            keys: group.keys.iter().map(field).collect(),
            verdict: group.verdict.as_str().to_owned(),
            count: group.count,
            of: group.of,
            span: (group.first_seen.0, group.last_seen.0),
            examples: group.examples.iter().map(|id| id.0).collect(),
            triples: [
                group.triples.triples,
                group.triples.b,
                group.triples.c,
                group.triples.both,
            ],
            rank: group.triples.rank,
            sentence: group.sentence.clone(),
        });
        Self {
            number: former.number,
            groups: groups.collect(),
        }
    }

    pub(super) fn get(self) -> Option<epoch::Former> {
        let number = self.number;
        let groups = self.groups.into_iter().map(|row| row.get(number));
        Some(epoch::Former {
            number: Some(number).filter(|&number| sane(number))?,
            groups: groups.collect::<Option<_>>()?,
        })
    }
}

impl FormerGroup {
    fn get(self, epoch: u64) -> Option<Group> {
        let [triples, b, c, both] = self.triples;
        let keys = self.keys.into_iter();
        let keys = keys.map(|(path, kind)| Some(FieldKey::new(path, Kind::parse(&kind)?)));
        let share = crate::evidence::parity::real(self.count)
            / crate::evidence::parity::real(self.of.max(1));
        Some(Group {
            id: self.id,
            endpoint: self.endpoint.into(),
            status: self.status,
            keys: keys.collect::<Option<_>>()?,
            verdict: Verdict::parse(&self.verdict)?,
            count: self.count,
            of: self.of,
            share,
            first_seen: UnixMillis(self.span.0),
            last_seen: UnixMillis(self.span.1),
            examples: self.examples.into_iter().map(PairId).collect(),
            triples: KeyCounts {
                triples,
                b,
                c,
                both,
                log_e: crate::evidence::paired::k2_log_e(b, c, crate::evidence::paired::RARE),
                rank: self.rank,
            },
            sentence: self.sentence,
            epoch,
            current: false,
        })
    }
}
