//! One address of a backend: how much it has to do and how well it is, in relaxed atomics that all
//! threads share.
//!
//! Moments are milliseconds since the backend was made; zero stands for never.

use super::connect::Address;
use super::head::bracketed;
use crate::rules::Ejection;
use crate::rules::Scheme;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The share of an endpoint that gets all that falls to it.
pub(super) const FULL: u32 = 1_024;
/// What an endpoint that has just come back gets at least.
const LEAST: u32 = FULL / 10;
/// A pause is at most so many times the first.
const LONGEST: u64 = 10;

/// An address, what is spoken there, and its state.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    pub(super) scheme: Scheme,
    /// The name to ask for: the host of the rules.
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    inflight: AtomicU32,
    failures: AtomicU32,
    /// How often it was left alone without having been well in between.
    times: AtomicU32,
    until: AtomicU64,
    slow_from: AtomicU64,
    ill: AtomicBool,
}

impl Endpoint {
    pub(super) fn new(address: Address, scheme: Scheme, host: Arc<str>, port: u16) -> Self {
        Self {
            address,
            scheme,
            host,
            port,
            inflight: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            times: AtomicU32::new(0),
            until: AtomicU64::new(0),
            slow_from: AtomicU64::new(0),
            ill: AtomicBool::new(false),
        }
    }

    /// Returns whether two stand for the same thing to connect to.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.address == other.address && self.scheme == other.scheme && self.host == other.host
    }

    /// Returns its name and port, as in an authority.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }

    /// Returns the scheme of its addresses as HTTP knows it.
    pub(super) fn transport(&self) -> &'static str {
        match self.scheme {
            Scheme::Https => "https",
            Scheme::Http | Scheme::H2c => "http",
        }
    }

    pub(super) fn begin(&self) {
        self.inflight.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.inflight.fetch_sub(1, Relaxed);
    }

    pub(super) fn inflight(&self) -> u32 {
        self.inflight.load(Relaxed)
    }

    /// Returns which part of [`FULL`] of what falls to this endpoint it is to get: none while it is
    /// ill or left alone, little when it has just come back.
    pub(super) fn share(&self, now: u64, ejection: &Ejection) -> u32 {
        if self.ill.load(Relaxed) || self.until.load(Relaxed) > now {
            return 0;
        }
        let from = self.slow_from.load(Relaxed);
        if from == 0 {
            return FULL;
        }
        let gone = now.saturating_sub(from);
        let slow = millis(ejection.slow_start);
        if gone >= slow {
            if self
                .slow_from
                .compare_exchange(from, 0, Relaxed, Relaxed)
                .is_err()
            {
                // It was ejected again in between, which starts it anew.
            }
            return FULL;
        }
        let part = u64::from(FULL) * gone / slow;
        u32::try_from(part).unwrap_or(FULL).max(LEAST)
    }

    /// Returns whether it is left alone.
    pub(super) fn is_ejected(&self, now: u64) -> bool {
        self.until.load(Relaxed) > now
    }

    /// Returns whether it failed when it was asked.
    pub(super) fn is_ill(&self) -> bool {
        self.ill.load(Relaxed)
    }

    /// Notes an answer that is no failure.
    pub(super) fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        if self.times.load(Relaxed) != 0 && self.slow_from.load(Relaxed) == 0 {
            self.times.store(0, Relaxed);
        }
    }

    /// Notes a failure; returns whether the endpoint is left alone from now on.
    ///
    /// After a pause the first failure is enough, since nothing good was seen of it since.
    pub(super) fn failed(&self, now: u64, ejection: &Ejection) -> bool {
        if ejection.failures == 0 {
            return false;
        }
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        let until = self.until.load(Relaxed);
        if failures < ejection.failures || until > now {
            return false;
        }
        let times = self.times.load(Relaxed);
        let factor = 1_u64.checked_shl(times).unwrap_or(LONGEST).min(LONGEST);
        let back = now + (millis(ejection.pause) * factor).max(1);
        // Of several threads that see the failure at once, one ejects.
        let won = self
            .until
            .compare_exchange(until, back, Relaxed, Relaxed)
            .is_ok();
        if won {
            self.times.store(times.saturating_add(1).min(16), Relaxed);
            self.slow_from.store(back, Relaxed);
            self.failures.store(ejection.failures - 1, Relaxed);
        }
        won
    }

    /// Notes what asking it has shown; returns whether that is news.
    pub(super) fn probed(&self, well: bool, now: u64) -> bool {
        let was_ill = self.ill.swap(!well, Relaxed);
        if was_ill && well {
            self.slow_from.store(now.max(1), Relaxed);
        }
        was_ill == well
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn endpoint() -> Endpoint {
        let address = Address::Tcp("127.0.0.1:1".parse().unwrap());
        Endpoint::new(address, Scheme::Http, "a".into(), 1)
    }

    const RULE: Ejection = Ejection {
        failures: 3,
        pause: Duration::from_secs(10),
        slow_start: Duration::from_secs(10),
    };

    #[test]
    fn failures_in_a_row_eject_and_a_good_answer_between_them_does_not() {
        let one = endpoint();
        assert!(!one.failed(1, &RULE) && !one.failed(1, &RULE));
        one.succeeded();
        assert!(!one.failed(2, &RULE) && !one.failed(2, &RULE));
        assert_eq!(one.share(2, &RULE), FULL);
        assert!(one.failed(3, &RULE));
        assert!(one.is_ejected(3));
        assert_eq!(one.share(10_002, &RULE), 0);
        assert!(!one.failed(4, &RULE), "it is left alone already");
    }

    #[test]
    fn a_pause_doubles_up_to_ten_times_and_starts_again_after_a_good_time() {
        let one = endpoint();
        let mut now = 1;
        let mut pauses = Vec::new();
        for _ in 0..2 {
            assert!(!one.failed(now, &RULE));
        }
        for _ in 0..6 {
            assert!(
                one.failed(now, &RULE),
                "one failure after a pause is enough"
            );
            let mut back = now;
            while one.is_ejected(back) {
                back += 1_000;
            }
            pauses.push((back - now) / 1_000);
            now = back;
        }
        assert_eq!(pauses, [10, 20, 40, 80, 100, 100]);
        one.succeeded();
        assert_eq!(one.share(now + 60_000, &RULE), FULL);
        one.succeeded();
        now += 60_000;
        assert!(!one.failed(now, &RULE) && !one.failed(now, &RULE));
        assert!(one.failed(now, &RULE));
        assert!(!one.is_ejected(now + 10_000));
    }

    #[test]
    fn an_endpoint_that_comes_back_gets_slowly_more() {
        let one = endpoint();
        for _ in 0..3 {
            one.failed(1, &RULE);
        }
        assert_eq!(one.share(10_001, &RULE), LEAST);
        assert_eq!(one.share(15_001, &RULE), FULL / 2);
        assert_eq!(one.share(20_001, &RULE), FULL);
    }

    #[test]
    fn what_asking_shows_counts_at_once_and_is_news_once() {
        let one = endpoint();
        assert!(!one.probed(true, 5));
        assert!(one.probed(false, 6) && !one.probed(false, 7));
        assert_eq!(one.share(7, &RULE), 0);
        assert!(one.probed(true, 8));
        assert_eq!(one.share(8, &RULE), LEAST);
    }

    #[test]
    fn nothing_is_ejected_where_the_rules_say_never() {
        let rule = Ejection {
            failures: 0,
            ..RULE
        };
        let one = endpoint();
        assert!((0..100).all(|_| !one.failed(1, &rule)));
    }
}
