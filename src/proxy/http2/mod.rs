//! HTTP/2 with clients: over TLS where both agree by ALPN, and in clear where the client begins so.
//!
//! hyper speaks it; what hyper has no knob for stands here: a budget for frames that ask for nothing,
//! heads that do not end, streams whose client takes nothing, and requests that HTTP/1.1 could not
//! carry.

mod budget;
mod frames;
mod guard;
mod request;
mod watch;

pub(super) use request::Terms;
pub(super) use watch::Pace;
pub(super) use watch::Watch;

use super::body::Body;
use super::connection::Serving;
use super::listener::Listen;
use super::service::Proxy;
use super::stack::Caught;
use crate::telemetry::Metrics;
use guard::Guard;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use prometheus::IntCounter;
use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

/// Bytes of one stream's body that may wait here, either way.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same over all streams of a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of one stream's answer that may wait for the client.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that a client reset before they were looked at.
const UNSEEN_RESETS: usize = 20;

/// Serves a connection to its end.
pub(super) async fn serve<S>(socket: S, proxy: Proxy, listen: &Listen, panics: IntCounter)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let state = Rc::clone(&proxy.connection);
    let watch = Rc::new(Watch::new(listen.header));
    state.watch(Rc::clone(&watch));
    let metrics = proxy.thread.metrics.clone();
    let next = Rc::new(RefCell::new(None));
    let streams = Streams(Rc::clone(&next));
    let service = front(proxy, Rc::clone(&watch), next, panics);
    let head = u32::try_from(listen.bounds.head).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(streams);
    builder
        .max_concurrent_streams(listen.streams)
        .max_header_list_size(head)
        .max_pending_accept_reset_streams(UNSEEN_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .auto_date_header(false)
        .enable_connect_protocol();
    let socket = TokioIo::new(Guard::new(socket, Rc::clone(&watch)));
    let serving = builder.serve_connection(socket, service);
    if let Err(error) = Serving::new(serving, state).await {
        tracing::debug!(%error, "an HTTP/2 connection ended");
        ended(&metrics, &watch, &error);
    }
}

/// Counts a connection that ended for what the client sent.
fn ended(metrics: &Metrics, watch: &Watch, error: &hyper::Error) {
    let reason = match watch.exhausted() {
        Some(abuse) => abuse.as_str(),
        None => match error.source().and_then(|e| e.downcast_ref::<h2::Error>()) {
            Some(error) if !error.is_remote() => error.reason().map_or("", named),
            _ => "",
        },
    };
    if !reason.is_empty() {
        let name = "supplant_http2_connections_ended_total";
        metrics.counter(name, &[reason]).inc();
    }
}

fn named(reason: h2::Reason) -> &'static str {
    match reason {
        h2::Reason::PROTOCOL_ERROR => "protocol_error",
        h2::Reason::FLOW_CONTROL_ERROR => "flow_control_error",
        h2::Reason::FRAME_SIZE_ERROR => "frame_size_error",
        h2::Reason::COMPRESSION_ERROR => "compression_error",
        h2::Reason::ENHANCE_YOUR_CALM => "enhance_your_calm",
        h2::Reason::STREAM_CLOSED => "stream_closed",
        h2::Reason::NO_ERROR => "",
        _ => "other",
    }
}

/// The stream whose request hyper has just handed over, for the task that it starts next.
type Next = Rc<RefCell<Option<watch::Stream>>>;

/// Starts a task for each stream, which ends when the sweep says so.
#[derive(Clone)]
struct Streams(Next);

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, future: F) {
        let stream = self.0.borrow_mut().take();
        tokio::task::spawn_local(Task { future, stream });
    }
}

pin_project! {
    /// The task of a stream. Ending it resets the stream.
    struct Task<F> {
        #[pin]
        future: F,
        stream: Option<watch::Stream>,
    }
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.as_ref().is_some_and(|s| s.is_cut(cx.waker())) {
            return Poll::Ready(());
        }
        this.future.poll(cx)
    }
}

/// Returns what hyper hands requests to: it is called for a stream right before the stream's task is
/// started, and leaves there what the task has to know.
fn front(
    proxy: Proxy,
    watch: Rc<Watch>,
    next: Next,
    panics: IntCounter,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible> {
    let (proxy, panics) = (Rc::new(proxy), Rc::new(panics));
    hyper::service::service_fn(move |request| {
        let stream = watch.stream();
        let pace = stream.pace();
        *next.borrow_mut() = Some(stream);
        let answer = Rc::clone(&proxy).answer(request, Some(pace));
        Caught::new(answer, Rc::clone(&panics))
    })
}
