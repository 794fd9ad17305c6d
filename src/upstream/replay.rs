//! Request bodies that may have to be sent again.
//!
//! Where an application may refuse a request without having looked at it (HTTP/2), or the rules let
//! a request with effects be repeated, the start of its body is kept while it is sent. Once more than
//! [`KEPT`] of it has gone, it is sent only once.

use super::body::Outgoing;
use super::error::Error;
use super::error::ErrorKind;
use bytes::Bytes;
use http::Request;
use http::request::Parts;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use std::cell::Cell;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

/// So much of a body is kept, in bytes.
const KEPT: usize = 64 * 1_024;

type Streamed = Pin<Box<dyn Body<Data = Bytes, Error = Error>>>;

/// How a request can be made again.
pub(super) enum Again {
    /// As it was made.
    Make,
    /// From a copy of its head and the kept start of its body.
    Replay(Box<(Parts, Rc<Kept>)>),
    /// Not at all.
    Never,
}

impl Again {
    /// Prepares for sending a request again, where `wanted` even if its body streams.
    pub(super) fn of(request: &mut Request<Outgoing>, wanted: bool) -> Self {
        if !matches!(request.body(), Outgoing::Streamed(_)) {
            return Self::Make;
        }
        if !wanted {
            return Self::Never;
        }
        let Outgoing::Streamed(body) = std::mem::replace(request.body_mut(), Outgoing::Empty)
        else {
            return Self::Never;
        };
        let kept = Rc::new(Kept::new(body));
        *request.body_mut() = Kept::lend(&kept);
        let mut copy = Request::new(());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        Self::Replay(Box::new((copy.into_parts().0, kept)))
    }

    /// Makes the request once more, if all of its body is still here.
    pub(super) fn next(
        &self,
        make: &mut dyn FnMut() -> Request<Outgoing>,
    ) -> Option<Request<Outgoing>> {
        match self {
            Self::Make => Some(make()),
            Self::Never => None,
            Self::Replay(copy) => {
                let (parts, kept) = &**copy;
                if kept.lost.get() {
                    return None;
                }
                Some(Request::from_parts(parts.clone(), Kept::lend(kept)))
            }
        }
    }
}

/// A body and what of it has been sent.
pub(super) struct Kept {
    rest: RefCell<Option<Streamed>>,
    sent: RefCell<Vec<Bytes>>,
    size: Cell<usize>,
    /// Whether it cannot be sent again.
    lost: Cell<bool>,
    turn: Cell<u32>,
}

impl Kept {
    fn new(body: Streamed) -> Self {
        Self {
            rest: RefCell::new(Some(body)),
            sent: RefCell::default(),
            size: Cell::new(0),
            lost: Cell::new(false),
            turn: Cell::new(0),
        }
    }

    /// Gives the body out, from its start; who had it before gets no more of it.
    fn lend(kept: &Rc<Self>) -> Outgoing {
        let turn = kept.turn.get().wrapping_add(1);
        kept.turn.set(turn);
        Outgoing::Streamed(Box::pin(Lent {
            kept: Rc::clone(kept),
            turn,
            next: 0,
        }))
    }

    fn note(&self, frame: &Frame<Bytes>) {
        let Some(data) = frame.data_ref() else {
            // Trailers are the end, after which nothing is to be decided any more.
            return self.lose();
        };
        if self.lost.get() {
            return;
        }
        let size = self.size.get() + data.len();
        if size > KEPT {
            return self.lose();
        }
        self.size.set(size);
        self.sent.borrow_mut().push(data.clone());
    }

    fn lose(&self) {
        self.lost.set(true);
        self.sent.borrow_mut().clear();
    }
}

struct Lent {
    kept: Rc<Kept>,
    turn: u32,
    /// The place in what was sent before.
    next: usize,
}

impl Lent {
    fn has_older(&self) -> bool {
        !self.kept.lost.get() && self.next < self.kept.sent.borrow().len()
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.turn != self.kept.turn.get() {
            return Poll::Ready(Some(Err(Error::new(ErrorKind::Closed))));
        }
        if self.has_older() {
            let data = self.kept.sent.borrow()[self.next].clone();
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let mut rest = self.kept.rest.borrow_mut();
        let Some(body) = rest.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = std::task::ready!(body.as_mut().poll_frame(cx));
        drop(rest);
        match &polled {
            Some(Ok(frame)) => {
                self.kept.note(frame);
                self.next += 1;
            }
            Some(Err(_)) => self.kept.lose(),
            None => {}
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        let rest = self.kept.rest.borrow();
        !self.has_older() && rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.kept.rest.borrow();
        let hint = rest.as_ref().map(Body::size_hint).unwrap_or_default();
        // Nothing is kept of a body that is lost.
        let sent = self.kept.sent.borrow();
        let older = sent.iter().skip(self.next);
        let older: u64 = older.map(|data| data.len() as u64).sum();
        match hint.exact() {
            Some(exact) => SizeHint::with_exact(exact + older),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pieces(std::collections::VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn streamed(pieces: &[Bytes]) -> Request<Outgoing> {
        let pieces = Pieces(pieces.iter().cloned().collect());
        let mut request = Request::new(Outgoing::Streamed(Box::pin(pieces)));
        *request.method_mut() = http::Method::POST;
        request.headers_mut().insert("x", "y".parse().unwrap());
        request
    }

    fn read(body: &mut Outgoing) -> Option<Result<Bytes, ErrorKind>> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(frame) = Pin::new(body).poll_frame(&mut cx) else {
            panic!("it never waits");
        };
        frame.map(|f| f.map(|f| f.into_data().unwrap()).map_err(|e| e.kind))
    }

    #[test]
    fn a_body_is_sent_again_from_its_start_and_only_to_the_last_who_asked() {
        let pieces = [Bytes::from("one"), Bytes::from("two"), Bytes::from("three")];
        let mut request = streamed(&pieces);
        let again = Again::of(&mut request, true);
        assert_eq!(read(request.body_mut()), Some(Ok("one".into())));
        assert_eq!(read(request.body_mut()), Some(Ok("two".into())));
        let mut second = again.next(&mut || unreachable!()).unwrap();
        assert_eq!(second.method(), http::Method::POST);
        assert_eq!(second.headers()["x"], "y");
        assert_eq!(read(request.body_mut()), Some(Err(ErrorKind::Closed)));
        for piece in pieces {
            assert_eq!(read(second.body_mut()), Some(Ok(piece)));
        }
        assert_eq!(read(second.body_mut()), None);
    }

    #[test]
    fn a_body_over_the_limit_is_sent_once() {
        let pieces = [Bytes::from(vec![0; KEPT]), Bytes::from("x")];
        let mut request = streamed(&pieces);
        let again = Again::of(&mut request, true);
        read(request.body_mut());
        assert!(again.next(&mut || unreachable!()).is_some());
        let mut request = streamed(&pieces);
        let again = Again::of(&mut request, true);
        read(request.body_mut());
        read(request.body_mut());
        assert!(again.next(&mut || unreachable!()).is_none());
    }

    #[test]
    fn what_is_not_wanted_is_not_kept_and_what_has_no_stream_is_made_anew() {
        let mut request = streamed(&[Bytes::from("x")]);
        let again = Again::of(&mut request, false);
        assert!(again.next(&mut || unreachable!()).is_none());
        let mut request = Request::new(Outgoing::Empty);
        let again = Again::of(&mut request, false);
        assert!(again.next(&mut || Request::new(Outgoing::Empty)).is_some());
    }
}
