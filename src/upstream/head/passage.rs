//! The way of heads between the clients of a slice and one of its sides. Pure.

use super::ROLE;
use super::client::Client;
use super::cookies;
use super::edits;
use super::hop;
use super::hop::Nominated;
use super::moved::Moved;
use super::names;
use super::names::FORWARDED_FOR;
use super::names::FORWARDED_HOST;
use super::names::FORWARDED_PORT;
use super::names::FORWARDED_PREFIX;
use super::names::FORWARDED_PROTO;
use super::names::Noticed;
use super::names::Sort;
use super::reference::Authority;
use super::reference::Back;
use super::reference::Origin;
use super::traced;
use super::trust::Claims;
use super::without_userinfo;
use crate::model::Role;
use crate::model::Side;
use crate::rules;
use crate::rules::FieldEdits;
use crate::rules::Identity;
use crate::rules::Underscores;
use http::HeaderMap;
use http::HeaderValue;
use http::Request;
use http::Uri;
use http::Version;
use http::header;
use http::request::Parts;
use http::uri::PathAndQuery;
use std::net::IpAddr;
use std::sync::Arc;

/// Our name in `Via`, with the protocol that a message came by.
const PSEUDONYM: &str = "supplant";

/// What changes in heads between the clients of a slice and one of its sides.
#[derive(Clone, Debug, Default)]
pub struct Passage {
    identity: Arc<Identity>,
    /// None where the rules ask for nothing, as for most slices.
    changes: Option<Arc<Changes>>,
}

#[derive(Debug)]
struct Changes {
    moved: Option<Moved>,
    host: Option<HeaderValue>,
    own: Vec<Authority>,
    request: FieldEdits,
    copy: FieldEdits,
    answer: FieldEdits,
}

impl Changes {
    fn is_edited(&self, folded: &str) -> bool {
        names::is_edited(&self.request, folded) || names::is_edited(&self.copy, folded)
    }

    /// Returns whether answers may hold references that clients cannot follow.
    fn follows(&self) -> bool {
        self.moved.is_some() || self.host.is_some()
    }
}

/// Which leg of a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    role: Role,
    /// Whether edits of copies apply.
    edited: bool,
}

impl Leg {
    /// To the side that answers the client.
    pub const SERVED: Self = Self {
        role: Role::Served,
        edited: false,
    };

    /// A copy of a request that `served` answered. Edits of copies keep from the candidate what it
    /// was not asked by the client itself; what it answered itself it has seen, and its answer is
    /// compared with legacy's to the same request.
    pub const fn copy(role: Role, served: Side) -> Self {
        Self {
            role,
            edited: matches!((role, served), (Role::Shadow, Side::Legacy)),
        }
    }
}

impl Passage {
    /// Resolves what the rules say of a side. Without a slice there are no edits. A rewrite is the
    /// candidate's, since legacy has the paths that clients use, and so are edits of copies: what
    /// legacy is asked again must be what it is asked for clients.
    pub fn new(
        identity: &Arc<Identity>,
        slice: Option<&rules::Slice>,
        backend: &rules::Backend,
        side: Side,
    ) -> Self {
        let edits = slice.map(|slice| slice.edits.clone()).unwrap_or_default();
        let candidate = slice.filter(|_| side == Side::Candidate);
        let changes = Changes {
            moved: candidate
                .and_then(|s| s.edits.rewrite.as_ref())
                .map(Moved::new),
            host: backend.host.clone(),
            own: Vec::new(),
            request: edits.request,
            copy: candidate.map(|s| s.copy_edits.clone()).unwrap_or_default(),
            answer: edits.response,
        };
        Self::with(identity, changes, backend)
    }

    fn with(identity: &Arc<Identity>, mut changes: Changes, backend: &rules::Backend) -> Self {
        let edited = [&changes.request, &changes.copy, &changes.answer];
        let nothing = !changes.follows() && edited.into_iter().all(FieldEdits::is_empty);
        if changes.follows() {
            changes.own = Authority::of(backend);
        }
        Self {
            identity: Arc::clone(identity),
            changes: (!nothing).then(|| Arc::new(changes)),
        }
    }

    #[cfg(test)]
    pub(super) fn of(
        identity: Identity,
        edits: rules::Edits,
        copy: FieldEdits,
        backend: &rules::Backend,
    ) -> Self {
        let changes = Changes {
            moved: edits.rewrite.as_ref().map(Moved::new),
            host: backend.host.clone(),
            own: Vec::new(),
            request: edits.request,
            copy,
            answer: edits.response,
        };
        Self::with(&Arc::new(identity), changes, backend)
    }

    /// Returns whether a request is to be refused for the names of its fields.
    pub fn refuses(&self, headers: &HeaderMap) -> bool {
        self.identity.underscores == Underscores::Reject
            && headers.keys().any(|name| name.as_str().contains('_'))
    }

    /// Returns the address of who asked: of the peer, or where that is trusted, the first one before
    /// it that is not.
    pub fn address(&self, headers: &HeaderMap, client: &Client) -> Option<IpAddr> {
        let claims = self.claims(headers, client);
        claims.map_or(client.address(), |claims| Some(claims.address()))
    }

    /// Returns what the peer says of the client, if it is believed.
    fn claims<'h>(&self, headers: &'h HeaderMap, client: &Client) -> Option<Claims<'h>> {
        if self.identity.trusted.is_empty() {
            return None;
        }
        let peer = client
            .address()
            .filter(|peer| self.identity.trusts(*peer))?;
        Some(Claims::read(headers, peer, &self.identity))
    }

    /// Returns how the client reached what it asked for, where answers have to be changed by it.
    pub fn origin(&self, parts: &Parts, client: &Client) -> Option<Origin> {
        self.changes.as_ref().filter(|changes| changes.follows())?;
        let claims = self.claims(&parts.headers, client);
        let asked = super::host(parts).filter(|host| !host.is_empty());
        let said = claims.as_ref().and_then(Claims::host);
        let scheme = claims.as_ref().and_then(Claims::scheme);
        Some(Origin {
            scheme: scheme.unwrap_or(client.scheme()),
            host: said.or(asked).map(Into::into),
            asked: asked.map(Into::into),
        })
    }

    /// Makes the request that the side gets.
    ///
    /// The target goes in origin form with its raw bytes unchanged but for a prefix that moves;
    /// `Host` stays unless the side has one of its own. Framing is left to the connection, which
    /// writes it from the body. The leg's role marks copies; a served request keeps a
    /// `Supplant-Role` that it came with.
    pub fn request<B>(
        &self,
        parts: &Parts,
        client: &Client,
        leg: Leg,
        noticed: &mut Noticed,
        body: B,
    ) -> Request<B> {
        let mut out = Request::new(body);
        *out.method_mut() = parts.method.clone();
        *out.uri_mut() = self.target(&parts.uri);
        *out.headers_mut() = self.request_fields(parts, client, leg, noticed);
        *out.extensions_mut() = parts.extensions.clone();
        out
    }

    fn target(&self, uri: &Uri) -> Uri {
        let moved = self.changes.as_ref().and_then(|c| c.moved.as_ref());
        let target = uri.path_and_query();
        if let Some(moved) = moved
            && let Some(target) = target.and_then(|target| moved.target(target))
        {
            return Uri::from(target);
        }
        if uri.scheme().is_none() && uri.authority().is_none() {
            return uri.clone();
        }
        Uri::from(
            target
                .cloned()
                .unwrap_or_else(|| PathAndQuery::from_static("/")),
        )
    }

    fn request_fields(
        &self,
        parts: &Parts,
        client: &Client,
        leg: Leg,
        noticed: &mut Noticed,
    ) -> HeaderMap {
        let role = leg.role;
        *noticed = Noticed::default();
        let upgrading = hop::wants_upgrade(&parts.headers);
        let mut out = HeaderMap::with_capacity(parts.headers.len() + 6);
        let claimed = self.copy_fields(&parts.headers, role, &mut out, noticed);
        if out.contains_key(header::TE) {
            out.insert(header::CONNECTION, HeaderValue::from_static("TE"));
        }
        if upgrading {
            out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            out.insert(header::UPGRADE, hop::WEBSOCKET);
        }
        if let Some(authority) = parts.uri.authority()
            && let Ok(value) = HeaderValue::from_str(without_userinfo(authority.as_str()))
        {
            // RFC 9112 section 3.2.2: an absolute target replaces the Host that came with it.
            out.insert(header::HOST, value);
        }
        if !out.contains_key(header::HOST) {
            // RFC 9112 section 3.2: HTTP/1.1 wants the field, and a client of HTTP/1.0 may lack it.
            out.insert(header::HOST, HeaderValue::from_static(""));
        }
        if !claimed || !self.believe(parts, client, &mut out, noticed) {
            add_forwarding(&mut out, client);
        }
        out.append(header::VIA, via(parts.version));
        traced::count_down(parts, &mut out);
        if let Some(changes) = &self.changes {
            changes.apply(&mut out, leg);
        }
        if role != Role::Served {
            out.insert(ROLE, HeaderValue::from_static(role.as_str()));
        }
        out
    }

    /// Writes what a trusted peer says, continued; returns whether the peer is one.
    #[cold]
    fn believe(
        &self,
        parts: &Parts,
        client: &Client,
        out: &mut HeaderMap,
        noticed: &mut Noticed,
    ) -> bool {
        let Some(claims) = self.claims(&parts.headers, client) else {
            return false;
        };
        for (name, value) in &parts.headers {
            if is_other_claim(name.as_str()) {
                out.append(name, value.clone());
            }
        }
        claims.write(out, client, noticed);
        true
    }

    /// Copies what goes on as it is, and returns whether the peer says something of the client.
    fn copy_fields(
        &self,
        headers: &HeaderMap,
        role: Role,
        out: &mut HeaderMap,
        noticed: &mut Noticed,
    ) -> bool {
        let nominated = Nominated::of(headers);
        let mut claimed = false;
        for (name, value) in headers {
            match names::sort(name) {
                Sort::Hop => {
                    let trailers = |t: &str| t.eq_ignore_ascii_case("trailers");
                    if *name == header::TE && hop::tokens_of(value).any(trailers) {
                        out.insert(header::TE, HeaderValue::from_static("trailers"));
                    }
                    continue;
                }
                Sort::Length => continue,
                Sort::Forwarding => {
                    claimed = true;
                    continue;
                }
                Sort::Cookie if cookies::carries_session(value) => {
                    if let Some(rest) = cookies::without_session(value) {
                        out.append(name, rest);
                    }
                    continue;
                }
                Sort::Via => noticed.looped |= names_us(value),
                Sort::Role if role != Role::Served => continue,
                Sort::Plain | Sort::Cookie | Sort::Role => {}
                Sort::Odd => {
                    let changes = self.changes.as_ref();
                    let edited = |folded: &str| changes.is_some_and(|c| c.is_edited(folded));
                    if names::falls(name, headers, &self.identity, edited, noticed) {
                        continue;
                    }
                }
            }
            if !nominated.takes(name) {
                out.append(name, value.clone());
            }
        }
        claimed
    }

    /// Returns the fields of an answer as the client gets them.
    pub fn answer(&self, headers: HeaderMap, origin: Option<&Origin>) -> HeaderMap {
        self.follow(hop::response_fields(headers), origin)
    }

    /// Returns the fields of a 101 as the client gets them: its upgrade stays.
    pub fn switching(&self, headers: HeaderMap, origin: Option<&Origin>) -> HeaderMap {
        self.follow(hop::switching_fields(headers), origin)
    }

    fn follow(&self, mut headers: HeaderMap, origin: Option<&Origin>) -> HeaderMap {
        let Some(changes) = &self.changes else {
            return headers;
        };
        if let Some(origin) = origin {
            let back = Back {
                moved: changes.moved.as_ref(),
                own: &changes.own,
                origin,
            };
            back.all(&mut headers);
        }
        edits::apply(&changes.answer, &mut headers);
        headers
    }
}

impl Changes {
    fn apply(&self, out: &mut HeaderMap, leg: Leg) {
        if let Some(host) = &self.host {
            out.insert(header::HOST, host.clone());
        }
        if let Some(prefix) = self.moved.as_ref().and_then(|m| m.prefix.as_ref()) {
            let before = out
                .get(FORWARDED_PREFIX)
                .map_or(&b""[..], HeaderValue::as_bytes);
            let before = before.trim_ascii().strip_suffix(b"/").unwrap_or(before);
            let whole = [before, prefix.as_bytes()].concat();
            if let Ok(value) = HeaderValue::from_bytes(&whole) {
                out.insert(FORWARDED_PREFIX, value);
            }
        }
        edits::apply(&self.request, out);
        if leg.edited {
            edits::apply(&self.copy, out);
        }
    }
}

/// Returns whether a field is one that a trusted peer may send and that goes on as it is.
fn is_other_claim(name: &str) -> bool {
    let ours = [
        &FORWARDED_FOR,
        &FORWARDED_HOST,
        &FORWARDED_PORT,
        &FORWARDED_PROTO,
    ];
    name.starts_with("x-forwarded-")
        && !name.contains(['_', '.'])
        && !ours.into_iter().any(|ours| ours == name)
}

fn add_forwarding(out: &mut HeaderMap, client: &Client) {
    if let Some(address) = &client.forwarded_for {
        out.insert(FORWARDED_FOR, address.clone());
    }
    out.insert(FORWARDED_PROTO, client.forwarded_proto());
    if let Some(host) = out.get(header::HOST).filter(|h| !h.is_empty()).cloned() {
        out.insert(FORWARDED_HOST, host);
    }
    out.insert(FORWARDED_PORT, client.forwarded_port.clone());
}

/// RFC 9110 section 7.6.3: the protocol is the one that the message came by.
fn via(version: Version) -> HeaderValue {
    match version {
        Version::HTTP_10 => const { HeaderValue::from_static("1.0 supplant") },
        Version::HTTP_2 => const { HeaderValue::from_static("2.0 supplant") },
        _ => const { HeaderValue::from_static("1.1 supplant") },
    }
}

fn names_us(via: &HeaderValue) -> bool {
    hop::tokens_of(via).any(|hop| hop.split_ascii_whitespace().nth(1) == Some(PSEUDONYM))
}
