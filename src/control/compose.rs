//! Puts the board together from what the loop and the beat know. No I/O.

use super::board::SliceBoard;
use super::holds::Hold;
use super::holds::Holds;
use super::tick::Figures;
use crate::model::Position;
use crate::model::SliceId;
use crate::model::SliceIx;
use crate::model::UnixMillis;
use crate::rules::Snapshot;
use crate::store::Counts;
use crate::table::Lane;
use crate::table::Table;
use std::collections::BTreeMap;

/// Where a slice stood, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    pub(super) position: Position,
    pub(super) killed: bool,
    pub(super) at: UnixMillis,
}

/// What the loop knows of one slice besides the table.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) figures: Figures,
    pub(super) counts: Counts,
    pub(super) since: UnixMillis,
    pub(super) hold: Hold,
    pub(super) rolled_back: bool,
}

/// Makes the row of one slice.
pub(super) fn slice(lane: &Lane, snapshot: &Snapshot, known: Known) -> SliceBoard {
    let Known {
        figures,
        counts,
        since,
        hold,
        rolled_back,
    } = known;
    let rule = lane.slice();
    let ix = snapshot.ix(lane.id());
    let backend = rule.and_then(|r| snapshot.backends().get(r.backend.get()));
    SliceBoard {
        id: lane.id().clone(),
        owner: rule.and_then(|r| r.owner.clone()),
        backend: backend.map_or_else(String::new, |b| b.name.to_string()),
        matches: rule.map_or_else(|| "everything else".to_owned(), |r| r.matches.clone()),
        line: rule.map_or(0, |r| r.line),
        declared: rule.map_or(Position::LEGACY, |r| r.declared),
        position: ix.map_or(Position::LEGACY, |ix| snapshot.position(ix)),
        ceiling: hold.ceiling,
        killed: hold.killed,
        rolled_back,
        position_since: since,
        counts,
        pending: lane.tally().pending(),
        summary: figures.summary,
        groups: figures.groups,
        checking: figures.checking,
        earlier: figures.earlier,
        keys: figures.keys,
        excluded: figures.excluded,
        share_served: figures.share_served,
        failing: figures.failing,
        control: figures.control,
        served: figures.served,
    }
}

/// Notes since when each slice stands where it stands; returns those that moved.
pub(super) fn note_positions(
    since: &mut BTreeMap<SliceId, Since>,
    table: &Table,
    holds: &Holds,
    now: UnixMillis,
) -> Vec<SliceId> {
    let snapshot = &table.snapshot;
    let mut moved = Vec::new();
    for (place, slice) in snapshot.slices().iter().enumerate() {
        let ix = SliceIx(u32::try_from(place).unwrap_or(u32::MAX));
        let next = Since {
            position: snapshot.position(ix),
            killed: holds.hold(&slice.id).killed || snapshot.all_killed(),
            at: now,
        };
        let known = since.get(&slice.id);
        let same = known.is_some_and(|k| (k.position, k.killed) == (next.position, next.killed));
        if !same {
            if known.is_some() {
                moved.push(slice.id.clone());
            }
            since.insert(slice.id.clone(), next);
        }
    }
    since.retain(|id, _| snapshot.ix(id).is_some());
    moved
}
