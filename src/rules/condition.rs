//! One match of a slice: host, path, method, fields, tenants; all must hold. Pure.

use crate::model::Head;
use crate::rules::path::Refused;
use crate::rules::path::canonical;
use crate::rules::tenant::Tenant;
use crate::rules::tenant::Tenants;
use http::HeaderName;
use http::Method;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

/// A request as the rules see it: canonical, and its tenant found at most once.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) head: &'a Head<'a>,
    pub(super) path: Cow<'a, str>,
    pub(super) host: Cow<'a, str>,
    sources: &'a Tenants,
    tenant: OnceCell<Tenant<'a>>,
}

impl<'a> View<'a> {
    pub(super) fn new(head: &'a Head<'a>, sources: &'a Tenants) -> Result<Self, Refused> {
        Ok(Self {
            head,
            path: canonical(head.path)?,
            host: bare_host(head.host.unwrap_or("")),
            sources,
            tenant: OnceCell::new(),
        })
    }

    /// Returns whose request it is.
    pub(super) fn tenant(&self) -> &Tenant<'a> {
        self.tenant.get_or_init(|| self.sources.resolve(self.head))
    }
}

/// Returns the host in lower case, without port and last dot.
pub(super) fn bare_host(host: &str) -> Cow<'_, str> {
    let bare = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((inner, _)) => inner,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    if bare.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(bare.to_ascii_lowercase())
    } else {
        Cow::Borrowed(bare)
    }
}

/// Which hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Host {
    /// This one, in lower case.
    Exact(Box<str>),
    /// Every name below this one, which begins with a dot.
    Below(Box<str>),
    Any,
}

impl Host {
    pub(super) fn holds(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            Self::Any => true,
        }
    }
}

/// A segment of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Segment {
    Literal(Box<str>),
    /// One segment that is not empty; the name is for readers.
    Capture(Box<str>),
}

/// Which paths, in canonical segments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Shape {
    /// The whole path.
    Whole(Vec<Segment>),
    /// The first segments; none is every path.
    Prefix(Vec<Box<str>>),
}

impl Shape {
    pub(super) const ANY: Self = Self::Prefix(Vec::new());

    pub(super) fn holds(&self, path: &str) -> bool {
        let mut rest = path.split('/').skip(1);
        match self {
            Self::Whole(segments) => {
                path.starts_with('/')
                    && segments.iter().all(|want| {
                        rest.next().is_some_and(|have| match want {
                            Segment::Literal(text) => **text == *have,
                            Segment::Capture(_) => !have.is_empty(),
                        })
                    })
                    && rest.next().is_none()
            }
            Self::Prefix(segments) => segments.iter().all(|want| rest.next() == Some(want)),
        }
    }
}

/// The value that a header field must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Want {
    Any,
    Value(Box<str>),
}

/// One match.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) host: Host,
    pub(super) shape: Shape,
    /// Empty is any.
    pub(super) methods: Vec<Method>,
    /// By name, each once.
    pub(super) headers: Vec<(HeaderName, Want)>,
    /// Sorted; none is any.
    pub(super) tenants: Option<Names>,
    /// The tenants as written, cohorts by name.
    pub(super) tenants_written: Vec<String>,
}

impl Condition {
    /// Returns whether everything holds.
    pub(super) fn holds(&self, view: &View<'_>) -> bool {
        self.host.holds(&view.host) && self.shape.holds(&view.path) && self.misses(view).is_none()
    }

    /// Returns the first condition besides host and path that does not hold.
    pub(super) fn misses(&self, view: &View<'_>) -> Option<Miss> {
        if !self.methods.is_empty() && !self.methods.contains(view.head.method) {
            return Some(Miss::Method);
        }
        for (place, (name, want)) in self.headers.iter().enumerate() {
            let mut values = view.head.headers.get_all(name).iter();
            let found = match want {
                Want::Any => values.next().is_some(),
                Want::Value(want) => values.any(|v| v.as_bytes() == want.as_bytes()),
            };
            if !found {
                return Some(Miss::Header(place));
            }
        }
        match (&self.tenants, view.tenant_if(self.tenants.is_some())) {
            (None, _) => None,
            (Some(names), Some(Tenant::Known(name))) if names.contains(name) => None,
            (Some(_), _) => Some(Miss::Tenant),
        }
    }

    /// Returns how many header and tenant conditions there are.
    pub(super) fn count(&self) -> usize {
        self.headers.len() + usize::from(self.tenants.is_some())
    }
}

impl<'a> View<'a> {
    fn tenant_if(&self, wanted: bool) -> Option<&Tenant<'a>> {
        wanted.then(|| self.tenant())
    }
}

/// Which condition did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    Method,
    Header(usize),
    Tenant,
}

/// Names that are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Names(Vec<Box<str>>);

impl Names {
    pub(super) fn new(mut names: Vec<Box<str>>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self(names)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|n| (**n).cmp(name)).is_ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|n| &**n)
    }

    pub(super) fn first(&self) -> Option<&str> {
        self.iter().next()
    }

    /// Returns whether every name of `other` is here.
    pub(super) fn contains_all(&self, other: &Self) -> bool {
        other.iter().all(|n| self.contains(n))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("any"),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(segments) if segments.is_empty() => f.write_str("/"),
            Self::Prefix(segments) => segments.iter().try_for_each(|s| write!(f, "/{s}")),
            Self::Whole(segments) => segments.iter().try_for_each(|s| match s {
                Segment::Literal(text) => write!(f, "/{text}"),
                Segment::Capture(name) => write!(f, "/{{{name}}}"),
            }),
        }
    }
}

/// Writes it as the file could have.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        if self.host != Host::Any {
            parts.push(format!("host: {}", self.host));
        }
        match &self.shape {
            Shape::Whole(_) => parts.push(format!("path: {}", self.shape)),
            Shape::Prefix(s) if s.is_empty() && !parts.is_empty() => {}
            Shape::Prefix(_) => parts.push(format!("path_prefix: {}", self.shape)),
        }
        if !self.methods.is_empty() {
            let methods: Vec<_> = self.methods.iter().map(Method::as_str).collect();
            parts.push(format!("methods: [{}]", methods.join(", ")));
        }
        if !self.headers.is_empty() {
            let headers: Vec<_> = self
                .headers
                .iter()
                .map(|(name, want)| match want {
                    Want::Any => format!("{name}: \"*\""),
                    Want::Value(value) => format!("{name}: {value:?}"),
                })
                .collect();
            parts.push(format!("headers: {{ {} }}", headers.join(", ")));
        }
        if !self.tenants_written.is_empty() {
            parts.push(format!("tenants: [{}]", self.tenants_written.join(", ")));
        }
        match parts.as_slice() {
            [one] if matches!(self.shape, Shape::Prefix(_)) && one.starts_with("path_prefix") => {
                write!(f, "{}", self.shape)
            }
            parts => write!(f, "{{ {} }}", parts.join(", ")),
        }
    }
}
