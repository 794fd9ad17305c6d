//! Prefixes of paths, moved and moved back. Pure.

use crate::rules;
use crate::rules::Rewrite;
use http::HeaderValue;
use http::uri::PathAndQuery;
use std::borrow::Cow;

/// A prefix that clients use in place of the one that an application uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    there: Rewrite,
    back: Rewrite,
    /// An application that heeds `X-Forwarded-Prefix` puts the clients' prefix before its paths itself,
    /// and where theirs begins with its own, that shows.
    inside: bool,
    /// What the application has to put before its own paths.
    pub(super) prefix: Option<HeaderValue>,
}

impl Moved {
    pub(super) fn new(rewrite: &Rewrite) -> Self {
        let clean = |text: &str| -> String {
            let path = rules::canonical(text).unwrap_or(Cow::Borrowed(text));
            path.trim_end_matches('/').to_owned()
        };
        let (from, to) = (clean(&rewrite.from), clean(&rewrite.to));
        let before = from.strip_suffix(&*to).unwrap_or(&from);
        let prefix = HeaderValue::from_str(before).ok();
        Self {
            prefix: prefix.filter(|value| !value.is_empty()),
            inside: from.len() > to.len() && rules::below(&from, &to).is_some(),
            back: Rewrite {
                from: to.clone(),
                to: from.clone(),
            },
            there: Rewrite { from, to },
        }
    }

    /// Returns a target as the application gets it; nothing if it stays as it is.
    pub(super) fn target(&self, target: &PathAndQuery) -> Option<PathAndQuery> {
        let mut moved = self.there.moved(target.path())?;
        if let Some(query) = target.query() {
            moved.push('?');
            moved.push_str(query);
        }
        PathAndQuery::from_maybe_shared(bytes::Bytes::from(moved)).ok()
    }

    /// Returns a path of the application as clients know it; nothing if it stays as it is.
    pub(super) fn back(&self, path: &str) -> Option<String> {
        if self.inside && rules::below(path, &self.there.from).is_some() {
            return None;
        }
        self.back.moved(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moved(from: &str, to: &str) -> Moved {
        Moved::new(&Rewrite {
            from: from.to_owned(),
            to: to.to_owned(),
        })
    }

    fn target(from: &str, to: &str, target: &str) -> String {
        let raw = PathAndQuery::try_from(target).unwrap();
        let found = moved(from, to).target(&raw);
        found.map_or_else(|| "unchanged".to_owned(), |t| t.to_string())
    }

    #[test]
    fn a_target_moves_by_segments_and_keeps_its_raw_rest() {
        for (from, to, raw, want) in [
            (
                "/api",
                "/v2",
                "/api/orders/7?a=%41&b",
                "/v2/orders/7?a=%41&b",
            ),
            ("/api", "/v2", "/api", "/v2"),
            ("/api", "/v2", "/api?x", "/v2?x"),
            ("/api", "/v2", "/api/", "/v2/"),
            ("/api", "/v2", "/api-old", "unchanged"),
            ("/api", "/v2", "/%61pi/a%2Fb//c", "/v2/a%2Fb//c"),
            ("/api", "/v2", "/api/a/../b", "/v2/a/../b"),
            ("/api", "/v2", "/api/../api/b", "/v2/b"),
            ("/api", "/v2", "/x/../api/%41", "/v2/A"),
            ("/api", "/v2", "/api/%2e%2E/api/b", "/v2/b"),
            ("/api", "", "/api", "/"),
            ("/api", "", "/api/x", "/x"),
            ("", "/v2", "/x", "/v2/x"),
            ("", "/v2", "/", "/v2/"),
            ("/a/b", "/c", "/a/b/d", "/c/d"),
            ("/a/b", "/c", "/a/x/d", "unchanged"),
            ("/api", "/v2", "*", "unchanged"),
        ] {
            assert_eq!(target(from, to, raw), want, "{from} {to} {raw}");
        }
    }

    #[test]
    fn a_path_moves_back_unless_it_is_known_to_clients_already() {
        for (from, to, path, want) in [
            ("/api", "/v2", "/v2/x", Some("/api/x")),
            ("/api", "/v2", "/v2", Some("/api")),
            ("/api", "/v2", "/other", None),
            ("/api", "/v2", "/v2/../other", None),
            ("/shop", "", "/login", Some("/shop/login")),
            ("/shop", "", "/shop/login", None),
            ("/shop", "", "/", Some("/shop/")),
            ("", "/v2", "/v2/x", Some("/x")),
            ("", "/v2", "/v2", Some("/")),
            ("/api", "/api/v2", "/api/v2/x", Some("/api/x")),
            ("/api", "/api/v2", "/api/x", None),
        ] {
            assert_eq!(
                moved(from, to).back(path).as_deref(),
                want,
                "{from} {to} {path}"
            );
        }
    }

    #[test]
    fn an_application_is_told_what_to_put_before_its_paths() {
        let prefix = |from, to| moved(from, to).prefix;
        assert_eq!(prefix("/shop", "").unwrap(), "/shop");
        assert_eq!(prefix("/shop/api", "/api").unwrap(), "/shop");
        assert_eq!(prefix("/api", "/v2").unwrap(), "/api");
        assert_eq!(prefix("", "/v2"), None);
    }

    fn prefixes() -> impl Strategy<Value = String> {
        prop::collection::vec("[a-c]{1,2}", 0..3)
            .prop_map(|segments| segments.iter().flat_map(|s| ["/", s]).collect())
    }

    fn rests() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec!["/", "a", "b", ".", "..", "%2e", "%41", "%2F", "~"]);
        prop::collection::vec(piece, 1..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn moving_and_moving_back_is_identity(from in prefixes(), to in prefixes(), rest in rests()) {
            prop_assume!(rules::canonical(&rest).is_ok());
            let moved = moved(&from, &to);
            let raw = PathAndQuery::try_from(format!("{from}{rest}?q=%41")).unwrap();
            let there = moved.target(&raw).unwrap();
            prop_assert_eq!(there.path(), format!("{to}{rest}"));
            prop_assert_eq!(there.query(), Some("q=%41"));
            match moved.back(there.path()) {
                Some(back) => prop_assert_eq!(back, raw.path()),
                None => prop_assert!(rules::below(there.path(), &from).is_some()),
            }
        }

        #[test]
        fn a_moved_path_is_under_its_new_prefix_and_the_same_resource_there(
            from in prefixes(), to in prefixes(), rest in rests()
        ) {
            let whole = format!("{from}{rest}");
            let raw = PathAndQuery::try_from(whole.as_str()).unwrap();
            let Ok(canonical) = rules::canonical(&whole) else { return Ok(()) };
            let under = canonical.strip_prefix(&*from).filter(|r| r.is_empty() || r.starts_with('/'));
            let there = moved(&from, &to).target(&raw);
            prop_assert_eq!(there.is_some(), under.is_some());
            if let (Some(there), Some(under)) = (there, under) {
                let want = if to.is_empty() && under.is_empty() { "/".to_owned() } else { format!("{to}{under}") };
                prop_assert_eq!(rules::canonical(there.path()).unwrap(), want);
            }
        }
    }
}
