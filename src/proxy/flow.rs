//! What a client's socket and the sweep of connections tell each other.

use super::answer;
use super::connection::State;
use super::scan::Reason;
use crate::telemetry::Metrics;
use crate::upstream::Stream;
use socket2::SockRef;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What a connection's socket and its sweep tell each other: whether the client takes what it is sent,
/// and how far its requests have come. hyper wants to be able to send the socket, so these are atomics,
/// though one thread alone uses them.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) blocked: AtomicBool,
    pub(super) moved: AtomicU64,
    /// Requests whose answers are made.
    pub(super) answered: AtomicU64,
    /// When a head began that has not ended: milliseconds since the connection did, and one.
    pub(super) head: AtomicU64,
    pub(super) late: AtomicBool,
    pub(super) tunnel: AtomicBool,
    pub(super) half_closed: AtomicBool,
    /// The socket gives nothing more until the answers due are made.
    pub(super) waits: AtomicBool,
    pub(super) refused: AtomicU8,
    /// The connection is to be closed if nothing has arrived: the reader is to look at the socket.
    pub(super) look: AtomicBool,
    /// Something has, as it saw.
    pub(super) arrived: AtomicBool,
    pub(super) began: Instant,
    pub(super) metrics: Metrics,
}

impl Flow {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            blocked: AtomicBool::new(false),
            moved: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            head: AtomicU64::new(0),
            late: AtomicBool::new(false),
            tunnel: AtomicBool::new(false),
            half_closed: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            refused: AtomicU8::new(0),
            look: AtomicBool::new(false),
            arrived: AtomicBool::new(false),
            began: Instant::now(),
            metrics,
        }
    }

    pub(super) fn wrote<T>(&self, done: &Poll<io::Result<T>>) {
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

    /// Returns how many requests were answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// A part of a head is here.
    pub(super) fn head_began(&self) {
        if self.head.load(Relaxed) == 0 {
            let since = self.began.elapsed().as_millis();
            let since = u64::try_from(since).unwrap_or(u64::MAX - 1);
            self.head.store(since + 1, Relaxed);
        }
    }

    /// The head is whole, or will never be.
    pub(super) fn head_ended(&self) {
        self.head.store(0, Relaxed);
        self.late.store(false, Relaxed);
    }

    pub(super) fn head(&self) -> Option<Instant> {
        let since = self.head.load(Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_millis(since))
    }

    /// Returns whether a head has been coming for too long.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Relaxed)
    }

    /// Returns whether the connection has become something else than HTTP.
    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Relaxed)
    }

    /// The client sends no more and waits for its answer.
    pub(super) fn set_half_closed(&self) {
        self.half_closed.store(true, Relaxed);
    }

    /// Asks to be woken when an answer is made.
    pub(super) fn wait_for_answers(&self) {
        self.waits.store(true, Relaxed);
    }

    /// Has the next read that finds nothing look at the socket itself: the runtime learns of what has
    /// arrived only when it looks at all sockets.
    pub(super) fn look(&self) {
        self.look.store(true, Relaxed);
    }

    /// Returns whether that look found something.
    pub(super) fn has_arrived(&self) -> bool {
        self.look.store(false, Relaxed);
        self.arrived.swap(false, Relaxed)
    }

    /// Counts a refusal, after which nothing more passes.
    pub(super) fn refuse(&self, reason: Reason) {
        self.refused.store(reason as u8, Relaxed);
        self.count(reason);
    }

    /// Counts a refusal.
    pub(super) fn count(&self, reason: Reason) {
        answer::count_refused(&self.metrics, reason.as_str());
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
            flow: state.flow(),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_read(cx, buf);
        if done.is_pending()
            && self.flow.look.load(Relaxed)
            && let Stream::Tcp(stream) = &self.inner
        {
            self.flow.arrived.store(has_arrived(stream), Relaxed);
        }
        done
    }
}

/// Returns whether a client has sent something that is not read yet.
pub(super) fn has_arrived(stream: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    matches!(SockRef::from(stream).peek(&mut byte), Ok(1..))
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write(cx, buf);
        if !buf.is_empty() {
            self.flow.wrote(&done);
        }
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
