//! K2: the same request on both sides. Pure.
//!
//! For a yes-or-no event only discordant requests count: `b` where the candidate alone is bad, `c`
//! where legacy alone is. If the candidate is no worse, each is a fair coin, and
//!
//! ```text
//! log E = lnB(a+b, a+c) − lnB(a, a) + (b+c)·ln 2
//! ```
//!
//! is the logarithm of a fair game's fortune: it reaches `1/α` with probability at most `α`,
//! however often one looks (a sequential `McNemar` test; Ville's inequality).

use crate::evidence::parity::ALPHA;
use crate::evidence::parity::ln_beta;
use crate::evidence::parity::real;
use std::f64::consts::LN_2;
use std::f64::consts::PI;

/// The prior for rare events, status and errors and noise: an alarm after 9 one-sided requests.
pub const RARE: f64 = 2.0;
/// The prior for latency, where a small lean over many requests counts.
pub const LATENCY: f64 = 10.0;

/// Returns the logarithm of the evidence that the candidate is worse.
pub fn k2_log_e(b: u64, c: u64, a: f64) -> f64 {
    let (b, c) = (real(b), real(c));
    ln_beta(a + b, a + c) - ln_beta(a, a) + (b + c) * LN_2
}

/// Returns whether that evidence is an alarm of the candidate at `log_limit`.
pub fn k2_alarm(b: u64, c: u64, a: f64, log_limit: f64) -> bool {
    b > c && k2_log_e(b, c, a) >= log_limit
}

/// Returns the limit for one question alone, `ln(1/α)`.
pub fn single_limit() -> f64 {
    -ALPHA.ln()
}

/// Returns the limit for the `j`-th key of a slice, from 1: `ln(π²j²/(6α))`.
///
/// The limits' inverses sum up to `α`, so all keys of a slice together keep it. One limit for all
/// would let a third to a half of all slices with forty noisy keys raise a false alarm.
pub fn key_limit(j: u64) -> f64 {
    let j = real(j.max(1));
    (PI * PI * j * j / (6.0 * ALPHA)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evidence_is_that_of_the_published_vectors() {
        for (b, c, a, log_e) in [
            (30, 10, 10.0, 2.899_932),
            (12, 8, 10.0, -0.147_375),
            (9, 0, 2.0, 3.147_282),
        ] {
            let ours = k2_log_e(b, c, a);
            assert!((ours - log_e).abs() < 5e-7, "{b} {c}: {ours}");
        }
    }

    #[test]
    fn one_sided_requests_alarm_after_9_12_and_16() {
        for (alpha, needed) in [(0.05f64, 9), (0.01, 12), (0.001, 16)] {
            let first = (1..100).find(|&b| k2_alarm(b, 0, RARE, -alpha.ln()));
            assert_eq!(first, Some(needed));
        }
    }

    #[test]
    fn one_sided_keys_alarm_after_10_as_first_and_23_as_fortieth() {
        for (j, needed) in [(1, 10), (40, 23)] {
            let first = (1..100).find(|&b| k2_alarm(b, 0, RARE, key_limit(j)));
            assert_eq!(first, Some(needed));
        }
    }

    #[test]
    fn the_limits_of_all_keys_keep_one_promise() {
        let spent: f64 = (1..200_000).map(|j| (-key_limit(j)).exp()).sum();
        assert!(spent <= ALPHA && spent > 0.999 * ALPHA, "{spent}");
    }
}
