//! Makes of an HTTP/2 request what the rest of the proxy knows: one host, one line of cookies, and an
//! upgrade where it asks for a WebSocket. What HTTP/1.1 could not carry unambiguously is refused.

use crate::clock;
use crate::proxy::answer::Refusal;
use crate::proxy::scan::host::is_same;
use crate::proxy::scan::host::is_valid;
use crate::proxy::tls::Named;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Uri;
use http::header;
use http::request::Parts;
use hyper::ext::Protocol;

/// On what terms a connection's requests are taken.
#[derive(Debug)]
pub(in crate::proxy) struct Terms {
    /// Fields of a request, at most.
    pub(in crate::proxy) fields: usize,
    /// Which hosts they may be for, if the client named one.
    pub(in crate::proxy) named: Option<Named>,
}

impl Terms {
    /// Checks a request and turns it, in place, into one that HTTP/1.1 can carry.
    pub(in crate::proxy) fn prepare(&self, parts: &mut Parts) -> Result<(), Refusal> {
        // A field that is sent in pieces counts as often as it was sent.
        if parts.headers.len() > self.fields {
            return Err(Refusal::Fields);
        }
        if parts.headers.values().any(has_outer_space) {
            return Err(Refusal::Field);
        }
        if parts.method == Method::CONNECT {
            extended(parts)?;
        }
        target(&parts.method, &parts.uri)?;
        let host = host(&parts.uri, &parts.headers)?;
        if self.named.as_ref().is_some_and(|n| !n.is_for(host)) {
            return Err(Refusal::Misdirected);
        }
        join_cookies(&mut parts.headers);
        Ok(())
    }
}

/// RFC 9113 section 8.2.1.
fn has_outer_space(value: &HeaderValue) -> bool {
    let ends = [value.as_bytes().first(), value.as_bytes().last()];
    ends.into_iter()
        .flatten()
        .any(|b| matches!(b, b' ' | b'\t'))
}

/// RFC 9113 section 8.3.1.
fn target(method: &Method, uri: &Uri) -> Result<(), Refusal> {
    let path = uri.path();
    let everything = path == "*" && *method == Method::OPTIONS;
    if !everything && !path.starts_with('/') {
        return Err(Refusal::Path);
    }
    match uri.scheme_str() {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err(Refusal::Scheme),
    }
}

/// Returns the one host of a request: `:authority` and `Host` have to agree where both are there.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match hosts.next() {
        Some(host) => Some(host.to_str().map_err(|_| Refusal::Host)?),
        None => None,
    };
    if hosts.next().is_some() {
        return Err(Refusal::Host);
    }
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let secure = uri.scheme_str() != Some("http");
    let same = |one: &str, other: &str| is_same(one.as_bytes(), other.as_bytes(), secure);
    let found = match (authority, host) {
        (Some(authority), Some(host)) if !same(authority, host) => None,
        (Some(found), _) | (None, Some(found)) => Some(found),
        (None, None) => None,
    };
    found
        .filter(|found| is_valid(found.as_bytes()))
        .ok_or(Refusal::Host)
}

/// RFC 9113 section 8.2.3: pieces of `Cookie` are one field for HTTP/1.1.
fn join_cookies(headers: &mut HeaderMap) {
    let pieces = headers.get_all(header::COOKIE);
    if pieces.iter().nth(1).is_none() {
        return;
    }
    let pieces: Vec<_> = pieces.iter().map(HeaderValue::as_bytes).collect();
    if let Ok(mut joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        joined.set_sensitive(true);
        headers.insert(header::COOKIE, joined);
    }
}

/// Turns an extended CONNECT (RFC 8441) into the upgrade that asks HTTP/1.1 for the same.
fn extended(parts: &mut Parts) -> Result<(), Refusal> {
    let protocol = parts.extensions.remove::<Protocol>();
    let websocket = protocol.is_some_and(|p| p.as_str().eq_ignore_ascii_case("websocket"));
    if !websocket {
        return Err(Refusal::Connect);
    }
    parts.method = Method::GET;
    let headers = &mut parts.headers;
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.remove(header::CONTENT_LENGTH);
    if let Ok(key) = HeaderValue::from_bytes(&nonce(clock::chance(), clock::chance())) {
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
    headers
        .entry(header::SEC_WEBSOCKET_VERSION)
        .or_insert(HeaderValue::from_static("13"));
    Ok(())
}

/// Writes 16 bytes in base64 (RFC 6455 section 4.1).
fn nonce(high: u64, low: u64) -> [u8; 24] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = (u128::from(high) << 64) | u128::from(low);
    let mut out = [b'='; 24];
    for (i, digit) in out.iter_mut().take(22).enumerate() {
        let at = 6 * i;
        let six = if at + 6 <= 128 {
            (bits >> (122 - at)) & 63
        } else {
            (bits << 4) & 63
        };
        *digit = DIGITS[usize::try_from(six).unwrap_or(0)];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn prepared(uri: &str, fields: &[(&str, &str)]) -> Result<Parts, Refusal> {
        let mut builder = Request::builder().uri(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        let (mut parts, ()) = builder.body(()).unwrap().into_parts();
        let terms = Terms {
            fields: 100,
            named: None,
        };
        terms.prepare(&mut parts)?;
        Ok(parts)
    }

    #[test]
    fn host_and_authority_have_to_agree() {
        for host in ["a.example", "A.Example", "a.example:443"] {
            assert!(
                prepared("https://a.example/", &[("host", host)]).is_ok(),
                "{host}"
            );
        }
        for host in ["b.example", "a.example:80", "", "a.example, a.example"] {
            let refused = prepared("https://a.example/", &[("host", host)]);
            assert_eq!(refused.err(), Some(Refusal::Host), "{host}");
        }
        let twice = [("host", "a.example"), ("host", "a.example")];
        assert_eq!(
            prepared("https://a.example/", &twice).err(),
            Some(Refusal::Host)
        );
        assert!(prepared("/", &[("host", "a.example")]).is_ok());
        assert_eq!(prepared("/", &[]).err(), Some(Refusal::Host));
        for host in ["a, b", "a/b", "a b", "a:b", "a%20b", "u@a", "", ":80"] {
            let alone = prepared("/", &[("host", host)]);
            assert_eq!(alone.err(), Some(Refusal::Host), "{host}");
        }
        let userinfo = prepared("https://u:p@a.example/", &[]);
        assert_eq!(userinfo.err(), Some(Refusal::Host));
    }

    #[test]
    fn pieces_of_cookies_are_joined_and_counted() {
        let parts = prepared(
            "https://a/",
            &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")],
        );
        assert_eq!(parts.unwrap().headers["cookie"], "a=1; b=2");
        let many = vec![("cookie", "a=1"); 101];
        assert_eq!(prepared("https://a/", &many).err(), Some(Refusal::Fields));
    }

    #[test]
    fn space_around_a_value_and_foreign_schemes_are_refused() {
        for value in [" a", "a ", "\ta", "a\t", " "] {
            assert_eq!(
                prepared("https://a/", &[("x", value)]).err(),
                Some(Refusal::Field)
            );
        }
        assert!(prepared("https://a/", &[("x", ""), ("y", "a b")]).is_ok());
        assert_eq!(prepared("ftp://a/", &[]).err(), Some(Refusal::Scheme));
    }

    #[test]
    fn a_nonce_is_base64_of_its_bits() {
        assert_eq!(&nonce(0, 0), b"AAAAAAAAAAAAAAAAAAAAAA==");
        assert_eq!(&nonce(u64::MAX, u64::MAX), b"/////////////////////w==");
        // RFC 6455 section 1.3.
        let (high, low) = (0x7468_6520_7361_6d70, 0x6c65_206e_6f6e_6365);
        assert_eq!(&nonce(high, low), b"dGhlIHNhbXBsZSBub25jZQ==");
    }
}
