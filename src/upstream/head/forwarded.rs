//! `Forwarded` (RFC 7239): read with bounds, and written. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

/// More elements than this no honest chain of proxies writes.
pub const MOST: usize = 64;

/// Who stands at an end of a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An address; its port is left out.
    Address(IpAddr),
    /// Somebody whom the proxy did not know.
    Unknown,
    /// Somebody whom the proxy would not name: a word that begins with `_`.
    Hidden(Box<str>),
}

/// What one proxy said of the hop before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element<'a> {
    /// Who asked it.
    pub from: Option<Node>,
    /// The `Host` it was asked for.
    pub host: Option<Cow<'a, str>>,
    /// What was spoken.
    pub proto: Option<Cow<'a, str>>,
}

/// What is not `Forwarded`, or more of it than is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of forwarded elements")]
pub struct Malformed;

/// Reads the values of all `Forwarded` fields of a message, in their order. An element does not go
/// on in the next field.
pub fn read<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Element<'a>>, Malformed> {
    let mut elements = Vec::new();
    for value in values {
        let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
        let mut reader = Reader { rest: text };
        while reader.element(&mut elements)? {}
    }
    if elements.is_empty() {
        return Err(Malformed);
    }
    Ok(elements)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Reads an element; returns whether another may follow.
    fn element(&mut self, elements: &mut Vec<Element<'a>>) -> Result<bool, Malformed> {
        let mut element = Element::default();
        let mut pairs = 0_u32;
        loop {
            self.spaces();
            match self.next() {
                // An empty element is allowed in a list, and an empty pair in an element.
                Some(',') | None if pairs == 0 => {}
                Some(';') => {
                    self.skip(1);
                    continue;
                }
                Some(',') | None => {
                    if elements.len() == MOST {
                        return Err(Malformed);
                    }
                    elements.push(element);
                }
                Some(_) => {
                    self.pair(&mut element)?;
                    pairs += 1;
                    self.spaces();
                    if !matches!(self.next(), Some(',' | ';') | None) {
                        return Err(Malformed);
                    }
                    continue;
                }
            }
            let more = self.next().is_some();
            self.skip(1);
            return Ok(more);
        }
    }

    fn pair(&mut self, element: &mut Element<'a>) -> Result<(), Malformed> {
        let name = self.token()?;
        if self.next() != Some('=') {
            return Err(Malformed);
        }
        self.skip(1);
        let value = self.value()?;
        let once = if name.eq_ignore_ascii_case("for") {
            element.from.replace(node(&value)?).is_none()
        } else if name.eq_ignore_ascii_case("host") {
            element.host.replace(value).is_none()
        } else if name.eq_ignore_ascii_case("proto") {
            element.proto.replace(value).is_none()
        } else {
            true
        };
        // RFC 7239 section 4: each parameter at most once in an element.
        if once { Ok(()) } else { Err(Malformed) }
    }

    fn value(&mut self) -> Result<Cow<'a, str>, Malformed> {
        if self.next() != Some('"') {
            return self.token().map(Cow::Borrowed);
        }
        self.skip(1);
        let end = self.rest.find(['"', '\\']).ok_or(Malformed)?;
        let (plain, rest) = self.rest.split_at(end);
        if rest.starts_with('"') {
            self.rest = rest;
            self.skip(1);
            return quotable(plain).map(Cow::Borrowed);
        }
        let mut text = plain.to_owned();
        let mut chars = rest.chars();
        loop {
            match chars.next().ok_or(Malformed)? {
                '"' => break,
                '\\' => text.push(chars.next().ok_or(Malformed)?),
                other => text.push(other),
            }
        }
        self.rest = chars.as_str();
        quotable(&text)?;
        Ok(Cow::Owned(text))
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        if token.is_empty() {
            return Err(Malformed);
        }
        self.rest = rest;
        Ok(token)
    }

    fn spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn next(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Skips ASCII that was seen, and nothing at the end.
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or("");
    }
}

/// What is said of a host or an address is visible ASCII, quoted or not.
fn quotable(text: &str) -> Result<&str, Malformed> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text)
    } else {
        Err(Malformed)
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

fn node(text: &str) -> Result<Node, Malformed> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, port) = rest.split_once(']').ok_or(Malformed)?;
        let address: Ipv6Addr = inner.parse().map_err(|_| Malformed)?;
        is_port(port)?;
        return Ok(Node::Address(IpAddr::V6(address).to_canonical()));
    }
    let (name, port) = match text.find(':') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    is_port(port)?;
    if name.eq_ignore_ascii_case("unknown") {
        return Ok(Node::Unknown);
    }
    if is_hidden(name) {
        return Ok(Node::Hidden(name.into()));
    }
    let address: Ipv4Addr = name.parse().map_err(|_| Malformed)?;
    Ok(Node::Address(IpAddr::V4(address)))
}

fn is_hidden(name: &str) -> bool {
    name.strip_prefix('_').is_some_and(|rest| {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        !rest.is_empty() && rest.bytes().all(known)
    })
}

/// Takes nothing, `:` and one to five digits, or `:` and a hidden port.
fn is_port(text: &str) -> Result<(), Malformed> {
    let Some(port) = text.strip_prefix(':') else {
        return if text.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        };
    };
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    if digits || is_hidden(port) {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// Writes an element. A host that holds what cannot be quoted is left out.
pub fn write(from: Option<IpAddr>, host: Option<&str>, proto: &str) -> String {
    let mut out = match from {
        Some(IpAddr::V4(address)) => format!("for={address}"),
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        None => "for=unknown".to_owned(),
    };
    if let Some(host) = host.filter(|host| !host.is_empty() && quotable(host).is_ok()) {
        out.push_str(";host=");
        if host.chars().all(is_token) {
            out.push_str(host);
        } else {
            out.push('"');
            for c in host.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        }
    }
    let _written = write!(out, ";proto={proto}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Result<Vec<Element<'_>>, Malformed> {
        read([text.as_bytes()])
    }

    fn from(text: &str) -> Option<Node> {
        one(text).ok()?.pop()?.from
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        assert_eq!(
            from("for=\"_gazonk\""),
            Some(Node::Hidden("_gazonk".into()))
        );
        let v6 = Node::Address("2001:db8:cafe::17".parse().unwrap());
        assert_eq!(from("For=\"[2001:db8:cafe::17]:4711\""), Some(v6));
        let elements = one("for=192.0.2.60;proto=http;by=203.0.113.43").unwrap();
        assert_eq!(elements[0].proto.as_deref(), Some("http"));
        assert_eq!(one("for=192.0.2.43, for=198.51.100.17").unwrap().len(), 2);
        assert_eq!(from("for=unknown"), Some(Node::Unknown));
        assert_eq!(
            from("for=_SEVKISEK;proto=https"),
            Some(Node::Hidden("_SEVKISEK".into()))
        );
    }

    #[test]
    fn ports_quotes_and_empty_elements_are_understood() {
        let four = Some(Node::Address(IpAddr::from([192, 0, 2, 1])));
        for text in [
            "for=\"192.0.2.1:80\"",
            "for=\"192.0.2.1:_p\"",
            ",, for=192.0.2.1 ,",
            "for=\"192.0.2\\.1\"",
            "for=\"[::ffff:192.0.2.1]\"",
            " ;for=192.0.2.1; ;proto=http",
        ] {
            assert_eq!(from(text), four, "{text}");
        }
        let host = one("host=\"a\\\"b\"").unwrap();
        assert_eq!(host[0].host.as_deref(), Some("a\"b"));
    }

    #[test]
    fn what_is_not_in_the_grammar_is_malformed() {
        for text in [
            "",
            ",",
            "for",
            "for=",
            "for =192.0.2.1",
            "for=192.0.2.1:80",
            "for=\"192.0.2.1",
            "for=\"192.0.2.1\\",
            "for=2001:db8::1",
            "for=\"2001:db8::1\"",
            "for=\"[2001:db8::1\"",
            "for=\"[::1]x\"",
            "for=\"1.2.3.4:123456\"",
            "for=300.0.0.1",
            "for=_",
            "for=localhost",
            "for=192.0.2.1 for=192.0.2.2",
            "for=192.0.2.1;for=192.0.2.2",
            "host=\"a b\"",
            "host=\"ä\"",
        ] {
            assert_eq!(one(text), Err(Malformed), "{text}");
        }
        let many = "for=unknown,".repeat(MOST);
        assert!(one(&many).is_ok());
        assert_eq!(one(&format!("{many}for=unknown")), Err(Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _either = read([&*bytes]);
        }

        #[test]
        fn anything_like_an_element_is_taken_or_refused(
            text in prop::collection::vec(
                prop::sample::select(vec![
                    "for", "=", "\"", "\\", ";", ",", "[", "]", "::1", "1.2.3.4", ":", "80", "_a",
                    "unknown", "host", "proto", " ", "http", "\t", "é",
                ]),
                0..24,
            )
        ) {
            if let Ok(elements) = one(&text.concat()) {
                prop_assert!((1..=MOST).contains(&elements.len()));
            }
        }

        #[test]
        fn what_is_written_is_read(a in any::<[u8; 16]>(), four in any::<bool>(), host in "[!-~]{0,12}") {
            let address = if four {
                IpAddr::from([a[0], a[1], a[2], a[3]])
            } else {
                IpAddr::from(a).to_canonical()
            };
            let text = write(Some(address), Some(&host), "https");
            let element = one(&text).unwrap().remove(0);
            prop_assert_eq!(element.from, Some(Node::Address(address)));
            prop_assert_eq!(element.proto.as_deref(), Some("https"));
            prop_assert_eq!(element.host.as_deref().unwrap_or(""), host);
        }
    }
}
