//! What the rules say of an application. Pure.

use http::HeaderName;
use http::HeaderValue;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One of the applications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its name; `legacy` for the one that is being replaced.
    pub name: Arc<str>,
    /// Where it runs; at least one.
    pub endpoints: Vec<Endpoint>,
    /// How long it may be silent.
    pub timeouts: Timeouts,
    /// The response field that names its version.
    pub version_header: Option<HeaderName>,
    /// How `https` endpoints are verified.
    pub tls: BackendTls,
    /// How its endpoints are asked whether they are well; none for only by what requests meet.
    pub health: Option<Health>,
    /// When an endpoint that fails is left alone.
    pub ejection: Ejection,
    /// Requests under way to it at most; above, clients get 503 with `Retry-After`.
    pub max_inflight: Option<u32>,
    /// Which requests may be sent again, on another connection or endpoint.
    pub retry: Retry,
    /// When it is left alone as a whole.
    pub circuit: Option<Circuit>,
    /// The `Host` that it gets instead of the client's.
    pub host: Option<HeaderValue>,
}

impl Backend {
    /// Makes a backend with nothing but its endpoints and the defaults.
    pub fn new(name: &str, endpoints: Vec<Endpoint>) -> Self {
        Self {
            name: name.into(),
            endpoints,
            timeouts: Timeouts::default(),
            version_header: None,
            tls: BackendTls::default(),
            health: None,
            ejection: Ejection::default(),
            max_inflight: None,
            retry: Retry::default(),
            circuit: None,
            host: None,
        }
    }
}

/// How `https` endpoints are verified, and how this side shows who it is. Verification cannot be
/// switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BackendTls {
    /// A file of certificates that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// The name to ask for and to verify, instead of the endpoint's host.
    pub sni: Option<String>,
    /// The client certificate's chain and key.
    pub client: Option<CertificateFiles>,
}

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The chain, the leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How endpoints are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The target of the GET.
    pub path: String,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// So many good answers in a row make an endpoint well.
    pub healthy: u32,
    /// So many bad ones in a row make it ill.
    pub unhealthy: u32,
}

/// When an endpoint that fails is left alone (passive health).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// So many failures in a row: no connection, no answer, or 502, 503, 504; 0 for never.
    pub failures: u32,
    /// For so long; twice as long each further time, at most ten times.
    pub pause: Duration,
    /// From then on an endpoint gets slowly more, up to its share after this time.
    pub slow_start: Duration,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(10),
            slow_start: Duration::from_secs(10),
        }
    }
}

/// Which requests may be sent again after a failure before the head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Safe methods without a body; with `Idempotency-Key` others too where this is set.
    pub idempotent: bool,
    /// Retries are at most this share of requests, in hundredths of a percent.
    pub budget: crate::model::Share,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            idempotent: false,
            budget: crate::model::Share::new(2_000).unwrap_or(crate::model::Share::NONE),
        }
    }
}

/// When a backend is left alone as a whole: requests get 503 (or the fallback) at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circuit {
    /// The share of failures that opens it.
    pub failures: crate::model::Share,
    /// Of at least so many requests in ten seconds.
    pub volume: u32,
    /// For so long; then one request at a time tries.
    pub open: Duration,
}

/// Where an application listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host name or address, and a port.
    Tcp {
        /// What is spoken there.
        scheme: Scheme,
        /// The name or address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket file.
    Unix(PathBuf),
}

/// What an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// TLS; HTTP/2 or HTTP/1.1 by ALPN.
    Https,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
}

impl Scheme {
    /// Returns the word before `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { scheme, host, port } if host.contains(':') => {
                write!(f, "{}://[{host}]:{port}", scheme.as_str())
            }
            Self::Tcp { scheme, host, port } => write!(f, "{}://{host}:{port}", scheme.as_str()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How long an application may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// From the last byte of the request to the head of the answer.
    pub response: Duration,
    /// Silence inside a body or a tunnel.
    pub idle: Duration,
    /// How long an unused connection is kept.
    pub keepalive: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response: Duration::from_mins(1),
            idle: Duration::from_mins(5),
            keepalive: Duration::from_secs(4),
        }
    }
}
