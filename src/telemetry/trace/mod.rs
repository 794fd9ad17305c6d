//! Spans: a server span for each sampled request, a client span for the call of the side that
//! served it, and for each copy a trace of its own that links to the request.
//!
//! The data plane leaves what a span is made from in a ring, as it does for the access log. A thread
//! of its own makes spans of it and sends them; nothing waits for a collector, and what finds no
//! room is counted.

mod context;
mod export;
mod span;
mod wire;

pub use context::Context;
pub use export::Exporter;
pub use span::Copied;
pub use span::Request;

use crate::clock;
use crate::settings::Root;
use crate::settings::Sampler;
use context::TRACEPARENT;
use context::TRACESTATE;
use http::HeaderMap;
use prometheus::IntCounter;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// What a span is made from.
#[derive(Debug)]
enum Item {
    Request(Request),
    /// A copy, and the request that it copies.
    Copied(Copied, Context),
}

/// What one side of the process has left.
#[derive(Debug)]
struct Ring {
    items: Mutex<Vec<Item>>,
    room: usize,
    dropped: IntCounter,
}

impl Ring {
    fn push(&self, item: Item) {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if items.len() < self.room {
            items.push(item);
        } else {
            self.dropped.inc();
        }
    }
}

/// One data-plane thread's end.
#[derive(Clone, Debug)]
pub struct Tracer {
    sampler: Sampler,
    requests: Arc<Ring>,
    copies: Arc<Ring>,
}

/// The spans of one request.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// The server span.
    server: Context,
    /// The client's span, which is its parent.
    parent: Option<u64>,
    /// The span of the call that serves it.
    leg: u64,
    /// Nanoseconds since 1970.
    started: u64,
}

impl Tracer {
    /// Decides about a request, by what it came with.
    pub fn begin(&self, headers: &HeaderMap) -> Spans {
        let parent = Context::of(headers);
        let trace = parent.map_or_else(trace_id, |parent| parent.trace);
        let sampled = match parent {
            Some(parent) if self.sampler.by_parent => parent.sampled,
            _ => takes(self.sampler.root, trace),
        };
        Spans {
            server: Context {
                trace,
                span: span_id(),
                sampled,
            },
            parent: parent.map(|parent| parent.span),
            leg: span_id(),
            started: if sampled { clock::unix_nanos() } else { 0 },
        }
    }

    /// Leaves a request that has ended.
    pub fn request(&self, request: Request) {
        self.requests.push(Item::Request(request));
    }

    /// Returns what the shadow needs to make a trace of its own for the copies of a request.
    pub fn copies(&self, of: Spans) -> Copies {
        Copies {
            ring: Arc::clone(&self.copies),
            of: of.server,
        }
    }
}

impl Spans {
    /// Returns whether anything is recorded.
    pub fn sampled(&self) -> bool {
        self.server.sampled
    }

    /// Writes the place of the call that serves the request. What a client sent passes unchanged if
    /// nothing is recorded.
    pub fn carry(&self, headers: &mut HeaderMap) {
        if self.parent.is_some() && !self.server.sampled {
            return;
        }
        let leg = Context {
            span: self.leg,
            ..self.server
        };
        carry(leg, headers, self.parent.is_none());
    }
}

/// How the copies of one request are traced.
#[derive(Clone, Debug)]
pub struct Copies {
    ring: Arc<Ring>,
    of: Context,
}

impl Copies {
    /// Begins the trace of one copy; returns its place and nanoseconds since 1970.
    pub fn begin(&self) -> (Context, u64) {
        let context = Context {
            trace: trace_id(),
            span: span_id(),
            sampled: self.of.sampled,
        };
        (context, clock::unix_nanos())
    }

    /// Writes the place of a copy instead of what the client sent.
    pub fn carry(context: Context, headers: &mut HeaderMap) {
        carry(context, headers, true);
    }

    /// Leaves a copy that has ended, with a link to its request.
    pub fn ended(&self, copied: Copied) {
        if self.of.sampled {
            self.ring.push(Item::Copied(copied, self.of));
        }
    }
}

fn carry(context: Context, headers: &mut HeaderMap, anew: bool) {
    let Some(value) = context.to_value() else {
        return;
    };
    if anew {
        // It belongs to the trace that this one does not continue.
        headers.remove(TRACESTATE);
    }
    headers.insert(TRACEPARENT, value);
}

/// Decides by the trace's id, as every OpenTelemetry SDK does, so that all agree about one trace.
fn takes(root: Root, trace: u128) -> bool {
    match root {
        Root::On => true,
        Root::Off => false,
        Root::Ratio(ratio) => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a ratio is from 0 to 1"
            )]
            let bound = (ratio * 9_223_372_036_854_775_808.0) as u64;
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
            let low = trace as u64 >> 1;
            low < bound
        }
    }
}

fn trace_id() -> u128 {
    (u128::from(clock::chance()) << 64 | u128::from(clock::chance())).max(1)
}

fn span_id() -> u64 {
    clock::chance().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0";

    fn tracer(by_parent: bool, root: Root) -> Tracer {
        let metrics = crate::telemetry::Metrics::new();
        let ring = Arc::new(Ring {
            items: Mutex::default(),
            room: 1,
            dropped: metrics.counter("supplant_spans_dropped_total", &["queue"]),
        });
        Tracer {
            sampler: Sampler { by_parent, root },
            requests: Arc::clone(&ring),
            copies: ring,
        }
    }

    fn sent(flag: char) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from(format!("{SENT}{flag}")).unwrap();
        headers.insert(TRACEPARENT, value);
        headers.insert(TRACESTATE, HeaderValue::from_static("a=1"));
        headers
    }

    #[test]
    fn a_parent_decides_and_its_trace_goes_on() {
        let tracer = tracer(true, Root::Off);
        let mut headers = sent('1');
        let spans = tracer.begin(&headers);
        assert!(spans.sampled());
        spans.carry(&mut headers);
        let carried = Context::of(&headers).unwrap();
        assert_eq!(
            (carried.trace, carried.span),
            (spans.server.trace, spans.leg)
        );
        assert_eq!(headers[TRACESTATE], "a=1");
        let mut headers = sent('0');
        tracer.begin(&headers).carry(&mut headers);
        assert_eq!(headers[TRACEPARENT], format!("{SENT}0"));
        assert!(!tracer.begin(&HeaderMap::new()).sampled());
    }

    #[test]
    fn copies_get_a_trace_of_their_own() {
        let tracer = tracer(true, Root::On);
        let mut headers = sent('1');
        let spans = tracer.begin(&headers);
        let (context, _) = tracer.copies(spans).begin();
        Copies::carry(context, &mut headers);
        let carried = Context::of(&headers).unwrap();
        assert_ne!(carried.trace, spans.server.trace);
        assert!(carried.sampled && !headers.contains_key(TRACESTATE));
    }

    #[test]
    fn a_ratio_takes_its_share() {
        let tracer = tracer(false, Root::Ratio(0.25));
        let sampled = (0..10_000).filter(|_| tracer.begin(&sent('1')).sampled());
        assert_eq!(sampled.count() % 10_000, 0, "one trace, one decision");
        let none = HeaderMap::new();
        let sampled = (0..10_000)
            .filter(|_| tracer.begin(&none).sampled())
            .count();
        assert!((2_200..2_800).contains(&sampled), "{sampled}");
    }
}
