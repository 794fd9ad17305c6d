//! What takes time: slow heads, silent bodies, early answers, clients that half close or leave.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::eventually;
use crate::support::pause;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;
use std::time::Instant;

fn with_timeouts(origin: &Origin, listen: &str) -> Proxy {
    Proxy::start_with(
        &format!("{{ address: \"127.0.0.1:0\", {listen} }}"),
        &format!("legacy: {}\n", origin.url()),
    )
}

fn refused(proxy: &Proxy, reason: &str) -> f64 {
    let name = format!("supplant_requests_refused_total{{reason=\"{reason}\"}}");
    proxy.metrics().get(&name).copied().unwrap_or(0.0)
}

fn ends(client: &mut Client) -> bool {
    matches!(client.stream.read(&mut [0; 64]), Ok(0))
}

#[test]
fn a_head_that_does_not_end_is_a_408_and_an_idle_connection_ends_without_a_word() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = with_timeouts(&origin, "timeouts: { header: 1s, idle: 3s }");
    let mut slow = Client::connect(proxy.data);
    let mut idle = Client::connect(proxy.data);
    let mut kept = Client::connect(proxy.data);
    assert_eq!(kept.ask("GET", "/", &[], b"").status, 200);
    let start = Instant::now();
    // They may yet become the first letters of HTTP/2.
    let mut letters = ["P", "PR", "PRI"].map(|letters| {
        let mut client = Client::connect(proxy.data);
        client.send(letters.as_bytes());
        client
    });
    slow.send(b"GET / HT");
    for byte in b"TP/1.1" {
        pause(100);
        slow.send(&[*byte]);
    }
    let answer = slow.read(false).expect("an answer");
    assert_eq!(
        (answer.status, answer.field("connection")),
        (408, Some("close"))
    );
    assert!(ends(&mut slow));
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(4),
        "{took:?}"
    );
    for client in &mut letters {
        assert_eq!(client.read(false).map(|answer| answer.status), Some(408));
        assert!(ends(client));
    }
    assert_eq!(refused(&proxy, "head_time"), 4.0);
    assert!(
        ends(&mut idle) && ends(&mut kept),
        "nothing is said to them"
    );
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(6),
        "{took:?}"
    );
    assert!(origin.seen().len() == 1);
}

#[test]
fn a_head_behind_a_slow_answer_has_its_time_from_when_it_is_its_turn() {
    let origin = Origin::start(|_| Reply::After(2500, Box::new(Reply::json("{}"))));
    let proxy = with_timeouts(&origin, "timeouts: { header: 1s, idle: 3s }");
    let mut client = Client::connect(proxy.data);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHo");
    assert_eq!(client.read(false).unwrap().status, 200);
    client.send(b"st: a\r\n\r\n");
    assert_eq!(client.read(false).unwrap().status, 200);
}

#[test]
fn a_body_that_stands_still_is_a_408() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = with_timeouts(&origin, "timeouts: { body: 1s }");
    for body in [
        "Content-Length: 10\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nha",
    ] {
        let mut client = Client::connect(proxy.data);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{body}").as_bytes());
        let answer = client.read(false).expect("an answer");
        assert_eq!(
            (answer.status, answer.field("connection")),
            (408, Some("close"))
        );
    }
    assert_eq!(refused(&proxy, "body_time"), 2.0);
    assert!(origin.seen().is_empty());
}

#[test]
fn a_refusal_reaches_a_client_that_goes_on_sending() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = Proxy::start(&format!("legacy: {}\n", origin.url()));
    for _ in 0..20 {
        let mut client = Client::connect(proxy.data);
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n");
        for _ in 0..7 {
            client.send(&[b'x'; 8 << 10]);
            pause(1);
        }
        assert_eq!(client.read(false).map(|a| a.status), Some(400));
        assert!(ends(&mut client));
    }
}

#[test]
fn a_client_that_never_stops_sending_is_cut() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = Proxy::start(&format!("legacy: {}\n", origin.url()));
    let mut client = Client::connect(proxy.data);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n");
    let start = Instant::now();
    while client.stream.write_all(&[b'x'; 1 << 10]).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(5));
        pause(1);
    }
}

#[test]
fn a_client_that_ends_its_side_leaves_unless_the_listener_says_otherwise() {
    let origin = Origin::start(|_| Reply::After(400, Box::new(Reply::json("{}"))));
    for (listen, status) in [("", None), ("half_close: true", Some(200))] {
        let proxy = with_timeouts(&origin, listen);
        let mut client = Client::connect(proxy.data);
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read(false).map(|a| a.status), status, "{listen}");
        assert!(ends(&mut client));
    }
}

#[test]
fn a_half_closed_client_that_resets_is_gone() {
    let origin = Origin::start(|_| Reply::Stall);
    let proxy = with_timeouts(&origin, "half_close: true");
    let client = Client::connect(proxy.data);
    let mut stream = client.stream.try_clone().unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    eventually("the request arrives", || origin.seen().len() == 1);
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop((stream, client));
    eventually("the connection is gone", || {
        proxy.metrics()["supplant_open_connections"] == 0.0
    });
}

#[test]
fn heads_in_any_pieces_and_bodies_behind_them_arrive() {
    let origin = Origin::start(|seen| Reply::json(seen.body.len().to_string()));
    let proxy = Proxy::start(&format!("legacy: {}\n", origin.url()));
    let text = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n";
    for cut in (1..text.len()).step_by(3) {
        let mut client = Client::connect(proxy.data);
        client.send(&text[..cut]);
        pause(2);
        client.send(&text[cut..]);
        assert_eq!(client.read(false).unwrap().text(), "3", "{cut}");
        assert_eq!(client.read(false).unwrap().text(), "0", "{cut}");
    }
}

#[test]
fn a_proxy_header_names_the_client_and_without_one_the_connection_ends() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = with_timeouts(&origin, "proxy_protocol: true, timeouts: { header: 1s }");
    let block = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\xc0\0\x02\x02\x13\x88\0\x50";
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for (header, client) in [
        (
            &b"PROXY TCP4 192.0.2.7 192.0.2.2 5000 80\r\n"[..],
            "192.0.2.7",
        ),
        (block, "192.0.2.9"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (local, "127.0.0.1"),
    ] {
        let mut balancer = Client::connect(proxy.data);
        balancer.send(header);
        for _ in 0..2 {
            assert_eq!(balancer.ask("GET", "/", &[], b"").status, 200);
        }
        let seen = origin.seen().pop().unwrap();
        assert_eq!(seen.field("x-forwarded-for"), Some(client));
    }
    let before = origin.seen().len();
    for bad in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"PROXY TCP4 x\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 192.0.2.7",
        b"",
    ] {
        let mut client = Client::connect(proxy.data);
        client.send(bad);
        assert!(client.read(false).is_none(), "nothing is said");
    }
    assert_eq!(origin.seen().len(), before);
    let counted = "supplant_connections_refused_total{reason=\"proxy_header\"}";
    assert_eq!(proxy.metrics()[counted], 4.0);
}
