//! Reads whom a client's word about itself is believed: `trusted_proxies`, `headers`. Pure.

use crate::rules::file::fields::Fields;
use crate::rules::file::fields::each;
use crate::rules::identity::Identity;
use crate::rules::identity::Network;
use crate::rules::identity::Underscores;
use crate::rules::keys::Section;
use crate::rules::near::nearest;
use crate::rules::parse::short;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::value::Read;
use std::net::IpAddr;

pub(super) fn read(top: &Fields<'_>, problems: &mut Problems) -> Identity {
    let mut identity = Identity::default();
    if let Some(node) = top.get("trusted_proxies") {
        for (network, at) in each(node, "trusted_proxies", problems, network) {
            if network.bits() == 0 {
                problems.warn(
                    code::TRUST_ALL,
                    at,
                    format!(
                        "with `{network}` whoever connects is believed, so clients choose their own address"
                    ),
                    "name the networks of the proxies before this one",
                );
            }
            identity.trusted.push(network);
        }
    }
    if let Some(fields) = top
        .get("headers")
        .and_then(|n| Fields::open(Section::Names, n, "headers", problems))
    {
        fields.set(
            "underscores",
            problems,
            &mut identity.underscores,
            underscores,
        );
    }
    identity
}

/// Reads `10.0.0.0/8`, or one address.
fn network(text: &str) -> Read<Network> {
    let wrong = |hint: String| {
        let message = format!("`{}` is not a network", short(text));
        Err((code::ADDRESS, message, hint))
    };
    let (address, bits) = text
        .split_once('/')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let Ok(address) = address.parse::<IpAddr>() else {
        let alone = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let alone = alone.trim_start_matches('[').trim_end_matches(']');
        return wrong(match alone.parse::<IpAddr>() {
            Ok(alone) => format!("write `{alone}`, without port and brackets"),
            Err(_) => "write it as `10.0.0.0/8` or `192.0.2.7`; names are not looked up".to_owned(),
        });
    };
    let Some(bits) = bits else {
        return Ok(Network::of(address));
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let Some(network) = bits.parse().ok().and_then(|b| Network::new(address, b)) else {
        return wrong(format!("after the `/` stands a number from 0 to {most}"));
    };
    if network.first() != network.address() {
        return wrong(format!(
            "write `{}/{}` for the network, or `{}` for the one address",
            network.first(),
            network.bits(),
            network.address(),
        ));
    }
    Ok(network)
}

fn underscores(text: &str) -> Read<Underscores> {
    let all = [Underscores::Pass, Underscores::Drop, Underscores::Reject];
    if let Some(found) = all.into_iter().find(|u| u.as_str() == text) {
        return Ok(found);
    }
    let near = nearest(text, all.map(Underscores::as_str))
        .map_or(String::new(), |n| format!("did you mean `{n}`? "));
    Err((
        code::WORD,
        format!("`{}` cannot be done with underscores", short(text)),
        format!("{near}write `pass`, `drop` or `reject`"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn networks_are_read_or_told_how_to_write() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), shown);
        }
        for (text, hint) in [
            (
                "10.1.2.3/8",
                "write `10.0.0.0/8` for the network, or `10.1.2.3` for the one address",
            ),
            ("10.0.0.0/33", "after the `/` stands a number from 0 to 32"),
            ("10.0.0.0/", "after the `/` stands a number from 0 to 32"),
            ("::/200", "after the `/` stands a number from 0 to 128"),
            ("10.0.0.1:80", "write `10.0.0.1`, without port and brackets"),
            ("[::1]:80", "write `::1`, without port and brackets"),
            (
                "proxy.internal",
                "write it as `10.0.0.0/8` or `192.0.2.7`; names are not looked up",
            ),
        ] {
            assert_eq!(network(text).unwrap_err().2, hint);
        }
    }

    proptest! {
        #[test]
        fn a_network_that_was_read_is_read_again_as_the_same(address: std::net::IpAddr, bits in 0_u8..=128) {
            let Some(made) = Network::new(address, bits) else { return Ok(()) };
            let first = Network::new(made.first(), made.bits()).unwrap();
            prop_assert_eq!(network(&first.to_string()).unwrap(), first);
            prop_assert!(first.contains(address) && first.contains(made.first()));
        }

        #[test]
        fn no_text_of_a_network_makes_it_panic(text in "[0-9a-f:./\\[\\]]{0,40}") {
            let _either = network(&text);
        }
    }
}
