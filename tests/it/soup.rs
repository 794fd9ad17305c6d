//! Everything at once, by a seed: all kinds of requests, applications that fail, clients that leave,
//! reloads, kills and restarts. After it the outcomes add up, nothing is pending, and each whole
//! answer is the one that an application sent for that very request.
//!
//! `SIM_SEED=7` takes another seed, `SOUP_REQUESTS=5000` sends more.

use crate::support::Answer;
use crate::support::Client;
use crate::support::Dice;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::Seen;
use crate::support::knob;
use crate::support::pause;
use std::fmt::Write as _;
use std::io::Read;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

const SLICES: [&str; 4] = ["a", "b", "c", "d"];
const CLIENTS: u64 = 6;

/// What an application does with a target, which names it: `/a/half/17`.
const PLAIN: [&str; 6] = ["json", "chunked", "text", "missing", "empty", "session"];
const ODD: [&str; 7] = ["large", "slow", "half", "garbage", "cut", "stall", "error"];

/// What an application sends: a function of who it is and of the request.
fn body(side: &str, method: &str, kind: &str, target: &str, upload: usize) -> Vec<u8> {
    match kind {
        "large" => format!("{side} {target} ").repeat(80_000).into_bytes(),
        "empty" => Vec::new(),
        // In this both agree.
        "text" => format!("{{\"method\":\"{method}\",\"target\":\"{target}\",\"upload\":{upload}}}").into_bytes(),
        _ => format!("{{\"side\":\"{side}\",\"method\":\"{method}\",\"target\":\"{target}\",\"upload\":{upload}}}").into_bytes(),
    }
}

fn answer(side: &'static str, seen: &Seen) -> Reply {
    let kind = seen.target.split('/').nth(2).unwrap_or("");
    if kind == "socket" && seen.field("upgrade").is_some() {
        return Reply::Echo;
    }
    let body = body(side, &seen.method, kind, &seen.target, seen.body.len());
    let (status, more) = match kind {
        "missing" => ("404 Not Found", ""),
        "empty" => ("204 No Content", ""),
        "error" => ("500 Oh", "Retry-After: 1\r\n"),
        "session" => ("200 OK", "Set-Cookie: sessionid=1; Path=/\r\n"),
        _ => ("200 OK", "Content-Type: application/json\r\n"),
    };
    let mut head = format!("HTTP/1.1 {status}\r\nX-Side: {side}\r\n{more}");
    let headless = seen.method == "HEAD";
    if kind == "chunked" && !headless {
        let (one, two) = body.split_at(body.len() / 2);
        head += "Transfer-Encoding: chunked\r\n\r\n";
        let mut bytes = head.into_bytes();
        for piece in [one, two] {
            bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
            bytes.extend([piece, b"\r\n"].concat());
        }
        bytes.extend(b"0\r\n\r\n");
        return Reply::Raw(bytes);
    }
    if kind == "empty" {
        return Reply::Raw(format!("{head}\r\n").into_bytes());
    }
    write!(head, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
    let whole = if headless {
        head.clone().into_bytes()
    } else {
        [head.as_bytes(), &body].concat()
    };
    // Half of what may fail does so, by the request: each side fails at other ones.
    let sum: usize = seen.target.bytes().map(usize::from).sum();
    let fails = (side.len() + sum).is_multiple_of(2);
    match kind {
        "slow" => Reply::After(40, Box::new(Reply::Raw(whole))),
        "half" if fails && !headless => {
            Reply::RawClose([head.as_bytes(), &body[..body.len() / 2]].concat())
        }
        "garbage" if fails => Reply::RawClose(b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec()),
        "cut" if fails => Reply::RawClose(Vec::new()),
        "stall" if fails => Reply::Stall,
        _ => Reply::Raw(whole),
    }
}

fn origin(side: &'static str, listener: TcpListener) -> Origin {
    Origin::on(listener, move |seen| answer(side, seen))
}

/// How often clients sent a request that the proxy has to count, and one that it may have missed.
#[derive(Default)]
struct Sent {
    surely: u64,
    perhaps: u64,
}

/// Asserts that an answer is what an application sends to this request, or one of the proxy's own.
fn check(answer: &Answer, asked: (&str, &str, &str, usize)) {
    let (method, kind, target, upload) = asked;
    let asked = format!("{method} {target}: {} {}", answer.status, answer.text());
    let Some(side) = answer.field("x-side") else {
        return assert!(matches!(answer.status, 502 | 504), "{asked}");
    };
    let wanted = body(side, method, kind, target, upload);
    if method == "HEAD" {
        let length = (kind != "empty").then(|| wanted.len().to_string());
        assert_eq!(answer.field("content-length"), length.as_deref(), "{asked}");
    } else if answer.whole {
        assert!(answer.body == wanted, "{asked}");
    } else {
        assert!(wanted.starts_with(&answer.body), "{asked}");
    }
    let status = match kind {
        "missing" => 404,
        "empty" => 204,
        "error" => 500,
        _ => 200,
    };
    assert_eq!(answer.status, status, "{asked}");
    let of_a_slice = SLICES.iter().any(|s| target.starts_with(&format!("/{s}/")));
    assert!(side == "legacy" || of_a_slice, "{asked}");
}

struct Eater {
    data: SocketAddr,
    dice: Dice,
    sent: Sent,
    client: Client,
    number: u64,
    last: String,
}

impl Eater {
    fn eat(mut self, requests: u64) -> Sent {
        for i in 0..requests {
            let slice = *self.dice.pick(&["a", "b", "c", "d", "none", "A"]);
            let kind = *if self.dice.below(3) == 0 {
                self.dice.pick(&ODD)
            } else {
                self.dice.pick(&PLAIN)
            };
            let target = format!("/{slice}/{kind}/{}-{i}", self.number);
            match self.dice.below(20) {
                0 => self.leave(&target),
                1 => self.leave_within(&format!("/{slice}/large/{}-{i}", self.number)),
                2 => self.upgrade(&format!("/{slice}/socket/{}-{i}", self.number)),
                3 => self.refused(),
                _ => self.ask(&target, kind),
            }
        }
        self.sent
    }

    fn renew(&mut self) {
        "new".clone_into(&mut self.last);
        self.client = Client::connect(self.data);
    }

    fn ask(&mut self, target: &str, kind: &str) {
        let method = *self.dice.pick(&[
            "GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE",
        ]);
        let field = *self.dice.pick(&[
            "",
            "",
            "",
            "If-None-Match: \"x\"\r\n",
            "Range: bytes=0-1\r\n",
            "Supplant-Role: shadow\r\n",
            "X-User: 7\r\n",
            "X-User: 31\r\nCookie: sessionid=4\r\n",
        ]);
        let upload = if matches!(method, "POST" | "PUT") {
            self.dice.index(100_000)
        } else {
            0
        };
        let target = match self.dice.below(12) {
            0 => format!("{target}/logout"),
            1 => format!("{target}?token=1"),
            _ => target.to_owned(),
        };
        self.sent.surely += 1;
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: app.example\r\n{field}");
        if upload > 0 {
            write!(head, "Content-Length: {upload}\r\n").unwrap();
        }
        let bytes = [format!("{head}\r\n").as_bytes(), &vec![b'u'; upload]].concat();
        // Where an application is gone the proxy may answer before it took the whole body.
        let written = std::io::Write::write_all(&mut self.client.stream, &bytes).is_ok();
        let Some(answer) = self.client.read(method == "HEAD") else {
            assert!(
                !written || upload > 0,
                "{method} {target} got no answer after {}",
                self.last
            );
            return self.renew();
        };
        check(&answer, (method, kind, &target, upload));
        self.last = format!(
            "{method} {target} {upload} {field:?} {} {:?} {}",
            answer.status, answer.fields, answer.whole
        );
        if !answer.whole || answer.field("connection") == Some("close") || !written {
            self.renew();
        }
    }

    /// Leaves as soon as the request is sent.
    fn leave(&mut self, target: &str) {
        self.sent.perhaps += 1;
        self.client
            .send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        pause(self.dice.below(8));
        self.renew();
    }

    /// Leaves in the middle of an answer.
    fn leave_within(&mut self, target: &str) {
        self.sent.perhaps += 1;
        self.client
            .send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let mut piece = [0; 500];
        let _n = self.client.stream.read(&mut piece);
        self.renew();
    }

    fn upgrade(&mut self, target: &str) {
        self.sent.surely += 1;
        let fields = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        let answer = self.client.ask("GET", target, &fields, b"");
        if answer.status == 101 {
            self.client.send(b"over and out");
            let mut back = [0; 12];
            // The application may be killed meanwhile.
            if self.client.stream.read_exact(&mut back).is_ok() {
                assert_eq!(&back, b"over and out");
            }
        } else {
            assert!(
                matches!(answer.status, 502 | 504),
                "{target}: {}",
                answer.status
            );
        }
        self.renew();
    }

    /// What the proxy refuses by itself is counted too.
    fn refused(&mut self) {
        self.sent.surely += 1;
        assert_eq!(self.client.ask("GET", "/a/../../x", &[], b"").status, 400);
        self.renew();
    }
}

fn rules(dice: &mut Dice, legacy: SocketAddr, candidate: SocketAddr) -> String {
    let mut text = format!(
        "legacy: {{ endpoints: [\"http://{legacy}\"], timeouts: {{ response: 300ms }} }}\nbackends: {{ new: {{ endpoints: [\"http://{candidate}\"], timeouts: {{ response: 300ms }} }} }}\nslices:\n"
    );
    for name in SLICES {
        if dice.below(8) == 0 {
            continue;
        }
        let stage = dice.pick(&[
            "legacy", "legacy, compare: { control: 100%, control_rate: none }", "shadow", "shadow",
            "shadow, compare: { control: 100%, control_rate: none }",
            "canary, ramp: { by: random, percent: 50% }, compare: { control: 100%, control_rate: none }",
            "canary, ramp: { by: \"header:x-user\", percent: 50% }", "cutover", "retired",
        ]);
        let shadow = dice.pick(&[
            "rate: none",
            "rate: none, sample: 50%",
            "rate: 20/s",
            "rate: none, max_inflight: 2",
            "rate: none, methods: [GET, HEAD, OPTIONS], except: [/a/text]",
        ]);
        writeln!(text, "  - {{ name: {name}, match: /{name}, to: new, shadow: {{ {shadow}, timeout: 200ms }}, stage: {stage} }}").unwrap();
    }
    text
}

/// Binds where a killed application listened.
fn again(address: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(address) {
            return listener;
        }
        pause(5);
    }
}

/// Edits, kills and revives until the clients are done; returns how many slices were killed.
fn stir(proxy: &Proxy, dice: &mut Dice, applications: [Origin; 2], done: &AtomicBool) {
    let [legacy, candidate] = applications.each_ref().map(|o| o.address);
    let mut running = applications.map(Some);
    while !done.load(Ordering::Acquire) {
        pause(20 + dice.below(60));
        let slice = *dice.pick(&SLICES);
        match dice.below(8) {
            0..=2 => proxy.save(&rules(dice, legacy, candidate)),
            3 => proxy.save("legacy: [\n"),
            4 => {
                let act = *dice.pick(&["kill", "rollback", "resume"]);
                let target = format!("/api/v1/slices/{slice}/{act}");
                let (status, text) = proxy.admin_post(&target, "{\"reason\":\"soup\"}");
                assert!(status < 500, "{target}: {text}");
            }
            5 => {
                let act = *dice.pick(&["kill", "resume", "resume"]);
                assert!(proxy.admin_post(&format!("/api/v1/{act}"), "{}").0 < 500);
            }
            _ => {
                let place = dice.index(2);
                let (side, address) = [("legacy", legacy), ("candidate", candidate)][place];
                if let Some(origin) = running[place].take() {
                    origin.kill();
                    pause(dice.below(40));
                }
                running[place] = Some(origin(side, again(address)));
            }
        }
    }
    for (place, (side, address)) in [("legacy", legacy), ("candidate", candidate)]
        .into_iter()
        .enumerate()
    {
        drop(running[place].take());
        drop(origin(side, again(address)));
    }
}

#[test]
fn in_a_soup_of_everything_the_outcomes_add_up_and_no_answer_is_changed() {
    let (seed, requests) = (knob("SIM_SEED", 1), knob("SOUP_REQUESTS", 250));
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let applications = [origin("legacy", bind()), origin("candidate", bind())];
    let text = rules(&mut dice, applications[0].address, applications[1].address);
    let proxy = Proxy::start(&text);
    let eaters: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let eater = Eater {
                data: proxy.data,
                dice: Dice::new(seed ^ ((number + 1) << 32)),
                sent: Sent::default(),
                client: Client::connect(proxy.data),
                number,
                last: String::new(),
            };
            std::thread::spawn(move || eater.eat(requests))
        })
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let waiter = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            let all: Vec<_> = eaters
                .into_iter()
                .map(std::thread::JoinHandle::join)
                .collect();
            done.store(true, Ordering::Release);
            all
        })
    };
    stir(&proxy, &mut dice, applications, &done);
    let mut sent = Sent::default();
    for eaten in waiter.join().unwrap() {
        let eaten = eaten.unwrap_or_else(|_| panic!("a client failed, seed {seed}"));
        sent.surely += eaten.surely;
        sent.perhaps += eaten.perhaps;
    }
    // Checks the sum for every slice, and that nothing is pending.
    for slice in SLICES {
        println!("{slice}: {:?}", proxy.outcomes(slice));
    }
    println!("_unmatched: {:?}", proxy.outcomes("_unmatched"));
    let metrics = proxy.metrics();
    let counted = metrics
        .iter()
        .filter(|(name, _)| name.starts_with("supplant_requests_total"));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small counts"
    )]
    let counted = counted.map(|(_, count)| *count as u64).sum::<u64>();
    let most = sent.surely + sent.perhaps;
    assert!(
        (sent.surely..=most).contains(&counted),
        "seed {seed}: {counted} of {}..={most}",
        sent.surely
    );
    let panics: f64 = metrics
        .iter()
        .filter(|(n, _)| n.starts_with("supplant_panics_total"))
        .map(|(_, v)| v)
        .sum();
    assert!(panics < 0.5, "seed {seed}: {panics} panics");
}
