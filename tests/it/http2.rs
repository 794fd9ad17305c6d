//! HTTP/2 with clients in front of applications that speak HTTP/1.1: what passes, and how things end.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::eventually;
use crate::support::frames::ACK;
use crate::support::frames::DATA;
use crate::support::frames::END_HEADERS;
use crate::support::frames::END_STREAM;
use crate::support::frames::GOAWAY;
use crate::support::frames::HEADERS;
use crate::support::frames::PING;
use crate::support::frames::RST_STREAM;
use crate::support::frames::Reaction;
use crate::support::frames::SETTINGS;
use crate::support::frames::Wire;
use crate::support::frames::block;
use crate::support::frames::encoded;
use crate::support::frames::request;
use crate::support::pause;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

const CANCEL: u32 = 8;
const INTERNAL: u32 = 2;

fn in_front_of(origin: &Origin) -> Proxy {
    Proxy::start(&format!("legacy: {}\n", origin.url()))
}

fn count(proxy: &Proxy, series: &str) -> f64 {
    proxy.metrics().get(series).copied().unwrap_or(0.0)
}

/// Asks with hyper's client, which reads whole heads, and returns the answer with its trailers.
fn ask(
    proxy: &Proxy,
    request: http::Request<http_body_util::Full<bytes::Bytes>>,
) -> (http::response::Parts, Vec<u8>, Option<http::HeaderMap>) {
    let address = proxy.data;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let shaken = hyper::client::conn::http2::handshake(executor, io).await;
        let (mut sender, connection) = shaken.unwrap();
        tokio::select! {
            _ = connection => panic!("the connection ended"),
            answer = async {
                let answer: http::Response<hyper::body::Incoming> =
                    sender.send_request(request).await.unwrap();
                let (parts, mut body) = answer.into_parts();
                let (mut data, mut trailers): (Vec<u8>, _) = (Vec::new(), None);
                while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
                    match frame.unwrap().into_data() {
                        Ok(piece) => data.extend_from_slice(&piece),
                        Err(frame) => trailers = frame.into_trailers().ok(),
                    }
                }
                (parts, data, trailers)
            } => answer,
        }
    })
}

fn get(path: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let uri = format!("http://app.example{path}");
    http::Request::get(uri)
        .body(http_body_util::Full::default())
        .unwrap()
}

#[test]
fn a_request_arrives_as_one_of_http_1_1() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = in_front_of(&origin);
    let mut wire = Wire::connect(proxy.data);
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a%2Fb/./c?q=%41"),
        (":authority", "app.example:8443"),
        ("cookie", "a=1"),
        ("x-one", "1"),
        ("cookie", "b=2"),
        ("te", "trailers"),
        ("x-forwarded-proto", "https"),
    ];
    wire.fields(1, false, &fields);
    wire.frame(DATA, 0, 1, b"he");
    wire.frame(DATA, END_STREAM, 1, b"llo");
    assert_eq!(wire.reaction(1), Reaction::Answer(200));
    let seen = origin.seen().remove(0);
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/a%2Fb/./c?q=%41")
    );
    assert_eq!(seen.body, b"hello");
    for (name, value) in [
        ("host", "app.example:8443"),
        ("cookie", "a=1; b=2"),
        ("te", "trailers"),
        ("connection", "TE"),
        ("x-forwarded-host", "app.example:8443"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        let values: Vec<_> = seen
            .fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .collect();
        assert_eq!(values.len(), 1, "{name} {:?}", seen.fields);
        assert_eq!(values[0].1, value, "{name}");
    }
}

#[test]
fn an_answer_arrives_without_what_belongs_to_a_connection_and_with_its_trailers() {
    let origin = Origin::start(|seen| {
        match seen.target.as_str() {
        "/trailers" => Reply::Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n".to_vec(),
        ),
        _ => Reply::Raw(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        ),
    }
    });
    let proxy = in_front_of(&origin);
    let (parts, body, trailers) = ask(&proxy, get("/"));
    assert_eq!(body, b"ok");
    assert!(trailers.is_none());
    let names: Vec<_> = parts
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.to_str().unwrap()))
        .collect();
    let all = [
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-end", "1"),
        ("content-length", "2"),
    ];
    assert_eq!(names, all);
    let (_, body, trailers) = ask(&proxy, get("/trailers"));
    assert_eq!(body, b"abc");
    let trailers = trailers.unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["grpc-message"], "fine");
}

#[test]
fn head_204_and_304_have_no_body_and_keep_their_fields() {
    let origin = Origin::start(|seen| match (seen.method.as_str(), seen.target.as_str()) {
        ("HEAD", _) => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".to_vec()),
        (_, "/204") => Reply::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        _ => Reply::Raw(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_vec()),
    });
    let proxy = in_front_of(&origin);
    let mut head = get("/");
    *head.method_mut() = http::Method::HEAD;
    let (parts, body, _) = ask(&proxy, head);
    assert_eq!(
        (
            parts.headers["content-length"].to_str().unwrap(),
            body.len()
        ),
        ("1234", 0)
    );
    assert_eq!(ask(&proxy, get("/204")).0.status, 204);
    assert_eq!(ask(&proxy, get("/304")).0.headers["etag"], "\"a\"");
}

#[test]
fn streams_are_answered_each_with_its_own_and_large_bodies_pass_both_ways() {
    let origin = Origin::start(|seen| match seen.target.as_str() {
        "/echo" => {
            let body = &seen.body;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            Reply::Raw([head.as_bytes(), body].concat())
        }
        target => Reply::After(20, Box::new(Reply::json(target))),
    });
    let proxy = in_front_of(&origin);
    let mut wire = Wire::connect(proxy.data);
    for n in 0..100 {
        wire.get(2 * n + 1, &format!("/{n}"));
    }
    let mut bodies = vec![Vec::<u8>::new(); 100];
    let mut open = 100;
    while open > 0 {
        let frame = wire.read().unwrap();
        if frame.kind == DATA {
            bodies[(frame.stream as usize - 1) / 2].extend(&frame.payload);
            open -= usize::from(frame.flags & END_STREAM != 0);
        }
    }
    for (n, body) in bodies.iter().enumerate() {
        assert_eq!(body, format!("/{n}").as_bytes());
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let body = http_body_util::Full::from(large.clone());
    let request = http::Request::post("http://app.example/echo")
        .body(body)
        .unwrap();
    assert!(
        ask(&proxy, request).1 == large,
        "it comes back as it was sent"
    );
}

#[test]
fn what_broke_off_is_never_a_clean_end() {
    let origin = Origin::start(|seen| {
        Reply::RawClose(match seen.target.as_str() {
            "/length" => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
            "/chunk" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf".to_vec(),
            "/last" => {
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_vec()
            }
            "/trailers" => {
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\na: b\r\n"
                    .to_vec()
            }
            _ => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n"
                .to_vec(),
        })
    });
    let proxy = in_front_of(&origin);
    let mut wire = Wire::connect(proxy.data);
    for (n, path) in ["/length", "/chunk", "/last", "/trailers", "/garbage"]
        .iter()
        .enumerate()
    {
        let stream = 2 * u32::try_from(n).unwrap() + 1;
        wire.get(stream, path);
        assert_eq!(wire.reaction(stream), Reaction::Answer(200), "{path}");
        let end = wire
            .until(|f| f.stream == stream && (f.kind == RST_STREAM || f.flags & END_STREAM != 0));
        let end = end.unwrap();
        assert_eq!(
            (end.kind, end.payload),
            (RST_STREAM, INTERNAL.to_be_bytes().to_vec()),
            "{path}"
        );
    }
}

#[test]
fn a_reset_of_the_client_cancels_the_request_at_the_application() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, ended) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, told) = (stream.unwrap(), told.clone());
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                let n = stream.read(&mut bytes).unwrap();
                if bytes[..n].starts_with(b"GET /body") {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
                        .unwrap();
                }
                while matches!(stream.read(&mut bytes), Ok(1..)) {}
                told.send(()).unwrap();
            });
        }
    });
    let proxy = Proxy::start(&format!("legacy: {url}\n"));
    let mut wire = Wire::connect(proxy.data);
    // Before the head of the answer, within its body, and within the body of the request.
    wire.get(1, "/head");
    wire.get(3, "/body");
    assert_eq!(wire.reaction(3), Reaction::Answer(200));
    wire.fields(5, false, &request("POST", "/upload"));
    wire.frame(DATA, 0, 5, b"abc");
    pause(200);
    for stream in [1, 3, 5] {
        assert!(
            ended.try_recv().is_err(),
            "nothing has ended before {stream}"
        );
        wire.frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        ended
            .recv_timeout(Duration::from_secs(5))
            .expect("it is cancelled");
    }
    wire.frame(PING, 0, 0, &[1; 8]);
    assert!(wire.until(|f| f.kind == PING && f.flags == ACK).is_some());
}

#[test]
fn an_early_answer_reaches_the_client_and_the_rest_is_not_wanted() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", origin.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in origin.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            let mut bytes = [0; 1024];
            let _n = stream.read(&mut bytes).unwrap();
            let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch";
            stream.write_all(answer).unwrap();
        }
    });
    let proxy = Proxy::start(&format!("legacy: {url}\n"));
    let mut wire = Wire::connect(proxy.data);
    for stream in [1, 3] {
        wire.fields(stream, false, &request("POST", "/"));
        wire.frame(DATA, 0, stream, &[7; 1000]);
        assert_eq!(wire.reaction(stream), Reaction::Answer(413));
        let end = wire.until(|f| f.stream == stream && f.flags & END_STREAM != 0 && f.kind == DATA);
        assert_eq!(end.unwrap().payload, b"much");
        // NO_ERROR: what was answered stands, and no more of the body is asked for.
        assert_eq!(wire.reaction(stream), Reaction::Reset(0));
    }
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

#[test]
fn extended_connect_becomes_a_websocket_of_http_1_1() {
    let origin = Origin::start(|seen| match seen.target.as_str() {
        "/refused" => Reply::status(403, "no"),
        "/plain" => Reply::json("{}"),
        "/other" => Reply::Raw(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"
                .to_vec(),
        ),
        _ => Reply::Echo,
    });
    let rules = format!(
        "legacy: {0}\nslices:\n  - {{ name: s, match: /ws, to: \"{0}\", stage: shadow }}\n",
        origin.url()
    );
    let proxy = Proxy::start(&rules);
    let mut wire = Wire::connect(proxy.data);
    let settings = wire.until(|f| f.kind == SETTINGS && f.flags == 0).unwrap();
    assert!(
        settings.payload.chunks(6).any(|s| s == [0, 8, 0, 0, 0, 1]),
        "RFC 8441 section 3"
    );
    wire.fields(1, false, &CONNECT);
    assert_eq!(wire.reaction(1), Reaction::Answer(200));
    for n in 0..20_u8 {
        let piece = vec![n; 1000];
        wire.frame(DATA, 0, 1, &piece);
        let mut back = Vec::new();
        while back.len() < piece.len() {
            back.extend(
                wire.until(|f| f.kind == DATA && f.stream == 1)
                    .unwrap()
                    .payload,
            );
        }
        assert_eq!(back, piece);
    }
    wire.frame(DATA, END_STREAM, 1, b"bye");
    assert_eq!(wire.body(1), (true, b"bye".to_vec()));

    let seen = origin.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/ws"));
    assert_eq!(seen.field("upgrade"), Some("websocket"));
    assert_eq!(seen.field("connection"), Some("Upgrade"));
    assert_eq!(seen.field("host"), Some("app.example"));
    assert_eq!(seen.field("sec-websocket-protocol"), Some("chat"));
    assert_eq!(seen.field("sec-websocket-key").unwrap().len(), 24);
    proxy.await_outcome("s", "not_comparable(upgrade)", 1);

    for (stream, path, status) in [(3, "/refused", 403), (5, "/plain", 502), (7, "/other", 502)] {
        let mut fields = CONNECT;
        fields[3].1 = path;
        wire.fields(stream, false, &fields);
        assert_eq!(wire.reaction(stream), Reaction::Answer(status), "{path}");
    }
    wire.get(9, "/plain");
    assert_eq!(wire.reaction(9), Reaction::Answer(200));
}

#[test]
fn only_websockets_are_tunnelled() {
    let origin = Origin::start(|seen| {
        match seen.target.as_str() {
        "/ws" => Reply::Echo,
        "/unasked" => Reply::Raw(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        ),
        _ => Reply::json("{}"),
    }
    });
    let proxy = in_front_of(&origin);
    for protocol in ["h2c", "TLS/1.0", "foo", "websocket, h2c"] {
        let fields = [("Connection", "Upgrade"), ("Upgrade", protocol)];
        let mut client = Client::connect(proxy.data);
        assert_eq!(client.ask("GET", "/", &fields, b"").status, 200);
        let seen = origin.seen().pop().unwrap();
        assert!(
            seen.field("upgrade").is_none() && seen.field("connection").is_none(),
            "{protocol}"
        );
        // An application that switches nonetheless gave no valid answer.
        assert_eq!(
            client.ask("GET", "/unasked", &fields, b"").status,
            502,
            "{protocol}"
        );
    }
    assert_eq!(Client::get(proxy.data, "/unasked").status, 502);
    let mut wire = Wire::connect(proxy.data);
    wire.get(1, "/unasked");
    assert_eq!(wire.reaction(1), Reaction::Answer(502));
    let fields = [("Connection", "Upgrade"), ("Upgrade", "WebSocket")];
    assert_eq!(
        Client::connect(proxy.data)
            .ask("GET", "/ws", &fields, b"")
            .status,
        101
    );
}

#[test]
fn a_drain_says_goodbye_and_finishes_what_was_begun() {
    let origin = Origin::start(|_| Reply::After(500, Box::new(Reply::json("{}"))));
    let proxy = in_front_of(&origin);
    let mut wire = Wire::connect(proxy.data);
    wire.get(1, "/");
    let mut idle = Wire::connect(proxy.data);
    idle.frame(PING, 0, 0, &[1; 8]);
    assert!(idle.until(|f| f.kind == PING && f.flags == ACK).is_some());
    eventually("it is asked", || origin.seen().len() == 1);
    let stopping = std::thread::spawn(move || proxy.stop());
    let away = wire.until(|f| f.kind == GOAWAY).unwrap();
    assert_eq!(away.payload[4..8], [0; 4]);
    // The client answers the ping that comes with it (RFC 9113 section 6.8).
    let ping = wire.until(|f| f.kind == PING && f.flags == 0).unwrap();
    wire.frame(PING, ACK, 0, &ping.payload);
    assert_eq!(wire.until(|f| f.kind == HEADERS).unwrap().status(), 200);
    assert!(wire.body(1).0);
    let ping = idle.until(|f| f.kind == PING && f.flags == 0).unwrap();
    idle.frame(PING, ACK, 0, &ping.payload);
    assert!(idle.until(|_| false).is_none());
    stopping.join().unwrap();
}

#[test]
fn who_is_slow_is_cut_within_its_time() {
    let origin = Origin::start(|seen| match seen.target.as_str() {
        "/large" => Reply::Large(1 << 20),
        _ => Reply::json("{}"),
    });
    let rules = format!(
        "legacy: {{ endpoints: \"{}\", timeouts: {{ idle: 2s }} }}\n",
        origin.url()
    );
    let second = Duration::from_secs(1);
    let timeouts = "timeouts: { idle: 2s, header: 2s, body: 2s }";
    let listen = format!("{{ address: \"127.0.0.1:0\", {timeouts} }}");
    let proxy = Proxy::start_with(&listen, &rules);
    let within = |start: Instant, what: &str| {
        let took = start.elapsed();
        assert!((second..5 * second).contains(&took), "{what}: {took:?}");
    };
    let start = Instant::now();
    let mut idle = Wire::connect(proxy.data);
    idle.get(1, "/");
    let mut silent = Wire::bare(proxy.data);
    silent.bytes(b"PR");
    let mut head = Wire::connect(proxy.data);
    head.get(1, "/");
    head.frame(HEADERS, END_STREAM, 3, &block(&request("GET", "/")));
    let mut torn = Wire::connect(proxy.data);
    let whole = encoded(
        HEADERS,
        END_STREAM | END_HEADERS,
        1,
        &block(&request("GET", "/")),
    );
    torn.bytes(&whole[..20]);
    let mut upload = Wire::connect(proxy.data);
    upload.fields(1, false, &request("POST", "/"));
    upload.frame(DATA, 0, 1, b"a");
    let mut window = Wire::bare(proxy.data);
    window.begin(&[(4, 1_000)]);
    window.get(1, "/large");

    assert_eq!(upload.reaction(1), Reaction::Answer(408));
    within(start, "a body that stands still");
    assert_eq!(upload.reaction(1), Reaction::Reset(0));
    assert_eq!(window.reaction(1), Reaction::Answer(200));
    let cut = window.until(|f| f.kind == RST_STREAM).unwrap();
    assert_eq!(cut.payload, CANCEL.to_be_bytes());
    within(start, "a window that stays shut");
    assert_eq!(head.reaction(1), Reaction::Answer(200));
    for (wire, what) in [
        (&mut idle, "an idle connection"),
        (&mut silent, "half a preface"),
        (&mut head, "a head without an end"),
        (&mut torn, "half a frame"),
    ] {
        assert!(wire.until(|_| false).is_none());
        within(start, what);
    }
}

#[test]
fn a_connection_ends_after_as_many_requests_as_it_may_carry() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let rules = format!(
        "legacy: {}
limits: {{ requests: 3 }}
",
        origin.url()
    );
    let proxy = Proxy::start(&rules);
    let mut wire = Wire::connect(proxy.data);
    wire.get(1, "/");
    // A request that is refused is a request.
    let mut foreign = request("GET", "/");
    foreign[1].1 = "ftp";
    wire.fields(3, true, &foreign);
    wire.get(5, "/");
    let (mut answers, mut away) = (0, false);
    while let Some(frame) = wire.read() {
        match frame.kind {
            HEADERS => answers += u32::from(frame.status() == 200),
            PING if frame.flags == 0 => drop(wire.frame(PING, ACK, 0, &frame.payload)),
            GOAWAY => away = true,
            _ => {}
        }
    }
    assert_eq!((answers, away), (2, true));
    let mut old = Client::connect(proxy.data);
    for n in 1..=3 {
        let answer = old.ask("GET", "/", &[], b"");
        assert_eq!(answer.field("connection").is_some(), n == 3, "{n}");
    }
    assert_eq!(origin.seen().len(), 5);
    assert_eq!(
        count(&proxy, "supplant_requests_refused_total{reason=\"fields\"}"),
        0.0
    );
}
