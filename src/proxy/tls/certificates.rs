//! What the files of a listener hold, and what a handshake chooses from it.

use crate::rules;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::server::ClientHello;
use rustls::server::ParsedCertificate;
use rustls::server::ProducesTickets;
use rustls::server::ResolvesServerCert;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use sha2::Digest;
use sha2::Sha256;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

/// The bytes of a listener's files, in the order of its rules; for each, or why it cannot be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents(Vec<Result<Vec<u8>, String>>);

impl Contents {
    pub(super) fn read(conf: &rules::ListenTls) -> Self {
        let read = |path: &Path| std::fs::read(path).map_err(|error| error.to_string());
        let pairs = conf.certificates.iter();
        let mut all: Vec<_> = pairs.flat_map(|f| [read(&f.cert), read(&f.key)]).collect();
        all.extend(conf.client_ca.as_deref().map(read));
        Self(all)
    }

    /// Returns what tells these contents from others, without the keys that they hold.
    pub(super) fn without_secrets(&self) -> Self {
        let all = self.0.iter();
        Self(
            all.map(|file| file.as_ref().map(|b| Sha256::digest(b).to_vec()))
                .map(|file| file.map_err(Clone::clone))
                .collect(),
        )
    }

    fn file(&self, at: usize, path: &Path) -> Result<&[u8], String> {
        match self.0.get(at) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(why)) => Err(format!("cannot read `{}`: {why}", path.display())),
            None => Err(format!("`{}` was not read", path.display())),
        }
    }
}

/// Certificates in force.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// Who signs the certificates of clients, in PEM.
    client_ca: Option<Vec<u8>>,
}

impl Loaded {
    /// Makes them of what the files hold. The tickets of `before` go on, unless those were given to
    /// clients that another authority signed for.
    pub(super) fn new(
        conf: &rules::ListenTls,
        contents: &Contents,
        before: Option<&Self>,
    ) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let mut all = Vec::with_capacity(conf.certificates.len());
        for (i, files) in conf.certificates.iter().enumerate() {
            let cert = contents.file(2 * i, &files.cert)?;
            let key = contents.file(2 * i + 1, &files.key)?;
            all.push(Arc::new(certified(files, cert, key, &provider)?));
        }
        if all.is_empty() {
            return Err("a listener with TLS needs a certificate".to_owned());
        }
        let client_ca = match &conf.client_ca {
            Some(path) => Some(contents.file(2 * conf.certificates.len(), path)?.to_vec()),
            None => None,
        };
        let verifier = match (&conf.client_ca, &client_ca) {
            (Some(path), Some(pem)) => Some(verifier(path, pem, &provider)?),
            _ => None,
        };
        let kept = before.filter(|before| before.client_ca == client_ca);
        let tickets = match kept {
            Some(before) => Arc::clone(&before.config.ticketer),
            None => ring::Ticketer::new().map_err(|error| format!("no tickets: {error}"))?,
        };
        let config = config(conf, provider, verifier, Choice(all), tickets)?;
        Ok(Self {
            config: Arc::new(config),
            client_ca,
        })
    }
}

fn config(
    conf: &rules::ListenTls,
    provider: Arc<CryptoProvider>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    choice: Choice,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, String> {
    let versions: &[_] = if conf.only_tls13 {
        &[&rustls::version::TLS13]
    } else {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    };
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| format!("no version of TLS is left: {error}"))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(choice));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = tickets;
    Ok(config)
}

fn certified(
    files: &rules::CertificateFiles,
    cert: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let chain = chain(&files.cert, cert)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("no private key in `{}`: {error}", files.key.display()))?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        let (cert, key) = (files.cert.display(), files.key.display());
        format!("`{cert}` and `{key}` cannot be used together: {error}")
    })?;
    let parsed = certified.end_entity_cert().and_then(|leaf| {
        ParsedCertificate::try_from(leaf)?;
        Ok(())
    });
    parsed.map_err(|error| format!("`{}` is no certificate: {error}", files.cert.display()))?;
    Ok(certified)
}

fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(format!("no certificate in `{}`", path.display())),
        Err(error) => Err(format!("no certificate in `{}`: {error}", path.display())),
    }
}

fn verifier(
    path: &Path,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for authority in chain(path, pem)? {
        let added = roots.add(authority);
        added.map_err(|error| format!("`{}` holds no authority: {error}", path.display()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| format!("`{}` cannot be used: {error}", path.display()))
}

/// The certificates of a listener; the first is for everybody whom none of them names.
#[derive(Debug)]
struct Choice(Vec<Arc<CertifiedKey>>);

impl Choice {
    /// Returns the certificate for a name: one that covers it and that the client can verify, or
    /// else covers it, or else the first.
    fn choose(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<&Arc<CertifiedKey>> {
        let covering = || {
            let all = self.0.iter();
            all.filter(|one| name.is_some_and(|name| covers(one, name)))
        };
        covering()
            .find(|one| one.key.choose_scheme(schemes).is_some())
            .or_else(|| covering().next())
            .or_else(|| self.0.first())
    }
}

tokio::task_local! {
    /// What the handshake that is under way has chosen, for who shakes hands: a session does not tell.
    pub(super) static CHOSEN: RefCell<Option<Arc<CertifiedKey>>>;
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = self.choose(hello.server_name(), hello.signature_schemes())?;
        // An error means that nobody wants to know.
        let _told = CHOSEN.try_with(|told| *told.borrow_mut() = Some(Arc::clone(chosen)));
        Some(Arc::clone(chosen))
    }
}

/// Returns whether a certificate is one of a host.
pub(super) fn covers(certified: &CertifiedKey, host: &str) -> bool {
    let Ok(name) = ServerName::try_from(host) else {
        return false;
    };
    let leaf = certified.end_entity_cert();
    leaf.is_ok_and(|leaf| {
        let parsed = ParsedCertificate::try_from(leaf);
        parsed.is_ok_and(|cert| rustls::client::verify_server_name(&cert, &name).is_ok())
    })
}
