//! Whom a client's word about itself is believed. Pure.

use std::net::IpAddr;

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
    /// than the address has.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self { address, bits })
    }

    /// Returns whether an address belongs to it. An IPv4 address written as IPv6 is meant as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (u32::from(ours) ^ u32::from(theirs)) & mask == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or(0);
                (u128::from(ours) ^ u128::from(theirs)) & mask == 0
            }
            _ => false,
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
        ] {
            let network = network(text, bits);
            assert!(network.contains(inside.parse().unwrap()), "{inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside}");
        }
        assert!(Network::new("10.0.0.0".parse().unwrap(), 33).is_none());
    }
}
