//! Properties of the whole: the tree against a plain list, the explanation against the decision,
//! and no text that makes it panic.

use crate::model::Outcome;
use crate::rules::Mirror;
use crate::rules::canonical;
use crate::rules::decide;
use crate::rules::explain;
use crate::rules::load;
use crate::rules::tests::Asked;
use crate::rules::tests::snapshot;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use proptest::prelude::*;
use std::fmt::Write as _;

/// A match in plain words, and the reference that reads it.
#[derive(Clone, Debug)]
struct Plain {
    host: Option<&'static str>,
    whole: bool,
    path: Vec<&'static str>,
    methods: Vec<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    tenant: Option<&'static str>,
}

fn plain() -> impl Strategy<Value = Plain> {
    (
        prop::option::of(prop::sample::select(vec![
            "a.test",
            "b.a.test",
            "*.a.test",
            "*.b.a.test",
        ])),
        any::<bool>(),
        prop::collection::vec(prop::sample::select(vec!["x", "y", "{}"]), 0..4),
        prop::sample::subsequence(vec!["GET", "POST"], 0..=2),
        prop::sample::subsequence(vec![("x-a", "1"), ("x-b", "*")], 0..=2),
        prop::option::of(prop::sample::select(vec!["t", "u"])),
    )
        .prop_map(|(host, whole, mut path, methods, headers, tenant)| {
            if !whole {
                path.retain(|s| *s != "{}");
            }
            Plain {
                host,
                whole,
                path,
                methods,
                headers,
                tenant,
            }
        })
}

impl Plain {
    fn yaml(&self) -> String {
        let mut path = String::new();
        for (place, segment) in self.path.iter().enumerate() {
            match *segment {
                "{}" => write!(path, "/{{c{place}}}").unwrap(),
                literal => write!(path, "/{literal}").unwrap(),
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        let mut parts = vec![format!(
            "{}: \"{path}\"",
            if self.whole { "path" } else { "path_prefix" }
        )];
        parts.extend(self.host.map(|h| format!("host: \"{h}\"")));
        if !self.methods.is_empty() {
            parts.push(format!("methods: [{}]", self.methods.join(", ")));
        }
        if !self.headers.is_empty() {
            let headers: Vec<_> = self
                .headers
                .iter()
                .map(|(n, v)| format!("{n}: \"{v}\""))
                .collect();
            parts.push(format!("headers: {{ {} }}", headers.join(", ")));
        }
        parts.extend(self.tenant.map(|t| format!("tenants: [{t}]")));
        format!("{{ {} }}", parts.join(", "))
    }

    fn holds(&self, asked: &Asked, path: &str) -> bool {
        let host = asked.host.as_deref().unwrap_or("");
        let host_holds = match self.host {
            None => true,
            Some(want) => match want.strip_prefix('*') {
                Some(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
                None => host == want,
            },
        };
        let have: Vec<&str> = path.split('/').skip(1).collect();
        let want: Vec<&str> = if self.whole && self.path.is_empty() {
            vec![""]
        } else {
            self.path.clone()
        };
        let enough = if self.whole {
            have.len() == want.len()
        } else {
            have.len() >= want.len()
        };
        let path_holds = enough
            && want
                .iter()
                .zip(&have)
                .all(|(w, h)| if *w == "{}" { !h.is_empty() } else { w == h });
        let value = |name: &str| {
            asked
                .headers
                .get(name)
                .map(|v| v.to_str().unwrap().to_owned())
        };
        host_holds
            && path_holds
            && (self.methods.is_empty() || self.methods.contains(&asked.method.as_str()))
            && self
                .headers
                .iter()
                .all(|(n, v)| value(n).is_some_and(|h| *v == "*" || h == *v))
            && self
                .tenant
                .is_none_or(|t| value("x-tenant").as_deref() == Some(t))
    }

    /// What comes first is less.
    fn rank(&self) -> impl Ord {
        let host = match self.host {
            Some(h) if h.starts_with('*') => (1, usize::MAX - h.len()),
            Some(_) => (0, 0),
            None => (2, 0),
        };
        let literals = self.path.iter().filter(|s| **s != "{}").count();
        let path = if self.whole {
            (0, usize::MAX - literals)
        } else {
            (1, usize::MAX - self.path.len())
        };
        let conditions = self.headers.len() + usize::from(self.tenant.is_some());
        (host, path, self.methods.is_empty(), usize::MAX - conditions)
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    (
        prop::sample::select(vec![Method::GET, Method::POST, Method::HEAD]),
        prop::option::of(prop::sample::select(vec![
            "a.test",
            "b.a.test",
            "c.b.a.test",
            "other.test",
        ])),
        prop::collection::vec(
            prop::sample::select(vec!["x", "y", "z", "", "%78", ".", "..", "login"]),
            0..5,
        ),
        prop::option::of(prop::sample::select(vec!["a=1", "do=delete", "token=x"])),
        prop::sample::subsequence(
            vec![
                ("x-a", "1"),
                ("x-a", "2"),
                ("x-b", "1"),
                ("x-tenant", "t"),
                ("x-tenant", "u"),
                ("x-user", "7"),
                ("cookie", "uid=3"),
                ("range", "bytes=0-1"),
                ("if-none-match", "x"),
                ("supplant-role", "shadow"),
            ],
            0..=3,
        ),
    )
        .prop_map(|(method, host, path, query, fields)| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                );
            }
            Asked {
                method,
                path: format!("/{}", path.join("/")),
                query: query.map(str::to_owned),
                host: host.map(str::to_owned),
                headers,
            }
        })
}

const HEAD: &str = "legacy: http://127.0.0.1:1\nbackends: { a: http://127.0.0.1:2 }\ntenant: { from: \"header:x-tenant\" }\nslices:\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_finds_what_a_plain_list_finds(rules in prop::collection::vec(plain(), 1..12), asks in prop::collection::vec(asked(), 1..12)) {
        let mut text = HEAD.to_owned();
        for (ix, rule) in rules.iter().enumerate() {
            writeln!(text, "  - {{ name: s{ix}, match: {}, to: a, stage: shadow }}", rule.yaml()).unwrap();
        }
        match load("", &text) {
            Ok(loaded) => for ask in &asks {
                let Ok(path) = canonical(&ask.path) else { continue };
                let expected = rules
                    .iter()
                    .enumerate()
                    .filter(|(_, r)| r.holds(ask, &path))
                    .min_by_key(|(ix, r)| (r.rank(), *ix))
                    .map(|(ix, _)| ix);
                let found = decide(&loaded.snapshot, &ask.head(), 0, &mut ()).unwrap();
                prop_assert_eq!(found.slice.map(|s| s.0 as usize), expected, "{:?}\n{}", ask, text);
            },
            // Whatever is said to be unreachable is taken by nobody that the list can name.
            Err(problems) => for problem in problems.iter().filter(|p| p.code == "E051") {
                let line = problem.line as usize - 1;
                let unreachable = text.lines().take(line).filter(|l| l.contains("name: s")).count();
                for ask in &asks {
                    let Ok(path) = canonical(&ask.path) else { continue };
                    let winner = rules.iter().enumerate().filter(|(_, r)| r.holds(ask, &path)).min_by_key(|(ix, r)| (r.rank(), *ix));
                    prop_assert_ne!(winner.map(|(ix, _)| ix), Some(unreachable), "{}", problem.render(""));
                }
            },
        }
    }
}

const ALL_SORTS: &str = r#"
legacy: http://127.0.0.1:1
backends: { a: http://127.0.0.1:2 }
tenant: { from: "header:x-tenant" }
slices:
  - { name: legacy, match: /x/x, to: a, stage: legacy }
  - { name: learning, match: /x/y, to: a, stage: legacy, compare: { control: 5% } }
  - { name: shadow, match: /x, to: a, stage: shadow, shadow: { sample: 30% } }
  - { name: tenant, match: { path: "/y/{a}" }, to: a, stage: canary, ramp: { percent: 40%, always: [t] } }
  - { name: user, match: /y/x/y, to: a, stage: canary, ramp: { percent: 40%, by: "header:x-user" } }
  - { name: cookie, match: /y/y/y, to: a, stage: canary, ramp: { percent: 40%, by: "cookie:uid" } }
  - { name: random, match: /y, to: a, stage: canary, ramp: { percent: 40%, by: random, never: [u] } }
  - { name: cutover, match: /z, to: a, stage: cutover, ramp: { never: [u] } }
  - { name: retired, match: /login, to: a, stage: retired }
"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn the_explanation_agrees_with_the_decision(asked in asked(), chance: u64) {
        thread_local! {
            static RULES: crate::rules::Snapshot = snapshot(ALL_SORTS);
        }
        RULES.with(|rules| {
            let head = asked.head();
            let (decided, explained) = (decide(rules, &head, chance, &mut ()), explain(rules, &head, Some(chance)));
            let (Ok(decided), Ok(explained)) = (&decided, &explained) else {
                prop_assert!(decided.is_err() && explained.is_err());
                return Ok(());
            };
            let slice = decided.slice.and_then(|ix| rules.slice(ix)).map(|s| s.id.to_string());
            prop_assert_eq!(&slice, &explained.slice);
            prop_assert_eq!(decided.primary.as_str(), explained.side);
            prop_assert_eq!(decided.reason.as_str(), explained.reason);
            let outcome = match decided.mirror {
                Mirror::Ended(outcome) => Some(outcome),
                Mirror::Copy | Mirror::ControlOnly => None,
            };
            prop_assert_eq!(outcome.map(Outcome::name), explained.outcome);
            prop_assert_eq!(outcome.map_or("", Outcome::reason), explained.outcome_reason);
            prop_assert!(explained.to_string().contains(&explained.request));
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_of_a_file_makes_it_panic(cuts in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec!["", " ", "\n", ":", "{", "}", "[", "]", ",", "\"", "-", "0", "&", "*", "%", "ä", "${X}", "null"]), 0_usize..4), 1..5), file in 0..4_usize) {
        let files = [
            ALL_SORTS,
            include_str!("../../../tests/cases/problems/ten.yaml"),
            include_str!("../../../tests/cases/problems/later.yaml"),
            include_str!("../../../tests/cases/decide/precedence.yaml"),
        ];
        let mut text: Vec<char> = files[file].chars().collect();
        for (at, insert, remove) in cuts {
            let at = at.index(text.len() + 1);
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        let rendered = match load("routes.yaml", &text) {
            Ok(loaded) => loaded.warnings.iter().map(|p| p.render("routes.yaml")).collect::<String>(),
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                problems.iter().map(|p| p.render("routes.yaml")).collect::<String>()
            }
        };
        prop_assert!(rendered.len() < 1 << 20);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        if let Ok(text) = crate::rules::decode(&bytes) {
            let _either = load("routes.yaml", text);
        }
    }
}
