//! How the process starts, is bounded and ends: signals, the service manager, descriptors, limits,
//! the access log, answers of its own.

use crate::support::Client;
use crate::support::Dice;
use crate::support::Origin;
use crate::support::Process;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::Start;
use crate::support::eventually;
use crate::support::pause;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn json() -> Origin {
    Origin::start(|_| Reply::json("{}"))
}

fn rules(origin: &Origin, more: &str) -> String {
    format!("legacy: {}\n{more}", origin.url())
}

fn with(rules: String) -> Start<'static> {
    Start {
        rules,
        ..Start::default()
    }
}

fn told(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let len = socket
        .recv(&mut bytes)
        .expect("the process tells something");
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

/// Skips what the watchdog is told; counts it.
fn told_besides(socket: &UnixDatagram, beats: &mut u32) -> String {
    loop {
        let text = told(socket);
        if text != "WATCHDOG=1\n" {
            return text;
        }
        *beats += 1;
    }
}

#[test]
fn the_service_manager_is_told_of_start_reload_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(10 * SECOND)).unwrap();
    let origin = json();
    let variables = [
        ("NOTIFY_SOCKET", path.display().to_string()),
        ("WATCHDOG_USEC", "100000".to_owned()),
    ];
    let mut process = Process::start(Start {
        rules: rules(&origin, ""),
        variables: &variables,
        ..Start::default()
    });
    let mut beats = 0;
    let first = told_besides(&socket, &mut beats);
    let serving = format!(
        "STATUS=serving on {}, admin side on {}\n",
        process.data, process.admin
    );
    assert_eq!(first, format!("READY=1\n{serving}"));
    while beats < 3 {
        assert_eq!(told(&socket), "WATCHDOG=1\n");
        beats += 1;
    }
    process.signal(Signal::HUP);
    let reloading = told_besides(&socket, &mut beats);
    assert!(
        reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(told_besides(&socket, &mut beats).starts_with("READY=1\n"));
    // Wrong rules end the reload as well: the old ones serve on.
    std::fs::write(process.config(), "legacy: [\n").unwrap();
    process.signal(Signal::HUP);
    assert!(told_besides(&socket, &mut beats).starts_with("RELOADING=1\n"));
    assert!(told_besides(&socket, &mut beats).starts_with("READY=1\n"));
    assert_eq!(Client::get(process.data, "/").status, 200);
    process.signal(Signal::TERM);
    assert!(told_besides(&socket, &mut beats).starts_with("STOPPING=1\n"));
    assert_eq!(process.end(5 * SECOND), Some(0));
}

#[test]
fn sockets_that_are_passed_outlive_the_process_and_lose_no_client() {
    let origin = json();
    let data = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = || Start {
        rules: rules(&origin, ""),
        sockets: Some((data.try_clone().unwrap(), admin.try_clone().unwrap())),
        ..Start::default()
    };
    // A client that comes before the process waits for it.
    let mut early = Client::connect(data.local_addr().unwrap());
    early.send(REQUEST);
    let mut first = Process::start(start());
    assert_eq!(early.read(false).unwrap().status, 200);
    assert!(
        first.log().contains("listens on a socket passed"),
        "{}",
        first.log()
    );
    // Both threads serve from the one socket.
    for _ in 0..20 {
        assert_eq!(Client::get(first.data, "/").status, 200);
    }
    first.signal(Signal::TERM);
    assert_eq!(first.end(5 * SECOND), Some(0));
    let mut between = Client::connect(data.local_addr().unwrap());
    between.send(REQUEST);
    let _second = Process::start(start());
    assert_eq!(between.read(false).unwrap().status, 200);
}

#[test]
fn a_drain_closes_idle_connections_and_says_why_it_is_not_ready() {
    let origin = Origin::start(|seen| match seen.target.as_str() {
        "/slow" => Reply::After(800, Box::new(Reply::json("{}"))),
        _ => Reply::json("{}"),
    });
    let mut process = Process::start(with(rules(
        &origin,
        "drain: { delay: 300ms, timeout: 5s }\n",
    )));
    let mut idle = Client::connect(process.data);
    assert_eq!(idle.ask("GET", "/", &[], b"").status, 200);
    let mut busy = Client::connect(process.data);
    busy.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is asked", || origin.seen().len() == 2);
    process.signal(Signal::TERM);
    eventually("it is not ready", || process.ready().status == 503);
    assert_eq!(process.ready().text(), "draining\n");
    // Within the delay new clients are still served, and idle ones are kept.
    assert_eq!(Client::get(process.data, "/").status, 200);
    assert!(
        idle.read(false).is_none(),
        "it is closed, without an answer"
    );
    let answer = busy.read(false).unwrap();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, Some("close"))
    );
    assert_eq!(process.end(2 * SECOND), Some(0));
}

/// Asks over and over; returns how many answers there were, of them how many that said that the
/// connection ends, and what went wrong.
fn ask_until_nobody_listens(address: SocketAddr, seed: u64) -> (u32, u32, Vec<String>) {
    use std::io::Write;
    let (mut dice, mut wrong) = (Dice::new(seed), Vec::new());
    let (mut answers, mut last) = (0, 0);
    while let Ok(stream) = TcpStream::connect(address) {
        let mut client = Client::over(stream);
        for number in 0.. {
            let target = dice.pick(&["/", "/", "/slow"]);
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let sent = client.stream.write_all(head.as_bytes());
            let Some(answer) = sent.ok().and_then(|()| client.read(false)) else {
                if number == 0 {
                    // The listener was closed when the kernel had connected it already.
                    return (answers, last, wrong);
                }
                wrong.push(format!("request {number} of a connection has no answer"));
                break;
            };
            answers += 1;
            if answer.status != 200 || !answer.whole {
                wrong.push(format!("{answer:?}"));
            }
            if answer.field("connection") == Some("close") {
                last += 1;
                break;
            }
            pause(dice.below(20));
        }
    }
    (answers, last, wrong)
}

#[test]
fn no_request_on_a_kept_connection_fails_when_a_drain_has_a_delay() {
    for round in 0..4 {
        let origin = Origin::start(|seen| match seen.target.as_str() {
            "/slow" => Reply::After(5, Box::new(Reply::json("{}"))),
            _ => Reply::json("{}"),
        });
        let drain = "drain: { delay: 300ms, timeout: 5s }\n";
        let mut process = Process::start(with(rules(&origin, drain)));
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let (address, seed) = (process.data, round * 100 + client);
                std::thread::spawn(move || ask_until_nobody_listens(address, seed))
            })
            .collect();
        pause(100);
        process.signal(Signal::TERM);
        assert_eq!(process.end(5 * SECOND), Some(0));
        for client in clients {
            let (answers, last, wrong) = client.join().unwrap();
            assert!(wrong.is_empty(), "round {round}: {wrong:?}");
            assert!(answers > 10 && last > 0, "round {round}: {answers}, {last}");
        }
    }
}

#[test]
fn what_is_sent_after_the_last_request_of_a_connection_takes_no_answer_away() {
    let origin = json();
    let proxy = Proxy::start(&rules(&origin, "limits: { requests: 1 }\n"));
    for _ in 0..20 {
        let mut client = Client::connect(proxy.data);
        client.send(&REQUEST.repeat(50));
        pause(10);
        let answer = client.read(false).unwrap();
        assert_eq!(
            (answer.status, answer.field("connection")),
            (200, Some("close"))
        );
        assert!(client.read(false).is_none());
    }
}

#[test]
fn a_client_that_never_asks_does_not_hold_up_a_drain() {
    let origin = json();
    let mut process = Process::start(with(rules(&origin, "")));
    let silent = Client::connect(process.data);
    assert_eq!(Client::get(process.data, "/").status, 200);
    process.signal(Signal::TERM);
    assert_eq!(process.end(3 * SECOND), Some(0));
    drop(silent);
}

#[test]
fn a_second_signal_ends_it_at_once_and_says_so_by_its_exit_code() {
    let origin = Origin::start(|_| Reply::Stall);
    let drain = "drain: { delay: 20s, timeout: 20s }\n";
    let mut process = Process::start(with(rules(&origin, drain)));
    let mut client = Client::connect(process.data);
    client.send(REQUEST);
    eventually("it is asked", || origin.seen().len() == 1);
    process.signal(Signal::TERM);
    eventually("it drains", || process.ready().status == 503);
    let start = Instant::now();
    process.signal(Signal::INT);
    assert_eq!(process.end(5 * SECOND), Some(3));
    assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
    assert!(client.read(false).is_none());
}

#[test]
fn a_tunnel_lives_through_a_drain_until_its_time_is_over() {
    let origin = Origin::start(|_| Reply::Echo);
    let open = |process: &Process| {
        let mut client = Client::connect(process.data);
        client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        assert_eq!(client.read(true).unwrap().status, 101);
        client
    };
    let echo = |client: &mut Client| {
        use std::io::Read;
        client.send(b"ping");
        let mut bytes = [0; 4];
        client.stream.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"ping");
    };
    let rules = rules(&origin, "drain: { timeout: 1s }\n");
    let mut process = Process::start(with(rules.clone()));
    let mut client = open(&process);
    process.signal(Signal::TERM);
    eventually("it drains", || TcpStream::connect(process.data).is_err());
    echo(&mut client);
    drop(client);
    assert_eq!(process.end(SECOND), Some(0), "the tunnel ended by itself");
    let mut process = Process::start(with(rules));
    let mut client = open(&process);
    process.signal(Signal::TERM);
    eventually("it drains", || TcpStream::connect(process.data).is_err());
    echo(&mut client);
    assert_eq!(process.end(3 * SECOND), Some(3), "the tunnel was cut");
}

/// Opens connections without pause and keeps them until they are closed.
struct Flood {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<usize>>,
}

impl Flood {
    fn start(address: std::net::SocketAddr, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut open = std::collections::VecDeque::new();
                let mut made = 0;
                while !stop.load(Ordering::Acquire) {
                    if let Ok(stream) = TcpStream::connect(address) {
                        made += 1;
                        open.push_back(stream);
                    }
                    if open.len() > clients / 4 {
                        open.pop_front();
                    }
                }
                made
            })
        };
        let threads = (0..4).map(one).collect();
        Self { stop, threads }
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Release);
        self.threads.into_iter().map(|t| t.join().unwrap()).sum()
    }
}

#[test]
fn connections_that_the_rules_ask_for_and_descriptors_do_not_allow_are_warned_of() {
    let process = Process::start(Start {
        rules: rules(&json(), "limits: { connections: 5000 }\n"),
        descriptors: Some(256),
        ..Start::default()
    });
    let told = "`limits.connections` is 5000, but 256 descriptors may be open";
    let log = process.log();
    let mut told = log.lines().filter(|line| line.contains(told));
    assert!(told.next().is_some_and(|l| l.contains("WARN")), "{log}");
}

#[test]
fn a_flood_of_clients_locks_nobody_out_of_the_admin_side() {
    let (legacy, candidate) = (json(), json());
    let slice = format!(
        "slices:\n  - {{ name: s, match: /s, to: \"{}\", stage: cutover }}\n",
        candidate.url()
    );
    let process = Process::start(Start {
        rules: rules(&legacy, &slice),
        descriptors: Some(256),
        ..Start::default()
    });
    let log = process.log();
    let mut told = log
        .lines()
        .filter(|line| line.contains("256 descriptors may be open"));
    // The rules name no number, so there is nothing to warn of.
    assert!(told.next().is_some_and(|l| l.contains("INFO")), "{log}");
    let mut known = Client::connect(process.data);
    assert_eq!(known.ask("GET", "/s", &[], b"").status, 200);
    let flood = Flood::start(process.data, 2_000);
    let refused = "supplant_connections_refused_total{reason=\"limit\"}";
    eventually("clients are refused", || process.metric(refused) > 500.0);
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(process.ready().status, 200);
        slowest = slowest.max(start.elapsed());
    }
    let start = Instant::now();
    assert_eq!(process.command(&["kill", "s"]), (0, String::new()));
    let kill = start.elapsed();
    let asked = candidate.seen().len();
    assert_eq!(known.ask("GET", "/s", &[], b"").status, 200);
    assert_eq!(candidate.seen().len(), asked, "the kill is in force");
    let open = process.metric("process_open_fds");
    let made = flood.end();
    println!("readyz {slowest:?} at most, kill {kill:?}, {made} connections, {open} descriptors");
    assert!(slowest < SECOND && kill < SECOND, "{slowest:?} {kill:?}");
    assert!(made > 2_000 && open < 256.0);
}

#[test]
fn without_any_descriptor_nothing_spins_and_clients_are_served_when_there_are_some_again() {
    let origin = json();
    let process = Process::start(with(rules(&origin, "")));
    let mut known = Client::connect(process.data);
    assert_eq!(known.ask("GET", "/", &[], b"").status, 200);
    let before = process.allow_descriptors(Some(4));
    let mut waiting: Vec<_> = (0..5).map(|_| Client::connect(process.data)).collect();
    for client in &mut waiting {
        client.send(REQUEST);
    }
    let used = process.seconds_used();
    pause(1_000);
    let used = process.seconds_used() - used;
    // Who is connected is served meanwhile, on the connection that is kept to the application.
    assert_eq!(known.ask("GET", "/", &[], b"").status, 200);
    process.allow_descriptors(before);
    for client in &mut waiting {
        assert_eq!(client.read(false).unwrap().status, 200);
    }
    let errors = process.metric("supplant_accept_errors_total{reason=\"descriptors\"}");
    println!("{used} s of processor time in 1 s, {errors} errors");
    assert!(used < 0.3 && errors > 0.0 && errors < 150.0);
}

#[test]
fn more_requests_than_may_be_under_way_are_refused_at_once() {
    let origin = Origin::start(|seen| match seen.target.as_str() {
        "/slow" => Reply::Stall,
        _ => Reply::json("{}"),
    });
    let proxy = Proxy::start(&rules(&origin, "limits: { inflight: 1 }\n"));
    let mut slow = Client::connect(proxy.data);
    slow.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is asked", || origin.seen().len() == 1);
    let mut client = Client::connect(proxy.data);
    let mut times = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        let answer = client.ask("GET", "/", &[], b"");
        times.push(start.elapsed());
        assert_eq!(
            (answer.status, answer.field("retry-after")),
            (503, Some("1"))
        );
        let why = answer.field("proxy-status");
        assert_eq!(why, Some("supplant; error=proxy_internal_response"));
    }
    times.sort();
    assert!(times[25] < Duration::from_millis(5), "{times:?}");
    let refused = "supplant_requests_refused_total{reason=\"inflight\"}";
    assert_eq!(proxy.metrics()[refused], 50.0);
    drop(slow);
    eventually("its place is free", || {
        client.ask("GET", "/", &[], b"").status == 200
    });
    proxy.outcomes("_unmatched");
}

#[test]
fn a_connection_ends_after_its_last_request() {
    let origin = json();
    let proxy = Proxy::start(&rules(&origin, "limits: { requests: 2 }\n"));
    let mut client = Client::connect(proxy.data);
    assert_eq!(client.ask("GET", "/", &[], b"").field("connection"), None);
    let last = client.ask("GET", "/", &[], b"");
    assert_eq!(
        (last.status, last.field("connection")),
        (200, Some("close"))
    );
    assert!(client.read(false).is_none());
}

#[test]
fn new_connections_wait_in_the_queue_when_they_come_too_fast() {
    let origin = json();
    let proxy = Proxy::start(&rules(&origin, "limits: { accept_rate: 50/s }\n"));
    let start = Instant::now();
    for _ in 0..60 {
        assert_eq!(Client::get(proxy.data, "/").status, 200);
    }
    assert!(
        start.elapsed() > Duration::from_millis(700),
        "{:?}",
        start.elapsed()
    );
    assert!(proxy.metrics()["supplant_accepts_delayed_total"] > 20.0);
}

#[test]
fn a_sampled_log_has_all_that_went_wrong_or_was_slow() {
    let origin = Origin::start(|seen| match seen.target.as_str() {
        "/bad" => Reply::RawClose(b"nonsense\r\n\r\n".to_vec()),
        "/slow" => Reply::After(150, Box::new(Reply::json("{}"))),
        _ => Reply::json("{}"),
    });
    let args = [
        "--access-log",
        "json",
        "--access-log-sample",
        "0%",
        "--access-log-slow",
        "100",
    ];
    let mut process = Process::start(Start {
        rules: rules(&origin, ""),
        args: &args,
        ..Start::default()
    });
    let mut client = Client::connect(process.data);
    for target in ["/", "/bad", "/slow", "/"] {
        client.ask("GET", target, &[], b"");
    }
    drop(client);
    process.signal(Signal::TERM);
    assert_eq!(process.end(5 * SECOND), Some(0));
    let lines = process.lines();
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["path"].as_str().unwrap(),
                line["status"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, [("/bad", 502), ("/slow", 200)]);
    assert_eq!(lines[0]["protocol"], "HTTP/1.1");
    assert_eq!(lines[0]["error"], "malformed");
    assert!(lines[1]["id"].is_string() && lines[1]["reason"].is_string());
}

#[test]
fn answers_of_its_own_say_who_made_them_and_nothing_of_the_inside() {
    let origin = Origin::start(|seen| match seen.target.as_str() {
        "/bad" => Reply::RawClose(b"nonsense\r\n\r\n".to_vec()),
        "/closes" => Reply::RawClose(Vec::new()),
        "/silent" => Reply::Stall,
        _ => Reply::json("{}"),
    });
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = Proxy::start(&format!(
        "legacy: {{ endpoints: [\"{}\"], timeouts: {{ response: 200ms }} }}\nslices:\n  - {{ name: s, match: /gone, to: \"http://{gone}\", stage: cutover }}\n",
        origin.url()
    ));
    let port = gone.port().to_string();
    for (target, status, why) in [
        ("/bad", 502, "http_protocol_error"),
        ("/closes", 502, "connection_terminated"),
        ("/silent", 504, "http_response_timeout"),
        ("/gone", 502, "connection_refused"),
        ("/../x", 400, "http_request_error"),
    ] {
        let answer = Client::connect(proxy.data).ask("POST", target, &[], b"");
        let said = answer.field("proxy-status").unwrap_or("").to_owned();
        assert_eq!(
            (answer.status, said),
            (status, format!("supplant; error={why}")),
            "{target}"
        );
        assert!(!answer.text().contains(&port) && answer.text().len() < 100);
    }
    assert_eq!(Client::get(proxy.data, "/").field("proxy-status"), None);
}
