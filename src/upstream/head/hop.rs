//! Fields that are meant for the next hop only, and those that `Connection` names. Pure.

use super::names;
use super::names::is_hop_by_hop;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header;
use std::collections::HashSet;

/// The one protocol that is tunnelled.
pub(super) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Returns whether a request asks to become another protocol that may be tunnelled.
///
/// Only WebSocket may: with any other (`h2c` above all) the application would be spoken to past
/// every rule, so the wish for it is not passed on.
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    names_websocket(headers) && tokens(headers).any(|t| t.eq_ignore_ascii_case("upgrade"))
}

/// Returns whether `Upgrade` names WebSocket and nothing else.
pub fn names_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE).iter();
    let first = protocols.next();
    let websocket = |p: &HeaderValue| p.as_bytes().eq_ignore_ascii_case(b"websocket");
    first.is_some_and(websocket) && protocols.next().is_none()
}

/// Returns the fields of an answer as the client gets them.
///
/// Hop-by-hop fields and those nominated by `Connection` are dropped; a `Content-Length` stays,
/// which the connection has checked against the body.
pub(super) fn response_fields(mut headers: HeaderMap) -> HeaderMap {
    if !headers.keys().any(is_hop_by_hop) {
        return headers;
    }
    let nominated = Nominated::of(&headers);
    if nominated.is_some() {
        return without(&nominated, &headers);
    }
    // Many servers write `Connection` last, where removing it leaves no gap.
    while let Some(last) = headers.keys().last().filter(|name| is_hop_by_hop(name)) {
        let last = last.clone();
        headers.remove(last);
    }
    if !headers.keys().any(is_hop_by_hop) {
        return headers;
    }
    let mut out = HeaderMap::with_capacity(headers.len());
    // An owned map names a field once and then gives its further values without a name.
    let mut last = None;
    for (name, value) in headers {
        if name.is_some() {
            last = name.filter(|name| !is_hop_by_hop(name));
        }
        if let Some(name) = &last {
            out.append(name, value);
        }
    }
    out
}

fn without(nominated: &Nominated, headers: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if !is_hop_by_hop(name) && !nominated.takes(name) {
            out.append(name, value.clone());
        }
    }
    out
}

/// Returns the fields of a 101 as the client gets them: its upgrade stays.
pub(super) fn switching_fields(headers: HeaderMap) -> HeaderMap {
    let protocol = headers.get(header::UPGRADE).cloned();
    let mut out = response_fields(headers);
    if let Some(protocol) = protocol {
        out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        out.insert(header::UPGRADE, protocol);
    }
    out
}

/// The fields that `Connection` names and that are there: a client's list may be very long, and is
/// looked through once.
pub(super) struct Nominated(Option<HashSet<HeaderName>>);

impl Nominated {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        // `close` and `keep-alive` name no field of interest, and are what nearly everybody sends.
        let plain = |t: &str| {
            t.eq_ignore_ascii_case("close")
                || t.eq_ignore_ascii_case("keep-alive")
                || t.eq_ignore_ascii_case("upgrade")
        };
        let mut named = None;
        for token in tokens(headers).filter(|t| !plain(t)) {
            let named = named.get_or_insert_with(HashSet::new);
            if headers.contains_key(token)
                && let Ok(name) = HeaderName::from_bytes(token.as_bytes())
            {
                named.insert(name);
            }
        }
        Self(named)
    }

    fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Returns whether a field falls because `Connection` names it. Fields that say who asks, how
    /// far a message goes, or what is meant for everybody cannot be named away.
    #[inline]
    pub(super) fn takes(&self, name: &HeaderName) -> bool {
        self.0
            .as_ref()
            .is_some_and(|named| named.contains(name) && !names::is_protected(name))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, HashSet::len)
    }
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .into_iter()
        .flat_map(tokens_of)
}

pub(super) fn tokens_of(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or("").split(',').map(str::trim)
}
