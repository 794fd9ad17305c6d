//! Copies: who gets one, when, and what is made of the answer.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::Seen;
use crate::support::eventually;
use crate::support::pause;
use std::time::Duration;
use std::time::Instant;

fn shadowed(
    legacy: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    candidate: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    shadow: &str,
    more: &str,
) -> (Origin, Origin, Proxy) {
    let (legacy, candidate) = (Origin::start(legacy), Origin::start(candidate));
    let rules = format!(
        "legacy: {}\nslices:\n  - {{ name: s, match: /, to: \"{}\", stage: shadow, shadow: {{ sample: 100%, rate: none, {shadow} }}, compare: {{ control: 0% }}, {more} }}\n",
        legacy.url(),
        candidate.url()
    );
    let proxy = Proxy::start(&rules.replace(", }", " }"));
    (legacy, candidate, proxy)
}

fn json(text: &'static str) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    move |_| Reply::json(text)
}

#[test]
fn a_copy_is_the_same_request_marked_and_sent_after_the_answer() {
    let (legacy, candidate, proxy) = shadowed(json("{\"a\":1}"), json("{\"a\":1}"), "", "");
    let fields = [("X-Odd-NAME", "1"), ("Accept", "x/y")];
    Client::connect(proxy.data).ask("GET", "/a%20b?c=d", &fields, b"");
    proxy.await_outcome("s", "match", 1);
    let (live, copy) = (legacy.seen().remove(0), candidate.seen().remove(0));
    assert_eq!(copy.field("supplant-role"), Some("shadow"));
    assert_eq!(live.field("supplant-role"), None);
    let without = |seen: &Seen| {
        let kept = seen
            .fields
            .iter()
            .filter(|(n, _)| !n.eq_ignore_ascii_case("supplant-role"));
        kept.cloned().collect::<Vec<_>>()
    };
    assert_eq!(without(&live), without(&copy));
    assert_eq!((live.target, live.method), (copy.target, copy.method));
}

#[test]
fn equal_answers_match_and_different_ones_diverge() {
    let candidate = |seen: &Seen| match seen.target.as_str() {
        "/same" => Reply::json("{\"b\":2,\"a\":1}"),
        "/status" => Reply::status(404, "{}"),
        _ => Reply::json("{\"a\":\"1\",\"b\":2}"),
    };
    let (_l, _c, proxy) = shadowed(json("{\"a\":1,\"b\":2}"), candidate, "", "");
    for path in ["/same", "/status", "/other"] {
        assert_eq!(Client::get(proxy.data, path).text(), "{\"a\":1,\"b\":2}");
    }
    proxy.await_outcome("s", "divergence", 2);
    assert_eq!(proxy.outcomes("s")["match"], 1);
}

#[test]
fn unsafe_methods_conditions_ranges_upgrades_and_copies_are_not_mirrored() {
    let (_l, candidate, proxy) = shadowed(json("{}"), json("{}"), "except: [/not]", "");
    let mut client = Client::connect(proxy.data);
    client.ask("POST", "/a", &[], b"x");
    client.ask("GET", "/a", &[("If-None-Match", "\"a\"")], b"");
    client.ask("GET", "/a", &[("Range", "bytes=0-1")], b"");
    client.ask("GET", "/a", &[("Supplant-Role", "shadow")], b"");
    client.ask("GET", "/not/this", &[], b"");
    client.ask("GET", "/user/logout", &[], b"");
    client.ask("GET", "/a?access_token=1", &[], b"");
    let outcomes = proxy.outcomes("s");
    assert_eq!(outcomes["unsafe_method"], 1);
    assert_eq!(outcomes["not_comparable(conditional)"], 1);
    assert_eq!(outcomes["not_comparable(range)"], 1);
    assert_eq!(outcomes["not_mirrored(copy)"], 1);
    assert_eq!(outcomes["not_comparable(excluded)"], 3);
    assert!(candidate.seen().is_empty());
}

#[test]
fn the_rate_caps_copies_and_the_rest_is_sampled_out() {
    let (legacy, candidate) = (Origin::start(json("{}")), Origin::start(json("{}")));
    let rules = format!(
        "legacy: {}\nslices:\n  - {{ name: s, match: /, to: \"{}\", stage: shadow, shadow: {{ rate: 10/s }} }}\n",
        legacy.url(),
        candidate.url()
    );
    let proxy = Proxy::start(&rules);
    let mut client = Client::connect(proxy.data);
    for _ in 0..100 {
        client.ask("GET", "/a", &[], b"");
    }
    let outcomes = proxy.outcomes("s");
    let copied = outcomes["match"];
    assert!((10..=30).contains(&copied), "{copied}");
    assert_eq!(outcomes["sampled_out"] + copied, 100);
}

#[test]
fn a_new_session_is_not_asked_for_twice() {
    let legacy = |_: &Seen| {
        Reply::Raw(
            b"HTTP/1.1 200 OK\r\nSet-Cookie: sessionid=1; Path=/\r\nContent-Length: 2\r\n\r\n{}"
                .to_vec(),
        )
    };
    let (_l, candidate, proxy) = shadowed(legacy, json("{}"), "", "");
    let mut client = Client::connect(proxy.data);
    client.ask("GET", "/home", &[], b"");
    client.ask("GET", "/home", &[("Cookie", "sessionid=0")], b"");
    client.ask("GET", "/home", &[("Cookie", "other=0")], b"");
    assert_eq!(proxy.outcomes("s")["not_comparable(excluded)"], 3);
    assert!(candidate.seen().is_empty());
}

#[test]
fn a_large_answer_is_decided_at_the_limit_and_passes_untouched() {
    let (_l, candidate, proxy) = shadowed(|_| Reply::Large(3 << 20), json("{}"), "", "");
    let answer = Client::get(proxy.data, "/");
    assert_eq!(answer.body.len(), 3 << 20);
    assert_eq!(proxy.outcomes("s")["not_comparable(too_large)"], 1);
    assert!(candidate.seen().is_empty());
}

#[test]
fn a_candidate_that_answers_far_too_much_diverges() {
    let (_l, _c, proxy) = shadowed(json("{}"), |_| Reply::Large(64 << 20), "", "");
    Client::get(proxy.data, "/");
    proxy.await_outcome("s", "divergence", 1);
}

#[test]
fn a_dead_slow_or_broken_candidate_changes_nothing_and_is_counted() {
    let candidate = |seen: &Seen| match seen.target.as_str() {
        "/stall" => Reply::Stall,
        "/garbage" => Reply::RawClose(b"not http\r\n\r\n".to_vec()),
        _ => Reply::RawClose(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec()),
    };
    let (_l, candidate, proxy) = shadowed(json("{\"a\":1}"), candidate, "timeout: 200ms", "");
    for path in ["/stall", "/garbage", "/half"] {
        let start = Instant::now();
        assert_eq!(Client::get(proxy.data, path).text(), "{\"a\":1}");
        assert!(start.elapsed() < Duration::from_millis(150), "{path}");
    }
    proxy.await_outcome("s", "timeout", 1);
    proxy.await_outcome("s", "candidate_error", 2);
    candidate.kill();
    assert_eq!(Client::get(proxy.data, "/dead").text(), "{\"a\":1}");
    proxy.await_outcome("s", "candidate_error", 3);
}

#[test]
fn vacuous_pairs_say_nothing() {
    let same = |_: &Seen| Reply::status(500, "oops");
    let (_l, _c, proxy) = shadowed(same, same, "", "");
    Client::get(proxy.data, "/");
    assert_eq!(proxy.outcomes("s")["vacuous"], 1);
}

#[test]
fn more_copies_than_may_be_in_flight_are_shed() {
    let slow = |_: &Seen| Reply::After(300, Box::new(Reply::json("{}")));
    let (_l, _c, proxy) = shadowed(json("{}"), slow, "max_inflight: 2", "");
    for _ in 0..10 {
        Client::get(proxy.data, "/");
    }
    let outcomes = proxy.outcomes("s");
    assert!(
        outcomes["shed(inflight)"] >= 1 && outcomes["match"] >= 2,
        "{outcomes:?}"
    );
}

#[test]
fn where_the_candidate_serves_legacy_gets_the_copy() {
    let (legacy, candidate) = (
        Origin::start(json("{\"a\":1}")),
        Origin::start(json("{\"a\":2}")),
    );
    let rules = format!(
        "legacy: {}\nslices:\n  - {{ name: s, match: /, to: \"{}\", stage: cutover, shadow: {{ rate: none }} }}\n",
        legacy.url(),
        candidate.url()
    );
    let proxy = Proxy::start(&rules);
    for _ in 0..200 {
        assert_eq!(Client::get(proxy.data, "/").text(), "{\"a\":2}");
    }
    let outcomes = proxy.outcomes("s");
    let seen = outcomes["divergence"];
    assert!((5..=45).contains(&seen), "a tenth: {seen}");
    assert!(
        legacy
            .seen()
            .iter()
            .all(|s| s.field("supplant-role").is_some())
    );
}

#[test]
fn own_marks_that_an_application_echoes_are_masked() {
    let echo = |seen: &Seen| {
        let fields: serde_json::Map<_, _> = seen
            .fields
            .iter()
            .map(|(n, v)| (n.clone(), v.clone().into()))
            .collect();
        Reply::json(serde_json::Value::Object(fields).to_string())
    };
    let (_l, _c, proxy) = shadowed(echo, echo, "", "");
    Client::get(proxy.data, "/");
    assert_eq!(proxy.outcomes("s")["masked(own_header)"], 1);
}

/// Legacy changes a timestamp by itself; the candidate has another type elsewhere.
#[test]
fn noise_is_masked_and_the_real_difference_becomes_a_group() {
    let count = std::sync::atomic::AtomicU64::new(0);
    let legacy = move |_: &Seen| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Reply::json(format!("{{\"at\":\"t{n}\",\"price\":1.5}}"))
    };
    let other = std::sync::atomic::AtomicU64::new(0);
    let candidate = move |_: &Seen| {
        let n = other.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Reply::json(format!("{{\"at\":\"u{n}\",\"price\":\"1.5\"}}"))
    };
    let (legacy, candidate) = (Origin::start(legacy), Origin::start(candidate));
    let rules = format!(
        "legacy: {}\nslices:\n  - {{ name: s, match: /, to: \"{}\", stage: shadow, shadow: {{ rate: none }}, compare: {{ control: 100%, control_rate: none }} }}\n",
        legacy.url(),
        candidate.url()
    );
    let proxy = Proxy::start(&rules);
    let mut client = Client::connect(proxy.data);
    for i in 0..120 {
        client.ask("GET", &format!("/orders/{i}"), &[], b"");
    }
    eventually("one group", || {
        let groups = proxy.json("/api/v1/slices/s/divergences?verdict=regression");
        groups["items"].as_array().unwrap().len() == 1
    });
    let groups = proxy.json("/api/v1/slices/s/divergences?verdict=regression");
    let group = &groups["items"][0];
    assert_eq!(group["endpoint"], "GET /orders/{}");
    let differences = group["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{group}");
    assert_eq!(
        (&differences[0]["path"], &differences[0]["kind"]),
        (&"$.price".into(), &"type".into())
    );
    assert!(
        legacy
            .seen()
            .iter()
            .any(|s| s.field("supplant-role") == Some("control"))
    );
    pause(1100);
    client.ask("GET", "/orders/7", &[], b"");
    proxy.outcomes("s");
}
