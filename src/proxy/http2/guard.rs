//! The bytes of an HTTP/2 connection on their way to and from hyper, which has no knob for floods of
//! pings, settings and the like: frames are counted here, and the connection ends when its budget is
//! spent.

use super::frames::Frames;
use super::watch::Watch;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;

/// `PRI * HTTP/2.0` and what follows (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// A connection whose frames are counted.
#[derive(Debug)]
pub(super) struct Guard<S> {
    inner: S,
    watch: Rc<Watch>,
    reading: Frames,
    writing: Frames,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    pub(super) fn new(inner: S, watch: Rc<Watch>) -> Self {
        Self {
            inner,
            watch,
            reading: Frames::after(PREFACE),
            writing: Frames::after(0),
        }
    }

    /// Says why the connection ends, where no other frame is in the way and the socket takes it.
    fn calm(&mut self, cx: &mut Context<'_>) -> io::Error {
        if self.writing.between() {
            let mut frame = [0; 17];
            frame[2] = 8;
            frame[3] = 7;
            frame[9..13].copy_from_slice(&self.watch.last_stream().to_be_bytes());
            frame[13..].copy_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
            // A client that takes nothing is not told; the connection ends either way.
            let wrote = Pin::new(&mut self.inner).poll_write(cx, &frame);
            let flushed = Pin::new(&mut self.inner).poll_flush(cx);
            tracing::trace!(?wrote, ?flushed, "a client was told to be calm");
        }
        io::Error::other("too many frames that ask for nothing")
    }

    fn wrote(&mut self, bytes: &[u8]) {
        let watch = &self.watch;
        self.writing.pass(bytes, |frame| watch.sent(frame));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.inner).poll_read(cx, buf);
        let new = buf.filled().get(before..).unwrap_or_default();
        if !new.is_empty() {
            let this = &mut *self;
            let watch = &this.watch;
            this.reading.pass(new, |frame| watch.received(frame));
            if this.reading.between() {
                this.watch.whole();
            }
            if this.watch.exhausted().is_some() {
                return Poll::Ready(Err(this.calm(cx)));
            }
        }
        done
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = done {
            self.wrote(buf.get(..n).unwrap_or(buf));
        }
        done
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(mut left)) = done {
            for buf in bufs {
                let n = left.min(buf.len());
                left -= n;
                self.wrote(buf.get(..n).unwrap_or(buf));
            }
        }
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
