//! One client connection: served, closed when it is idle for too long, closed at the drain.
//!
//! A timer for each request would cost more than all else that is decided about it, so idle
//! connections are found by a sweep once a second.

use super::body::Body;
use super::flow::Flow;
use super::http2::Watch;
use super::listener::Counted;
use super::scan::Reason;
use crate::telemetry::Metrics;
use hyper::body::Incoming;
use hyper::rt::Read;
use hyper::rt::Write;
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::server::conn::http2;
use hyper::service::HttpService;
use std::cell::Cell;
use std::cell::OnceCell;
use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::rc::Weak;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// What hyper runs for each connection: HTTP/1 or HTTP/2.
pub(super) trait Graceful: Future<Output = hyper::Result<()>> {
    /// Whether an idle connection is simply cut, or told first.
    const CUT_AT_ONCE: bool;

    /// Takes no further request.
    fn close(self: Pin<&mut Self>);
}

impl<I, S> Graceful for UpgradeableConnection<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    const CUT_AT_ONCE: bool = true;

    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, E> Graceful for http2::Connection<I, S, E>
where
    I: Read + Write + Unpin,
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
    E: Http2ServerConnExec<S::Future, Body>,
{
    const CUT_AT_ONCE: bool = false;

    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// How long an idle connection that was told to end may take for it.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long a client that connects just before the drain has for its first request.
const FIRST: Duration = Duration::from_secs(1);

/// How far a connection is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Serve,
    /// A head has been coming for too long, which its reader is told.
    Late,
    /// After the request it is busy with, if any.
    Close,
    /// Now, unless a request has come: nothing came for too long.
    Cut,
    /// Now, whatever it is busy with: the client takes nothing of its answer.
    Drop,
}

/// What the sweep knows of a connection.
#[derive(Debug)]
pub(super) struct State {
    idle: Duration,
    /// From the first byte of a head to its end.
    header: Duration,
    busy: Cell<u32>,
    since: Cell<Instant>,
    /// How long a client may take nothing of its answer.
    patience: Cell<Duration>,
    flow: Arc<Flow>,
    /// What the last sweep that saw something move saw, and when.
    seen: Cell<(u64, Instant)>,
    wish: Cell<Wish>,
    waker: RefCell<Option<Waker>>,
    /// A request has come.
    begun: Cell<bool>,
    requests: Cell<u64>,
    /// Held until the connection is gone, and every request and tunnel of it.
    counted: OnceCell<Counted>,
    /// What else there is to watch where HTTP/2 is spoken.
    http2: OnceCell<Rc<Watch>>,
}

impl State {
    pub(super) fn new(idle: Duration, header: Duration, metrics: Metrics) -> Self {
        Self {
            idle,
            header,
            busy: Cell::new(0),
            since: Cell::new(Instant::now()),
            patience: Cell::new(idle),
            flow: Arc::new(Flow::new(metrics)),
            seen: Cell::new((0, Instant::now())),
            wish: Cell::new(Wish::Serve),
            waker: RefCell::default(),
            begun: Cell::new(false),
            requests: Cell::new(0),
            counted: OnceCell::new(),
            http2: OnceCell::new(),
        }
    }

    /// Sets what else there is to watch.
    pub(super) fn watch(&self, watch: Rc<Watch>) {
        if self.http2.set(watch).is_err() {
            tracing::error!("a connection became HTTP/2 twice");
        }
    }

    /// Counts the connection as open for as long as anything of it lives.
    pub(super) fn count(&self, counted: Counted) {
        // It is counted once, by whoever made it.
        drop(self.counted.set(counted));
    }

    /// Notes one more request; the one that reaches the limit is the last on this connection.
    pub(super) fn asked(&self, limit: Option<u64>) {
        let Some(limit) = limit else { return };
        self.requests.set(self.requests.get() + 1);
        if self.requests.get() >= limit {
            self.wish(Wish::Close);
        }
    }

    /// Notes that a request is being answered, for as long as what is returned lives.
    pub(super) fn busy(self: &Rc<Self>) -> Busy {
        self.busy.set(self.busy.get() + 1);
        self.begun.set(true);
        Busy {
            state: Rc::clone(self),
            ended: None,
        }
    }

    /// Sets how long the client may take nothing of an answer.
    pub(super) fn set_patience(&self, patience: Duration) {
        self.patience.set(patience);
    }

    /// Returns what the socket and the sweep tell each other.
    pub(super) fn flow(&self) -> Arc<Flow> {
        Arc::clone(&self.flow)
    }

    /// Returns why a request of this connection was refused, if one was.
    pub(super) fn refused(&self) -> Option<Reason> {
        Reason::of(self.flow.refused.load(Relaxed))
    }

    /// Counts a request that is refused though its head was good.
    pub(super) fn count_refused(&self, reason: Reason) {
        self.flow.count(reason);
    }

    /// The connection becomes something else than HTTP.
    pub(super) fn becomes_tunnel(&self) {
        self.flow.tunnel.store(true, Relaxed);
    }

    /// Returns what is to become of the connection.
    fn due(&self, now: Instant) -> Wish {
        if self.http2.get().is_some_and(|watch| watch.sweep(now)) {
            return Wish::Drop;
        }
        if self.flow.blocked.load(Relaxed) {
            // What was answered is not all sent, so the connection is not idle.
            self.since.set(now);
            let (moved, since) = (self.flow.moved.load(Relaxed), self.seen.get());
            if moved != since.0 {
                self.seen.set((moved, now));
            } else if now.duration_since(since.1) >= self.patience.get() {
                return Wish::Drop;
            }
            return Wish::Serve;
        }
        self.seen.set((self.flow.moved.load(Relaxed), now));
        if self.refused().is_some() {
            // It ends within a bound of its own.
            return Wish::Serve;
        }
        if self.busy.get() == 0
            && let Some(began) = self.flow.head()
        {
            // While an answer is due, nobody reads on.
            let since = began.max(self.since.get());
            let late = now.saturating_duration_since(since) >= self.header;
            return if late { Wish::Late } else { Wish::Serve };
        }
        let idle = now.duration_since(self.since.get());
        if self.busy.get() == 0 && idle >= self.idle + GOODBYE {
            Wish::Drop
        } else if self.busy.get() == 0 && idle >= self.idle {
            Wish::Cut
        } else {
            Wish::Serve
        }
    }

    /// Waits until the connection is to be cut, before it is served.
    pub(super) async fn cut(&self) {
        std::future::poll_fn(|cx| {
            self.watched_by(cx);
            if self.wish.get() >= Wish::Cut {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// The client has begun to speak. A wish to cut a silent connection is over with that.
    pub(super) fn is_heard(&self) {
        self.wish.set(self.wish.get().min(Wish::Close));
    }

    /// Returns what is to become of the connection at a drain. A client that has only just connected
    /// gets a moment for its first request.
    fn due_at_drain(&self, now: Instant) -> Wish {
        if self.begun.get() {
            Wish::Close
        } else if now.saturating_duration_since(self.flow.began) >= FIRST {
            Wish::Cut
        } else {
            Wish::Serve
        }
    }

    fn wish(&self, wish: Wish) {
        if wish == Wish::Late {
            self.flow.late.store(true, Relaxed);
            self.wake();
        } else if self.wish.get() < wish {
            self.wish.set(wish);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Takes the waker of the task that serves the connection. A task's waker stays the same for its
    /// life, so it is taken once.
    pub(super) fn watched_by(&self, cx: &Context<'_>) {
        if self.waker.borrow().is_none() {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy {
    state: Rc<State>,
    ended: Option<Instant>,
}

impl Busy {
    /// The connection becomes something else than HTTP.
    pub(super) fn becomes_tunnel(&self) {
        self.state.becomes_tunnel();
    }

    /// Tells when it ended, where that is known already.
    pub(super) fn ended(&mut self, now: Instant) {
        self.ended = Some(now);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.state.busy.set(self.state.busy.get() - 1);
        let answered = &self.state.flow.answered;
        answered.store(answered.load(Relaxed).wrapping_add(1), Relaxed);
        if self.state.flow.waits.load(Relaxed) {
            self.state.wake();
        }
        self.state
            .since
            .set(self.ended.unwrap_or_else(Instant::now));
    }
}

/// The connections of one thread.
#[derive(Debug, Default)]
pub(super) struct Connections(RefCell<Vec<Weak<State>>>);

impl Connections {
    /// Remembers a connection until it is gone.
    pub(super) fn add(&self, state: &Rc<State>) {
        self.0.borrow_mut().push(Rc::downgrade(state));
    }

    /// Cuts connections that were idle for too long (between requests, or within a head), and those
    /// whose client takes nothing.
    pub(super) fn sweep(&self, now: Instant) {
        self.0.borrow_mut().retain(|state| {
            let Some(state) = state.upgrade() else {
                return false;
            };
            state.wish(state.due(now));
            if state.flow.half_closed.load(Relaxed) {
                state.wake();
            }
            true
        });
    }

    /// Lets every connection end after the request that it is busy with.
    pub(super) fn close(&self, now: Instant) {
        for state in self.0.borrow().iter().filter_map(Weak::upgrade) {
            state.wish(state.due_at_drain(now));
        }
    }
}

/// A connection being served.
pub(super) struct Serving<H> {
    http: Pin<Box<H>>,
    state: Rc<State>,
    closing: bool,
}

impl<H: Graceful> Serving<H> {
    pub(super) fn new(http: H, state: Rc<State>) -> Self {
        Self {
            http: Box::pin(http),
            state,
            closing: false,
        }
    }

    /// Returns whether the connection is to end after the request that it is busy with, and has not
    /// been told. A head that has begun is such a request.
    fn is_to_end(&self) -> bool {
        let wished = matches!(self.state.wish.get(), Wish::Close | Wish::Cut);
        wished && !self.closing && self.state.flow.head().is_none()
    }

    fn is_idle(&self) -> bool {
        self.state.busy.get() == 0
    }

    fn close(&mut self) {
        self.closing = true;
        self.http.as_mut().close();
    }
}

impl<H: Graceful> Future for Serving<H> {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.state.watched_by(cx);
        if self.state.wish.get() == Wish::Drop {
            return Poll::Ready(Ok(()));
        }
        if self.is_to_end() {
            if H::CUT_AT_ONCE && self.is_idle() {
                // Its next request may be here already.
                self.state.flow.look();
            } else {
                self.close();
            }
        }
        let done = self.http.as_mut().poll(cx);
        if done.is_ready() || self.state.flow.has_arrived() {
            return done;
        }
        // A head may just have ended that was in the way.
        if !self.is_to_end() {
            return Poll::Pending;
        }
        if H::CUT_AT_ONCE && self.is_idle() && self.state.wish.get() == Wish::Cut {
            return Poll::Ready(Ok(()));
        }
        self.close();
        self.http.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_dropped_and_a_slow_one_is_not() {
        let state = State::new(3 * SECOND, SECOND, Metrics::new());
        state.set_patience(5 * SECOND);
        let start = Instant::now();
        let blocked: Poll<io::Result<usize>> = Poll::Pending;
        state.flow.wrote(&blocked);
        // Its answer is not all sent: it is not idle, however long that takes.
        for at in 1..20 {
            state.flow.wrote(&Poll::Ready(Ok(1)));
            state.flow.wrote(&blocked);
            assert_eq!(state.due(start + at * SECOND), Wish::Serve, "{at}");
        }
        assert_eq!(state.due(start + 23 * SECOND), Wish::Serve);
        assert_eq!(state.due(start + 24 * SECOND), Wish::Drop);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_when_its_answer_was_taken() {
        let state = State::new(3 * SECOND, SECOND, Metrics::new());
        let start = Instant::now();
        state.flow.wrote::<usize>(&Poll::Pending);
        assert_eq!(state.due(start + 2 * SECOND), Wish::Serve);
        state.flow.wrote(&Poll::Ready(Ok(1)));
        assert_eq!(state.due(start + 4 * SECOND), Wish::Serve);
        assert_eq!(state.due(start + 5 * SECOND), Wish::Cut);
    }
}
