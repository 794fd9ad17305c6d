//! What a file says of the data plane, read whole: listeners, limits, backends, edits, fallback.

use crate::model::SliceIx;
use crate::rules::Endpoint;
use crate::rules::Retry;
use crate::rules::Scheme;
use crate::rules::Snapshot;
use crate::rules::Underscores;
use crate::rules::diff;
use crate::rules::explain;
use crate::rules::is_risky;
use crate::rules::load;
use crate::rules::tests::Asked;
use crate::rules::tests::rendered;
use crate::rules::tests::snapshot;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

const ALL: &str = include_str!("../../../tests/cases/plane.yaml");

fn all() -> Snapshot {
    match load("/etc/supplant/routes.yaml", ALL) {
        Ok(loaded) => {
            assert!(loaded.warnings.is_empty(), "{}", rendered(&loaded.warnings));
            loaded.snapshot
        }
        Err(problems) => panic!("{}", rendered(&problems)),
    }
}

fn edited(from: &str, to: &str) -> Snapshot {
    assert!(ALL.contains(from), "{from}");
    snapshot(&ALL.replacen(from, to, 1))
}

#[test]
fn listeners_and_limits_are_read_whole() {
    let all = all();
    let [plain, tls] = all.startup().listen.as_slice() else {
        panic!("two listeners")
    };
    assert_eq!(plain.header, Duration::from_secs(7));
    assert_eq!(plain.body, Duration::from_secs(30));
    assert!(plain.proxy_protocol && plain.half_close && plain.tls.is_none());
    assert!(!tls.proxy_protocol && !tls.half_close);
    let tls = tls.tls.as_ref().unwrap();
    let certs: Vec<_> = tls.certificates.iter().map(|c| c.cert.as_path()).collect();
    assert_eq!(
        certs,
        [
            Path::new("/etc/supplant/tls/a.pem"),
            Path::new("/run/tls/b.pem")
        ]
    );
    assert_eq!(
        tls.client_ca.as_deref(),
        Some(Path::new("/etc/supplant/tls/ca.pem"))
    );
    assert!(tls.only_tls13);
    let limits = all.startup().limits;
    assert_eq!(limits.accept_rate, Some(500));
    assert_eq!((limits.request_line, limits.head), (4_096, 32_768));
    assert_eq!((limits.fields, limits.streams), (64, 32));
    assert_eq!((limits.inflight, limits.requests), (Some(5_000), None));
    let identity = all.identity();
    assert!(identity.trusts("10.9.9.9".parse().unwrap()));
    assert!(!identity.trusts("192.0.2.8".parse().unwrap()));
    assert_eq!(identity.underscores, Underscores::Drop);
}

#[test]
fn a_smaller_head_makes_a_smaller_request_line() {
    let limits = |text: &str| {
        snapshot(&format!("legacy: http://127.0.0.1:1\nlimits: {text}\n"))
            .startup()
            .limits
    };
    assert_eq!(limits("{ head: 2KiB }").request_line, 2_048);
    assert_eq!(limits("{ head: 128KiB }").request_line, 8_192);
    assert_eq!(limits("{ accept_rate: none }").accept_rate, None);
}

#[test]
fn backends_are_read_whole() {
    let all = all();
    let find = |name: &str| all.backends().iter().find(|b| *b.name == *name).unwrap();
    let legacy = find("legacy");
    assert_eq!(legacy.host.as_ref().unwrap(), "shop.internal:8080");
    assert_eq!(
        (legacy.retry, legacy.ejection.failures),
        (
            Retry {
                budget: crate::model::Share::NONE,
                ..Retry::default()
            },
            0
        )
    );
    let billing = find("billing");
    let schemes: Vec<_> = billing
        .endpoints
        .iter()
        .map(|e| match e {
            Endpoint::Tcp { scheme, port, .. } => (*scheme, *port),
            Endpoint::Unix(_) => panic!("none of them"),
        })
        .collect();
    assert_eq!(schemes, [(Scheme::Https, 443), (Scheme::Https, 8443)]);
    assert_eq!(billing.tls.sni.as_deref(), Some("billing.internal"));
    assert_eq!(
        billing.tls.ca.as_deref(),
        Some(Path::new("/etc/supplant/tls/ca.pem"))
    );
    let client = billing.tls.client.as_ref().unwrap();
    assert_eq!(client.key, Path::new("/etc/supplant/tls/me.key"));
    let health = billing.health.as_ref().unwrap();
    assert_eq!((health.path.as_str(), health.healthy), ("/ping?deep=1", 2));
    assert_eq!(
        (health.interval, health.unhealthy),
        (Duration::from_secs(1), 5)
    );
    assert_eq!(billing.ejection.failures, 3);
    assert_eq!(billing.ejection.slow_start, Duration::from_secs(30));
    assert_eq!(billing.max_inflight, Some(400));
    assert!(billing.retry.idempotent);
    assert_eq!(billing.retry.budget.to_string(), "10%");
    let circuit = billing.circuit.unwrap();
    assert_eq!(
        (circuit.failures.to_string().as_str(), circuit.volume),
        ("50%", 40)
    );
    let grpc = find("grpc");
    assert!(grpc.retry.idempotent && grpc.circuit.is_none() && grpc.health.is_none());
}

#[test]
fn slices_take_what_defaults_give_and_may_refuse_it() {
    let all = all();
    let slice = |name: &str| {
        all.slices()
            .iter()
            .find(|s| s.id.to_string() == name)
            .unwrap()
    };
    let invoices = slice("invoices");
    let fallback = invoices.fallback.as_ref().unwrap();
    assert!(fallback.connect_error && !fallback.timeout);
    assert_eq!(fallback.statuses, [502, 503]);
    assert_eq!(fallback.budget.to_string(), "5%");
    let rewrite = invoices.edits.rewrite.as_ref().unwrap();
    assert_eq!((&*rewrite.from, &*rewrite.to), ("/api/v1", "/v2"));
    assert_eq!(
        invoices.edits.request.to_string(),
        "{remove [x-debug], set [x-client], add [x-hop, x-hop]}"
    );
    assert_eq!(
        invoices.edits.response.to_string(),
        "{set [strict-transport-security]}"
    );
    assert_eq!(
        invoices.copy_edits.to_string(),
        "{remove [authorization, cookie]}"
    );
    let chat = slice("chat");
    assert!(chat.fallback.is_none() && chat.edits.request.is_empty());
    assert_eq!(chat.copy_edits.to_string(), "{set [authorization]}");
    let root = slice("rest");
    let rewrite = root.edits.rewrite.as_ref().unwrap();
    assert_eq!((&*rewrite.from, &*rewrite.to), ("", "/app"));
    assert_eq!(root.fallback.as_ref().unwrap().statuses, [502, 503, 504]);
}

#[test]
fn evidence_begins_anew_where_the_candidate_is_asked_otherwise() {
    let before = all();
    let key = |s: &Snapshot| s.slices()[0].epoch_key;
    for (from, to) in [
        ("rewrite: { prefix: /v2 }", "rewrite: { prefix: /v3 }"),
        ("X-Client: web", "X-Client: app"),
        ("remove: [Authorization, Cookie]", "remove: [Authorization]"),
        ("host: shop.internal:8080", "host: shop.internal"),
        (
            "Strict-Transport-Security: max-age=1",
            "Strict-Transport-Security: max-age=2",
        ),
    ] {
        assert_ne!(key(&before), key(&edited(from, to)), "{to}");
    }
    for (from, to) in [
        ("max_inflight: 400", "max_inflight: 500"),
        ("interval: 1s", "interval: 2s"),
        ("budget: 5%", "budget: 6%"),
        ("volume: 40", "volume: 41"),
        ("10.0.0.0/8", "10.0.0.0/9"),
    ] {
        assert_eq!(key(&all()), key(&edited(from, to)), "{to}");
    }
}

/// An edit of the file, and the one line that tells it.
const DIFFS: [(&str, &str, &str); 14] = [
    (
        "10.0.0.0/8",
        "10.0.0.0/9",
        "trusted_proxies: [10.0.0.0/8, 192.0.2.7] to [10.0.0.0/9, 192.0.2.7]",
    ),
    (
        "underscores: drop",
        "underscores: reject",
        "underscores: drop to reject",
    ),
    (
        "max_inflight: 400",
        "max_inflight: none",
        "backend `billing`: max_inflight 400 to none",
    ),
    (
        "sni: billing.internal",
        "sni: b",
        "backend `billing`: tls {ca tls/ca.pem, sni billing.internal, cert tls/me.pem, key tls/me.key} to {ca tls/ca.pem, sni b, cert tls/me.pem, key tls/me.key}",
    ),
    (
        "interval: 1s",
        "interval: 2s",
        "backend `billing`: health {/ping?deep=1 every 1s, timeout 2s, healthy 2, unhealthy 5} to {/ping?deep=1 every 2s, timeout 2s, healthy 2, unhealthy 5}",
    ),
    (
        "ejection: none",
        "ejection: {}",
        "backend `legacy`: ejection none to {failures 5, pause 10s, slow_start 10s}",
    ),
    (
        "retry: none",
        "retry: idempotent",
        "backend `legacy`: retry none to {idempotent true, budget 20%}",
    ),
    (
        "volume: 40",
        "volume: 41",
        "backend `billing`: circuit {failures 50%, volume 40, open 5s} to {failures 50%, volume 41, open 5s}",
    ),
    (
        "host: shop.internal:8080",
        "host: shop",
        "backend `legacy`: host shop.internal:8080 to shop",
    ),
    (
        "budget: 5%",
        "budget: 6%",
        "slice `invoices`: fallback [connect_error, 502, 503] at most 5% to [connect_error, 502, 503] at most 6%",
    ),
    (
        "prefix: /v2",
        "prefix: /",
        "slice `invoices`: rewrite /api/v1 as /v2 to /api/v1 as /",
    ),
    (
        "X-Client: web",
        "X-Client: app",
        "slice `invoices`: headers of requests: other values",
    ),
    (
        "Authorization: sandbox",
        "Authorization: other",
        "slice `chat`: headers of copies: other values",
    ),
    (
        "remove: [X-Debug]",
        "remove: [X-Bug]",
        "slice `invoices`: headers of requests {remove [x-debug], set [x-client], add [x-hop, x-hop]} to {remove [x-bug], set [x-client], add [x-hop, x-hop]}",
    ),
];

#[test]
fn a_diff_says_what_changes_in_the_data_plane_and_shows_no_value() {
    let base = snapshot(ALL);
    for (from, to, line) in DIFFS {
        assert_eq!(diff(&base, &edited(from, to)), [line]);
    }
    assert!(diff(&base, &snapshot(ALL)).is_empty());
}

#[test]
fn a_file_that_drops_what_hides_or_moves_is_risky() {
    let base = snapshot(ALL);
    for (from, to) in [
        ("    rewrite: { prefix: /v2 }\n", ""),
        (
            "    shadow: { headers: { set: { Authorization: sandbox } } }\n",
            "    shadow: { headers: {} }\n",
        ),
        (
            "fallback: { on: [connect_error, 503, 502], budget: 5% }",
            "fallback: none",
        ),
    ] {
        assert!(is_risky(&base, &edited(from, to)), "{to}");
    }
    assert!(!is_risky(&base, &edited("prefix: /v2", "prefix: /v3")));
}

#[test]
fn what_is_read_at_start_and_changed_is_told_where_it_stands() {
    let running = snapshot(ALL);
    for (from, to, key) in [
        ("header: 7s", "header: 8s", "listen:"),
        ("half_close: true", "half_close: false", "listen:"),
        ("min_version: 1.3", "min_version: 1.2", "listen:"),
        ("streams: 32", "streams: 33", "limits:"),
        ("accept_rate: 500/s", "accept_rate: none", "limits:"),
        ("delay: 1s", "delay: 2s", "drain:"),
    ] {
        let warnings = edited(from, to).changed_startup(running.startup());
        let line = ALL.lines().position(|l| l.starts_with(key)).unwrap() + 1;
        let found: Vec<_> = warnings.iter().map(|w| (w.code, w.line as usize)).collect();
        assert_eq!(found, [("W010", line)], "{to}");
    }
    for (from, to) in [
        ("10.0.0.0/8", "10.0.0.0/9"),
        ("underscores: drop", "underscores: pass"),
    ] {
        assert!(
            edited(from, to)
                .changed_startup(running.startup())
                .is_empty()
        );
    }
}

#[test]
fn an_explanation_says_what_the_candidate_gets_and_who_answers_when_it_fails() {
    let all = all();
    let explained = |request: &str| {
        let asked = Asked::parse(request);
        explain(&all, &asked.head(), Some(0)).unwrap()
    };
    let text = explained("GET /api/v1/invoices/%37?x=1").to_string();
    for line in [
        "  the candidate gets /v2/invoices/%37\n",
        "  if the candidate fails, legacy answers, after [connect_error, 502, 503] at most 5% of requests\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let post = explained("POST /api/v1/invoices/7");
    assert_eq!(
        post.on_failure.as_deref(),
        Some("the client gets an error: POST never falls back")
    );
    let chat = explained("GET /chat");
    assert_eq!(chat.candidate_path, None);
    assert_eq!(
        chat.on_failure, None,
        "legacy answers, and nothing stands behind it"
    );
    let rest = explained("GET /x");
    assert_eq!(rest.candidate_path.as_deref(), Some("/app/x"));
    assert_eq!(
        rest.on_failure.as_deref(),
        Some("the client gets an error: in stage `retired` nothing falls back")
    );
    assert_eq!(all.position(SliceIx(2)).to_string(), "retired");
}

#[test]
fn a_key_in_place_of_its_path_is_refused_and_never_shown() {
    let secret = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC";
    for key in [
        format!("\"-----BEGIN PRIVATE KEY-----\\n{secret}\\n-----END PRIVATE KEY-----\""),
        format!(
            "|\n      -----BEGIN PRIVATE KEY-----\n      {secret}\n      -----END PRIVATE KEY-----"
        ),
        format!(">-\n      {secret}\n\n      {secret}"),
    ] {
        let text =
            format!("legacy:\n  endpoints: https://a\n  tls:\n    cert: a.pem\n    key: {key}\n");
        let problems = load("", &text).unwrap_err();
        assert_eq!(problems[0].code, "E026", "{text}");
        assert!(
            !rendered(&problems).contains("MIIE"),
            "{}",
            rendered(&problems)
        );
    }
}

#[test]
fn a_rewrite_of_two_prefixes_is_written_as_two_slices_of_one_group() {
    let file = |slices: &[(&str, &str)], rest: &str| {
        let head = "legacy: http://127.0.0.1:1\ntenant: { from: header:x-tenant }\nslices:\n";
        slices.iter().fold(head.to_owned(), |text, (name, matches)| {
            format!("{text}  - {{ name: {name}, match: {matches}, to: \"http://127.0.0.1:2\", rewrite: {{ prefix: /v2 }}, {rest} }}\n")
        })
    };
    let one = [(
        "invoices",
        "[{ path_prefix: /invoices }, { path_prefix: /api/v1/invoices }]",
    )];
    let two = [("invoices", "/invoices"), ("api", "/api/v1/invoices")];
    for (written, followed, group) in [
        (
            "stage: cutover",
            "stage: cutover, ramp: { group: invoices }",
            "invoices",
        ),
        (
            "stage: canary, ramp: { percent: 10% }",
            "stage: canary, ramp: { percent: 10%, group: invoices }",
            "invoices",
        ),
        (
            "stage: shadow, ramp: { group: b-2026 }",
            "stage: shadow, ramp: { group: b-2026 }",
            "b-2026",
        ),
    ] {
        let problems = load("", &file(&one, written)).unwrap_err();
        assert_eq!(problems.len(), 1, "{}", rendered(&problems));
        assert_eq!(problems[0].code, "E029");
        let hint = format!(
            "write two slices, the second for /api/v1/invoices with the same `rewrite`, and `group: {group}` in the `ramp` of both, so that the same keys move"
        );
        assert_eq!(problems[0].hint, hint);
        let loaded = load("", &file(&two, followed)).map_err(|problems| rendered(&problems));
        let loaded = loaded.unwrap();
        assert_eq!(rendered(&loaded.warnings), "");
        for slice in loaded.snapshot.slices() {
            assert_eq!(&*slice.ramp.as_ref().unwrap().group, group);
        }
    }
}

#[test]
fn a_key_that_breaks_the_file_is_never_shown() {
    let secret = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC";
    let head = "legacy:\n  endpoints: https://a\n  tls:\n    cert: a.pem\n    key: ";
    let begin = "-----BEGIN PRIVATE KEY-----";
    let end = "-----END PRIVATE KEY-----";
    for (key, line) in [
        // The lines of a key that is not indented.
        (format!("{begin}\n{secret}\n{secret}\n{end}\n"), 6),
        (format!("{begin}\r\n{secret}\r\n{secret}\r\n{end}\r\n"), 6),
        (format!("|\n{begin}\n{secret}\n{end}\n"), 6),
        // A key without an end is hidden to the end of the text.
        (format!("{begin}\n{secret}\n\n{secret}\n"), 6),
        (format!("a.key\n# {begin}\n  x: [{secret}\n"), 7),
    ] {
        let problems = load("", &format!("{head}{key}")).unwrap_err();
        let shown = rendered(&problems);
        assert_eq!(problems[0].code, "E001", "{shown}");
        assert!(problems[0].line >= line, "{shown}");
        assert!(!shown.contains("MIIE"), "{shown}");
    }
    let after = format!("# {begin}\n# {secret}\n# {end}\nlegcy: http://127.0.0.1:1\n");
    let shown = rendered(&load("", &after).unwrap_err());
    assert!(shown.contains("4 | legcy: http://127.0.0.1:1"), "{shown}");
}

/// Every piece of the file alone, cut anywhere: it is taken, or named wrong, and never panics.
fn cut() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "",
        " ",
        ":",
        "{",
        "}",
        "[",
        "]",
        ",",
        "none",
        "true",
        "0",
        "0s",
        "0%",
        "/",
        "~",
        "\"\"",
        "tls: {}",
        "headers: {}",
        "&x",
        "-----BEGIN",
    ]);
    let edit = (any::<prop::sample::Index>(), words, 0_usize..6);
    prop::collection::vec(edit, 1..5).prop_map(|edits| {
        let mut text: Vec<char> = ALL.chars().collect();
        for (at, insert, remove) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_cut_of_it_makes_it_panic(text in cut()) {
        match load("routes.yaml", &text) {
            Ok(loaded) => {
                let _lines = diff(&loaded.snapshot, &all());
                for slice in loaded.snapshot.slices() {
                    prop_assert!(slice.epoch_key != 0);
                }
            }
            Err(problems) => prop_assert!(!rendered(&problems).is_empty()),
        }
    }

    /// Of any prefixes, what is moved is the longest that all share, by segments.
    #[test]
    fn a_rewrite_moves_what_all_matches_share(paths in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["a", "b", "{x}"]), 1..5), 1..4)) {
        let mut list = String::new();
        for (place, path) in paths.iter().enumerate() {
            let mut written = String::new();
            for (n, segment) in path.iter().enumerate() {
                match *segment {
                    "{x}" => write!(written, "/{{x{n}}}").unwrap(),
                    literal => write!(written, "/{literal}").unwrap(),
                }
            }
            // A condition that tells the matches apart, so that none is useless.
            write!(list, "{{ path: \"{written}\", headers: {{ X-N: \"{place}\" }} }}, ").unwrap();
        }
        let text = format!("legacy: http://127.0.0.1:1\nslices: [{{ name: s, match: [{list}], to: \"http://127.0.0.1:2\", stage: shadow, rewrite: {{ prefix: /v2 }} }}]\n");
        let shared: Vec<&str> = (0..4)
            .map_while(|n| {
                let segment = *paths[0].get(n)?;
                let same = segment != "{x}" && paths.iter().all(|p| p.get(n) == Some(&segment));
                same.then_some(segment)
            })
            .collect();
        match load("", &text) {
            Ok(loaded) => {
                let rewrite = loaded.snapshot.slices()[0].edits.rewrite.clone().unwrap();
                prop_assert_eq!(rewrite.from, format!("/{}", shared.join("/")));
            }
            Err(problems) => {
                prop_assert!(shared.is_empty(), "{}", rendered(&problems));
                prop_assert!(problems.iter().any(|p| p.code == "E029"), "{}", rendered(&problems));
            }
        }
    }
}
