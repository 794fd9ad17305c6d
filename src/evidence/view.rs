//! Reads the summary from the evidence. Pure.

use crate::evidence::book::Endpoint;
use crate::evidence::book::Settled;
use crate::evidence::epoch::Evidence;
use crate::evidence::parity::ALPHA;
use crate::evidence::parity::k1_bounds;
use crate::evidence::parity::k1_needed;
use crate::evidence::parity::real;
use crate::evidence::summary::Counts;
use crate::evidence::summary::EndpointView;
use crate::evidence::summary::Parity;
use crate::evidence::summary::Summary;
use crate::evidence::template::OTHER;
use crate::evidence::words;
use crate::model::UnixMillis;
use std::cmp::Ordering;
use std::sync::Arc;

/// Endpoints that a page lists.
const SHOWN: usize = 200;

impl Evidence {
    /// Returns the figures.
    pub fn summary(&self, now: UnixMillis) -> Summary {
        let book = &self.current.book;
        let (n, f) = book.totals();
        let mut parity = figures(n, f, self.target);
        parity.sentence = words::parity(&parity, "comparable requests", self.slots.rate(now));
        if book.learning {
            parity = figures(0, 0, self.target);
            parity.sentence = words::learning();
        }
        let (n, f) = book.control_totals();
        let mut legacy_self = figures(n, f, self.target);
        legacy_self.sentence = words::legacy_self(&legacy_self);
        let masked = book.endpoints.iter().map(|e| e.masked).sum();
        Summary {
            epoch: self.epoch(),
            masked_share: if parity.n == 0 {
                0.0
            } else {
                real(masked) / real(parity.n)
            },
            parity,
            legacy_self,
            latency: self.current.latencies.view(),
            reclassified: book.reclassified,
            masked,
            learning: book.learning,
            endpoints: self.endpoint_views(),
            slots: self.slots.view(),
            counts: self.counts(),
        }
    }

    fn endpoint_views(&self) -> Vec<EndpointView> {
        let book = &self.current.book;
        let mut seen: Vec<&Endpoint> = book.endpoints.iter().filter(|e| e.is_seen()).collect();
        // The worst first; `_other` has no place of its own in that order.
        seen.sort_by(|a, b| worst_first(a, b));
        let rest = seen.split_off(seen.len().min(SHOWN));
        let mut views: Vec<EndpointView> = seen.into_iter().map(Endpoint::view).collect();
        if let Some(more) = rest
            .into_iter()
            .map(Endpoint::view)
            .reduce(|a, b| added(a, &b))
        {
            let (lower, upper) = k1_bounds(more.n, more.f, 1.0 - self.target, ALPHA);
            views.push(EndpointView {
                endpoint: OTHER.into(),
                lower,
                upper,
                ..more
            });
        }
        views
    }

    fn counts(&self) -> Counts {
        let book = &self.current.book;
        let size = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let settled = |wanted: Settled| {
            let keys = book.keys.iter().filter(|key| key.settled == wanted);
            size(keys.count())
        };
        Counts {
            sets: size(book.sets.len()),
            keys: size(book.keys.len()),
            noisy_keys: settled(Settled::Noisy),
            regression_keys: settled(Settled::Regression),
            endpoints: size(book.endpoints.len()),
            key_overflow: book.key_overflow,
            endpoint_overflow: book.endpoint_overflow,
            late: self.late,
            mixed_triples: book.mixed,
            restarts: book.restarts,
            damaged: self.damaged,
        }
    }
}

impl Endpoint {
    fn is_seen(&self) -> bool {
        self.n > 0 || self.controls > 0
    }

    fn view(&self) -> EndpointView {
        EndpointView {
            endpoint: Arc::clone(&self.name),
            n: self.n,
            f: self.f,
            masked: self.masked,
            lower: self.bounds.0,
            upper: self.bounds.1,
            controls: self.controls,
            triples: self.triples,
            templates: 1,
        }
    }
}

fn worst_first(a: &Endpoint, b: &Endpoint) -> Ordering {
    let bounds = a.bounds.0.total_cmp(&b.bounds.0);
    bounds.then_with(|| a.name.cmp(&b.name))
}

fn added(a: EndpointView, b: &EndpointView) -> EndpointView {
    EndpointView {
        n: a.n + b.n,
        f: a.f + b.f,
        masked: a.masked + b.masked,
        controls: a.controls + b.controls,
        triples: a.triples + b.triples,
        templates: a.templates + b.templates,
        ..a
    }
}

/// Returns parity with its interval and what is still needed, without a sentence.
fn figures(n: u64, f: u64, target: f64) -> Parity {
    let q0 = 1.0 - target;
    let (lower, upper) = k1_bounds(n, f, q0, ALPHA);
    Parity {
        n,
        f,
        lower,
        upper,
        target,
        needed: k1_needed(f, q0, ALPHA).map(|needed| needed.saturating_sub(n)),
        sentence: String::new(),
    }
}
