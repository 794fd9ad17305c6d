//! The PROXY header, versions 1 and 2, in which a load balancer says for whom it connects.
//!
//! <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>

use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1.
pub(in crate::proxy) const LINE: usize = 107;
/// What stands before the addresses in version 2; the last two bytes are the length of what follows.
pub(in crate::proxy) const HEAD: usize = 16;
/// The longest header of version 2 that is taken: addresses and some kilobytes of notes.
const BLOCK: usize = 4_096;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// Its length.
    pub len: usize,
    /// The client; none where the balancer speaks for itself or does not know.
    pub client: Option<SocketAddr>,
}

/// A header that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads a header off the front of what has come; nothing if more must come.
pub fn proxied(bytes: &[u8]) -> Result<Option<Proxied>, Malformed> {
    let same = |wanted: &[u8]| wanted.iter().zip(bytes).all(|(a, b)| a == b);
    if same(SIGNATURE) {
        return if bytes.len() < HEAD {
            Ok(None)
        } else {
            block(bytes)
        };
    }
    if !same(b"PROXY ") {
        return Err(Malformed);
    }
    let window = bytes.get(..LINE).unwrap_or(bytes);
    match memchr::memchr(b'\n', window) {
        Some(end) => line(window.get(..end).unwrap_or_default()).map(|client| {
            Some(Proxied {
                len: end + 1,
                client,
            })
        }),
        None if window.len() == LINE => Err(Malformed),
        None => Ok(None),
    }
}

/// Reads a line of version 1 without its line feed.
fn line(line: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let text = line.strip_suffix(b"\r").ok_or(Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
    let text = text.strip_prefix("PROXY ").ok_or(Malformed)?;
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    let mut words = text.split(' ');
    let family = words.next();
    let mut address = || {
        let text = words.next().ok_or(Malformed)?;
        let address: IpAddr = text.parse().map_err(|_| Malformed)?;
        let right = match family {
            Some("TCP4") => address.is_ipv4(),
            Some("TCP6") => address.is_ipv6(),
            _ => false,
        };
        right.then_some(address).ok_or(Malformed)
    };
    let (client, _server) = (address()?, address()?);
    let mut port = || {
        let text = words.next().ok_or(Malformed)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let plain = digits && (text == "0" || !text.starts_with('0'));
        let port = text.parse::<u16>().map_err(|_| Malformed)?;
        plain.then_some(port).ok_or(Malformed)
    };
    let (port, _server) = (port()?, port()?);
    if words.next().is_some() {
        return Err(Malformed);
    }
    Ok(Some(SocketAddr::new(client, port)))
}

/// Reads a block of version 2.
fn block(bytes: &[u8]) -> Result<Option<Proxied>, Malformed> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(Malformed)?;
    let [command, family, high, low] = [head[12], head[13], head[14], head[15]];
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || length > BLOCK {
        return Err(Malformed);
    }
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    let len = HEAD + length;
    let client = match (command & 0xf, family) {
        // LOCAL, the balancer's own check, whose addresses are to be ignored; or no address.
        (0, _) | (1, 0x00) => None,
        (1, 0x11 | 0x12) => {
            let (a, _) = body.split_first_chunk::<12>().ok_or(Malformed)?;
            let address = IpAddr::from([a[0], a[1], a[2], a[3]]);
            Some(SocketAddr::new(address, u16::from_be_bytes([a[8], a[9]])))
        }
        (1, 0x21 | 0x22) => {
            let (a, _) = body.split_first_chunk::<36>().ok_or(Malformed)?;
            let (address, rest) = a.split_first_chunk::<16>().ok_or(Malformed)?;
            let port = u16::from_be_bytes([rest[16], rest[17]]);
            Some(SocketAddr::new(Ipv6Addr::from(*address).into(), port))
        }
        // A socket file.
        (1, 0x31 | 0x32) if body.len() >= 216 => None,
        _ => return Err(Malformed),
    };
    Ok(Some(Proxied { len, client }))
}
