//! Whom a client's word about itself is believed. Pure.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

/// How what a client says of itself is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted: Vec<Network>,
    /// What becomes of names with an underscore.
    pub underscores: Underscores,
}

/// What becomes of field names with an underscore, which CGI and PHP cannot tell from a hyphen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// They pass; beside its twin with hyphens such a field is dropped and counted.
    #[default]
    Pass,
    /// They are dropped and counted.
    Drop,
    /// The request is refused with 400.
    Reject,
}

/// A network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Makes a network of an address and the number of its leading bits; nothing if there are more
    /// than the address has. An IPv4 address written as IPv6 is meant as IPv4.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let (address, bits) = match (address, address.to_canonical()) {
            (IpAddr::V6(_), short @ IpAddr::V4(_)) => (short, bits.checked_sub(96)?),
            (same, _) => (same, bits),
        };
        (bits <= width(address)).then_some(Self { address, bits })
    }

    /// Makes the network of one address.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            bits: width(address),
        }
    }

    /// Returns its first address, which a file is to name.
    pub fn first(self) -> IpAddr {
        match self.address {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from(u32::from(a) & mask4(self.bits))),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from(u128::from(a) & mask6(self.bits))),
        }
    }

    /// Returns the address that it was made of.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Returns the number of leading bits that all its addresses share.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Returns whether an address belongs to it. An IPv4 address written as IPv6 is meant as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (u32::from(ours) ^ u32::from(theirs)) & mask4(self.bits) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                (u128::from(ours) ^ u128::from(theirs)) & mask6(self.bits) == 0
            }
            _ => false,
        }
    }
}

/// The network as a file writes it.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask4(bits: u8) -> u32 {
    let rest = 32_u32.saturating_sub(u32::from(bits));
    u32::MAX.checked_shl(rest).unwrap_or(0)
}

fn mask6(bits: u8) -> u128 {
    let rest = 128_u32.saturating_sub(u32::from(bits));
    u128::MAX.checked_shl(rest).unwrap_or(0)
}

impl Underscores {
    /// Returns the word used in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Reject => "reject",
        }
    }
}

impl Identity {
    /// Returns whether a peer is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses() {
        let network = |text: &str, bits| Network::new(text.parse().unwrap(), bits).unwrap();
        for (text, bits, inside, outside) in [
            ("10.0.0.0", 8, "10.200.1.1", "11.0.0.0"),
            ("192.0.2.7", 32, "::ffff:192.0.2.7", "192.0.2.8"),
            ("0.0.0.0", 0, "203.0.113.1", "::1"),
            ("2001:db8::", 32, "2001:db8:1::1", "2001:db9::"),
            ("::", 0, "::1", "10.0.0.1"),
            ("::ffff:10.0.0.0", 104, "10.1.1.1", "11.0.0.0"),
        ] {
            let network = network(text, bits);
            assert!(network.contains(inside.parse().unwrap()), "{inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside}");
        }
        for (text, bits) in [("10.0.0.0", 33), ("::", 129), ("::ffff:10.0.0.0", 95)] {
            assert!(
                Network::new(text.parse().unwrap(), bits).is_none(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_network_is_shown_as_it_is_written() {
        let network = |text: &str, bits| Network::new(text.parse().unwrap(), bits).unwrap();
        for (found, shown) in [
            (network("10.0.0.0", 8), "10.0.0.0/8"),
            (network("10.0.0.7", 32), "10.0.0.7"),
            (network("2001:db8::", 32), "2001:db8::/32"),
            (Network::of("::1".parse().unwrap()), "::1"),
        ] {
            assert_eq!(found.to_string(), shown);
        }
        assert_eq!(network("10.1.2.3", 8).first().to_string(), "10.0.0.0");
        assert_eq!(network("2001:db8::7", 32).first().to_string(), "2001:db8::");
    }
}
