//! What changes in a slice's requests and answers on their way, and who answers when the candidate
//! fails. Pure.

use crate::model::Share;
use crate::rules::path::below;
use http::HeaderName;
use http::HeaderValue;
use std::fmt;

/// What changes for both directions. Nothing, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Edits {
    /// What the candidate sees in place of the matched prefix.
    pub rewrite: Option<Rewrite>,
    /// In requests, to both sides.
    pub request: FieldEdits,
    /// In answers, of both sides.
    pub response: FieldEdits,
}

/// Moves a prefix of the path; `Location`, `Content-Location`, `Refresh` and the `Path` of
/// `Set-Cookie` in answers are moved back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// The prefix that clients use, the longest that the slice's matches share; without a slash at
    /// its end.
    pub from: String,
    /// The prefix that the candidate uses, without a slash at its end.
    pub to: String,
}

impl Rewrite {
    /// Returns the path that the candidate gets instead of `raw`; nothing if the prefix is not there.
    pub fn moved(&self, raw: &str) -> Option<String> {
        let rest = below(raw, &self.from)?;
        if self.to.is_empty() && rest.is_empty() {
            return Some("/".to_owned());
        }
        Some(format!("{}{rest}", self.to))
    }
}

/// The two prefixes, the client's first.
impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |prefix: &str| {
            if prefix.is_empty() {
                "/".to_owned()
            } else {
                prefix.to_owned()
            }
        };
        write!(f, "{} as {}", shown(&self.from), shown(&self.to))
    }
}

/// Edits of fields, in this order: remove, set, add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldEdits {
    /// Fields that are dropped.
    pub remove: Vec<HeaderName>,
    /// Fields that get this one value, whatever they had.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Values added to what is there.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl FieldEdits {
    /// Returns whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Returns whether what a client sends in a field does not pass.
    pub fn hides(&self, name: &HeaderName) -> bool {
        self.remove.contains(name) || self.set.iter().any(|(n, _)| n == name)
    }
}

/// When legacy answers in place of a candidate that failed: for safe methods, before the first byte
/// went to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// After a connection could not be made.
    pub connect_error: bool,
    /// After no answer came in time.
    pub timeout: bool,
    /// After one of these statuses.
    pub statuses: Vec<u16>,
    /// At most this share of the slice's requests.
    pub budget: Share,
}

/// The names that are edited. Values may be secrets and are not shown.
impl fmt::Display for FieldEdits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |list: &[(HeaderName, HeaderValue)]| -> Vec<String> {
            list.iter().map(|(n, _)| n.to_string()).collect()
        };
        let remove: Vec<String> = self.remove.iter().map(ToString::to_string).collect();
        let mut parts = Vec::new();
        for (word, names) in [
            ("remove", remove),
            ("set", names(&self.set)),
            ("add", names(&self.add)),
        ] {
            if !names.is_empty() {
                parts.push(format!("{word} [{}]", names.join(", ")));
            }
        }
        if parts.is_empty() {
            return f.write_str("none");
        }
        write!(f, "{{{}}}", parts.join(", "))
    }
}

/// After what, and how often at most.
impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut on: Vec<String> = Vec::new();
        on.extend(self.connect_error.then(|| "connect_error".to_owned()));
        on.extend(self.timeout.then(|| "timeout".to_owned()));
        on.extend(self.statuses.iter().map(ToString::to_string));
        write!(f, "[{}] at most {}", on.join(", "), self.budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::path::canonical;
    use proptest::prelude::*;

    fn rewrite(from: &str, to: &str) -> Rewrite {
        Rewrite {
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    #[test]
    fn a_prefix_is_moved_and_the_rest_keeps_its_bytes() {
        for (from, to, raw, moved) in [
            ("/invoices", "/v2", "/invoices/7", "/v2/7"),
            ("/invoices", "/v2", "/invoices", "/v2"),
            ("/invoices", "/v2", "/invoices/", "/v2/"),
            ("/invoices", "", "/invoices", "/"),
            ("/invoices", "", "/invoices/7", "/7"),
            ("", "/v2", "/invoices", "/v2/invoices"),
            ("", "/v2", "/", "/v2/"),
            ("/a", "/v2", "/a/%62%2Fc", "/v2/%62%2Fc"),
            ("/a", "/v2", "/%61/%62", "/v2/%62"),
            ("/a", "/v2", "/a/x/../b", "/v2/x/../b"),
            ("/a", "/v2", "/a/../a/b", "/v2/b"),
            ("/a", "/v2", "/a/x/../../a/b", "/v2/b"),
            ("/a", "/v2", "/x/../a/b", "/v2/b"),
        ] {
            let found = rewrite(from, to).moved(raw);
            assert_eq!(found.as_deref(), Some(moved), "{from} {raw}");
        }
        for raw in ["/other", "/invoices-old", "*"] {
            assert_eq!(rewrite("/invoices", "/v2").moved(raw), None);
        }
        assert_eq!(rewrite("", "").moved("*"), None);
    }

    #[test]
    fn values_are_not_shown() {
        let edits = FieldEdits {
            remove: vec![HeaderName::from_static("cookie")],
            set: vec![(
                HeaderName::from_static("authorization"),
                HeaderValue::from_static("secret"),
            )],
            add: Vec::new(),
        };
        assert_eq!(edits.to_string(), "{remove [cookie], set [authorization]}");
        assert_eq!(FieldEdits::default().to_string(), "none");
        assert!(edits.hides(&HeaderName::from_static("cookie")));
        assert!(!edits.hides(&HeaderName::from_static("x-a")));
    }

    proptest! {
        #[test]
        fn what_is_moved_stays_below_the_new_prefix(parts in prop::collection::vec(prop::sample::select(vec![
            "/", "a", "..", ".", "%2e", "%61", "%2F", "b", "ä", "%",
        ]), 0..16)) {
            let raw = format!("/{}", parts.concat());
            let Ok(seen) = canonical(&raw) else { return Ok(()) };
            let moved = rewrite("/a", "/v2").moved(&raw);
            let below = |path: &str, prefix: &str| path == prefix || path.starts_with(&format!("{prefix}/"));
            prop_assert_eq!(moved.is_some(), below(&seen, "/a"));
            if let Some(moved) = moved {
                let at_candidate = canonical(&moved).unwrap();
                let back = format!("/a{}", at_candidate.strip_prefix("/v2").unwrap());
                prop_assert_eq!(back, seen, "{} to {}", raw, moved);
            }
        }
    }
}
