//! Requests that are kept out of mirroring by their words. Pure.
//!
//! Legacy applications have GETs with effects. A request whose path or query says one of the words
//! is neither copied nor asked twice, unless the slice allows it.

use crate::rules::condition::View;
use std::borrow::Cow;

/// The words, in lower case, sorted.
pub(super) const WORDS: [&str; 20] = [
    "accept",
    "activate",
    "authorize",
    "callback",
    "cancel",
    "confirm",
    "delete",
    "login",
    "logout",
    "oauth",
    "redeem",
    "remove",
    "reset",
    "saml",
    "signout",
    "sso",
    "token",
    "unlock",
    "unsubscribe",
    "verify",
];

/// Names of the query that are kept out besides the words; and what ends in `token`.
pub(super) const QUERY_NAMES: [&str; 3] = ["code", "ticket", "samlresponse"];

/// Where a word was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Path(String),
    Query(String),
}

/// Returns the word that keeps a request out, if there is one.
pub(super) fn word(view: &View<'_>) -> Option<Found> {
    if let Some(word) = word_of_path(&view.path) {
        return Some(Found::Path(word.to_owned()));
    }
    word_of_query(view.head.query?).map(Found::Query)
}

/// Returns the word in a path: a whole segment, or a part of one between `-`, `_` and `.`. What `;`
/// begins are parameters of a segment (RFC 3986 section 3.3), such as a session of Java.
pub(super) fn word_of_path(path: &str) -> Option<&str> {
    path.split(['/', '-', '_', '.', ';'])
        .find(|part| is_word(part))
}

fn word_of_query(query: &str) -> Option<String> {
    query.split(['&', ';']).find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (plain(name), plain(value));
        let out = is_word(&name) || is_secret_name(&name) || is_word(&value);
        out.then(|| {
            if is_word(&value) {
                format!("{name}={value}")
            } else {
                name.into_owned()
            }
        })
    })
}

fn is_word(part: &str) -> bool {
    (3..=11).contains(&part.len()) && WORDS.iter().any(|w| w.eq_ignore_ascii_case(part))
}

fn is_secret_name(name: &str) -> bool {
    let end = name
        .len()
        .checked_sub("token".len())
        .and_then(|at| name.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case("token"))
        || QUERY_NAMES.iter().any(|n| n.eq_ignore_ascii_case(name))
}

/// Decodes `%XX` and `+`; borrowed where there is nothing to decode.
fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (*byte, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let code = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|d| u8::from_str_radix(d, 16).ok());
                if let Some(code) = code {
                    rest = after;
                    out.push(code);
                } else {
                    out.push(b'%');
                }
            }
            (byte, _) => out.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_path_are_whole_segments_or_their_parts() {
        for (path, word) in [
            ("/account/logout", Some("logout")),
            ("/LogOut", Some("LogOut")),
            ("/user/delete-account", Some("delete")),
            ("/api/password_reset/7", Some("reset")),
            ("/oauth.php", Some("oauth")),
            ("/logout;jsessionid=1A", Some("logout")),
            ("/blogout", None),
            ("/resets", None),
            ("/orders/7", None),
            ("/tokens", None),
        ] {
            assert_eq!(word_of_path(path), word, "{path}");
        }
    }

    #[test]
    fn words_of_a_query_are_whole_names_or_values() {
        for (query, found) in [
            ("action=delete", true),
            ("delete", true),
            ("a=1&%64elete=1", true),
            ("access_token=x", true),
            ("csrfToken=x", true),
            ("code=x", true),
            ("SAMLResponse=x", true),
            ("q=delete+me", false),
            ("zipcode=1", false),
            ("q=reset-button", false),
            ("", false),
        ] {
            assert_eq!(word_of_query(query).is_some(), found, "{query}");
        }
    }
}
