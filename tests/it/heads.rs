//! What changes in heads: who asks, rewrites with the answers that follow, edits.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::Seen;
use crate::support::eventually;

fn answer(fields: &str) -> Reply {
    Reply::Raw(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\n{{}}").into_bytes())
}

/// The counters of dropped fields, by reason.
fn dropped(proxy: &Proxy, reason: &str) -> f64 {
    let series = format!("supplant_request_fields_dropped_total{{reason=\"{reason}\"}}");
    proxy.metrics().get(&series).copied().unwrap_or(0.0)
}

#[test]
fn a_rewrite_moves_requests_to_the_candidate_and_its_answers_back() {
    let candidate = Origin::start(|seen| {
        let own = seen.field("host").unwrap().to_owned();
        answer(&format!(
            "Location: /v2/there?x=1#y\r\nContent-Location: http://{own}/v2/c\r\nRefresh: 5; url=/v2/r\r\nSet-Cookie: a=1; Path=/v2/a; HttpOnly\r\nSet-Cookie: b=1; Path=/\r\nX-Other: /v2/x\r\n"
        ))
    });
    let legacy = Origin::start(|_| Reply::json("{}"));
    let proxy = Proxy::start(&format!(
        "legacy: {}\nslices:\n  - {{ name: s, match: /api, to: \"{}\", stage: cutover, shadow: {{ sample: 0% }}, rewrite: {{ prefix: /v2 }} }}\n",
        legacy.url(),
        candidate.url()
    ));
    let mut client = Client::connect(proxy.data);
    let got = client.ask("GET", "/api/a%2Fb/%41?q=%41&api", &[], b"");
    let seen = candidate.seen().remove(0);
    assert_eq!(seen.target, "/v2/a%2Fb/%41?q=%41&api");
    assert_eq!(seen.field("x-forwarded-prefix"), Some("/api"));
    assert_eq!(seen.field("host"), Some("app.example"));
    assert_eq!(got.field("location"), Some("/api/there?x=1#y"));
    assert_eq!(
        got.field("content-location"),
        Some("http://app.example/api/c")
    );
    assert_eq!(got.field("refresh"), Some("5; url=/api/r"));
    let cookies: Vec<_> = got
        .fields
        .iter()
        .filter(|(n, _)| n.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, v)| v.as_str())
        .collect();
    assert_eq!(cookies, ["a=1; Path=/api/a; HttpOnly", "b=1; Path=/"]);
    assert_eq!(got.field("x-other"), Some("/v2/x"));
    assert_eq!(client.ask("GET", "/api/../api", &[], b"").status, 200);
    assert_eq!(candidate.seen().remove(1).target, "/v2");
}

#[test]
fn what_is_compared_is_what_clients_would_have_got() {
    let legacy = |_: &Seen| {
        answer("Location: http://app.example/api/x\r\nSet-Cookie: a=1; Path=/api; Max-Age=9\r\n")
    };
    let candidate = |seen: &Seen| {
        assert!(seen.target.starts_with("/v2/"));
        answer("Location: http://app.example/v2/x\r\nSet-Cookie: a=1; Path=/v2; Max-Age=9\r\n")
    };
    let (legacy, candidate) = (Origin::start(legacy), Origin::start(candidate));
    let proxy = Proxy::start(&format!(
        "legacy: {}\nslices:\n  - {{ name: s, match: /api, to: \"{}\", stage: shadow, shadow: {{ sample: 100%, rate: none }}, compare: {{ control: 0% }}, rewrite: {{ prefix: /v2 }} }}\n",
        legacy.url(),
        candidate.url()
    ));
    for _ in 0..3 {
        Client::get(proxy.data, "/api/y");
    }
    proxy.await_outcome("s", "match", 3);
    assert_eq!(legacy.seen()[0].target, "/api/y");
    assert_eq!(candidate.seen()[0].target, "/v2/y");
    let shared = || {
        let series = "supplant_cookies_shared_total{slice=\"s\"}";
        proxy.metrics().get(series).copied()
    };
    eventually("a shared cookie is counted once", || shared() == Some(1.0));
}

#[test]
fn a_backend_with_a_host_of_its_own_gets_it_and_its_urls_follow() {
    let legacy = Origin::start(|_| answer("Location: http://shop.internal/login?a\r\n"));
    let proxy = Proxy::start(&format!(
        "legacy: {{ endpoints: [\"{}\"], host: shop.internal }}\n",
        legacy.url()
    ));
    let got = Client::get(proxy.data, "/a");
    let seen = legacy.seen().remove(0);
    assert_eq!(seen.field("host"), Some("shop.internal"));
    assert_eq!(seen.field("x-forwarded-host"), Some("app.example"));
    assert_eq!(got.field("location"), Some("http://app.example/login?a"));
}

#[test]
fn edits_reach_both_sides_and_those_of_copies_only_copies() {
    let same = |_: &Seen| answer("Server-Secret: 1\r\nX-A: 1\r\n");
    let (legacy, candidate) = (Origin::start(same), Origin::start(same));
    let proxy = Proxy::start(&format!(
        "legacy: {}
slices:
  - name: s
    match: /
    to: \"{}\"
    stage: shadow
    shadow: {{ sample: 100%, rate: none, headers: {{ remove: [Authorization], set: {{ X-Sandbox: \"1\" }} }} }}
    compare: {{ control: 0% }}
    headers:
      request: {{ remove: [X-Debug], set: {{ X-Client: web }}, add: {{ X-Hop: [a, b] }} }}
      response: {{ remove: [Server-Secret], set: {{ X-A: \"2\" }} }}
",
        legacy.url(),
        candidate.url()
    ));
    let fields = [
        ("X-Debug", "1"),
        ("X-Client", "app"),
        ("X_Client", "app"),
        ("X-Hop", "first"),
        ("Authorization", "Bearer x"),
    ];
    let got = Client::connect(proxy.data).ask("GET", "/a", &fields, b"");
    assert_eq!(got.field("server-secret"), None);
    assert_eq!(got.field("x-a"), Some("2"));
    proxy.await_outcome("s", "match", 1);
    let (live, copy) = (legacy.seen().remove(0), candidate.seen().remove(0));
    for seen in [&live, &copy] {
        assert_eq!(seen.field("x-debug"), None);
        assert_eq!(seen.field("x_client"), None);
        assert_eq!(seen.field("x-client"), Some("web"));
        let hops: Vec<_> = seen
            .fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case("x-hop"))
            .map(|(_, v)| v.as_str())
            .collect();
        assert_eq!(hops, ["first", "a", "b"]);
    }
    assert_eq!(live.field("authorization"), Some("Bearer x"));
    assert_eq!(live.field("x-sandbox"), None);
    assert_eq!(copy.field("authorization"), None);
    assert_eq!(copy.field("x-sandbox"), Some("1"));
    assert!((dropped(&proxy, "lookalike") - 1.0).abs() < 0.1);
}

#[test]
fn trusted_peers_are_believed_and_others_are_not() {
    let fields = [
        ("X-Forwarded-For", "203.0.113.9, 10.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=203.0.113.9, for=10.0.0.1"),
    ];
    for (trusted, list, proto) in [
        (
            "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]\n",
            "203.0.113.9, 10.0.0.1, 127.0.0.1",
            "https",
        ),
        ("", "127.0.0.1", "http"),
    ] {
        let origin = Origin::start(|_| Reply::json("{}"));
        let proxy = Proxy::start(&format!("{trusted}legacy: {}\n", origin.url()));
        Client::connect(proxy.data).ask("GET", "/", &fields, b"");
        let seen = origin.seen().remove(0);
        assert_eq!(seen.field("x-forwarded-for"), Some(list));
        assert_eq!(seen.field("x-forwarded-proto"), Some(proto));
        let forwarded = seen.field("forwarded");
        let chain = "for=203.0.113.9, for=10.0.0.1, for=127.0.0.1;host=app.example;proto=http";
        assert_eq!(forwarded, (!trusted.is_empty()).then_some(chain));
    }
}

#[test]
fn names_with_underscores_are_refused_where_the_rules_say_so() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = Proxy::start(&format!(
        "headers: {{ underscores: reject }}\nlegacy: {}\n",
        origin.url()
    ));
    let mut client = Client::connect(proxy.data);
    assert_eq!(client.ask("GET", "/", &[("X_A", "1")], b"").status, 400);
    assert_eq!(client.ask("GET", "/", &[("X-A", "1")], b"").status, 200);
    let series = "supplant_requests_refused_total{reason=\"underscore\"}";
    assert!((proxy.metrics()[series] - 1.0).abs() < 0.1);
}

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
