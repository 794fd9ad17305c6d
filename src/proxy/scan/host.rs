//! What names a host (RFC 9110 section 7.2).

use super::bytes;
use super::bytes::HOST;

/// Returns whether this is a host with an optional port, as an `http` target may have it: not empty,
/// nothing encoded, no user, no list.
pub(in crate::proxy) fn is_valid(host: &[u8]) -> bool {
    let (name, port) = split(host);
    let named = match name {
        [b'[', inner @ .., b']'] => {
            std::str::from_utf8(inner).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
        }
        name => !name.is_empty() && bytes::run(name, 0, HOST) == name.len(),
    };
    // An empty port is allowed and means the default one.
    let ported = |port: &[u8]| {
        port.len() <= 5
            && port.iter().all(u8::is_ascii_digit)
            && port.iter().fold(0, |n, d| n * 10 + u32::from(d - b'0')) <= 65_535
    };
    named && port.is_none_or(ported)
}

/// Returns whether two of them are the same. Letter case does not matter, nor whether the default
/// port is named.
pub(in crate::proxy) fn is_same(one: &[u8], other: &[u8], secure: bool) -> bool {
    let default: &[u8] = if secure { b"443" } else { b"80" };
    let port = |port: Option<&[u8]>| port.is_some_and(|p| !p.is_empty() && p != default);
    let ((one, mine), (other, theirs)) = (split(one), split(other));
    one.eq_ignore_ascii_case(other)
        && (port(mine), port(theirs)) != (true, false)
        && (port(mine), port(theirs)) != (false, true)
        && (!port(mine) || mine == theirs)
}

/// Returns the name or address, and the port where one is written.
pub(in crate::proxy) fn split(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let colon = host.iter().rposition(|b| *b == b':');
    match colon {
        Some(at) if !host.ends_with(b"]") => {
            let (name, port) = host.split_at(at);
            (name, port.get(1..))
        }
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_part_of_a_name() {
        for (host, name) in [
            ("a.example", "a.example"),
            ("a.example:8443", "a.example"),
            ("[::1]:8443", "[::1]"),
            ("[::1]", "[::1]"),
            ("192.0.2.1:1", "192.0.2.1"),
        ] {
            assert_eq!(split(host.as_bytes()).0, name.as_bytes());
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for good in [
            "a",
            "a.example",
            "A.example.:80",
            "a_b",
            "127.0.0.1:8080",
            "[::1]",
            "[2001:db8::1]:65535",
            "a:",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
            let uri = format!("http://{good}/").parse::<http::Uri>();
            assert!(uri.is_ok(), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a,b",
            "a@b",
            "a/b",
            "a:b",
            "a:65536",
            "a:000080",
            "a:80:80",
            "[::1",
            "::1",
            "[a]",
            "[::1]a",
            "a%20b",
            "a\u{e9}",
            "a?",
            "a#",
            "[::1%25eth0]",
            "\\a",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn hosts_are_the_same_by_name_and_port() {
        for (one, other, secure, same) in [
            ("a", "A", false, true),
            ("a:80", "a", false, true),
            ("a:443", "a", false, false),
            ("a:443", "a:", true, true),
            ("a:81", "a:81", false, true),
            ("a:81", "a:82", false, false),
            ("a", "b", false, false),
            ("[::1]:80", "[::1]", false, true),
        ] {
            let found = is_same(one.as_bytes(), other.as_bytes(), secure);
            assert_eq!(found, same, "{one} {other}");
            let found = is_same(other.as_bytes(), one.as_bytes(), secure);
            assert_eq!(found, same, "{other} {one}");
        }
    }
}
