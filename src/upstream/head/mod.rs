//! What changes in a head on its way (RFC 9110 section 7.6). Pure.
//!
//! A [`Passage`] is resolved when the rules are bound, one for each side of a slice; a [`Client`] is
//! written once for a connection. Out of both and the head that came, every leg of a request is made
//! anew, so that the sides of a comparison see the same values.
//!
//! Fields are copied into a new map instead of being removed from the old one, because
//! `HeaderMap::remove` moves the last field into the gap and so changes the order.

mod client;
mod cookies;
mod edits;
pub mod forwarded;
mod hop;
mod moved;
mod names;
mod passage;
mod reference;
mod traced;
mod trust;

pub use client::Client;
pub use cookies::SESSION;
pub use cookies::set_cookies;
pub use hop::names_websocket;
pub use hop::wants_upgrade;
pub use names::Noticed;
pub use passage::Leg;
pub use passage::Passage;
pub use reference::Origin;
pub(super) use reference::bracketed;
pub use traced::hops_left;
pub use traced::reflection;

use crate::model::Head;
use http::HeaderName;
use http::header;
use http::request::Parts;

/// The field that marks a copy: it names the role of the call.
pub const ROLE: HeaderName = HeaderName::from_static("supplant-role");

/// Returns what rules may look at.
pub fn view(parts: &Parts) -> Head<'_> {
    Head {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query(),
        host: host(parts),
        headers: &parts.headers,
    }
}

/// Returns the host that a request asks for: of an absolute target, otherwise of its `Host`.
pub fn host(parts: &Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(without_userinfo(authority.as_str())),
        None => parts.headers.get(header::HOST)?.to_str().ok(),
    }
}

/// A target may carry `user:password@`, which names no host and is nobody's to see.
fn without_userinfo(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests;
