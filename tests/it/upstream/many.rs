//! HTTP/2 to applications: an origin that writes its own frames, so that it can misbehave.

use super::*;

/// A frame from the proxy.
#[derive(Clone, Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = len[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// `:status: 200` from HPACK's static table.
const OK: &[u8] = &[0x88];

fn answer(stream: u32, body: &[u8]) -> Vec<u8> {
    let mut out = frame(HEADERS, END_HEADERS, stream, OK);
    out.extend(frame(DATA, END_STREAM, stream, body));
    out
}

/// An origin of frames. `on_request` is told the number of the connection, of the request among all,
/// the stream and its body, and returns what to write, and whether it has acted on the request.
struct Frames {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    acted: Arc<Mutex<Vec<Vec<u8>>>>,
}

struct Told {
    connection: usize,
    request: usize,
    stream: u32,
    body: Vec<u8>,
    /// The highest stream of the connection that was acted on.
    highest: u32,
}

struct Does {
    write: Vec<u8>,
    acts: bool,
    close: bool,
}

impl Does {
    fn answer(told: &Told, body: &[u8]) -> Self {
        Self {
            write: answer(told.stream, body),
            acts: true,
            close: false,
        }
    }

    fn reset(told: &Told, code: u32, acts: bool) -> Self {
        Self {
            write: frame(RESET, 0, told.stream, &code.to_be_bytes()),
            acts,
            close: false,
        }
    }
}

impl Frames {
    /// `at_head` decides when only the head of a request is there, `at_end` when all of it is.
    fn start(
        at_head: impl Fn(&Told) -> Option<Does> + Send + Sync + 'static,
        at_end: impl Fn(&Told) -> Does + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            acted: Arc::default(),
        };
        let (connections, acted) = (Arc::clone(&origin.connections), Arc::clone(&origin.acted));
        let requests: Arc<AtomicUsize> = Arc::default();
        let does = Arc::new((at_head, at_end));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let connection = connections.fetch_add(1, SeqCst);
                let (does, requests) = (Arc::clone(&does), Arc::clone(&requests));
                let acted = Arc::clone(&acted);
                std::thread::spawn(move || {
                    let _ended = speak(stream, connection, &requests, &acted, &does.0, &does.1);
                });
            }
        });
        origin
    }

    fn backend(&self) -> Arc<Backend> {
        backend(vec![endpoint(Scheme::H2c, self.address)], |_| {})
    }

    fn acted(&self) -> usize {
        self.acted.lock().unwrap().len()
    }
}

fn read_frame(stream: &mut TcpStream) -> std::io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; len as usize];
    stream.read_exact(&mut payload)?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Ok(Frame {
        kind: head[3],
        flags: head[4],
        stream,
        payload,
    })
}

fn speak(
    mut socket: TcpStream,
    connection: usize,
    requests: &AtomicUsize,
    acted: &Mutex<Vec<Vec<u8>>>,
    at_head: &dyn Fn(&Told) -> Option<Does>,
    at_end: &dyn Fn(&Told) -> Does,
) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut preface = [0; 24];
    socket.read_exact(&mut preface)?;
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    socket.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    let mut open: BTreeMap<u32, Told> = BTreeMap::new();
    let mut highest = 0;
    // What a GOAWAY has named; streams beyond it are not looked at.
    let mut last = u32::MAX;
    loop {
        let frame = read_frame(&mut socket)?;
        let done = match frame.kind {
            SETTINGS if frame.flags & 1 == 0 => {
                socket.write_all(&self::frame(SETTINGS, 1, 0, &[]))?;
                continue;
            }
            PING if frame.flags & 1 == 0 => {
                socket.write_all(&self::frame(PING, 1, 0, &frame.payload))?;
                continue;
            }
            HEADERS => {
                let told = Told {
                    connection,
                    request: requests.fetch_add(1, SeqCst),
                    stream: frame.stream,
                    body: Vec::new(),
                    highest,
                };
                if let Some(does) = at_head(&told) {
                    Some((told, does))
                } else {
                    open.insert(frame.stream, told);
                    None
                }
            }
            DATA => {
                if let Some(told) = open.get_mut(&frame.stream) {
                    told.body.extend_from_slice(&frame.payload);
                }
                None
            }
            _ => continue,
        };
        let done = done.or_else(|| {
            let ended = frame.flags & END_STREAM != 0;
            let mut told = ended.then(|| open.remove(&frame.stream))??;
            told.highest = highest;
            let does = at_end(&told);
            Some((told, does))
        });
        let Some((told, does)) = done else { continue };
        if told.stream > last {
            continue;
        }
        if does.write.get(3) == Some(&GOAWAY) {
            last = u32::from_be_bytes(does.write[9..13].try_into().unwrap());
        }
        if does.acts {
            highest = highest.max(told.stream);
            acted.lock().unwrap().push(told.body);
        }
        socket.write_all(&does.write)?;
        if does.close {
            return socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

#[test]
fn many_requests_share_a_connection() {
    let origin = Frames::start(|_| None, |told| Does::answer(told, b"hello"));
    on_thread(async {
        let (pool, backend) = (Rc::new(Pool::new(8)), origin.backend());
        let mut asked = Vec::new();
        for _ in 0..50 {
            let (pool, backend) = (Rc::clone(&pool), Arc::clone(&backend));
            asked.push(tokio::task::spawn_local(async move {
                Ask::get("/").answer(&pool, &backend).await
            }));
        }
        for asked in asked {
            let read = asked.await.unwrap().unwrap();
            assert_eq!((read.status, &*read.body), (200, &b"hello"[..]));
            assert_eq!(read.version, Version::HTTP_2);
        }
    });
    assert_eq!(origin.connections.load(SeqCst), 1);
    assert_eq!(origin.acted(), 50);
}

#[test]
fn a_refused_stream_is_sent_again_with_its_whole_body_and_acted_on_once() {
    let refused = |told: &Told| told.request < 2;
    let origin = Frames::start(
        // The first is refused at its head, the second when all of it is there.
        |told| (told.request == 0).then(|| Does::reset(told, 7, false)),
        move |told| {
            if refused(told) {
                Does::reset(told, 7, false)
            } else {
                Does::answer(told, b"done")
            }
        },
    );
    on_thread(async {
        let (pool, backend) = (Pool::new(8), origin.backend());
        let read = Ask::post("/", &[b"one ", b"two ", b"three"])
            .answer(&pool, &backend)
            .await
            .unwrap();
        assert_eq!(read.body, b"done");
    });
    assert_eq!(*origin.acted.lock().unwrap(), [b"one two three".to_vec()]);
}

#[test]
fn a_stream_beyond_a_goaway_is_sent_again_on_a_new_connection_and_acted_on_once() {
    let origin = Frames::start(
        |_| None,
        |told| {
            if told.connection > 0 {
                return Does::answer(told, b"done");
            }
            // The last stream that it looked at is none.
            let mut write = frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0]);
            if told.request > 0 {
                write.clear();
            }
            Does {
                write,
                acts: false,
                close: false,
            }
        },
    );
    on_thread(async {
        let (pool, backend) = (Pool::new(8), origin.backend());
        for _ in 0..3 {
            let read = Ask::post("/", &[b"x"])
                .answer(&pool, &backend)
                .await
                .unwrap();
            assert_eq!(read.body, b"done");
        }
    });
    assert_eq!(origin.acted(), 3);
    assert_eq!(origin.connections.load(SeqCst), 2);
}

#[test]
fn what_may_have_been_acted_on_is_never_sent_again() {
    for (name, code) in [
        ("internal", 2),
        ("cancel", 8),
        ("calm", 11),
        ("no error", 0),
    ] {
        let origin = Frames::start(|_| None, move |told| Does::reset(told, code, true));
        on_thread(async {
            let (pool, backend) = (Pool::new(8), origin.backend());
            let answer = Ask::post("/", &[b"x"]).answer(&pool, &backend).await;
            assert_eq!(answer.unwrap_err(), ErrorKind::Closed, "{name}");
        });
        assert_eq!(origin.acted(), 1, "{name}");
    }
    // A connection that dies under it.
    let origin = Frames::start(
        |_| None,
        |_| Does {
            write: Vec::new(),
            acts: true,
            close: true,
        },
    );
    on_thread(async {
        let (pool, backend) = (Pool::new(8), origin.backend());
        let answer = Ask::post("/", &[b"x"]).answer(&pool, &backend).await;
        assert_eq!(answer.unwrap_err(), ErrorKind::Closed);
    });
    assert_eq!(origin.acted(), 1);
}

#[test]
fn an_answer_whose_stream_is_reset_never_looks_whole() {
    for code in [0, 2, 8] {
        let origin = Frames::start(
            |_| None,
            move |told| {
                let mut write = frame(HEADERS, END_HEADERS, told.stream, OK);
                write.extend(frame(DATA, 0, told.stream, b"half"));
                write.extend(frame(RESET, 0, told.stream, &u32::to_be_bytes(code)));
                Does {
                    write,
                    acts: true,
                    close: false,
                }
            },
        );
        on_thread(async {
            let (pool, backend) = (Pool::new(8), origin.backend());
            let answer = Ask::get("/").answer(&pool, &backend).await;
            assert_eq!(answer.unwrap_err(), ErrorKind::Closed, "RST_STREAM {code}");
        });
    }
}

#[test]
fn an_application_that_refuses_everything_is_asked_so_often_and_no_more() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let origin = Frames::start(
        |_| None,
        move |told| {
            count.fetch_add(1, SeqCst);
            Does::reset(told, 7, false)
        },
    );
    on_thread(async {
        let (pool, backend) = (Pool::new(8), origin.backend());
        let answer = Ask::post("/", &[b"x"]).answer(&pool, &backend).await;
        assert_eq!(answer.unwrap_err(), ErrorKind::Closed);
    });
    assert_eq!(asked.load(SeqCst), 9, "once, and eight times again");
    assert_eq!(origin.acted(), 0);
}

/// A body whose frames are given while it is sent.
struct Fed(tokio::sync::mpsc::Receiver<http_body::Frame<Bytes>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = upstream::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, upstream::Error>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

#[test]
fn a_stream_goes_both_ways_at_once_and_its_trailers_pass() {
    on_thread(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let echo = hyper::service::service_fn(|request: Request<_>| async move {
                assert_eq!(request.headers()["te"], "trailers");
                let body: hyper::body::Incoming = request.into_body();
                Ok::<_, std::convert::Infallible>(http::Response::new(body))
            });
            let executor = hyper_util::rt::TokioExecutor::new();
            let server = hyper::server::conn::http2::Builder::new(executor);
            let io = hyper_util::rt::TokioIo::new(stream);
            server.serve_connection(io, echo).await.unwrap();
        });
        let (feeder, frames) = tokio::sync::mpsc::channel(1);
        let mut frames = Some(frames);
        let mut make = || {
            let body = Outgoing::Streamed(Box::pin(Fed(frames.take().expect("sent once"))));
            let mut request = Request::new(body);
            *request.method_mut() = Method::POST;
            for (name, value) in [("host", "a"), ("te", "trailers"), ("connection", "TE")] {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            request
        };
        let (pool, backend) = (
            Pool::new(8),
            backend(vec![endpoint(Scheme::H2c, address)], |_| {}),
        );
        let plan = Plan {
            repeatable: false,
            progress: None,
            response: Duration::from_secs(10),
            now: Instant::now(),
        };
        let sent = pool.send(&backend, plan, &mut make).await.unwrap();
        let mut body = sent.response.into_body();
        for round in 0..5 {
            let piece = Bytes::from(format!("message {round}"));
            let frame = http_body::Frame::data(piece.clone());
            feeder.send(frame).await.unwrap();
            let back = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            assert_eq!(back.unwrap().unwrap().into_data().unwrap(), piece);
        }
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frame = http_body::Frame::trailers(trailers.clone());
        feeder.send(frame).await.unwrap();
        drop(feeder);
        let back = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert_eq!(back.unwrap().unwrap().into_trailers().unwrap(), trailers);
        let end = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert!(end.is_none() && upstream::ended_whole(&body, Version::HTTP_2));
    });
}

/// Seeded; `SEED` repeats a run.
#[test]
fn whatever_an_http2_application_does_no_effect_happens_twice() {
    let seed = knob("SEED", u64::from(std::process::id()));
    println!("SEED={seed}");
    let dice = Mutex::new(Dice::new(seed));
    let origin = Frames::start(
        |_| None,
        move |told| {
            let does = |write, acts, close| Does { write, acts, close };
            match dice.lock().unwrap().below(24) {
                0..3 => Does::reset(told, 7, false),
                3..5 => Does::reset(told, 2, true),
                5 => does(Vec::new(), true, true),
                6..8 if told.stream > told.highest => {
                    let last = told.highest.to_be_bytes();
                    does(
                        frame(GOAWAY, 0, 0, &[&last[..], &[0; 4]].concat()),
                        false,
                        false,
                    )
                }
                8..10 => {
                    let last = told.stream.max(told.highest).to_be_bytes();
                    let mut write = frame(GOAWAY, 0, 0, &[&last[..], &[0; 4]].concat());
                    write.extend(answer(told.stream, b"ok"));
                    does(write, true, false)
                }
                _ => Does::answer(told, b"ok"),
            }
        },
    );
    let answered = on_thread(async {
        let (pool, backend) = (Rc::new(Pool::new(8)), origin.backend());
        let answered = Rc::new(RefCell::new(Vec::new()));
        for round in 0..30 {
            let mut asked = Vec::new();
            for one in 0..8 {
                let (pool, backend) = (Rc::clone(&pool), Arc::clone(&backend));
                let answered = Rc::clone(&answered);
                asked.push(tokio::task::spawn_local(async move {
                    let id = format!("{round}/{one}");
                    let body = [id.as_bytes()];
                    if Ask::post("/", &body).answer(&pool, &backend).await.is_ok() {
                        answered.borrow_mut().push(id.into_bytes());
                    }
                }));
            }
            for asked in asked {
                asked.await.unwrap();
            }
        }
        answered.take()
    });
    let mut acted = origin.acted.lock().unwrap().clone();
    let all = acted.len();
    acted.sort();
    acted.dedup();
    assert_eq!(acted.len(), all, "something happened twice; SEED={seed}");
    assert!(answered.len() > 100, "{}; SEED={seed}", answered.len());
    assert!(
        answered.iter().all(|id| acted.contains(id)),
        "an answer without its effect; SEED={seed}"
    );
}
