//! What changes in heads: who asks, rewrites with the answers that follow, edits.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;

#[test]
fn a_request_whose_hops_are_used_up_is_answered_here() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = Proxy::start(&format!("legacy: {}\n", origin.url()));
    let mut client = Client::connect(proxy.data);
    let trace = client.ask(
        "TRACE",
        "/a?b",
        &[
            ("Max-Forwards", "0"),
            ("Cookie", "secret"),
            ("Via", "1.1 x"),
        ],
        b"",
    );
    assert_eq!(trace.field("content-type"), Some("message/http"));
    let shown = "TRACE /a?b HTTP/1.1\r\nhost: app.example\r\nvia: 1.1 x\r\nmax-forwards: 0\r\n\r\n";
    assert_eq!((trace.status, trace.text().as_str()), (200, shown));
    let options = client.ask("OPTIONS", "*", &[("Max-Forwards", "0")], b"");
    assert_eq!((options.status, options.text().as_str()), (200, ""));
    assert!(origin.seen().is_empty());
    client.ask("OPTIONS", "/a", &[("Max-Forwards", "5")], b"");
    client.ask("GET", "/a", &[("Max-Forwards", "0")], b"");
    let seen = origin.seen();
    assert_eq!(seen[0].field("max-forwards"), Some("4"));
    assert_eq!(seen[1].field("max-forwards"), Some("0"));
}

#[test]
fn look_alike_fields_loops_and_twins_are_counted() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = Proxy::start(&format!("legacy: {}\n", origin.url()));
    let fields = [
        ("X_Forwarded_For", "203.0.113.9"),
        ("X-User", "1"),
        ("X_User", "2"),
        ("X_Other", "3"),
        ("Via", "1.1 supplant"),
    ];
    Client::connect(proxy.data).ask("GET", "/a", &fields, b"");
    let seen = origin.seen().remove(0);
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x_forwarded_for"), None);
    assert_eq!(
        (seen.field("x_user"), seen.field("x_other")),
        (None, Some("3"))
    );
    let metrics = proxy.metrics();
    for series in [
        "supplant_request_fields_dropped_total{reason=\"lookalike\"}",
        "supplant_request_fields_dropped_total{reason=\"twin\"}",
        "supplant_requests_looped_total",
    ] {
        assert!((metrics[series] - 1.0).abs() < 0.1, "{series}");
    }
}
