//! Which answers hand out a session, so that asking for them twice would have an effect.
//!
//! A cookie is a session's if its name contains `sess`, `sid` or `auth` and it has no expiry.

use crate::table::Excluded;
use http::HeaderMap;
use http::header;

/// Returns why a request is left out, by the cookies it came with and those that it was given.
pub(super) fn hands_out_session(request: &HeaderMap, answer: &HeaderMap) -> Option<Excluded> {
    let mut given = answer
        .get_all(header::SET_COOKIE)
        .into_iter()
        .filter_map(|value| session_name(value.to_str().ok()?))
        .peekable();
    given.peek()?;
    if !request.contains_key(header::COOKIE) {
        return Some(Excluded::NewSession);
    }
    given
        .any(|name| sends(request, name))
        .then_some(Excluded::Suspended)
}

fn session_name(cookie: &str) -> Option<&str> {
    let mut parts = cookie.split(';');
    let name = parts.next()?.split('=').next()?.trim();
    let lower = name.to_ascii_lowercase();
    let session = ["sess", "sid", "auth"].iter().any(|w| lower.contains(w));
    let expires = parts.any(|attribute| {
        let attribute = attribute.split('=').next().unwrap_or("").trim();
        attribute.eq_ignore_ascii_case("expires") || attribute.eq_ignore_ascii_case("max-age")
    });
    (session && !expires).then_some(name)
}

fn sends(request: &HeaderMap, name: &str) -> bool {
    request
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .any(|pair| pair.split('=').next().is_some_and(|n| n.trim() == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(cookie: Option<&str>, set: &str) -> Option<Excluded> {
        let (mut request, mut answer) = (HeaderMap::new(), HeaderMap::new());
        if let Some(cookie) = cookie {
            request.insert(header::COOKIE, cookie.parse().unwrap());
        }
        answer.insert(header::SET_COOKIE, set.parse().unwrap());
        hands_out_session(&request, &answer)
    }

    #[test]
    fn only_a_new_session_leaves_a_request_out() {
        assert_eq!(why(None, "PHPSESSID=1; Path=/"), Some(Excluded::NewSession));
        assert_eq!(why(None, "theme=dark"), None);
        assert_eq!(why(None, "sid=1; Max-Age=60"), None);
        assert_eq!(why(Some("a=b"), "sid=1"), None);
        assert_eq!(why(Some("a=b; sid=0"), "sid=1"), Some(Excluded::Suspended));
    }
}
