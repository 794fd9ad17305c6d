//! One client connection: served, closed when it is idle for too long, closed at the drain.
//!
//! A timer for each request would cost more than all else that is decided about it, so idle
//! connections are found by a sweep once a second.

use super::service::Proxy;
use super::stack::CatchPanic;
use super::stack::Hyper;
use crate::upstream::Stream;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::rc::Weak;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// What hyper runs for each connection.
type Http = UpgradeableConnection<TokioIo<Stream>, Hyper<CatchPanic<Proxy>>>;

/// How far a connection is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Serve,
    /// After the request it is busy with, if any.
    Close,
    /// Now: nothing came for too long.
    Cut,
}

/// What the sweep knows of a connection.
#[derive(Debug)]
pub(super) struct State {
    idle: Duration,
    busy: Cell<u32>,
    since: Cell<Instant>,
    wish: Cell<Wish>,
    waker: RefCell<Option<Waker>>,
}

impl State {
    pub(super) fn new(idle: Duration) -> Self {
        Self {
            idle,
            busy: Cell::new(0),
            since: Cell::new(Instant::now()),
            wish: Cell::new(Wish::Serve),
            waker: RefCell::default(),
        }
    }

    /// Notes that a request is being answered, for as long as what is returned lives.
    pub(super) fn busy(self: &Rc<Self>) -> Busy {
        self.busy.set(self.busy.get() + 1);
        Busy(Rc::clone(self))
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
pub(super) struct Busy(Rc<State>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
        self.0.since.set(Instant::now());
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

    /// Cuts connections that were idle for too long: between requests, or within a head.
    pub(super) fn sweep(&self, now: Instant) {
        self.0.borrow_mut().retain(|state| {
            let Some(state) = state.upgrade() else {
                return false;
            };
            if state.busy.get() == 0 && now.duration_since(state.since.get()) >= state.idle {
                state.wish(Wish::Cut);
            }
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
pub(super) struct Serving {
    http: Pin<Box<Http>>,
    state: Rc<State>,
    closing: bool,
}

impl Serving {
    pub(super) fn new(http: Http, state: Rc<State>) -> Self {
        Self {
            http: Box::pin(http),
            state,
            closing: false,
        }
    }
}

impl Future for Serving {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A task's waker stays the same for its life, so it is taken once.
        if self.state.waker.borrow().is_none() {
            *self.state.waker.borrow_mut() = Some(cx.waker().clone());
        }
        match self.state.wish.get() {
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
