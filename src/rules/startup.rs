//! What is read at start and fixed for the life of the process. Pure.

use crate::rules::backend::CertificateFiles;
use crate::rules::problem::At;
use crate::rules::problem::Problem;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use crate::rules::snapshot::Snapshot;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What is read at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// Where clients are served; at least one.
    pub listen: Vec<Listen>,
    /// The listener of dashboard, API and metrics.
    pub admin: AdminConf,
    /// What outlives the process.
    pub store: StoreUrl,
    /// Data-plane threads; none for one per core.
    pub threads: Option<usize>,
    /// How the process ends.
    pub drain: Drain,
    /// What a listener takes at most.
    pub limits: Limits,
}

/// A listener of the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// From the first byte of a head to its end.
    pub header: Duration,
    /// Silence inside a request body.
    pub body: Duration,
    /// Silence between requests.
    pub idle: Duration,
    /// How clients are spoken to; plain without.
    pub tls: Option<ListenTls>,
    /// Every connection begins with a PROXY header, version 1 or 2.
    pub proxy_protocol: bool,
    /// A client that ends its sending side after a request still wants the answer.
    pub half_close: bool,
}

/// The server side of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenTls {
    /// Certificates, chosen by SNI; the first is for everybody else.
    pub certificates: Vec<CertificateFiles>,
    /// Clients must show a certificate that one of these signed.
    pub client_ca: Option<PathBuf>,
    /// TLS 1.2 is refused.
    pub only_tls13: bool,
}

impl Listen {
    /// Listens at an address with the default timeouts.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_mins(1),
            tls: None,
            proxy_protocol: false,
            half_close: false,
        }
    }
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConf {
    /// The address.
    pub address: SocketAddr,
    /// Names taken as Host besides the loopback ones, in lower case.
    pub hosts: Vec<String>,
    /// Who may look, and who may act.
    pub tokens: Vec<TokenConf>,
}

/// Somebody with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenConf {
    /// The name that the history shows.
    pub name: String,
    /// What it may do.
    pub role: TokenRole,
    /// The file that holds the token.
    pub file: PathBuf,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenRole {
    /// May look, at shapes only.
    Viewer,
    /// May see values and act on slices.
    Operator,
}

impl TokenRole {
    /// Returns the word used in the file and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// Where the store is: `sqlite:PATH`, the path already resolved against the folder of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUrl(pub String);

impl StoreUrl {
    /// Returns the path of an embedded store.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        self.0.strip_prefix("sqlite:").map(PathBuf::from)
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long to go on accepting.
    pub delay: Duration,
    /// How long requests in flight may take.
    pub timeout: Duration,
}

/// What a listener takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of clients.
    pub connections: usize,
    /// The largest request body in bytes.
    pub request_body: Option<u64>,
    /// New connections a second, over all listeners; none for no limit.
    pub accept_rate: Option<u32>,
    /// Bytes of a request line (414 above).
    pub request_line: usize,
    /// Bytes of a head (431 above).
    pub head: usize,
    /// Fields of a head (431 above).
    pub fields: usize,
    /// Streams of an HTTP/2 connection at a time.
    pub streams: u32,
    /// Requests under way, over all connections (503 with `Retry-After` above); none for no limit.
    pub inflight: Option<usize>,
    /// Requests on one connection, which then ends; none for no limit.
    pub requests: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            request_body: None,
            accept_rate: None,
            request_line: 8 << 10,
            head: 64 << 10,
            fields: 100,
            streams: 128,
            inflight: None,
            requests: None,
        }
    }
}

impl Default for Startup {
    fn default() -> Self {
        Self {
            listen: vec![Listen::at(SocketAddr::from(([127, 0, 0, 1], 8080)))],
            admin: AdminConf {
                address: SocketAddr::from(([127, 0, 0, 1], 9900)),
                hosts: Vec::new(),
                tokens: Vec::new(),
            },
            store: StoreUrl("sqlite:supplant.db".to_owned()),
            threads: None,
            drain: Drain {
                delay: Duration::ZERO,
                timeout: Duration::from_secs(30),
            },
            limits: Limits::default(),
        }
    }
}

/// Where these stand in the file; the first place of the file where they do not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StartupLines {
    pub(super) listen: At,
    pub(super) admin: At,
    pub(super) store: At,
    pub(super) threads: At,
    pub(super) drain: At,
    pub(super) limits: At,
}

impl Snapshot {
    /// Returns a warning with its place for each key that is read at start and is no longer what
    /// runs.
    pub fn changed_startup(&self, running: &Startup) -> Vec<Problem> {
        let (new, lines) = (self.startup(), self.startup_lines());
        let mut problems = Problems::new(self.text());
        for (name, at, changed) in [
            ("listen", lines.listen, new.listen != running.listen),
            ("admin", lines.admin, new.admin != running.admin),
            ("store", lines.store, new.store != running.store),
            ("threads", lines.threads, new.threads != running.threads),
            ("drain", lines.drain, new.drain != running.drain),
            ("limits", lines.limits, new.limits != running.limits),
        ] {
            if changed {
                let message = format!("`{name}` is read at start; what runs is another");
                problems.warn(code::RESTART, at, message, "restart to take it");
            }
        }
        problems.finish()
    }
}
