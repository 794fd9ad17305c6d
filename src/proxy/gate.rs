//! What comes in, within bounds: how fast connections are accepted, and how many requests are under
//! way. A bound that is not set costs nothing.

use crate::descriptors;
use crate::rules::Limits;
use crate::telemetry::Metrics;
use prometheus::IntCounter;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// How long a listener rests after it could not accept: nothing spins while there is no descriptor.
const REST: Duration = Duration::from_millis(20);
/// How many seconds lie between two lines of the log about that.
const QUIET: u64 = 10;

/// The bounds of the data plane, shared by its threads.
#[derive(Debug)]
pub(super) struct Gate {
    pace: Option<Pace>,
    inflight: Option<Arc<Inflight>>,
    /// Requests on one connection.
    pub(super) requests: Option<u64>,
    start: Instant,
    warned: AtomicU64,
    metrics: Metrics,
}

impl Gate {
    pub(super) fn new(limits: &Limits, metrics: &Metrics) -> Self {
        let delayed = || metrics.counter("supplant_accepts_delayed_total", &[]);
        Self {
            pace: limits.accept_rate.map(|rate| Pace::new(rate, delayed())),
            inflight: limits.inflight.map(|limit| {
                Arc::new(Inflight {
                    limit,
                    now: AtomicUsize::new(0),
                })
            }),
            requests: limits.requests,
            start: Instant::now(),
            warned: AtomicU64::new(0),
            metrics: metrics.clone(),
        }
    }

    /// Returns a place for a request, or nothing if there is none left.
    pub(super) fn enter(&self) -> Option<Place> {
        match &self.inflight {
            None => Some(Place(None)),
            Some(inflight) => Inflight::enter(inflight),
        }
    }

    /// A connection was accepted: waits as long as the rate asks for. Meanwhile others wait in the
    /// kernel's queue, so that a burst is served late instead of being refused.
    pub(super) async fn paced(&self) {
        let Some(pace) = &self.pace else { return };
        if let Some(wait) = pace.take(Instant::now()) {
            pace.delayed.inc();
            tokio::time::sleep(wait).await;
        }
    }

    /// A connection could not be accepted. Neither a lack of descriptors nor a client that is gone
    /// ends the listener.
    pub(super) async fn failed(&self, error: &io::Error) {
        let lack = descriptors::is_lack(error);
        let reason = if lack { "descriptors" } else { "other" };
        self.metrics
            .counter("supplant_accept_errors_total", &[reason])
            .inc();
        let now = self.start.elapsed().as_secs() + QUIET;
        let last = self.warned.load(Relaxed);
        let first = now >= last + QUIET
            && self
                .warned
                .compare_exchange(last, now, Relaxed, Relaxed)
                .is_ok();
        if first {
            tracing::warn!(%error, "connections could not be accepted");
        }
        tokio::time::sleep(REST).await;
    }

    /// Counts a connection that was accepted and is refused.
    pub(super) fn refused(&self, reason: &str) {
        let name = "supplant_connections_refused_total";
        self.metrics.counter(name, &[reason]).inc();
    }
}

/// How many requests are under way.
#[derive(Debug)]
struct Inflight {
    limit: usize,
    now: AtomicUsize,
}

impl Inflight {
    fn enter(inflight: &Arc<Self>) -> Option<Place> {
        if inflight.now.fetch_add(1, Relaxed) >= inflight.limit {
            inflight.now.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Place(Some(Arc::clone(inflight))))
    }
}

/// A request's place among those under way.
#[derive(Debug)]
pub(super) struct Place(Option<Arc<Inflight>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(inflight) = &self.0 {
            inflight.now.fetch_sub(1, Relaxed);
        }
    }
}

/// So many connections a second, over all threads: a token bucket of a tenth of a second, kept as
/// the one moment at which it will be full again.
#[derive(Debug)]
struct Pace {
    start: Instant,
    /// Nanoseconds between two connections.
    step: u64,
    burst: u64,
    full: AtomicU64,
    delayed: IntCounter,
}

impl Pace {
    fn new(rate: u32, delayed: IntCounter) -> Self {
        let step = 1_000_000_000 / u64::from(rate.max(1));
        Self {
            start: Instant::now(),
            step,
            burst: step.max(100_000_000),
            full: AtomicU64::new(0),
            delayed,
        }
    }

    /// Takes a token; returns how long to wait before the next connection.
    fn take(&self, now: Instant) -> Option<Duration> {
        let now = u64::try_from(now.duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        let next = |full: u64| Some(full.max(now).saturating_add(self.step));
        let before = self.full.fetch_update(Relaxed, Relaxed, next);
        let full = next(before.unwrap_or_else(|full| full)).unwrap_or(now);
        let over = full.saturating_sub(now).saturating_sub(self.burst);
        (over > 0).then(|| Duration::from_nanos(over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_are_accepted_at_the_rate_after_a_short_burst() {
        let counter = Metrics::new().counter("supplant_accepts_delayed_total", &[]);
        let pace = Pace::new(100, counter);
        let start = Instant::now();
        for _ in 0..50 {
            if let Some(wait) = pace.take(Instant::now()) {
                tokio::time::sleep(wait).await;
            }
        }
        let took = start.elapsed().as_millis();
        assert!((390..=410).contains(&took), "{took}");
        // After a rest, the bucket is full, and no fuller.
        tokio::time::sleep(Duration::from_mins(1)).await;
        let free = (0..50).filter(|_| pace.take(Instant::now()).is_none());
        assert_eq!(free.count(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_without_descriptors_rests_and_counts() {
        let metrics = Metrics::new();
        let gate = Gate::new(&Limits::default(), &metrics);
        let start = Instant::now();
        gate.failed(&rustix::io::Errno::MFILE.into()).await;
        gate.failed(&io::ErrorKind::ConnectionAborted.into()).await;
        assert!(start.elapsed() >= 2 * REST);
        for reason in ["descriptors", "other"] {
            let name = "supplant_accept_errors_total";
            assert_eq!(metrics.counter(name, &[reason]).get(), 1, "{reason}");
        }
    }

    #[test]
    fn a_place_is_free_again_when_its_request_has_ended() {
        let limits = Limits {
            inflight: Some(2),
            ..Limits::default()
        };
        let gate = Gate::new(&limits, &Metrics::new());
        let (first, second) = (gate.enter(), gate.enter());
        assert!(first.is_some() && second.is_some() && gate.enter().is_none());
        drop(first);
        assert!(gate.enter().is_some());
    }
}
