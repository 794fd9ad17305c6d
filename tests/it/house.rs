//! The rules of the house, read from the sources: layers, pure words, headers, sizes, documents.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, out: &mut Vec<(String, String)>) {
        let mut entries: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path
                    .strip_prefix(root().join("src"))
                    .unwrap()
                    .display()
                    .to_string();
                out.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut out = Vec::new();
    walk(&root().join("src"), &mut out);
    out
}

/// The modules in the order of `lib.rs`, from the ground up.
fn layers() -> BTreeMap<String, usize> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    lib.lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.split(';').next())
        .enumerate()
        .map(|(place, name)| (name.to_owned(), place))
        .collect()
}

fn module_of(file: &str) -> String {
    let first = file.split('/').next().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn is_test(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("/tests/") || file.ends_with("sims.rs")
}

/// The part of a file that is not its inline tests. A `mod tests;` at the top or an import for tests
/// ends nothing.
fn code(text: &str) -> &str {
    let opens_tests = |after: &str| {
        let mut lines = after.lines().skip_while(|line| line.starts_with("#["));
        let line = lines.next().unwrap_or("");
        line.contains("mod ") && line.ends_with('{')
    };
    let (at, _) = text
        .match_indices("#[cfg(test)]")
        .find(|(at, _)| opens_tests(text.split_at(*at).1))
        .unwrap_or((text.len(), ""));
    text.split_at(at).0
}

#[test]
fn a_module_uses_only_the_modules_above_its_own_line() {
    let layers = layers();
    let mut upward = Vec::new();
    for (file, text) in sources() {
        let Some(mine) = layers.get(&module_of(&file)) else {
            continue;
        };
        for word in text.split("crate::").skip(1) {
            let used: String = word
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if layers.get(&used).is_some_and(|place| place > mine) {
                upward.push(format!("{file} uses {used}"));
            }
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn pure_modules_know_no_clock_no_chance_and_no_outside() {
    const DENIED: [&str; 12] = [
        "tokio",
        "hyper",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::thread",
        "Instant::",
        "SystemTime",
        "tracing::",
        "prometheus",
        "getrandom",
        "rand::",
    ];
    let mut found = Vec::new();
    for (file, text) in sources() {
        let pure = ["model", "compare", "evidence", "guard", "rules"].contains(&&*module_of(&file))
            || file.starts_with("upstream/head/");
        if !pure || is_test(&file) {
            continue;
        }
        for (number, line) in code(&text).lines().enumerate() {
            let line = line.split("//").next().unwrap_or("");
            for word in DENIED {
                if line.contains(word) {
                    found.push(format!("{file}:{}: {word}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn imports_name_one_module_a_line() {
    let mut found = Vec::new();
    for (file, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("use crate::{") || line.contains("super::super") {
                found.push(format!("{file}:{}: {line}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_file_is_on_the_map() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let row = |folder: &str| {
        map.lines()
            .find(|l| l.starts_with(&format!("| `{folder}/` |")))
    };
    let off: Vec<_> = sources()
        .into_iter()
        .map(|(file, _)| file)
        .filter(|file| !is_test(file))
        .filter(|file| {
            let Some((folder, name)) = file.rsplit_once('/') else {
                return false;
            };
            let name = name.trim_end_matches(".rs");
            let named = |row: &str| name == "mod" || row.contains(&format!("`{name}`"));
            !row(folder).is_some_and(named)
        })
        .collect();
    assert!(off.is_empty(), "not in `docs/architecture.md`: {off:?}");
}

#[test]
fn every_file_says_what_lives_in_it() {
    let bare: Vec<_> = sources()
        .into_iter()
        .filter(|(file, text)| !is_test(file) && !text.starts_with("//!"))
        .map(|(file, _)| file)
        .collect();
    assert!(bare.is_empty(), "no header: {bare:?}");
}

#[test]
fn no_file_outgrows_its_room() {
    let large: Vec<_> = sources()
        .into_iter()
        .filter(|(file, _)| !is_test(file))
        .map(|(file, text)| (file, code(&text).lines().count()))
        .filter(|(_, lines)| *lines > 600)
        .collect();
    assert!(large.is_empty(), "{large:?}");
}

#[test]
fn one_file_names_the_yaml_parser_and_one_module_the_database() {
    for (word, home) in [
        ("serde_yaml", "rules/parse.rs"),
        ("sqlx", "store/"),
        ("prometheus::Registry", "telemetry/"),
    ] {
        for (file, text) in sources() {
            assert!(
                is_test(&file) || !code(&text).contains(word) || file.starts_with(home),
                "{file} names {word}"
            );
        }
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "asks whether to write the document anew"
)]
fn the_documents_are_in_step_with_the_code() {
    const MARKS: (&str, &str) = ("<!-- names: begin -->\n", "<!-- names: end -->");
    let path = root().join("docs/metrics.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(MARKS.0).unwrap();
    let (_, tail) = rest.split_once(MARKS.1).unwrap();
    let table = supplant::telemetry::names::reference();
    let wanted = format!("{head}{}{table}{}{tail}", MARKS.0, MARKS.1);
    if std::env::var("UPDATE_DOCS").is_ok() {
        fs::write(&path, &wanted).unwrap();
    }
    let now = fs::read_to_string(&path).unwrap();
    assert!(
        now == wanted,
        "docs/metrics.md is behind; run UPDATE_DOCS=1 cargo test --test it documents"
    );
    let (path, wanted) = (root().join("docs/routes.md"), supplant::rules::reference());
    if std::env::var("UPDATE_DOCS").is_ok() {
        fs::write(&path, &wanted).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == wanted,
        "docs/routes.md is behind; run UPDATE_DOCS=1 cargo test --test it documents"
    );
}

#[test]
fn every_example_file_compiles() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.display().to_string();
            if let Err(problems) = supplant::rules::load(&name, &text) {
                let text: Vec<_> = problems.iter().map(|p| p.render(&name)).collect();
                panic!("{}", text.join("\n"));
            }
            seen += 1;
        }
    }
    assert!(seen > 0);
}

/// Paths are named from the root, from `src`, or from the folder of a test.
#[test]
fn every_file_that_a_document_names_is_there() {
    let mut seen = 0;
    let mut missing = Vec::new();
    for folder in ["docs", "docs/adr", "."] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "md") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for span in text.split('`').skip(1).step_by(2) {
                let kind = Path::new(span).extension().and_then(|e| e.to_str());
                if !matches!(kind, Some("rs" | "py")) || span.contains(['*', ' ']) {
                    continue;
                }
                seen += 1;
                let homes = ["", "src", "tests/it", "tests/httpbin"];
                if !homes
                    .iter()
                    .any(|home| root().join(home).join(span).exists())
                {
                    missing.push(format!("{}: {span}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(seen > 10, "only {seen} files are named");
}
