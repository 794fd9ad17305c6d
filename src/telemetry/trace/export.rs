//! Sends spans to a collector: OTLP over HTTP, in batches, from a thread of its own.

use super::Item;
use super::Ring;
use super::Tracer;
use super::wire::Export;
use super::wire::KeyValue;
use super::wire::Resource;
use super::wire::ResourceSpans;
use super::wire::Scope;
use super::wire::ScopeSpans;
use crate::settings::Otlp;
use crate::telemetry::Metrics;
use bytes::Bytes;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use prost::Message;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the rings are looked at.
const BEAT: Duration = Duration::from_millis(50);
/// How often an export is tried that the collector asks to send again, or that did not reach it.
const TRIES: u32 = 3;
/// What is read of a collector's answer.
const ANSWER: usize = 64 << 10;
/// How long the last spans may take when the process ends, a send that was under way included.
const LAST: Duration = Duration::from_secs(2);

/// Sends what the tracers left. Clones share one.
#[derive(Clone, Debug)]
pub struct Exporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    otlp: Otlp,
    rings: Mutex<Vec<Arc<Ring>>>,
    copies: Arc<Ring>,
    metrics: Metrics,
    stop: watch::Sender<bool>,
}

impl Exporter {
    /// Makes an exporter that has sent nothing yet.
    pub fn new(otlp: Otlp, metrics: &Metrics) -> Self {
        let copies = ring(&otlp, metrics);
        Self {
            shared: Arc::new(Shared {
                otlp,
                rings: Mutex::new(vec![Arc::clone(&copies)]),
                copies,
                metrics: metrics.clone(),
                stop: watch::Sender::new(false),
            }),
        }
    }

    /// Returns a tracer for one data-plane thread.
    pub fn tracer(&self) -> Tracer {
        let shared = &self.shared;
        let requests = ring(&shared.otlp, &shared.metrics);
        let mut rings = shared.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings.push(Arc::clone(&requests));
        Tracer {
            sampler: shared.otlp.sampler,
            requests,
            copies: Arc::clone(&shared.copies),
        }
    }

    /// Asks for the last export, for which a send under way has as little time as it.
    pub fn stop(&self) {
        self.shared.stop.send_replace(true);
    }

    /// Sends until [`Exporter::stop`] was called and the rings are empty, or the time for that is
    /// over; what is left then is counted. Blocks its thread.
    pub fn run(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                runtime.block_on(self.send_all());
                // A name that is still looked up would be waited for.
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!(%error, "spans cannot be sent"),
        }
    }

    async fn send_all(&self) {
        let shared = &*self.shared;
        let mut line = Line::new(shared);
        let late = async {
            shared.stopped().await;
            tokio::time::sleep(LAST).await;
        };
        // What is cancelled is a send, and the line knows what it had not sent yet.
        let in_time = tokio::select! {
            () = line.run() => true,
            () = late => false,
        };
        if !in_time {
            tracing::warn!("the last spans were not taken in time");
            line.give_up();
        }
    }
}

fn spans(items: &[Item]) -> u64 {
    items.iter().map(Item::len).sum()
}

fn ring(otlp: &Otlp, metrics: &Metrics) -> Arc<Ring> {
    Arc::new(Ring {
        items: Mutex::default(),
        room: otlp.queue,
        dropped: metrics.counter("supplant_spans_dropped_total", &["queue"]),
    })
}

impl Shared {
    fn each(&self, mut look: impl FnMut(&mut Vec<Item>)) {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        for ring in rings.iter() {
            look(&mut ring.items.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Returns when the end was asked for.
    async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // The sender is here, so that there is no error.
        let _last = stop.wait_for(|stop| *stop).await;
    }

    fn dropped(&self, spans: u64) {
        let name = "supplant_spans_dropped_total";
        self.metrics.counter(name, &["export"]).inc_by(spans);
    }

    fn waiting(&self) -> usize {
        let mut sum = 0;
        self.each(|items| sum += items.len());
        sum
    }

    fn take(&self) -> Vec<Item> {
        let mut all = Vec::new();
        self.each(|items| all.append(items));
        all
    }

    fn message(&self, items: Vec<Item>) -> Bytes {
        let attributes = self.otlp.resource.iter();
        let mut spans = Vec::with_capacity(items.len() * 2);
        for item in items {
            item.write(&mut spans);
        }
        let export = Export {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: attributes
                        .map(|(name, value)| KeyValue::text(name, value.as_str()))
                        .collect(),
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(Scope {
                        name: "supplant".to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                    }),
                    spans,
                }],
            }],
        };
        export.encode_to_vec().into()
    }
}

/// The connection to the collector, and what was taken from the rings to go over it.
struct Line<'a> {
    shared: &'a Shared,
    connection: Option<SendRequest<Full<Bytes>>>,
    failing: bool,
    /// Spans of the batch that is on its way.
    under_way: u64,
    /// What comes after that batch.
    rest: Vec<Item>,
}

impl<'a> Line<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            connection: None,
            failing: false,
            under_way: 0,
            rest: Vec::new(),
        }
    }

    /// Sends until the end is asked for, and then what is left.
    async fn run(&mut self) {
        let shared = self.shared;
        let mut since = Instant::now();
        loop {
            let last = *shared.stop.borrow();
            let full = shared.waiting() >= shared.otlp.batch;
            if last || full || since.elapsed() >= shared.otlp.delay {
                since = Instant::now();
                self.rest.extend(shared.take());
                self.send().await;
            }
            if last {
                return;
            }
            // Whether it was woken or the beat is over, it looks again.
            let _woken = tokio::time::timeout(BEAT, shared.stopped()).await;
        }
    }

    async fn send(&mut self) {
        while !self.rest.is_empty() {
            let rest = self
                .rest
                .split_off(self.rest.len().min(self.shared.otlp.batch));
            let batch = std::mem::replace(&mut self.rest, rest);
            self.under_way = spans(&batch);
            let sent = self.export(self.shared.message(batch)).await;
            let count = std::mem::take(&mut self.under_way);
            match &sent {
                Ok(()) => {
                    let name = "supplant_spans_exported_total";
                    self.shared.metrics.counter(name, &[]).inc_by(count);
                }
                Err(_) => self.shared.dropped(count),
            }
            match (&sent, self.failing) {
                (Err(why), false) => tracing::warn!(why, "a collector does not take spans"),
                (Ok(()), true) => tracing::info!("the collector takes spans again"),
                _ => {}
            }
            self.failing = sent.is_err();
        }
    }

    /// Counts what was not sent, the batch on its way too: nobody knows whether it was taken.
    fn give_up(self) {
        let left = spans(&self.rest) + spans(&self.shared.take());
        self.shared.dropped(self.under_way + left);
    }

    /// Sends one batch, again where the collector asks for that or was not reached.
    async fn export(&mut self, message: Bytes) -> Result<(), String> {
        let deadline = Instant::now() + self.shared.otlp.timeout;
        let mut wait = Duration::from_millis(200);
        let mut tries = 0;
        loop {
            tries += 1;
            let posted = tokio::time::timeout_at(deadline, self.post(message.clone())).await;
            let why = match posted {
                Ok(Ok(200..=299)) => return Ok(()),
                Ok(Ok(status @ (429 | 502 | 503 | 504))) => format!("status {status}"),
                Ok(Ok(status)) => return Err(format!("status {status}")),
                Ok(Err(why)) => why,
                Err(_) => return Err("it does not answer in time".to_owned()),
            };
            if tries == TRIES || Instant::now() + wait >= deadline {
                return Err(why);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }

    async fn post(&mut self, message: Bytes) -> Result<u16, String> {
        let otlp = &self.shared.otlp;
        let mut connection = match self.connection.take() {
            Some(mut kept) => match kept.ready().await {
                Ok(()) => kept,
                Err(_) => connect(otlp).await?,
            },
            None => connect(otlp).await?,
        };
        let host = otlp.endpoint.authority().map_or("", |a| a.as_str());
        let path = otlp.endpoint.path_and_query().map_or("/", |p| p.as_str());
        let mut request = http::Request::post(path)
            .header("host", host)
            .header("content-type", "application/x-protobuf")
            .header(
                "user-agent",
                concat!("supplant/", env!("CARGO_PKG_VERSION")),
            );
        for (name, value) in &otlp.headers {
            request = request.header(name.clone(), value.clone());
        }
        let request = request
            .body(Full::new(message))
            .map_err(|e| e.to_string())?;
        let answer = connection.send_request(request).await;
        let answer = answer.map_err(|e| e.to_string())?;
        let status = answer.status().as_u16();
        let mut body = Limited::new(answer.into_body(), ANSWER);
        while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
            if frame.is_err() {
                return Ok(status);
            }
        }
        self.connection = Some(connection);
        Ok(status)
    }
}

async fn connect(otlp: &Otlp) -> Result<SendRequest<Full<Bytes>>, String> {
    let host = otlp.endpoint.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = otlp.endpoint.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|e| e.to_string())?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the collector ended");
        }
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;
    use crate::model::Side;
    use crate::model::SliceId;
    use crate::settings::Root;
    use crate::settings::Sampler;
    use crate::telemetry::trace::Copied;
    use std::net::TcpListener;

    fn exporter(address: std::net::SocketAddr, timeout: u64) -> Exporter {
        let otlp = Otlp {
            endpoint: format!("http://{address}/v1/traces").parse().unwrap(),
            headers: Vec::new(),
            timeout: Duration::from_millis(timeout),
            resource: Vec::new(),
            sampler: Sampler {
                by_parent: false,
                root: Root::On,
            },
            delay: Duration::from_millis(1),
            batch: 2,
            queue: 100,
        };
        Exporter::new(otlp, &Metrics::new())
    }

    fn leave(exporter: &Exporter, count: usize) {
        let tracer = exporter.tracer();
        for _ in 0..count {
            let spans = tracer.begin(&http::HeaderMap::new());
            let copies = tracer.copies(spans);
            let (context, started) = copies.begin();
            copies.ended(Copied {
                context,
                started,
                took: Duration::ZERO,
                slice: SliceId::new("s"),
                side: Side::Candidate,
                role: Role::Shadow,
                method: http::Method::GET,
                done: Ok(200),
            });
        }
    }

    #[test]
    fn what_is_cut_at_the_end_is_counted_once_each() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let exporter = exporter(silent.local_addr().unwrap(), 60_000);
        leave(&exporter, 5);
        let sender = exporter.clone();
        let thread = std::thread::spawn(move || sender.run());
        let _held = silent.accept().unwrap();
        leave(&exporter, 2);
        let start = Instant::now();
        exporter.stop();
        thread.join().unwrap();
        assert!(start.elapsed() < LAST * 2, "{:?}", start.elapsed());
        let name = "supplant_spans_dropped_total";
        let dropped = exporter.shared.metrics.counter(name, &["export"]).get();
        assert_eq!(dropped, 7);
    }

    #[tokio::test]
    async fn what_failed_is_told_as_it_was() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let exporter = exporter(gone.unwrap(), 100);
        let sent = Line::new(&exporter.shared).export(Bytes::new()).await;
        let why = sent.unwrap_err();
        assert!(why.contains("refused"), "{why}");
    }
}
