//! Leaves a backend alone as a whole when too much of what it gets fails.
//!
//! Closed, it counts answers and failures of the last ten seconds. Open, nothing passes. After its
//! time one request at a time tries: a good answer closes it, a failure opens it again.

use crate::rules;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Acquire;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::Ordering::Release;

/// Seconds that are looked back on.
const WINDOW: u64 = 10;
const CELLS: usize = 10;
const MASK: u64 = (1 << 20) - 1;

/// The state of one backend's circuit; moments are milliseconds.
#[derive(Debug)]
pub(super) struct Circuit {
    rule: rules::Circuit,
    /// One cell a second: the second's number (24 bits), failures and requests (20 bits each).
    cells: [AtomicU64; CELLS],
    /// When one may try; zero while it is closed.
    open_until: AtomicU64,
    trying: AtomicBool,
}

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Pass.
    Free,
    /// Pass, as the one that tries.
    Trial,
    /// Not pass.
    Shut,
}

impl Circuit {
    pub(super) fn new(rule: rules::Circuit) -> Self {
        Self {
            rule,
            cells: Default::default(),
            open_until: AtomicU64::new(0),
            trying: AtomicBool::new(false),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open_until.load(Relaxed) != 0
    }

    pub(super) fn ask(&self, now: u64) -> Pass {
        let until = self.open_until.load(Relaxed);
        if until == 0 {
            return Pass::Free;
        }
        if now < until || self.trying.swap(true, Acquire) {
            return Pass::Shut;
        }
        // Who tried before may have told how it went since `until` was read.
        match self.open_until.load(Relaxed) {
            0 => {
                self.trying.store(false, Release);
                Pass::Free
            }
            until if now < until => {
                self.trying.store(false, Release);
                Pass::Shut
            }
            _ => Pass::Trial,
        }
    }

    /// Notes how a request went that passed; returns whether the circuit opened.
    pub(super) fn ended(&self, pass: Pass, well: bool, now: u64) -> bool {
        if pass == Pass::Trial {
            if well {
                for cell in &self.cells {
                    cell.store(0, Relaxed);
                }
                self.open_until.store(0, Relaxed);
            } else {
                self.open(now);
            }
            // Last, so that whoever tries next knows how this went.
            self.trying.store(false, Release);
            return !well;
        }
        if self.is_open() {
            return false;
        }
        self.count(well, now);
        if well || !self.is_over(now) {
            return false;
        }
        self.open(now);
        true
    }

    /// Notes that the one that tried ended without telling anything.
    pub(super) fn left(&self, pass: Pass) {
        if pass == Pass::Trial {
            self.trying.store(false, Release);
        }
    }

    fn open(&self, now: u64) {
        let open = u64::try_from(self.rule.open.as_millis()).unwrap_or(u64::MAX / 2);
        self.open_until.store((now + open).max(1), Relaxed);
    }

    fn count(&self, well: bool, now: u64) {
        let second = now / 1_000;
        let cell = usize::try_from(second % WINDOW).unwrap_or(0);
        let add = |cell: u64| {
            let (mut failures, mut all) = (cell >> 20 & MASK, cell & MASK);
            if cell >> 40 != stamp(second) {
                (failures, all) = (0, 0);
            }
            if all < MASK {
                failures += u64::from(!well);
                all += 1;
            }
            Some(stamp(second) << 40 | failures << 20 | all)
        };
        if self.cells[cell]
            .fetch_update(Relaxed, Relaxed, add)
            .is_err()
        {
            // `add` always gives a value.
        }
    }

    fn is_over(&self, now: u64) -> bool {
        let second = now / 1_000;
        let (mut failures, mut all) = (0, 0);
        for back in 0..WINDOW.min(second + 1) {
            let at = second - back;
            let cell = usize::try_from(at % WINDOW).unwrap_or(0);
            let cell = self.cells[cell].load(Relaxed);
            if cell >> 40 == stamp(at) {
                failures += cell >> 20 & MASK;
                all += cell & MASK;
            }
        }
        let share = u64::from(self.rule.failures.hundredths());
        all >= u64::from(self.rule.volume.max(1)) && failures * 10_000 >= all * share
    }
}

/// The number of a second, never that of an empty cell.
fn stamp(second: u64) -> u64 {
    (second + 1) & ((1 << 24) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Share;
    use std::time::Duration;

    fn circuit() -> Circuit {
        Circuit::new(rules::Circuit {
            failures: Share::new(5_000).unwrap(),
            volume: 10,
            open: Duration::from_secs(5),
        })
    }

    #[test]
    fn it_opens_at_its_share_of_failures_once_there_is_enough_to_judge() {
        let circuit = circuit();
        for _ in 0..9 {
            assert!(!circuit.ended(Pass::Free, false, 100));
        }
        assert!(circuit.ended(Pass::Free, false, 200));
        assert_eq!(circuit.ask(300), Pass::Shut);
        let circuit = self::circuit();
        for i in 0..100 {
            assert!(
                !circuit.ended(Pass::Free, i % 3 != 0, i * 10),
                "a third fails"
            );
        }
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let circuit = circuit();
        for _ in 0..9 {
            circuit.ended(Pass::Free, false, 100);
        }
        assert!(!circuit.ended(Pass::Free, false, 11_100));
        assert_eq!(circuit.ask(11_200), Pass::Free);
    }

    #[test]
    fn after_its_time_one_at_a_time_tries() {
        let circuit = circuit();
        for _ in 0..10 {
            circuit.ended(Pass::Free, false, 100);
        }
        assert_eq!(circuit.ask(5_099), Pass::Shut);
        assert_eq!(circuit.ask(5_100), Pass::Trial);
        assert_eq!(circuit.ask(5_100), Pass::Shut);
        circuit.left(Pass::Trial);
        assert_eq!(circuit.ask(5_100), Pass::Trial);
        assert!(circuit.ended(Pass::Trial, false, 5_200), "it opens again");
        assert_eq!(circuit.ask(10_199), Pass::Shut);
        assert_eq!(circuit.ask(10_200), Pass::Trial);
        assert!(!circuit.ended(Pass::Trial, true, 10_300));
        assert_eq!(circuit.ask(10_300), Pass::Free);
        assert!(!circuit.ended(Pass::Free, false, 10_400), "it counts anew");
    }
}
