//! Prefixes of paths, moved and moved back. Pure.
//!
//! A path belongs to a prefix by its canonical segments, as rules match it; what stands after the
//! prefix stays byte for byte. Only where dot segments reach into the prefix, the canonical rest is
//! taken, because the raw one would lead elsewhere from another place.

use crate::rules;
use crate::rules::Rewrite;
use http::HeaderValue;
use http::uri::PathAndQuery;
use std::borrow::Cow;

/// A prefix that clients use in place of the one that an application uses. Neither ends in a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    from: Box<str>,
    to: Box<str>,
    /// What the application has to put before its own paths.
    pub(super) prefix: Option<HeaderValue>,
}

impl Moved {
    pub(super) fn new(rewrite: &Rewrite) -> Self {
        let clean = |text: &str| -> Box<str> {
            let path = rules::canonical(text).unwrap_or(Cow::Borrowed(text));
            path.trim_end_matches('/').into()
        };
        let (from, to) = (clean(&rewrite.from), clean(&rewrite.to));
        let before = from.strip_suffix(&*to).unwrap_or(&from);
        let prefix = HeaderValue::from_str(before).ok();
        Self {
            prefix: prefix.filter(|value| !value.is_empty()),
            from,
            to,
        }
    }

    /// Returns a target as the application gets it; nothing if it stays as it is.
    pub(super) fn target(&self, target: &PathAndQuery) -> Option<PathAndQuery> {
        let rest = rest_of(target.path(), &self.from)?;
        let mut moved = joined(&self.to, &rest);
        if let Some(query) = target.query() {
            moved.push('?');
            moved.push_str(query);
        }
        PathAndQuery::from_maybe_shared(bytes::Bytes::from(moved)).ok()
    }

    /// Returns a path of the application as clients know it; nothing if it stays as it is.
    pub(super) fn back(&self, path: &str) -> Option<String> {
        // An application that heeds `X-Forwarded-Prefix` has put it there already.
        let inside = self.from.len() > self.to.len() && rest_of(&self.from, &self.to).is_some();
        if inside && rest_of(path, &self.from).is_some() {
            return None;
        }
        let rest = rest_of(path, &self.to)?;
        Some(joined(&self.from, &rest))
    }
}

fn joined(prefix: &str, rest: &str) -> String {
    if prefix.is_empty() && rest.is_empty() {
        return "/".to_owned();
    }
    let mut out = String::with_capacity(prefix.len() + rest.len() + 32);
    out.push_str(prefix);
    out.push_str(rest);
    out
}

/// Returns what stands after a prefix: empty, or from a slash on. Nothing if a path does not belong
/// to the prefix.
fn rest_of<'p>(path: &'p str, prefix: &str) -> Option<Cow<'p, str>> {
    if !path.starts_with('/') {
        return None;
    }
    let raw = raw_rest(path, prefix).filter(|rest| stays_inside(rest));
    if let Some(rest) = raw {
        return Some(Cow::Borrowed(rest));
    }
    let canonical = rules::canonical(path).ok()?;
    let rest = canonical.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| Cow::Owned(rest.to_owned()))
}

/// Strips the prefix from the raw path where its segments stand one by one in the raw path too.
fn raw_rest<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let mut rest = path;
    for want in prefix.split('/').skip(1) {
        let after = rest.strip_prefix('/')?;
        let end = after.find('/').unwrap_or(after.len());
        let (have, next) = after.split_at(end);
        if have != want && !spells(have, want) {
            return None;
        }
        rest = next;
    }
    Some(rest)
}

fn spells(raw: &str, canonical: &str) -> bool {
    // Only an escape, or a byte outside ASCII, can be another spelling.
    let other = raw.contains('%') || !raw.is_ascii();
    other
        && rules::canonical(&format!("/{raw}"))
            .is_ok_and(|c| c.strip_prefix('/') == Some(canonical))
}

/// Returns whether dot segments never lead above the start.
fn stays_inside(rest: &str) -> bool {
    let mut depth = 0_usize;
    for segment in rest.split('/').skip(1) {
        match dots(segment) {
            0 => depth += 1,
            1 => {}
            _ => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
        }
    }
    true
}

/// Returns 1 for `.`, 2 for `..`, however they are spelled, and 0 for everything else.
fn dots(segment: &str) -> u8 {
    if !segment.starts_with(['.', '%']) || segment.len() > 6 {
        return 0;
    }
    match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
        "." => 1,
        ".." => 2,
        _ => 0,
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
            prop_assume!(stays_inside(&rest));
            let moved = moved(&from, &to);
            let raw = PathAndQuery::try_from(format!("{from}{rest}?q=%41")).unwrap();
            let there = moved.target(&raw).unwrap();
            prop_assert_eq!(there.path(), format!("{to}{rest}"));
            prop_assert_eq!(there.query(), Some("q=%41"));
            match moved.back(there.path()) {
                Some(back) => prop_assert_eq!(back, raw.path()),
                None => prop_assert!(rest_of(there.path(), &from).is_some()),
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
                let want = joined(&to, under);
                prop_assert_eq!(rules::canonical(there.path()).unwrap(), want);
            }
        }
    }
}
