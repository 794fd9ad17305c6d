//! One address as one thread sees it: its kept connections, and how new ones are made.

use super::Backend;
use super::body::Outgoing;
use super::check;
use super::connect::Stream;
use super::endpoint::Endpoint;
use super::error::Error;
use super::error::ErrorKind;
use super::lines::Lines;
use super::lines::Seat;
use super::tls::Protocol;
use crate::rules::Scheme;
use http::HeaderMap;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a connection may have been idle to carry a request that must not be sent twice.
const FRESH_ENOUGH: Duration = Duration::from_secs(1);

/// How many turns of the scheduler a kept connection gets to become ready.
const TURNS: usize = 3;

/// The most that the head of an answer may take, in bytes.
const HEAD: usize = 128 * 1_024;
/// And how many fields.
const FIELDS: usize = 256;

type One = http1::SendRequest<Outgoing>;

/// A way to send one request.
#[derive(Debug)]
pub(super) enum Sender {
    /// A connection of its own.
    One(One),
    /// A place on a connection that others use as well.
    Many(Seat),
}

#[derive(Debug)]
struct Idle {
    sender: One,
    since: Instant,
}

/// An address and this thread's connections to it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) endpoint: Arc<Endpoint>,
    /// How long an unused connection is kept: what the rules say, less where the application
    /// advertises less.
    keepalive: Cell<Duration>,
    idle: RefCell<VecDeque<Idle>>,
    lines: Lines,
    /// What came out of the last handshake; nothing before the first.
    speaks: Cell<Option<Protocol>>,
    /// Lets one request make a connection that all will use.
    gate: tokio::sync::Mutex<()>,
    failed: Cell<Option<(Instant, ErrorKind)>>,
}

impl Target {
    pub(super) fn new(endpoint: Arc<Endpoint>, keepalive: Duration) -> Self {
        Self {
            endpoint,
            keepalive: Cell::new(keepalive),
            idle: RefCell::default(),
            lines: Lines::default(),
            speaks: Cell::new(None),
            gate: tokio::sync::Mutex::new(()),
            failed: Cell::new(None),
        }
    }

    /// Takes a connection that is kept.
    ///
    /// A request that must not be sent twice gets one that was used within the last second, and only
    /// after this thread has looked at its sockets once more: a connection that the application has
    /// closed in the meantime is not used.
    ///
    /// A tunnel needs a connection of HTTP/1.1 where there may be one.
    pub(super) async fn take(
        &self,
        now: Instant,
        repeatable: bool,
        tunnel: bool,
    ) -> Option<Sender> {
        let many = match self.endpoint.scheme {
            Scheme::Http => false,
            Scheme::Https => !tunnel,
            Scheme::H2c => true,
        };
        if many && let Some(seat) = self.lines.seat() {
            return Some(Sender::Many(seat));
        }
        let keepalive = self.keepalive.get();
        let limit = if repeatable {
            keepalive
        } else {
            keepalive.min(FRESH_ENOUGH)
        };
        let mut looked = repeatable;
        loop {
            let sender = {
                let mut idle = self.idle.borrow_mut();
                let newest = idle.back()?;
                if now.saturating_duration_since(newest.since) >= limit {
                    return None;
                }
                idle.pop_back()?.sender
            };
            if !looked {
                // The connection's own task sees the end of the stream in this turn, if it is there.
                tokio::task::yield_now().await;
                looked = true;
            }
            // Where the last answer has only just ended, the connection's own task must run first.
            for _ in 0..TURNS {
                if sender.is_ready() {
                    return Some(Sender::One(sender));
                }
                if sender.is_closed() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, sender: One, now: Instant, most: usize) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= most {
            idle.pop_front();
        }
        idle.push_back(Idle { sender, since: now });
    }

    /// Learns from the first answer of a connection how long the application keeps it.
    pub(super) fn learn(&self, headers: &HeaderMap, rule: Duration) {
        let theirs = check::advertised(headers).map(check::with_margin);
        self.keepalive.set(theirs.map_or(rule, |t| t.min(rule)));
    }

    /// Drops connections that were idle for too long.
    pub(super) fn sweep(&self, now: Instant) {
        let keepalive = self.keepalive.get();
        self.idle.borrow_mut().retain(|kept| {
            now.saturating_duration_since(kept.since) < keepalive && !kept.sender.is_closed()
        });
        self.lines.sweep(now, keepalive);
    }

    /// Makes a connection, or takes a place on one that was made meanwhile unless it must be
    /// `fresh`. `one` wants a connection that can become a tunnel.
    pub(super) async fn connect(
        &self,
        backend: &Backend,
        fresh: bool,
        one: bool,
    ) -> Result<Sender, Error> {
        let scheme = self.endpoint.scheme;
        let alone = || match scheme {
            Scheme::Http => true,
            Scheme::Https => one || self.speaks.get() == Some(Protocol::One),
            Scheme::H2c => false,
        };
        if alone() {
            return self.dial(backend, one).await;
        }
        let asked = Instant::now();
        let turn = self.gate.lock().await;
        if !fresh && let Some(seat) = self.lines.seat() {
            return Ok(Sender::Many(seat));
        }
        if let Some((when, kind)) = self.failed.get()
            && when > asked
        {
            // Who waited need not wait as long again to hear the same.
            return Err(Error::new(kind));
        }
        if alone() {
            drop(turn);
            return self.dial(backend, one).await;
        }
        if self.lines.is_full() {
            backend.refused("streams");
            return Err(Error::new(ErrorKind::Busy));
        }
        let dialed = self.dial(backend, one).await;
        if let Err(error) = &dialed {
            self.failed.set(Some((Instant::now(), error.kind)));
        }
        drop(turn);
        dialed
    }

    async fn dial(&self, backend: &Backend, one: bool) -> Result<Sender, Error> {
        let patience = backend.config().timeouts.connect;
        let dialing = async {
            let (stream, protocol) = self.endpoint.dial(backend, one).await?;
            if !one {
                self.speaks.set(Some(protocol));
            }
            match protocol {
                Protocol::One => speak(stream).await.map(Sender::One),
                Protocol::Many => {
                    let limit = u32::try_from(HEAD).unwrap_or(u32::MAX);
                    self.lines.open(stream, limit).await.map(Sender::Many)
                }
            }
        };
        match tokio::time::timeout(patience, dialing).await {
            Ok(done) => done,
            Err(_) => Err(Error::new(ErrorKind::ConnectTimeout)),
        }
    }
}

impl Endpoint {
    /// Connects, however long that takes, and tells what is to be spoken.
    pub(super) async fn dial(
        &self,
        backend: &Backend,
        one: bool,
    ) -> Result<(Stream, Protocol), Error> {
        let stream = Stream::connect(&self.address).await?;
        match (self.scheme, stream) {
            (Scheme::Https, Stream::Tcp(stream)) => {
                let tls = backend.tls()?;
                let (stream, protocol) = tls.handshake(stream, &self.host, one).await?;
                Ok((Stream::Tls(Box::new(stream)), protocol))
            }
            (Scheme::H2c, stream) => Ok((stream, Protocol::Many)),
            (_, stream) => Ok((stream, Protocol::One)),
        }
    }
}

async fn speak(stream: Stream) -> Result<One, Error> {
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .max_headers(FIELDS)
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(Error::speaking)?;
    tokio::task::spawn_local(async move {
        // How a connection ended is told to the request it carried.
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%error, "a connection to a backend ended");
        }
    });
    Ok(sender)
}

/// A target in use: it counts while this lives.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) target: Rc<Target>,
    counted: bool,
}

impl Held {
    /// Holds a target; `counted` where there is a choice that the count is for.
    pub(super) fn new(target: &Rc<Target>, counted: bool) -> Self {
        if counted {
            target.endpoint.begin();
        }
        Self {
            target: Rc::clone(target),
            counted,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.counted {
            self.target.endpoint.end();
        }
    }
}
