//! What holds slices down: the rules of kill, rollback and resume. No I/O.
//!
//! What lowers is in force at once and written after; what raises is written first. So there are
//! two values: what is wanted, and what is in force. A report that positions were written raises
//! what is in force to the lower of what is wanted now and what was written.

use super::act::Refused;
use super::act::Target;
use crate::model::Position;
use crate::model::SliceId;
use crate::model::UnixMillis;
use crate::store::Held;
use crate::store::Positions;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long after a rollback `resume` asks for a reason; each rollback doubles it.
const COOL_DOWN: Duration = Duration::from_mins(30);
const COOL_DOWN_MAX: Duration = Duration::from_hours(24);
/// How long what holds a slice outlives its removal from the rules.
pub(super) const GONE: Duration = Duration::from_hours(24);

/// What an act did to the positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Something was lowered, and is in force.
    Down(String),
    /// Something is to rise once it is written.
    Up(String),
    /// It was so already.
    Not(String),
}

/// The store was lost: nothing rises.
#[derive(Clone, Debug)]
struct Lost {
    why: String,
    /// How far each slice was when it was found lost; others were nowhere.
    floor: BTreeMap<SliceId, Position>,
    /// The generation whose writing ends it.
    until: Option<u64>,
}

/// The positions of all slices.
#[derive(Clone, Debug)]
pub(super) struct Holds {
    wanted: Positions,
    in_force: Positions,
    persisted: Option<u64>,
    lost: Option<Lost>,
}

/// What holds one slice, for the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) ceiling: Option<Position>,
    pub(super) killed: bool,
}

impl Holds {
    /// Starts with what was kept, and whether the store is lost; `declared` is what the rules say.
    pub(super) fn new(
        positions: Positions,
        lost: Option<String>,
        declared: &[(SliceId, Position)],
    ) -> Self {
        let mut holds = Self {
            in_force: positions.clone(),
            wanted: positions,
            persisted: None,
            lost: None,
        };
        holds.lost = lost.map(|why| Lost {
            why,
            floor: declared
                .iter()
                .map(|(slice, position)| (slice.clone(), holds.position(slice, *position)))
                .collect(),
            until: None,
        });
        holds
    }

    /// Returns what is to be written.
    pub(super) fn wanted(&self) -> &Positions {
        &self.wanted
    }

    /// Returns whether everything is killed.
    pub(super) fn all_killed(&self) -> bool {
        self.in_force.all_killed
    }

    /// Returns why the store counts as lost.
    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.as_ref().map(|lost| lost.why.as_str())
    }

    /// Returns whether the latest change is written.
    pub(super) fn is_persisted(&self) -> bool {
        self.persisted == Some(self.wanted.generation)
    }

    /// Returns what holds a slice, in force.
    pub(super) fn hold(&self, slice: &SliceId) -> Hold {
        let kept = self.in_force.held(slice);
        let mut hold = Hold {
            ceiling: kept.and_then(|h| h.ceiling),
            killed: kept.is_some_and(|h| h.killed),
        };
        if let Some(lost) = &self.lost {
            let floor = lost.floor.get(slice).copied().unwrap_or(Position::LEGACY);
            hold.ceiling = Some(hold.ceiling.map_or(floor, |ceiling| ceiling.min(floor)));
        }
        hold
    }

    /// Returns whether a slice was rolled back and not resumed.
    pub(super) fn is_rolled_back(&self, slice: &SliceId) -> bool {
        let held = self.in_force.held(slice);
        held.is_some_and(|h| h.ceiling.is_some())
    }

    fn position(&self, slice: &SliceId, declared: Position) -> Position {
        let ceiling = self.hold(slice).ceiling;
        ceiling.map_or(declared, |ceiling| ceiling.min(declared))
    }

    /// Kills.
    pub(super) fn kill(&mut self, target: &Target) -> Moved {
        let mut next = self.wanted.clone();
        let (changed, name) = match target {
            Target::All => {
                let changed = !next.all_killed;
                next.all_killed = true;
                (changed, "everything".to_owned())
            }
            Target::Slice(slice) => {
                let held = next.slices.entry(slice.clone()).or_default();
                let changed = !held.killed;
                held.killed = true;
                (changed, format!("`{slice}`"))
            }
        };
        let text = format!("{name} goes to legacy, and nothing of it is mirrored");
        self.down(next, changed, text, format!("{name} was killed already"))
    }

    /// Rolls back.
    pub(super) fn rollback(&mut self, slice: &SliceId, now: UnixMillis) -> Moved {
        let mut next = self.wanted.clone();
        let held = next.slices.entry(slice.clone()).or_default();
        let changed = held.ceiling.is_none_or(|c| c > Position::SHADOW);
        if changed {
            held.ceiling = Some(Position::SHADOW);
            held.rollbacks = held.rollbacks.saturating_add(1);
            held.rolled_back_at = Some(now);
        }
        let text = format!("`{slice}` is at shadow at most, until it is resumed");
        self.down(
            next,
            changed,
            text,
            format!("`{slice}` was rolled back already"),
        )
    }

    fn down(&mut self, next: Positions, changed: bool, text: String, same: String) -> Moved {
        if !changed {
            return Moved::Not(same);
        }
        self.wanted = next;
        self.wanted.generation += 1;
        self.in_force = self.in_force.lower(&self.wanted);
        Moved::Down(text)
    }

    /// Lifts one thing, once it is written: a kill first, then a rollback.
    pub(super) fn resume(
        &mut self,
        target: &Target,
        reason: Option<&str>,
        now: UnixMillis,
    ) -> Result<Moved, Refused> {
        let mut next = self.wanted.clone();
        let text = match target {
            Target::All if !next.all_killed => {
                let text = "`kill --all` is not in force; resume a slice by its name".to_owned();
                return Err(Refused::Nothing(text));
            }
            Target::All => {
                next.all_killed = false;
                "`kill --all` is lifted; slices that were killed or rolled back by name stay so"
                    .to_owned()
            }
            Target::Slice(slice) => {
                let held = next.slices.entry(slice.clone()).or_default();
                lift(
                    slice,
                    held,
                    reason,
                    now,
                    self.lost.is_some(),
                    next.all_killed,
                )?
            }
        };
        self.wanted = next;
        self.wanted.generation += 1;
        if let (Some(lost), Target::Slice(_)) = (&mut self.lost, target) {
            lost.until.get_or_insert(self.wanted.generation);
        }
        Ok(Moved::Up(text))
    }

    /// Notes that positions are written; returns whether what is in force changed.
    pub(super) fn written(&mut self, positions: &Positions) -> bool {
        self.persisted = self.persisted.max(Some(positions.generation));
        let mut changed = false;
        let ends = self.lost.as_ref().and_then(|lost| lost.until);
        if ends.is_some_and(|until| positions.generation >= until) {
            self.lost = None;
            changed = true;
        }
        let next = self.wanted.lower(positions);
        changed |= next != self.in_force;
        self.in_force = next;
        changed
    }

    /// Notes that nothing could be written: what was to rise stays where it is.
    ///
    /// Returns whether what is wanted changed.
    pub(super) fn not_written(&mut self) -> bool {
        if let Some(lost) = &mut self.lost {
            lost.until = None;
        }
        let mut next = self.wanted.lower(&self.in_force);
        if next == self.wanted {
            return false;
        }
        next.generation += 1;
        self.wanted = next;
        true
    }

    /// Notes which slices the rules have; what is gone for a day is forgotten.
    ///
    /// Returns whether what is wanted changed.
    pub(super) fn reconcile(&mut self, has: impl Fn(&SliceId) -> bool, now: UnixMillis) -> bool {
        let mut changed = false;
        self.wanted.slices.retain(|slice, held| {
            let gone = if has(slice) {
                None
            } else {
                held.gone.or(Some(now))
            };
            changed |= gone != held.gone;
            held.gone = gone;
            let over = gone.is_some_and(|at| now.since(at) > GONE);
            changed |= over;
            !over
        });
        if changed {
            self.wanted.generation += 1;
            let wanted = &self.wanted.slices;
            self.in_force
                .slices
                .retain(|slice, _| wanted.contains_key(slice) || has(slice));
        }
        changed
    }
}

fn lift(
    slice: &SliceId,
    held: &mut Held,
    reason: Option<&str>,
    now: UnixMillis,
    lost: bool,
    all_killed: bool,
) -> Result<String, Refused> {
    if held.killed {
        held.killed = false;
        let rest = if held.ceiling.is_some() {
            "; it is still rolled back"
        } else {
            ""
        };
        return Ok(format!("the kill of `{slice}` is lifted{rest}"));
    }
    if held.ceiling.is_some() {
        let left = cool_down(held, now);
        if left > Duration::ZERO && reason.is_none_or(|r| r.trim().is_empty()) {
            let minutes = left.as_secs().div_ceil(60);
            return Err(Refused::NeedsReason(format!(
                "`{slice}` was rolled back a short while ago; say why, as in `supplant resume {slice} --reason TEXT`, or wait {minutes} more minutes"
            )));
        }
        held.ceiling = None;
        return Ok(format!("the rollback of `{slice}` is lifted"));
    }
    if lost {
        return Ok("the store counts as found again; slices may rise".to_owned());
    }
    let hint = if all_killed {
        "; everything is killed: `resume --all`"
    } else {
        ""
    };
    Err(Refused::Nothing(format!("nothing holds `{slice}`{hint}")))
}

fn cool_down(held: &Held, now: UnixMillis) -> Duration {
    let Some(at) = held.rolled_back_at else {
        return Duration::ZERO;
    };
    let doublings = held.rollbacks.saturating_sub(1).min(10);
    let whole = (COOL_DOWN * 2_u32.pow(doublings)).min(COOL_DOWN_MAX);
    whole.saturating_sub(now.since(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Share;
    use crate::model::Stage;

    const NOW: UnixMillis = UnixMillis(1_000_000_000);

    fn orders() -> SliceId {
        SliceId::new("orders")
    }

    fn cutover() -> Position {
        Position::new(Stage::Cutover, Share::ALL)
    }

    fn holds() -> Holds {
        Holds::new(Positions::default(), None, &[(orders(), cutover())])
    }

    fn write(holds: &mut Holds) {
        let wanted = holds.wanted().clone();
        holds.written(&wanted);
    }

    #[test]
    fn what_lowers_is_in_force_before_it_is_written_and_what_raises_after() {
        let mut holds = holds();
        let target = Target::Slice(orders());
        assert!(matches!(holds.kill(&target), Moved::Down(_)));
        assert!(holds.hold(&orders()).killed && !holds.is_persisted());
        assert!(matches!(holds.kill(&target), Moved::Not(_)));
        write(&mut holds);
        assert!(holds.is_persisted());
        holds.resume(&target, None, NOW).unwrap();
        assert!(holds.hold(&orders()).killed, "not before it is written");
        write(&mut holds);
        assert!(!holds.hold(&orders()).killed);
    }

    #[test]
    fn a_raise_that_cannot_be_written_is_not_done_and_a_kill_stays() {
        let mut holds = holds();
        holds.kill(&Target::All);
        write(&mut holds);
        holds.resume(&Target::All, None, NOW).unwrap();
        holds.kill(&Target::Slice(orders()));
        assert!(holds.not_written());
        assert!(holds.wanted().all_killed && holds.all_killed());
        assert!(holds.hold(&orders()).killed);
        assert!(!holds.not_written(), "nothing is left to undo");
        write(&mut holds);
        assert!(holds.all_killed() && holds.hold(&orders()).killed);
    }

    #[test]
    fn a_kill_between_a_raise_and_its_writing_stays_in_force() {
        let mut holds = holds();
        holds.kill(&Target::All);
        write(&mut holds);
        holds.resume(&Target::All, None, NOW).unwrap();
        let raised = holds.wanted().clone();
        holds.kill(&Target::Slice(orders()));
        holds.written(&raised);
        assert!(!holds.all_killed() && holds.hold(&orders()).killed);
    }

    #[test]
    fn resume_lifts_one_thing_a_kill_first_and_asks_for_a_reason_in_the_cool_down() {
        let mut holds = holds();
        let target = Target::Slice(orders());
        holds.rollback(&orders(), NOW);
        holds.kill(&target);
        write(&mut holds);
        holds.resume(&target, None, NOW).unwrap();
        write(&mut holds);
        let hold = holds.hold(&orders());
        assert_eq!((hold.killed, hold.ceiling), (false, Some(Position::SHADOW)));
        let refused = holds.resume(&target, Some(" "), NOW).unwrap_err();
        assert!(matches!(refused, Refused::NeedsReason(_)));
        holds.resume(&target, Some("a fix is out"), NOW).unwrap();
        write(&mut holds);
        assert_eq!(holds.hold(&orders()).ceiling, None);
        let refused = holds.resume(&target, None, NOW).unwrap_err();
        assert!(matches!(refused, Refused::Nothing(_)));
        // The second rollback cools down for an hour.
        holds.rollback(&orders(), NOW);
        let later = |minutes: u64| NOW.plus(Duration::from_secs(minutes * 60));
        assert!(holds.resume(&target, None, later(59)).is_err());
        assert!(holds.resume(&target, None, later(61)).is_ok());
    }

    #[test]
    fn resume_all_lifts_only_kill_all() {
        let mut holds = holds();
        holds.kill(&Target::Slice(orders()));
        assert!(holds.resume(&Target::All, None, NOW).is_err());
        holds.kill(&Target::All);
        holds.resume(&Target::All, None, NOW).unwrap();
        write(&mut holds);
        assert!(!holds.all_killed() && holds.hold(&orders()).killed);
    }

    #[test]
    fn while_the_store_is_lost_nothing_rises_until_a_slice_is_resumed() {
        let lost = Some("gone".to_owned());
        let declared = [(orders(), Position::SHADOW)];
        let mut holds = Holds::new(Positions::default(), lost, &declared);
        assert_eq!(holds.hold(&orders()).ceiling, Some(Position::SHADOW));
        let new = SliceId::new("new");
        assert_eq!(holds.hold(&new).ceiling, Some(Position::LEGACY));
        assert!(!holds.is_rolled_back(&orders()));
        holds.kill(&Target::Slice(orders()));
        write(&mut holds);
        assert!(holds.lost().is_some(), "a kill does not end it");
        holds.resume(&Target::Slice(orders()), None, NOW).unwrap();
        assert!(holds.lost().is_some(), "not before it is written");
        write(&mut holds);
        assert_eq!(holds.lost(), None);
        assert_eq!(holds.hold(&new), Hold::default());
    }

    #[test]
    fn what_holds_a_removed_slice_is_kept_for_a_day() {
        let mut holds = holds();
        holds.kill(&Target::Slice(orders()));
        write(&mut holds);
        assert!(holds.reconcile(|_| false, NOW));
        assert!(!holds.reconcile(|_| false, NOW.plus(GONE)));
        assert!(holds.hold(&orders()).killed);
        assert!(holds.reconcile(|_| true, NOW.plus(GONE)), "back in time");
        assert!(holds.reconcile(|_| false, NOW.plus(GONE)));
        assert!(holds.reconcile(|_| false, NOW.plus(3 * GONE)));
        assert!(!holds.hold(&orders()).killed);
    }
}
