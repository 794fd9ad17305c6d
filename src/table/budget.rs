//! Rates, as gates that many threads pass without a lock.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::Instant;

/// Lets a number of things a second pass, and a second's worth at once after a quiet time.
///
/// The generic cell rate algorithm (ITU-T I.371, virtual scheduling).
#[derive(Debug)]
pub struct Gate {
    start: Instant,
    /// When the next thing would conform, in nanoseconds since `start`.
    due: AtomicU64,
}

const SECOND: u64 = 1_000_000_000;

impl Gate {
    /// Makes a gate that starts with a full allowance.
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            due: AtomicU64::new(0),
        }
    }

    /// Returns whether one more may pass at `now`, and takes it if so.
    pub fn pass(&self, now: Instant, per_second: u32) -> bool {
        let Some(step) = SECOND.checked_div(u64::from(per_second)) else {
            return false;
        };
        let now = now.saturating_duration_since(self.start);
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX / 2);
        let taken = self.due.fetch_update(Relaxed, Relaxed, |due| {
            let due = due.max(now) + step;
            (due <= now + SECOND).then_some(due)
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_gate_lets_its_rate_pass_and_a_second_of_it_at_once() {
        let start = Instant::now();
        let gate = Gate::new(start);
        assert_eq!((0..200).filter(|_| gate.pass(start, 50)).count(), 50);
        let passed = (0..10_000u64)
            .filter(|i| gate.pass(start + Duration::from_millis(*i), 50))
            .count();
        assert!((499..=501).contains(&passed), "{passed}");
        assert!(!gate.pass(start + Duration::from_mins(1), 0));
    }
}
