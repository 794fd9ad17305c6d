//! The same through the whole proxy, as the rules say it.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::eventually;
use crate::support::pause;

fn gone() -> String {
    let origin = Origin::start(|_| Reply::Stall);
    origin.url()
}

fn slice(candidate: &str, rest: &str) -> String {
    format!(
        "slices:\n  - {{ name: s, match: /, to: \"{candidate}\", stage: cutover, shadow: {{ sample: 100% }}, {rest} }}\n"
    )
}

#[test]
fn legacy_answers_for_a_candidate_that_fails_where_the_rules_say_so() {
    let legacy = Origin::start(|seen| match seen.target.as_str() {
        "/both" => Reply::RawClose(Vec::new()),
        target => Reply::json(format!("\"legacy {target}\"")),
    });
    let ill = Origin::start(|seen| match seen.target.as_str() {
        "/503" | "/both" => Reply::status(503, "no"),
        "/500" => Reply::status(500, "mine"),
        "/drop" => Reply::RawClose(Vec::new()),
        "/stall" => Reply::Stall,
        _ => Reply::status(200, "candidate"),
    });
    let rules = format!(
        "legacy: {}\nbackends: {{ new: {{ endpoints: {}, timeouts: {{ response: 200ms }} }} }}\n{}",
        legacy.url(),
        ill.url(),
        slice(
            "new",
            "fallback: { on: [connect_error, timeout, 502, 503], budget: 100% }"
        )
    );
    let proxy = Proxy::start(&rules);
    for target in ["/503", "/drop", "/stall"] {
        let answer = Client::get(proxy.data, target);
        assert_eq!(answer.text(), format!("\"legacy {target}\""));
    }
    assert_eq!(Client::get(proxy.data, "/500").text(), "mine");
    assert_eq!(Client::get(proxy.data, "/").text(), "candidate");
    // What may have effects never falls back.
    let posted = Client::connect(proxy.data).ask("POST", "/503", &[], b"x");
    assert_eq!((posted.status, posted.text()), (503, "no".into()));
    assert!(legacy.seen().iter().all(|seen| seen.method == "GET"));
    let metrics = proxy.metrics();
    let count =
        |reason| metrics[&format!("supplant_fallbacks_total{{reason=\"{reason}\",slice=\"s\"}}")];
    assert_eq!((count("status"), count("timeout")), (2.0, 1.0));
    // One in ten is watched.
    let mut client = Client::connect(proxy.data);
    for _ in 0..150 {
        assert_eq!(client.ask("GET", "/503", &[], b"").status, 200);
        assert_eq!(Client::get(proxy.data, "/both").status, 502);
    }
    let outcomes = proxy.outcomes("s");
    assert!(outcomes["candidate_error"] > 0, "{outcomes:?}");
    assert!(outcomes["both_error"] > 0, "{outcomes:?}");
}

#[test]
fn a_fallback_has_a_budget() {
    let legacy = Origin::start(|seen| match seen.target.as_str() {
        "/drop" => Reply::RawClose(Vec::new()),
        _ => Reply::json("1"),
    });
    let rules = format!(
        "legacy: {}\n{}",
        legacy.url(),
        slice(&gone(), "fallback: { budget: 1% }")
    );
    let proxy = Proxy::start(&rules);
    assert_eq!(Client::get(proxy.data, "/drop").status, 502);
    let well = (0..60)
        .filter(|_| Client::get(proxy.data, "/").status == 200)
        .count();
    assert!((8..=10).contains(&well), "{well}");
    let denied = proxy.metrics()["supplant_fallbacks_denied_total{slice=\"s\"}"];
    assert!(denied >= 50.0, "{denied}");
}

#[test]
fn nothing_falls_back_once_a_slice_is_retired() {
    // The same rules fall back one stage earlier, so it is the stage that decides.
    for (stage, status, calls) in [("cutover", 200, 1), ("retired", 502, 0)] {
        let legacy = Origin::start(|_| Reply::json("1"));
        let proxy = Proxy::start(&format!(
            "legacy: {}\nslices:\n  - {{ name: s, match: /, to: \"{}\", stage: {stage}, \
             shadow: {{ sample: 0% }}, fallback: {{ on: [connect_error, 502], budget: 100% }} }}\n",
            legacy.url(),
            gone()
        ));
        assert_eq!(Client::get(proxy.data, "/").status, status, "{stage}");
        assert_eq!(legacy.seen().len(), calls, "{stage}");
    }
}

#[test]
fn requests_over_an_applications_limit_get_503_at_once() {
    let origin = Origin::start(|_| Reply::After(400, Box::new(Reply::json("1"))));
    let proxy = Proxy::start(&format!(
        "legacy: {{ endpoints: {}, max_inflight: 2 }}\n",
        origin.url()
    ));
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(proxy.data)).collect();
    for client in &mut clients {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    eventually("both are there", || origin.seen().len() == 2);
    let start = std::time::Instant::now();
    let spared = Client::get(proxy.data, "/");
    assert!(start.elapsed().as_millis() < 200);
    assert_eq!(
        (spared.status, spared.field("retry-after")),
        (503, Some("1"))
    );
    for client in &mut clients {
        assert_eq!(client.read(false).unwrap().status, 200);
    }
    eventually("there is room again", || {
        Client::get(proxy.data, "/").status == 200
    });
    let name = "supplant_backend_refused_total{backend=\"legacy\",reason=\"max_inflight\"}";
    assert!(proxy.metrics()[name] >= 1.0);
}

#[test]
fn an_application_that_fails_is_left_alone_and_tried_again() {
    let origin = Origin::start(|_| Reply::status(503, "no"));
    let proxy = Proxy::start(&format!(
        "legacy: {{ endpoints: {}, circuit: {{ failures: 50%, volume: 5, open: 300ms }} }}\n",
        origin.url()
    ));
    for _ in 0..5 {
        assert_eq!(Client::get(proxy.data, "/").text(), "no");
    }
    let spared = Client::get(proxy.data, "/");
    assert_eq!(
        (spared.status, spared.field("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(origin.seen().len(), 5);
    pause(350);
    assert_eq!(Client::get(proxy.data, "/").text(), "no");
    assert_eq!(origin.seen().len(), 6);
    assert_ne!(Client::get(proxy.data, "/").text(), "no");
    let metrics = proxy.metrics();
    assert_eq!(
        metrics["supplant_backend_circuit_opened_total{backend=\"legacy\"}"],
        2.0
    );
}
