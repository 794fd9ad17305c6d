//! What stands around the service: the layers, in order, a reason for each.
//!
//! 1. [`CatchPanic`]: a panic in one request becomes a 500 and a counter; the process goes on.

use super::answer::Refusal;
use super::body::Body;
use http::Request;
use http::Response;
use hyper::body::Incoming;
use prometheus::IntCounter;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use tower::Service;

/// The future of every service here; it stays on its thread.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

/// Turns a panic of the service into a 500.
#[derive(Clone, Debug)]
pub(super) struct CatchPanic<S> {
    inner: S,
    caught: IntCounter,
}

impl<S> CatchPanic<S> {
    pub(super) fn new(inner: S, caught: IntCounter) -> Self {
        Self { inner, caught }
    }
}

impl<S> Service<Request<Incoming>> for CatchPanic<S>
where
    S: Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = Infallible,
            Future = Answering,
        >,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Caught;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Caught {
        Caught {
            inner: self.inner.call(request),
            caught: self.caught.clone(),
        }
    }
}

/// The future of [`CatchPanic`].
pub(super) struct Caught {
    inner: Answering,
    caught: IntCounter,
}

impl Future for Caught {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = &mut self.inner;
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| {
            self.caught.inc();
            tracing::error!("a request panicked; it was answered with 500");
            Poll::Ready(Ok(Refusal::Panic.response()))
        })
    }
}

/// Hands hyper's requests to a stack that is always ready.
#[derive(Clone, Debug)]
pub(super) struct Hyper<S>(pub(super) S);

impl<S> hyper::service::Service<Request<Incoming>> for Hyper<S>
where
    S: Service<Request<Incoming>> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        self.0.clone().call(request)
    }
}
