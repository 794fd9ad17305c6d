//! The body that a client gets: an answer of ours, or one that streams through.

use super::ending::Ending;
use super::http2::Pace;
use crate::upstream::Error;
use crate::upstream::ErrorKind;
use crate::upstream::ended_whole;
use bytes::Bytes;
use http::Version;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::Sleep;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    Text(Option<Bytes>),
    Relayed(Box<Relayed>),
}

impl Body {
    pub(super) fn text(text: Bytes) -> Self {
        Self::Text((!text.is_empty()).then_some(text))
    }

    pub(super) fn empty() -> Self {
        Self::Text(None)
    }

    pub(super) fn relayed(
        inner: Incoming,
        version: Version,
        idle: Duration,
        ending: Ending,
        pace: Option<Pace>,
    ) -> Self {
        if let Some(pace) = &pace {
            pace.set_patience(idle);
        }
        let mut relayed = Box::new(Relayed {
            inner,
            version,
            pace,
            idle: IdleTimer::new(idle),
            ending,
        });
        if http_body::Body::is_end_stream(&relayed.inner) {
            relayed.ending.completed();
        } else {
            relayed.note_length();
        }
        Self::Relayed(relayed)
    }
}

/// A body on its way from a side to the client, untouched. Its [`Ending`] is told what goes by; when
/// the client leaves, this is dropped, and the ending knows.
#[derive(Debug)]
pub(super) struct Relayed {
    inner: Incoming,
    /// The one that the side spoke.
    version: Version,
    /// What notes whether the client of an HTTP/2 stream takes it.
    pace: Option<Pace>,
    idle: IdleTimer,
    ending: Ending,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *self {
            Self::Text(text) => Poll::Ready(text.take().map(|t| Ok(Frame::data(t)))),
            Self::Relayed(relayed) => relayed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Relayed(relayed) => relayed.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64)),
            Self::Relayed(relayed) => relayed.inner.size_hint(),
        }
    }
}

impl Relayed {
    /// Notes that as many bytes as were announced have come: a client of HTTP/1 is through with the
    /// answer then and asks for nothing more, and the end of a stream of HTTP/2 comes later. What has
    /// all of its bytes is whole (RFC 9113 section 8.1.1).
    fn note_length(&mut self) {
        if self.version != Version::HTTP_2 {
            return;
        }
        let left = http_body::Body::size_hint(&self.inner).exact();
        if left == Some(0) || self.ending.is_bodiless() {
            self.ending.full();
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(pace) = &self.pace {
            pace.asked();
        }
        match http_body::Body::poll_frame(Pin::new(&mut self.inner), cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.moved();
                if let Some(pace) = &self.pace {
                    pace.gave();
                }
                if let Some(data) = frame.data_ref() {
                    self.ending.passed(data);
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.ending.trailers(trailers);
                    // Nothing follows them, and a server asks for nothing more. A stream may be reset
                    // then for what was not read of the request.
                    self.ending.full();
                    self.ending.completed();
                }
                if http_body::Body::is_end_stream(&self.inner) {
                    self.ending.completed();
                } else {
                    self.note_length();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.ending.failed(ErrorKind::Closed);
                Poll::Ready(Some(Err(Error::with(ErrorKind::Closed, error))))
            }
            Poll::Ready(None)
                if !ended_whole(&self.inner, self.version) && !self.ending.is_full() =>
            {
                self.ending.failed(ErrorKind::Closed);
                Poll::Ready(Some(Err(Error::new(ErrorKind::Closed))))
            }
            Poll::Ready(None) => {
                self.ending.completed();
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.ending.waits();
                if self.idle.poll_expired(cx) {
                    self.ending.failed(ErrorKind::Idle);
                    return Poll::Ready(Some(Err(Error::new(ErrorKind::Idle))));
                }
                Poll::Pending
            }
        }
    }
}

/// Notices silence. The timer is made the first time a body has to wait, so that answers that are
/// here at once pay nothing for it.
#[derive(Debug)]
pub(super) struct IdleTimer {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    moved: Option<Instant>,
}

impl IdleTimer {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            moved: None,
        }
    }

    /// Something moved.
    pub(super) fn moved(&mut self) {
        if self.timer.is_some() {
            self.moved = Some(Instant::now());
        }
    }

    /// Returns whether nothing moved for the limit; otherwise wakes the task when that is so.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        while timer.as_mut().poll(cx).is_ready() {
            match self.moved.take() {
                Some(moved) if moved + limit > Instant::now() => {
                    timer.as_mut().reset(moved + limit);
                }
                _ => return true,
            }
        }
        false
    }
}
