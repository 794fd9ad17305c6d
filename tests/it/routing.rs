//! Who serves: stages, ramps, tenants.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;

fn both() -> (Origin, Origin) {
    (
        Origin::start(|_| Reply::json("\"legacy\"")),
        Origin::start(|_| Reply::json("\"candidate\"")),
    )
}

fn rules(legacy: &Origin, candidate: &Origin, rest: &str) -> String {
    format!(
        "legacy: {}\nbackends: {{ new: \"{}\" }}\n{rest}",
        legacy.url(),
        candidate.url()
    )
}

#[test]
fn each_stage_is_served_by_its_side_and_everything_else_by_legacy() {
    let (legacy, candidate) = both();
    let stages = ["legacy", "shadow", "cutover", "retired"];
    let slices: String = stages
        .iter()
        .map(|s| format!("  - {{ name: {s}, match: /{s}, to: new, stage: {s} }}\n"))
        .collect();
    let proxy = Proxy::start(&rules(&legacy, &candidate, &format!("slices:\n{slices}")));
    let side = |path: &str| Client::get(proxy.data, path).text();
    assert_eq!(side("/legacy"), "\"legacy\"");
    assert_eq!(side("/shadow/deep"), "\"legacy\"");
    assert_eq!(side("/cutover"), "\"candidate\"");
    assert_eq!(side("/retired"), "\"candidate\"");
    assert_eq!(side("/nobody"), "\"legacy\"");
    assert_eq!(side("/cutover-not"), "\"legacy\"");
    assert_eq!(proxy.outcomes("legacy")["not_mirrored(stage)"], 1);
    assert_eq!(proxy.outcomes("retired")["not_mirrored(stage)"], 1);
    assert_eq!(proxy.outcomes("_unmatched")["not_mirrored(stage)"], 2);
}

#[test]
fn a_canary_moves_the_same_keys_always_and_nobody_without_a_key() {
    let (legacy, candidate) = both();
    let rest = "slices:\n  - { name: c, match: /c, to: new, stage: canary, ramp: { by: \"header:X-User\", percent: 30% } }\n";
    let proxy = Proxy::start(&rules(&legacy, &candidate, rest));
    let ask = |user: &str| {
        let mut client = Client::connect(proxy.data);
        client.ask("GET", "/c", &[("X-User", user)], b"").text()
    };
    let moved: Vec<_> = (0..300)
        .filter(|i| ask(&i.to_string()) == "\"candidate\"")
        .collect();
    assert!((60..120).contains(&moved.len()), "{}", moved.len());
    for user in &moved {
        assert_eq!(ask(&user.to_string()), "\"candidate\"");
    }
    assert_eq!(Client::get(proxy.data, "/c").text(), "\"legacy\"");
    proxy.outcomes("c");
}

#[test]
fn tenants_are_found_listed_always_and_never() {
    let (legacy, candidate) = both();
    let rest = "tenant: { from: [\"header:X-Tenant\", \"host:{tenant}.app.example\"], cohorts: { pilots: [acme], frozen: [slow] } }
slices:
  - { name: c, match: /c, to: new, stage: canary, ramp: { percent: 0%, always: [pilots], never: [frozen] } }
  - { name: only, match: { path_prefix: /only, tenants: [pilots] }, to: new, stage: cutover }
";
    let proxy = Proxy::start(&rules(&legacy, &candidate, rest));
    let ask = |path: &str, field: (&str, &str)| {
        let mut client = Client::connect(proxy.data);
        client.send(
            format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\n{}: {}\r\n\r\n",
                if field.0 == "Host" { field.1 } else { "x" },
                if field.0 == "Host" { "X-None" } else { field.0 },
                field.1
            )
            .as_bytes(),
        );
        client.read(false).unwrap().text()
    };
    assert_eq!(ask("/c", ("X-Tenant", "acme")), "\"candidate\"");
    assert_eq!(ask("/c", ("Host", "acme.app.example")), "\"candidate\"");
    assert_eq!(ask("/c", ("X-Tenant", "slow")), "\"legacy\"");
    assert_eq!(ask("/only", ("X-Tenant", "acme")), "\"candidate\"");
    assert_eq!(ask("/only", ("X-Tenant", "other")), "\"legacy\"");
}
