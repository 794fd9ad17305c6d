//! HTTP/2 connections of one thread to one address: each carries many requests at once.

use super::body::Outgoing;
use super::endpoint::Endpoint;
use super::error::Error;
use http::HeaderMap;
use http::Request;
use http::Uri;
use http::header;
use http::uri::Authority;
use http::uri::PathAndQuery;
use hyper::client::conn::http2;
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use std::cell::Cell;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

/// So many requests at once on one connection, or fewer where the application says so.
const STREAMS: u32 = 100;
/// So many connections to one address; what finds all of them full is refused.
const LINES: usize = 64;
/// Bytes that a stream and a connection may receive ahead of what was passed on.
const STREAM_WINDOW: u32 = 256 * 1_024;
const WINDOW: u32 = 4 * 1_024 * 1_024;
/// Bytes of a request's body that wait for a stream's turn.
const SEND_AHEAD: usize = 256 * 1_024;
/// A connection whose streams are silent is asked whether it lives, and closed if it does not say.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// Runs what a connection needs on the thread that it belongs to.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F> Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// So many streams may be opened before the application has said how many; a number that hardly
/// anybody says, so that it shows whether anything was said.
const UNTOLD: usize = 104;
/// How often is looked for what an application says first.
const LOOK: Duration = Duration::from_millis(2);

/// What an application has said about its connection.
#[derive(Debug)]
struct Told {
    streams: Cell<u32>,
    /// Whether it takes tunnels (RFC 8441); nothing until it has said anything.
    tunnels: Cell<Option<bool>>,
    /// Wakes the task that hears it.
    task: RefCell<Option<Waker>>,
}

/// A connection that carries many requests.
#[derive(Debug)]
pub(super) struct Line {
    sender: http2::SendRequest<Outgoing>,
    streams: Cell<u32>,
    told: Rc<Told>,
    retired: Cell<bool>,
    since: Cell<Instant>,
}

/// A place on a line; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat(Rc<Line>);

impl Seat {
    fn new(line: &Rc<Line>) -> Self {
        line.streams.set(line.streams.get() + 1);
        Self(Rc::clone(line))
    }

    pub(super) fn sender(&self) -> http2::SendRequest<Outgoing> {
        self.0.sender.clone()
    }

    /// Returns whether the application takes tunnels on this line. On a new one that is known when
    /// its settings have come, which are the first that it says (RFC 9113 section 3.4).
    pub(super) async fn takes_tunnels(&self, patience: Duration) -> bool {
        let told = &self.0.told;
        let limit = Instant::now() + patience;
        loop {
            if told.tunnels.get() == Some(true) {
                return true;
            }
            // What was said may have changed since, and is noticed when the task runs.
            if let Some(task) = told.task.borrow_mut().take() {
                task.wake();
            }
            tokio::task::yield_now().await;
            let ended = self.0.sender.is_closed() || Instant::now() >= limit;
            match told.tunnels.get() {
                Some(takes) => return takes,
                None if ended => return false,
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Takes the line out of use for further requests.
    pub(super) fn retire(&self) {
        self.0.retired.set(true);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let streams = self.0.streams.get() - 1;
        self.0.streams.set(streams);
        if streams == 0 {
            self.0.since.set(Instant::now());
        }
    }
}

/// The lines to one address.
#[derive(Debug, Default)]
pub(super) struct Lines(RefCell<Vec<Rc<Line>>>);

impl Lines {
    /// Takes a place on the line with the most room, if any has room.
    pub(super) fn seat(&self) -> Option<Seat> {
        let mut lines = self.0.borrow_mut();
        lines.retain(|line| !line.retired.get() && !line.sender.is_closed());
        let free = |line: &&Rc<Line>| line.streams.get() < line.told.streams.get();
        let line = lines.iter().filter(free).min_by_key(|l| l.streams.get())?;
        Some(Seat::new(line))
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.borrow().len() >= LINES
    }

    /// Speaks HTTP/2 on a connection and takes the first place on it.
    pub(super) async fn open<T>(&self, stream: T, head_limit: u32) -> Result<Seat, Error>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (sender, connection) = http2::Builder::new(Local)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(SEND_AHEAD)
            .max_header_list_size(head_limit)
            .initial_max_send_streams(UNTOLD)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Error::speaking)?;
        let told = Rc::new(Told {
            streams: Cell::new(STREAMS),
            tunnels: Cell::new(None),
            task: RefCell::default(),
        });
        let hears = Rc::clone(&told);
        tokio::task::spawn_local(async move {
            let mut connection = connection;
            let done = std::future::poll_fn(move |cx: &mut Context<'_>| {
                let polled: Poll<hyper::Result<()>> = Pin::new(&mut connection).poll(cx);
                let theirs = connection.current_max_send_streams();
                let streams = u32::try_from(theirs).unwrap_or(STREAMS);
                hears.streams.set(streams.min(STREAMS));
                let tunnels = connection.is_extended_connect_protocol_enabled();
                if tunnels || theirs != UNTOLD {
                    hears.tunnels.set(Some(tunnels));
                }
                *hears.task.borrow_mut() = Some(cx.waker().clone());
                polled
            });
            // How a connection ended is told to the requests it carried.
            if let Err(error) = done.await {
                tracing::trace!(%error, "a connection to a backend ended");
            }
        });
        let line = Rc::new(Line {
            sender,
            streams: Cell::new(0),
            told,
            retired: Cell::new(false),
            since: Cell::new(Instant::now()),
        });
        let seat = Seat::new(&line);
        self.0.borrow_mut().push(line);
        Ok(seat)
    }

    /// Drops lines that carried nothing for `keepalive`, which ends them.
    pub(super) fn sweep(&self, now: Instant, keepalive: Duration) {
        self.0.borrow_mut().retain(|line| {
            let idle = line.streams.get() == 0
                && now.saturating_duration_since(line.since.get()) >= keepalive;
            !idle && !line.retired.get() && !line.sender.is_closed()
        });
    }
}

/// Gives a request the form of HTTP/2: its `Host` becomes `:authority`, and fields of the
/// connection go (RFC 9113 sections 8.2.2 and 8.3.1). `TE: trailers` stays.
pub(super) fn many_form(request: &mut Request<Outgoing>, endpoint: &Endpoint) {
    let host = request.headers().get(header::HOST);
    let named = host
        .filter(|host| !host.is_empty())
        .and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let authority = named.or_else(|| Authority::try_from(endpoint.authority()).ok());
    let mut parts = http::uri::Parts::default();
    parts.scheme = http::uri::Scheme::try_from(endpoint.transport()).ok();
    parts.authority = authority;
    let target = request.uri().path_and_query().cloned();
    parts.path_and_query = Some(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = http::Version::HTTP_2;
    without_connection(request.headers_mut());
}

fn without_connection(headers: &mut HeaderMap) {
    for name in [header::HOST, header::CONNECTION, header::UPGRADE] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Scheme;
    use crate::upstream::Address;

    fn endpoint(scheme: Scheme) -> Endpoint {
        let address = Address::Tcp("127.0.0.1:1".parse().unwrap());
        Endpoint::new(address, scheme, "app.internal".into(), 8443)
    }

    #[test]
    fn the_host_becomes_the_authority_and_fields_of_the_connection_go() {
        let mut request = Request::new(Outgoing::Empty);
        *request.uri_mut() = "/a%20b?c=d".parse().unwrap();
        for (name, value) in [
            ("host", "shop.example:81"),
            ("connection", "TE"),
            ("te", "trailers"),
            ("x", "y"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        many_form(&mut request, &endpoint(Scheme::Https));
        assert_eq!(request.uri(), "https://shop.example:81/a%20b?c=d");
        let names: Vec<_> = request
            .headers()
            .keys()
            .map(http::HeaderName::as_str)
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(request.headers()["te"], "trailers");
    }

    #[test]
    fn without_a_host_the_endpoint_names_itself_and_an_asterisk_stays() {
        let mut request = Request::new(Outgoing::Empty);
        *request.uri_mut() = "*".parse().unwrap();
        request.headers_mut().insert("host", "".parse().unwrap());
        many_form(&mut request, &endpoint(Scheme::H2c));
        assert_eq!(request.uri().authority().unwrap(), "app.internal:8443");
        assert_eq!(request.uri().path(), "*");
        assert_eq!(request.uri().scheme_str(), Some("http"));
    }
}
