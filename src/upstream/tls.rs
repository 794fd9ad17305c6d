//! TLS to applications: what is trusted, who this side is, and which protocol comes out of it.
//!
//! Trust is the operator's: a file of certificates where the rules name one, otherwise what the
//! system trusts (and not a list compiled in), since applications behind a proxy mostly carry
//! certificates of a company's own authority, which its hosts know already. Verification cannot be
//! switched off.

use super::error::Error;
use super::error::ErrorKind;
use crate::rules::BackendTls;
use crate::rules::CertificateFiles;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::SystemTime;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1: one request at a time.
    One,
    /// HTTP/2: many at once.
    Many,
}

/// What handshakes of a backend need.
#[derive(Debug)]
pub(super) struct Tls {
    /// Offers HTTP/2 and HTTP/1.1.
    both: Arc<ClientConfig>,
    /// Offers HTTP/1.1 alone, for what becomes a tunnel.
    one: Arc<ClientConfig>,
    sni: Option<String>,
}

/// When the files of a backend changed last, and how long they are.
pub(super) type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Tls {
    /// Reads the files of a backend; the error is a sentence.
    pub(super) fn load(rule: &BackendTls) -> Result<Self, String> {
        let roots = match &rule.ca {
            Some(path) => Arc::new(roots_of(path)?),
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let mut config = match &rule.client {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let (chain, key) = identity(files)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let (cert, key) = (files.cert.display(), files.key.display());
                    format!("`{cert}` and `{key}` are no client certificate: {error}")
                })?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let one = Arc::new(config.clone());
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self {
            both: Arc::new(config),
            one,
            sni: rule.sni.clone(),
        })
    }

    /// Makes a connection secret, and tells what is to be spoken on it.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        host: &str,
        one: bool,
    ) -> Result<(TlsStream<TcpStream>, Protocol), Error> {
        let name = self.sni.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| Error::with(ErrorKind::Tls, error))?;
        let config = if one { &self.one } else { &self.both };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name, stream).await.map_err(|error| {
            let kind = if one && is_about_protocol(&error) {
                ErrorKind::NoTunnel
            } else {
                ErrorKind::Tls
            };
            Error::with(kind, error)
        })?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Many,
            _ => Protocol::One,
        };
        Ok((stream, protocol))
    }
}

/// Returns whether the other side spoke none of the protocols that it was offered.
fn is_about_protocol(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|e| e.downcast_ref());
    let alert = rustls::AlertDescription::NoApplicationProtocol;
    cause == Some(&rustls::Error::AlertReceived(alert))
}

/// Looks at the files of a backend.
pub(super) fn stamp(rule: &BackendTls) -> Stamp {
    let client = rule
        .client
        .iter()
        .flat_map(|files| [&files.cert, &files.key]);
    let look = |path: &std::path::PathBuf| {
        let known = std::fs::metadata(path).ok()?;
        Some((known.modified().ok()?, known.len()))
    };
    rule.ca.iter().chain(client).map(look).collect()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |error| {
        format!(
            "cannot read certificates from `{}`: {error}",
            path.display()
        )
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(fail)?
        .collect::<Result<_, _>>()
        .map_err(fail)?;
    if found.is_empty() {
        return Err(format!("`{}` holds no certificate", path.display()));
    }
    Ok(found)
}

fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| {
            format!("`{}` holds what cannot be trusted: {error}", path.display())
        })?;
    }
    Ok(roots)
}

/// Reads what the system trusts, once in the life of the process.
fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system's list may hold a few that are too old to be read.
    let (_added, _ignored) = roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let why = loaded.errors.first().map(ToString::to_string);
        let why = why.unwrap_or_else(|| "its list is empty".to_owned());
        return Err(format!(
            "the system trusts no certificate, name a file with `tls.ca`: {why}"
        ));
    }
    Ok(Arc::clone(ROOTS.get_or_init(|| Arc::new(roots))))
}

fn identity(
    files: &CertificateFiles,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("cannot read a key from `{}`: {error}", files.key.display()))?;
    Ok((chain, key))
}
