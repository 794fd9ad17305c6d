//! What may be done again is a share of what is done at all, so that help never becomes load.

use crate::model::Share;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A token, in the unit of a share.
const TOKEN: i64 = 10_000;

/// A bucket of tokens: requests put in a share of one, and something goes in by itself.
#[derive(Debug)]
pub struct Budget {
    tokens: AtomicI64,
    most: i64,
    /// Tokens that a second brings without any request.
    floor: i64,
    filled: AtomicU64,
    seen: AtomicU64,
}

impl Budget {
    /// Makes a full bucket of `most` tokens, which gets `floor` tokens a second by itself.
    pub fn new(most: u32, floor: u32) -> Self {
        let most = i64::from(most) * TOKEN;
        Self {
            tokens: AtomicI64::new(most),
            most,
            floor: i64::from(floor) * TOKEN,
            filled: AtomicU64::new(0),
            seen: AtomicU64::new(0),
        }
    }

    /// Puts in the share of so many requests.
    pub fn requests(&self, count: u64, share: Share) {
        let part = i64::try_from(count).unwrap_or(i64::MAX / TOKEN);
        self.put(part.saturating_mul(i64::from(share.hundredths())));
    }

    /// Puts in the share of the requests since the last call, of which there were `all` so far.
    pub fn requests_so_far(&self, all: u64, share: Share) {
        let before = self.seen.fetch_max(all, Relaxed);
        self.requests(all.saturating_sub(before), share);
    }

    /// Takes a token if there is one; `now` is in milliseconds.
    pub fn take(&self, now: u64) -> bool {
        if self.floor > 0 {
            let before = self.filled.fetch_max(now, Relaxed);
            let gone = i64::try_from(now.saturating_sub(before)).unwrap_or(0);
            self.put(gone.min(1_000_000) * self.floor / 1_000);
        }
        let taken = self.tokens.fetch_update(Relaxed, Relaxed, |tokens| {
            (tokens >= TOKEN).then_some(tokens - TOKEN)
        });
        taken.is_ok()
    }

    fn put(&self, part: i64) {
        let most = self.most;
        let add = |tokens: i64| Some(tokens.saturating_add(part).min(most));
        if self.tokens.fetch_update(Relaxed, Relaxed, add).is_err() {
            // `add` always gives a value.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_requests_may_be_repeated_after_the_first_burst() {
        let budget = Budget::new(10, 0);
        let share = Share::new(2_000).unwrap();
        assert_eq!((0..50).filter(|_| budget.take(0)).count(), 10);
        budget.requests(40, share);
        assert_eq!((0..50).filter(|_| budget.take(0)).count(), 8);
        budget.requests_so_far(100, share);
        budget.requests_so_far(105, share);
        assert_eq!(
            (0..50).filter(|_| budget.take(0)).count(),
            10,
            "the bucket is bounded"
        );
        budget.requests_so_far(115, share);
        assert_eq!((0..50).filter(|_| budget.take(0)).count(), 2);
    }

    #[test]
    fn time_alone_brings_some_where_it_is_to() {
        let budget = Budget::new(5, 10);
        assert_eq!((0..50).filter(|_| budget.take(1)).count(), 5);
        assert_eq!((0..50).filter(|_| budget.take(301)).count(), 3);
        assert!(!Budget::new(0, 0).take(1_000_000));
    }
}
