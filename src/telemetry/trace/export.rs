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
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How often the rings are looked at.
const BEAT: Duration = Duration::from_millis(50);
/// How often an export is tried that the collector asks to send again.
const TRIES: u32 = 3;
/// What is read of a collector's answer.
const ANSWER: usize = 64 << 10;
/// How long the last spans may take when the process ends.
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
    stop: AtomicBool,
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
                stop: AtomicBool::new(false),
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

    /// Asks for the last export.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// Sends until [`Exporter::stop`] was called and the rings are empty. Blocks its thread.
    pub fn run(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(self.send_all()),
            Err(error) => tracing::error!(%error, "spans cannot be sent"),
        }
    }

    async fn send_all(&self) {
        let shared = &self.shared;
        let mut line = Line {
            shared,
            connection: None,
            failing: false,
        };
        let mut since = Instant::now();
        loop {
            let last = shared.stop.load(Ordering::Acquire);
            let waiting = shared.waiting();
            if last {
                let all = line.send(shared.take());
                if tokio::time::timeout(LAST, all).await.is_err() {
                    tracing::warn!("the last spans were not taken in time");
                }
                return;
            }
            if waiting >= shared.otlp.batch || since.elapsed() >= shared.otlp.delay {
                since = Instant::now();
                line.send(shared.take()).await;
            }
            tokio::time::sleep(BEAT).await;
        }
    }
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

/// The connection to the collector.
struct Line<'a> {
    shared: &'a Shared,
    connection: Option<SendRequest<Full<Bytes>>>,
    failing: bool,
}

impl Line<'_> {
    async fn send(&mut self, mut items: Vec<Item>) {
        while !items.is_empty() {
            let rest = items.split_off(items.len().min(self.shared.otlp.batch));
            let batch = std::mem::replace(&mut items, rest);
            let spans = batch.iter().map(Item::len).sum();
            let message = self.shared.message(batch);
            let sent = self.export(message).await;
            let metrics = &self.shared.metrics;
            match sent {
                Ok(()) => metrics
                    .counter("supplant_spans_exported_total", &[])
                    .inc_by(spans),
                Err(_) => metrics
                    .counter("supplant_spans_dropped_total", &["export"])
                    .inc_by(spans),
            }
            match (&sent, self.failing) {
                (Err(why), false) => tracing::warn!(why, "a collector does not take spans"),
                (Ok(()), true) => tracing::info!("the collector takes spans again"),
                _ => {}
            }
            self.failing = sent.is_err();
        }
    }

    /// Sends one batch, again where the collector asks for that.
    async fn export(&mut self, message: Bytes) -> Result<(), String> {
        let deadline = Instant::now() + self.shared.otlp.timeout;
        let mut wait = Duration::from_millis(200);
        for left in (0..TRIES).rev() {
            let status = match tokio::time::timeout_at(deadline, self.post(message.clone())).await {
                Ok(Ok(status)) => status,
                Ok(Err(why)) if left == 0 => return Err(why),
                Ok(Err(_)) => 503,
                Err(_) => {
                    self.connection = None;
                    return Err("it does not answer in time".to_owned());
                }
            };
            match status {
                200..=299 => return Ok(()),
                429 | 502 | 503 | 504 if left > 0 && Instant::now() + wait < deadline => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                _ => return Err(format!("status {status}")),
            }
        }
        Err("it asked to try again".to_owned())
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
            request = request.header(name, value);
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
