//! What an application's answer must be like beyond what the connection has checked.
//!
//! Hyper refuses a status line that is not three digits, NUL and bare CR, a space before a colon,
//! folded fields, differing or malformed lengths. It takes several equal lengths, a length beside
//! chunks, and codings of transfer other than chunks; where two readers could take such an answer for
//! different things, none gets it.

use http::HeaderMap;
use http::header;
use http_body::Body;
use hyper::body::Incoming;
use std::time::Duration;

/// Returns whether the framing of an HTTP/1 answer can be read in one way only.
pub(super) fn is_framed(headers: &HeaderMap, body: &Incoming) -> bool {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if let Some(value) = length {
        let digits = value.as_bytes();
        if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
            return false;
        }
        if lengths.next().is_some() {
            return false;
        }
        // Hyper takes the length as the body's own only where no coding stands beside it.
        if body.size_hint().exact().is_some() {
            return true;
        }
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            length.is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        }
        (Some(_), Some(_)) => false,
    }
}

/// Returns how long an application says that it keeps an idle connection.
pub(super) fn advertised(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    let seconds = value.split(',').find_map(|part| {
        let (name, seconds) = part.split_once('=')?;
        let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
        is_timeout.then(|| seconds.trim().parse::<u32>().ok())?
    })?;
    Some(Duration::from_secs(seconds.into()))
}

/// Returns how long to keep a connection that an application keeps for `theirs`: a second less, so
/// that a request on its way does not cross the end, or half of a short time.
pub(super) fn with_margin(theirs: Duration) -> Duration {
    let second = Duration::from_secs(1);
    theirs.saturating_sub(second).max(theirs / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advertised_time_is_read_and_kept_below() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", value.parse().unwrap());
            advertised(&headers).map(|t| t.as_secs())
        };
        assert_eq!(read("timeout=5, max=100"), Some(5));
        assert_eq!(read("max=100, Timeout = 15"), Some(15));
        assert_eq!(read("max=100"), None);
        assert_eq!(read("timeout=soon"), None);
        assert_eq!(advertised(&HeaderMap::new()), None);
        assert_eq!(with_margin(Duration::from_secs(5)).as_secs(), 4);
        assert_eq!(with_margin(Duration::from_secs(1)).as_millis(), 500);
        assert_eq!(with_margin(Duration::ZERO), Duration::ZERO);
    }
}
