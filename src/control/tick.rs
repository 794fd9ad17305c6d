//! The beat: once a second the evidence takes what the workers have seen.
//!
//! It runs beside the loop, on a thread for blocking work, so that an act never waits for it. Only
//! slices with news are computed anew. What workers may know goes to the lanes; what must outlive
//! the process goes to the writer; what pages show is given back.

use super::board::ControlBoard;
use super::board::ExcludedView;
use super::board::ServedLatency;
use super::board::ServedQuantiles;
use crate::evidence::Evidence;
use crate::evidence::Group;
use crate::evidence::KeyView;
use crate::evidence::Part;
use crate::evidence::SliceDelta;
use crate::evidence::Summary;
use crate::model::Share;
use crate::model::Side;
use crate::model::SliceId;
use crate::model::UnixMillis;
use crate::shadow::Deltas;
use crate::store::Change;
use crate::store::ChangeKind;
use crate::store::Counts;
use crate::store::Saved;
use crate::store::Write;
use crate::store::Writer;
use crate::table::Lane;
use crate::table::Served;
use crate::table::Table;
use crate::table::Tally;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The parity that a slice is to show.
const TARGET: f64 = 0.999;
/// How often figures move although nothing was seen: their charts have slots of this length.
const SLOT: Duration = Duration::from_secs(10);
/// How long the evidence of a removed slice is kept.
const GONE: Duration = super::holds::GONE;

/// What pages show of one slice's evidence.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) summary: Arc<Summary>,
    pub(super) groups: Arc<Vec<Group>>,
    pub(super) checking: Arc<Vec<Group>>,
    pub(super) earlier: Arc<Vec<Group>>,
    pub(super) keys: Arc<Vec<KeyView>>,
    pub(super) excluded: Arc<Vec<ExcludedView>>,
    pub(super) control: ControlBoard,
    pub(super) served: ServedLatency,
    pub(super) share_served: Option<f64>,
    pub(super) failing: [u64; 2],
}

/// A version that is out.
#[derive(Clone, Debug)]
pub(super) struct Deployed {
    pub(super) backend: String,
    pub(super) version: String,
}

/// What one beat works on.
#[derive(Debug)]
pub(super) struct Beat {
    pub(super) table: Arc<Table>,
    pub(super) deployed: Vec<Deployed>,
    pub(super) now: UnixMillis,
}

#[derive(Debug)]
struct Slice {
    evidence: Evidence,
    figures: Figures,
    computed: Option<UnixMillis>,
    failures: Failures,
}

/// How many clients each side failed, beat by beat, over the last minute.
#[derive(Debug, Default)]
struct Failures(VecDeque<[u64; 2]>);

impl Failures {
    const BEATS: usize = 60;

    /// Takes the counts of this beat and returns what came within the last minute.
    fn note(&mut self, now: [u64; 2]) -> [u64; 2] {
        // What was counted before the first beat may be older than a minute.
        let first = self.0.front().copied().unwrap_or(now);
        self.0.push_back(now);
        if self.0.len() > Self::BEATS {
            self.0.pop_front();
        }
        [now[0] - first[0].min(now[0]), now[1] - first[1].min(now[1])]
    }
}

/// Everything that the beat owns.
#[derive(Debug)]
pub(super) struct Ticker {
    deltas: Deltas,
    writer: Writer,
    /// What of the last process has not been read yet.
    saved: BTreeMap<SliceId, Vec<Part>>,
    slices: BTreeMap<SliceId, Slice>,
    /// What earlier processes counted.
    base: BTreeMap<SliceId, Counts>,
    tallies: BTreeMap<SliceId, Arc<Tally>>,
    counted: BTreeMap<SliceId, Counts>,
    gone: BTreeMap<SliceId, Option<UnixMillis>>,
    opened: u64,
}

impl Ticker {
    pub(super) fn new(deltas: Deltas, writer: Writer, saved: Saved) -> Self {
        Self {
            deltas,
            writer,
            saved: saved.parts,
            slices: BTreeMap::new(),
            base: saved.counts,
            tallies: BTreeMap::new(),
            counted: BTreeMap::new(),
            gone: saved.gone,
            opened: 0,
        }
    }

    /// Takes over the deltas of the shadow threads, which start later.
    pub(super) fn attach(&mut self, deltas: Deltas) {
        self.deltas = deltas;
    }

    /// Returns what a slice counted, restarts included.
    pub(super) fn counts(&self, lane: &Lane) -> Counts {
        sum(self.base.get(lane.id()), lane.tally())
    }

    /// Returns what pages show of a slice.
    pub(super) fn figures(&self, slice: &SliceId) -> Figures {
        let slice = self.slices.get(slice);
        slice.map(|s| s.figures.clone()).unwrap_or_default()
    }

    /// Does one beat. Takes as long as it takes: never on the loop.
    pub(super) fn beat(&mut self, beat: &Beat) {
        let opened = self.writer.health().times_opened();
        let all = opened != self.opened;
        self.opened = opened;
        let mut news: BTreeMap<SliceId, SliceDelta> = BTreeMap::new();
        for delta in self.deltas.take_all() {
            for (slice, seen) in delta.slices() {
                match news.get_mut(&slice) {
                    Some(known) => known.merge(seen),
                    None => {
                        news.insert(slice, seen);
                    }
                }
            }
        }
        self.reconcile(beat, all);
        for lane in beat.table.lanes() {
            let seen = news.remove(lane.id());
            self.evidence(lane, seen, beat, all);
            self.count(lane, all);
            self.notes(lane);
        }
        // Of slices that have just left the rules.
        for (id, seen) in news {
            if let Some(slice) = self.slices.get_mut(&id) {
                slice.evidence.absorb(seen, beat.now);
                let parts = slice.evidence.save();
                keep(&self.writer, &id, parts, false);
            }
        }
        self.writer.flush();
    }

    /// Notes which slices came and went, and forgets what is gone for a day.
    fn reconcile(&mut self, beat: &Beat, all: bool) {
        let snapshot = &beat.table.snapshot;
        let has = |id: &SliceId| id.is_unmatched() || snapshot.ix(id).is_some();
        for lane in beat.table.lanes() {
            let tally = Arc::clone(lane.tally());
            self.tallies.insert(lane.id().clone(), tally);
            self.gone
                .entry(lane.id().clone())
                .or_insert(Some(UnixMillis(0)));
        }
        let mut forget = Vec::new();
        for (id, gone) in &mut self.gone {
            let now_gone = if has(id) {
                None
            } else {
                gone.or(Some(beat.now))
            };
            if *gone != now_gone || all {
                *gone = now_gone;
                let (slice, at) = (id.clone(), now_gone);
                self.writer.offer(Write::Gone { slice, at });
            }
            if now_gone.is_some_and(|at| beat.now.since(at) > GONE) {
                forget.push(id.clone());
            }
        }
        for id in forget {
            self.gone.remove(&id);
            self.slices.remove(&id);
            self.saved.remove(&id);
            self.base.remove(&id);
            self.counted.remove(&id);
            self.tallies.remove(&id);
            self.writer.offer(Write::Forget(id));
        }
        if all {
            self.keep_gone();
        }
    }

    /// Gives the writer what only this process still has of slices that are not in the rules.
    fn keep_gone(&mut self) {
        for (id, gone) in &self.gone {
            if gone.is_none() {
                continue;
            }
            if let Some(parts) = self.saved.get(id) {
                keep(&self.writer, id, parts.clone(), true);
            }
            if let Some(slice) = self.slices.get_mut(id) {
                keep(&self.writer, id, slice.evidence.save_all(), true);
            }
            let counts = match self.tallies.get(id) {
                Some(tally) => sum(self.base.get(id), tally),
                None => self.base.get(id).cloned().unwrap_or_default(),
            };
            let (slice, counts) = (id.clone(), ended(counts));
            self.writer.offer(Write::Counts { slice, counts });
        }
    }

    fn evidence(&mut self, lane: &Lane, seen: Option<SliceDelta>, beat: &Beat, all: bool) {
        let Some(rule) = lane.slice() else { return };
        let now = beat.now;
        if !self.slices.contains_key(lane.id()) {
            let parts = self.saved.remove(lane.id());
            let evidence = match parts {
                Some(parts) => Evidence::restore(TARGET, rule.epoch_key, parts, now),
                None => Evidence::new(TARGET, rule.epoch_key, now),
            };
            let slice = Slice {
                evidence,
                figures: Figures::default(),
                computed: None,
                failures: Failures::default(),
            };
            self.slices.insert(lane.id().clone(), slice);
        }
        let Some(slice) = self.slices.get_mut(lane.id()) else {
            return;
        };
        let before = slice.evidence.epoch().number;
        let mut changed = seen.is_some() || slice.computed.is_none();
        slice
            .evidence
            .set_controls(rule.compare.control > Share::NONE);
        slice.evidence.rules_changed(rule.epoch_key, now);
        for deployed in &beat.deployed {
            for side in sides(lane, &deployed.backend) {
                slice.evidence.deployed(side, &deployed.version, now);
            }
        }
        if let Some(seen) = seen {
            slice.evidence.absorb(seen, now);
        }
        let epoch = slice.evidence.epoch();
        if epoch.number != before {
            changed = true;
            self.writer.offer(Write::Change(Change {
                id: 0,
                at: now,
                actor: "supplant".to_owned(),
                kind: ChangeKind::Epoch,
                slice: Some(lane.id().clone()),
                text: format!(
                    "the evidence of `{}` begins anew: {}",
                    lane.id(),
                    epoch.reason
                ),
                diff: None,
                hash: None,
            }));
        }
        let stale = slice.computed.is_none_or(|at| now.since(at) >= SLOT);
        if changed || stale {
            slice.computed = Some(now);
            slice.compute(now, changed);
            lane.learn(slice.evidence.known());
        }
        if changed || all {
            let parts = if all {
                slice.evidence.save_all()
            } else {
                slice.evidence.save()
            };
            keep(&self.writer, lane.id(), parts, all);
        }
    }

    fn count(&mut self, lane: &Lane, all: bool) {
        let counts = ended(sum(self.base.get(lane.id()), lane.tally()));
        if all || self.counted.get(lane.id()) != Some(&counts) {
            self.counted.insert(lane.id().clone(), counts.clone());
            let slice = lane.id().clone();
            self.writer.offer(Write::Counts { slice, counts });
        }
    }

    fn notes(&mut self, lane: &Lane) {
        let Some(slice) = self.slices.get_mut(lane.id()) else {
            return;
        };
        let figures = &mut slice.figures;
        let counts = lane.tally().read();
        figures.control = ControlBoard {
            pairs: counts.control_pairs,
            failed: counts.control_failed,
            rested: lane.notes().list_resting(Instant::now()),
        };
        figures.served = ServedLatency {
            legacy: lane.served(Side::Legacy).map(quantiles),
            candidate: lane.served(Side::Candidate).map(quantiles),
        };
        figures.share_served = share(lane.tally().served_by());
        figures.failing = slice.failures.note(lane.tally().failed_by());
        let excluded = lane.notes().list_excluded();
        let same = figures.excluded.len() == excluded.len()
            && figures
                .excluded
                .iter()
                .map(|e| e.count)
                .eq(excluded.iter().map(|e| e.1));
        if !same {
            let view =
                |(endpoint, count, why): (Arc<str>, u64, crate::table::Excluded)| ExcludedView {
                    allow_line: allow_line(&endpoint),
                    endpoint: endpoint.to_string(),
                    count,
                    why: why.as_str().to_owned(),
                };
            figures.excluded = Arc::new(excluded.into_iter().map(view).collect());
        }
    }
}

impl Slice {
    fn compute(&mut self, now: UnixMillis, changed: bool) {
        self.figures.summary = Arc::new(self.evidence.summary(now));
        if changed {
            self.figures.groups = Arc::new(self.evidence.groups());
            self.figures.checking = Arc::new(self.evidence.checking());
            self.figures.earlier = Arc::new(self.evidence.earlier());
            self.figures.keys = Arc::new(self.evidence.keys());
        }
    }
}

fn keep(writer: &Writer, slice: &SliceId, parts: Vec<Part>, all: bool) {
    if !parts.is_empty() || all {
        let slice = slice.clone();
        writer.offer(Write::Evidence { slice, parts, all });
    }
}

/// Returns which sides of a slice a backend is.
fn sides(lane: &Lane, backend: &str) -> Vec<Side> {
    let is = |side: &Side| *lane.backend(*side).config().name == *backend;
    [Side::Legacy, Side::Candidate]
        .into_iter()
        .filter(is)
        .collect()
}

fn sum(base: Option<&Counts>, tally: &Tally) -> Counts {
    let mut counts = tally.read();
    if let Some(base) = base {
        counts.requests += base.requests;
        counts.control_pairs += base.control_pairs;
        counts.control_failed += base.control_failed;
        counts.retired_hits += base.retired_hits;
        for (sum, base) in counts.outcomes.iter_mut().zip(base.outcomes) {
            *sum += base;
        }
    }
    counts
}

/// Returns the counts that may outlive the process: a request that never ends is none.
fn ended(mut counts: Counts) -> Counts {
    counts.requests = counts.outcomes.iter().sum();
    counts
}

fn quantiles(served: Served) -> ServedQuantiles {
    let Served { p50, p95, p99, n } = served;
    ServedQuantiles { p50, p95, p99, n }
}

fn share([legacy, candidate]: [u64; 2]) -> Option<f64> {
    let all = legacy + candidate;
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    (all > 0).then(|| candidate as f64 / all as f64)
}

/// Returns the line that lets an endpoint be mirrored again.
fn allow_line(endpoint: &str) -> String {
    let path = endpoint.split_once(' ').map_or(endpoint, |(_, path)| path);
    let mut named = String::with_capacity(path.len());
    let mut n = 0;
    for piece in path.split_inclusive("{}") {
        match piece.strip_suffix("{}") {
            Some(front) => {
                n += 1;
                named.push_str(front);
                // Writing to a string cannot fail.
                write!(named, "{{p{n}}}").unwrap_or_default();
            }
            None => named.push_str(piece),
        }
    }
    format!("shadow: {{ allow: [{{ path: \"{named}\" }}] }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_those_of_the_last_minute_from_the_first_beat_on() {
        let mut failures = Failures::default();
        assert_eq!(failures.note([7, 3]), [0, 0], "they may be old");
        assert_eq!(failures.note([8, 3]), [1, 0]);
        for _ in 0..Failures::BEATS {
            failures.note([8, 5]);
        }
        assert_eq!(failures.note([9, 5]), [1, 0]);
    }

    #[test]
    fn the_line_that_allows_an_endpoint_names_its_captures() {
        let line = allow_line("GET /orders/{}/cancel/{}");
        assert_eq!(
            line,
            "shadow: { allow: [{ path: \"/orders/{p1}/cancel/{p2}\" }] }"
        );
        assert_eq!(
            allow_line("GET /logout"),
            "shadow: { allow: [{ path: \"/logout\" }] }"
        );
    }

    #[test]
    fn a_request_that_never_ended_does_not_outlive_the_process() {
        let tally = Arc::new(Tally::default());
        let open = tally.open();
        tally.ended(crate::model::Outcome::Match);
        let mut base = Counts {
            requests: 5,
            ..Counts::default()
        };
        base.outcomes[crate::model::Outcome::Aborted.index()] = 5;
        let counts = sum(Some(&base), &tally);
        assert_eq!(counts.requests, 7);
        assert_eq!(ended(counts).requests, 6);
        drop(open);
    }
}
