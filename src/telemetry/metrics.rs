//! Registers every metric of the table and hands out its handles.
//!
//! Handles are made on first use, so that what never happened has no series.

use super::names::Kind;
use super::names::ROWS;
use super::names::SECONDS;
use prometheus::Gauge;
use prometheus::GaugeVec;
use prometheus::Histogram;
use prometheus::HistogramOpts;
use prometheus::HistogramVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug)]
enum Family {
    Counter(IntCounterVec),
    Gauge(GaugeVec),
    Histogram(HistogramVec),
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    families: HashMap<&'static str, Family>,
}

/// All metrics of the process. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers the whole table.
    pub fn new() -> Self {
        let registry = Registry::new();
        let mut families = HashMap::with_capacity(ROWS.len());
        for row in ROWS {
            let opts = Opts::new(row.name, row.help);
            let family = match row.kind {
                Kind::Counter => IntCounterVec::new(opts, row.labels)
                    .and_then(|v| registry.register(Box::new(v.clone())).map(|()| v))
                    .map(Family::Counter),
                Kind::Gauge => GaugeVec::new(opts, row.labels)
                    .and_then(|v| registry.register(Box::new(v.clone())).map(|()| v))
                    .map(Family::Gauge),
                Kind::Histogram => {
                    let opts = HistogramOpts::from(opts).buckets(SECONDS.to_vec());
                    HistogramVec::new(opts, row.labels)
                        .and_then(|v| registry.register(Box::new(v.clone())).map(|()| v))
                        .map(Family::Histogram)
                }
            };
            families.insert(
                row.name,
                family.expect("the table holds valid, distinct names"),
            );
        }
        Self(Arc::new(Inner { registry, families }))
    }

    fn family(&self, name: &str) -> &Family {
        self.0
            .families
            .get(name)
            .unwrap_or_else(|| panic!("`{name}` is not in the table of metrics"))
    }

    /// Returns the counter of a row of the table.
    ///
    /// # Panics
    /// If the table has no such counter with so many labels: a defect of the caller.
    pub fn counter(&self, name: &str, labels: &[&str]) -> IntCounter {
        match self.family(name) {
            Family::Counter(vec) => vec.with_label_values(labels),
            _ => panic!("`{name}` is not a counter"),
        }
    }

    /// Returns the gauge of a row of the table; panics as [`Metrics::counter`] does.
    pub fn gauge(&self, name: &str, labels: &[&str]) -> Gauge {
        match self.family(name) {
            Family::Gauge(vec) => vec.with_label_values(labels),
            _ => panic!("`{name}` is not a gauge"),
        }
    }

    /// Returns the histogram of a row of the table; panics as [`Metrics::counter`] does.
    pub fn histogram(&self, name: &str, labels: &[&str]) -> Histogram {
        match self.family(name) {
            Family::Histogram(vec) => vec.with_label_values(labels),
            _ => panic!("`{name}` is not a histogram"),
        }
    }

    /// Forgets every series of a gauge, before it is set anew.
    pub fn clear(&self, name: &str) {
        if let Family::Gauge(vec) = self.family(name) {
            vec.reset();
        }
    }

    /// Forgets one series of a gauge, which has no value any more.
    pub fn forget(&self, name: &str, labels: &[&str]) {
        if let Family::Gauge(vec) = self.family(name)
            && vec.remove_label_values(labels).is_err()
        {
            // It had none before.
        }
    }

    /// Writes all series in Prometheus' text format 0.0.4.
    pub fn gather(&self) -> String {
        let mut out = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.0.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics could not be written");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_gathered_under_its_name() {
        let metrics = Metrics::new();
        metrics
            .counter("supplant_config_reloads_total", &["ok"])
            .inc();
        let text = metrics.gather();
        assert!(text.contains("supplant_config_reloads_total{result=\"ok\"} 1"));
    }
}
