//! A client's socket under hyper's HTTP/1 server: hyper reads only what [`Scanner`] lets pass.
//!
//! Bytes are read straight into hyper's buffer and looked at there. Only a head that comes in pieces is
//! copied, since hyper is to see it whole or not at all. When a request is refused, hyper reads the end
//! of the stream once the answers due are out; when it then shuts the socket down, the refusal is
//! written, our side is closed, and a little of what the client still sends is taken, so that the answer
//! reaches it (RFC 9112 section 9.6).

use super::connection::State;
use super::flow::Flow;
use super::scan::Reason;
use super::scan::Rest;
use super::scan::Scan;
use super::scan::Scanner;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Sleep;

/// How much is taken from a client that goes on sending when it has its last answer.
const DRAIN: usize = 64 << 10;
/// For how long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why nothing more passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// A request was refused, or a body; what was under way then has its answer from elsewhere.
    Refused(Reason),
    /// The last request has ended.
    Ended,
    /// The client sends no more.
    Fin,
}

/// How far the closing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    Open,
    Answer,
    Fin,
    Drain,
    Done,
}

/// What only some connections need.
#[derive(Debug, Default)]
struct Held {
    /// Bytes that hyper has not got, the beginning of a head as a rule.
    bytes: Vec<u8>,
    /// How many of them it may have.
    ready: usize,
    /// How many of those it has got.
    given: usize,
}

/// The socket.
#[derive(Debug)]
pub(super) struct Scanned<S> {
    inner: S,
    flow: Arc<Flow>,
    scanner: Scanner,
    half_close: bool,
    held: Held,
    /// Requests that hyper has got.
    heads: u64,
    over: Option<Over>,
    /// hyper has read the end.
    told: bool,
    fin: bool,
    closing: Closing,
    answer: Vec<u8>,
    written: usize,
    swallowed: usize,
    patience: Option<Pin<Box<Sleep>>>,
}

impl<S> Scanned<S> {
    /// Puts a scanner before a socket of HTTP/1.
    pub(super) fn new(inner: S, state: &State, scanner: Scanner, half_close: bool) -> Self {
        Self {
            inner,
            flow: state.flow(),
            scanner,
            half_close,
            held: Held::default(),
            heads: 0,
            over: None,
            told: false,
            fin: false,
            closing: Closing::Open,
            answer: Vec::new(),
            written: 0,
            swallowed: 0,
            patience: None,
        }
    }

    /// Requests that have no answer yet.
    fn due(&self) -> u64 {
        self.heads.wrapping_sub(self.flow.answered())
    }

    fn refuse(&mut self, reason: Reason) {
        self.over = Some(Over::Refused(reason));
        self.flow.head_ended();
        self.flow.refuse(reason);
    }

    /// Looks at all that is held, of which nothing may pass yet.
    fn scan_held(&mut self) {
        let scan = self.scanner.scan(&self.held.bytes);
        self.held.ready = scan.passed;
        self.note(scan);
        if scan.rest != Rest::Partial {
            self.held.bytes.truncate(scan.passed);
        }
    }

    fn note(&mut self, scan: Scan) {
        self.heads += u64::from(scan.heads);
        if scan.heads > 0 {
            self.flow.head_ended();
        }
        match scan.rest {
            Rest::Partial if self.scanner.is_in_head() => self.flow.head_began(),
            Rest::Nothing | Rest::Partial => {}
            Rest::Ended => self.over = Some(Over::Ended),
            Rest::Refused(reason) => self.refuse(reason),
        }
    }

    /// Gives hyper what it may have of what is held.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let held = &mut self.held;
        let wanted = (held.ready - held.given).min(buf.remaining());
        if let Some(bytes) = held.bytes.get(held.given..held.given + wanted) {
            buf.put_slice(bytes);
        }
        held.given += wanted;
        if held.given == held.ready {
            held.bytes.drain(..held.ready);
            (held.ready, held.given) = (0, 0);
            if held.bytes.is_empty() {
                held.bytes = Vec::new();
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Scanned<S> {
    /// Nothing more passes: waits for the answers due, unless the client leaves before.
    fn wait(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.scanner.is_in_body() || self.due() == 0 {
            self.told = true;
            return Poll::Ready(Ok(()));
        }
        // hyper asks again only when it is woken.
        self.flow.wait_for_answers();
        while !self.fin && self.swallowed < DRAIN {
            self.fin = ready!(self.swallow(cx, buf))? == 0;
        }
        if !self.fin {
            // It sends and sends; whether it leaves shows when it is written to.
            return Poll::Pending;
        }
        if !self.half_close {
            self.told = true;
            return Poll::Ready(Ok(()));
        }
        // It still wants its answers. That it does not any more shows in an empty write, which the
        // sweep lets us try now and then.
        self.flow.set_half_closed();
        match Pin::new(&mut self.inner).poll_write(cx, &[]) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }

    /// Takes some bytes and forgets them; returns how many.
    fn swallow(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let taken = buf.filled().len() - before;
        buf.set_filled(before);
        self.swallowed += taken;
        Poll::Ready(Ok(taken))
    }

    /// Returns whether the client has sent nothing more. Closing a socket with something in it resets
    /// the connection, and the last answer may be lost with it.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        self.flow.look();
        let found = self.swallow(cx, &mut ReadBuf::new(&mut byte));
        let arrived = self.flow.has_arrived();
        match found {
            Poll::Pending => !arrived,
            Poll::Ready(taken) => {
                // Whatever fails has ended as well.
                self.fin = taken.unwrap_or(0) == 0;
                self.fin
            }
        }
    }

    /// Takes what the client still sends, within bounds.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        if patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut sink = [0; 4_096];
        while self.swallowed < DRAIN {
            let mut buf = ReadBuf::new(&mut sink);
            match ready!(self.swallow(cx, &mut buf)) {
                Ok(1..) => {}
                // It has ended, one way or another.
                Ok(0) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.answer.get(self.written..).filter(|r| !r.is_empty()) {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Scanned<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.held.given < this.held.ready {
                this.give(buf);
                return Poll::Ready(Ok(()));
            }
            if this.flow.is_tunnel() {
                if this.held.bytes.is_empty() {
                    return Pin::new(&mut this.inner).poll_read(cx, buf);
                }
                this.held.ready = this.held.bytes.len();
                continue;
            }
            if this.over.is_none() && this.flow.is_late() && this.scanner.is_in_head() {
                this.refuse(Reason::HeadTime);
            }
            if this.over.is_some() {
                return this.wait(cx, buf);
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if fresh.is_empty() {
                this.fin = true;
                this.over = Some(Over::Fin);
                this.flow.head_ended();
            } else if this.held.bytes.is_empty() {
                let scan = this.scanner.scan(fresh);
                if scan.rest == Rest::Partial {
                    let partial = fresh.get(scan.passed..).unwrap_or_default();
                    this.held.bytes.extend_from_slice(partial);
                }
                this.note(scan);
                buf.set_filled(before + scan.passed);
                if scan.passed > 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.held.bytes.extend_from_slice(fresh);
                buf.set_filled(before);
                this.scan_held();
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Scanned<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.flow.is_tunnel() {
            return Pin::new(&mut this.inner).poll_shutdown(cx);
        }
        loop {
            this.closing = match this.closing {
                Closing::Open => match this.over {
                    Some(Over::Refused(reason)) if this.told && !this.scanner.is_in_body() => {
                        this.answer = reason.answer().into_bytes();
                        Closing::Answer
                    }
                    _ => Closing::Fin,
                },
                Closing::Answer => {
                    ready!(this.poll_answer(cx))?;
                    Closing::Fin
                }
                Closing::Fin => {
                    ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                    let quiet = this.over.is_none()
                        && !this.scanner.is_in_body()
                        && this.held.bytes.is_empty()
                        && this.is_silent(cx);
                    this.swallowed = 0;
                    if this.fin || quiet {
                        Closing::Done
                    } else {
                        Closing::Drain
                    }
                }
                Closing::Drain => {
                    ready!(this.poll_drain(cx));
                    Closing::Done
                }
                Closing::Done => return Poll::Ready(Ok(())),
            };
        }
    }
}
