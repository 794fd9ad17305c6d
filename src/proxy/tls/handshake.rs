//! One handshake, within its time; what failed is counted by why.

use super::Tls;
use super::certificates::CHOSEN;
use super::certificates::covers;
use crate::proxy::scan::host;
use rustls::HandshakeKind;
use rustls::ProtocolVersion;
use rustls::sign::CertifiedKey;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client whose handshake is done.
pub(in crate::proxy) struct Handshaken<S> {
    pub(in crate::proxy) stream: TlsStream<S>,
    pub(in crate::proxy) version: &'static str,
    pub(in crate::proxy) http2: bool,
    /// Which hosts a connection of HTTP/2 is for, if the client named one.
    pub(in crate::proxy) named: Option<Named>,
}

impl Tls {
    /// Shakes hands with a client; nothing if that failed, which is counted here.
    pub(in crate::proxy) async fn accept<S>(&self, socket: S) -> Option<Handshaken<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.loaded.load().config));
        let shaking = CHOSEN.scope(RefCell::default(), async {
            let stream = acceptor.accept(socket).await?;
            Ok((stream, CHOSEN.with(RefCell::take)))
        });
        let why = match tokio::time::timeout(PATIENCE, shaking).await {
            Ok(Ok((stream, shown))) => return Some(self.accepted(stream, shown)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                reason(&error)
            }
            Err(_) => "timeout",
        };
        let name = "supplant_tls_handshake_failures_total";
        self.metrics.counter(name, &[why]).inc();
        None
    }

    fn accepted<S>(&self, stream: TlsStream<S>, shown: Option<Arc<CertifiedKey>>) -> Handshaken<S> {
        let session = stream.get_ref().1;
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "other",
        };
        let kind = match session.handshake_kind() {
            Some(HandshakeKind::Resumed) => "resumed",
            _ => "full",
        };
        let name = "supplant_tls_handshakes_total";
        self.metrics.counter(name, &[version, kind]).inc();
        let http2 = session.alpn_protocol() == Some(b"h2");
        let named = session.server_name().zip(shown).filter(|_| http2);
        Handshaken {
            version,
            http2,
            named: named.map(|(host, shown)| Named::new(host, shown)),
            stream,
        }
    }
}

/// Which hosts a connection is for: the one that the client named, and those of the certificate that
/// it was shown.
#[derive(Debug)]
pub(in crate::proxy) struct Named {
    host: String,
    certificate: Arc<CertifiedKey>,
    /// The last other host that the certificate covers, so that it is read once for many requests.
    covered: RefCell<Option<String>>,
}

impl Named {
    fn new(host: &str, certificate: Arc<CertifiedKey>) -> Self {
        Self {
            host: host.to_owned(),
            certificate,
            covered: RefCell::default(),
        }
    }

    /// Returns whether requests for a host, which may carry a port, belong here (RFC 9110 section
    /// 7.4).
    pub(in crate::proxy) fn is_for(&self, authority: &str) -> bool {
        let (name, _) = host::split(authority.as_bytes());
        let host = authority.get(..name.len()).unwrap_or(authority);
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        if host.eq_ignore_ascii_case(&self.host) {
            return true;
        }
        let known = self.covered.borrow();
        if known.as_ref().is_some_and(|k| k.eq_ignore_ascii_case(host)) {
            return true;
        }
        drop(known);
        let covered = covers(&self.certificate, host);
        if covered {
            *self.covered.borrow_mut() = Some(host.to_owned());
        }
        covered
    }
}

/// Returns why a handshake failed, for the label.
fn reason(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|e| e.downcast_ref());
    match inner {
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
            "client_certificate"
        }
        Some(rustls::Error::PeerIncompatible(_)) => "incompatible",
        Some(rustls::Error::NoApplicationProtocol) => "alpn",
        Some(rustls::Error::AlertReceived(_)) => "alert",
        Some(rustls::Error::InvalidMessage(_)) => "not_tls",
        Some(_) => "protocol",
        None => "closed",
    }
}
