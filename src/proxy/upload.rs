//! The body of a client's request on its way to a side: streamed, bounded, and patient only so far.

use super::body::IdleTimer;
use super::connection::State;
use super::scan::Reason;
use crate::shadow::Tee;
use crate::upstream::Error;
use crate::upstream::ErrorKind;
use crate::upstream::Outgoing;
use crate::upstream::Progress;
use crate::upstream::ended_whole;
use bytes::Bytes;
use http::Request;
use http::StatusCode;
use http::Version;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::Sleep;

/// How long a client that expects `100 Continue` waits when the side says nothing (RFC 9110 section
/// 10.1.1: it is not to wait for ever).
const CONTINUE: Duration = Duration::from_secs(1);

/// Opens when the side has said `100 Continue`. Until then the client's body is not asked for, since
/// asking for it is what makes the client's own `100 Continue`.
#[derive(Debug)]
pub(super) struct Expectation {
    accepted: oneshot::Receiver<()>,
    patience: Pin<Box<Sleep>>,
}

impl Expectation {
    /// Returns a gate and what opens it.
    pub(super) fn new() -> (Self, Accept) {
        let (accept, accepted) = oneshot::channel();
        let gate = Self {
            accepted,
            patience: Box::pin(tokio::time::sleep(CONTINUE)),
        };
        (gate, Accept(accept))
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.accepted).poll(cx) {
            return Poll::Ready(());
        }
        self.patience.as_mut().poll(cx)
    }
}

/// What opens an expectation.
#[derive(Debug)]
pub(super) struct Accept(oneshot::Sender<()>);

impl Accept {
    /// Opens it when the side that a request goes to says `100 Continue`.
    pub(super) fn when_continued(self, request: &mut Request<Outgoing>) {
        let accept = Mutex::new(Some(self.0));
        hyper::ext::on_informational(request, move |informed| {
            let mut accept = accept.lock().unwrap_or_else(PoisonError::into_inner);
            if informed.status() == StatusCode::CONTINUE
                && let Some(accept) = accept.take()
            {
                // An error means that nobody waits for it any more.
                let _sent = accept.send(());
            }
        });
    }
}

/// A request body that streams through.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) inner: Incoming,
    /// The one that the client spoke.
    pub(super) version: Version,
    pub(super) progress: Progress,
    pub(super) idle: IdleTimer,
    pub(super) connection: Rc<State>,
    pub(super) left: Option<u64>,
    pub(super) expectation: Option<Expectation>,
    pub(super) tee: Option<Rc<RefCell<Tee>>>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(expectation) = &mut self.expectation {
            std::task::ready!(expectation.poll_open(cx));
            self.expectation = None;
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.moved();
                // Nothing follows trailers, and nobody asks again.
                let ended = frame.is_trailers() || self.inner.is_end_stream();
                self.progress.moved(Instant::now(), ended);
                if let Some(data) = frame.data_ref() {
                    if let Some(tee) = &self.tee {
                        tee.borrow_mut().push(data);
                    }
                    if let Some(left) = &mut self.left {
                        match left.checked_sub(data.len() as u64) {
                            Some(rest) => *left = rest,
                            None => return Poll::Ready(Some(Err(Error::new(ErrorKind::TooLarge)))),
                        }
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(Some(Err(Error::with(ErrorKind::Client, error))))
            }
            // A stream of HTTP/2 that was reset without an error ends without its end.
            Poll::Ready(None) if !ended_whole(&self.inner, self.version) => {
                Poll::Ready(Some(Err(Error::new(ErrorKind::Client))))
            }
            Poll::Ready(None) => {
                self.progress.moved(Instant::now(), true);
                Poll::Ready(None)
            }
            Poll::Pending => {
                if self.idle.poll_expired(cx) {
                    self.connection.count_refused(Reason::BodyTime);
                    return Poll::Ready(Some(Err(Error::new(ErrorKind::Client))));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
