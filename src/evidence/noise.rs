//! Which keys legacy changes by itself, and which the candidate gets wrong. Pure.
//!
//! Sandwiched triples decide: legacy, candidate, legacy again. What changes with time has changed
//! for legacy's second answer too, however slow the candidate is.

use crate::evidence::book::Book;
use crate::evidence::book::Key;
use crate::evidence::book::Settled;
use crate::evidence::delta::Discord;
use crate::evidence::delta::Discords;
use crate::evidence::paired;
use crate::evidence::parity::ALPHA;
use crate::evidence::parity::k1_above;
use crate::evidence::parity::k1_below;
use crate::evidence::summary::KeyCounts;
use crate::evidence::summary::Verdict;
use crate::evidence::template::Folds;
use crate::model::FieldKey;
use crate::model::UnixMillis;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Legacy changes more often than this at a noisy key, and less often at a stable one.
const RATE: f64 = 0.001;
/// Evidence against the candidate above which a key is not called noisy yet; nearly `ln 1`.
///
/// Without it a key that legacy changes now and then could be taken for noise while the candidate,
/// wrong there every time, is about to be found out.
const LEANING: f64 = 0.01;
/// Controls of an endpoint after which an undecided key asks for no more than its share.
pub(super) const HUNGRY: u64 = 500;

/// Joins the keys of a triple that fold into one: the side with more of them is that key's.
fn joined(
    folds: &Folds,
    endpoint: &str,
    discord: &[(FieldKey, Discord)],
) -> BTreeMap<FieldKey, Discord> {
    let mut sides: BTreeMap<FieldKey, (u32, u32)> = BTreeMap::new();
    for (key, discord) in discord {
        let (b, c) = sides.entry(folds.field(endpoint, key)).or_default();
        match discord {
            Discord::Candidate => *b += 1,
            Discord::Legacy => *c += 1,
            Discord::Both => {}
        }
    }
    let weighed = |(b, c): (u32, u32)| match b.cmp(&c) {
        std::cmp::Ordering::Greater => Discord::Candidate,
        std::cmp::Ordering::Less => Discord::Legacy,
        std::cmp::Ordering::Equal => Discord::Both,
    };
    sides
        .into_iter()
        .map(|(key, sides)| (key, weighed(sides)))
        .collect()
}

impl Book {
    /// Counts a triple in which somebody differs; `touched` gathers the keys to judge.
    pub(super) fn triple(
        &mut self,
        folds: &Folds,
        endpoint: u32,
        at: UnixMillis,
        discord: &[(FieldKey, Discord)],
        touched: &mut BTreeSet<u32>,
    ) {
        let name = std::sync::Arc::clone(&self.at(endpoint).name);
        // Keys beyond the bound share one, which then counts once like any other.
        let mut shared: BTreeMap<u32, Discords> = BTreeMap::new();
        for (key, discord) in joined(folds, &name, discord) {
            let place = self.key(endpoint, &key);
            shared.entry(place).or_default().see(at, discord);
        }
        for (place, seen) in shared {
            let discord = match seen.b.cmp(&seen.c) {
                std::cmp::Ordering::Greater => Discord::Candidate,
                std::cmp::Ordering::Less => Discord::Legacy,
                std::cmp::Ordering::Equal => Discord::Both,
            };
            let key = self.key_mut(place);
            key.discords.see(at, discord);
            key.see(at, at);
            touched.insert(place);
        }
    }

    /// Ranks and judges keys, and returns whether one is now decided.
    pub(super) fn judge(&mut self, touched: &BTreeSet<u32>) -> bool {
        let mut fresh: Vec<(UnixMillis, &str, &FieldKey, u32)> = touched
            .iter()
            .map(|&place| (place, self.key_at(place)))
            .filter(|(_, key)| key.rank.is_none())
            .filter_map(|(place, key)| {
                let name = &*self.at(key.endpoint).name;
                Some((key.discords.first?, name, &key.field, place))
            })
            .collect();
        fresh.sort_unstable();
        let fresh: Vec<u32> = fresh.into_iter().map(|(.., place)| place).collect();
        for place in fresh {
            self.ranks += 1;
            let rank = self.ranks;
            self.key_mut(place).rank = Some(rank);
        }
        let mut decided = false;
        for &place in touched {
            let key = self.key_at(place);
            let settled = self.judged(key);
            if settled != key.settled {
                self.key_mut(place).settled = settled;
                decided = true;
            }
        }
        decided
    }

    /// An alarm stays for good, and outranks noise; noise stays until an alarm.
    fn judged(&self, key: &Key) -> Settled {
        if key.settled == Settled::Regression {
            return Settled::Regression;
        }
        let Discords { b, c, .. } = key.discords;
        let alarm = key
            .rank
            .is_some_and(|rank| paired::k2_alarm(b, c, paired::RARE, paired::key_limit(rank)));
        if alarm {
            return Settled::Regression;
        }
        if key.settled == Settled::Noisy {
            return Settled::Noisy;
        }
        let leaning = b > c && paired::k2_log_e(b, c, paired::RARE) > LEANING;
        let n = self.triples_of(key);
        if !leaning && k1_above(n, key.noise().min(n), RATE, ALPHA) {
            return Settled::Noisy;
        }
        Settled::Open
    }

    /// Returns whether legacy is shown to differ from itself hardly ever.
    fn is_stable(&self, key: &Key) -> bool {
        let n = self.triples_of(key);
        k1_below(n, key.noise().min(n), RATE, ALPHA)
    }

    /// Returns what is known of a key.
    pub(super) fn verdict(&self, key: &Key, controls: bool) -> Verdict {
        match key.settled {
            Settled::Regression => Verdict::Regression,
            Settled::Noisy => Verdict::Noisy,
            Settled::Open if !controls => Verdict::Unchecked,
            Settled::Open if self.is_stable(key) => Verdict::Stable,
            Settled::Open => Verdict::Undecided,
        }
    }

    /// Returns what triples say about a key.
    pub(super) fn key_counts(&self, key: &Key) -> KeyCounts {
        let Discords { b, c, both, .. } = key.discords;
        KeyCounts {
            triples: self.triples_of(key),
            b,
            c,
            both,
            log_e: paired::k2_log_e(b, c, paired::RARE),
            rank: key.rank,
        }
    }

    /// Returns the endpoints that want every control: a key is open and few were made yet.
    pub(super) fn hungry(&self) -> Vec<bool> {
        let mut hungry = vec![false; self.endpoints.len()];
        for key in self.keys.iter().filter(|k| k.settled == Settled::Open) {
            let place = key.endpoint as usize;
            hungry[place] = self.endpoints[place].controls < HUNGRY;
        }
        hungry
    }
}
