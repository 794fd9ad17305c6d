//! Answers of our own: a status and a short public text, never details of the inside.

use super::body::Body;
use super::scan::Reason;
use crate::telemetry::Metrics;
use crate::upstream::ErrorKind;
use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;

/// Who made an answer that is not the application's, and why (RFC 9209).
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Why this proxy refused a request by itself; also the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The path cannot be made canonical.
    Path,
    /// The method is CONNECT, and not for a WebSocket over HTTP/2.
    Connect,
    /// No host, several, or two that differ.
    Host,
    /// A scheme that is not spoken here.
    Scheme,
    /// A value that begins or ends with a space.
    Field,
    /// More fields than the limit.
    Fields,
    /// The host is none of the certificate that the connection was begun with.
    Misdirected,
    /// The body is over the limit.
    Body,
    /// A name of a field has an underscore.
    Underscore,
    /// More requests are under way than the limit allows.
    Busy,
    /// It may not be forwarded any further, which the last recipient answers.
    LastHop,
    /// The process ran into a panic.
    Panic,
}

impl Refusal {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Connect => "connect",
            Self::Host => "host",
            Self::Scheme => "scheme",
            Self::Field => "field",
            Self::Fields => "fields",
            Self::Misdirected => "misdirected",
            Self::Body => "body",
            Self::Underscore => "underscore",
            Self::Busy => "inflight",
            Self::LastHop => "max_forwards",
            Self::Panic => "panic",
        }
    }

    pub(super) fn response(self) -> Response<Body> {
        let (status, text, why) = match self {
            Self::Path => (
                StatusCode::BAD_REQUEST,
                "bad request: the path is ambiguous\n",
                REQUEST,
            ),
            Self::Connect => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed: CONNECT\n",
                REQUEST,
            ),
            Self::Host => (
                StatusCode::BAD_REQUEST,
                "bad request: the host is missing or ambiguous\n",
                REQUEST,
            ),
            Self::Scheme => (
                StatusCode::BAD_REQUEST,
                "bad request: the scheme is not spoken here\n",
                REQUEST,
            ),
            Self::Field => (
                StatusCode::BAD_REQUEST,
                "bad request: a field's value is malformed\n",
                REQUEST,
            ),
            Self::Fields => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "request header fields too large: there are too many\n",
                REQUEST,
            ),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected request: use another connection for this host\n",
                REQUEST,
            ),
            Self::Body => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "content too large: the body is over the limit\n",
                REQUEST,
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "service unavailable: too many requests are under way\n",
                "supplant; error=proxy_internal_response",
            ),
            // It is understood (RFC 9110 section 7.6.2).
            Self::LastHop => return Response::new(Body::empty()),
            Self::Panic => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal error\n",
                "supplant; error=proxy_internal_error",
            ),
            Self::Underscore => (
                StatusCode::BAD_REQUEST,
                "bad request: a field's name has an underscore\n",
                REQUEST,
            ),
        };
        text_response(status, text, why)
    }
}

/// A request that is refused leaves no record: it is counted, and told where somebody looks.
pub(super) fn count_refused(metrics: &Metrics, reason: &str) {
    let name = "supplant_requests_refused_total";
    metrics.counter(name, &[reason]).inc();
    tracing::debug!(reason, "a request was refused");
}

/// Returns what a client gets whose request proved bad when its head had been taken.
pub(super) fn refused(reason: Reason) -> Response<Body> {
    let status = StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = text_response(status, "", REQUEST);
    *response.body_mut() = Body::text(Bytes::from(reason.text()));
    response
}

/// What RFC 9209 calls a request that this proxy does not take.
const REQUEST: &str = "supplant; error=http_request_error";

const UNREACHED: &str = "bad gateway: the application cannot be reached\n";
const INVALID: &str = "bad gateway: the application gave no valid answer\n";
const LATE: &str = "gateway timeout: the application did not answer in time\n";
const SPARED: &str = "service unavailable: the application has too much to do\n";

/// Returns what a client gets when a side gave no answer. One total match; the last column is the
/// `Proxy-Status` (RFC 9209 section 2.3), which names the kind of failure and nothing of the inside.
pub(super) fn failed(kind: ErrorKind) -> Response<Body> {
    let (status, text, why) = match kind {
        ErrorKind::NoAddress => (
            StatusCode::BAD_GATEWAY,
            UNREACHED,
            "supplant; error=destination_unavailable",
        ),
        ErrorKind::Connect => (
            StatusCode::BAD_GATEWAY,
            UNREACHED,
            "supplant; error=connection_refused",
        ),
        ErrorKind::Tls => (
            StatusCode::BAD_GATEWAY,
            UNREACHED,
            "supplant; error=tls_protocol_error",
        ),
        ErrorKind::Closed => (
            StatusCode::BAD_GATEWAY,
            INVALID,
            "supplant; error=connection_terminated",
        ),
        ErrorKind::Malformed => (
            StatusCode::BAD_GATEWAY,
            INVALID,
            "supplant; error=http_protocol_error",
        ),
        ErrorKind::NoTunnel => (
            StatusCode::BAD_GATEWAY,
            "bad gateway: the application takes no WebSocket\n",
            "supplant; error=http_upgrade_failed",
        ),
        ErrorKind::Local => (
            StatusCode::SERVICE_UNAVAILABLE,
            "service unavailable: out of connections\n",
            "supplant; error=connection_limit_reached",
        ),
        ErrorKind::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            SPARED,
            "supplant; error=connection_limit_reached",
        ),
        ErrorKind::CircuitOpen => (
            StatusCode::SERVICE_UNAVAILABLE,
            SPARED,
            "supplant; error=destination_unavailable",
        ),
        ErrorKind::ConnectTimeout => (
            StatusCode::GATEWAY_TIMEOUT,
            LATE,
            "supplant; error=connection_timeout",
        ),
        ErrorKind::ResponseTimeout => (
            StatusCode::GATEWAY_TIMEOUT,
            LATE,
            "supplant; error=http_response_timeout",
        ),
        ErrorKind::Idle => (
            StatusCode::GATEWAY_TIMEOUT,
            LATE,
            "supplant; error=connection_read_timeout",
        ),
        ErrorKind::Client => (
            StatusCode::REQUEST_TIMEOUT,
            "request timeout: the body did not arrive\n",
            REQUEST,
        ),
        ErrorKind::TooLarge => return Refusal::Body.response(),
    };
    text_response(status, text, why)
}

/// Returns the answer to a TRACE that goes no further, which sees itself (RFC 9110 sections 7.6.2 and
/// 9.3.8).
pub(super) fn reflected(request: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::text(Bytes::from(request)));
    let message = HeaderValue::from_static("message/http");
    response.headers_mut().insert(header::CONTENT_TYPE, message);
    response
}

/// Says that the connection ends with this answer: what was not read of the request's body stands in
/// the way of the next request (RFC 9112 section 9.6).
pub(super) fn close(headers: &mut HeaderMap) {
    let close = HeaderValue::from_static("close");
    headers.insert(header::CONNECTION, close);
}

fn text_response(status: StatusCode, text: &'static str, why: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::text(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(PROXY_STATUS, HeaderValue::from_static(why));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110 section 15.5.6 wants the field; an empty one names no method.
        headers.insert(header::ALLOW, HeaderValue::from_static(""));
    }
    response
}

/// Writes an error with its causes, on one line.
pub(super) struct Chain<'a>(pub(super) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
