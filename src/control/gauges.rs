//! What the loop knows, as metrics. Set on each beat, so that a scrape costs nothing.

use super::board::Board;
use super::board::RulesBoard;
use super::board::SliceBoard;
use crate::evidence::Band;
use crate::evidence::Summary;
use crate::model::Stage;
use crate::store::Health;
use crate::store::Lost;
use crate::telemetry::Metrics;
use prometheus::Gauge;
use prometheus::IntCounter;

/// Slices beyond these share a label, which no gauge can stand for.
const LABELLED: usize = 200;
/// Gauges of a slice: cleared when slices come or go, so that one that left leaves no stale value.
const PER_SLICE: [&str; 15] = [
    "supplant_parity_ratio",
    "supplant_parity_lower_bound_ratio",
    "supplant_parity_upper_bound_ratio",
    "supplant_parity_target_ratio",
    "supplant_legacy_parity_lower_bound_ratio",
    "supplant_legacy_parity_upper_bound_ratio",
    "supplant_paired_latency_ratio",
    "supplant_paired_latency_ratio_lower",
    "supplant_paired_latency_ratio_upper",
    "supplant_paired_discordant_total",
    "supplant_noise_fields",
    "supplant_masked_pairs_ratio",
    "supplant_slice_stage",
    "supplant_slice_share_ratio",
    "supplant_slice_stage_entered_timestamp_seconds",
];

/// What became of content that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// It runs now.
    Ok,
    /// It was refused.
    Rejected,
    /// It runs already.
    Unchanged,
}

/// The handles of the loop.
#[derive(Debug)]
pub(super) struct Gauges {
    metrics: Metrics,
    write_errors: IntCounter,
    dropped: Vec<(Lost, IntCounter)>,
    store_bytes: Gauge,
    successful: Gauge,
    restart: Gauge,
    slices: Vec<String>,
    hash: String,
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn float(n: u64) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn seconds(at: crate::model::UnixMillis) -> f64 {
    at.0 as f64 / 1_000.0
}

impl Gauges {
    pub(super) fn new(metrics: Metrics) -> Self {
        let dropped = Lost::ALL.into_iter().map(|reason| {
            let name = "supplant_evidence_dropped_samples_total";
            (reason, metrics.counter(name, &[reason.as_str()]))
        });
        Self {
            write_errors: metrics.counter("supplant_evidence_store_write_errors_total", &[]),
            dropped: dropped.collect(),
            store_bytes: metrics.gauge("supplant_evidence_store_bytes", &[]),
            successful: metrics.gauge("supplant_config_last_reload_successful", &[]),
            restart: metrics.gauge("supplant_restart_required", &[]),
            slices: Vec::new(),
            hash: String::new(),
            metrics,
        }
    }

    /// Counts content that was tried.
    pub(super) fn tried(&self, what: Tried, took: Option<std::time::Duration>) {
        let word = match what {
            Tried::Ok => "ok",
            Tried::Rejected => "rejected",
            Tried::Unchanged => "unchanged",
        };
        let name = "supplant_config_reloads_total";
        self.metrics.counter(name, &[word]).inc();
        if let Some(took) = took {
            let name = "supplant_config_reload_duration_seconds";
            self.metrics
                .histogram(name, &[])
                .observe(took.as_secs_f64());
        }
    }

    /// Counts a move of a slice.
    pub(super) fn moved(&self, slice: &SliceBoard, place: usize, actor_kind: &str, reason: &str) {
        let label = if place < LABELLED {
            slice.id.as_str()
        } else {
            "_other"
        };
        let to = if slice.killed {
            "killed"
        } else {
            slice.position.stage().as_str()
        };
        let labels = [label, to, actor_kind, reason];
        self.metrics
            .counter("supplant_transitions_total", &labels)
            .inc();
    }

    /// Says how the rules are, as soon as they are so.
    pub(super) fn rules(&self, rules: &RulesBoard) {
        self.successful.set(f64::from(u8::from(rules.successful)));
        let restart = u8::from(rules.restart_required);
        self.restart.set(f64::from(restart));
    }

    /// Brings counters and gauges up to the board.
    pub(super) fn set(&mut self, board: &Board, health: &Health) {
        raise(&self.write_errors, health.write_errors());
        for (reason, counter) in &self.dropped {
            raise(counter, health.lost(*reason));
        }
        self.store_bytes.set(float(health.bytes()));
        let name = "supplant_config_last_reload_success_timestamp_seconds";
        self.metrics
            .gauge(name, &[])
            .set(seconds(board.rules.taken_at));
        self.slices(board);
        if self.hash != board.rules.hash {
            self.hash.clone_from(&board.rules.hash);
            let labels = [self.hash.as_str(), env!("CARGO_PKG_VERSION")];
            self.metrics.clear("supplant_config_info");
            self.metrics.gauge("supplant_config_info", &labels).set(1.0);
        }
    }

    fn slices(&mut self, board: &Board) {
        let shown = board.slices.iter().take(LABELLED);
        let names: Vec<_> = shown.clone().map(|s| s.id.to_string()).collect();
        if names != self.slices {
            for name in PER_SLICE {
                self.metrics.clear(name);
            }
            self.slices = names;
        }
        for slice in shown {
            self.slice(slice);
        }
    }

    fn slice(&self, slice: &SliceBoard) {
        let id = slice.id.as_str();
        let set = |name: &str, labels: &[&str], value: f64| {
            self.metrics.gauge(name, labels).set(value);
        };
        let stage = slice.position.stage();
        for one in Stage::ALL {
            let is = f64::from(u8::from(one == stage));
            set("supplant_slice_stage", &[id, one.as_str()], is);
        }
        let share = if slice.killed {
            0.0
        } else {
            slice.position.share().ratio()
        };
        set("supplant_slice_share_ratio", &[id], share);
        let entered = "supplant_slice_stage_entered_timestamp_seconds";
        set(entered, &[id], seconds(slice.position_since));
        self.summary(id, &slice.summary);
    }

    /// What is not known, or not any more, has no series: a figure of an earlier epoch is none.
    fn summary(&self, id: &str, summary: &Summary) {
        let set = |name: &str, labels: &[&str], value: Option<f64>| match value {
            Some(value) => self.metrics.gauge(name, labels).set(value),
            None => self.metrics.forget(name, labels),
        };
        let parity = &summary.parity;
        let request = [id, "request"];
        let known = parity.n > 0 && !summary.learning;
        let ratio = known.then(|| 1.0 - float(parity.f) / float(parity.n));
        let lower = known.then_some(parity.lower);
        let upper = known.then_some(parity.upper);
        let target = Some(parity.target);
        set("supplant_parity_target_ratio", &request, target);
        set("supplant_parity_ratio", &request, ratio);
        set("supplant_parity_lower_bound_ratio", &request, lower);
        set("supplant_parity_upper_bound_ratio", &request, upper);
        let masked = known.then_some(summary.masked_share);
        set("supplant_masked_pairs_ratio", &[id], masked);
        let own = &summary.legacy_self;
        let lower = (own.n > 0).then_some(own.lower);
        let upper = (own.n > 0).then_some(own.upper);
        set("supplant_legacy_parity_lower_bound_ratio", &[id], lower);
        set("supplant_legacy_parity_upper_bound_ratio", &[id], upper);
        let noisy = Some(float(summary.counts.noisy_keys));
        set("supplant_noise_fields", &[id], noisy);
        let latency = &summary.latency;
        let median = [id, "0.5"];
        let ratio = |pick: fn(Band) -> f64| latency.ratio.map(pick);
        let (value, lower, upper) = (ratio(|r| r.value), ratio(|r| r.lower), ratio(|r| r.upper));
        set("supplant_paired_latency_ratio", &median, value);
        set("supplant_paired_latency_ratio_lower", &median, lower);
        set("supplant_paired_latency_ratio_upper", &median, upper);
        for (event, side, value) in [
            ("slower", "candidate", latency.slow_candidate),
            ("slower", "legacy", latency.slow_legacy),
            ("error", "candidate", latency.errors_candidate),
        ] {
            let name = "supplant_paired_discordant_total";
            set(name, &[id, event, side], Some(float(value)));
        }
    }
}

/// Brings a counter up to what was counted elsewhere.
fn raise(counter: &IntCounter, to: u64) {
    let more = to.saturating_sub(counter.get());
    if more > 0 {
        counter.inc_by(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_any_more_is_no_metric() {
        let metrics = Metrics::new();
        let gauges = Gauges::new(metrics.clone());
        let mut summary = Summary::default();
        summary.parity.n = 10;
        summary.legacy_self.n = 10;
        summary.latency.ratio = Some(Band {
            value: 1.1,
            lower: 1.0,
            upper: 1.2,
        });
        let names = [
            "supplant_parity_ratio{",
            "supplant_parity_lower_bound_ratio{",
            "supplant_parity_upper_bound_ratio{",
            "supplant_masked_pairs_ratio{",
            "supplant_legacy_parity_lower_bound_ratio{",
            "supplant_paired_latency_ratio{",
        ];
        gauges.summary("s", &summary);
        let text = metrics.gather();
        assert!(names.iter().all(|name| text.contains(name)), "{text}");
        // A new epoch.
        gauges.summary("s", &Summary::default());
        let text = metrics.gather();
        assert!(!names.iter().any(|name| text.contains(name)), "{text}");
        assert!(text.contains("supplant_parity_target_ratio{"), "{text}");
    }
}
