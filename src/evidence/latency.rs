//! How fast both sides answer the same requests, from latency pairs. Pure.

use crate::evidence::paired;
use crate::evidence::parity::ALPHA;
use crate::evidence::parity::floor;
use crate::evidence::parity::rank_band;
use crate::evidence::parity::real;
use crate::evidence::summary::Band;
use crate::evidence::summary::Latency;
use crate::evidence::summary::Quantiles;
use crate::evidence::words;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Pairs before a ratio is shown.
const RATIO_FROM: u64 = 100;
/// The width of a bin of `ln(candidate / legacy)`: half a percent.
const BIN: f64 = 0.005;
/// Bins on either side; a ratio beyond e^10 counts as that.
const BINS: f64 = 2_000.0;
/// The bin of an answer that never came: later than every other.
const NEVER: i16 = i16::MAX;
/// Longer times count as an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// The latency pairs of an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Latencies {
    pub(super) pairs: u64,
    pub(super) slow_candidate: u64,
    pub(super) slow_legacy: u64,
    pub(super) errors: u64,
    pub(super) alarm: bool,
    pub(super) ratio: BTreeMap<i16, u64>,
    pub(super) legacy: Times,
    pub(super) candidate: Times,
}

/// Times of one side, made when the first is seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Times(Option<Histogram<u32>>);

impl Times {
    pub(super) fn add(&mut self, us: u64, count: u32) {
        if self.0.is_none() {
            self.0 = Histogram::new_with_bounds(1, LONGEST_US, 2).ok();
        }
        if let Some(times) = &mut self.0 {
            times.saturating_record_n(us.clamp(1, LONGEST_US), count);
        }
    }

    /// Returns the counts, time by time.
    pub(super) fn counts(&self) -> Vec<(u64, u32)> {
        let times = self.0.iter().flat_map(Histogram::iter_recorded);
        times
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
            .collect()
    }

    fn quantiles(&self) -> Option<Quantiles> {
        let times = self.0.as_ref()?;
        let n = times.len();
        let at =
            |p: f64, from: u64| (n >= from).then(|| real(times.value_at_quantile(p)) / 1_000_000.0);
        Some(Quantiles {
            p50: at(0.5, 20),
            p95: at(0.95, 200),
            p99: at(0.99, 1_000),
            n,
        })
    }
}

impl Latencies {
    /// Adds a pair; a candidate that failed was slower and in error.
    pub(super) fn add(&mut self, legacy_us: u64, candidate_us: Option<u64>) {
        self.pairs += 1;
        self.legacy.add(legacy_us, 1);
        let bin = match candidate_us {
            None => {
                self.errors += 1;
                self.slow_candidate += 1;
                NEVER
            }
            Some(us) => {
                self.candidate.add(us, 1);
                // Equal microseconds are a tie, and say nothing.
                self.slow_candidate += u64::from(us > legacy_us);
                self.slow_legacy += u64::from(us < legacy_us);
                bin(legacy_us, us)
            }
        };
        *self.ratio.entry(bin).or_default() += 1;
        self.alarm |= paired::k2_alarm(
            self.slow_candidate,
            self.slow_legacy,
            paired::LATENCY,
            paired::single_limit(),
        );
    }

    /// Returns the figures.
    pub(super) fn view(&self) -> Latency {
        let mut view = Latency {
            pairs: self.pairs,
            ratio: self.band(),
            legacy: self.legacy.quantiles(),
            candidate: self.candidate.quantiles(),
            slow_candidate: self.slow_candidate,
            slow_legacy: self.slow_legacy,
            errors_candidate: self.errors,
            log_e: paired::k2_log_e(self.slow_candidate, self.slow_legacy, paired::LATENCY),
            alarm: self.alarm,
            sentence: String::new(),
        };
        view.sentence = words::latency(&view, RATIO_FROM);
        view
    }

    fn band(&self) -> Option<Band> {
        if self.pairs < RATIO_FROM {
            return None;
        }
        let (low, high) = rank_band(self.pairs, 0.5, ALPHA);
        Some(Band {
            value: self.at_rank(self.pairs / 2),
            lower: self.at_rank(low.saturating_sub(1)),
            upper: self.at_rank(high.min(self.pairs - 1)),
        })
    }

    fn at_rank(&self, rank: u64) -> f64 {
        let mut below = 0;
        let mut at = 0;
        for (&bin, &count) in &self.ratio {
            at = bin;
            below += count;
            if below > rank {
                break;
            }
        }
        (f64::from(at) * BIN).exp()
    }
}

/// Returns the bin of the ratio of two times.
fn bin(legacy_us: u64, candidate_us: u64) -> i16 {
    let ratio = real(candidate_us.max(1)) / real(legacy_us.max(1));
    let place = (ratio.ln() / BIN).clamp(-BINS, BINS).round();
    let size = i16::try_from(floor(place.abs())).unwrap_or(i16::MAX - 1);
    if place < 0.0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_twice_as_slow_shows_its_ratio_and_alarms() {
        let mut latencies = Latencies::default();
        for i in 0..1_000u64 {
            let legacy = 5_000 + i * 7 % 900;
            latencies.add(legacy, Some(legacy * 2));
        }
        let view = latencies.view();
        let ratio = view.ratio.unwrap();
        assert!((ratio.value - 2.0).abs() < 0.02, "{ratio:?}");
        assert!(ratio.lower <= ratio.value && ratio.value <= ratio.upper);
        assert!(view.alarm && view.slow_candidate == 1_000 && view.slow_legacy == 0);
        assert_eq!(
            view.sentence,
            "On the same requests the candidate is 100 % slower at the median (between 100 % and 100 %)."
        );
        let p99 = view.candidate.unwrap().p99.unwrap();
        assert!((0.0100..0.0120).contains(&p99), "{p99}");
    }

    #[test]
    fn equal_times_are_ties_and_failures_are_slow() {
        let mut latencies = Latencies::default();
        latencies.add(10, Some(10));
        latencies.add(10, None);
        let view = latencies.view();
        assert_eq!((view.slow_candidate, view.slow_legacy), (1, 0));
        assert_eq!((view.errors_candidate, view.pairs), (1, 2));
        assert_eq!(view.ratio, None);
    }

    #[test]
    fn twenty_in_a_hundred_failures_stay_in_the_ratio() {
        let mut latencies = Latencies::default();
        for i in 0..100 {
            latencies.add(1_000, (i % 5 > 0).then_some(1_000));
        }
        assert!(latencies.view().ratio.unwrap().upper >= 1.0);
        assert_eq!(latencies.ratio.get(&NEVER), Some(&20));
    }
}
