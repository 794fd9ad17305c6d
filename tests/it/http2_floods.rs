//! Clients of HTTP/2 that ask for nothing, much: they are told to be calm and counted, the memory does
//! not grow, and others are served.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Reply;
use crate::support::eventually;
use crate::support::frames::CONTINUATION;
use crate::support::frames::DATA;
use crate::support::frames::END_STREAM;
use crate::support::frames::GOAWAY;
use crate::support::frames::HEADERS;
use crate::support::frames::PING;
use crate::support::frames::PRIORITY;
use crate::support::frames::RST_STREAM;
use crate::support::frames::Reaction;
use crate::support::frames::SETTINGS;
use crate::support::frames::WINDOW_UPDATE;
use crate::support::frames::Wire;
use crate::support::frames::block;
use crate::support::frames::request;
use std::io::BufRead;
use std::io::BufReader;
use std::net::SocketAddr;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use tempfile::TempDir;

const CALM: u32 = 11;

/// What is counted, and what is sent until the connection is gone.
type Flood = (&'static str, fn(&mut Wire));

/// A proxy in a process of its own, whose memory can be told.
struct Alone {
    child: Child,
    data: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
}

impl Alone {
    fn start(origin: &Origin) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = format!("legacy: {}\n", origin.url());
        std::fs::write(folder.path().join("routes.yaml"), rules).unwrap();
        let any = "127.0.0.1:0";
        let mut child = Command::new(env!("CARGO_BIN_EXE_supplant"))
            .current_dir(folder.path())
            .args(["run", "--listen", any, "--admin", any])
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = |mark: &str| loop {
            let line = told.next().expect("it serves").unwrap();
            if let Some((_, rest)) = line.split_once(mark) {
                let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
                let (address, _) = rest.split_at(end.unwrap_or(rest.len()));
                break address.parse().unwrap();
            }
        };
        let data = address("serving on http://");
        let admin = address("http://");
        std::thread::spawn(move || told.for_each(drop));
        Self {
            child,
            data,
            admin,
            folder,
        }
    }

    /// Resident memory in KiB.
    fn memory(&self) -> i64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn metrics(&self) -> String {
        let path = self.folder.path().join("supplant.token");
        let token = std::fs::read_to_string(path).unwrap();
        let mut client = Client::connect(self.admin);
        let (host, token) = (self.admin, token.trim());
        let head = format!(
            "GET /metrics HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        client.send(head.as_bytes());
        client.read(false).unwrap().text()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Floods on four connections at once while another client is served; returns how much memory grew,
/// in KiB. hyper may be the first to notice.
fn flooded(proxy: &Alone, reason: &str, flood: fn(&mut Wire)) -> i64 {
    let counted = |among: &[&str]| -> f64 {
        let text = proxy.metrics();
        let ended = text.lines().filter_map(|line| {
            let labels = line.strip_prefix("supplant_http2_connections_ended_total")?;
            let ours = among.iter().any(|reason| labels.contains(reason));
            ours.then(|| labels.rsplit_once(' ')?.1.parse::<f64>().ok())
                .flatten()
        });
        ended.sum()
    };
    // A flood that is answered by resets is counted by whichever came to most.
    let reasons = match reason {
        "provoked_resets" => [reason, "window_updates"],
        _ => [reason, "enhance_your_calm"],
    };
    let (ended, ours) = (counted(&["reason"]), counted(&reasons));
    for _ in 0..50 {
        Client::get(proxy.data, "/warm");
    }
    let before = proxy.memory();
    let data = proxy.data;
    let attackers: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut wire = Wire::connect(data);
                flood(&mut wire);
                wire.until(|f| f.kind == GOAWAY).map(|f| f.payload)
            })
        })
        .collect();
    let mut other = Wire::connect(data);
    let mut most = before;
    for n in 0..50 {
        other.get(2 * n + 1, "/");
        assert_eq!(other.reaction(2 * n + 1), Reaction::Answer(200), "{reason}");
        assert_eq!(Client::get(data, "/").status, 200, "{reason}");
        most = most.max(proxy.memory());
    }
    for attacker in attackers {
        // A client that still writes may be cut before it reads why.
        if let Some(away) = attacker.join().unwrap() {
            assert_eq!(away[4..8], CALM.to_be_bytes(), "{reason}");
        }
    }
    eventually(reason, || counted(&["reason"]) - ended == 4.0);
    assert_eq!(counted(&reasons) - ours, 4.0, "{reason}");
    most.max(proxy.memory()) - before
}

#[test]
fn floods_end_the_connection_that_makes_them_and_nobody_else_is_hurt() {
    const FRAMES: u32 = 20_000;
    let origin = Origin::start(|seen| match seen.target.as_str() {
        "/stall" => Reply::Stall,
        _ => Reply::json("{}"),
    });
    let proxy = Alone::start(&origin);
    let floods: [Flood; 8] = [
        ("resets", |wire| {
            for n in 0..FRAMES {
                let sent = wire.get(2 * n + 1, "/stall")
                    && wire.frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8]);
                if !sent {
                    return;
                }
            }
        }),
        ("provoked_resets", |wire| {
            for n in 0..FRAMES {
                let stream = 2 * n + 1;
                let sent = wire.fields(stream, false, &request("POST", "/"))
                    && wire.frame(WINDOW_UPDATE, 0, stream, &[0x7f, 255, 255, 255]);
                if !sent {
                    return;
                }
            }
        }),
        ("pings", |wire| while wire.frame(PING, 0, 0, &[1; 8]) {}),
        ("settings", |wire| {
            while wire.frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]) {}
        }),
        ("window_updates", |wire| {
            while wire.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]) {}
        }),
        ("empty_frames", |wire| {
            wire.fields(1, false, &request("POST", "/"));
            while wire.frame(DATA, 0, 1, b"") {}
        }),
        ("other_frames", |wire| {
            while wire.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]) {}
        }),
        ("continuations", |wire| {
            wire.frame(HEADERS, END_STREAM, 1, &block(&request("GET", "/")));
            while wire.frame(CONTINUATION, 0, 1, &block(&[("a", "b")])) {}
        }),
    ];
    let mut grown = Vec::new();
    for (reason, flood) in floods {
        let more = flooded(&proxy, reason, flood);
        println!("{reason}: {more} KiB more");
        if more > 32 << 10 {
            grown.push((reason, more));
        }
    }
    assert!(grown.is_empty(), "{grown:?}");
}

#[test]
fn windows_that_stay_shut_hold_little() {
    let origin = Origin::start(|_| Reply::Large(64 << 20));
    let proxy = Alone::start(&origin);
    for _ in 0..50 {
        let mut wire = Wire::connect(proxy.data);
        wire.fields(1, false, &request("POST", "/"));
        wire.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    }
    let before = proxy.memory();
    let mut wire = Wire::bare(proxy.data);
    wire.begin(&[(4, 1)]);
    wire.frame(WINDOW_UPDATE, 0, 0, &[0x3f, 255, 255, 255]);
    for n in 0..128 {
        wire.get(2 * n + 1, "/large");
    }
    let mut begun = 0;
    while begun < 128 {
        let answer = wire.until(|f| f.kind == DATA).unwrap();
        assert_eq!(answer.payload.len(), 1);
        begun += 1;
    }
    crate::support::pause(1_000);
    let more = proxy.memory() - before;
    println!("128 shut windows: {more} KiB more");
    assert!(more <= 32 << 10, "{more}");
    assert_eq!(
        Wire::connect(proxy.data).reaction_of_get(),
        Reaction::Answer(200)
    );
}
