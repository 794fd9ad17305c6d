//! TLS to applications.

use super::*;
use rcgen::CertificateParams;
use rcgen::Issuer;
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use std::path::PathBuf;
use supplant::rules::BackendTls;
use supplant::rules::CertificateFiles;
use tokio_rustls::TlsAcceptor;

/// An authority, and what it signed.
struct Authority {
    folder: tempfile::TempDir,
    pem: PathBuf,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let pem = folder.path().join("ca.pem");
        std::fs::write(&pem, certificate.pem()).unwrap();
        Self {
            pem,
            folder,
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn files(&self, name: &str) -> CertificateFiles {
        let (certificate, key) = self.sign(name);
        let file = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        std::fs::write(file("pem"), certificate.pem()).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        CertificateFiles {
            cert: file("pem"),
            key: file("key"),
        }
    }

    fn server(&self, name: &str, alpn: &[&[u8]], clients: bool) -> TlsAcceptor {
        let (certificate, key) = self.sign(name);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if clients {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.der.clone()).unwrap();
            let roots = Arc::new(roots);
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![certificate.der().clone()];
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Serves until the test ends, on the test's own runtime.
async fn serve(acceptor: TlsAcceptor) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let many = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let io = hyper_util::rt::TokioIo::new(stream);
                let service = hyper::service::service_fn(|request: Request<_>| async move {
                    let told = format!("{:?} {}", request.version(), request.uri());
                    drop::<hyper::body::Incoming>(request.into_body());
                    Ok::<_, std::convert::Infallible>(http::Response::new(
                        http_body_util::Full::new(Bytes::from(told)),
                    ))
                });
                let _ended = if many {
                    let executor = hyper_util::rt::TokioExecutor::new();
                    let server = hyper::server::conn::http2::Builder::new(executor);
                    server.serve_connection(io, service).await
                } else {
                    let server = hyper::server::conn::http1::Builder::new();
                    server.serve_connection(io, service).await
                };
            });
        }
    });
    address
}

fn secret(address: SocketAddr, tls: BackendTls) -> Arc<Backend> {
    let endpoint = endpoint(Scheme::Https, address);
    backend(vec![endpoint], |config| config.tls = tls)
}

fn trusting(authority: &Authority) -> BackendTls {
    BackendTls {
        ca: Some(authority.pem.clone()),
        ..BackendTls::default()
    }
}

#[test]
fn the_application_chooses_between_http2_and_http1() {
    let authority = Authority::new();
    for (alpn, version, requests) in [
        (&[&b"h2"[..], b"http/1.1"][..], "HTTP/2.0", 3),
        (&[b"http/1.1"], "HTTP/1.1", 3),
        (&[], "HTTP/1.1", 3),
    ] {
        on_thread(async {
            let address = serve(authority.server("127.0.0.1", alpn, false)).await;
            let (pool, backend) = (Pool::new(8), secret(address, trusting(&authority)));
            for number in 0..requests {
                let read = Ask::get("/a%20b").answer(&pool, &backend).await.unwrap();
                let told = String::from_utf8(read.body).unwrap();
                assert!(
                    told.starts_with(version) && told.ends_with("/a%20b"),
                    "{told}"
                );
                assert_eq!(read.connected, number == 0, "one handshake is enough");
            }
        });
    }
}

#[test]
fn what_is_not_trusted_is_not_spoken_to() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    on_thread(async {
        let pool = Pool::new(8);
        let address = serve(authority.server("127.0.0.1", &[], false)).await;
        for (what, tls) in [
            ("another authority", trusting(&stranger)),
            ("the system's", BackendTls::default()),
            (
                "another name",
                BackendTls {
                    sni: Some("elsewhere.example".into()),
                    ..trusting(&authority)
                },
            ),
            (
                "no such file",
                BackendTls {
                    ca: Some("/nowhere/ca.pem".into()),
                    ..BackendTls::default()
                },
            ),
        ] {
            let backend = secret(address, tls);
            let answer = Ask::get("/").answer(&pool, &backend).await;
            assert_eq!(answer.unwrap_err(), ErrorKind::Tls, "{what}");
        }
    });
}

#[test]
fn the_name_to_verify_can_be_another_than_the_host() {
    let authority = Authority::new();
    on_thread(async {
        let address = serve(authority.server("app.internal", &[], false)).await;
        let tls = BackendTls {
            sni: Some("app.internal".into()),
            ..trusting(&authority)
        };
        let (pool, backend) = (Pool::new(8), secret(address, tls));
        assert_eq!(
            Ask::get("/").answer(&pool, &backend).await.unwrap().status,
            200
        );
    });
}

#[test]
fn a_client_certificate_is_shown_where_it_is_asked_for_and_read_again_when_it_changes() {
    let authority = Authority::new();
    on_thread(async {
        let address = serve(authority.server("127.0.0.1", &[b"h2"], true)).await;
        let pool = Pool::new(8);
        let backend = secret(address, trusting(&authority));
        assert!(Ask::get("/").answer(&pool, &backend).await.is_err());
        let files = authority.files("proxy.internal");
        let tls = BackendTls {
            client: Some(files.clone()),
            ..trusting(&authority)
        };
        let (right, broken) = (std::fs::read(&files.key).unwrap(), "no key");
        std::fs::write(&files.key, broken).unwrap();
        let backend = secret(address, tls);
        let answer = Ask::get("/").answer(&pool, &backend).await;
        assert_eq!(answer.unwrap_err(), ErrorKind::Tls);
        std::fs::write(&files.key, right).unwrap();
        upstream::resolve(&backend).await.unwrap();
        assert_eq!(
            Ask::get("/").answer(&pool, &backend).await.unwrap().status,
            200
        );
        std::fs::write(&files.key, broken).unwrap();
        assert!(upstream::resolve(&backend).await.is_err());
        let fresh = Pool::new(8);
        let answer = Ask::get("/").answer(&fresh, &backend).await;
        assert_eq!(answer.unwrap().status, 200, "what was read before stays");
    });
}

#[test]
fn an_application_without_tls_is_no_application_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _sent = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let authority = Authority::new();
    on_thread(async {
        let (pool, backend) = (Pool::new(8), secret(address, trusting(&authority)));
        let answer = Ask::get("/").answer(&pool, &backend).await;
        assert_eq!(answer.unwrap_err(), ErrorKind::Tls);
    });
}

#[test]
fn a_handshake_that_never_ends_is_cut_after_the_time_for_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            kept.push(stream);
        }
    });
    let authority = Authority::new();
    on_thread(async {
        let endpoint = endpoint(Scheme::Https, address);
        let backend = backend(vec![endpoint], |config| {
            config.tls = trusting(&authority);
            config.timeouts.connect = Duration::from_millis(200);
        });
        let pool = Rc::new(Pool::new(8));
        let start = Instant::now();
        let mut asked = Vec::new();
        for _ in 0..20 {
            let (pool, backend) = (Rc::clone(&pool), Arc::clone(&backend));
            asked.push(tokio::task::spawn_local(async move {
                Ask::get("/").answer(&pool, &backend).await.unwrap_err()
            }));
        }
        for asked in asked {
            assert_eq!(asked.await.unwrap(), ErrorKind::ConnectTimeout);
        }
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
    });
}
