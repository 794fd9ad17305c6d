//! Connections to the two applications.
//!
//! [`Backend`] is a backend at run time, shared by all threads: its addresses, kept fresh by the
//! control runtime, and how many requests are in flight. [`Pool`] belongs to one thread and holds
//! its kept connections, so that no request waits for a lock or for another thread.

mod body;
mod connect;
mod deadline;
mod error;
pub mod head;
mod pool;

pub use body::Outgoing;
pub use body::Progress;
pub use connect::Address;
pub use connect::Stream;
pub use deadline::BEAT;
pub use error::Error;
pub use error::ErrorKind;
pub use pool::Lease;
pub use pool::Plan;
pub use pool::Pool;
pub use pool::Sent;

use crate::rules;
use arc_swap::ArcSwap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// A backend at run time.
#[derive(Debug)]
pub struct Backend {
    config: rules::Backend,
    id: usize,
    addresses: ArcSwap<Vec<Address>>,
    next: AtomicUsize,
    active: AtomicI64,
}

impl Backend {
    /// Makes a backend whose literal addresses are usable at once; names wait for [`resolve`].
    pub fn new(config: rules::Backend) -> Self {
        static IDS: AtomicUsize = AtomicUsize::new(0);
        let literal = config.endpoints.iter().filter_map(literal).collect();
        Self {
            config,
            id: IDS.fetch_add(1, Ordering::Relaxed),
            addresses: ArcSwap::from_pointee(literal),
            next: AtomicUsize::new(0),
            active: AtomicI64::new(0),
        }
    }

    /// Returns what the rules say of it.
    pub fn config(&self) -> &rules::Backend {
        &self.config
    }

    /// Returns whether there is any address to connect to.
    pub fn is_usable(&self) -> bool {
        !self.addresses.load().is_empty()
    }

    /// Returns how many served requests are in flight.
    pub fn active(&self) -> i64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Notes that a served request started (1) or ended (-1).
    pub fn add_active(&self, change: i64) {
        self.active.fetch_add(change, Ordering::Relaxed);
    }

    fn id(&self) -> usize {
        self.id
    }

    fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

fn literal(endpoint: &rules::Endpoint) -> Option<Address> {
    match endpoint {
        rules::Endpoint::Unix(path) => Some(Address::Unix(path.as_path().into())),
        rules::Endpoint::Tcp { host, port, .. } => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let ip: IpAddr = bare.parse().ok()?;
            Some(Address::Tcp(SocketAddr::new(ip, *port)))
        }
    }
}

/// Resolves the names of a backend and publishes every address as an endpoint of its own.
///
/// A name that does not resolve keeps the addresses it had. Returns the first error in words.
pub async fn resolve(backend: &Backend) -> Result<(), String> {
    if backend
        .config
        .endpoints
        .iter()
        .all(|e| literal(e).is_some())
    {
        return Ok(());
    }
    let mut found = Vec::new();
    let mut failed = None;
    for endpoint in &backend.config.endpoints {
        if let Some(address) = literal(endpoint) {
            found.push(address);
            continue;
        }
        let rules::Endpoint::Tcp { host, port, .. } = endpoint else {
            continue;
        };
        match tokio::net::lookup_host((host.as_str(), *port)).await {
            Ok(addresses) => found.extend(addresses.map(Address::Tcp)),
            Err(error) => {
                failed.get_or_insert(format!("`{host}` does not resolve: {error}"));
            }
        }
    }
    found.sort();
    found.dedup();
    if failed.is_some() {
        for known in backend.addresses.load().iter() {
            if !found.contains(known) {
                found.push(known.clone());
            }
        }
    }
    if **backend.addresses.load() != found {
        backend.addresses.store(Arc::new(found));
    }
    failed.map_or(Ok(()), Err)
}
