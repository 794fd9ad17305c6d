//! What holds slices down, what changes between two files, and what a hasty file looks like.

use crate::model::Position;
use crate::model::Share;
use crate::model::SliceId;
use crate::model::SliceIx;
use crate::model::Stage;
use crate::rules::Ceiling;
use crate::rules::Ceilings;
use crate::rules::Snapshot;
use crate::rules::decide;
use crate::rules::diff;
use crate::rules::is_risky;
use crate::rules::tests::Asked;
use crate::rules::tests::snapshot;

const BASE: &str = r#"
listen: 127.0.0.1:8080
legacy: http://127.0.0.1:1
backends: { a: http://127.0.0.1:2 }
tenant: { from: "header:X-Tenant" }
slices:
  - { name: one, match: /one, to: a, stage: cutover, shadow: { except: [/one/x] }, ramp: { never: [old] } }
  - { name: two, match: /two, to: a, stage: shadow, owner: me }
"#;

fn edited(from: &str, to: &str) -> Snapshot {
    assert!(BASE.contains(from), "{from}");
    snapshot(&BASE.replace(from, to))
}

fn ceilings(name: &str, ceiling: Ceiling) -> Ceilings {
    Ceilings {
        all_killed: false,
        slices: [(SliceId::new(name), ceiling)].into(),
    }
}

fn told(snapshot: &Snapshot, path: &str) -> String {
    let asked = Asked::parse(&format!("GET {path}"));
    let decision = decide(snapshot, &asked.head(), 0, &mut ()).unwrap();
    format!("{} {}", decision.primary, decision.reason.as_str())
}

#[test]
fn a_ceiling_lowers_and_never_raises() {
    let rules = snapshot(BASE);
    let one = SliceIx(0);
    let canary = Position::new(Stage::Canary, Share::new(100).unwrap());
    for (ceiling, in_force) in [
        (None, rules.slices()[0].declared),
        (Some(Position::SHADOW), Position::SHADOW),
        (Some(canary), canary),
        (
            Some(Position::new(Stage::Retired, Share::ALL)),
            rules.slices()[0].declared,
        ),
    ] {
        let held = rules.held(&ceilings(
            "one",
            Ceiling {
                position: ceiling,
                killed: false,
                ..Ceiling::default()
            },
        ));
        assert_eq!(held.position(one), in_force);
        assert_eq!(
            held.held(&Ceilings::default()).position(one),
            rules.slices()[0].declared
        );
    }
}

#[test]
fn a_kill_sends_a_slice_or_everything_to_legacy() {
    let rules = snapshot(BASE);
    assert_eq!(told(&rules, "/one"), "candidate cutover");
    let one = rules.held(&ceilings(
        "one",
        Ceiling {
            position: None,
            killed: true,
            ..Ceiling::default()
        },
    ));
    assert_eq!(told(&one, "/one"), "legacy killed");
    assert_eq!(told(&one, "/two"), "legacy shadow");
    let all = rules.held(&Ceilings {
        all_killed: true,
        ..Ceilings::default()
    });
    assert_eq!(told(&all, "/two"), "legacy killed");
    assert!(all.killed(SliceIx(1)) && all.all_killed());
    let strange = rules.held(&ceilings(
        "none-of-these",
        Ceiling {
            position: None,
            killed: true,
            ..Ceiling::default()
        },
    ));
    assert_eq!(told(&strange, "/one"), "candidate cutover");
}

#[test]
fn a_slice_without_a_ramp_that_is_held_at_a_share_stays_with_legacy() {
    let rules = edited(", ramp: { never: [old] }", "");
    let canary = Position::new(Stage::Canary, Share::ALL);
    let held = rules.held(&ceilings(
        "one",
        Ceiling {
            position: Some(canary),
            killed: false,
            ..Ceiling::default()
        },
    ));
    assert_eq!(told(&held, "/one"), "legacy no_key");
}

#[test]
fn evidence_begins_anew_where_the_answers_may_change() {
    let base = snapshot(BASE);
    let key = |s: &Snapshot, ix: usize| s.slices()[ix].epoch_key;
    for (from, to) in [
        ("stage: cutover", "stage: shadow"),
        ("owner: me", "owner: you"),
        ("except: [/one/x]", "except: [/one/x, /one/y]"),
        ("never: [old]", "never: [older]"),
        (
            "stage: shadow, owner",
            "stage: shadow, shadow: { sample: 5% }, owner",
        ),
    ] {
        let after = edited(from, to);
        assert_eq!(
            [key(&base, 0), key(&base, 1)],
            [key(&after, 0), key(&after, 1)],
            "{to}"
        );
    }
    for (from, to) in [
        ("match: /one", "match: /on"),
        ("http://127.0.0.1:2", "http://127.0.0.1:3"),
        ("http://127.0.0.1:1", "http://127.0.0.1:3"),
        ("X-Tenant", "X-Other"),
        (
            "stage: cutover",
            "stage: cutover, compare: { ignore: [status] }",
        ),
    ] {
        let after = edited(from, to);
        assert_ne!(key(&base, 0), key(&after, 0), "{to}");
    }
}

#[test]
fn a_file_that_takes_something_away_is_risky() {
    let base = snapshot(BASE);
    let cut = snapshot(BASE.split("  - { name: two").next().unwrap());
    assert!(is_risky(&base, &cut));
    for (from, to) in [
        ("stage: shadow", "stage: cutover"),
        ("never: [old]", "never: [new]"),
        (", ramp: { never: [old] }", ""),
        ("except: [/one/x]", "except: [/one]"),
        ("name: two", "name: three"),
    ] {
        assert!(is_risky(&base, &edited(from, to)), "{to}");
    }
    for (from, to) in [
        ("stage: cutover", "stage: shadow"),
        ("owner: me", "owner: you"),
        ("never: [old]", "never: [old, new]"),
        ("except: [/one/x]", "except: [/one/x, /one/y]"),
    ] {
        assert!(!is_risky(&base, &edited(from, to)), "{to}");
    }
}

#[test]
fn a_diff_says_what_changes_for_each_slice() {
    let base = snapshot(BASE);
    assert!(diff(&base, &snapshot(BASE)).is_empty());
    for (from, to, line) in [
        (
            "stage: cutover",
            "stage: shadow",
            "slice `one`: position cutover to shadow",
        ),
        ("owner: me", "owner: you", "slice `two`: owner me to you"),
        (
            "match: /two",
            "match: /three",
            "slice `two`: match /two to /three",
        ),
        (
            "http://127.0.0.1:2",
            "http://127.0.0.1:3",
            "backend `a`: http://127.0.0.1:2 to http://127.0.0.1:3",
        ),
        (
            "never: [old]",
            "never: [new]",
            "slice `one`: ramp {by tenant, group one, never [old] (1)} to {by tenant, group one, never [new] (1)}",
        ),
    ] {
        assert_eq!(diff(&base, &edited(from, to)), [line]);
    }
    let renamed = diff(&base, &edited("name: two", "name: three"));
    assert_eq!(
        renamed,
        ["+ slice `three`: /two to a, shadow", "- slice `two`: /two"]
    );
}

#[test]
fn what_is_read_at_start_warns_with_its_line() {
    let running = snapshot(BASE);
    assert!(snapshot(BASE).changed_startup(running.startup()).is_empty());
    let after = edited("127.0.0.1:8080", "127.0.0.1:8081");
    let warnings = after.changed_startup(running.startup());
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].code, warnings[0].line), ("W010", 2));
}

#[test]
fn the_sample_of_a_cutover_halves_each_day_down_to_one_percent() {
    let rules = snapshot(BASE);
    let samples: Vec<_> = [0, 1, 2, 3, 4, 400]
        .into_iter()
        .map(|days| {
            let ceiling = Ceiling {
                days,
                ..Ceiling::default()
            };
            let held = rules.held(&ceilings("one", ceiling));
            held.sample(SliceIx(0)).to_string()
        })
        .collect();
    assert_eq!(samples, ["10%", "5%", "2.5%", "1.25%", "1%", "1%"]);
}
