//! The wire suite: bytes in, and what must come of them, each with the section or the attack that it
//! comes from.
//!
//! A case that cannot fail shows nothing. So every case also runs against relays that get things
//! wrong: one passes bytes on as they are, one refuses everything, one reads answers whole and frames
//! them anew. Each case must fail at one of them, and each refusal at the first.

mod answers;
mod requests;
mod times;
mod wrong;

use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::Seen;
use std::collections::BTreeMap;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;
use std::time::Instant;
use wrong::Wrong;

/// What is sent, and what must come of it.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) source: &'static str,
    pub(super) sent: Vec<u8>,
    pub(super) wanted: Wanted,
}

#[derive(Clone)]
pub(super) enum Wanted {
    /// This status and no other answer, counted by this reason, and the end of the connection. No
    /// application sees a whole request.
    Refused(u16, &'static str),
    /// The same after so many good answers to as many requests.
    RefusedAfter(usize, u16, &'static str),
    /// So many answers with 200, of requests that look like this to the application.
    Passes(usize, fn(&[Seen]) -> bool),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) statuses: Vec<u16>,
    pub(super) closes: bool,
    pub(super) ended: bool,
    pub(super) seen: Vec<Seen>,
}

impl Case {
    pub(super) fn title(&self) -> String {
        let sent = String::from_utf8_lossy(&self.sent);
        let sent: String = sent.chars().take(160).collect();
        format!("{} {sent:?}", self.source)
    }

    /// Says what is wrong.
    pub(super) fn judge(&self, outcome: &Outcome) -> Result<(), String> {
        let told = || format!("{outcome:?}");
        let (good, last) = match self.wanted {
            Wanted::Refused(status, _) => (0, Some(status)),
            Wanted::RefusedAfter(good, status, _) => (good, Some(status)),
            Wanted::Passes(good, check) => {
                if outcome.seen.len() != good || !check(&outcome.seen) {
                    return Err(told());
                }
                (good, None)
            }
        };
        let mut wanted = vec![200; good];
        wanted.extend(last);
        let closed = last.is_none() || (outcome.closes && outcome.ended);
        let seen = last.is_none() || outcome.seen.len() == good;
        if outcome.statuses == wanted && closed && seen {
            Ok(())
        } else {
            Err(told())
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self.wanted {
            Wanted::Refused(_, reason) | Wanted::RefusedAfter(_, _, reason) => Some(reason),
            Wanted::Passes(..) => None,
        }
    }
}

/// Sends a case and reads what comes back, until the end, or until nothing can come any more.
pub(super) fn run(address: SocketAddr, case: &Case, patience: Duration) -> Outcome {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    // The other side may refuse before it has read all.
    let _sent = stream.write_all(&case.sent);
    let wanted = match case.wanted {
        Wanted::Passes(answers, _) => answers,
        _ => usize::MAX,
    };
    let (mut bytes, mut piece) = (Vec::new(), [0; 16_384]);
    let mut outcome = Outcome::default();
    let start = Instant::now();
    while outcome.statuses.len() < wanted && start.elapsed() < Duration::from_secs(10) {
        match stream.read(&mut piece) {
            Ok(n @ 1..) => bytes.extend_from_slice(&piece[..n]),
            Ok(0) => outcome.ended = true,
            Err(error) => {
                outcome.ended = error.kind() == std::io::ErrorKind::ConnectionReset;
                (outcome.statuses, outcome.closes) = answers_in(&bytes);
                return outcome;
            }
        }
        (outcome.statuses, outcome.closes) = answers_in(&bytes);
        if outcome.ended {
            break;
        }
    }
    outcome
}

/// The statuses of the whole answers in some bytes, and whether the last one closes.
fn answers_in(mut bytes: &[u8]) -> (Vec<u16>, bool) {
    let (mut statuses, mut closes) = (Vec::new(), false);
    while let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let whole = end + 4 + length.unwrap_or(0);
        if bytes.len() < whole {
            break;
        }
        closes = head.contains("connection: close");
        statuses.push(status.unwrap_or(0));
        bytes = &bytes[whole..];
    }
    (statuses, closes)
}

#[test]
fn requests_are_refused_or_pass_as_the_standards_say() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = Proxy::start(&format!("legacy: {}\n", origin.url()));
    let cases = requests::all();
    let mut wrong = Vec::new();
    let mut reasons: BTreeMap<&str, f64> = BTreeMap::new();
    for case in &cases {
        let before = origin.seen().len();
        let mut outcome = run(proxy.data, case, Duration::from_secs(5));
        outcome.seen = origin.seen().split_off(before);
        if let Err(found) = case.judge(&outcome) {
            wrong.push(format!("{}: {found}", case.title()));
        }
        if let Some(reason) = case.reason() {
            *reasons.entry(reason).or_default() += 1.0;
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
    let metrics = proxy.metrics();
    for (reason, count) in reasons {
        let name = format!("supplant_requests_refused_total{{reason=\"{reason}\"}}");
        assert_eq!(metrics.get(&name).copied().unwrap_or(0.0), count, "{name}");
    }
    println!("{} cases of requests", cases.len());
}

#[test]
fn the_page_of_the_wire_names_every_reason_with_its_status() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/wire.md")).unwrap();
    let missing: Vec<_> = supplant::proxy::scan::Reason::all()
        .iter()
        .filter(|reason| {
            let (label, status) = (reason.as_str(), reason.status());
            !page.contains(&format!("| `{label}` | {status} |"))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// How long a relay that gets things wrong is waited for.
const SHORT: Duration = Duration::from_millis(400);

#[test]
fn every_case_of_a_request_fails_at_a_relay_that_gets_it_wrong() {
    let cases = requests::all();
    let failures = |wrong: Wrong| -> Vec<bool> {
        let cases = &cases;
        std::thread::scope(|scope| {
            let parts: Vec<_> = cases
                .chunks(cases.len().div_ceil(24))
                .map(|part| {
                    scope.spawn(move || {
                        let one = |case: &Case| {
                            let (address, seen) =
                                wrong.start(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
                            let mut outcome = run(address, case, SHORT);
                            outcome.seen = wrong::seen(&seen);
                            case.judge(&outcome).is_err()
                        };
                        part.iter().map(one).collect::<Vec<_>>()
                    })
                })
                .collect();
            parts.into_iter().flat_map(|p| p.join().unwrap()).collect()
        })
    };
    let (bytes, refuses) = (failures(Wrong::Bytes), failures(Wrong::Refuses));
    let mut blind = Vec::new();
    for (case, (bytes, refuses)) in cases.iter().zip(bytes.iter().zip(&refuses)) {
        let shown = match case.wanted {
            Wanted::Passes(..) => *bytes || *refuses,
            _ => *bytes,
        };
        if !shown {
            blind.push(case.title());
        }
    }
    assert!(blind.is_empty(), "{}", blind.join("\n"));
}
