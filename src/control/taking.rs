//! Taking new rules, or refusing them, and saying so.

use super::act::Done;
use super::act::Refused;
use super::gauges::Tried;
use super::reload;
use super::reload::Judged;
use super::reload::Next;
use super::run::Control;
use super::run::answer;
use super::run::send;
use super::source::Ask;
use super::source::Reading;
use crate::clock;
use crate::rules::Loaded;
use crate::rules::Problem;
use crate::store::ChangeKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Refused rules go to the history at most so often.
const REFUSED_EVERY: Duration = Duration::from_secs(10);

impl Control {
    /// Reads the rules now, and answers when they were judged.
    pub(super) fn reload(
        &mut self,
        asks: Option<&mpsc::Sender<Ask>>,
        reply: oneshot::Sender<Result<Done, Refused>>,
    ) {
        if let Some(asks) = asks {
            self.reloads.push(reply);
            send(asks, Ask::Force);
        } else {
            let text = "the process runs without a file of rules".to_owned();
            answer(reply, Err(Refused::Nothing(text)));
        }
    }

    pub(super) fn judge(&self, reading: Reading) -> (Reading, JoinHandle<Judged>) {
        let path = self.state.path.clone().unwrap_or_default();
        let (content, current) = (reading.content.clone(), self.rules.clone());
        let judging = tokio::task::spawn_blocking(move || reload::judge(&path, &content, &current));
        (reading, judging)
    }

    pub(super) fn judged(
        &mut self,
        reading: &Reading,
        judged: Judged,
        asks: Option<&mpsc::Sender<Ask>>,
    ) {
        match judged {
            Judged::Same => {
                self.waiting = None;
                // A second look that finds the old content back tried nothing.
                if !reading.again {
                    self.gauges.tried(Tried::Unchanged, None);
                }
                self.fine();
                self.tell(|| Ok("the rules in force are those of the file".to_owned()));
            }
            Judged::Refused { problems, text } => {
                if self.looks_again(reading, asks) {
                    return;
                }
                self.refuse(problems, text);
            }
            Judged::Good {
                loaded,
                risky,
                ended,
                changes,
                diff,
            } => {
                let Ok(content) = &reading.content else {
                    return;
                };
                let trusted = reading.whole || reading.forced || !risky;
                match reload::next(&mut self.waiting, content, trusted, ended, reading.at) {
                    Next::Take => self.take(*loaded, &changes, diff, reading.at),
                    Next::Look(at) => {
                        if let Some(asks) = asks {
                            send(asks, Ask::Again(at));
                        }
                    }
                    Next::HalfWritten => {
                        let text = Some(Arc::clone(loaded.snapshot.text()));
                        self.refuse(vec![reload::half_written()], text);
                    }
                }
            }
        }
    }

    /// A file that is not there for a moment, between an editor's two renames, is no mistake yet.
    fn looks_again(&mut self, reading: &Reading, asks: Option<&mpsc::Sender<Ask>>) -> bool {
        let gone = reading.content.is_err();
        if !gone || reading.again || reading.forced {
            return false;
        }
        let Some(asks) = asks else { return false };
        self.waiting = None;
        send(asks, Ask::Again(reading.at + reload::CONFIRM));
        true
    }

    pub(super) fn take(
        &mut self,
        loaded: Loaded,
        changes: &[String],
        diff: String,
        read_at: Instant,
    ) {
        let now = clock::now();
        let Loaded { snapshot, warnings } = loaded;
        let restart = snapshot.changed_startup(&self.running);
        for warning in &restart {
            tracing::warn!("{}", warning.render(self.path_text()));
        }
        self.rules = snapshot;
        if self.holds.reconcile(|id| self.rules.ix(id).is_some(), now) {
            self.keeper.put(self.holds.wanted().clone());
        }
        self.state.hash = self.rules.hash().to_owned();
        self.state.taken_at = now;
        self.state.text = Arc::clone(self.rules.text());
        self.state.restart_required = !restart.is_empty();
        self.state.warnings = warnings;
        self.state.warnings.extend(restart);
        self.fine();
        self.publish("rules", "file");
        self.gauges.tried(Tried::Ok, Some(read_at.elapsed()));
        let text = match changes {
            [] => "rules taken; nothing that decides changed".to_owned(),
            changes => format!("rules taken: {}", changes.join("; ")),
        };
        tracing::info!(hash = self.rules.hash(), "rules taken");
        let mut change = self.change(ChangeKind::RulesTaken, "file", None, text.clone());
        change.diff = (!diff.is_empty()).then_some(diff);
        self.keep(change);
        self.tell(|| Ok(text.clone()));
        self.resolve_beside();
        self.show();
    }

    pub(super) fn refuse(&mut self, problems: Vec<Problem>, text: Option<Arc<str>>) {
        self.waiting = None;
        self.gauges.tried(Tried::Rejected, None);
        let said: Vec<_> = problems
            .iter()
            .map(|p| p.render(self.path_text()))
            .collect();
        let said = said.join("\n");
        // A script that writes the same mistake a hundred times a second is told once.
        let due = self
            .refused_at
            .is_none_or(|at| at.elapsed() >= REFUSED_EVERY);
        if due || (self.state.successful && self.state.problems != problems) {
            tracing::error!("the rules were refused, those in force stay:\n{said}");
        }
        if due {
            self.refused_at = Some(Instant::now());
            let text = format!(
                "rules refused, those in force stay: {}",
                first_lines(&problems)
            );
            self.note(ChangeKind::RulesRefused, "file", None, text);
        }
        self.state.successful = false;
        self.state.problems = problems;
        self.state.refused_text = text;
        self.state.refused_at = Some(clock::now());
        self.tell(|| Err(said.clone()));
        self.show();
    }

    /// Notes that the content of the file is what runs.
    pub(super) fn fine(&mut self) {
        let was = self.state.successful;
        self.state.successful = true;
        self.state.problems.clear();
        self.state.refused_text = None;
        self.state.refused_at = None;
        if !was {
            self.show();
        }
    }

    /// Answers everyone who asked for a reload.
    pub(super) fn tell(&mut self, outcome: impl Fn() -> Result<String, String>) {
        for reply in self.reloads.drain(..) {
            let done = outcome().map_err(Refused::Rules).map(|text| Done {
                text,
                persisted: true,
            });
            answer(reply, done);
        }
    }
}

fn first_lines(problems: &[Problem]) -> String {
    let shown = problems.iter().take(5);
    let shown: Vec<_> = shown
        .map(|p| {
            format!(
                "{}:{} {}[{}] {}",
                p.line,
                p.column,
                p.severity.as_str(),
                p.code,
                p.message
            )
        })
        .collect();
    let more = problems.len().saturating_sub(5);
    if more > 0 {
        format!("{}; and {more} more", shown.join("; "))
    } else {
        shown.join("; ")
    }
}
