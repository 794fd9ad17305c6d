//! The shapes shown: domain types become these, and only these are serialized or drawn.

mod group;
mod need;

pub(crate) use group::DifferenceKey;
pub(crate) use group::GroupView;
pub(crate) use group::endpoints;
pub(crate) use group::group;
pub(crate) use group::groups;
pub(crate) use group::noise;
pub(crate) use need::Need;
pub(crate) use need::needing;

use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::control::Board;
use crate::control::ExcludedView;
use crate::control::ServedQuantiles;
use crate::control::SliceBoard;
use crate::evidence;
use crate::evidence::Verdict;
use crate::model::Outcome;
use crate::model::Stage;
use crate::model::UnixMillis;
use crate::store::Change;
use crate::store::Counts;

/// A share of equal pairs and its interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ParityView {
    pub n: u64,
    pub f: u64,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    pub target: f64,
    pub needed: Option<u64>,
    pub sentence: String,
}

impl ParityView {
    fn of(parity: &evidence::Parity) -> Self {
        let known = parity.n > 0;
        Self {
            n: parity.n,
            f: parity.f,
            lower: known.then_some(parity.lower),
            upper: known.then_some(parity.upper),
            target: parity.target,
            needed: parity.needed,
            sentence: parity.sentence.clone(),
        }
    }
}

/// Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct QuantilesView {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub n: u64,
}

impl From<evidence::Quantiles> for QuantilesView {
    fn from(q: evidence::Quantiles) -> Self {
        Self {
            p50: q.p50,
            p95: q.p95,
            p99: q.p99,
            n: q.n,
        }
    }
}

impl From<ServedQuantiles> for QuantilesView {
    fn from(q: ServedQuantiles) -> Self {
        Self {
            p50: Some(q.p50),
            p95: Some(q.p95),
            p99: Some(q.p99),
            n: q.n,
        }
    }
}

/// A value with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct BandView {
    pub value: f64,
    pub lower: f64,
    pub upper: f64,
}

/// Both sides on the same requests, and what the clients saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LatencyView {
    /// From latency pairs; none of what never came.
    pub legacy: Option<QuantilesView>,
    /// From latency pairs; none of what never came.
    pub candidate: Option<QuantilesView>,
    /// Candidate / legacy, the median over pairs.
    pub ratio: Option<BandView>,
    pub pairs: u64,
    pub slower_candidate: u64,
    pub slower_legacy: u64,
    pub errors_candidate: u64,
    pub alarm: bool,
    pub sentence: String,
    /// Of the answers that clients got, estimated from buckets.
    pub served: ServedView,
}

/// Latency of the served answers, estimated from buckets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct ServedView {
    pub legacy: Option<QuantilesView>,
    pub candidate: Option<QuantilesView>,
}

/// Since when the figures hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EpochView {
    pub number: u64,
    pub since: String,
    pub reason: String,
    pub legacy_version: String,
    pub candidate_version: String,
}

/// A place left out of mirroring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub endpoint: String,
    pub count: u64,
    pub why: String,
    pub allow_line: String,
}

impl From<&ExcludedView> for LeftOut {
    fn from(e: &ExcludedView) -> Self {
        Self {
            endpoint: e.endpoint.clone(),
            count: e.count,
            why: e.why.clone(),
            allow_line: e.allow_line.clone(),
        }
    }
}

/// One slice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SliceView {
    pub name: String,
    /// The stage in force; `legacy` while killed.
    pub stage: &'static str,
    /// The share that the candidate answers by the rules in force, 0 to 1.
    pub share: f64,
    /// The stage and share that the slice has apart from kills.
    pub position: String,
    /// How far the file lets it go.
    pub declared: String,
    /// What holds it down.
    pub ceiling: Option<String>,
    pub killed: bool,
    pub rolled_back: bool,
    pub since: String,
    pub needs: Need,
    pub owner: Option<String>,
    pub backend: String,
    #[serde(rename = "match")]
    pub matches: String,
    pub line: u32,
    pub requests: u64,
    pub pending: u64,
    /// Adds up to `requests` less `pending`.
    pub outcomes: Map<String, Value>,
    pub outcome_reasons: Map<String, Value>,
    pub parity: ParityView,
    pub legacy_self: ParityView,
    pub latency: LatencyView,
    pub epoch: EpochView,
    /// The share of its requests that the candidate answered since the start.
    pub share_served: Option<f64>,
    /// Clients that a side failed within the last minute: legacy, candidate.
    pub failing: [u64; 2],
    pub compared: u64,
    pub masked: u64,
    pub masked_share: f64,
    pub reclassified: u64,
    pub learning: bool,
    pub regressions: usize,
    pub checking: usize,
    pub noisy: usize,
    pub control_pairs: u64,
    pub control_failed: u64,
    pub control_resting: Vec<String>,
    pub retired_hits: u64,
    pub excluded: Vec<LeftOut>,
}

/// The outcomes that mean two answers were laid beside each other, or should have been.
const COMPARED: [&str; 5] = [
    "match",
    "masked",
    "divergence",
    "candidate_error",
    "timeout",
];

impl SliceView {
    /// Draws one slice; `board` tells whether everything is killed.
    pub(crate) fn of(slice: &SliceBoard, board: &Board) -> Self {
        let killed = slice.killed || board.all_killed;
        let summary = &slice.summary;
        let position = slice.position;
        let (outcomes, outcome_reasons) = outcomes(&slice.counts);
        let compared = COMPARED
            .iter()
            .filter_map(|name| outcomes.get(*name).and_then(Value::as_u64))
            .sum();
        Self {
            name: slice.id.as_str().to_owned(),
            stage: if killed {
                Stage::Legacy
            } else {
                position.stage()
            }
            .as_str(),
            share: if killed {
                0.0
            } else {
                position.share().ratio()
            },
            position: position.to_string(),
            declared: slice.declared.to_string(),
            ceiling: slice.ceiling.map(|c| c.to_string()),
            killed,
            rolled_back: slice.rolled_back,
            since: slice.position_since.to_string(),
            needs: need::needs(slice, killed),
            owner: slice.owner.clone(),
            backend: slice.backend.clone(),
            matches: slice.matches.clone(),
            line: slice.line,
            requests: slice.counts.requests,
            pending: u64::try_from(slice.pending).unwrap_or(0),
            outcomes,
            outcome_reasons,
            parity: ParityView::of(&summary.parity),
            legacy_self: ParityView::of(&summary.legacy_self),
            latency: latency(slice),
            epoch: EpochView {
                number: summary.epoch.number,
                since: summary.epoch.since.to_string(),
                reason: summary.epoch.reason.clone(),
                legacy_version: summary.epoch.legacy.to_string(),
                candidate_version: summary.epoch.candidate.to_string(),
            },
            share_served: slice.share_served,
            failing: slice.failing,
            compared,
            masked: summary.masked,
            masked_share: summary.masked_share,
            reclassified: summary.reclassified,
            learning: summary.learning,
            regressions: need::regressions(slice).count(),
            checking: slice.checking.iter().filter(|g| g.current).count(),
            noisy: slice
                .keys
                .iter()
                .filter(|k| k.verdict == Verdict::Noisy)
                .count(),
            control_pairs: slice.control.pairs,
            control_failed: slice.control.failed,
            control_resting: slice.control.rested.clone(),
            retired_hits: slice.counts.retired_hits,
            excluded: slice.excluded.iter().map(LeftOut::from).collect(),
        }
    }
}

fn latency(slice: &SliceBoard) -> LatencyView {
    let latency = &slice.summary.latency;
    LatencyView {
        legacy: latency.legacy.map(QuantilesView::from),
        candidate: latency.candidate.map(QuantilesView::from),
        ratio: latency.ratio.map(|band| BandView {
            value: band.value,
            lower: band.lower,
            upper: band.upper,
        }),
        pairs: latency.pairs,
        slower_candidate: latency.slow_candidate,
        slower_legacy: latency.slow_legacy,
        errors_candidate: latency.errors_candidate,
        alarm: latency.alarm,
        sentence: latency.sentence.clone(),
        served: ServedView {
            legacy: slice.served.legacy.map(QuantilesView::from),
            candidate: slice.served.candidate.map(QuantilesView::from),
        },
    }
}

/// Returns the counts by outcome, and by outcome and reason; all outcomes, in their order.
fn outcomes(counts: &Counts) -> (Map<String, Value>, Map<String, Value>) {
    let mut by_name: Vec<(&str, u64)> = Vec::new();
    let mut reasons: Map<String, Value> = Map::new();
    for (outcome, &count) in Outcome::ALL.iter().zip(&counts.outcomes) {
        match by_name.iter_mut().find(|(name, _)| *name == outcome.name()) {
            Some((_, sum)) => *sum += count,
            None => by_name.push((outcome.name(), count)),
        }
        if !outcome.reason().is_empty() && count > 0 {
            let entry = reasons
                .entry(outcome.name())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(map) = entry.as_object_mut() {
                map.insert(outcome.reason().to_owned(), count.into());
            }
        }
    }
    let all = by_name
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count.into()))
        .collect();
    (all, reasons)
}

/// One entry of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ChangeView {
    pub id: i64,
    pub at: String,
    pub actor: String,
    pub kind: &'static str,
    pub slice: Option<String>,
    pub text: String,
    pub diff: Option<String>,
    pub hash: Option<String>,
    #[serde(skip)]
    pub when: UnixMillis,
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> Self {
        Self {
            id: change.id,
            at: change.at.to_string(),
            actor: change.actor.clone(),
            kind: change.kind.as_str(),
            slice: change.slice.as_ref().map(|s| s.as_str().to_owned()),
            text: change.text.clone(),
            diff: change.diff.clone(),
            hash: change.hash.clone(),
            when: change.at,
        }
    }
}
