//! Kill, rollback, resume: in force at once, and still so after a restart.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;

fn both() -> (Origin, Origin, String) {
    let legacy = Origin::start(|_| Reply::json("\"legacy\""));
    let candidate = Origin::start(|_| Reply::json("\"candidate\""));
    let rules = format!(
        "legacy: {}\nslices:\n  - {{ name: a, match: /a, to: \"{1}\", stage: cutover }}\n  - {{ name: b, match: /b, to: \"{1}\", stage: cutover }}\n",
        legacy.url(),
        candidate.url()
    );
    (legacy, candidate, rules)
}

fn side(proxy: &Proxy, path: &str) -> String {
    Client::get(proxy.data, path).text()
}

#[test]
fn a_kill_is_in_force_at_once_and_outlives_a_restart() {
    let (_legacy, _candidate, rules) = both();
    let proxy = Proxy::start(&rules);
    assert_eq!(side(&proxy, "/a"), "\"candidate\"");
    assert_eq!(proxy.admin_post("/api/v1/slices/a/kill", "{}").0, 200);
    assert_eq!(side(&proxy, "/a"), "\"legacy\"");
    assert_eq!(side(&proxy, "/b"), "\"candidate\"");
    assert_eq!(proxy.outcomes("a")["not_mirrored(killed)"], 1);
    let proxy = Proxy::start_in(proxy.stop(), &rules);
    assert_eq!(side(&proxy, "/a"), "\"legacy\"");
    assert_eq!(proxy.admin_post("/api/v1/slices/a/resume", "{}").0, 200);
    assert_eq!(side(&proxy, "/a"), "\"candidate\"");
}

#[test]
fn kill_all_takes_everything_back_and_only_resume_all_lifts_it() {
    let (_legacy, _candidate, rules) = both();
    let proxy = Proxy::start(&rules);
    assert_eq!(proxy.admin_post("/api/v1/kill", "{}").0, 200);
    assert_eq!(
        (side(&proxy, "/a"), side(&proxy, "/b")),
        ("\"legacy\"".into(), "\"legacy\"".into())
    );
    assert_ne!(proxy.admin_post("/api/v1/slices/a/resume", "{}").0, 200);
    assert_eq!(side(&proxy, "/a"), "\"legacy\"");
    assert_eq!(proxy.admin_post("/api/v1/resume", "{}").0, 200);
    assert_eq!(side(&proxy, "/a"), "\"candidate\"");
}

#[test]
fn a_rollback_goes_to_shadow_and_an_edit_of_the_file_does_not_lift_it() {
    let (_legacy, _candidate, rules) = both();
    let proxy = Proxy::start(&rules);
    assert_eq!(proxy.admin_post("/api/v1/slices/a/rollback", "{}").0, 200);
    assert_eq!(side(&proxy, "/a"), "\"legacy\"");
    let slice = proxy.json("/api/v1/slices/a");
    assert_eq!(slice["stage"], "shadow");
    let proxy = Proxy::start_in(proxy.stop(), &rules.replace("name: b", "name: c"));
    assert_eq!(side(&proxy, "/a"), "\"legacy\"");
    let (status, text) = proxy.admin_post("/api/v1/slices/a/resume", "{\"reason\":\"mended\"}");
    assert_eq!(status, 200, "{text}");
    assert_eq!(side(&proxy, "/a"), "\"candidate\"");
    assert_eq!(proxy.admin_post("/api/v1/slices/nobody/kill", "{}").0, 404);
}
