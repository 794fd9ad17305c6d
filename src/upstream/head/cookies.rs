//! Cookies of our own that nobody may see, and the names of those that answers set. Pure.

use http::HeaderMap;
use http::HeaderValue;
use http::header;

/// How the cookies of the dashboard's sessions begin. Cookies know no ports, so a browser sends them
/// to the data listener of the same host as well, where no application may see them.
pub const SESSION: &str = "supplant_session_";

pub(super) fn carries_session(cookies: &HeaderValue) -> bool {
    let mut windows = cookies.as_bytes().windows(SESSION.len());
    windows.any(|window| window == SESSION.as_bytes())
}

pub(super) fn without_session(cookies: &HeaderValue) -> Option<HeaderValue> {
    let bytes = cookies.as_bytes();
    let kept: Vec<&[u8]> = bytes
        .split(|byte| *byte == b';')
        .filter(|pair| !pair.trim_ascii_start().starts_with(SESSION.as_bytes()))
        .collect();
    let joined = kept.join(&b';');
    let trimmed = joined.trim_ascii();
    if trimmed.is_empty() {
        return None;
    }
    HeaderValue::from_bytes(trimmed).ok()
}

/// Returns name and path of each cookie that an answer sets. Without a path it is that of the
/// request, which is left empty here.
pub fn set_cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(header::SET_COOKIE).iter().map(|value| {
        let mut parts = value.as_bytes().split(|byte| *byte == b';');
        let pair = parts.next().unwrap_or_default();
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        // The last one counts (RFC 6265 section 5.3).
        let path = parts.filter_map(path_of).next_back().unwrap_or_default();
        (name.trim_ascii(), path)
    })
}

/// Returns the value of a `Path` attribute.
pub(super) fn path_of(attribute: &[u8]) -> Option<&[u8]> {
    let at = attribute.iter().position(|byte| *byte == b'=')?;
    let (name, value) = attribute.split_at(at);
    name.trim_ascii()
        .eq_ignore_ascii_case(b"path")
        .then(|| value.get(1..).unwrap_or_default().trim_ascii())
}
