//! TLS with clients: who is shown which certificate, what is agreed on, what is refused.

use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::eventually;
use crate::support::frames::Reaction;
use crate::support::frames::Wire;
use crate::support::frames::request;
use crate::support::pause;
use crate::support::tls::Authority;
use crate::support::tls::Secure;
use crate::support::tls::connect;
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::Read;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;

/// Starts with these certificates and further keys of `tls`.
fn secured(folder: TempDir, origin: &Origin, certificates: &str, keys: &str) -> Proxy {
    let rules = format!("legacy: {}\n", origin.url());
    let tls = format!("{{ certificates: [{certificates}]{keys} }}");
    let listen = format!("{{ address: \"127.0.0.1:0\", tls: {tls} }}");
    Proxy::start_in_with(folder, &listen, &rules)
}

fn count(proxy: &Proxy, series: &str) -> f64 {
    proxy.metrics().get(series).copied().unwrap_or(0.0)
}

/// Asks over HTTP/1.1 and returns the head of the answer, and that its body has come.
fn ask(stream: &mut Secure, path: &str) -> Option<String> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"{}") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece) {
            Ok(n @ 1..) => answer.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
    Some(String::from_utf8(answer).unwrap())
}

fn shown(stream: &Secure) -> CertificateDer<'static> {
    stream.conn.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

fn leaf(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

#[test]
fn http_2_or_1_1_is_agreed_on_and_applications_are_told_of_https() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = authority.issue(&["app.example"]).save(folder.path(), "a");
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = secured(folder, &origin, &files, "");

    let both = Arc::new(authority.client(&["h2", "http/1.1"], None));
    let stream = connect(proxy.data, "app.example", &both).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    let mut wire = Wire::over(Box::new(stream));
    wire.begin(&[]);
    wire.get(1, "/h2");
    assert_eq!(wire.reaction(1), Reaction::Answer(200));

    for alpn in [&["http/1.1"][..], &[]] {
        let old = Arc::new(authority.client(alpn, None));
        let mut stream = connect(proxy.data, "app.example", &old).unwrap();
        for _ in 0..3 {
            assert!(ask(&mut stream, "/h1").unwrap().starts_with("HTTP/1.1 200"));
        }
    }
    for seen in origin.seen() {
        assert_eq!(
            seen.field("x-forwarded-proto"),
            Some("https"),
            "{}",
            seen.target
        );
    }
    let other = Arc::new(authority.client(&["spdy/3"], None));
    assert!(connect(proxy.data, "app.example", &other).is_err());
    eventually("no protocol in common is counted", || {
        count(
            &proxy,
            "supplant_tls_handshake_failures_total{reason=\"alpn\"}",
        ) == 1.0
    });
    let done = "supplant_tls_handshakes_total{kind=\"full\",version=\"1.3\"}";
    assert_eq!(count(&proxy, done), 3.0);
}

#[test]
fn the_name_chooses_the_certificate_and_the_first_is_for_everybody_else() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let first = authority.issue(&["a.example", "127.0.0.1"]);
    let second = authority.issue(&["b.example", "*.wild.example"]);
    let files = [
        first.save(folder.path(), "a"),
        second.save(folder.path(), "b"),
    ]
    .join(", ");
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = secured(folder, &origin, &files, "");
    let config = Arc::new(authority.client(&[], None));
    for (name, pair) in [
        ("a.example", &first),
        ("b.example", &second),
        ("x.wild.example", &second),
        ("127.0.0.1", &first),
    ] {
        let stream = connect(proxy.data, name, &config).unwrap();
        assert_eq!(shown(&stream), leaf(&pair.cert), "{name}");
    }
    // It is shown the first, which is none of its own.
    assert!(connect(proxy.data, "c.example", &config).is_err());
}

#[test]
fn certificates_are_taken_anew_and_nothing_is_cut() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (old, new) = (
        authority.issue(&["app.example"]),
        authority.issue(&["app.example"]),
    );
    let files = old.save(folder.path(), "a");
    let path = folder.path().to_owned();
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = secured(folder, &origin, &files, "");
    let config = Arc::new(authority.client(&[], None));
    let mut before = connect(proxy.data, "app.example", &config).unwrap();
    assert!(ask(&mut before, "/").is_some());

    // A key that is not the certificate's: the old ones stay.
    std::fs::write(path.join("a.key"), &new.key).unwrap();
    let refused = "supplant_tls_reloads_total{result=\"rejected\"}";
    eventually("a broken pair is counted", || count(&proxy, refused) == 1.0);
    let fresh = Arc::new(authority.client(&[], None));
    let stream = connect(proxy.data, "app.example", &fresh).unwrap();
    assert_eq!(shown(&stream), leaf(&old.cert));
    // A file that is gone is no reason either.
    std::fs::remove_file(path.join("a.crt")).unwrap();
    eventually("a missing file is counted", || {
        count(&proxy, refused) == 2.0
    });
    assert!(connect(proxy.data, "app.example", &fresh).is_ok());

    new.save(&path, "a");
    let taken = "supplant_tls_reloads_total{result=\"ok\"}";
    eventually("the new pair is taken", || count(&proxy, taken) == 1.0);
    let fresh = Arc::new(authority.client(&[], None));
    let stream = connect(proxy.data, "app.example", &fresh).unwrap();
    assert_eq!(shown(&stream), leaf(&new.cert));
    assert!(ask(&mut before, "/").is_some(), "what was open goes on");
}

#[test]
fn clients_have_to_show_a_certificate_where_the_rules_say_so() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (ours, other) = (Authority::new(), Authority::new());
    let files = authority.issue(&["app.example"]).save(folder.path(), "a");
    std::fs::write(folder.path().join("clients.crt"), ours.pem()).unwrap();
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = secured(folder, &origin, &files, ", client_ca: clients.crt");
    let known = ours.issue(&["client"]);
    let unknown = other.issue(&["client"]);
    for (shows, served) in [(Some(&known), true), (Some(&unknown), false), (None, false)] {
        let config = Arc::new(authority.client(&[], shows));
        // With TLS 1.3 a client learns of it only when it reads.
        let answer = connect(proxy.data, "app.example", &config)
            .ok()
            .and_then(|mut stream| ask(&mut stream, "/"));
        assert_eq!(answer.is_some(), served);
    }
    assert_eq!(origin.seen().len(), 1);
    let refused = "supplant_tls_handshake_failures_total{reason=\"client_certificate\"}";
    eventually("both are counted", || count(&proxy, refused) == 2.0);
}

#[test]
fn an_old_version_is_taken_unless_the_rules_refuse_it() {
    for only_tls13 in [false, true] {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let files = authority.issue(&["app.example"]).save(folder.path(), "a");
        let origin = Origin::start(|_| Reply::json("{}"));
        let keys = if only_tls13 { ", min_version: 1.3" } else { "" };
        let proxy = secured(folder, &origin, &files, keys);
        let old = Arc::new(authority.client_of(&[&rustls::version::TLS12], &[], None));
        let stream = connect(proxy.data, "app.example", &old);
        assert_eq!(stream.is_err(), only_tls13);
        if only_tls13 {
            let name = "supplant_tls_handshake_failures_total{reason=\"incompatible\"}";
            eventually("it is counted", || count(&proxy, name) == 1.0);
        }
    }
}

#[test]
fn sessions_are_resumed_on_any_thread() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = authority.issue(&["app.example"]).save(folder.path(), "a");
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = secured(folder, &origin, &files, "");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let config = Arc::new(authority.client_of(&[version], &[], None));
        let mut kinds = Vec::new();
        for _ in 0..8 {
            let mut stream = connect(proxy.data, "app.example", &config).unwrap();
            assert!(ask(&mut stream, "/").is_some());
            kinds.push(stream.conn.handshake_kind());
        }
        let resumed = kinds.iter().filter(|k| **k == Some(HandshakeKind::Resumed));
        assert_eq!(resumed.count(), 7, "{kinds:?}");
    }
}

#[test]
fn who_speaks_no_tls_is_counted_and_who_says_nothing_is_cut() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = authority.issue(&["app.example"]).save(folder.path(), "a");
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = secured(folder, &origin, &files, "");
    let mut silent = std::net::TcpStream::connect(proxy.data).unwrap();
    let start = Instant::now();
    let mut plain = std::net::TcpStream::connect(proxy.data).unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let reasons = |reason: &str| {
        let name = format!("supplant_tls_handshake_failures_total{{reason=\"{reason}\"}}");
        count(&proxy, &name)
    };
    eventually("what is no TLS is counted", || reasons("not_tls") == 1.0);
    let early = std::net::TcpStream::connect(proxy.data).unwrap();
    drop(early);
    eventually("who leaves is counted", || reasons("closed") == 1.0);
    let mut nothing = [0; 8];
    assert_eq!(silent.read(&mut nothing).unwrap_or(0), 0);
    let waited = start.elapsed().as_secs();
    assert!((9..12).contains(&waited), "{waited}");
    assert_eq!(reasons("timeout"), 1.0);
}

#[test]
fn a_host_that_the_certificate_does_not_name_is_misdirected() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let pair = authority.issue(&["app.example", "*.app.example", "127.0.0.1"]);
    let files = pair.save(folder.path(), "a");
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = secured(folder, &origin, &files, "");
    let config = Arc::new(authority.client(&["h2"], None));
    let asking = |name: &str, authority: &str| {
        let mut wire = Wire::over(Box::new(connect(proxy.data, name, &config).unwrap()));
        wire.begin(&[]);
        let mut fields = request("GET", "/");
        fields[3].1 = authority;
        wire.fields(1, true, &fields);
        wire.reaction(1)
    };
    for host in [
        "app.example",
        "APP.example:443",
        "x.app.example",
        "127.0.0.1",
    ] {
        assert_eq!(asking("app.example", host), Reaction::Answer(200), "{host}");
    }
    for host in ["other.example", "app.example.org", "192.0.2.1"] {
        assert_eq!(asking("app.example", host), Reaction::Answer(421), "{host}");
    }
    // Who named nobody may ask for anybody.
    assert_eq!(asking("127.0.0.1", "other.example"), Reaction::Answer(200));
}

#[test]
fn a_connection_is_for_the_hosts_of_the_certificate_that_was_shown() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let new = authority.issue_for(&key, &["app.example", "new.example"]);
    let old = authority.issue(&["app.example", "old.example"]);
    let files = [
        new.save(folder.path(), "new"),
        old.save(folder.path(), "old"),
    ]
    .join(", ");
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = secured(folder, &origin, &files, "");
    let modern = Arc::new(authority.client(&["h2"], None));
    let plain = Arc::new(authority.client_without_ed25519(&["h2"]));
    // The second connection of each resumes the session of the first.
    for (config, pair, [own, other]) in [
        (&modern, &new, ["new.example", "old.example"]),
        (&modern, &new, ["new.example", "old.example"]),
        (&plain, &old, ["old.example", "new.example"]),
        (&plain, &old, ["old.example", "new.example"]),
    ] {
        let stream = connect(proxy.data, "app.example", config).unwrap();
        assert_eq!(shown(&stream), leaf(&pair.cert));
        let mut wire = Wire::over(Box::new(stream));
        wire.begin(&[]);
        for (stream, host, status) in [(1, own, 200), (3, other, 421)] {
            let mut fields = request("GET", "/");
            fields[3].1 = host;
            wire.fields(stream, true, &fields);
            assert_eq!(wire.reaction(stream), Reaction::Answer(status), "{host}");
        }
    }
}

#[test]
fn websockets_pass_over_tls() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = authority.issue(&["app.example"]).save(folder.path(), "a");
    let origin = Origin::start(|_| Reply::Echo);
    let proxy = secured(folder, &origin, &files, "");
    let config = Arc::new(authority.client(&["http/1.1"], None));
    let mut stream = connect(proxy.data, "app.example", &config).unwrap();
    let head = "GET /ws HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 512];
    let n = stream.read(&mut answer).unwrap();
    assert!(answer[..n].starts_with(b"HTTP/1.1 101"));
    for n in 0..10_u8 {
        stream.write_all(&[n; 100]).unwrap();
        let mut back = [0; 100];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [n; 100]);
        pause(1);
    }
}
