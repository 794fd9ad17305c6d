//! What goes to an application: how an endpoint is chosen, what is sent again, and that nothing with
//! effects ever arrives twice. Origins here misbehave on purpose and count what they act on.

use crate::support::Dice;
use crate::support::knob;
use crate::support::pause;
use bytes::Bytes;
use http::Method;
use http::Request;
use http::Version;
use http_body::Body;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use supplant::rules;
use supplant::rules::Scheme;
use supplant::tasks::Tasks;
use supplant::telemetry::Metrics;
use supplant::upstream;
use supplant::upstream::Backend;
use supplant::upstream::ErrorKind;
use supplant::upstream::Outgoing;
use supplant::upstream::Plan;
use supplant::upstream::Pool;
use supplant::upstream::Sent;
use tokio::time::Instant;

mod many;
mod one;
mod secret;
mod whole;

/// Runs a test as a data-plane thread runs.
fn on_thread<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(test)
}

fn endpoint(scheme: Scheme, address: SocketAddr) -> rules::Endpoint {
    rules::Endpoint::Tcp {
        scheme,
        host: address.ip().to_string(),
        port: address.port(),
    }
}

fn backend(
    endpoints: Vec<rules::Endpoint>,
    change: impl FnOnce(&mut rules::Backend),
) -> Arc<Backend> {
    let mut config = rules::Backend::new("legacy", endpoints);
    change(&mut config);
    Arc::new(Backend::new(config, &Metrics::new()))
}

/// A body that streams, in pieces.
struct Pieces(std::collections::VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = upstream::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, upstream::Error>>> {
        std::task::Poll::Ready(self.0.pop_front().map(|p| Ok(http_body::Frame::data(p))))
    }
}

/// What is to be sent.
#[derive(Clone, Copy)]
struct Ask<'a> {
    method: &'a Method,
    target: &'a str,
    body: &'a [&'a [u8]],
    repeatable: bool,
}

impl<'a> Ask<'a> {
    fn get(target: &'a str) -> Self {
        Self {
            method: &Method::GET,
            target,
            body: &[],
            repeatable: true,
        }
    }

    fn post(target: &'a str, body: &'a [&'a [u8]]) -> Self {
        Self {
            method: &Method::POST,
            target,
            body,
            repeatable: false,
        }
    }

    async fn send(self, pool: &Pool, backend: &Backend) -> Result<Sent, ErrorKind> {
        let mut streamed = Some(());
        let mut make = || {
            let body = match streamed.take() {
                Some(()) if !self.body.is_empty() => {
                    let pieces = self.body.iter().map(|p| Bytes::copy_from_slice(p));
                    Outgoing::Streamed(Box::pin(Pieces(pieces.collect())))
                }
                _ => Outgoing::Empty,
            };
            let mut request = Request::new(body);
            *request.method_mut() = self.method.clone();
            *request.uri_mut() = self.target.parse().unwrap();
            let headers = request.headers_mut();
            headers.insert("host", "app.example".parse().unwrap());
            headers.insert("connection", "TE".parse().unwrap());
            headers.insert("te", "trailers".parse().unwrap());
            request
        };
        let plan = Plan {
            repeatable: self.repeatable,
            progress: None,
            response: Duration::from_secs(10),
            now: Instant::now(),
        };
        pool.send(backend, plan, &mut make)
            .await
            .map_err(|e| e.kind)
    }

    /// Sends it, and reads the answer to its end.
    async fn answer(self, pool: &Pool, backend: &Backend) -> Result<Read_, ErrorKind> {
        let sent = self.send(pool, backend).await?;
        read(sent).await
    }
}

/// An answer that was read to its end.
#[derive(Debug)]
struct Read_ {
    status: u16,
    version: Version,
    body: Vec<u8>,
    trailers: Option<http::HeaderMap>,
    connected: bool,
}

async fn read(sent: Sent) -> Result<Read_, ErrorKind> {
    let connected = !sent.connect.is_zero();
    let (parts, mut body) = sent.response.into_parts();
    let mut read = Read_ {
        status: parts.status.as_u16(),
        version: parts.version,
        body: Vec::new(),
        trailers: None,
        connected,
    };
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| ErrorKind::Closed)?;
        match frame.into_data() {
            Ok(data) => read.body.extend_from_slice(&data),
            Err(frame) => read.trailers = frame.into_trailers().ok(),
        }
    }
    if !upstream::ended_whole(&body, parts.version) {
        return Err(ErrorKind::Closed);
    }
    sent.lease.give_back(Instant::now());
    Ok(read)
}
