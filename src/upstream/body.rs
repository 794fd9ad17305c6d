//! The body of a request on its way to a side.

use super::error::Error;
use bytes::Bytes;
use http::Version;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use tokio::time::Instant;

/// How far a streamed body has come, so that the response timeout starts at its end.
#[derive(Clone, Debug)]
pub struct Progress(Rc<Cell<(Instant, bool)>>);

impl Progress {
    /// Starts at `now`, unfinished.
    pub fn new(now: Instant) -> Self {
        Self(Rc::new(Cell::new((now, false))))
    }

    /// Notes that something moved.
    pub fn moved(&self, now: Instant, ended: bool) {
        self.0.set((now, ended));
    }

    /// Returns when something moved last.
    pub fn last(&self) -> Instant {
        self.0.get().0
    }

    /// Returns whether the whole body was handed over.
    pub fn ended(&self) -> bool {
        self.0.get().1
    }
}

/// Returns whether an answer's body that gave its last frame had really come to its end.
///
/// An HTTP/2 stream that was reset without an error gives no further frame either.
pub fn ended_whole(body: &Incoming, version: Version) -> bool {
    version != Version::HTTP_2 || body.is_end_stream()
}

/// A request body: none, whole, or streamed through.
pub enum Outgoing {
    /// No body.
    Empty,
    /// A body that is here already; cheap to send again.
    Whole(Option<Bytes>),
    /// A body that arrives while it is sent.
    Streamed(Pin<Box<dyn Body<Data = Bytes, Error = Error>>>),
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Whole(_) => "Whole",
            Self::Streamed(_) => "Streamed",
        })
    }
}

impl Outgoing {
    /// Makes a body of bytes that are here already.
    pub fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Whole(Some(bytes))
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Streamed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Streamed(body) => body.size_hint(),
        }
    }
}
