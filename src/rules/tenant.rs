//! Whose request is it. Pure.
//!
//! Sources are asked in order; the first in which the tenant stands decides. A source that is
//! there but malformed ends the walk: the tenant is unknown then, and never somebody else.

use crate::model::Head;
use crate::rules::condition::Names;
use crate::rules::condition::bare_host;
use http::HeaderName;
use std::borrow::Cow;

/// Where the tenant stands in a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// `header:NAME`
    Header(HeaderName),
    /// `host:before{tenant}after`, both in lower case; one label.
    Host { before: Box<str>, after: Box<str> },
}

/// Whose request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tenant<'a> {
    Known(Cow<'a, str>),
    /// No source had anything.
    Unknown,
    /// A source had something that is no tenant.
    Malformed,
}

/// The sources, and the names that no tenant may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tenants {
    pub(super) sources: Vec<Source>,
    pub(super) cohorts: Names,
}

const TENANT_BYTES_MAX: usize = 256;

impl Tenants {
    pub(super) fn resolve<'a>(&self, head: &Head<'a>) -> Tenant<'a> {
        let found = self.sources.iter().find_map(|s| s.find(head));
        match found {
            None => Tenant::Unknown,
            Some(name) if self.is_tenant(&name) => Tenant::Known(name),
            Some(_) => Tenant::Malformed,
        }
    }

    fn is_tenant(&self, name: &str) -> bool {
        !name.is_empty()
            && name.len() <= TENANT_BYTES_MAX
            && !name.bytes().any(|b| b.is_ascii_control())
            && !self.cohorts.contains(name)
    }
}

impl Source {
    /// Returns what stands there, malformed things as the empty text, or nothing.
    fn find<'a>(&self, head: &Head<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Header(name) => {
                let mut values = head.headers.get_all(name).iter();
                let first = values.next()?;
                let same = values.all(|v| v == first);
                let text = std::str::from_utf8(first.as_bytes()).unwrap_or("");
                Some(Cow::Borrowed(if same { text.trim() } else { "" }))
            }
            Self::Host { before, after } => {
                let label = |host: &str| -> Option<(usize, usize)> {
                    let rest = host.strip_prefix(&**before)?.strip_suffix(&**after)?;
                    let good = !rest.is_empty() && !rest.contains('.');
                    good.then(|| (before.len(), before.len() + rest.len()))
                };
                match bare_host(head.host?) {
                    Cow::Borrowed(host) => {
                        let (from, to) = label(host)?;
                        host.get(from..to).map(Cow::Borrowed)
                    }
                    Cow::Owned(host) => {
                        let (from, to) = label(&host)?;
                        host.get(from..to).map(|t| Cow::Owned(t.to_owned()))
                    }
                }
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Host { before, after } => write!(f, "host:{before}{{tenant}}{after}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use http::Method;

    fn resolve(host: Option<&str>, fields: &[(&'static str, &str)]) -> String {
        let tenants = Tenants {
            sources: vec![
                Source::Header(HeaderName::from_static("x-tenant")),
                Source::Host {
                    before: "".into(),
                    after: ".app.example.com".into(),
                },
            ],
            cohorts: Names::new(vec!["pilots".into()]),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let head = Head {
            method: &Method::GET,
            path: "/",
            query: None,
            host,
            headers: &headers,
        };
        match tenants.resolve(&head) {
            Tenant::Known(name) => name.into_owned(),
            Tenant::Unknown => "-".to_owned(),
            Tenant::Malformed => "!".to_owned(),
        }
    }

    #[test]
    fn the_first_source_that_has_something_decides() {
        assert_eq!(resolve(None, &[("x-tenant", "acme")]), "acme");
        assert_eq!(
            resolve(Some("Initech.App.example.com:8080"), &[]),
            "initech"
        );
        assert_eq!(
            resolve(Some("initech.app.example.com"), &[("x-tenant", "acme")]),
            "acme"
        );
        assert_eq!(resolve(Some("a.b.app.example.com"), &[]), "-");
        assert_eq!(resolve(Some("app.example.com"), &[]), "-");
        assert_eq!(resolve(None, &[]), "-");
    }

    #[test]
    fn a_source_that_is_malformed_ends_the_walk() {
        let host = Some("initech.app.example.com");
        assert_eq!(resolve(host, &[("x-tenant", "")]), "!");
        assert_eq!(resolve(host, &[("x-tenant", "a"), ("x-tenant", "b")]), "!");
        assert_eq!(resolve(host, &[("x-tenant", "pilots")]), "!");
        assert_eq!(resolve(host, &[("x-tenant", &"x".repeat(300))]), "!");
        assert_eq!(resolve(host, &[("x-tenant", "a"), ("x-tenant", "a")]), "a");
    }
}
