//! What changes in a head on its way (RFC 9110 section 7.6). Pure.
//!
//! Fields are copied into a new map instead of being removed from the old one, because
//! `HeaderMap::remove` moves the last field into the gap and so changes the order.

use crate::model::Head;
use crate::model::Role;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Request;
use http::Uri;
use http::header;
use http::request::Parts;
use http::uri::PathAndQuery;
use std::collections::HashSet;
use std::net::IpAddr;

/// The field that marks a copy: it names the role of the call.
pub const ROLE: HeaderName = HeaderName::from_static("supplant-role");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What a client's connection says about it, written once for all its requests.
#[derive(Clone, Debug)]
pub struct Client {
    address: Option<IpAddr>,
    forwarded_for: Option<HeaderValue>,
    forwarded_port: HeaderValue,
}

impl Client {
    /// Describes a client by its address (none on a socket file) and the port it connected to.
    pub fn new(address: Option<IpAddr>, port: u16) -> Self {
        let text = address.map(|address| address.to_string());
        Self {
            address,
            forwarded_for: text.and_then(|text| HeaderValue::try_from(text).ok()),
            forwarded_port: HeaderValue::from(port),
        }
    }

    /// Returns its address.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

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

/// Returns whether a request asks to become another protocol that may be tunnelled.
///
/// In a list of protocols `h2c` would let the application speak HTTP/2 past every rule.
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE).iter().peekable();
    let named = protocols.peek().is_some()
        && !protocols
            .flat_map(|u| u.as_bytes().split(|b| *b == b','))
            .any(|p| is_h2c(p.trim_ascii()));
    named && tokens(headers).any(|t| t.eq_ignore_ascii_case("upgrade"))
}

/// Returns whether a protocol is HTTP/2 without TLS, with a version or without.
fn is_h2c(protocol: &[u8]) -> bool {
    let name = protocol.split(|b| *b == b'/').next().unwrap_or_default();
    name.eq_ignore_ascii_case(b"h2c")
}

/// Makes the request that a side gets, without its body.
///
/// The target goes in origin form with its raw bytes unchanged; `Host` stays. Framing is left to
/// the connection, which writes it from the body. `role` marks copies; a served request keeps a
/// `Supplant-Role` that it came with.
pub fn request<B>(parts: &Parts, client: &Client, role: Role, body: B) -> Request<B> {
    let mut out = Request::new(body);
    *out.method_mut() = parts.method.clone();
    *out.uri_mut() = origin_form(&parts.uri);
    *out.headers_mut() = request_fields(parts, client, role);
    *out.extensions_mut() = parts.extensions.clone();
    out
}

fn origin_form(uri: &Uri) -> Uri {
    if uri.scheme().is_none() && uri.authority().is_none() {
        return uri.clone();
    }
    let target = uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::from(target)
}

fn request_fields(parts: &Parts, client: &Client, role: Role) -> HeaderMap {
    let upgrading = wants_upgrade(&parts.headers);
    let mut out = HeaderMap::with_capacity(parts.headers.len() + 6);
    let nominated = Nominated::of(&parts.headers);
    for (name, value) in &parts.headers {
        if is_hop_by_hop(name) {
            if name == header::TE && tokens_of(value).any(|t| t.eq_ignore_ascii_case("trailers")) {
                out.insert(header::TE, HeaderValue::from_static("trailers"));
            }
            continue;
        }
        let ours = is_forwarding(name) || *name == header::CONTENT_LENGTH;
        if ours || (*name == ROLE && role != Role::Served) {
            continue;
        }
        if !is_identity(name) && nominated.has(name) {
            continue;
        }
        if *name == header::COOKIE && carries_session(value) {
            if let Some(rest) = without_session(value) {
                out.append(name, rest);
            }
            continue;
        }
        out.append(name, value.clone());
    }
    if out.contains_key(header::TE) {
        out.insert(header::CONNECTION, HeaderValue::from_static("TE"));
    }
    if upgrading {
        out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Some(protocol) = parts.headers.get(header::UPGRADE) {
            out.insert(header::UPGRADE, protocol.clone());
        }
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
    add_forwarding(&mut out, client);
    if role != Role::Served {
        out.insert(ROLE, HeaderValue::from_static(role.as_str()));
    }
    out
}

/// How the cookies of the dashboard's sessions begin. Cookies know no ports, so a browser sends them
/// to the data listener of the same host as well, where no application may see them.
pub const SESSION: &str = "supplant_session_";

fn carries_session(cookies: &HeaderValue) -> bool {
    let mut windows = cookies.as_bytes().windows(SESSION.len());
    windows.any(|window| window == SESSION.as_bytes())
}

fn without_session(cookies: &HeaderValue) -> Option<HeaderValue> {
    let bytes = cookies.as_bytes();
    let kept: Vec<&[u8]> = bytes
        .split(|byte| *byte == b';')
        .filter(|pair| !pair.trim_ascii_start().starts_with(SESSION.as_bytes()))
        .collect();
    let joined = kept.join(&b';');
    let trimmed = joined.trim_ascii();
    if trimmed.is_empty() {
        return None;
    }
    HeaderValue::from_bytes(trimmed).ok()
}

fn add_forwarding(out: &mut HeaderMap, client: &Client) {
    if let Some(address) = &client.forwarded_for {
        out.insert(FORWARDED_FOR, address.clone());
    }
    out.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = out.get(header::HOST).filter(|h| !h.is_empty()).cloned() {
        out.insert(FORWARDED_HOST, host);
    }
    out.insert(FORWARDED_PORT, client.forwarded_port.clone());
    out.append(header::VIA, HeaderValue::from_static("1.1 supplant"));
}

/// Returns the fields of an answer as the client gets them.
///
/// Hop-by-hop fields and those nominated by `Connection` are dropped; a `Content-Length` stays,
/// which the connection has checked against the body.
pub fn response_fields(mut headers: HeaderMap) -> HeaderMap {
    if !headers.keys().any(is_hop_by_hop) {
        return headers;
    }
    if Nominated::of(&headers).0.is_some() {
        return without_nominated(&headers);
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

fn without_nominated(headers: &HeaderMap) -> HeaderMap {
    let nominated = Nominated::of(headers);
    let mut out = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let framing = *name == header::CONTENT_LENGTH;
        if !is_hop_by_hop(name) && (framing || !nominated.has(name)) {
            out.append(name, value.clone());
        }
    }
    out
}

/// Returns the fields of a 101 as the client gets them: its upgrade stays.
pub fn switching_fields(headers: HeaderMap) -> HeaderMap {
    let protocol = headers.get(header::UPGRADE).cloned();
    let mut out = response_fields(headers);
    if let Some(protocol) = protocol {
        out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        out.insert(header::UPGRADE, protocol);
    }
    out
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    // Standard names are compared as small numbers, so this costs little for each field.
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || *name == header::TE
        || *name == header::PROXY_AUTHENTICATE
        || *name == header::PROXY_AUTHORIZATION
        || *name == KEEP_ALIVE
        || name.as_str().starts_with("proxy-")
}

fn is_forwarding(name: &HeaderName) -> bool {
    *name == header::FORWARDED
        || name.as_str().starts_with("x-forwarded-")
        || looks_like_ours(name.as_str())
}

/// Returns whether an application that folds `_` and `.` to `-` would take a field for one of ours.
fn looks_like_ours(name: &str) -> bool {
    name.contains(['_', '.']) && {
        let folded = name.replace(['_', '.'], "-");
        folded.starts_with("x-forwarded-") || folded == ROLE.as_str()
    }
}

/// Fields that a client may not take away by naming them in `Connection`.
fn is_identity(name: &HeaderName) -> bool {
    *name == header::HOST
        || *name == header::AUTHORIZATION
        || *name == header::COOKIE
        || *name == header::CONTENT_TYPE
}

/// The fields that `Connection` names and that are there: a client's list may be very long, and is
/// looked through once.
struct Nominated(Option<HashSet<HeaderName>>);

impl Nominated {
    fn of(headers: &HeaderMap) -> Self {
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

    fn has(&self, name: &HeaderName) -> bool {
        self.0.as_ref().is_some_and(|named| named.contains(name))
    }
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .into_iter()
        .flat_map(tokens_of)
}

fn tokens_of(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or("").split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::new(Some(IpAddr::from([192, 0, 2, 7])), 8080)
    }

    fn forwarded(fields: &[(&str, &str)]) -> HeaderMap {
        let mut builder = Request::builder().uri("/a?b=c");
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        request(&parts, &client(), Role::Served, ())
            .into_parts()
            .0
            .headers
    }

    #[test]
    fn hop_by_hop_fields_and_those_they_name_end_here() {
        let out = forwarded(&[
            ("connection", "keep-alive, X-Secret"),
            ("keep-alive", "timeout=5"),
            ("x-secret", "1"),
            ("proxy-authorization", "Basic x"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("x-kept", "2"),
        ]);
        let names: Vec<_> = out.keys().map(HeaderName::as_str).collect();
        let ours = [
            "host",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-port",
            "via",
        ];
        assert_eq!(names, [&["x-kept"][..], &ours[..]].concat());
    }

    #[test]
    fn an_answer_keeps_the_order_of_its_fields_wherever_hop_by_hop_ones_stand() {
        for place in 0..=3 {
            let mut names = vec!["server", "x-a", "x-b"];
            names.insert(place, "connection");
            names.insert(place, "keep-alive");
            let fields = names.iter().map(|name| {
                let value = if *name == "connection" {
                    "keep-alive"
                } else {
                    "1"
                };
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            });
            let kept = response_fields(fields.collect());
            let kept: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
            assert_eq!(kept, ["server", "x-a", "x-b"], "{place}");
        }
    }

    #[test]
    fn a_client_cannot_name_identity_away() {
        let out = forwarded(&[
            ("connection", "authorization, cookie, host, x-forwarded-for"),
            ("host", "a.example"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
        ]);
        for name in ["authorization", "cookie", "host", "x-forwarded-for"] {
            assert!(out.contains_key(name), "{name}");
        }
    }

    #[test]
    fn forwarding_fields_of_a_client_are_replaced() {
        let out = forwarded(&[
            ("host", "a.example"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-user", "root"),
            ("forwarded", "for=203.0.113.9"),
        ]);
        assert_eq!(out["x-forwarded-for"], "192.0.2.7");
        assert_eq!(out["x-forwarded-host"], "a.example");
        assert!(!out.contains_key("forwarded") && !out.contains_key("x-forwarded-user"));
    }

    #[test]
    fn sessions_of_the_dashboard_never_reach_an_application() {
        let out = forwarded(&[("cookie", "a=1; supplant_session_9900=secret; b=2")]);
        assert_eq!(out["cookie"], "a=1; b=2");
        let out = forwarded(&[("cookie", "supplant_session_9900=secret")]);
        assert!(!out.contains_key("cookie"));
        let out = forwarded(&[("cookie", "a=x supplant_session_ y")]);
        assert_eq!(out["cookie"], "a=x supplant_session_ y");
    }

    #[test]
    fn trailers_may_be_announced_and_nothing_else_in_te() {
        assert_eq!(forwarded(&[("te", "gzip, trailers")])["te"], "trailers");
    }

    #[test]
    fn an_absolute_target_goes_in_origin_form_and_names_the_host() {
        let (parts, ()) = Request::builder()
            .uri("http://b.example:81/x?y")
            .header("host", "a.example")
            .body(())
            .unwrap()
            .into_parts();
        let out = request(&parts, &client(), Role::Served, ());
        assert_eq!(out.uri(), "/x?y");
        assert_eq!(out.headers()["host"], "b.example:81");
    }

    #[test]
    fn copies_are_marked_and_a_served_request_keeps_the_mark_it_came_with() {
        let (parts, ()) = Request::builder()
            .header("supplant-role", "control")
            .body(())
            .unwrap()
            .into_parts();
        let role = |role| request(&parts, &client(), role, ()).headers()["supplant-role"].clone();
        assert_eq!(role(Role::Shadow), "shadow");
        assert_eq!(role(Role::Served), "control");
    }

    #[test]
    fn an_upgrade_passes_and_h2c_does_not() {
        let out = forwarded(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(out["upgrade"], "websocket");
        for h2c in ["h2c", "h2c, websocket", "websocket,H2C", "h2c/2"] {
            let out = forwarded(&[("connection", "Upgrade"), ("upgrade", h2c)]);
            let kept = out.contains_key("upgrade") || out.contains_key("connection");
            assert!(!kept, "{h2c}");
        }
        let twice = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("upgrade", "h2c"),
        ];
        assert!(!forwarded(&twice).contains_key("upgrade"));
    }

    #[test]
    fn a_long_list_in_connection_is_looked_through_once() {
        let list = format!("{}X-Secret", "a,".repeat(30_000));
        let names: Vec<String> = (0..97).map(|i| format!("x{i}")).collect();
        let mut fields = vec![("connection", list.as_str()), ("x-secret", "1")];
        fields.extend(names.iter().map(|name| (name.as_str(), "1")));
        let out = forwarded(&fields);
        assert!(!out.contains_key("x-secret") && out.contains_key("x96"));
        let nominated = Nominated::of(&HeaderMap::from_iter([(
            header::CONNECTION,
            HeaderValue::from_str(&list).unwrap(),
        )]));
        assert_eq!(nominated.0.unwrap().len(), 0, "only fields that are there");
    }

    #[test]
    fn userinfo_of_a_target_reaches_nobody() {
        let (parts, ()) = Request::builder()
            .uri("http://a.example:secret@b.example:81/x")
            .body(())
            .unwrap()
            .into_parts();
        assert_eq!(host(&parts), Some("b.example:81"));
        let out = request(&parts, &client(), Role::Served, ());
        assert_eq!(out.headers()["host"], "b.example:81");
        assert_eq!(out.headers()["x-forwarded-host"], "b.example:81");
    }

    #[test]
    fn fields_that_look_like_ours_end_here() {
        let out = forwarded(&[
            ("x_forwarded_for", "203.0.113.9"),
            ("X-Forwarded.Proto", "https"),
            ("supplant_role", "shadow"),
            ("x_other", "1"),
        ]);
        assert_eq!(out["x-forwarded-for"], "192.0.2.7");
        assert!(out.contains_key("x_other"));
        assert!(out.keys().all(|n| !looks_like_ours(n.as_str())));
    }
}
