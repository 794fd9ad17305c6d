//! Certificates of the tests' own authority, and a client that speaks TLS.

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::KeyPair;
use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::RootCertStore;
use rustls::StreamOwned;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Who signs.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        self.issue_for(&KeyPair::generate().unwrap(), names)
    }

    /// Issues a certificate whose key a client may be unable to verify.
    pub(crate) fn issue_for(&self, key: &KeyPair, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let cert = params.signed_by(key, &self.0).unwrap();
        Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a client of this authority is set up with.
    pub(crate) fn client(&self, alpn: &[&str], shows: Option<&Pair>) -> ClientConfig {
        self.client_of(
            &[&rustls::version::TLS13, &rustls::version::TLS12],
            alpn,
            shows,
        )
    }

    pub(crate) fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&str],
        shows: Option<&Pair>,
    ) -> ClientConfig {
        self.client_with(
            rustls::crypto::ring::default_provider(),
            versions,
            alpn,
            shows,
        )
    }

    /// A client that cannot verify a signature by Ed25519.
    pub(crate) fn client_without_ed25519(&self, alpn: &[&str]) -> ClientConfig {
        let mut provider = rustls::crypto::ring::default_provider();
        let known = &mut provider.signature_verification_algorithms;
        let kept = known.mapping.iter().copied();
        let kept: Vec<_> = kept
            .filter(|(scheme, _)| *scheme != rustls::SignatureScheme::ED25519)
            .collect();
        known.mapping = kept.leak();
        self.client_with(provider, &[&rustls::version::TLS13], alpn, None)
    }

    fn client_with(
        &self,
        provider: CryptoProvider,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&str],
        shows: Option<&Pair>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }
}

impl Pair {
    /// Writes the files `NAME.crt` and `NAME.key` and returns what the rules say of them.
    pub(crate) fn save(&self, folder: &Path, name: &str) -> String {
        let (cert, key) = (format!("{name}.crt"), format!("{name}.key"));
        std::fs::write(folder.join(&cert), &self.cert).unwrap();
        std::fs::write(folder.join(&key), &self.key).unwrap();
        format!("{{ cert: {cert}, key: {key} }}")
    }
}

/// Connects and shakes hands.
pub(crate) fn connect(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<Secure> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::clone(config), name).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(session, socket))
}
