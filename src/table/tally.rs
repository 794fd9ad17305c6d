//! Counts of the hot path, and the guard that makes every request end in exactly one outcome.

use crate::model::NotMirrored;
use crate::model::Outcome;
use crate::model::Shed;
use crate::model::Side;
use crate::store::Counts;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// How a control call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlEnd {
    /// It made a triple.
    Sandwiched,
    /// It made a latency pair.
    Latency,
    /// It failed, so it made nothing.
    Failed,
    /// A cap held it back.
    Capped,
}

impl ControlEnd {
    /// Every end.
    pub const ALL: [Self; 4] = [Self::Sandwiched, Self::Latency, Self::Failed, Self::Capped];

    /// Returns the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sandwiched => "sandwiched",
            Self::Latency => "latency",
            Self::Failed => "failed",
            Self::Capped => "capped",
        }
    }
}

/// What one slice counted since the process started. Kept by the slice's name across reloads.
#[derive(Debug)]
pub struct Tally {
    requests: AtomicU64,
    pending: AtomicI64,
    outcomes: [AtomicU64; Outcome::COUNT],
    served: [AtomicU64; 2],
    failed: [AtomicU64; 2],
    controls: [AtomicU64; 4],
    retired_hits: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            pending: AtomicI64::new(0),
            outcomes: [const { AtomicU64::new(0) }; Outcome::COUNT],
            served: [const { AtomicU64::new(0) }; 2],
            failed: [const { AtomicU64::new(0) }; 2],
            controls: [const { AtomicU64::new(0) }; 4],
            retired_hits: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// Counts a request whose outcome is not known yet.
    pub fn open(self: &Arc<Self>) -> Open {
        self.pending.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        Open(Some(Arc::clone(self)))
    }

    /// Counts a request whose outcome its head decided.
    pub fn ended(&self, outcome: Outcome) {
        self.outcomes[outcome.index()].fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
    }

    /// Counts an answer by the side that gave it.
    pub fn served(&self, side: Side) {
        self.served[side as usize].fetch_add(1, Relaxed);
    }

    /// Returns how many answers each side gave: legacy, candidate.
    pub fn served_by(&self) -> [u64; 2] {
        [self.served[0].load(Relaxed), self.served[1].load(Relaxed)]
    }

    /// Counts a request whose client got no complete answer because its side gave none.
    pub fn failed(&self, side: Side) {
        self.failed[side as usize].fetch_add(1, Relaxed);
    }

    /// Returns how many clients each side failed: legacy, candidate.
    pub fn failed_by(&self) -> [u64; 2] {
        [self.failed[0].load(Relaxed), self.failed[1].load(Relaxed)]
    }

    /// Counts a control call.
    pub fn control(&self, end: ControlEnd) {
        self.controls[end as usize].fetch_add(1, Relaxed);
    }

    /// Returns how many control calls ended so.
    pub fn controls(&self, end: ControlEnd) -> u64 {
        self.controls[end as usize].load(Relaxed)
    }

    /// Counts a request of a retired slice that legacy still served.
    pub fn retired_hit(&self) {
        self.retired_hits.fetch_add(1, Relaxed);
    }

    /// Returns how many requests there were.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Returns how many requests have not ended.
    pub fn pending(&self) -> i64 {
        self.pending.load(Relaxed)
    }

    /// Reads everything. Under traffic the numbers may be an instant apart from one another.
    pub fn read(&self) -> Counts {
        Counts {
            outcomes: std::array::from_fn(|i| self.outcomes[i].load(Relaxed)),
            requests: self.requests(),
            control_pairs: self.controls(ControlEnd::Sandwiched)
                + self.controls(ControlEnd::Latency),
            control_failed: self.controls(ControlEnd::Failed),
            retired_hits: self.retired_hits.load(Relaxed),
        }
    }
}

/// A request whose outcome is not known yet. It ends exactly once: by [`Open::end`], or when it is
/// dropped, which means that the process drained, or that a task panicked.
#[derive(Debug)]
#[must_use]
pub struct Open(Option<Arc<Tally>>);

impl Open {
    /// Counts the outcome.
    pub fn end(mut self, outcome: Outcome) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: Outcome) {
        if let Some(tally) = self.0.take() {
            tally.outcomes[outcome.index()].fetch_add(1, Relaxed);
            tally.pending.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let shed = if std::thread::panicking() {
            Shed::Panic
        } else {
            Shed::Drain
        };
        self.close(Outcome::Shed(shed));
    }
}

/// The outcome of what this proxy refused by itself.
pub(crate) const REFUSED: Outcome = Outcome::NotMirrored(NotMirrored::Limits);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_ends_exactly_once_whatever_happens() {
        let tally = Arc::new(Tally::default());
        tally.open().end(Outcome::Match);
        drop(tally.open());
        tally.ended(REFUSED);
        let open = tally.open();
        let ends = std::panic::AssertUnwindSafe(open);
        let thrown = std::panic::catch_unwind(move || {
            let _held = ends;
            std::panic::resume_unwind(Box::new("a defect"));
        });
        assert!(thrown.is_err());
        let counts = tally.read();
        for shed in [Shed::Panic, Shed::Drain] {
            assert_eq!(counts.outcomes[Outcome::Shed(shed).index()], 1);
        }
        assert_eq!(counts.requests, counts.outcomes.iter().sum::<u64>());
        assert_eq!(tally.pending(), 0);
    }
}
