//! What stands around a request: a panic in it becomes a 500 and a counter, and the process goes on.
//!
//! Its future is not boxed: hyper keeps one place for a connection's future and uses it again for every
//! request.

use super::answer::Refusal;
use super::body::Body;
use super::service::Proxy;
use http::Response;
use hyper::body::Incoming;
use hyper::service::HttpService;
use pin_project_lite::pin_project;
use prometheus::IntCounter;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;

/// Returns what hyper hands the requests of one connection of HTTP/1 to.
pub(super) fn stack(
    proxy: Proxy,
    panics: IntCounter,
) -> impl HttpService<Incoming, ResBody = Body, Error = Infallible> {
    let (proxy, panics) = (Rc::new(proxy), Rc::new(panics));
    hyper::service::service_fn(move |request| {
        let answer = Rc::clone(&proxy).answer(request, None);
        Caught::new(answer, Rc::clone(&panics))
    })
}

pin_project! {
    /// A request whose panic becomes a 500.
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
    F: Future<Output = Response<Body>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner;
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll(cx)));
        let answered = polled.unwrap_or_else(|_| {
            this.caught.inc();
            tracing::error!("a request panicked; it was answered with 500");
            Poll::Ready(Refusal::Panic.response())
        });
        answered.map(Ok)
    }
}
