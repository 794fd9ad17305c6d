//! Applications that speak HTTP/2, behind the whole product: how answers end, WebSockets, and streams
//! both ways with their trailers.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::eventually;
use crate::support::frames::DATA;
use crate::support::frames::END_STREAM;
use crate::support::frames::Reaction;
use crate::support::frames::Wire;
use crate::support::tls::Authority;
use bytes::Bytes;
use http::HeaderMap;
use http::Request;
use http::Response;
use http::header;
use http_body::Frame;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::convert::Infallible;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// What an application speaks.
#[derive(Clone)]
enum Speaks {
    /// HTTP/2 without TLS, with or without WebSockets (RFC 8441).
    H2c { websockets: bool },
    /// What the acceptor agrees on.
    Tls(TlsAcceptor),
}

/// A body of frames as they are given; dropping the sender ends it, an error breaks it off.
struct Given(mpsc::UnboundedReceiver<Result<Frame<Bytes>, std::io::Error>>);

impl http_body::Body for Given {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(cx)
    }
}

/// An application that notes what it was asked.
struct App {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl App {
    fn start(speaks: Speaks) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::default();
        let app = Self {
            address,
            seen: Arc::clone(&seen),
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(stream, speaks.clone(), Arc::clone(&seen)));
                }
            });
        });
        app
    }

    /// Starts one that speaks TLS, and returns what trusts it: a folder with `ca.pem`.
    fn secret(alpn: &[&str]) -> (Self, tempfile::TempDir) {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let pair = authority.issue(&["127.0.0.1"]);
        let chain = CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (Self::start(Speaks::Tls(acceptor)), folder)
    }

    /// Starts a proxy in front of one without TLS.
    fn proxy(&self) -> Proxy {
        Proxy::start(&rules(&format!(
            "{{ endpoints: \"h2c://{}\" }}",
            self.address
        )))
    }

    /// Starts a proxy in front of one with TLS.
    fn secret_proxy(&self, folder: tempfile::TempDir) -> Proxy {
        let backend = format!(
            "{{ endpoints: \"https://{}\", tls: {{ ca: ca.pem }} }}",
            self.address
        );
        Proxy::start_in(folder, &rules(&backend))
    }

    fn seen(&self) -> Vec<(String, HeaderMap)> {
        self.seen.lock().unwrap().clone()
    }
}

fn rules(backend: &str) -> String {
    format!(
        "backends: {{ app: {backend} }}\nlegacy: {backend}\nslices:\n  - {{ name: s, match: /, to: app, stage: shadow }}\n"
    )
}

type Seen = Arc<Mutex<Vec<(String, HeaderMap)>>>;

async fn serve(stream: tokio::net::TcpStream, speaks: Speaks, seen: Seen) {
    stream.set_nodelay(true).unwrap();
    match speaks {
        Speaks::H2c { websockets } => many(stream, websockets, seen).await,
        Speaks::Tls(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                return many(stream, false, seen).await;
            }
            let service = hyper::service::service_fn(move |request| answer(request, seen.clone()));
            let server = hyper::server::conn::http1::Builder::new();
            let _ended = server
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        }
    }
}

async fn many<S>(stream: S, websockets: bool, seen: Seen)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| answer(request, seen.clone()));
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    if websockets {
        server.enable_connect_protocol();
    }
    let _ended = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, seen: Seen) -> Result<Response<Given>, Infallible> {
    let line = format!(
        "{:?} {} {}",
        request.version(),
        request.method(),
        request.uri().path()
    );
    let note = (line, request.headers().clone());
    seen.lock().unwrap().push(note);
    // The body is given while the answer goes out.
    tokio::task::yield_now().await;
    let extended = request.extensions().get::<Protocol>().is_some();
    if extended || request.headers().contains_key(header::UPGRADE) {
        return Ok(websocket(request, extended));
    }
    let (give, given) = mpsc::unbounded_channel();
    let mut response = Response::new(Given(given));
    let part = |text: &'static str| give.send(Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
    let broken = || Some(Err(std::io::ErrorKind::Other.into()));
    let mut length = |length: &str| {
        let length = length.parse().unwrap();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length);
    };
    match request.uri().path() {
        // All bytes, and the end of the stream only later.
        "/late" => {
            length("5");
            part("whole").unwrap();
            later(give, None);
        }
        "/short" => {
            length("9");
            part("half").unwrap();
            later(give, broken());
        }
        "/broken" => {
            part("half").unwrap();
            later(give, broken());
        }
        // What comes in goes out, trailers too.
        "/echo" => {
            tokio::spawn(echo(request.into_body(), give));
        }
        // An answer before the body has come, which is not read: the stream is reset without error.
        "/early" => {
            part("no").unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "8".parse().unwrap());
            give.send(Ok(Frame::trailers(trailers))).unwrap();
        }
        _ => drop(give),
    }
    Ok(response)
}

/// Ends a body after a moment, or breaks it off.
fn later(give: Feeder, last: Option<Result<Frame<Bytes>, std::io::Error>>) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(last) = last {
            let _gone = give.send(last);
        }
    });
}

async fn echo(mut body: Incoming, give: Feeder) {
    while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
        let frame = frame.map_err(|_| std::io::ErrorKind::Other.into());
        if give.send(frame).is_err() {
            return;
        }
    }
}

fn websocket(mut request: Request<Incoming>, extended: bool) -> Response<Given> {
    let (_, given) = mpsc::unbounded_channel();
    let mut response = Response::new(Given(given));
    if request.uri().path() == "/refused" {
        *response.status_mut() = http::StatusCode::FORBIDDEN;
        return response;
    }
    if !extended {
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
    }
    let headers = response.headers_mut();
    if !extended {
        headers.insert(header::CONNECTION, "Upgrade".parse().unwrap());
        headers.insert(header::UPGRADE, "websocket".parse().unwrap());
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, PROOF.parse().unwrap());
    }
    let protocol = "chat".parse().unwrap();
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    tokio::spawn(async move {
        let tunnel = hyper::upgrade::on(&mut request).await.unwrap();
        let (mut from, mut to) = tokio::io::split(TokioIo::new(tunnel));
        let _copied = tokio::io::copy(&mut from, &mut to).await;
        let _ended = tokio::io::AsyncWriteExt::shutdown(&mut to).await;
    });
    response
}

/// The key of RFC 6455 section 1.3, and what proves that it was read.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const PROOF: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

#[test]
fn an_answer_is_whole_when_all_bytes_of_its_length_have_come_before_the_stream_ends() {
    let app = App::start(Speaks::H2c { websockets: false });
    let proxy = app.proxy();
    let mut client = Client::connect(proxy.data);
    for _ in 0..10 {
        let answer = client.ask("GET", "/late", &[], b"");
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    }
    proxy.await_outcome("s", "match", 10);
    assert_eq!(proxy.outcomes("s").get("aborted"), None);
    let answer = client.ask("GET", "/short", &[], b"");
    assert!(!answer.whole, "less than its length is not whole");
    proxy.await_outcome("s", "legacy_error", 1);
    assert_eq!(proxy.outcomes("s").get("aborted"), None);
}

fn websocket_of_http1(proxy: &Proxy) {
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "chat"),
    ];
    let mut client = Client::connect(proxy.data);
    let answer = client.ask("GET", "/ws", &fields, b"");
    assert_eq!(answer.status, 101);
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    assert_eq!(answer.field("connection"), Some("Upgrade"));
    assert_eq!(answer.field("sec-websocket-accept"), Some(PROOF));
    assert_eq!(answer.field("sec-websocket-protocol"), Some("chat"));
    for n in 0..20_u8 {
        client.send(&[n; 1000]);
        let mut back = [0; 1000];
        client.stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [n; 1000]);
    }
    client.stream.write_all(b"bye").unwrap();
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = Vec::new();
    client.stream.read_to_end(&mut back).unwrap();
    assert_eq!(back, b"bye");
    let mut client = Client::connect(proxy.data);
    assert_eq!(client.ask("GET", "/refused", &fields, b"").status, 403);
}

const CONNECT: [(&str, &str); 7] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/ws"),
    (":authority", "app.example"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-protocol", "chat"),
];

fn websocket_of_http2(proxy: &Proxy) {
    let mut wire = Wire::connect(proxy.data);
    wire.fields(1, false, &CONNECT);
    assert_eq!(wire.reaction(1), Reaction::Answer(200));
    for n in 0..20_u8 {
        wire.frame(DATA, 0, 1, &[n; 1000]);
        let mut back = Vec::new();
        while back.len() < 1000 {
            let piece = wire.until(|f| f.kind == DATA && f.stream == 1);
            back.extend(piece.unwrap().payload);
        }
        assert_eq!(back, [n; 1000]);
    }
    wire.frame(DATA, END_STREAM, 1, b"bye");
    assert_eq!(wire.body(1), (true, b"bye".to_vec()));
    let mut refused = CONNECT;
    refused[3].1 = "/refused";
    wire.fields(3, false, &refused);
    assert_eq!(wire.reaction(3), Reaction::Answer(403));
}

#[test]
fn a_websocket_has_a_connection_of_http_1_1_where_requests_have_one_of_http_2() {
    let (app, folder) = App::secret(&["h2", "http/1.1"]);
    let proxy = app.secret_proxy(folder);
    let mut client = Client::connect(proxy.data);
    for _ in 0..3 {
        assert_eq!(client.ask("GET", "/", &[], b"").status, 200);
        websocket_of_http1(&proxy);
        websocket_of_http2(&proxy);
    }
    assert_eq!(client.ask("GET", "/after", &[], b"").status, 200);
    for (line, headers) in app.seen() {
        let tunnel = line.ends_with("/ws") || line.ends_with("/refused");
        let version = if tunnel { "HTTP/1.1" } else { "HTTP/2.0" };
        assert!(line.starts_with(version), "{line}");
        assert_eq!(headers.contains_key("upgrade"), tunnel, "{line}");
    }
}

#[test]
fn a_websocket_to_what_speaks_only_http_2_over_tls_is_no_fault_of_the_application() {
    let (app, folder) = App::secret(&["h2"]);
    let proxy = app.secret_proxy(folder);
    let mut wire = Wire::connect(proxy.data);
    for stream in [1, 3, 5] {
        wire.fields(stream, false, &CONNECT);
        assert_eq!(wire.reaction(stream), Reaction::Answer(502));
    }
    eventually("it is counted", || {
        let metrics = proxy.metrics();
        metrics
            .iter()
            .any(|(name, count)| name.contains("no_tunnel") && *count >= 3.0)
    });
    wire.get(7, "/");
    assert_eq!(wire.reaction(7), Reaction::Answer(200));
}

#[test]
fn a_websocket_is_a_stream_of_http_2_where_the_application_takes_it() {
    let app = App::start(Speaks::H2c { websockets: true });
    let proxy = app.proxy();
    // The first finds no connection, the others share it.
    for _ in 0..3 {
        websocket_of_http1(&proxy);
        websocket_of_http2(&proxy);
    }
    for (line, headers) in app.seen() {
        assert!(line.starts_with("HTTP/2.0 CONNECT /"), "{line}");
        assert!(!headers.contains_key("upgrade") && !headers.contains_key("sec-websocket-key"));
        assert_eq!(headers["sec-websocket-version"], "13");
    }
}

#[test]
fn a_websocket_to_http_2_that_takes_none_is_a_502_at_once() {
    let app = App::start(Speaks::H2c { websockets: false });
    let proxy = app.proxy();
    let mut wire = Wire::connect(proxy.data);
    for stream in [1, 3] {
        wire.fields(stream, false, &CONNECT);
        assert_eq!(wire.reaction(stream), Reaction::Answer(502));
    }
    assert!(app.seen().is_empty(), "{:?}", app.seen());
    wire.get(5, "/");
    assert_eq!(wire.reaction(5), Reaction::Answer(200));
}

/// What a client of gRPC has of an answer: its head, the pieces, the trailers, and whether it broke.
type Told = (http::response::Parts, Incoming);
type Feeder = mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

/// Calls as a client of gRPC does, and talks about the answer.
fn call<F: Future<Output = ()>>(proxy: &Proxy, path: &str, talk: impl FnOnce(Feeder, Told) -> F) {
    let (address, uri) = (proxy.data, format!("http://app.example{path}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let shaken =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = shaken.await.unwrap();
        let (feeder, fed) = mpsc::unbounded_channel();
        let request = Request::post(uri)
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(Given(fed))
            .unwrap();
        tokio::select! {
            _ = connection => panic!("the connection ended"),
            () = async {
                let told = sender.send_request(request).await.unwrap().into_parts();
                talk(feeder, told).await;
            } => {}
        }
    });
}

async fn frame(body: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    let next = http_body_util::BodyExt::frame(body);
    let patience = Duration::from_secs(10);
    tokio::time::timeout(patience, next).await.unwrap()
}

#[test]
fn a_call_of_grpc_streams_both_ways_and_its_trailers_pass() {
    let app = App::start(Speaks::H2c { websockets: false });
    let proxy = app.proxy();
    call(&proxy, "/echo", async |feeder, (parts, mut body)| {
        assert_eq!(parts.status, 200);
        for n in 0..10 {
            let message = Bytes::from(format!("message {n}"));
            feeder.send(Ok(Frame::data(message.clone()))).unwrap();
            let back = frame(&mut body).await.unwrap().unwrap();
            assert_eq!(back.into_data().unwrap(), message);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("grpc-message", "fine".parse().unwrap());
        feeder.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
        drop(feeder);
        let back = frame(&mut body).await.unwrap().unwrap();
        assert_eq!(back.into_trailers().unwrap(), trailers);
        assert!(frame(&mut body).await.is_none());
    });
    let (line, headers) = app.seen().remove(0);
    assert_eq!(line, "HTTP/2.0 POST /echo");
    assert_eq!(headers["te"], "trailers");
    assert_eq!(headers["content-type"], "application/grpc");
    assert!(!headers.contains_key("connection"));
}

#[test]
fn a_call_of_grpc_that_is_answered_early_has_its_answer_whole() {
    let app = App::start(Speaks::H2c { websockets: false });
    let proxy = app.proxy();
    for _ in 0..20 {
        call(&proxy, "/early", async |_feeder, (_, mut body)| {
            let data = frame(&mut body).await.unwrap().unwrap();
            assert_eq!(data.into_data().unwrap(), "no");
            let trailers = frame(&mut body).await.unwrap().unwrap();
            assert_eq!(trailers.into_trailers().unwrap()["grpc-status"], "8");
        });
    }
    eventually("all are counted as whole", || {
        let metrics = proxy.metrics();
        let name = "supplant_request_duration_seconds_count";
        let whole = |(series, _): &(&String, &f64)| {
            series.starts_with(name) && series.contains("legacy") && series.contains("2xx")
        };
        metrics.iter().filter(whole).map(|(_, n)| n).sum::<f64>() >= 20.0
    });
}

#[test]
fn a_call_of_grpc_that_breaks_off_is_reset_and_has_no_clean_end() {
    let app = App::start(Speaks::H2c { websockets: false });
    let proxy = app.proxy();
    for path in ["/broken", "/short", "/echo"] {
        call(&proxy, path, async |feeder, (_, mut body)| {
            if path == "/echo" {
                feeder
                    .send(Ok(Frame::data(Bytes::from_static(b"half"))))
                    .unwrap();
            }
            let data = frame(&mut body).await.unwrap().unwrap();
            assert_eq!(data.into_data().unwrap(), "half", "{path}");
            if path == "/echo" {
                let broken = std::io::ErrorKind::Other.into();
                feeder.send(Err(broken)).unwrap();
            }
            let end = frame(&mut body).await;
            assert!(matches!(end, Some(Err(_))), "{path} {end:?}");
        });
    }
}

#[test]
fn an_answer_with_trailers_is_whole_when_they_have_come() {
    let origin = Origin::start(|_| {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n";
        Reply::Raw(answer.to_vec())
    });
    let proxy = Proxy::start(&rules(&format!("{{ endpoints: \"{}\" }}", origin.url())));
    let mut wire = Wire::connect(proxy.data);
    for n in 0..5 {
        wire.get(2 * n + 1, "/");
        assert_eq!(wire.body(2 * n + 1), (true, b"abc".to_vec()));
    }
    for _ in 0..5 {
        let mut client = Client::connect(proxy.data);
        let answer = client.ask("GET", "/", &[("TE", "trailers"), ("Connection", "TE")], b"");
        assert_eq!((answer.text().as_str(), answer.whole), ("abc", true));
    }
    proxy.await_outcome("s", "match", 10);
    assert_eq!(proxy.outcomes("s").get("aborted"), None);
}
