//! K1: a bound on a rate that holds however often one looks. Pure.
//!
//! A beta-binomial mixture martingale with prior `Beta(1, 1/q0)` on the rate of differences:
//!
//! ```text
//! log M(q) = lnB(1+f, 1/q0+s) − lnB(1, 1/q0) − f·ln q − s·ln(1−q),   s = n − f
//! ```
//!
//! The rates with `log M(q) < ln(1/α)` cover the true one at all `n` at once with probability
//! `1 − α` (Robbins' mixture; Howard and others 2021, *Time-uniform,
//! nonparametric, nonasymptotic confidence sequences*). A fixed-n interval looked at again and
//! again passes a slice that stands exactly at its limit in a third of all cases.

/// How unsure every figure may be: 95 % sure.
pub const ALPHA: f64 = 0.05;

/// Halvings of an interval; after 60 its ends agree to the last bit that matters.
const STEPS: u32 = 60;
/// More pairs than these are out of reach.
const REACH: u64 = 1 << 40;

/// Returns a count as a real number; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts stay far below 2^53, and a ratio of larger ones would not notice"
)]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

/// Returns `ln B(a, b) = ln Γ(a) + ln Γ(b) − ln Γ(a+b)` for positive `a` and `b`.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

fn ln_gamma(x: f64) -> f64 {
    libm::lgamma_r(x).0
}

/// Returns the lower and the upper bound of parity after `f` of `n` pairs differed.
///
/// `q0` is the rate of differences that would just do, `1 − target`, within (0, 1).
pub fn k1_bounds(n: u64, f: u64, q0: f64, alpha: f64) -> (f64, f64) {
    if n == 0 || f > n {
        return (0.0, 1.0);
    }
    let martingale = Martingale::new(n, f, q0);
    let limit = -alpha.ln();
    let rate = real(f) / real(n);
    let upper = bisect(rate, 1.0, |q| martingale.log(q) < limit);
    let lower = if f == 0 {
        0.0
    } else {
        bisect(rate, 0.0, |q| martingale.log(q) < limit)
    };
    (1.0 - upper, 1.0 - lower)
}

/// Returns how many pairs in all show a rate of at most `q0` if `f` of them differ.
///
/// None if that is out of reach, as a rate of 0 is.
pub fn k1_needed(f: u64, q0: f64, alpha: f64) -> Option<u64> {
    if !(q0 > 0.0 && q0 < 1.0) {
        return None;
    }
    let shown = |n: u64| k1_below(n, f, q0, alpha);
    let mut high = f.max(1);
    while !shown(high) {
        high = high.checked_mul(2).filter(|&high| high <= REACH)?;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if shown(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

/// Returns whether the rate is shown to be below `q0`: its upper bound is.
pub(super) fn k1_below(n: u64, f: u64, q0: f64, alpha: f64) -> bool {
    n > 0 && f <= n && real(f) / real(n) < q0 && Martingale::new(n, f, q0).log(q0) >= -alpha.ln()
}

/// Returns whether the rate is shown to be above `q0`: its lower bound is.
pub(super) fn k1_above(n: u64, f: u64, q0: f64, alpha: f64) -> bool {
    n > 0 && f <= n && real(f) / real(n) > q0 && Martingale::new(n, f, q0).log(q0) >= -alpha.ln()
}

/// Returns the least and the greatest number of values, of `n`, that may lie below the
/// `p`-quantile: it lies between the values of rank `least` and `greatest + 1`, from 1.
///
/// Being below the quantile is a yes or no with chance `p`, so the same martingale, with its
/// prior centered there, bounds the number of values below it.
pub fn rank_band(n: u64, p: f64, alpha: f64) -> (u64, u64) {
    let prior = p / (1.0 - p);
    let limit = -alpha.ln();
    let inside = |below: u64| {
        let (below, above) = (real(below), real(n - below));
        let mixed = ln_beta(prior + below, 1.0 + above) - ln_beta(prior, 1.0);
        mixed - below * p.ln() - above * (1.0 - p).ln() < limit
    };
    let center = floor(real(n) * p).min(n);
    if !inside(center) {
        return (0, n);
    }
    (edge(center, 0, &inside), edge(center, n, &inside))
}

/// Returns the last rank from `inside` towards `end` for which the predicate holds.
fn edge(inside: u64, end: u64, holds: &impl Fn(u64) -> bool) -> u64 {
    if holds(end) {
        return end;
    }
    let (mut good, mut bad) = (inside, end);
    while good.abs_diff(bad) > 1 {
        let middle = good.min(bad) + good.abs_diff(bad) / 2;
        if holds(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}

/// Returns the whole part of a number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a float saturates, which is meant"
)]
pub(super) fn floor(number: f64) -> u64 {
    number as u64
}

/// Returns the last point from `inside` towards `end` for which the predicate holds.
fn bisect(inside: f64, end: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut good, mut bad) = (inside, end);
    for _ in 0..STEPS {
        let middle = f64::midpoint(good, bad);
        if holds(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    bad
}

struct Martingale {
    constant: f64,
    f: f64,
    s: f64,
}

impl Martingale {
    fn new(n: u64, f: u64, q0: f64) -> Self {
        let (s, f) = (real(n - f), real(f));
        let b = 1.0 / q0.clamp(1e-12, 1.0 - 1e-12);
        Self {
            constant: ln_beta(1.0 + f, b + s) - ln_beta(1.0, b),
            f,
            s,
        }
    }

    fn log(&self, q: f64) -> f64 {
        // A side that was never seen says nothing, even at the ends, where its logarithm is −∞.
        let part = |count: f64, ln: f64| if count > 0.0 { count * ln } else { 0.0 };
        self.constant - part(self.f, q.ln()) - part(self.s, (-q).ln_1p())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 5e-7
    }

    #[test]
    fn the_bounds_are_those_of_the_published_vectors() {
        for (n, f, q0, lower, upper) in [
            (10_000, 0, 0.001, 0.999_461, 1.0),
            (10_000, 5, 0.001, 0.998_558, 0.999_902),
            (1_000, 3, 0.01, 0.988_934, 0.999_697),
            (50_000, 20, 0.001, 0.999_251, 0.999_819),
        ] {
            let (l, u) = k1_bounds(n, f, q0, ALPHA);
            assert!(close(l, lower) && close(u, upper), "{n} {f}: {l} {u}");
        }
    }

    #[test]
    fn certainty_costs_what_the_table_says() {
        for (f, q0, alpha, n) in [
            (0, 0.01, 0.05, 472),
            (0, 0.01, 0.01, 661),
            (0, 0.001, 0.05, 4_741),
            (0, 0.001, 0.01, 6_635),
            (0, 0.0001, 0.05, 47_436),
            (0, 0.0001, 0.01, 66_380),
            (1, 0.001, 0.05, 7_202),
            (2, 0.001, 0.05, 9_295),
            (3, 0.001, 0.05, 11_210),
            (5, 0.001, 0.05, 14_744),
            (10, 0.001, 0.05, 22_715),
        ] {
            assert_eq!(k1_needed(f, q0, alpha), Some(n), "f={f} q0={q0}");
        }
        assert_eq!(k1_needed(0, 0.0, 0.05), None);
    }

    #[test]
    fn the_ranks_of_p99_are_those_of_the_published_vectors() {
        for (n, low, high, digits) in [
            (1_000, 0.979, 0.998, 1e3),
            (10_000, 0.9865, 0.9931, 1e4),
            (100_000, 0.9888, 0.9911, 1e4),
        ] {
            let (l, h) = rank_band(n, 0.99, ALPHA);
            let quantile = |rank: u64| (real(rank) / real(n) * digits).round() / digits;
            let (l, h) = (quantile(l), quantile(h + 1));
            assert!(close(l, low) && close(h, high), "{n}: {l} {h}");
        }
    }

    proptest! {
        #[test]
        fn ln_beta_is_the_oracles(a in 0.01f64..1e6, b in 0.01f64..1e6) {
            let (ours, oracle) = (ln_beta(a, b), statrs::function::beta::ln_beta(a, b));
            let scale = a + b;
            prop_assert!((ours - oracle).abs() <= 1e-12 * scale * scale.ln().abs().max(1.0) + 1e-9);
        }

        #[test]
        fn the_bounds_hold_the_estimate(n in 1u64..2_000_000, share in 0.0f64..=1.0, q0 in 1e-5f64..0.5) {
            let f = floor(real(n) * share).min(n);
            let (lower, upper) = k1_bounds(n, f, q0, ALPHA);
            let parity = 1.0 - real(f) / real(n);
            prop_assert!(0.0 <= lower && lower <= parity + 1e-12 && parity <= upper + 1e-12 && upper <= 1.0);
        }

        #[test]
        fn being_shown_is_what_the_bounds_say(n in 1u64..100_000, share in 0.0f64..0.01, q0 in 1e-4f64..0.01) {
            let f = floor(real(n) * share).min(n);
            let (lower, upper) = k1_bounds(n, f, q0, ALPHA);
            prop_assume!((1.0 - upper - q0).abs() > 1e-9 && (1.0 - lower - q0).abs() > 1e-9);
            prop_assert_eq!(k1_above(n, f, q0, ALPHA), 1.0 - upper > q0);
            prop_assert_eq!(k1_below(n, f, q0, ALPHA), 1.0 - lower < q0);
        }

        #[test]
        fn what_is_needed_just_suffices(f in 0u64..200, exponent in 1.0f64..4.0) {
            let q0 = 10f64.powf(-exponent);
            let n = k1_needed(f, q0, ALPHA).unwrap();
            prop_assert!(k1_bounds(n, f, q0, ALPHA).0 >= 1.0 - q0 - 1e-9);
            prop_assert!(n <= f.max(1) || k1_bounds(n - 1, f, q0, ALPHA).0 < 1.0 - q0);
        }
    }
}
