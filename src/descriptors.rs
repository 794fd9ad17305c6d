//! Descriptors: how many the process may open, and for whom the last of them are.
//!
//! The kernel always gives the lowest number that is free. So a socket whose number is at or above a
//! ceiling tells that nearly all below it are taken, and is given back at once: what lies above the
//! ceiling stays free for the admin side, the store and the logs, without counting anything.

use rustix::process::Resource;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

/// For the admin side's connections (256), the store, the logs and the files of a reload.
const RESERVED: u64 = 320;
/// For listeners, runtimes and standard streams, which are there before the first client.
const FIXED: u64 = 64;

/// The limit belongs to the process, and so does this.
static CEILING: AtomicI32 = AtomicI32::new(i32::MAX);

/// What the limit of the process allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The limit in force; none where there is none.
    pub limit: Option<u64>,
    /// How many clients may be connected: each may need a connection to an application too.
    pub clients: usize,
    /// Sockets of the data plane stay below this number.
    pub ceiling: i32,
}

impl Allowance {
    /// Works out what a limit allows.
    pub fn of(limit: Option<u64>) -> Self {
        let Some(some) = limit else {
            return Self {
                limit,
                clients: usize::MAX,
                ceiling: i32::MAX,
            };
        };
        let ceiling = some - RESERVED.min(some / 3);
        let clients = ceiling.saturating_sub(FIXED.min(ceiling / 2)) / 2;
        Self {
            limit,
            clients: usize::try_from(clients).unwrap_or(usize::MAX).max(1),
            ceiling: i32::try_from(ceiling).unwrap_or(i32::MAX),
        }
    }
}

/// Raises the limit of open descriptors as far as the process may, and keeps the last ones for the
/// admin side from then on.
pub fn raise() -> Allowance {
    let before = getrlimit(Resource::Nofile);
    let mut wanted = before;
    wanted.current = wanted.maximum;
    let limit = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => wanted.current,
        Err(error) => {
            tracing::warn!(%error, "the limit of open descriptors could not be raised");
            before.current
        }
    };
    let allowance = Allowance::of(limit);
    CEILING.store(allowance.ceiling, Relaxed);
    allowance
}

/// Fails for a socket of the data plane that got one of the last descriptors, as opening it would
/// have failed without any left.
pub fn check(socket: &impl AsRawFd) -> io::Result<()> {
    if socket.as_raw_fd() < CEILING.load(Relaxed) {
        return Ok(());
    }
    Err(rustix::io::Errno::MFILE.into())
}

/// Returns whether an error says that no descriptor, or no memory for a socket, is left.
pub fn is_lack(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|e| {
        matches!(
            e,
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_descriptors_are_not_for_clients() {
        let of = |limit| {
            let allowance = Allowance::of(Some(limit));
            (allowance.clients, allowance.ceiling)
        };
        assert_eq!(of(20_000), (9_808, 19_680));
        assert_eq!(of(1_024), (320, 704));
        assert_eq!(of(512), (139, 342));
        assert_eq!(of(0), (1, 0));
        assert_eq!(Allowance::of(None).clients, usize::MAX);
    }

    #[test]
    fn a_lack_is_told_from_other_errors() {
        assert!(is_lack(&rustix::io::Errno::MFILE.into()));
        assert!(!is_lack(&io::ErrorKind::ConnectionAborted.into()));
    }
}
