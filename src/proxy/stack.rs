//! What stands around the service: the layers, in order, a reason for each.
//!
//! 1. [`CatchPanic`]: a panic in one request becomes a 500 and a counter; the process goes on.
//!
//! The layers' own futures are not boxed: hyper keeps one place for a connection's future and uses it
//! again for every request.

use super::answer::Refusal;
use super::body::Body;
use super::service::Proxy;
use http::Request;
use http::Response;
use hyper::body::Incoming;
use hyper::service::HttpService;
use pin_project_lite::pin_project;
use prometheus::IntCounter;
use std::cell::RefCell;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use tower::Service;

/// Stacks the layers around the service of one connection.
pub(super) fn stack(
    proxy: Proxy,
    panics: IntCounter,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible> {
    let proxy = Rc::new(proxy);
    let service = tower::service_fn(move |request| {
        let proxy = Rc::clone(&proxy);
        async move { Ok::<_, Infallible>(proxy.answer(request, None).await) }
    });
    Hyper(RefCell::new(CatchPanic {
        inner: service,
        caught: Rc::new(panics),
    }))
}

/// Turns a panic of the service into a 500.
#[derive(Clone, Debug)]
struct CatchPanic<S> {
    inner: S,
    caught: Rc<IntCounter>,
}

impl<S> Service<Request<Incoming>> for CatchPanic<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Caught<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        Caught {
            inner: self.inner.call(request),
            caught: Rc::clone(&self.caught),
        }
    }
}

pin_project! {
    /// A request whose panic becomes a 500: the future of [`CatchPanic`].
    pub(super) struct Caught<F> {
        #[pin]
        inner: F,
        caught: Rc<IntCounter>,
    }
}

impl<F> Caught<F> {
    /// Counts a panic of `inner` in `caught`.
    pub(super) fn new(inner: F, caught: Rc<IntCounter>) -> Self {
        Self { inner, caught }
    }
}

impl<F> Future for Caught<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner;
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll(cx)));
        polled.unwrap_or_else(|_| {
            this.caught.inc();
            tracing::error!("a request panicked; it was answered with 500");
            Poll::Ready(Ok(Refusal::Panic.response()))
        })
    }
}

/// Hands hyper's requests to a stack that is always ready.
#[derive(Debug)]
struct Hyper<S>(RefCell<S>);

impl<S> hyper::service::Service<Request<Incoming>> for Hyper<S>
where
    S: Service<Request<Incoming>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        self.0.borrow_mut().call(request)
    }
}
