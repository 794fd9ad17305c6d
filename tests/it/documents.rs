//! What the documents tell a reader to type, typed: commands, and whole files of rules.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use supplant::telemetry::names::ROWS;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every document for readers, by its path.
fn documents() -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = ["README.md", "SECURITY.md", "CHANGELOG.md"]
        .map(|n| root().join(n))
        .into();
    for folder in ["docs", "docs/adr"] {
        let entries = fs::read_dir(root().join(folder))
            .unwrap()
            .map(|e| e.unwrap().path());
        paths.extend(entries.filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    paths.sort();
    let named = paths.into_iter().map(|p| {
        let text = fs::read_to_string(&p).unwrap();
        (p.strip_prefix(root()).unwrap().display().to_string(), text)
    });
    named.collect()
}

/// The fenced blocks of a language.
fn fenced(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(found) = line.trim().strip_prefix("```") else {
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|l| l.trim() != "```").collect();
        if found == language {
            blocks.push(block.join("\n") + "\n");
        }
    }
    blocks
}

/// Commands in fenced blocks and in running text, without their comments.
fn commands(text: &str) -> Vec<String> {
    let mut found: Vec<String> = fenced(text, "sh")
        .iter()
        .flat_map(|b| b.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let fences: Vec<&str> = text.split("```").step_by(2).collect();
    for prose in fences {
        let spans = prose.split('`').skip(1).step_by(2);
        found.extend(
            spans
                .filter(|s| s.starts_with("supplant ") || s.starts_with("scripts/"))
                .map(str::to_owned),
        );
    }
    let bare = found
        .iter()
        .map(|line| line.split(" #").next().unwrap().trim().to_owned());
    bare.filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

fn run(folder: &Path, line: &str) -> Output {
    // The shell reads the quotes, as it would for the reader.
    let line = line.replacen("supplant", "\"$SUPPLANT\"", 1);
    let mut command = Command::new("sh");
    command
        .args(["-c", &line])
        .current_dir(folder)
        .stdin(Stdio::null());
    command.env("SUPPLANT", env!("CARGO_BIN_EXE_supplant"));
    for name in ["CONFIG", "LOG", "NODE", "THREADS", "ADMIN"] {
        command.env_remove(format!("SUPPLANT_{name}"));
    }
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What needs no running proxy is run; of the rest the arguments are read, which `--help` after them
/// does without doing anything.
#[test]
fn every_command_of_the_documents_runs() {
    let folder = tempfile::tempdir().unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let rules = fenced(&readme, "yaml").pop().expect("the README has rules");
    fs::write(folder.path().join("routes.yaml"), rules).unwrap();
    let mut count = 0;
    for (path, text) in documents() {
        for line in commands(&text) {
            count += 1;
            let words: Vec<&str> = line.split_whitespace().collect();
            let offline = matches!(
                words.get(1),
                Some(&("check" | "explain" | "--version" | "--help"))
            );
            if let Some(script) = words[0].strip_prefix("scripts/") {
                let script = root().join("scripts").join(script);
                let sh = Command::new("bash")
                    .arg("-n")
                    .arg(&script)
                    .status()
                    .unwrap();
                assert!(sh.success(), "{path}: {line}");
            } else if words[0] == "cargo" {
                assert_eq!(
                    line, "cargo install --path .",
                    "{path}: say here how it is tested"
                );
            } else {
                assert_eq!(
                    words[0], "supplant",
                    "{path}: {line}: say here how it is tested"
                );
                let whole =
                    words[1] != "explain" || words.get(2).is_some_and(|w| !w.starts_with('-'));
                let line = line.replace("--chance N", "--chance 7");
                let line = if offline && whole {
                    line
                } else {
                    format!("{line} --help")
                };
                let output = run(folder.path(), &line);
                assert!(output.status.success(), "{path}: {line}: {}", said(&output));
            }
        }
    }
    assert!(count > 15, "only {count} commands were found");
}

/// The examples that `--help` shows.
#[test]
fn every_example_of_the_help_runs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("routes.yaml"), "version: 1\nlegacy: http://127.0.0.1:3000\nslices:\n  - { name: s, match: /orders, to: \"http://127.0.0.1:1\", stage: shadow }\n").unwrap();
    let mut count = 0;
    for name in [
        "check", "explain", "run", "demo", "kill", "resume", "deploy", "parity", "status",
    ] {
        let help = said(&run(folder.path(), &format!("supplant {name} --help")));
        for line in help.lines().filter_map(|l| l.strip_prefix("  supplant ")) {
            count += 1;
            let line = line.split("    ").next().unwrap().trim();
            let more = if ["check", "explain"].contains(&name) {
                ""
            } else {
                " --help"
            };
            let output = run(folder.path(), &format!("supplant {line}{more}"));
            assert!(output.status.success(), "{name}: {line}: {}", said(&output));
        }
    }
    assert!(count >= 6, "only {count} examples were found");
}

/// Whole files pass as they stand; pieces pass where they belong.
#[test]
fn all_rules_of_the_documents_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for (path, text) in documents() {
        for block in fenced(&text, "yaml") {
            count += 1;
            let rules = if block.contains("legacy:") {
                block
            } else if block.starts_with("admin:") {
                format!("legacy: http://127.0.0.1:3000\n{block}")
            } else {
                let piece = block.trim_end().replace('\n', "\n    ");
                format!(
                    "legacy: http://127.0.0.1:1\nslices:\n  - name: s\n    match: /\n    to: \"http://127.0.0.1:2\"\n    stage: shadow\n    {piece}\n"
                )
            };
            fs::write(folder.path().join("routes.yaml"), &rules).unwrap();
            let output = run(folder.path(), "supplant check");
            assert!(
                output.status.success(),
                "{path}:\n{rules}\n{}",
                said(&output)
            );
        }
    }
    assert!(count >= 5, "only {count} pieces were found");
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|e| e == "yaml") {
            let output = run(
                folder.path(),
                &format!("supplant check --config {}", file.display()),
            );
            assert!(output.status.success(), "{}", said(&output));
        }
    }
}

#[test]
fn the_page_of_limits_names_each_with_its_default() {
    let read = |name: &str| fs::read_to_string(root().join("docs").join(name)).unwrap();
    let (routes, limits) = (read("routes.md"), read("limits.md"));
    for (section, path) in [
        ("### `limits`", "limits."),
        ("### `listen[].timeouts`", "listen[].timeouts."),
        (
            "### `legacy.timeouts`, `backends.NAME.timeouts`",
            "timeouts.",
        ),
        ("### `drain`", "drain."),
    ] {
        let rows = routes.split(section).nth(1).expect(section);
        let rows = rows.split("\n### ").next().unwrap();
        let rows: Vec<Vec<&str>> = rows
            .lines()
            .filter(|l| l.starts_with("| `"))
            .map(|l| l.split('|').map(str::trim).collect())
            .collect();
        assert!(!rows.is_empty(), "{section}");
        for row in rows {
            let (key, default) = (format!("`{path}{}`", row[1].trim_matches('`')), row[3]);
            let told = |line: &&str| line.contains(&key) && line.contains(default);
            assert!(limits.lines().any(|l| told(&l)), "{key}, {default}");
        }
    }
}

#[test]
fn the_page_of_limits_names_metrics_that_there_are() {
    let limits = fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let mut count = 0;
    for named in limits.split('`').skip(1).step_by(2) {
        if !named.starts_with("supplant_") {
            continue;
        }
        count += 1;
        let (name, labels) = named.split_once('{').unwrap_or((named, ""));
        let row = ROWS.iter().find(|row| row.name == name);
        let row = row.unwrap_or_else(|| panic!("{named} is no metric"));
        let labels = labels.trim_end_matches('}').split(',');
        for label in labels.filter(|l| !l.is_empty()) {
            let label = label.split('=').next().unwrap();
            assert!(row.labels.contains(&label), "{named}");
        }
    }
    assert!(count > 10, "only {count} metrics were found");
}
