//! Answers of our own: a status and a short public text, never details of the inside.

use super::body::Body;
use super::scan::Reason;
use crate::upstream::ErrorKind;
use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;

/// Why this proxy refused a request by itself; also the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The path cannot be made canonical.
    Path,
    /// The method is CONNECT.
    Connect,
    /// The body is over the limit.
    Body,
    /// The process ran into a panic.
    Panic,
}

impl Refusal {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Connect => "connect",
            Self::Body => "body",
            Self::Panic => "panic",
        }
    }

    pub(super) fn response(self) -> Response<Body> {
        let (status, text) = match self {
            Self::Path => (
                StatusCode::BAD_REQUEST,
                "bad request: the path is ambiguous\n",
            ),
            Self::Connect => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed: CONNECT\n",
            ),
            Self::Body => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "content too large: the body is over the limit\n",
            ),
            Self::Panic => (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"),
        };
        text_response(status, text)
    }
}

/// Returns what a client gets whose request proved bad when its head had been taken.
pub(super) fn refused(reason: Reason) -> Response<Body> {
    let mut response = Response::new(Body::text(Bytes::from(reason.text())));
    *response.status_mut() =
        StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// Returns what a client gets when a side gave no answer. One total match.
pub(super) fn failed(kind: ErrorKind) -> Response<Body> {
    let (status, text) = match kind {
        ErrorKind::NoAddress | ErrorKind::Connect => (
            StatusCode::BAD_GATEWAY,
            "bad gateway: the application cannot be reached\n",
        ),
        ErrorKind::Closed | ErrorKind::Malformed => (
            StatusCode::BAD_GATEWAY,
            "bad gateway: the application gave no valid answer\n",
        ),
        ErrorKind::Local => (
            StatusCode::SERVICE_UNAVAILABLE,
            "service unavailable: out of connections\n",
        ),
        ErrorKind::ConnectTimeout | ErrorKind::ResponseTimeout | ErrorKind::Idle => (
            StatusCode::GATEWAY_TIMEOUT,
            "gateway timeout: the application did not answer in time\n",
        ),
        ErrorKind::Client => (
            StatusCode::REQUEST_TIMEOUT,
            "request timeout: the body did not arrive\n",
        ),
        ErrorKind::TooLarge => return Refusal::Body.response(),
    };
    text_response(status, text)
}

/// Says that the connection ends with this answer: what was not read of the request's body stands in
/// the way of the next request (RFC 9112 section 9.6).
pub(super) fn close(headers: &mut HeaderMap) {
    let close = HeaderValue::from_static("close");
    headers.insert(header::CONNECTION, close);
}

fn text_response(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::text(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
