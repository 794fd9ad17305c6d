//! What a slice needs: the first question of the overview.

use serde::Serialize;

use super::SliceView;
use crate::control::SliceBoard;
use crate::evidence;
use crate::evidence::Verdict;
use crate::model::Stage;

/// What a slice needs; what is worse comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Need {
    /// Clients get no answer, now.
    ClientsFail,
    /// Somebody killed it, or everything.
    Killed,
    /// It was rolled back.
    RolledBack,
    /// The candidate differs where legacy agrees with itself.
    Regression,
    /// The candidate often gives no answer.
    NoAnswer,
    /// Parity is known to miss its target.
    BelowTarget,
    /// Legacy was needed although the slice is retired.
    LegacyNeeded,
    /// Parity is shown: the file may move it on.
    Ready,
    /// Evidence is being gathered.
    Collecting,
    /// There are too many sets to know parity yet.
    Learning,
    /// Nothing was compared yet.
    NoPairs,
    /// It stands at legacy.
    NotStarted,
    /// It stands after the comparing stages and nothing is wrong.
    Steady,
}

impl Need {
    /// Returns whether a human must look.
    pub(crate) fn is_alert(self) -> bool {
        self <= Self::LegacyNeeded
    }

    /// Returns whether a human is asked for anything.
    pub(crate) fn needs_you(self) -> bool {
        self <= Self::Ready
    }
}

/// Returns the regressions of this epoch.
pub(super) fn regressions(slice: &SliceBoard) -> impl Iterator<Item = &evidence::Group> {
    slice
        .groups
        .iter()
        .filter(|g| g.current && g.verdict == Verdict::Regression)
}

/// Says what a slice needs; what is worse comes first.
pub(super) fn needs(slice: &SliceBoard, killed: bool) -> Need {
    let parity = &slice.summary.parity;
    let silent: u64 = slice
        .groups
        .iter()
        .chain(slice.checking.iter())
        .filter(|g| g.current && g.status.1 == 0)
        .map(|g| g.count)
        .sum();
    let stage = slice.position.stage();
    match stage {
        _ if slice.failing.iter().sum::<u64>() > 0 => Need::ClientsFail,
        _ if slice.id.is_unmatched() => Need::NotStarted,
        _ if killed => Need::Killed,
        _ if slice.rolled_back => Need::RolledBack,
        Stage::Legacy => Need::NotStarted,
        Stage::Retired if slice.counts.retired_hits > 0 => Need::LegacyNeeded,
        Stage::Retired => Need::Steady,
        // One in a hundred is no chance failure of a healthy application.
        _ if silent >= 3 && silent.saturating_mul(100) > parity.n => Need::NoAnswer,
        _ if regressions(slice).next().is_some() => Need::Regression,
        _ if slice.summary.learning => Need::Learning,
        _ if parity.n == 0 => Need::NoPairs,
        _ if parity.upper < parity.target => Need::BelowTarget,
        Stage::Cutover if parity.lower >= parity.target => Need::Steady,
        _ if parity.lower >= parity.target && !slice.summary.latency.alarm => Need::Ready,
        _ => Need::Collecting,
    }
}

/// Returns how many slices need a human: those with something wrong, and those that may move.
pub(crate) fn needing(slices: &[SliceView]) -> (usize, usize) {
    let wrong = slices.iter().filter(|s| s.needs.is_alert()).count();
    let asking = slices.iter().filter(|s| s.needs.needs_you()).count();
    (wrong, asking - wrong)
}
