//! One client connection: served, closed when it is idle for too long, closed at the drain.
//!
//! A timer for each request would cost more than all else that is decided about it, so idle
//! connections are found by a sweep once a second.

use super::body::Body;
use super::listener::Counted;
use crate::upstream::Stream;
use hyper::body::Incoming;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::cell::OnceCell;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::rc::Weak;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Instant;

/// What hyper runs for each connection.
type Http<S> = UpgradeableConnection<TokioIo<Watched>, S>;

/// How far a connection is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Serve,
    /// After the request it is busy with, if any.
    Close,
    /// Now, unless a request has come: nothing came for too long.
    Cut,
    /// Now, whatever it is busy with: the client takes nothing of its answer.
    Drop,
}

/// Whether a client takes what it is sent. Shared with the connection's socket, which hyper wants to
/// be able to send.
#[derive(Debug, Default)]
pub(super) struct Flow {
    blocked: AtomicBool,
    moved: AtomicU64,
}

impl Flow {
    fn wrote<T>(&self, done: &Poll<io::Result<T>>) {
        match done {
            Poll::Pending => self.blocked.store(true, Relaxed),
            Poll::Ready(_) => {
                self.blocked.store(false, Relaxed);
                // Only this connection's own thread writes.
                self.moved
                    .store(self.moved.load(Relaxed).wrapping_add(1), Relaxed);
            }
        }
    }
}

/// A client's socket, which notes whether writing to it gets on.
#[derive(Debug)]
pub(super) struct Watched {
    inner: Stream,
    flow: Arc<Flow>,
}

impl Watched {
    pub(super) fn new(inner: Stream, state: &State) -> Self {
        Self {
            inner,
            flow: Arc::clone(&state.flow),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.flow.wrote(&done);
        done
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.flow.wrote(&done);
        done
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// What the sweep knows of a connection.
#[derive(Debug)]
pub(super) struct State {
    idle: Duration,
    busy: Cell<u32>,
    since: Cell<Instant>,
    /// How long a client may take nothing of its answer.
    patience: Cell<Duration>,
    flow: Arc<Flow>,
    /// What the last sweep that saw something move saw, and when.
    seen: Cell<(u64, Instant)>,
    wish: Cell<Wish>,
    waker: RefCell<Option<Waker>>,
    requests: Cell<u64>,
    /// Held until the connection is gone, and every request and tunnel of it.
    counted: OnceCell<Counted>,
}

impl State {
    pub(super) fn new(idle: Duration) -> Self {
        Self {
            idle,
            busy: Cell::new(0),
            since: Cell::new(Instant::now()),
            patience: Cell::new(idle),
            flow: Arc::default(),
            seen: Cell::new((0, Instant::now())),
            wish: Cell::new(Wish::Serve),
            waker: RefCell::default(),
            requests: Cell::new(0),
            counted: OnceCell::new(),
        }
    }

    /// Counts the connection as open for as long as anything of it lives.
    pub(super) fn count(&self, counted: Counted) {
        // It is counted once, by whoever made it.
        drop(self.counted.set(counted));
    }

    /// Notes one more request; the one that reaches the limit is the last on this connection.
    pub(super) fn asked(&self, limit: u64) {
        self.requests.set(self.requests.get() + 1);
        if self.requests.get() >= limit {
            self.wish(Wish::Close);
        }
    }

    /// Notes that a request is being answered, for as long as what is returned lives.
    pub(super) fn busy(self: &Rc<Self>) -> Busy {
        self.busy.set(self.busy.get() + 1);
        Busy {
            state: Rc::clone(self),
            ended: None,
        }
    }

    /// Sets how long the client may take nothing of an answer.
    pub(super) fn set_patience(&self, patience: Duration) {
        self.patience.set(patience);
    }

    /// Returns what is to become of the connection.
    fn due(&self, now: Instant) -> Wish {
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
        if self.busy.get() == 0 && now.duration_since(self.since.get()) >= self.idle {
            Wish::Cut
        } else {
            Wish::Serve
        }
    }

    fn wish(&self, wish: Wish) {
        if self.wish.get() < wish {
            self.wish.set(wish);
            if let Some(waker) = &*self.waker.borrow() {
                waker.wake_by_ref();
            }
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
    /// Tells when it ended, where that is known already.
    pub(super) fn ended(&mut self, now: Instant) {
        self.ended = Some(now);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.state.busy.set(self.state.busy.get() - 1);
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
            true
        });
    }

    /// Lets every connection end after the request that it is busy with.
    pub(super) fn close(&self) {
        for state in self.0.borrow().iter().filter_map(Weak::upgrade) {
            state.wish(Wish::Close);
        }
    }
}

/// A connection being served.
pub(super) struct Serving<S>
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    http: Pin<Box<Http<S>>>,
    state: Rc<State>,
    closing: bool,
}

impl<S> Serving<S>
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    pub(super) fn new(http: Http<S>, state: Rc<State>) -> Self {
        Self {
            http: Box::pin(http),
            state,
            closing: false,
        }
    }
}

impl<S> Future for Serving<S>
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A task's waker stays the same for its life, so it is taken once.
        if self.state.waker.borrow().is_none() {
            *self.state.waker.borrow_mut() = Some(cx.waker().clone());
        }
        match self.state.wish.get() {
            Wish::Drop => return Poll::Ready(Ok(())),
            Wish::Cut if self.state.busy.get() == 0 => return Poll::Ready(Ok(())),
            Wish::Close | Wish::Cut if !self.closing => {
                self.closing = true;
                self.http.as_mut().graceful_shutdown();
            }
            _ => {}
        }
        self.http.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_dropped_and_a_slow_one_is_not() {
        let state = State::new(3 * SECOND);
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
        let state = State::new(3 * SECOND);
        let start = Instant::now();
        state.flow.wrote::<usize>(&Poll::Pending);
        assert_eq!(state.due(start + 2 * SECOND), Wish::Serve);
        state.flow.wrote(&Poll::Ready(Ok(1)));
        assert_eq!(state.due(start + 4 * SECOND), Wish::Serve);
        assert_eq!(state.due(start + 5 * SECOND), Wish::Cut);
    }
}
