//! One slice at run time. The hot path finds everything here: nothing is looked up by name.

use super::bind::Shared;
use super::budget::Gate;
use super::cookies::Cookies;
use super::notes::Notes;
use super::tally::Tally;
use crate::evidence::Known;
use crate::model::Head;
use crate::model::Role;
use crate::model::Share;
use crate::model::Side;
use crate::model::SliceId;
use crate::model::SliceIx;
use crate::rules;
use crate::rules::Snapshot;
use crate::telemetry::Metrics;
use crate::upstream::Backend;
use crate::upstream::Budget;
use crate::upstream::head::Passage;
use arc_swap::ArcSwap;
use http::HeaderMap;
use http::HeaderValue;
use http::header;
use prometheus::Histogram;
use prometheus::IntCounter;
use prometheus::core::Metric;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// The class of a status, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusClass(u8);

impl StatusClass {
    /// No complete answer.
    pub const ERROR: Self = Self(5);
    const COUNT: usize = 6;
    const WORDS: [&'static str; Self::COUNT] = ["1xx", "2xx", "3xx", "4xx", "5xx", "error"];

    /// Returns the class of a status.
    pub fn of(status: u16) -> Self {
        match status {
            100..=599 => Self(u8::try_from(status / 100 - 1).unwrap_or(5)),
            _ => Self::ERROR,
        }
    }
}

/// Latency of served answers in seconds, estimated from buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Served {
    /// Half were faster.
    pub p50: f64,
    /// 95 of 100 were faster.
    pub p95: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
    /// How many there were.
    pub n: u64,
}

const ROLES: [Role; 3] = [Role::Served, Role::Shadow, Role::Control];
const SIDES: [Side; 2] = [Side::Legacy, Side::Candidate];
/// So many copies in a row found no place: the candidate has come to a stop.
const STUCK: u32 = 256;

/// So many requests may fall back at once, whatever their share is.
const FALLBACKS: u32 = 10;

type PerCall<T> = [[OnceLock<T>; ROLES.len()]; SIDES.len()];

/// What of a slice outlives a reload: kept by its name.
#[derive(Debug)]
pub(super) struct State {
    label: Arc<str>,
    metrics: Metrics,
    tally: Arc<Tally>,
    known: ArcSwap<Known>,
    notes: Notes,
    cookies: Cookies,
    copies: Gate,
    controls: Gate,
    fallbacks: Budget,
    inflight: AtomicU32,
    refused_in_row: AtomicU32,
    durations: [[OnceLock<Histogram>; StatusClass::COUNT]; SIDES.len()],
    side_durations: PerCall<Histogram>,
    first_bytes: PerCall<Histogram>,
    answers: [[[OnceLock<IntCounter>; StatusClass::COUNT]; ROLES.len()]; SIDES.len()],
}

impl State {
    pub(super) fn new(label: Arc<str>, metrics: Metrics, now: Instant) -> Self {
        Self {
            label,
            metrics,
            tally: Arc::default(),
            known: ArcSwap::default(),
            notes: Notes::default(),
            cookies: Cookies::default(),
            copies: Gate::new(now),
            controls: Gate::new(now),
            fallbacks: Budget::new(FALLBACKS, 0),
            inflight: AtomicU32::new(0),
            refused_in_row: AtomicU32::new(0),
            durations: Default::default(),
            side_durations: Default::default(),
            first_bytes: Default::default(),
            answers: Default::default(),
        }
    }

    pub(super) fn label(&self) -> &Arc<str> {
        &self.label
    }

    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }
}

/// A slice in the running process.
#[derive(Clone, Debug)]
pub struct Lane {
    id: SliceId,
    place: Option<(Snapshot, SliceIx)>,
    legacy: Arc<Backend>,
    candidate: Option<Arc<Backend>>,
    passages: [Passage; SIDES.len()],
    state: Arc<State>,
    shared: Arc<Shared>,
}

impl Lane {
    pub(super) fn new(
        id: SliceId,
        place: Option<(Snapshot, SliceIx)>,
        backends: (Arc<Backend>, Option<Arc<Backend>>),
        identity: &Arc<rules::Identity>,
        state: Arc<State>,
        shared: Arc<Shared>,
    ) -> Self {
        let slice = place.as_ref().and_then(|(rules, ix)| rules.slice(*ix));
        let passage =
            |backend: &Backend, side| Passage::new(identity, slice, backend.config(), side);
        let legacy = passage(&backends.0, Side::Legacy);
        let candidate = backends.1.as_ref();
        let candidate = candidate.map_or_else(|| legacy.clone(), |b| passage(b, Side::Candidate));
        Self {
            passages: [legacy, candidate],
            id,
            place,
            legacy: backends.0,
            candidate: backends.1,
            state,
            shared,
        }
    }

    /// Returns the slice's name.
    pub fn id(&self) -> &SliceId {
        &self.id
    }

    /// Returns what the rules say of the slice; nothing for what no slice takes.
    pub fn slice(&self) -> Option<&rules::Slice> {
        let (snapshot, ix) = self.place.as_ref()?;
        snapshot.slices().get(ix.get())
    }

    /// Returns whether the slice's `shadow.allow` names a request.
    pub fn allows(&self, head: &Head<'_>) -> bool {
        self.place
            .as_ref()
            .is_some_and(|(snapshot, ix)| rules::allowed(snapshot, *ix, head))
    }

    /// Returns the backend of a side. Where there is no candidate, legacy.
    pub fn backend(&self, side: Side) -> &Arc<Backend> {
        match (side, &self.candidate) {
            (Side::Candidate, Some(candidate)) => candidate,
            _ => &self.legacy,
        }
    }

    /// Returns what changes in heads on their way to a side and back.
    pub fn passage(&self, side: Side) -> &Passage {
        &self.passages[side as usize]
    }

    /// Returns what in an answer, as it came, names the version of its side.
    pub fn version(&self, side: Side, answer: &HeaderMap) -> Option<HeaderValue> {
        let name = self.backend(side).config().version_header.as_ref()?;
        answer.get(name).cloned()
    }

    /// Notices which cookies a side sets, and counts those that both sides set.
    pub fn observe_cookies(&self, side: Side, answer: &HeaderMap) {
        // Few names are looked through sooner than one is looked up.
        if self.candidate.is_none() || !answer.keys().any(|name| *name == header::SET_COOKIE) {
            return;
        }
        let shared = self.state.cookies.set(side, answer);
        if shared > 0 {
            let name = "supplant_cookies_shared_total";
            self.state
                .metrics
                .counter(name, &[self.label()])
                .inc_by(shared);
        }
    }

    /// Returns the slice's counts.
    pub fn tally(&self) -> &Arc<Tally> {
        self.state.tally()
    }

    /// Returns what the evidence has taught about the slice so far.
    pub fn known(&self) -> arc_swap::Guard<Arc<Known>> {
        self.state.known.load()
    }

    /// Publishes what the evidence has taught. For the tick.
    pub fn learn(&self, known: Arc<Known>) {
        self.state.known.store(known);
    }

    /// Returns what was noticed about endpoints.
    pub fn notes(&self) -> &Notes {
        &self.state.notes
    }

    /// Returns the label that stands for the slice in metrics: its name, or `_other`.
    pub fn label(&self) -> &str {
        &self.state.label
    }

    /// Returns whether the slice's rate lets one more copy pass, and takes it if so.
    pub fn copy_passes(&self, now: Instant) -> bool {
        match self.slice().map(|s| s.shadow.rate) {
            Some(Some(rate)) => self.state.copies.pass(now, rate),
            Some(None) => true,
            None => false,
        }
    }

    /// Returns whether the budget lets one more request fall back to legacy, and takes it if so.
    pub fn fallback_passes(&self, budget: Share) -> bool {
        let all = self.tally().requests();
        self.state.fallbacks.requests_so_far(all, budget);
        self.state.fallbacks.take(0)
    }

    /// Returns whether the caps on control calls let one more pass, and takes it if so:
    /// 5 a second a slice, 20 a second in all, a tenth of what legacy answers otherwise.
    pub fn control_passes(&self, now: Instant) -> bool {
        if self.slice().is_some_and(|s| !s.compare.control_capped) {
            return true;
        }
        self.shared.control_share_passes()
            && self.state.controls.pass(now, 5)
            && self.shared.controls.pass(now, 20)
    }

    /// Returns whether a copy would find no place anyway: all are taken, and of a long row of copies
    /// none found one. Then making and queueing more of them would only take time from live answers.
    /// As soon as a place is free, copies are made again.
    pub fn is_stuck(&self) -> bool {
        self.state.refused_in_row.load(Relaxed) >= STUCK
            && self.state.inflight.load(Relaxed) >= self.inflight_limit()
    }

    fn inflight_limit(&self) -> u32 {
        self.slice().map_or(0, |s| s.shadow.max_inflight)
    }

    /// Takes a place among the slice's copies in flight; nothing if there is none left.
    pub fn enter(&self) -> Option<InFlight> {
        let limit = self.inflight_limit();
        let taken = self
            .state
            .inflight
            .fetch_update(Relaxed, Relaxed, |n| (n < limit).then_some(n + 1));
        if taken.is_err() {
            self.state.refused_in_row.fetch_add(1, Relaxed);
        } else if self.state.refused_in_row.load(Relaxed) != 0 {
            self.state.refused_in_row.store(0, Relaxed);
        }
        taken.ok().map(|_| {
            self.shared.inflight.fetch_add(1, Relaxed);
            InFlight {
                state: Arc::clone(&self.state),
                shared: Arc::clone(&self.shared),
            }
        })
    }

    /// Observes an answer that a client got.
    pub fn observe_request(&self, side: Side, class: StatusClass, took: Duration) {
        let state = &*self.state;
        let slot = &state.durations[side as usize][usize::from(class.0)];
        let name = "supplant_request_duration_seconds";
        let word = StatusClass::WORDS[usize::from(class.0)];
        slot.get_or_init(|| {
            let labels = [&*state.label, side.as_str(), word];
            state.metrics.histogram(name, &labels)
        })
        .observe(took.as_secs_f64());
    }

    /// Observes the head of an answer of a side.
    pub fn observe_head(&self, side: Side, role: Role, status: u16, took: Duration) {
        let state = &*self.state;
        let class = StatusClass::of(status);
        let labels = [&*state.label, side.as_str(), role.as_str()];
        let slot = &state.first_bytes[side as usize][role as usize];
        let name = "supplant_side_time_to_first_byte_seconds";
        slot.get_or_init(|| state.metrics.histogram(name, &labels))
            .observe(took.as_secs_f64());
        let slot = &state.answers[side as usize][role as usize][usize::from(class.0)];
        let name = "supplant_backend_requests_total";
        let word = StatusClass::WORDS[usize::from(class.0)];
        slot.get_or_init(|| {
            let labels = [labels[0], labels[1], labels[2], word];
            state.metrics.counter(name, &labels)
        })
        .inc();
        if side == Side::Legacy && role != Role::Control {
            self.shared.legacy_calls.fetch_add(1, Relaxed);
        }
    }

    /// Observes the end of an answer of a side.
    pub fn observe_end(&self, side: Side, role: Role, took: Duration) {
        let state = &*self.state;
        let slot = &state.side_durations[side as usize][role as usize];
        let name = "supplant_side_request_duration_seconds";
        let labels = [&*state.label, side.as_str(), role.as_str()];
        slot.get_or_init(|| state.metrics.histogram(name, &labels))
            .observe(took.as_secs_f64());
    }

    /// Counts a call of a side that got no complete answer.
    pub fn observe_error(&self, side: Side, role: Role, error: &str) {
        let labels = [self.label(), side.as_str(), role.as_str(), error];
        let name = "supplant_backend_errors_total";
        self.state.metrics.counter(name, &labels).inc();
    }

    /// Counts differences by kind and by what was known of their place.
    pub fn observe_difference(&self, kind: &str, verdict: &str) {
        let labels = [self.label(), kind, verdict];
        let name = "supplant_pair_differences_total";
        self.state.metrics.counter(name, &labels).inc();
    }

    /// Estimates the latency of what a side served, since the start.
    pub fn served(&self, side: Side) -> Option<Served> {
        let mut counts: Vec<(f64, u64)> = Vec::new();
        for slot in &self.state.durations[side as usize] {
            let Some(histogram) = slot.get() else {
                continue;
            };
            let metric = histogram.metric();
            for (i, bucket) in metric.get_histogram().get_bucket().iter().enumerate() {
                if counts.len() <= i {
                    counts.push((bucket.upper_bound(), 0));
                }
                counts[i].1 += bucket.cumulative_count();
            }
            let n = histogram.get_sample_count();
            match counts.last_mut() {
                Some((bound, all)) if bound.is_infinite() => *all += n,
                _ => counts.push((f64::INFINITY, n)),
            }
        }
        let n = counts.last()?.1;
        (n > 0).then(|| Served {
            p50: quantile(&counts, 0.50),
            p95: quantile(&counts, 0.95),
            p99: quantile(&counts, 0.99),
            n,
        })
    }
}

/// Reads a quantile from cumulative buckets, linear within one, as Prometheus does.
fn quantile(buckets: &[(f64, u64)], q: f64) -> f64 {
    let n = buckets.last().map_or(0, |b| b.1);
    let rank = q * u64_to_f64(n);
    let (mut below, mut lower) = (0, 0.0);
    for (bound, cumulative) in buckets {
        if u64_to_f64(*cumulative) >= rank {
            if bound.is_infinite() {
                return lower;
            }
            let inside = u64_to_f64(cumulative - below).max(1.0);
            return lower + (bound - lower) * (rank - u64_to_f64(below)) / inside;
        }
        (below, lower) = (*cumulative, *bound);
    }
    lower
}

/// Returns the share of `part` in `whole`.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    u64_to_f64(part) / u64_to_f64(whole)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn u64_to_f64(n: u64) -> f64 {
    n as f64
}

/// A place among the copies in flight, given back when dropped.
#[derive(Debug)]
pub struct InFlight {
    state: Arc<State>,
    shared: Arc<Shared>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.inflight.fetch_sub(1, Relaxed);
        self.shared.inflight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_read_within_their_bucket() {
        let buckets = [(0.1, 50), (0.2, 100), (f64::INFINITY, 100)];
        assert!((quantile(&buckets, 0.5) - 0.1).abs() < 1e-9);
        assert!((quantile(&buckets, 0.75) - 0.15).abs() < 1e-9);
    }

    #[test]
    fn a_status_has_the_class_of_its_first_digit() {
        assert_eq!(StatusClass::of(204).0, 1);
        assert_eq!(StatusClass::of(599).0, 4);
        assert_eq!(StatusClass::of(0), StatusClass::ERROR);
        assert_eq!(StatusClass::of(700), StatusClass::ERROR);
    }
}
