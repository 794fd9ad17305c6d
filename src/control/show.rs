//! Publishing the board.

use super::board::Board;
use super::board::RulesBoard;
use super::board::ShadowBoard;
use super::board::SliceBoard;
use super::board::StoreBoard;
use super::board::StoreState;
use super::compose;
use super::compose::Known;
use super::holds::Hold;
use super::run::Control;
use super::tick::Figures;
use crate::clock;
use crate::model::Outcome;
use crate::model::SliceId;
use crate::model::UnixMillis;
use crate::store::Counts;
use crate::table::Table;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Control {
    /// Publishes a board.
    pub(super) fn show(&mut self) {
        self.gauges.rules(&self.state);
        let now = clock::now();
        let table = self.publisher.current();
        let ticker = self.ticker.as_ref();
        let mut rows = BTreeMap::new();
        for lane in table.lanes() {
            let known = self.rows.get(lane.id());
            let (figures, counts) = match (ticker, known) {
                (Some(ticker), _) => (ticker.figures(lane.id()), ticker.counts(lane)),
                // While the beat runs, the figures of the last one stand.
                (None, Some(row)) => (figures_of(row), row.counts.clone()),
                (None, None) => Default::default(),
            };
            let since = self.since.get(lane.id()).map_or(self.started, |s| s.at);
            let known = Known {
                figures,
                counts,
                since,
                hold: self.holds.hold(lane.id()),
                rolled_back: self.holds.is_rolled_back(lane.id()),
            };
            let row = compose::slice(lane, &table.snapshot, known);
            rows.insert(lane.id().clone(), Arc::new(row));
        }
        self.rows = rows;
        let row = |id: &SliceId| self.rows.get(id).map(Arc::clone);
        let lanes = table.lanes().iter();
        let slices = lanes.filter(|l| !l.id().is_unmatched());
        let Some(unmatched) = row(&SliceId::unmatched()) else {
            return;
        };
        self.board.publish(Board {
            at: now,
            started: self.started,
            node: self.node.clone(),
            rules: self.state.clone(),
            store: self.store_board(),
            ready: ready(&table),
            draining: self.draining,
            all_killed: self.holds.all_killed(),
            killed_unpersisted: self.unpersisted,
            shadow: self.shadow_board(&table),
            slices: slices.filter_map(|l| row(l.id())).collect(),
            unmatched,
        });
    }

    pub(super) fn store_board(&self) -> StoreBoard {
        let health = self.writer.health();
        let state = match (self.holds.lost(), health.failing()) {
            (Some(why), _) => StoreState::Lost(why.to_owned()),
            (None, Some(why)) => StoreState::Failing(why),
            (None, None) => StoreState::Ok,
        };
        StoreBoard {
            url: self.store_url.clone(),
            state,
            write_errors: health.write_errors(),
            dropped: health.dropped(),
            bytes: health.bytes(),
            positions_persisted: self.holds.is_persisted(),
        }
    }

    pub(super) fn shadow_board(&self, table: &Table) -> ShadowBoard {
        let Some(shadow) = &self.shadow else {
            return ShadowBoard::default();
        };
        let (waiting, capacity) = shadow.queue();
        let shed = table.lanes().iter().map(|lane| {
            let counts = lane.tally().read();
            let outcomes = Outcome::ALL.iter().zip(counts.outcomes);
            let shed = outcomes.filter(|(o, _)| matches!(o, Outcome::Shed(_)));
            shed.map(|(_, n)| n).sum::<u64>()
        });
        ShadowBoard {
            queue_len: waiting as u64,
            queue_capacity: capacity as u64,
            inflight: u64::try_from(table.shared().inflight()).unwrap_or(0),
            shed: shed.sum(),
            buffered_bytes: shadow.memory().held() as u64,
        }
    }
}

fn figures_of(row: &SliceBoard) -> Figures {
    Figures {
        summary: Arc::clone(&row.summary),
        groups: Arc::clone(&row.groups),
        checking: Arc::clone(&row.checking),
        earlier: Arc::clone(&row.earlier),
        keys: Arc::clone(&row.keys),
        excluded: Arc::clone(&row.excluded),
        control: row.control.clone(),
        served: row.served,
        share_served: row.share_served,
        failing: row.failing,
    }
}

/// Returns whether requests can be served: rules are loaded, so what counts is legacy.
fn ready(table: &Table) -> Result<(), String> {
    match table.backends().first() {
        Some(legacy) if legacy.is_usable() => Ok(()),
        _ => Err("legacy has no address to connect to yet".to_owned()),
    }
}

pub(super) fn empty_board(
    state: &RulesBoard,
    node: &str,
    store_url: &str,
    now: UnixMillis,
    table: &Table,
) -> Board {
    let known = Known {
        figures: Figures::default(),
        counts: Counts::default(),
        since: now,
        hold: Hold::default(),
        rolled_back: false,
    };
    let unmatched = compose::slice(table.lane(None), &table.snapshot, known);
    Board {
        at: now,
        started: now,
        node: node.to_owned(),
        rules: state.clone(),
        store: StoreBoard {
            url: store_url.to_owned(),
            state: StoreState::Ok,
            write_errors: 0,
            dropped: 0,
            bytes: 0,
            positions_persisted: false,
        },
        ready: ready(table),
        draining: false,
        all_killed: false,
        killed_unpersisted: false,
        shadow: ShadowBoard::default(),
        slices: Vec::new(),
        unmatched: Arc::new(unmatched),
    }
}
