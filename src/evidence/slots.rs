//! The last hour in slots of ten seconds, for charts. Pure.

use crate::evidence::parity::floor;
use crate::evidence::parity::real;
use crate::evidence::summary::Slot;
use crate::evidence::tally::mix;
use crate::model::UnixMillis;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// A slot lasts this long, in milliseconds.
const SPAN: i64 = 10_000;
/// Slots kept: an hour.
pub(super) const KEPT: i64 = 360;
/// Times of a side kept in a slot, a fair sample if there are more.
const TIMES: usize = 64;

/// The slots, by their number since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Slots {
    pub(super) slots: BTreeMap<i64, Counted>,
    pub(super) dirty: BTreeSet<i64>,
}

/// What was counted in a slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counted {
    pub(super) n: u64,
    pub(super) f: u64,
    pub(super) pairs: u64,
    pub(super) legacy: Vec<u64>,
    pub(super) candidate: Vec<u64>,
}

impl Slots {
    pub(super) fn pairs(&mut self, at: UnixMillis, n: u64, f: u64) {
        let slot = self.slot(at);
        slot.n += n;
        slot.f += f;
    }

    pub(super) fn latency(&mut self, at: UnixMillis, legacy_us: u64, candidate_us: Option<u64>) {
        let slot = self.slot(at);
        slot.pairs += 1;
        let place = place(slot.pairs);
        sample(&mut slot.legacy, legacy_us, place);
        if let Some(us) = candidate_us {
            sample(&mut slot.candidate, us, place);
        }
    }

    fn slot(&mut self, at: UnixMillis) -> &mut Counted {
        let number = at.0.div_euclid(SPAN);
        self.dirty.insert(number);
        self.slots.entry(number).or_default()
    }

    /// Forgets what is not within the last hour.
    pub(super) fn trim(&mut self, now: UnixMillis) {
        let last = now.0.div_euclid(SPAN);
        let oldest = last.saturating_sub(KEPT - 1);
        self.slots = self.slots.split_off(&oldest);
        // A clock that was set back must not leave slots in the future.
        self.slots
            .retain(|number, _| *number <= last.saturating_add(1));
    }

    /// Returns comparable pairs a second over the last ten minutes, or none without any.
    pub(super) fn rate(&self, now: UnixMillis) -> Option<f64> {
        let last = now.0.div_euclid(SPAN);
        let recent = self.slots.range(last.saturating_sub(60)..=last);
        let (mut n, mut first) = (0, last);
        for (number, slot) in recent {
            n += slot.n;
            first = first.min(*number);
        }
        let begin = UnixMillis(first.saturating_mul(SPAN));
        let seconds = now.since(begin).as_secs_f64().max(1.0);
        (n > 0).then(|| real(n) / seconds)
    }

    pub(super) fn view(&self) -> Vec<Slot> {
        let slots = self.slots.iter();
        slots
            .map(|(number, slot)| Slot {
                at: UnixMillis(number.saturating_mul(SPAN)),
                n: slot.n,
                f: slot.f,
                legacy_p50: quantile(&slot.legacy, 0.5),
                legacy_p95: quantile(&slot.legacy, 0.95),
                candidate_p50: quantile(&slot.candidate, 0.5),
                candidate_p95: quantile(&slot.candidate, 0.95),
                pairs: slot.pairs,
            })
            .collect()
    }
}

/// Returns where the `k`-th value of a fair sample goes, if it is taken.
fn place(k: u64) -> Option<usize> {
    let limit = u64::try_from(TIMES).unwrap_or(u64::MAX);
    let place = if k <= limit { k - 1 } else { mix(k) % k };
    usize::try_from(place).ok().filter(|&place| place < TIMES)
}

fn sample(times: &mut Vec<u64>, us: u64, place: Option<usize>) {
    let Some(place) = place else { return };
    match times.get_mut(place) {
        Some(held) => *held = us,
        None => times.push(us),
    }
}

/// Returns a quantile in seconds.
fn quantile(times: &[u64], p: f64) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1)?;
    let rank = usize::try_from(floor(real(u64::try_from(last).ok()?) * p + 0.5)).ok()?;
    sorted.get(rank).map(|&us| real(us) / 1_000_000.0)
}
