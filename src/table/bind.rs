//! Binds a snapshot to the running process.

use super::budget::Gate;
use super::lane::Lane;
use super::lane::State;
use super::tally::ControlEnd;
use super::tally::Tally;
use crate::model::Outcome;
use crate::model::SliceId;
use crate::model::SliceIx;
use crate::rules::Snapshot;
use crate::store::Counts;
use crate::telemetry::Metrics;
use crate::upstream::Backend;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::Instant;

/// How many slices have labels of their own in metrics; the others share `_other`.
const LABELLED: usize = 200;
const OTHER: &str = "_other";

/// What all slices share, for the life of the process.
#[derive(Debug)]
pub struct Shared {
    metrics: Metrics,
    states: Mutex<BTreeMap<SliceId, Arc<State>>>,
    exported: Mutex<BTreeMap<Arc<str>, Exported>>,
    pub(super) controls: Gate,
    pub(super) legacy_calls: AtomicU64,
    pub(super) inflight: AtomicI64,
    control_calls: AtomicU64,
}

#[derive(Debug, Default)]
struct Exported {
    counts: Counts,
    controls: [u64; 4],
}

impl Shared {
    fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            states: Mutex::default(),
            exported: Mutex::default(),
            controls: Gate::new(Instant::now()),
            legacy_calls: AtomicU64::new(0),
            inflight: AtomicI64::new(0),
            control_calls: AtomicU64::new(0),
        }
    }

    /// Returns how many copies are in the hands of shadow threads.
    pub fn inflight(&self) -> i64 {
        self.inflight.load(Relaxed)
    }

    /// Takes one control call if they stay under a tenth of what legacy answers otherwise.
    pub(super) fn control_share_passes(&self) -> bool {
        let others = self.legacy_calls.load(Relaxed);
        let taken = self.control_calls.fetch_update(Relaxed, Relaxed, |calls| {
            ((calls + 1) * 10 <= others).then_some(calls + 1)
        });
        taken.is_ok()
    }

    fn state(&self, id: &SliceId, labelled: bool, now: Instant) -> Arc<State> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(id) {
            return Arc::clone(state);
        }
        let label: Arc<str> = if labelled { id.as_str() } else { OTHER }.into();
        if !labelled {
            let name = "supplant_metric_label_overflow_total";
            self.metrics.counter(name, &["slice"]).inc();
        }
        let state = Arc::new(State::new(label, self.metrics.clone(), now));
        states.insert(id.clone(), Arc::clone(&state));
        state
    }

    /// Brings the exported counters up to what the tallies say now.
    fn export(&self) {
        let mut sums: BTreeMap<Arc<str>, (Exported, i64)> = BTreeMap::new();
        for state in self
            .states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
        {
            let (sum, pending) = sums.entry(Arc::clone(state.label())).or_default();
            add(sum, state.tally());
            *pending += state.tally().pending();
        }
        let mut exported = self.exported.lock().unwrap_or_else(PoisonError::into_inner);
        for (label, (now, pending)) in sums {
            let before = exported.entry(Arc::clone(&label)).or_default();
            self.raise(&label, before, &now);
            let gauge = self.metrics.gauge("supplant_outcomes_pending", &[&label]);
            gauge.set(f64::from(i32::try_from(pending).unwrap_or(i32::MAX)));
            *before = now;
        }
    }

    fn raise(&self, label: &str, before: &Exported, now: &Exported) {
        let raise = |name: &str, labels: &[&str], before: u64, now: u64| {
            if now > before {
                self.metrics.counter(name, labels).inc_by(now - before);
            }
        };
        let (was, is) = (&before.counts, &now.counts);
        let name = "supplant_requests_total";
        raise(name, &[label], was.requests, is.requests);
        for (i, outcome) in Outcome::ALL.iter().enumerate() {
            let labels = [label, outcome.name(), outcome.reason()];
            let name = "supplant_outcomes_total";
            raise(name, &labels, was.outcomes[i], is.outcomes[i]);
        }
        for (i, end) in ControlEnd::ALL.iter().enumerate() {
            let name = "supplant_control_pairs_total";
            raise(
                name,
                &[label, end.as_str()],
                before.controls[i],
                now.controls[i],
            );
        }
        let name = "supplant_retired_hits_total";
        raise(name, &[label], was.retired_hits, is.retired_hits);
    }
}

fn add(sum: &mut Exported, tally: &Tally) {
    // Outcomes are read before requests, so that no outcome is seen without its request.
    let read = tally.read();
    for (sum, one) in sum.counts.outcomes.iter_mut().zip(read.outcomes) {
        *sum += one;
    }
    sum.counts.requests += read.requests;
    sum.counts.retired_hits += read.retired_hits;
    for (sum, end) in sum.controls.iter_mut().zip(ControlEnd::ALL) {
        *sum += tally.controls(end);
    }
}

/// A snapshot bound to the running process.
#[derive(Debug)]
pub struct Table {
    /// The rules in force.
    pub snapshot: Snapshot,
    lanes: Vec<Arc<Lane>>,
    backends: Vec<Arc<Backend>>,
    shared: Arc<Shared>,
}

impl Table {
    /// Returns the lane of a slice, or that of everything unmatched.
    pub fn lane(&self, slice: Option<SliceIx>) -> &Arc<Lane> {
        let last = self.lanes.len() - 1;
        let place = slice.map_or(last, |ix| ix.get().min(last));
        &self.lanes[place]
    }

    /// Returns the lanes in the order of the file; the last is that of everything unmatched.
    pub fn lanes(&self) -> &[Arc<Lane>] {
        &self.lanes
    }

    /// Returns the backends; the first is legacy.
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// Returns what all slices share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Brings the exported counters up to this moment; called before metrics are gathered.
    pub fn export(&self) {
        self.shared.export();
        for backend in &self.backends {
            let name = &*backend.config().name;
            let metrics = &self.shared.metrics;
            let up = f64::from(u8::from(backend.is_usable()));
            metrics.gauge("supplant_backend_up", &[name]).set(up);
            let active = f64::from(i32::try_from(backend.active()).unwrap_or(i32::MAX));
            let gauge = metrics.gauge("supplant_backend_active_requests", &[name]);
            gauge.set(active);
            let open = f64::from(u8::from(backend.is_circuit_open()));
            let gauge = metrics.gauge("supplant_backend_circuit_open", &[name]);
            gauge.set(open);
            let wellness = backend.wellness();
            for (state, count) in [
                ("well", wellness.well),
                ("ill", wellness.ill),
                ("ejected", wellness.ejected),
            ] {
                let gauge = metrics.gauge("supplant_backend_endpoints", &[name, state]);
                gauge.set(f64::from(count));
            }
        }
        self.export_migrated();
    }

    fn export_migrated(&self) {
        let served = self.lanes.iter().map(|lane| lane.tally().served_by());
        let [legacy, candidate] =
            served.fold([0, 0], |sum, one| [sum[0] + one[0], sum[1] + one[1]]);
        if legacy + candidate > 0 {
            let ratio = super::lane::ratio(candidate, legacy + candidate);
            let name = "supplant_migrated_traffic_ratio";
            self.shared.metrics.gauge(name, &[]).set(ratio);
        }
    }
}

/// Binds a snapshot: backends and counts of the previous table are carried over.
pub fn bind(snapshot: Snapshot, previous: Option<&Table>, metrics: &Metrics) -> Table {
    let shared = previous.map_or_else(
        || Arc::new(Shared::new(metrics.clone())),
        |table| Arc::clone(&table.shared),
    );
    let backends: Vec<Arc<Backend>> = snapshot
        .backends()
        .iter()
        .map(|config| {
            let kept = previous
                .and_then(|table| table.backends.iter().find(|b| b.config() == config))
                .map(Arc::clone);
            kept.unwrap_or_else(|| Arc::new(Backend::new(config.clone(), metrics)))
        })
        .collect();
    let now = Instant::now();
    let legacy = &backends[0];
    let identity = Arc::new(snapshot.identity().clone());
    let mut lanes = Vec::with_capacity(snapshot.slices().len() + 1);
    for (i, slice) in snapshot.slices().iter().enumerate() {
        let ix = SliceIx(u32::try_from(i).unwrap_or(u32::MAX));
        lanes.push(Arc::new(Lane::new(
            slice.id.clone(),
            Some((snapshot.clone(), ix)),
            (
                Arc::clone(legacy),
                backends.get(slice.backend.get()).map(Arc::clone),
            ),
            &identity,
            shared.state(&slice.id, i < LABELLED, now),
            Arc::clone(&shared),
        )));
    }
    let unmatched = SliceId::unmatched();
    lanes.push(Arc::new(Lane::new(
        unmatched.clone(),
        None,
        (Arc::clone(legacy), None),
        &identity,
        shared.state(&unmatched, true, now),
        Arc::clone(&shared),
    )));
    Table {
        snapshot,
        lanes,
        backends,
        shared,
    }
}
