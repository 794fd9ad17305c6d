//! The service manager: sockets that it opened for this process, and what it is told.
//!
//! Everywhere else this does nothing: without `LISTEN_FDS` there are no sockets, and without
//! `NOTIFY_SOCKET` nobody listens.

use sd_notify::NotifyState;
use std::io;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::time::Duration;

/// A socket that somebody else opened for this process.
#[derive(Debug)]
struct Passed {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

/// The sockets that were passed and that nobody has taken yet.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Passed>);

impl Sockets {
    /// Takes what the service manager passed (`LISTEN_FDS`, `LISTEN_PID`), each with its name in
    /// `names` (`LISTEN_FDNAMES`, separated by colons). Called once, before there are threads.
    pub fn from_environment(names: Option<&str>) -> io::Result<Self> {
        let mut passed = listenfd::ListenFd::from_env();
        let mut names = names.unwrap_or_default().split(':');
        let mut found = Vec::with_capacity(passed.len());
        for index in 0..passed.len() {
            let name = names.next().unwrap_or_default().to_owned();
            if let Some(listener) = passed.take_tcp_listener(index)? {
                found.push(Passed {
                    name,
                    address: listener.local_addr()?,
                    listener,
                });
            }
        }
        Ok(Self(found))
    }

    /// Takes the socket that listens where somebody wants to listen, if one was passed: the one of
    /// that very address, or else one that takes its clients too.
    pub fn take(&mut self, wanted: SocketAddr) -> Option<TcpListener> {
        let find = |fits: fn(SocketAddr, SocketAddr) -> bool| {
            self.0.iter().position(|p| fits(p.address, wanted))
        };
        let at = find(|passed, wanted| passed == wanted).or_else(|| find(stands_in))?;
        let passed = self.0.remove(at);
        tracing::info!(address = %passed.address, name = passed.name, "listens on a socket passed");
        Some(passed.listener)
    }

    /// Returns what nobody has taken, in words.
    pub fn left(&self) -> Vec<String> {
        let text = |p: &Passed| format!("{} (`{}`)", p.address, p.name);
        self.0.iter().map(text).collect()
    }
}

/// `ListenStream=8080` opens `[::]:8080`, which takes IPv4 as well; `0.0.0.0:8080` takes no IPv6.
fn stands_in(passed: SocketAddr, wanted: SocketAddr) -> bool {
    passed.port() == wanted.port()
        && passed.ip() == Ipv6Addr::UNSPECIFIED
        && wanted.ip() == Ipv4Addr::UNSPECIFIED
}

/// The process serves; `status` is shown by `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The process reads its rules again; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the monotonic clock cannot be read"),
    }
}

/// The process ends.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Tells the watchdog, as often as it wants, that the runtime of whoever awaits this still turns.
/// Ends at once where no watchdog is asked for.
pub async fn feed_watchdog() {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut beat = tokio::time::interval((patience / 2).max(Duration::from_millis(1)));
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(addresses: &[&str]) -> Sockets {
        let one = |text: &&str| Passed {
            name: "data".to_owned(),
            address: text.parse().unwrap(),
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        };
        Sockets(addresses.iter().map(one).collect())
    }

    #[test]
    fn a_passed_socket_replaces_the_bind_of_an_address_whose_clients_it_takes() {
        for (address, wanted, good) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("[::]:80", "[::]:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "[::]:80", false),
            ("[::]:80", "127.0.0.1:80", false),
            ("[::]:80", "0.0.0.0:81", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
        ] {
            let taken = passed(&[address]).take(wanted.parse().unwrap());
            assert_eq!(taken.is_some(), good, "{address} for {wanted}");
        }
    }

    #[test]
    fn the_very_address_wins_over_one_that_stands_in() {
        for addresses in [["[::]:80", "0.0.0.0:80"], ["0.0.0.0:80", "[::]:80"]] {
            for (wanted, left) in [("0.0.0.0:80", "[::]:80"), ("[::]:80", "0.0.0.0:80")] {
                let mut sockets = passed(&addresses);
                assert!(sockets.take(wanted.parse().unwrap()).is_some());
                assert_eq!(sockets.left(), [format!("{left} (`data`)")], "{wanted}");
            }
        }
    }

    #[test]
    fn each_socket_is_taken_once_and_the_rest_is_named() {
        let mut sockets = passed(&["127.0.0.1:80"]);
        let address = "127.0.0.1:80".parse().unwrap();
        assert_eq!(sockets.left(), ["127.0.0.1:80 (`data`)"]);
        assert!(sockets.take(address).is_some());
        assert!(sockets.take(address).is_none());
        assert!(sockets.left().is_empty());
    }
}
