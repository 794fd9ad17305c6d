//! What a trusted peer says of the client, and how the chain goes on. Pure.

use super::client::Client;
use super::forwarded;
use super::forwarded::Element;
use super::forwarded::Node;
use super::names::FORWARDED_FOR;
use super::names::FORWARDED_HOST;
use super::names::FORWARDED_PORT;
use super::names::FORWARDED_PROTO;
use super::names::Noticed;
use crate::rules::Identity;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header;
use std::net::IpAddr;
use std::net::SocketAddr;

/// What a trusted peer says of the hops before it.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    headers: &'a HeaderMap,
    /// Whether `X-Forwarded-For` is there.
    listed: bool,
    elements: Vec<Element<'a>>,
    /// Which element speaks of the client.
    about: usize,
    /// Where the walk along the chain ended.
    address: IpAddr,
    /// Whether `Forwarded` is there but of no use.
    broken: bool,
}

impl<'a> Claims<'a> {
    /// Reads what a trusted peer sent. Both fields speak of the same chain, and most proxies write
    /// `X-Forwarded-For`: it decides, and a `Forwarded` that says otherwise was handed through from
    /// somebody who is not trusted.
    pub(super) fn read(headers: &'a HeaderMap, peer: IpAddr, identity: &Identity) -> Self {
        let listed = headers.contains_key(FORWARDED_FOR);
        let by_list = || {
            let values = headers.get_all(FORWARDED_FOR).into_iter().rev();
            let nodes = values.flat_map(|value| value.as_bytes().rsplit(|b| *b == b','));
            walk(nodes.map(address), peer, identity).0
        };
        let came = headers.contains_key(header::FORWARDED);
        let values = headers.get_all(header::FORWARDED).into_iter();
        let read = came.then(|| forwarded::read(values.map(HeaderValue::as_bytes)));
        let elements = read.and_then(Result::ok).unwrap_or_default();
        let nodes = elements.iter().rev().map(|e| match e.from {
            Some(Node::Address(address)) => Some(address),
            _ => None,
        });
        let (said, depth) = walk(nodes, peer, identity);
        let address = if listed { by_list() } else { said };
        let broken = came && (elements.is_empty() || said != address);
        Self {
            headers,
            listed,
            about: elements.len().saturating_sub(depth),
            elements: if broken { Vec::new() } else { elements },
            address,
            broken,
        }
    }

    /// Returns the first address from the right that is not trusted.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    fn element(&self) -> Option<&Element<'a>> {
        self.elements.get(self.about)
    }

    /// Returns what the client speaks with the first proxy.
    pub(super) fn scheme(&self) -> Option<&'static str> {
        let said = match self.headers.get(FORWARDED_PROTO) {
            Some(value) => value.to_str().ok()?.split(',').next(),
            None => self.element()?.proto.as_deref(),
        };
        match said?.trim() {
            s if s.eq_ignore_ascii_case("https") || s.eq_ignore_ascii_case("wss") => Some("https"),
            s if s.eq_ignore_ascii_case("http") || s.eq_ignore_ascii_case("ws") => Some("http"),
            _ => None,
        }
    }

    /// Returns the host that the client asked the first proxy for.
    pub(super) fn host(&self) -> Option<&str> {
        let said = match self.headers.get(FORWARDED_HOST) {
            Some(value) => value.to_str().ok()?.split(',').next(),
            None => self.element()?.host.as_deref(),
        };
        said.map(str::trim).filter(|host| !host.is_empty())
    }

    /// Writes the chain with our own link at its end. What the peer says of protocol, host and port
    /// stays; what it does not say is told by the rest of what it says, or by the connection.
    pub(super) fn write(&self, out: &mut HeaderMap, client: &Client, noticed: &mut Noticed) {
        let host = out
            .get(header::HOST)
            .filter(|host| !host.is_empty())
            .cloned();
        self.write_list(out, client);
        if !self.keep(out, &FORWARDED_PROTO) {
            let scheme = self.scheme().unwrap_or(client.scheme());
            out.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
        }
        if !self.keep(out, &FORWARDED_HOST) {
            let said = self
                .host()
                .and_then(|host| HeaderValue::from_str(host).ok());
            if let Some(host) = said.or_else(|| host.clone()) {
                out.insert(FORWARDED_HOST, host);
            }
        }
        if !self.keep(out, &FORWARDED_PORT) {
            let port = self.port().unwrap_or_else(|| client.forwarded_port.clone());
            out.insert(FORWARDED_PORT, port);
        }
        if self.broken {
            noticed.forwarded += 1;
        }
        if !self.elements.is_empty() {
            let host = host.as_ref().and_then(|host| host.to_str().ok());
            let link = forwarded::write(client.address(), host, client.scheme());
            self.lengthen(out, header::FORWARDED, link.as_bytes());
        }
    }

    fn write_list(&self, out: &mut HeaderMap, client: &Client) {
        let Some(address) = &client.forwarded_for else {
            return;
        };
        if self.listed {
            return self.lengthen(out, FORWARDED_FOR, address.as_bytes());
        }
        let said = self.elements.iter().map(|element| match &element.from {
            Some(Node::Address(address)) => address.to_string(),
            Some(Node::Hidden(name)) => name.to_string(),
            Some(Node::Unknown) | None => "unknown".to_owned(),
        });
        let mut list: Vec<String> = said.collect();
        list.extend(address.to_str().ok().map(str::to_owned));
        if let Ok(value) = HeaderValue::try_from(list.join(", ")) {
            out.insert(FORWARDED_FOR, value);
        }
    }

    /// Joins all values of a field to one, since many applications read only one, and adds to it.
    fn lengthen(&self, out: &mut HeaderMap, name: HeaderName, last: &[u8]) {
        let mut joined: Vec<u8> = Vec::new();
        for value in self.headers.get_all(&name) {
            joined.extend_from_slice(value.as_bytes().trim_ascii());
            joined.extend_from_slice(b", ");
        }
        joined.extend_from_slice(last);
        if let Ok(value) = HeaderValue::from_bytes(&joined) {
            out.insert(name, value);
        }
    }

    fn keep(&self, out: &mut HeaderMap, name: &HeaderName) -> bool {
        for value in self.headers.get_all(name) {
            out.append(name, value.clone());
        }
        self.headers.contains_key(name)
    }

    /// Returns the port that goes with what was said of host and protocol; nothing if nothing was.
    fn port(&self) -> Option<HeaderValue> {
        let named = self.host().and_then(|host| {
            let (_, port) = host.rsplit_once(':')?;
            port.parse::<u16>().ok()
        });
        let port = named.or(match self.scheme()? {
            "https" => Some(443),
            _ => Some(80),
        });
        port.map(HeaderValue::from)
    }
}

/// Walks a chain from its end: the first address that is not trusted is the client's. Where the
/// chain does not name an address, the last one that it did name is. Returns also how many hops
/// were looked at.
fn walk(
    nodes: impl Iterator<Item = Option<IpAddr>>,
    peer: IpAddr,
    identity: &Identity,
) -> (IpAddr, usize) {
    let (mut last, mut depth) = (peer, 0);
    for node in nodes {
        depth += 1;
        let Some(address) = node else { break };
        last = address;
        if !identity.trusts(address) {
            break;
        }
    }
    (last, depth)
}

/// Reads a member of `X-Forwarded-For`: an address, perhaps in brackets, perhaps with a port.
fn address(member: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(member).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let plain = bare.unwrap_or(text).parse::<IpAddr>();
    let found = plain.or_else(|_| text.parse::<SocketAddr>().map(|a| a.ip()));
    found.ok().map(|address| address.to_canonical())
}
