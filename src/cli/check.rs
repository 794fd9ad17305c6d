//! `supplant check`: validates the rules and says what to write instead.

use crate::rules;
use crate::rules::Problem;
use crate::rules::Severity;
use crate::rules::Snapshot;
use anyhow::Context;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

/// Arguments of `supplant check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  supplant check                                 checks ./routes.yaml
  supplant check --strict --format github        in CI: warnings fail, and stand beside the lines

Exit code: 0 good, 2 not.")]
pub(super) struct Args {
    /// The rules.
    #[arg(
        long,
        value_name = "FILE",
        env = "SUPPLANT_CONFIG",
        default_value = "routes.yaml"
    )]
    config: PathBuf,
    /// How problems are printed.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Github,
}

/// Checks a file; returns the exit code.
pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let format = if args.json { Format::Json } else { args.format };
    let (problems, snapshot) = read(&args.config);
    let (code, text) = report(
        &args.config.display().to_string(),
        problems,
        snapshot.as_ref(),
        format,
        args.strict,
    );
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot print")?;
    Ok(code)
}

/// Reads and compiles a file; what cannot be read is a problem like any other.
pub(super) fn read(path: &Path) -> (Vec<Problem>, Option<Snapshot>) {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return (vec![rules::unreadable(&error.to_string())], None),
    };
    let loaded = rules::decode(&bytes)
        .map_err(|problem| vec![*problem])
        .and_then(|text| rules::load(&path.display().to_string(), text));
    match loaded {
        Ok(loaded) => (loaded.warnings, Some(loaded.snapshot)),
        Err(problems) => (problems, None),
    }
}

fn report(
    path: &str,
    mut problems: Vec<Problem>,
    snapshot: Option<&Snapshot>,
    format: Format,
    strict: bool,
) -> (u8, String) {
    if strict {
        for problem in &mut problems {
            problem.severity = Severity::Error;
        }
    }
    let errors = problems
        .iter()
        .filter(|p| p.severity == Severity::Error)
        .count();
    let warnings = problems.len() - errors;
    let text = match format {
        Format::Text => text(path, &problems, snapshot, errors, warnings),
        Format::Github => problems.iter().map(|p| github(path, p)).collect(),
        Format::Json => {
            let json = serde_json::json!({
                "path": path,
                "ok": errors == 0,
                "hash": snapshot.map(Snapshot::hash),
                "errors": errors,
                "warnings": warnings,
                "problems": problems,
            });
            format!("{json:#}\n")
        }
    };
    (if errors == 0 { 0 } else { 2 }, text)
}

fn text(
    path: &str,
    problems: &[Problem],
    snapshot: Option<&Snapshot>,
    errors: usize,
    warnings: usize,
) -> String {
    let mut out = String::new();
    for problem in problems {
        let _written = writeln!(out, "{}", problem.render(path));
    }
    if !problems.is_empty() {
        out.push('\n');
    }
    let of = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let found = match (errors, warnings) {
        (0, 0) => "good".to_owned(),
        (0, w) => format!("good, {}", of(w, "warning")),
        (e, 0) => of(e, "error"),
        (e, w) => format!("{}, {}", of(e, "error"), of(w, "warning")),
    };
    let size = snapshot.filter(|_| errors == 0).map_or(String::new(), |s| {
        format!(
            ": {}, {}, hash {}",
            of(s.slices().len(), "slice"),
            of(s.backends().len() - 1, "backend"),
            s.hash()
        )
    });
    let _written = writeln!(out, "{path}: {found}{size}");
    out
}

/// Writes a workflow command, as GitHub reads it from a log.
fn github(path: &str, problem: &Problem) -> String {
    let data = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut message = problem.message.clone();
    for more in [Some(problem.hint.as_str()), problem.example.as_deref()]
        .into_iter()
        .flatten()
    {
        if !more.is_empty() {
            message.push('\n');
            message.push_str(more);
        }
    }
    format!(
        "::{} file={},line={},col={},title={}::{}\n",
        problem.severity.as_str(),
        property(path),
        problem.line,
        problem.column,
        problem.code,
        data(&message)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: &str =
        "legacy: http://127.0.0.1:1\nslices:\n  - { name: s, match: /, to: x, stage: shadow }\n";
    const WARNED: &str = "legacy: http://127.0.0.1:1\n";

    fn checked(text: &str, format: Format, strict: bool) -> (u8, String) {
        let (problems, snapshot) = match rules::load("r.yaml", text) {
            Ok(loaded) => (loaded.warnings, Some(loaded.snapshot)),
            Err(problems) => (problems, None),
        };
        report("r.yaml", problems, snapshot.as_ref(), format, strict)
    }

    #[test]
    fn errors_end_in_two_and_warnings_only_if_strict() {
        assert_eq!(checked(BAD, Format::Text, false).0, 2);
        assert_eq!(checked(WARNED, Format::Text, false).0, 0);
        assert_eq!(checked(WARNED, Format::Text, true).0, 2);
    }

    #[test]
    fn each_format_names_the_place() {
        let (_, text) = checked(BAD, Format::Text, false);
        assert!(
            text.starts_with("r.yaml:3:30: error[E030]: unknown backend `x`\n    3 |"),
            "{text}"
        );
        assert!(text.ends_with("\nr.yaml: 1 error\n"), "{text}");
        let (_, text) = checked(BAD, Format::Github, false);
        assert!(
            text.starts_with(
                "::error file=r.yaml,line=3,col=30,title=E030::unknown backend `x`%0A"
            ),
            "{text}"
        );
        let (_, text) = checked(BAD, Format::Json, false);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["problems"][0]["code"], "E030");
        assert_eq!(json["problems"][0]["severity"], "error");
        assert_eq!(json["ok"], false);
        let (_, text) = checked(WARNED, Format::Text, false);
        assert!(
            text.contains("r.yaml: good, 1 warning: 0 slices, 0 backends, hash "),
            "{text}"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_a_bad_file() {
        let (problems, snapshot) = read(Path::new("/nowhere/routes.yaml"));
        assert!(snapshot.is_none());
        assert_eq!(problems[0].severity, Severity::Error);
    }
}
