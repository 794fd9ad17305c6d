//! The service manager: sockets that it opened for this process, and what it is told.
//!
//! Everywhere else this does nothing: without `LISTEN_FDS` there are no sockets, and without
//! `NOTIFY_SOCKET` nobody listens.

use sd_notify::NotifyState;
use std::io;
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

    /// Takes the socket that listens where somebody wants to listen, if one was passed.
    pub fn take(&mut self, wanted: SocketAddr) -> Option<TcpListener> {
        let at = self.0.iter().position(|p| serves(p.address, wanted))?;
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

/// `ListenStream=8080` opens `[::]:8080`, which takes IPv4 as well.
fn serves(passed: SocketAddr, wanted: SocketAddr) -> bool {
    passed == wanted
        || (passed.port() == wanted.port()
            && passed.ip().is_unspecified()
            && wanted.ip().is_unspecified())
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

    #[test]
    fn a_passed_socket_replaces_the_bind_of_the_same_address_only() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (passed, wanted, good) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("[::]:80", "127.0.0.1:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
        ] {
            assert_eq!(serves(address(passed), address(wanted)), good, "{passed}");
        }
    }

    #[test]
    fn each_socket_is_taken_once_and_the_rest_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let name = "data".to_owned();
        let mut sockets = Sockets(vec![Passed {
            name,
            address,
            listener,
        }]);
        assert_eq!(sockets.left(), [format!("{address} (`data`)")]);
        assert!(sockets.take(address).is_some());
        assert!(sockets.take(address).is_none());
        assert!(sockets.left().is_empty());
    }
}
