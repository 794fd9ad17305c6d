//! The command line, as a shell sees it: what is printed, and how it exits.

use crate::support::Client;
use crate::support::Dice;
use crate::support::Origin;
use crate::support::Reply;
use crate::support::eventually;
use crate::support::knob;
use serde_json::Value;
use std::io::BufRead;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use tempfile::TempDir;

const COMMANDS: [&str; 11] = [
    "demo", "run", "check", "explain", "status", "parity", "kill", "rollback", "resume", "deploy",
    "reload",
];

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the product in a folder, with none of the variables that it reads.
fn supplant(folder: &Path, args: &[&str]) -> Said {
    let output = command(folder, args).output().unwrap();
    Said {
        code: output.status.code().expect("it exits by itself"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supplant"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    for name in ["CONFIG", "LOG", "NODE", "THREADS", "ADMIN"] {
        command.env_remove(format!("SUPPLANT_{name}"));
    }
    command
}

fn folder_with(rules: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("routes.yaml"), rules).unwrap();
    folder
}

fn case(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/cases/problems").join(name)).unwrap()
}

#[test]
fn every_command_tells_how_it_is_used() {
    let here = tempfile::tempdir().unwrap();
    let said = supplant(here.path(), &["--help"]);
    assert_eq!(said.code, 0, "{}", said.err);
    for name in COMMANDS {
        assert!(
            said.out.contains(&format!("\n  {name} ")),
            "{name} is not listed: {}",
            said.out
        );
        let said = supplant(here.path(), &[name, "--help"]);
        assert_eq!(said.code, 0, "{name}: {}", said.err);
        assert!(
            said.out.contains(&format!("Usage: supplant {name}")),
            "{name}: {}",
            said.out
        );
        let said = supplant(here.path(), &[name, "--no-such-flag"]);
        assert_eq!(
            (said.code, said.out.as_str()),
            (2, ""),
            "{name}: {}",
            said.err
        );
    }
    let listed = supplant(here.path(), &["--help"]).out;
    let listed = listed
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.is_empty());
    let listed: Vec<_> = listed.filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(listed, [&COMMANDS[..], &["help"]].concat());
    assert_eq!(supplant(here.path(), &[]).code, 2);
    let said = supplant(here.path(), &["--version"]);
    assert_eq!(
        (said.code, said.out.trim()),
        (0, concat!("supplant ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn check_names_each_mistake_with_its_line_and_column_and_exits_with_2() {
    let text = case("ten.yaml");
    let wanted: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("#= ")).collect();
    assert!(wanted.len() >= 10);
    let folder = folder_with(&text);
    let said = supplant(folder.path(), &["check"]);
    assert_eq!((said.code, said.err.as_str()), (2, ""));
    let heads: Vec<_> = said
        .out
        .lines()
        .filter(|l| l.starts_with("routes.yaml:") && l.contains("error["))
        .collect();
    assert_eq!(heads.len(), wanted.len(), "{}", said.out);
    for (head, wanted) in heads.iter().zip(&wanted) {
        let (place, rest) = wanted.split_once(' ').unwrap();
        let (code, message) = rest.split_once(' ').unwrap();
        let start = format!("routes.yaml:{place}: error[{code}]: {message}");
        assert!(head.starts_with(&start), "{head}\n{start}");
    }
    // By the file itself: where a word is wrong, that word stands there.
    let json = supplant(folder.path(), &["check", "--json"]);
    assert_eq!(json.code, 2);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let mut words = 0;
    for problem in json["problems"].as_array().unwrap() {
        let number = |name: &str| usize::try_from(problem[name].as_u64().unwrap()).unwrap();
        let line = text.lines().nth(number("line") - 1).unwrap();
        let there: String = line.chars().skip(number("column") - 1).collect();
        assert!(!there.is_empty() && !there.starts_with(' '), "{problem}");
        if ["E012", "E030", "E040"].contains(&problem["code"].as_str().unwrap()) {
            let word = problem["message"]
                .as_str()
                .unwrap()
                .split('`')
                .nth(1)
                .unwrap();
            assert!(there.starts_with(word), "{problem}: {there}");
            words += 1;
        }
    }
    assert_eq!(words, 3);
    let said = supplant(folder.path(), &["check", "--format", "github"]);
    assert_eq!(
        (said.code, said.out.lines().count()),
        (2, wanted.len()),
        "{}",
        said.out
    );
    assert!(
        said.out
            .lines()
            .all(|l| l.starts_with("::error file=routes.yaml,line="))
    );
}

#[test]
fn a_bad_file_stops_every_command_that_reads_one_with_2() {
    let folder = folder_with(&case("ten.yaml"));
    for args in [
        &["run"][..],
        &["explain", "GET", "/"],
        &["explain", "GET", "/", "--json"],
    ] {
        let said = supplant(folder.path(), args);
        assert_eq!(
            (said.code, said.out.as_str()),
            (2, ""),
            "{args:?}: {}",
            said.err
        );
        assert!(
            said.err
                .contains("routes.yaml:15:7: error[E012]: unknown key `percnet` in ramp"),
            "{}",
            said.err
        );
    }
    let nothing = tempfile::tempdir().unwrap();
    for args in [&["run"][..], &["check"], &["explain", "GET", "/"]] {
        let said = supplant(nothing.path(), args);
        assert_eq!(said.code, 2, "{args:?}: {}{}", said.out, said.err);
        let text = said.out + &said.err;
        assert!(
            text.contains("routes.yaml") && !text.contains("panicked"),
            "{text}"
        );
    }
    let binary = tempfile::tempdir().unwrap();
    std::fs::write(binary.path().join("routes.yaml"), [0xff, 0xfe, 0, 1]).unwrap();
    assert_eq!(supplant(binary.path(), &["check"]).code, 2);
    assert_eq!(supplant(binary.path(), &["check", "--config", "."]).code, 2);
}

const GOOD: &str = "legacy: http://127.0.0.1:3000\nslices:\n  - name: invoices\n    match: /invoices\n    to: \"http://127.0.0.1:4000\"\n    stage: canary\n    ramp: { by: \"header:X-User\", percent: 50% }\n";

#[test]
fn explain_tells_who_answers_in_words_and_as_json() {
    let folder = folder_with(GOOD);
    let said = supplant(
        folder.path(),
        &["explain", "GET", "/invoices/7?a=b", "-H", "X-User: 42"],
    );
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(
        said.out.starts_with("GET /invoices/7?a=b\n"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("slice `invoices` (line 3)"),
        "{}",
        said.out
    );
    let json = |args: &[&str]| -> Value {
        let said = supplant(folder.path(), &[&["explain", "--json"], args].concat());
        assert_eq!(said.code, 0, "{}", said.err);
        serde_json::from_str(&said.out).unwrap()
    };
    let found = json(&["GET", "http://app.example/invoices/7"]);
    assert_eq!(
        (&found["slice"], &found["side"], &found["reason"]),
        (&"invoices".into(), &"legacy".into(), &"no_key".into())
    );
    let found = json(&["POST", "/other"]);
    assert_eq!(
        (&found["slice"], &found["outcome"]),
        (&Value::Null, &"not_mirrored".into())
    );
    let found = json(&["POST", "/invoices"]);
    assert_eq!(found["outcome"], "unsafe_method");
    assert_eq!(json(&["GET", "/invoices/../../etc"])["status"], 400);
    for bad in [
        &["GET"][..],
        &["GET", "/", "-H", "X-User"],
        &["GET", "/", "--chance", "much"],
        &["G T", "/"],
    ] {
        assert_eq!(
            supplant(folder.path(), &[&["explain"], bad].concat()).code,
            2,
            "{bad:?}"
        );
    }
}

/// Starts the product in a folder with its access log on its standard output; returns it and where
/// it listens.
fn running(folder: &Path) -> (Child, SocketAddr) {
    let any = "127.0.0.1:0";
    let args = [
        "run",
        "--listen",
        any,
        "--admin",
        any,
        "--access-log",
        "json",
    ];
    let mut command = command(folder, &args);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let data = loop {
        let line: Value = serde_json::from_str(&told.next().expect("it serves").unwrap()).unwrap();
        let message = line["message"].as_str().unwrap();
        if let Some((_, address)) = message.split_once("serving on http://") {
            break address.parse().unwrap();
        }
    };
    std::thread::spawn(move || told.for_each(drop));
    (child, data)
}

/// The access log names each request; with its id, `explain` repeats what the proxy did.
#[test]
fn explain_repeats_what_the_running_proxy_decided() {
    let (legacy, candidate) = (
        Origin::start(|_| Reply::json("1")),
        Origin::start(|_| Reply::json("1")),
    );
    let rules = format!(
        "legacy: {}\nbackends: {{ new: \"{}\" }}\ndefaults: {{ shadow: {{ rate: none, sample: 50% }} }}\nslices:\n\
         \x20 - {{ name: random, match: /random, to: new, stage: canary, ramp: {{ by: random, percent: 50% }} }}\n\
         \x20 - {{ name: user, match: /user, to: new, stage: canary, ramp: {{ by: \"header:x-user\", percent: 50% }} }}\n\
         \x20 - {{ name: shadow, match: /shadow, to: new, stage: shadow }}\n\
         \x20 - {{ name: over, match: /over, to: new, stage: cutover }}\n",
        legacy.url(),
        candidate.url()
    );
    let folder = folder_with(&rules);
    let (mut child, data) = running(folder.path());
    let seed = knob("SIM_SEED", 1);
    let mut dice = Dice::new(seed);
    let mut client = Client::connect(data);
    let mut users = Vec::new();
    for i in 0..200 {
        let path = dice.pick(&["random", "user", "shadow", "over", "none"]);
        let user = dice.below(1000).to_string();
        let method = dice.pick(&["GET", "GET", "HEAD", "DELETE"]);
        let mut fields = vec![("X-User", user.as_str())];
        fields.extend(dice.pick(&[None, None, None, Some(("Range", "bytes=0-1"))]));
        client.ask(method, &format!("/{path}/{i}"), &fields, b"");
        users.push((user.clone(), fields.len() > 1));
    }
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    let log: Vec<Value> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(log.len(), 200);
    eventually("the requests arrived", || {
        legacy.seen().len() + candidate.seen().len() >= 200
    });
    for line in &log {
        let path = line["path"].as_str().unwrap();
        let number: usize = path.rsplit('/').next().unwrap().parse().unwrap();
        repeats(folder.path(), line, &users[number]);
    }
}

/// Asserts that `explain` with the id of a line of the access log says what that line says.
fn repeats(folder: &Path, line: &Value, (user, ranged): &(String, bool)) {
    let word = |name: &str| line[name].as_str().expect("a word");
    let field = format!("X-User: {user}");
    let (id, method, path) = (word("id"), word("method"), word("path"));
    let mut args = vec![
        "explain", "--json", "--chance", id, method, path, "-H", &field,
    ];
    if *ranged {
        args.extend(["-H", "Range: bytes=0-1"]);
    }
    let said = supplant(folder, &args);
    assert_eq!(said.code, 0, "{line}: {}", said.err);
    let found: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        found["slice"].as_str().unwrap_or("_unmatched"),
        word("slice"),
        "{line}"
    );
    assert_eq!(found["side"], line["side"], "{line}");
    assert_eq!(found["reason"], line["reason"], "{line}");
    assert_eq!(
        found["outcome"].as_str().unwrap_or("pending"),
        word("mirror"),
        "{line}"
    );
}
