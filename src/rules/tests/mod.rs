//! Cases over whole files, and properties of the whole.

use crate::model::Head;
use crate::model::Outcome;
use crate::model::Side;
use crate::rules::Mirror;
use crate::rules::Problem;
use crate::rules::Snapshot;
use crate::rules::decide;
use crate::rules::load;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use std::fmt::Write as _;

/// A request that owns its parts.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) host: Option<String>,
    pub(super) headers: HeaderMap,
}

impl Asked {
    /// Reads `GET http://host/path?query -H 'Name: value'`, as a case writes it.
    pub(super) fn parse(text: &str) -> Self {
        let mut parts = text.split(" -H '");
        let (method, target) = parts.next().unwrap().trim().split_once(' ').unwrap();
        let (host, target) = match target.strip_prefix("http://") {
            Some(rest) => {
                let at = rest.find('/').unwrap_or(rest.len());
                (
                    Some(rest.get(..at).unwrap().to_owned()),
                    rest.get(at..).unwrap(),
                )
            }
            None => (None, target),
        };
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(p, q)| (p, Some(q.to_owned())));
        let mut headers = HeaderMap::new();
        for field in parts {
            let (name, value) = field
                .trim_end()
                .trim_end_matches('\'')
                .split_once(": ")
                .unwrap();
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        Self {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            query,
            host,
            headers,
        }
    }

    pub(super) fn head(&self) -> Head<'_> {
        Head {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            host: self.host.as_deref(),
            headers: &self.headers,
        }
    }
}

pub(super) fn snapshot(text: &str) -> Snapshot {
    match load("routes.yaml", text) {
        Ok(loaded) => loaded.snapshot,
        Err(problems) => panic!("{}", rendered(&problems)),
    }
}

pub(super) fn rendered(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |mut out, p| {
        writeln!(out, "{}", p.render("routes.yaml")).unwrap();
        out
    })
}

/// Checks a file against the problems that its last lines expect: `#= LINE:COLUMN CODE MESSAGE`.
fn check_problems(text: &str) {
    let expected: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("#= ")).collect();
    let found = match load("routes.yaml", text) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    let lines: Vec<String> = found
        .iter()
        .map(|p| format!("{}:{} {} {}", p.line, p.column, p.code, p.message))
        .collect();
    let same =
        lines.len() == expected.len() && lines.iter().zip(&expected).all(|(l, e)| l.starts_with(e));
    assert!(
        same,
        "found:\n#= {}\n\n{}",
        lines.join(
            "
#= "
        ),
        rendered(&found)
    );
    for problem in &found {
        let (from, len) = problem.underline;
        assert!(
            (from + len) as usize <= problem.snippet.chars().count().max(1),
            "{problem:?}"
        );
    }
}

#[test]
fn every_mistake_of_a_file_is_named_in_one_pass_where_it_stands() {
    check_problems(include_str!("../../../tests/cases/problems/ten.yaml"));
}

#[test]
fn what_later_versions_have_is_refused_by_name() {
    check_problems(include_str!("../../../tests/cases/problems/later.yaml"));
}

#[test]
fn names_and_conditions_that_cannot_be_are_refused() {
    check_problems(include_str!("../../../tests/cases/problems/names.yaml"));
}

#[test]
fn order_and_reach_are_judged() {
    check_problems(include_str!("../../../tests/cases/problems/reach.yaml"));
}

#[test]
fn forms_that_were_not_meant_are_told() {
    check_problems(include_str!("../../../tests/cases/problems/forms.yaml"));
}

#[test]
fn listeners_and_limits_that_cannot_be_are_refused() {
    check_problems(include_str!("../../../tests/cases/problems/listen.yaml"));
}

#[test]
fn backends_that_cannot_be_are_refused() {
    check_problems(include_str!("../../../tests/cases/problems/upstream.yaml"));
}

#[test]
fn edits_rewrites_and_fallbacks_that_cannot_be_are_refused() {
    check_problems(include_str!("../../../tests/cases/problems/edits.yaml"));
}

#[test]
fn no_hint_proposes_what_is_not_supported() {
    let later = [
        "steps",
        "advance",
        "attempt",
        "guards",
        "side_effects",
        "jwt",
        "overrides",
        "path_regex",
        "expires",
    ];
    for text in [
        include_str!("../../../tests/cases/problems/ten.yaml"),
        include_str!("../../../tests/cases/problems/later.yaml"),
        include_str!("../../../tests/cases/problems/names.yaml"),
        include_str!("../../../tests/cases/problems/reach.yaml"),
        include_str!("../../../tests/cases/problems/forms.yaml"),
        include_str!("../../../tests/cases/problems/listen.yaml"),
        include_str!("../../../tests/cases/problems/upstream.yaml"),
        include_str!("../../../tests/cases/problems/edits.yaml"),
    ] {
        for problem in load("routes.yaml", text).map_or_else(|p| p, |l| l.warnings) {
            for word in later {
                assert!(
                    !problem.hint.contains(word),
                    "{}",
                    problem.render("routes.yaml")
                );
            }
        }
    }
}

/// Checks lines `#> [CHANCE] REQUEST => SLICE SIDE REASON MIRROR` against a file.
fn check_decisions(text: &str) {
    let snapshot = snapshot(text);
    for line in text.lines().filter_map(|l| l.strip_prefix("#> ")) {
        let (asked, expected) = line.split_once(" => ").unwrap();
        let (chance, asked) = match asked.split_once(' ') {
            Some((first, rest)) if first.parse::<u64>().is_ok() => (first.parse().unwrap(), rest),
            _ => (0, asked),
        };
        let asked = Asked::parse(asked);
        let found = match decide(&snapshot, &asked.head(), chance, &mut ()) {
            Err(_) => "refused".to_owned(),
            Ok(decision) => {
                let slice = decision.slice.and_then(|ix| snapshot.slice(ix));
                let mirror = match decision.mirror {
                    Mirror::Copy => "copy".to_owned(),
                    Mirror::ControlOnly => "control".to_owned(),
                    Mirror::Ended(outcome) => words(outcome),
                };
                let slice = slice.map_or("-".to_owned(), |s| s.id.to_string());
                format!(
                    "{slice} {} {} {mirror}",
                    decision.primary,
                    decision.reason.as_str()
                )
            }
        };
        assert_eq!(found, expected, "{line}");
    }
}

fn words(outcome: Outcome) -> String {
    match outcome.reason() {
        "" => outcome.name().to_owned(),
        reason => format!("{}({reason})", outcome.name()),
    }
}

#[test]
fn precedence_is_as_the_reference_says() {
    check_decisions(include_str!("../../../tests/cases/decide/precedence.yaml"));
}

#[test]
fn each_stage_serves_and_mirrors_as_it_should() {
    check_decisions(include_str!("../../../tests/cases/decide/stages.yaml"));
}

#[test]
fn what_must_not_be_copied_is_not() {
    check_decisions(include_str!("../../../tests/cases/decide/mirror.yaml"));
}

#[test]
fn a_share_splits_by_its_key() {
    check_decisions(include_str!("../../../tests/cases/decide/canary.yaml"));
}

#[test]
fn the_smallest_file_takes_its_defaults() {
    let snapshot = snapshot(
        "legacy: http://127.0.0.1:3000\nslices:\n  - { name: orders, match: /api/orders, to: \"http://127.0.0.1:4000\", stage: shadow }\n",
    );
    let startup = snapshot.startup();
    assert_eq!(startup.listen[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(startup.admin.address.to_string(), "127.0.0.1:9900");
    assert_eq!(startup.store.0, "sqlite:supplant.db");
    assert_eq!(
        (startup.threads, startup.limits.connections),
        (None, 20_000)
    );
    let slice = &snapshot.slices()[0];
    assert_eq!(
        &*snapshot.backends()[slice.backend.get()].name,
        "http://127.0.0.1:4000"
    );
    assert_eq!(slice.shadow.rate, Some(50));
    assert_eq!(slice.shadow.body_limit, 1 << 20);
    assert_eq!(slice.compare.control.to_string(), "5%");
    assert!(slice.compare.control_capped && !slice.compare.control_written);
    assert_eq!(snapshot.hash().len(), 12);
}

#[test]
fn paths_in_the_file_start_from_its_folder() {
    let text = "legacy: http://127.0.0.1:1\nadmin: { tokens: [{ name: ci, role: viewer, file: secrets/ci }] }\n";
    let loaded = load("/etc/supplant/routes.yaml", text).unwrap();
    let startup = loaded.snapshot.startup();
    assert_eq!(startup.store.0, "sqlite:/etc/supplant/supplant.db");
    assert_eq!(
        startup.admin.tokens[0].file.to_str(),
        Some("/etc/supplant/secrets/ci")
    );
}

#[test]
fn without_a_file_everything_goes_to_legacy() {
    let snapshot = load("--legacy", "legacy: \"http://127.0.0.1:3000\"\n")
        .unwrap()
        .snapshot;
    let asked = Asked::parse("GET /x");
    let decision = decide(&snapshot, &asked.head(), 0, &mut ()).unwrap();
    assert_eq!((decision.slice, decision.primary), (None, Side::Legacy));
}

mod held;
mod plane;
mod properties;
