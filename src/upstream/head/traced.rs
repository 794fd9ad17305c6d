//! OPTIONS and TRACE that count their hops (RFC 9110 section 7.6.2). Pure.

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::header;
use http::request::Parts;

/// Returns how often a request may still be forwarded, where it says so and its method heeds it.
pub fn hops_left(parts: &Parts) -> Option<u64> {
    if !matches!(parts.method, Method::OPTIONS | Method::TRACE) {
        return None;
    }
    let text = parts.headers.get(header::MAX_FORWARDS)?.to_str().ok()?;
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Takes one hop off.
pub(super) fn count_down(parts: &Parts, out: &mut HeaderMap) {
    if let Some(left) = hops_left(parts) {
        out.insert(
            header::MAX_FORWARDS,
            HeaderValue::from(left.saturating_sub(1)),
        );
    }
}

/// Returns what the last recipient of a TRACE shows of it: the request line and the fields that
/// tell its way. Everything else may hold a secret.
pub fn reflection(parts: &Parts) -> Vec<u8> {
    let target = parts.uri.path_and_query().map_or("/", |t| t.as_str());
    let mut out = format!("{} {target} {:?}\r\n", parts.method, parts.version).into_bytes();
    for name in [header::HOST, header::VIA, header::MAX_FORWARDS] {
        for value in parts.headers.get_all(&name) {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}
