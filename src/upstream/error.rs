//! Why a side gave no complete answer.

use std::io;
use thiserror::Error;

/// What went wrong, for those who branch on it and for the label `error_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The backend has no address: its name does not resolve.
    NoAddress,
    /// No connection could be made.
    Connect,
    /// No connection could be made in time.
    ConnectTimeout,
    /// The connection could not be made secret: no certificate that is trusted, or no TLS.
    Tls,
    /// A failure of our own: no descriptor, no port, no memory.
    Local,
    /// The application speaks HTTP/2 and takes no WebSocket.
    NoTunnel,
    /// No head came in time.
    ResponseTimeout,
    /// The connection ended before the answer was whole.
    Closed,
    /// What came is not HTTP.
    Malformed,
    /// The body stood still for too long.
    Idle,
    /// The client's own body failed or stood still.
    Client,
    /// The client's body is over the limit.
    TooLarge,
    /// As many requests as allowed are under way already.
    Busy,
    /// The backend is left alone for a while.
    CircuitOpen,
}

impl ErrorKind {
    /// Returns the token for labels and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Local => "local",
            Self::NoTunnel => "no_tunnel",
            Self::ResponseTimeout => "response_timeout",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::Idle => "idle",
            Self::Client => "client",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
            Self::CircuitOpen => "circuit_open",
        }
    }

    /// Returns whether the failure says something about the application.
    pub fn blames_backend(self) -> bool {
        !matches!(
            self,
            Self::NoAddress
                | Self::Local
                | Self::NoTunnel
                | Self::Client
                | Self::TooLarge
                | Self::Busy
                | Self::CircuitOpen
        )
    }
}

/// A failed call of a side.
#[derive(Debug, Error)]
#[error("{}", self.sentence())]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error without a cause.
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// Makes an error with its cause.
    pub fn with(
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// Sorts a failure to connect into ours and theirs.
    pub(crate) fn connecting(error: io::Error) -> Self {
        let ours = matches!(
            error.kind(),
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory
        ) || error.raw_os_error().is_some_and(|code| {
            code == rustix::io::Errno::MFILE.raw_os_error()
                || code == rustix::io::Errno::NFILE.raw_os_error()
                || code == rustix::io::Errno::NOBUFS.raw_os_error()
        });
        let kind = if ours {
            ErrorKind::Local
        } else {
            ErrorKind::Connect
        };
        Self::with(kind, error)
    }

    /// Sorts a failure that hyper reports on a connection that was made.
    pub(crate) fn speaking(error: hyper::Error) -> Self {
        if let Some(ours) = cause::<Self>(&error) {
            let kind = ours.kind;
            return Self::with(kind, error);
        }
        let kind = if error.is_parse() {
            ErrorKind::Malformed
        } else {
            ErrorKind::Closed
        };
        Self::with(kind, error)
    }

    /// Returns whether the application said that it has not looked at the request: it may be sent
    /// again, whatever it does (RFC 9113 section 8.7).
    pub(super) fn is_refusal(error: &hyper::Error) -> bool {
        cause::<h2::Error>(error).is_some_and(|h2| {
            let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            // A stream gets a remote GOAWAY as its error only if its number is beyond it.
            h2.is_remote() && (refused || h2.is_go_away())
        })
    }

    /// Returns whether the application said that it takes no further request on the connection.
    pub(super) fn is_farewell(error: &hyper::Error) -> bool {
        cause::<h2::Error>(error).is_some_and(h2::Error::is_go_away)
    }

    fn sentence(&self) -> &'static str {
        match self.kind {
            ErrorKind::NoAddress => "the backend has no address to connect to",
            ErrorKind::Connect => "no connection to the backend",
            ErrorKind::ConnectTimeout => "no connection to the backend in time",
            ErrorKind::Tls => "the connection to the backend could not be made secret",
            ErrorKind::Local => "no connection to the backend for want of our own resources",
            ErrorKind::NoTunnel => "the backend speaks HTTP/2 and takes no WebSocket",
            ErrorKind::ResponseTimeout => "no answer from the backend in time",
            ErrorKind::Closed => "the backend closed before its answer was whole",
            ErrorKind::Malformed => "the backend's answer is not HTTP",
            ErrorKind::Idle => "the body stood still for too long",
            ErrorKind::Client => "the client's body did not arrive",
            ErrorKind::TooLarge => "the client's body is over the limit",
            ErrorKind::Busy => "the backend has as many requests as it may",
            ErrorKind::CircuitOpen => "the backend is left alone for a while",
        }
    }
}

/// Returns the first error of a type among an error and its causes.
fn cause<'e, E: std::error::Error + 'static>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e E> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref())
}
