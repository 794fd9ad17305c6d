//! Answers of applications: garbage reaches no client, and what broke off never looks whole.

use super::wrong::Wrong;
use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use std::net::SocketAddr;
use std::time::Duration;

/// What the client must get.
#[derive(Clone, Copy, Debug)]
enum Gets {
    /// 502, and nothing of the answer.
    BadGateway,
    /// The head of the answer, and a body that does not end.
    Broken,
    /// This status and this body, whole.
    Whole(u16, &'static str),
}

struct Case {
    source: &'static str,
    answer: &'static [u8],
    gets: Gets,
}

const fn case(source: &'static str, gets: Gets, answer: &'static [u8]) -> Case {
    Case {
        source,
        answer,
        gets,
    }
}

use Gets::BadGateway;
use Gets::Broken;
use Gets::Whole;

const LINE: &str = "RFC 9112 4";
const LENGTH: &str = "RFC 9112 6.3";
const FIELD: &str = "RFC 9112 5, RFC 9110 5.5";
const CHUNK: &str = "RFC 9112 7.1, 8";

const CASES: &[Case] = &[
    case(LINE, BadGateway, b"SSH-2.0-OpenSSH_9\r\n\r\n"),
    case(LINE, BadGateway, b"\r\n\r\n"),
    case(LINE, BadGateway, b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"HTTP/1.1200 OK\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"<html>hello</html>"),
    case(LINE, BadGateway, b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok"),
    case(LINE, BadGateway, b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok"),
    case(LENGTH, BadGateway, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok"),
    case(LENGTH, BadGateway, b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
    case(LENGTH, BadGateway, b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    case(LENGTH, BadGateway, b"HTTP/1.1 200 OK\r\nContent-Length: 2;\r\n\r\nok"),
    case(LENGTH, BadGateway, b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok"),
    case(LENGTH, BadGateway, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
    case(LENGTH, BadGateway, b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok!"),
    case(LENGTH, BadGateway, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok"),
    case(FIELD, BadGateway, b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok"),
    case(FIELD, BadGateway, b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok"),
    case(FIELD, BadGateway, b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 2\r\n\r\nok"),
    case(FIELD, BadGateway, b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok"),
    case(FIELD, BadGateway, b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
    case(FIELD, BadGateway, b"HTTP/1.1 200 OK\r\nX\r\nContent-Length: 2\r\n\r\nok"),
    case(FIELD, BadGateway, b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok"),
    case(FIELD, BadGateway, b"HTTP/1.1 200 OK\r\nX(: a\r\nContent-Length: 2\r\n\r\nok"),
    case("RFC 9110 15.2.2, CVE-2026-73548", BadGateway, b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
    case("RFC 9112 8", BadGateway, b"HTTP/1.1 200 OK\r\nContent-Le"),
    case("RFC 9112 8", BadGateway, b"HTTP/1.1 100 Continue\r\n\r\n"),
    case("RFC 9112 8", Broken, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
    case("RFC 9112 8", Broken, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"),
    case(CHUNK, Broken, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    case(CHUNK, Broken, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n"),
    case(CHUNK, Broken, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nha"),
    case(CHUNK, Broken, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n\r\n"),
    case(CHUNK, Broken, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\nhalf\r\n0\r\n\r\n"),
    case(CHUNK, Broken, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfx\r\n0\r\n\r\n"),
    case(CHUNK, Broken, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhalf"),
    case(LENGTH, Whole(200, "ok"), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    case(LENGTH, Whole(200, "ok"), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokextra"),
    case(LENGTH, Whole(200, "until"), b"HTTP/1.1 200 OK\r\n\r\nuntil"),
    case(LENGTH, Whole(200, "until"), b"HTTP/1.0 200 OK\r\n\r\nuntil"),
    case(LENGTH, Whole(200, "ok"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    case("RFC 9112 6.3, 6.1", BadGateway, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    case("RFC 9110 15.2", Whole(200, "ok"), b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    case("RFC 9110 15.3.5", Whole(204, ""), b"HTTP/1.1 204 No Content\r\n\r\n"),
    case("RFC 9110 15.4.5", Whole(304, ""), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"),
    case("RFC 9112 4", Whole(299, "ok"), b"HTTP/1.1 299\r\nContent-Length: 2\r\n\r\nok"),
    case("RFC 9112 4", Whole(599, "ok"), b"HTTP/1.1 599 \xe9\r\nContent-Length: 2\r\n\r\nok"),
];

impl Case {
    /// Asks for the answer and says what is wrong with what the client gets.
    fn judge(&self, address: SocketAddr, number: usize) -> Result<(), String> {
        let mut client = Client::connect(address);
        let patience = Some(Duration::from_secs(5));
        client.stream.set_read_timeout(patience).unwrap();
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let answer = client.read(false);
        let right = match (&answer, self.gets) {
            (Some(a), Gets::BadGateway) => a.status == 502 && a.text().starts_with("bad gateway"),
            (Some(a), Gets::Broken) => a.status == 200 && !a.whole,
            // The application never said that there is a body.
            (None, Gets::Broken) => true,
            (Some(a), Gets::Whole(status, body)) => {
                let both =
                    a.field("content-length").is_some() && a.field("transfer-encoding").is_some();
                a.status == status && a.whole && a.text() == body && !both
            }
            (None, _) => false,
        };
        if right {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    }

    fn title(&self) -> String {
        format!("{} {:?}", self.source, String::from_utf8_lossy(self.answer))
    }
}

#[test]
fn answers_that_cannot_be_trusted_reach_no_client_as_whole() {
    let origin = Origin::start(|seen| {
        let number: usize = seen.target.trim_start_matches('/').parse().unwrap();
        Reply::RawClose(CASES[number].answer.to_vec())
    });
    let proxy = Proxy::start(&format!("legacy: {}\n", origin.url()));
    let mut wrong = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        if let Err(found) = case.judge(proxy.data, number) {
            wrong.push(format!("{}: {:?} {found}", case.title(), case.gets));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
    println!("{} cases of answers", CASES.len());
}

#[test]
fn every_case_of_an_answer_fails_at_a_relay_that_gets_it_wrong() {
    let mut blind = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        let wrongs: &[Wrong] = match case.gets {
            Gets::BadGateway => &[Wrong::Bytes],
            Gets::Broken => &[Wrong::Frames],
            Gets::Whole(..) => &[Wrong::Refuses],
        };
        for wrong in wrongs {
            let (address, _) = wrong.start(case.answer);
            let found = std::panic::catch_unwind(|| case.judge(address, number));
            if matches!(found, Ok(Ok(()))) {
                blind.push(format!("{wrong:?} {}", case.title()));
            }
        }
    }
    assert!(blind.is_empty(), "{}", blind.join("\n"));
}

/// RFC 9110 section 15.2: a client of HTTP/1.0 knows no 1xx.
#[test]
fn a_client_of_http_1_0_gets_no_interim_answer() {
    let origin = Origin::start(|_| {
        Reply::Raw(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        )
    });
    let proxy = Proxy::start(&format!("legacy: {}\n", origin.url()));
    let mut client = Client::connect(proxy.data);
    client.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    let answer = client.read(false).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
}
