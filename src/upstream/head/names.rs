//! Which names of fields are managed here, and which look like one of them. Pure.

use super::ROLE;
use crate::rules::FieldEdits;
use crate::rules::Identity;
use crate::rules::Underscores;
use http::HeaderMap;
use http::HeaderName;
use http::header;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(super) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What was noticed while a head was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Fields dropped because an application may take them for a managed one.
    pub lookalikes: u32,
    /// Fields dropped because an application may take them for another that is there too.
    pub twins: u32,
    /// Fields dropped because names with an underscore are not wanted.
    pub underscores: u32,
    /// `Forwarded` of a trusted peer dropped: malformed, or in contradiction to `X-Forwarded-For`.
    pub forwarded: u32,
    /// The request has been here before.
    pub looped: bool,
}

impl Noticed {
    /// Returns whether nothing was.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns how many fields were dropped, by the reason that is the metric's label.
    pub fn dropped(&self) -> [(&'static str, u32); 4] {
        [
            ("lookalike", self.lookalikes),
            ("twin", self.twins),
            ("underscore", self.underscores),
            ("forwarded", self.forwarded),
        ]
    }
}

/// What is to be done with a field, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Plain,
    /// For the next hop only.
    Hop,
    /// Says how long the body is.
    Length,
    /// Says who asks.
    Forwarding,
    Cookie,
    Via,
    Role,
    /// Has an underscore or a dot.
    Odd,
}

/// Returns whether a field is for the next hop only.
pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    // Standard names are compared as small numbers, so this costs little for each field.
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || *name == header::TE
        || *name == KEEP_ALIVE
        || name.as_str().starts_with("proxy-")
}

/// Sorts a name of a request.
pub(super) fn sort(name: &HeaderName) -> Sort {
    if is_hop_by_hop(name) {
        return Sort::Hop;
    }
    if *name == header::CONTENT_LENGTH {
        return Sort::Length;
    }
    if *name == header::COOKIE {
        return Sort::Cookie;
    }
    if *name == header::VIA {
        return Sort::Via;
    }
    let text = name.as_str();
    if text.bytes().any(|b| b == b'_' || b == b'.') {
        Sort::Odd
    } else if text.starts_with("x-forwarded-") || *name == header::FORWARDED {
        Sort::Forwarding
    } else if *name == ROLE {
        Sort::Role
    } else {
        Sort::Plain
    }
}

/// Fields that a peer may not take away by naming them in `Connection`.
pub(super) fn is_protected(name: &HeaderName) -> bool {
    let framing = *name == header::CONTENT_LENGTH
        || *name == header::CONTENT_ENCODING
        || *name == header::CONTENT_TYPE
        || *name == header::TRAILER
        || *name == header::EXPECT
        || *name == header::MAX_FORWARDS;
    let identity = *name == header::HOST
        || *name == header::AUTHORIZATION
        || *name == header::COOKIE
        || *name == header::SET_COOKIE
        || *name == header::VIA
        || *name == ROLE
        || *name == header::FORWARDED
        || name.as_str().starts_with("x-forwarded-");
    // RFC 9110 section 7.6.1 has this one as its example of what must not be named.
    framing || identity || *name == header::CACHE_CONTROL
}

/// Judges a name with an underscore or a dot; returns whether the field falls, and counts it.
///
/// Applications behind CGI, WSGI or PHP cannot tell `_` from `-`, and some not from `.` either.
pub(super) fn falls(
    name: &HeaderName,
    headers: &HeaderMap,
    identity: &Identity,
    edited: impl Fn(&str) -> bool,
    noticed: &mut Noticed,
) -> bool {
    let text = name.as_str();
    let folded = text.replace(['_', '.'], "-");
    let counter = if is_managed(&folded) || edited(&folded) {
        &mut noticed.lookalikes
    } else if identity.underscores != Underscores::Pass && text.contains('_') {
        &mut noticed.underscores
    } else if headers.contains_key(folded.as_str()) {
        &mut noticed.twins
    } else {
        return false;
    };
    *counter = counter.saturating_add(1);
    true
}

fn is_managed(folded: &str) -> bool {
    folded.starts_with("x-forwarded-")
        || folded.starts_with("proxy-")
        || folded == ROLE.as_str()
        || matches!(
            folded,
            "content-length" | "transfer-encoding" | "keep-alive" | "max-forwards"
        )
}

/// Returns whether edits say what a field's value is, or that it has none.
pub(super) fn is_edited(edits: &FieldEdits, folded: &str) -> bool {
    edits.remove.iter().any(|name| name == folded)
        || edits.set.iter().any(|(name, _)| name == folded)
}
