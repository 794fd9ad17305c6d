//! Seeded simulations: the guarantees themselves, tested.
//!
//! Here of a size that takes a few seconds. `SIM_RUNS` multiplies the number of runs:
//! `SIM_RUNS=84 cargo test --release --lib sim_` has the 2,000 slices and more of everything else.

use crate::compare::Difference;
use crate::evidence::delta::Discord;
use crate::evidence::delta::PairVerdict;
use crate::evidence::discord::discord;
use crate::evidence::paired;
use crate::evidence::parity::ALPHA;
use crate::evidence::parity::floor;
use crate::evidence::parity::k1_needed;
use crate::evidence::parity::real;
use crate::evidence::summary::Verdict;
use crate::evidence::tally::mix;
use crate::evidence::tests::Feed;
use crate::evidence::tests::evidence;
use crate::evidence::tests::slice;
use crate::model::FieldKey;
use crate::model::Kind;
use std::collections::BTreeMap;

/// `SplitMix64`.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn unit(&mut self) -> f64 {
        real(self.next() >> 11) / real(1 << 53)
    }

    fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// How many trials until the first hit, from 1.
    fn until(&mut self, p: f64) -> u64 {
        floor((1.0 - self.unit()).ln() / (1.0 - p).ln()) + 1
    }
}

/// Returns how many runs to make, given the reduced number.
#[expect(
    clippy::disallowed_methods,
    reason = "a knob of the test run, not of the product"
)]
fn runs(reduced: u64) -> u64 {
    let times = std::env::var("SIM_RUNS").ok().and_then(|t| t.parse().ok());
    reduced * times.unwrap_or(1)
}

/// Asserts a share of at most 5 %, allowing three standard errors of chance.
fn at_most_5_percent(hits: u64, of: u64, what: &str) {
    let (share, slack) = (real(hits) / real(of), 3.0 * (0.0475 / real(of)).sqrt());
    println!("{what}: {hits} of {of} = {:.2} %", share * 100.0);
    assert!(share <= 0.05 + slack, "{what}: {hits} of {of}");
}

/// S1: a slice exactly at its limit, looked at every 50 pairs up to 200,000.
#[test]
fn sim_s1_a_slice_at_its_limit_is_seldom_promoted() {
    let q0 = 0.001;
    let needed: Vec<u64> = (0..600).map(|f| k1_needed(f, q0, ALPHA).unwrap()).collect();
    let runs = runs(2_000);
    let mut promoted = 0;
    for seed in 0..runs {
        let mut dice = Dice(seed);
        let (mut n, mut f) = (0, 0);
        while n < 200_000 {
            let next = (n + dice.until(q0)).min(200_000);
            // With f differences so far, a look at any n before the next one.
            let last_look = (next - 1) / 50 * 50;
            if last_look > n && last_look >= needed[f] {
                promoted += 1;
                break;
            }
            (n, f) = (next, f + 1);
        }
    }
    at_most_5_percent(promoted, runs, "S1, false promotions");
}

/// S2: a candidate that is as good as legacy, looked at after every discordant request.
#[test]
fn sim_s2_an_equal_candidate_seldom_alarms() {
    let (runs, length) = (runs(100), 20_000);
    for a in [paired::RARE, paired::LATENCY] {
        let mut alarms = 0;
        for seed in 0..runs {
            let mut dice = Dice(seed + 1_000_000);
            let (mut b, mut c) = (0, 0);
            for _ in 0..length {
                let candidate = dice.next() & 1 == 1;
                b += u64::from(candidate);
                c += u64::from(!candidate);
                // Only far from the middle can it alarm; the exact test is for there.
                if candidate
                    && (b - c.min(b)) * (b - c.min(b)) > b + c
                    && paired::k2_alarm(b, c, a, paired::single_limit())
                {
                    alarms += 1;
                    break;
                }
            }
        }
        at_most_5_percent(alarms, runs, "S2, false alarms");
    }
}

/// S6: slices of forty keys that legacy and candidate change alike.
#[test]
fn sim_s6_forty_equally_noisy_keys_seldom_show_a_regression() {
    let slices = runs(24);
    for noise in [0.01, 0.05, 0.3, 0.7] {
        let mut wrong = 0;
        let mut noisy = 0;
        for seed in 0..slices {
            let mut dice = Dice(seed + 7_000_000);
            let (mut e, mut feed) = (evidence(), Feed::new());
            let names: Vec<String> = (0..40).map(|k| format!("$.k{k}")).collect();
            for i in 0..600 {
                let mut seen: Vec<(&str, Discord)> = Vec::new();
                for name in &names {
                    // Each answer takes an unusual value with this chance, its own each time.
                    let odd = [0; 3].map(|_| dice.chance(noise));
                    let discord = match odd {
                        [false, true, false] => Discord::Candidate,
                        [false, false, true] => Discord::Legacy,
                        [false, false, false] => continue,
                        [true, ..] | [_, true, true] => Discord::Both,
                    };
                    seen.push((name, discord));
                }
                feed.triple(&seen);
                if i % 4 == 3 {
                    feed.give(&mut e);
                }
            }
            let keys = e.keys();
            wrong += u64::from(keys.iter().any(|k| k.verdict == Verdict::Regression));
            noisy += keys.iter().filter(|k| k.verdict == Verdict::Noisy).count();
        }
        println!("S6 at {noise}: {noisy} of {} keys found noisy", slices * 40);
        at_most_5_percent(wrong, slices, "S6, slices with a false regression");
    }
}

/// One answer: values by place, and concrete places under arrays.
type Body = BTreeMap<&'static str, Vec<u64>>;

fn differences(a: &Body, b: &Body) -> Vec<Difference> {
    let mut found = Vec::new();
    for (place, values) in a {
        let other = &b[place];
        let kind = if *place == "$.typed" {
            Kind::Type
        } else {
            Kind::Value
        };
        let at = values
            .iter()
            .zip(other)
            .enumerate()
            .filter(|(_, (x, y))| x != y);
        let at: Vec<u64> = at.map(|(i, _)| u64::try_from(i).unwrap()).collect();
        if !at.is_empty() {
            let places = if place.contains("[*]") {
                at
            } else {
                Vec::new()
            };
            found.push(Difference::new(FieldKey::new(*place, kind), places));
        }
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Type,
    Flickering,
    Column,
}

/// Two applications over one database that changes with time.
#[derive(Debug)]
struct World {
    dice: Dice,
    now_us: u64,
    stock: [u64; 2],
    calls: [u64; 2],
    fault: Fault,
}

impl World {
    fn pass(&mut self, us: u64) {
        // The stock changes about every two seconds, up or down.
        if self.dice.chance(real(us) / 2_000_000.0) {
            let item = usize::from(self.dice.chance(0.5));
            let up = self.dice.chance(0.5);
            self.stock[item] = (self.stock[item] + if up { 1 } else { 9 }) % 10;
        }
        self.now_us += us;
    }

    fn ask(&mut self, side: usize) -> Body {
        // Legacy answers after 5 ms, the candidate after 150 ms; each looks at the end.
        self.pass(if side == 0 { 5_000 } else { 150_000 });
        self.calls[side] += 1;
        let candidate = side == 1;
        let seldom = u64::from(self.dice.chance(1.0 / 500.0));
        let mut list = vec![0; 500];
        for _ in 0..5 {
            let at = usize::try_from(self.dice.next() % 500).unwrap();
            list[at] = self.dice.next() >> 40;
        }
        if candidate && self.fault == Fault::Column {
            for value in &mut list {
                *value += 1;
            }
        }
        BTreeMap::from([
            ("$.seconds", vec![self.now_us / 1_000_000]),
            ("$.millis", vec![self.now_us / 1_000]),
            ("$.id", vec![self.dice.next()]),
            ("$.counter", vec![self.calls[side]]),
            ("$.stock", self.stock.to_vec()),
            ("$.items[*].level", list),
            (
                "$.typed",
                vec![u64::from(candidate && self.fault == Fault::Type)],
            ),
            (
                "$.total",
                vec![seldom + u64::from(candidate && self.fault == Fault::Flickering) * 7],
            ),
        ])
    }
}

/// Runs 2,000 sandwiched triples and returns the keys of the groups shown.
fn sandwich(seed: u64, fault: Fault) -> Vec<Vec<FieldKey>> {
    let mut world = World {
        dice: Dice(seed),
        now_us: 1_700_000_000_000_000,
        stock: [5, 5],
        calls: [0, 0],
        fault,
    };
    let (mut e, mut feed) = (evidence(), Feed::new());
    for i in 0..2_000 {
        world.pass(20_000);
        let (first, candidate, second) = (world.ask(0), world.ask(1), world.ask(0));
        let (pair, control) = (
            differences(&first, &candidate),
            differences(&first, &second),
        );
        let keys = |found: &[Difference]| found.iter().map(|d| d.key.clone()).collect::<Vec<_>>();
        feed.pair(match pair.len() {
            0 => PairVerdict::Equal,
            _ => PairVerdict::Differs(keys(&pair)),
        });
        let found = discord(&pair, &control);
        feed.delta.triple(
            &slice(),
            crate::evidence::delta::TripleSeen {
                at: crate::model::UnixMillis(feed.at),
                endpoint: feed.endpoint.clone(),
                versions: feed.versions.clone(),
                legacy_again: feed.versions.legacy.clone(),
                discord: found,
            },
        );
        if i % 20 == 19 {
            feed.give(&mut e);
        }
    }
    e.groups().into_iter().map(|group| group.keys).collect()
}

#[test]
fn sim_sandwich_a_candidate_that_is_only_slower_shows_no_group() {
    let seeds = runs(4);
    let wrong = (0..seeds).filter(|&seed| !sandwich(seed, Fault::None).is_empty());
    let wrong = wrong.count();
    println!("slower candidate: {wrong} of {seeds} seeds with a false group");
    assert!(u64::try_from(wrong).unwrap() * 20 <= 3 * seeds.max(20));
}

#[test]
fn sim_sandwich_each_fault_shows_as_exactly_that() {
    for (fault, path, kind) in [
        (Fault::Type, "$.typed", Kind::Type),
        (Fault::Flickering, "$.total", Kind::Value),
        (Fault::Column, "$.items[*].level", Kind::Value),
    ] {
        let seeds = runs(2);
        let mut more = 0;
        for seed in 0..seeds {
            let groups = sandwich(seed + 100, fault);
            let wanted = FieldKey::new(path, kind);
            let found = groups.iter().any(|keys| keys.contains(&wanted));
            assert!(found, "{fault:?}, seed {seed}: {groups:?}");
            if groups != [[wanted]] {
                println!("{fault:?}, seed {seed}: {groups:?}");
                more += 1;
            }
        }
        println!("{fault:?}: found in {seeds} of {seeds} seeds, {more} with a false key");
        assert!(more * 20 <= 3 * seeds.max(20));
    }
}
