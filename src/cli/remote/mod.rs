//! Commands that ask a running proxy, over its admin API: status, kill, rollback, resume, deploy,
//! reload, parity.
//!
//! Each is a struct of arguments and a `run` that returns the exit code: 0 good, 1 failed.

mod client;
mod show;

pub use client::Remote;

use crate::admin::segment;
use client::Answer;
use serde_json::Value;
use serde_json::json;
use std::io::Write;

const GOOD: u8 = 0;
const FAILED: u8 = 1;

/// Arguments of `supplant status`.
#[derive(Clone, Debug, clap::Args)]
pub struct Status {
    /// Whom to ask.
    #[command(flatten)]
    pub remote: Remote,
    /// Print the JSON of `/api/v1/status`.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `supplant kill` and `supplant resume`: one slice, or all.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false, args = ["slice", "all"])]
pub struct Target {
    /// The name of the slice.
    #[arg(value_name = "SLICE")]
    pub slice: Option<String>,
    /// Every slice at once.
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `supplant kill`.
#[derive(Clone, Debug, clap::Args)]
pub struct Kill {
    /// What goes to legacy.
    #[command(flatten)]
    pub target: Target,
    /// Whom to ask.
    #[command(flatten)]
    pub remote: Remote,
    /// Print the answer of the API.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `supplant rollback`.
#[derive(Clone, Debug, clap::Args)]
pub struct Rollback {
    /// The name of the slice.
    #[arg(value_name = "SLICE")]
    pub slice: String,
    /// Whom to ask.
    #[command(flatten)]
    pub remote: Remote,
    /// Print the answer of the API.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `supplant resume`.
#[derive(Clone, Debug, clap::Args)]
pub struct Resume {
    /// What may go on.
    #[command(flatten)]
    pub target: Target,
    /// Why; goes to the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Whom to ask.
    #[command(flatten)]
    pub remote: Remote,
    /// Print the answer of the API.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `supplant deploy`.
#[derive(Clone, Debug, clap::Args)]
pub struct Deploy {
    /// The backend that has a new version, such as `legacy`.
    #[arg(value_name = "BACKEND")]
    pub backend: String,
    /// Its new version; evidence starts anew.
    // `version` itself is the name of the flag that every command has.
    #[arg(id = "new_version", value_name = "VERSION")]
    pub version: String,
    /// Whom to ask.
    #[command(flatten)]
    pub remote: Remote,
    /// Print the answer of the API.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `supplant reload`.
#[derive(Clone, Debug, clap::Args)]
pub struct Reload {
    /// Whom to ask.
    #[command(flatten)]
    pub remote: Remote,
    /// Print the answer of the API.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `supplant parity`.
#[derive(Clone, Debug, clap::Args)]
pub struct Parity {
    /// The name of the slice.
    #[arg(value_name = "SLICE")]
    pub slice: String,
    /// Whom to ask.
    #[command(flatten)]
    pub remote: Remote,
    /// Print JSON: `{slice, divergences}`, as the API gives them.
    #[arg(long)]
    pub json: bool,
}

/// Prints where every slice stands.
pub fn status(args: &Status) -> anyhow::Result<u8> {
    let Some(status) = read(&args.remote, "/api/v1/status")? else {
        return Ok(FAILED);
    };
    if args.json {
        print(&pretty(&status))?;
    } else {
        print(&show::status(&status))?;
    }
    Ok(GOOD)
}

/// Prints what differs between both sides of a slice.
pub fn parity(args: &Parity) -> anyhow::Result<u8> {
    let base = format!("/api/v1/slices/{}", segment(&args.slice));
    let Some(slice) = read(&args.remote, &base)? else {
        return Ok(FAILED);
    };
    let Some(groups) = read_list(&args.remote, &format!("{base}/divergences"))? else {
        return Ok(FAILED);
    };
    if args.json {
        print(&pretty(&json!({ "slice": slice, "divergences": groups })))?;
    } else {
        print(&show::parity(&slice, &groups))?;
    }
    Ok(GOOD)
}

/// Sends a slice, or everything, to legacy.
pub fn kill(args: &Kill) -> anyhow::Result<u8> {
    act(
        &args.remote,
        &args.target.path("kill"),
        &json!({}),
        args.json,
    )
}

/// Takes a slice back to shadow.
pub fn rollback(args: &Rollback) -> anyhow::Result<u8> {
    let path = format!("/api/v1/slices/{}/rollback", segment(&args.slice));
    act(&args.remote, &path, &json!({}), args.json)
}

/// Lifts a kill or a rollback.
pub fn resume(args: &Resume) -> anyhow::Result<u8> {
    let body = match &args.reason {
        Some(reason) => json!({ "reason": reason }),
        None => json!({}),
    };
    act(&args.remote, &args.target.path("resume"), &body, args.json)
}

/// Says that a backend has a new version.
pub fn deploy(args: &Deploy) -> anyhow::Result<u8> {
    let body = json!({ "backend": args.backend, "version": args.version });
    act(&args.remote, "/api/v1/deploys", &body, args.json)
}

/// Has the rules read now.
pub fn reload(args: &Reload) -> anyhow::Result<u8> {
    act(&args.remote, "/api/v1/reload", &json!({}), args.json)
}

impl Target {
    fn path(&self, act: &str) -> String {
        match &self.slice {
            Some(slice) => format!("/api/v1/slices/{}/{act}", segment(slice)),
            None => format!("/api/v1/{act}"),
        }
    }
}

/// Posts, prints what came of it, and says whether it is done and written down.
fn act(remote: &Remote, path: &str, body: &Value, json: bool) -> anyhow::Result<u8> {
    let answer = remote.post(path, body)?;
    if json {
        print(&pretty(&answer.body))?;
    } else if answer.is_good() {
        print(&show::done(&answer.body))?;
    } else {
        complain(&answer)?;
    }
    let persisted = answer.body.get("persisted") != Some(&Value::Bool(false));
    Ok(if answer.is_good() && persisted {
        GOOD
    } else {
        FAILED
    })
}

/// Returns what stands there, or nothing when the proxy refused, which is then said already.
fn read(remote: &Remote, path: &str) -> anyhow::Result<Option<Value>> {
    let answer = remote.get(path)?;
    if answer.is_good() {
        return Ok(Some(answer.body));
    }
    complain(&answer)?;
    Ok(None)
}

/// Reads all pages of a list.
fn read_list(remote: &Remote, path: &str) -> anyhow::Result<Option<Vec<Value>>> {
    let mut items = Vec::new();
    let mut at = path.to_owned();
    // A bound for a proxy that would never say that a page is the last.
    for _ in 0..1_000 {
        let Some(mut page) = read(remote, &at)? else {
            return Ok(None);
        };
        if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
            items.extend(more);
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => next.clone_into(&mut at),
            None => break,
        }
    }
    Ok(Some(items))
}

fn complain(answer: &Answer) -> anyhow::Result<()> {
    writeln!(std::io::stderr().lock(), "error: {}", answer.complaint())?;
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A reader that has seen enough, such as `head`, is no failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    enum Command {
        Kill(Kill),
        Resume(Resume),
    }

    #[test]
    fn a_kill_names_one_slice_or_all_and_never_both() {
        use clap::Parser;
        for (line, path) in [
            (vec!["x", "kill", "a b"], Some("/api/v1/slices/a%20b/kill")),
            (vec!["x", "kill", "--all"], Some("/api/v1/kill")),
            (vec!["x", "kill"], None),
            (vec!["x", "kill", "a", "--all"], None),
        ] {
            let found = Command::try_parse_from(&line).ok().map(|c| match c {
                Command::Kill(kill) => kill.target.path("kill"),
                Command::Resume(resume) => resume.target.path("resume"),
            });
            assert_eq!(found.as_deref(), path, "{line:?}");
        }
    }
}
