//! Keeps addresses and certificates of a backend fresh; runs on the control runtime.

use super::Backend;
use super::connect::Address;
use super::endpoint::Endpoint;
use crate::rules;
use crate::rules::Scheme;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

/// The most addresses that a backend has.
const ADDRESSES: usize = 256;

/// Returns the endpoints whose address the rules name.
pub(super) fn literals(config: &rules::Backend) -> Vec<Arc<Endpoint>> {
    let made = config.endpoints.iter().filter_map(literal);
    made.map(Arc::new).collect()
}

fn literal(endpoint: &rules::Endpoint) -> Option<Endpoint> {
    match endpoint {
        rules::Endpoint::Unix(path) => {
            let address = Address::Unix(path.as_path().into());
            Some(Endpoint::new(address, Scheme::Http, "localhost".into(), 80))
        }
        rules::Endpoint::Tcp { scheme, host, port } => {
            let ip: IpAddr = host.parse().ok()?;
            let address = Address::Tcp(SocketAddr::new(ip, *port));
            Some(Endpoint::new(address, *scheme, host.as_str().into(), *port))
        }
    }
}

/// Resolves the names of a backend and publishes every address as an endpoint of its own; reads its
/// certificates again when their files have changed.
///
/// An address that stays keeps its state. A name that does not resolve keeps the addresses it had.
/// Returns the first error in words.
pub async fn resolve(backend: &Backend) -> Result<(), String> {
    let renewed = backend.renew_tls();
    let config = backend.config();
    if config.endpoints.iter().all(|e| literal(e).is_some()) {
        return renewed;
    }
    let mut found = Vec::new();
    let mut failed = Vec::new();
    let mut told = renewed;
    for endpoint in &config.endpoints {
        if let Some(endpoint) = literal(endpoint) {
            found.push(endpoint);
            continue;
        }
        let rules::Endpoint::Tcp { scheme, host, port } = endpoint else {
            continue;
        };
        match tokio::net::lookup_host((host.as_str(), *port)).await {
            Ok(addresses) => {
                let name: Arc<str> = host.as_str().into();
                found.extend(addresses.map(|address| {
                    Endpoint::new(Address::Tcp(address), *scheme, Arc::clone(&name), *port)
                }));
            }
            Err(error) => {
                failed.push((host.as_str(), *port));
                told = told.and_then(|()| Err(format!("`{host}` does not resolve: {error}")));
            }
        }
    }
    backend.publish(found, &failed);
    told
}

/// Returns what is known in place of what was found again, with what is known of the hosts and ports
/// that failed, in an order that does not change with that of the answers, and at most so many.
pub(super) fn merged(
    known: &[Arc<Endpoint>],
    found: Vec<Endpoint>,
    failed: &[(&str, u16)],
) -> Vec<Arc<Endpoint>> {
    let mut all: Vec<Arc<Endpoint>> = found
        .into_iter()
        .map(|new| {
            let old = known.iter().find(|old| old.is_same(&new));
            old.map_or_else(|| Arc::new(new), Arc::clone)
        })
        .collect();
    let stays = |old: &&Arc<Endpoint>| failed.contains(&(&*old.host, old.port));
    all.extend(known.iter().filter(stays).map(Arc::clone));
    all.sort_by(|a, b| {
        let key = |e: &Endpoint| (e.address.clone(), e.scheme, Arc::clone(&e.host));
        key(a).cmp(&key(b))
    });
    all.dedup_by(|a, b| a.is_same(b));
    all.truncate(ADDRESSES);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str, last: u8) -> Endpoint {
        let address = SocketAddr::new(IpAddr::from([127, 0, 0, last]), 80);
        Endpoint::new(Address::Tcp(address), Scheme::Http, host.into(), 80)
    }

    #[test]
    fn an_address_that_stays_keeps_its_state_and_one_that_goes_is_gone() {
        let known = vec![Arc::new(of("app", 1)), Arc::new(of("app", 2))];
        known[1].probed(false, 1);
        let found = vec![of("app", 3), of("app", 2), of("app", 3)];
        let now = merged(&known, found, &[]);
        assert_eq!(now.len(), 2);
        assert!(now[0].is_ill() && !now[1].is_ill());
        let many = (1..=u8::MAX).flat_map(|last| [of("app", last), of("other", last)]);
        assert_eq!(merged(&[], many.collect(), &[]).len(), ADDRESSES);
    }

    #[test]
    fn a_name_that_does_not_resolve_keeps_what_it_had_and_no_other_does() {
        let known = vec![
            Arc::new(of("dead", 1)),
            Arc::new(of("app", 2)),
            Arc::new(of("app", 3)),
        ];
        let now = merged(&known, vec![of("app", 3), of("app", 4)], &[("dead", 80)]);
        let hosts: Vec<_> = now.iter().map(|e| (&*e.host, &e.address)).collect();
        let address = |last| Address::Tcp(SocketAddr::from(([127, 0, 0, last], 80)));
        let expected = [
            ("dead", &address(1)),
            ("app", &address(3)),
            ("app", &address(4)),
        ];
        assert_eq!(hosts, expected);
    }
}
