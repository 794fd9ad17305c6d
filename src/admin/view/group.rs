//! Groups, endpoints and keys as they are shown.

use serde::Serialize;

use crate::control::Board;
use crate::control::SliceBoard;
use crate::evidence;
use crate::evidence::Verdict;
use crate::model::FieldKey;
use crate::model::UnixMillis;

/// A place and a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DifferenceKey {
    pub path: String,
    pub kind: &'static str,
}

impl From<&FieldKey> for DifferenceKey {
    fn from(key: &FieldKey) -> Self {
        Self {
            path: key.path.to_string(),
            kind: key.kind.as_str(),
        }
    }
}

/// Pairs that differ alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct GroupView {
    pub id: String,
    pub slice: String,
    pub endpoint: String,
    /// Legacy's status and the candidate's; none where it gave no answer.
    pub status_legacy: Option<u16>,
    pub status_candidate: Option<u16>,
    pub differences: Vec<DifferenceKey>,
    pub verdict: &'static str,
    /// Whether it is being checked, so that a later verdict may take it away.
    pub checking: bool,
    pub count: u64,
    pub of: u64,
    pub share: f64,
    pub first_seen: String,
    pub last_seen: String,
    /// Repeat calls in which only the candidate differed, only legacy, and of how many.
    pub candidate_only: u64,
    pub legacy_only: u64,
    pub repeats: u64,
    pub log_e: f64,
    pub sentence: String,
    pub epoch: u64,
    pub current: bool,
    pub examples: Vec<String>,
    #[serde(skip)]
    pub seen: (UnixMillis, UnixMillis),
}

impl GroupView {
    /// Draws one group of `slice`.
    pub(crate) fn of(group: &evidence::Group, slice: &str, checking: bool) -> Self {
        let status = |code: u16| (code > 0).then_some(code);
        Self {
            id: group.id.clone(),
            slice: slice.to_owned(),
            endpoint: group.endpoint.to_string(),
            status_legacy: status(group.status.0),
            status_candidate: status(group.status.1),
            differences: group.keys.iter().map(DifferenceKey::from).collect(),
            verdict: group.verdict.as_str(),
            checking,
            count: group.count,
            of: group.of,
            share: group.share,
            first_seen: group.first_seen.to_string(),
            last_seen: group.last_seen.to_string(),
            candidate_only: group.triples.b,
            legacy_only: group.triples.c,
            repeats: group.triples.triples,
            log_e: group.triples.log_e,
            sentence: group.sentence.clone(),
            epoch: group.epoch,
            current: group.current,
            examples: group.examples.iter().map(ToString::to_string).collect(),
            seen: (group.first_seen, group.last_seen),
        }
    }

    /// Returns whether the candidate gave no answer at all.
    pub(crate) fn is_silent(&self) -> bool {
        self.status_candidate.is_none()
    }
}

/// Returns every group of a slice: those of this epoch first, then those being checked, then those
/// of earlier epochs.
pub(crate) fn groups(slice: &SliceBoard) -> Vec<GroupView> {
    let name = slice.id.as_str();
    let decided = slice.groups.iter().map(|g| (g, false));
    let checking = slice.checking.iter().map(|g| (g, true));
    let earlier = slice.earlier.iter().map(|g| (g, false));
    decided
        .chain(checking)
        .chain(earlier)
        .map(|(group, checking)| GroupView::of(group, name, checking))
        .collect()
}

/// Finds a group by its id, with its slice.
pub(crate) fn group<'a>(board: &'a Board, id: &str) -> Option<(&'a SliceBoard, GroupView)> {
    board.rows().find_map(|slice| {
        groups(slice)
            .into_iter()
            .find(|g| g.id == id)
            .map(|g| (&**slice, g))
    })
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct EndpointRow {
    pub endpoint: String,
    pub n: u64,
    pub f: u64,
    pub masked: u64,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
    pub controls: u64,
    pub triples: u64,
    pub templates: u64,
}

/// Returns the endpoints of a slice, the worst first.
pub(crate) fn endpoints(slice: &SliceBoard) -> Vec<EndpointRow> {
    slice
        .summary
        .endpoints
        .iter()
        .map(|e| EndpointRow {
            endpoint: e.endpoint.to_string(),
            n: e.n,
            f: e.f,
            masked: e.masked,
            lower: (e.n > 0).then_some(e.lower),
            upper: (e.n > 0).then_some(e.upper),
            controls: e.controls,
            triples: e.triples,
            templates: e.templates,
        })
        .collect()
}

/// One key with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct KeyRow {
    pub endpoint: String,
    pub path: String,
    pub kind: &'static str,
    pub verdict: &'static str,
    pub pairs: u64,
    pub of: u64,
    pub candidate_only: u64,
    pub legacy_only: u64,
    pub both: u64,
    pub repeats: u64,
    pub sentence: String,
}

/// Returns the keys of a slice that legacy changes by itself.
pub(crate) fn noise(slice: &SliceBoard) -> Vec<KeyRow> {
    slice
        .keys
        .iter()
        .filter(|k| k.verdict == Verdict::Noisy)
        .map(|k| KeyRow {
            endpoint: k.endpoint.to_string(),
            path: k.key.path.to_string(),
            kind: k.key.kind.as_str(),
            verdict: k.verdict.as_str(),
            pairs: k.pairs,
            of: k.of,
            candidate_only: k.triples.b,
            legacy_only: k.triples.c,
            both: k.triples.both,
            repeats: k.triples.triples,
            sentence: k.sentence.clone(),
        })
        .collect()
}
