//! What operators ask for: acts, and the promises that wait until they are written.

use super::act::Act;
use super::act::Done;
use super::act::Refused;
use super::act::Target;
use super::compose;
use super::compose::Since;
use super::holds::Holds;
use super::holds::Moved;
use super::run::Control;
use super::run::Promise;
use super::run::answer;
use super::tick::Deployed;
use crate::clock;
use crate::model::SliceId;
use crate::model::UnixMillis;
use crate::rules::Ceiling;
use crate::rules::Ceilings;
use crate::rules::Snapshot;
use crate::rules::nearest;
use crate::store::ChangeKind;
use crate::store::Report;
use crate::table;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

impl Control {
    pub(super) fn act(
        &mut self,
        act: Act,
        actor: &str,
        reply: oneshot::Sender<Result<Done, Refused>>,
    ) {
        let now = clock::now();
        let target = match &act {
            Act::Kill(target) | Act::Resume { target, .. } => target.clone(),
            Act::Rollback(slice) => Target::Slice(slice.clone()),
            Act::Deploy { .. } | Act::Reload => Target::All,
        };
        if let Target::Slice(slice) = &target
            && let Err(refused) = self.known(slice)
        {
            return answer(reply, Err(refused));
        }
        let (kind, moved) = match act {
            Act::Kill(target) => (ChangeKind::Kill, Ok(self.holds.kill(&target))),
            Act::Rollback(slice) => (ChangeKind::Rollback, Ok(self.holds.rollback(&slice, now))),
            Act::Resume { target, reason } => {
                let moved = self.holds.resume(&target, reason.as_deref(), now);
                let moved = moved.map(|m| with_reason(m, reason.as_deref()));
                (ChangeKind::Resume, moved)
            }
            Act::Deploy { backend, version } => {
                let done = self.deploy(backend, version, actor);
                return answer(reply, done);
            }
            Act::Reload => return,
        };
        let slice = match target {
            Target::All => None,
            Target::Slice(slice) => Some(slice),
        };
        let (text, raises) = match moved {
            Err(refused) => return answer(reply, Err(refused)),
            Ok(Moved::Not(text)) => {
                let persisted = self.holds.is_persisted();
                return answer(reply, Ok(Done { text, persisted }));
            }
            Ok(Moved::Down(text)) => (text, false),
            Ok(Moved::Up(text)) => (text, true),
        };
        let wanted = self.holds.wanted().clone();
        let generation = wanted.generation;
        let change = self.change(kind, actor, slice, text.clone());
        let change = if raises {
            Some(change)
        } else {
            // What lowers is in force before anything is written.
            self.publish(kind.as_str(), actor);
            self.keep(change);
            None
        };
        self.keeper.put(wanted);
        self.promises.push(Promise {
            generation,
            text,
            raises,
            change,
            reply,
        });
        self.show();
    }

    /// Returns why a name is no slice, if it is none.
    pub(super) fn known(&self, slice: &SliceId) -> Result<(), Refused> {
        let held = self.holds.wanted().held(slice).is_some();
        if self.rules.ix(slice).is_some() || held {
            return Ok(());
        }
        let names = self.rules.slices().iter().map(|s| s.id.as_str());
        Err(Refused::UnknownSlice {
            name: slice.to_string(),
            nearest: nearest(slice.as_str(), names).map(str::to_owned),
        })
    }

    pub(super) fn deploy(
        &mut self,
        backend: String,
        version: String,
        actor: &str,
    ) -> Result<Done, Refused> {
        let names = self.rules.backends().iter().map(|b| &*b.name);
        if !names.clone().any(|name| name == backend) {
            return Err(Refused::UnknownBackend {
                name: backend,
                known: names.collect::<Vec<_>>().join(", "),
            });
        }
        let text =
            format!("version `{version}` of `{backend}` is out; its slices begin a new epoch");
        self.note(ChangeKind::Deploy, actor, None, text.clone());
        self.deployed.push(Deployed { backend, version });
        Ok(Done {
            text,
            persisted: true,
        })
    }

    /// Hears what became of positions that were to be written.
    pub(super) fn report(&mut self, report: &Report) {
        let failed = report.failed.clone();
        let known = self.holds.is_persisted() && failed.is_none() && !self.unpersisted;
        let changed = if failed.is_none() {
            let changed = self.holds.written(&report.positions);
            self.unpersisted = !self.holds.is_persisted();
            changed
        } else {
            self.unpersisted = true;
            if self.holds.not_written() {
                self.keeper.put(self.holds.wanted().clone());
            }
            false
        };
        if changed {
            self.publish("resume", "operator");
        }
        let promises = std::mem::take(&mut self.promises);
        for promise in promises {
            if promise.generation > report.generation {
                self.promises.push(promise);
                continue;
            }
            self.keep_promise(promise, failed.as_deref());
        }
        if !known || changed {
            self.show();
        }
    }

    pub(super) fn keep_promise(&self, promise: Promise, failed: Option<&str>) {
        let done = match failed {
            None => {
                if let Some(mut change) = promise.change {
                    change.at = clock::now();
                    self.keep(change);
                }
                Ok(Done {
                    text: promise.text,
                    persisted: true,
                })
            }
            Some(why) if promise.raises => Err(Refused::NotPersisted(format!(
                "not persisted, so nothing rose: {why}"
            ))),
            Some(why) => Ok(Done {
                text: format!(
                    "{}; not persisted: {why}; it is tried again every second",
                    promise.text
                ),
                persisted: false,
            }),
        };
        answer(promise.reply, done);
    }

    /// Publishes the table anew when the sample of a slice in `cutover` has fallen by a day.
    pub(super) fn age(&mut self) {
        let now = clock::now();
        let oldest = self.since.values().map(|since| days(since, now)).collect();
        if self.aged != oldest {
            self.aged = oldest;
            self.publish("time", "supplant");
        }
    }

    /// Binds the rules with what holds them down, and puts the table in force.
    pub(super) fn publish(&mut self, reason: &str, actor: &str) {
        let held = self.rules.held(&ceilings(
            &self.rules,
            &self.holds,
            &self.since,
            clock::now(),
        ));
        let previous = self.publisher.current();
        self.publisher
            .publish(table::bind(held, Some(&previous), &self.metrics));
        let table = self.publisher.current();
        let moved = compose::note_positions(&mut self.since, &table, &self.holds, clock::now());
        if moved.is_empty() {
            return;
        }
        self.show();
        let kind = match actor {
            "file" | "supplant" => actor,
            _ => "operator",
        };
        let board = self.ends.board.get();
        for (place, slice) in board.slices.iter().enumerate() {
            if moved.contains(&slice.id) {
                tracing::info!(slice = %slice.id, position = %slice.position, killed = slice.killed, reason, "a slice moved");
                self.gauges.moved(slice, place, kind, reason);
            }
        }
    }
}

pub(super) fn ceilings(
    rules: &Snapshot,
    holds: &Holds,
    since: &BTreeMap<SliceId, Since>,
    now: UnixMillis,
) -> Ceilings {
    let slices = rules.slices().iter().map(|slice| {
        let hold = holds.hold(&slice.id);
        let ceiling = Ceiling {
            position: hold.ceiling,
            killed: hold.killed,
            days: since.get(&slice.id).map_or(0, |since| days(since, now)),
        };
        (slice.id.clone(), ceiling)
    });
    Ceilings {
        all_killed: holds.all_killed(),
        slices: slices.collect(),
    }
}

/// Returns how many whole days a slice has stood where it stands, as far as this process knows.
pub(super) fn days(since: &Since, now: UnixMillis) -> u32 {
    u32::try_from(now.since(since.at).as_secs() / 86_400).unwrap_or(u32::MAX)
}

fn with_reason(moved: Moved, reason: Option<&str>) -> Moved {
    match (moved, reason.map(str::trim)) {
        (Moved::Up(text), Some(reason)) if !reason.is_empty() => {
            let short: String = reason.chars().take(500).collect();
            Moved::Up(format!("{text} ({short})"))
        }
        (moved, _) => moved,
    }
}
