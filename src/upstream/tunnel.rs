//! A WebSocket on a stream of HTTP/2 (RFC 8441), in the words of HTTP/1.1 towards the rest of the
//! proxy: it asks for an upgrade and is answered with 101.

use super::body::Outgoing;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use ring::digest;

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Returns whether a request asks to become a tunnel; others carry no `Upgrade` any more.
pub(super) fn is_wanted(request: &Request<Outgoing>) -> bool {
    request.headers().contains_key(header::UPGRADE)
}

/// Turns an upgrade into an extended CONNECT, and returns the proof that the client waits for, if it
/// sent a key: over HTTP/2 there is neither (RFC 8441 section 5).
pub(super) fn ask(request: &mut Request<Outgoing>) -> Option<HeaderValue> {
    *request.method_mut() = Method::CONNECT;
    let protocol = Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    proof(&request.headers_mut().remove(header::SEC_WEBSOCKET_KEY)?)
}

fn proof(key: &HeaderValue) -> Option<HeaderValue> {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(GUID);
    HeaderValue::try_from(STANDARD.encode(hash.finish())).ok()
}

/// Turns the success of an extended CONNECT into a 101. Anything else stays as it is.
pub(super) fn answer<B>(response: &mut Response<B>, proof: Option<HeaderValue>) {
    if response.extensions().get::<OnUpgrade>().is_none() {
        return;
    }
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Some(proof) = proof {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, proof);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_rfc_6455() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let proof = proof(&key);
        assert_eq!(proof.unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
