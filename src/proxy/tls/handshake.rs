//! One handshake, within its time; what failed is counted by why.

use super::Tls;
use super::certificates::Loaded;
use super::certificates::covers;
use rustls::HandshakeKind;
use rustls::ProtocolVersion;
use rustls::ServerConnection;
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
    pub(in crate::proxy) http2: bool,
    pub(in crate::proxy) version: &'static str,
    pub(in crate::proxy) named: Option<Named>,
}

impl Tls {
    /// Shakes hands with a client; nothing if that failed, which is counted here.
    pub(in crate::proxy) async fn accept<S>(&self, socket: S) -> Option<Handshaken<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let loaded = self.loaded.load_full();
        let acceptor = TlsAcceptor::from(Arc::clone(&loaded.config));
        let shaking = tokio::time::timeout(PATIENCE, acceptor.accept(socket));
        let why = match shaking.await {
            Ok(Ok(stream)) => return Some(self.accepted(stream, &loaded)),
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

    fn accepted<S>(&self, stream: TlsStream<S>, loaded: &Loaded) -> Handshaken<S> {
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
        Handshaken {
            version,
            http2: session.alpn_protocol() == Some(b"h2"),
            named: Named::new(session, loaded),
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
    fn new(session: &ServerConnection, loaded: &Loaded) -> Option<Self> {
        let host = session.server_name()?;
        Some(Self {
            host: host.to_owned(),
            certificate: Arc::clone(loaded.choice.choose(Some(host), &[])?),
            covered: RefCell::default(),
        })
    }

    /// Returns whether requests for a host, which may carry a port, belong here (RFC 9110 section
    /// 7.4).
    pub(in crate::proxy) fn is_for(&self, authority: &str) -> bool {
        let host = without_port(authority).trim_end_matches('.');
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

fn without_port(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    authority.split(':').next().unwrap_or(authority)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_part_of_a_host() {
        for (authority, host) in [
            ("a.example", "a.example"),
            ("a.example:8443", "a.example"),
            ("[::1]:8443", "::1"),
            ("192.0.2.1:1", "192.0.2.1"),
        ] {
            assert_eq!(without_port(authority), host);
        }
    }
}
