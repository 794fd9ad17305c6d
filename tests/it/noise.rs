//! Whether noise is told from faults, over the whole product: a candidate of 150 ms beside a legacy
//! of 5 ms, and answers full of what changes by itself.
//!
//! One seed of a few hundred triples in the ordinary run. `SIM_SEED=7` begins with another seed;
//! `TRUTH_SEEDS=20 TRUTH_TRIPLES=2000 cargo test --release --test it noise -- --nocapture` is the
//! full size. Time and chance of the proxy are real, so a seed gives the same applications and
//! requests, not the same instants.

use crate::support::Client;
use crate::support::Dice;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::Seen;
use crate::support::eventually;
use crate::support::knob;
use crate::support::pause;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Each is a slice of its name, and the difference that it has to show.
const SCENARIOS: [(&str, Option<(&str, &str)>); 4] = [
    ("slower", None),
    ("type", Some(("$.price", "type"))),
    ("flicker", Some(("$.rate", "value"))),
    ("column", Some(("$.items[*].level", "value"))),
];

/// How many requests may be on their way through the shadow side.
const IN_FLIGHT: u64 = 240;
const CLIENTS: u64 = 6;

/// One of two applications over one database.
struct Application {
    side: Side,
    dice: Mutex<Dice>,
    /// Answers given so far.
    served: AtomicU64,
    /// Controls by scenario: each request ends in one.
    controls: Arc<[AtomicU64; SCENARIOS.len()]>,
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Legacy,
    Candidate,
}

impl Application {
    fn answer(&self, seen: &Seen) -> Reply {
        let candidate = self.side == Side::Candidate;
        pause(if candidate { 150 } else { 5 });
        let name = seen.target.split('/').nth(1).unwrap();
        let place = SCENARIOS.iter().position(|(n, _)| *n == name).unwrap();
        let mut body = self.noise();
        let seldom = self.dice.lock().unwrap().below(500) == 0;
        let price = if candidate && name == "type" {
            "\"12.50\""
        } else {
            "12.50"
        };
        let rate = match (candidate && name == "flicker", seldom) {
            (true, _) => "1.35",
            (false, true) => "1.26",
            (false, false) => "1.25",
        };
        write!(body, ",\"price\":{price},\"rate\":{rate}").unwrap();
        if name == "column" {
            self.list(&mut body, u64::from(candidate));
        }
        if seen.field("supplant-role") == Some("control") {
            self.controls[place].fetch_add(1, Relaxed);
        }
        let length = body.len() + 2;
        let id = self.dice.lock().unwrap().next();
        Reply::Raw(
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Trace: {id:016x}\r\nContent-Length: {length}\r\n\r\n{{{body}}}").into_bytes(),
        )
    }

    /// Timestamps, whole seconds too, ids, counters, and a stock that others buy from.
    fn noise(&self) -> String {
        let now = u64::try_from(supplant::clock::now().0).unwrap();
        let (served, hits) = (self.served.fetch_add(1, Relaxed), now / 3);
        let second = now / 1000;
        let (hour, minute, of) = (second / 3600 % 24, second / 60 % 60, second % 60);
        let (a, b) = {
            let mut dice = self.dice.lock().unwrap();
            (dice.next(), dice.next() >> 16)
        };
        // The levels of the database: each falls on its own beat of 1.3 s and more.
        let stock: Vec<_> = (0..6_u64)
            .map(|item| {
                let beat = 1300 + 700 * item;
                let sold = (now + self.seed % 997) / beat;
                serde_json::json!({"sku": format!("s{item}"), "left": 900 - sold % 900})
            })
            .collect();
        let stock = serde_json::Value::from(stock);
        format!(
            "\"name\":\"Lamp\",\"second\":{second},\"millis\":{now},\"at\":\"2026-05-01T{hour:02}:{minute:02}:{of:02}Z\",\
             \"id\":\"{:08x}-0000-4000-8000-{b:012x}\",\"token\":\"{a:016x}\",\"served\":{served},\"hits\":{hits},\
             \"warehouse\":{{\"stock\":{stock},\"minute\":{}}}",
            a >> 32,
            second / 60
        )
    }

    /// 500 items, of which 5 change by themselves; `wrong` is added to the column.
    fn list(&self, body: &mut String, wrong: u64) {
        let mut dice = self.dice.lock().unwrap();
        let changed: BTreeMap<u64, u64> = (0..5)
            .map(|_| (dice.below(500), dice.below(1000)))
            .collect();
        body.push_str(",\"items\":[");
        for item in 0..500 {
            let level = changed.get(&item).copied().unwrap_or(1000 + item) + wrong;
            let comma = if item == 0 { "" } else { "," };
            write!(body, "{comma}{{\"n\":{item},\"level\":{level}}}").unwrap();
        }
        body.push(']');
    }
}

/// The differences of the groups that each scenario shows.
type Shown = BTreeMap<&'static str, BTreeSet<BTreeSet<(String, String)>>>;

/// Runs every scenario until each has so many sandwiched triples.
fn run(seed: u64, triples: u64) -> Shown {
    let controls: Arc<[AtomicU64; SCENARIOS.len()]> = Arc::default();
    let start = |side| {
        let application = Application {
            side,
            dice: Mutex::new(Dice::new(seed * 2 + u64::from(side == Side::Candidate))),
            served: AtomicU64::new(0),
            controls: Arc::clone(&controls),
            seed,
        };
        Origin::start(move |seen| application.answer(seen))
    };
    let (legacy, candidate) = (start(Side::Legacy), start(Side::Candidate));
    let mut rules = format!("legacy: {}\nslices:\n", legacy.url());
    for (name, _) in SCENARIOS {
        let url = candidate.url();
        writeln!(rules, "  - {{ name: {name}, match: /{name}, to: \"{url}\", stage: shadow, shadow: {{ rate: none, max_inflight: 1000 }}, compare: {{ control: 100%, control_rate: none }} }}").unwrap();
    }
    let proxy = Proxy::start(&rules);
    let sent: Arc<[AtomicU64; SCENARIOS.len()]> = Arc::default();
    // Half of the controls are sandwiched, as chance has it: five deviations are left for that.
    let wanted = triples * 2 + triples / 2;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (data, sent, controls) = (proxy.data, Arc::clone(&sent), Arc::clone(&controls));
            std::thread::spawn(move || {
                let mut client = Client::connect(data);
                let mut dice = Dice::new(seed ^ (number << 32));
                loop {
                    let under = |place: usize| sent[place].load(Relaxed) < wanted;
                    let open: Vec<_> = (0..SCENARIOS.len()).filter(|place| under(*place)).collect();
                    let Some(&place) = open.get(dice.index(open.len())) else {
                        return;
                    };
                    sent[place].fetch_add(1, Relaxed);
                    let target = format!("/{}/articles/{}", SCENARIOS[place].0, dice.below(5000));
                    assert_eq!(client.ask("GET", &target, &[], b"").status, 200);
                    let sum = |of: &[AtomicU64]| of.iter().map(|n| n.load(Relaxed)).sum::<u64>();
                    eventually("the shadow side keeps up", || {
                        sum(&*sent) < sum(&*controls) + IN_FLIGHT
                    });
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    shown(&proxy, triples)
}

/// Waits for the last controls and their verdicts, and reads the groups.
fn shown(proxy: &Proxy, triples: u64) -> Shown {
    let mut shown = Shown::new();
    eventually("all controls are made", || {
        let metrics = proxy.metrics();
        let none = |name: &str| metrics.get(name) == Some(&0.0);
        none("supplant_shadow_queue_length") && none("supplant_shadow_inflight")
    });
    let made = controls_made(proxy);
    // Two ticks more: the last triples are absorbed, and their verdicts published.
    pause(1500);
    for (name, _) in SCENARIOS {
        let outcomes = proxy.outcomes(name);
        let lost: u64 = outcomes
            .iter()
            .filter(|(n, _)| n.starts_with("shed"))
            .map(|(_, n)| n)
            .sum();
        assert_eq!(lost, 0, "{name}: {outcomes:?}");
        let sandwiched = made.get(name).copied().unwrap_or(0);
        assert!(
            sandwiched >= triples,
            "{name}: {sandwiched} triples of {triples}"
        );
        let target = format!("/api/v1/slices/{name}/divergences?verdict=regression");
        let groups = proxy.json(&target)["items"].clone();
        let groups = groups.as_array().unwrap().iter().map(|group| {
            let word = |d: &serde_json::Value, key: &str| d[key].as_str().unwrap().to_owned();
            let differences = group["differences"].as_array().unwrap().iter();
            differences
                .map(|d| (word(d, "path"), word(d, "kind")))
                .collect()
        });
        shown.insert(name, groups.collect());
    }
    shown
}

/// Sandwiched triples by slice.
fn controls_made(proxy: &Proxy) -> BTreeMap<String, u64> {
    let metrics = proxy.metrics();
    let made = metrics.iter().filter(|(series, _)| {
        series.starts_with("supplant_control_pairs_total") && series.contains("\"sandwiched\"")
    });
    made.map(|(series, count)| {
        let name = series
            .split("slice=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small counts"
        )]
        (name.to_owned(), *count as u64)
    })
    .collect()
}

/// Returns the scenarios that show more than their difference; a fault that is not found panics.
fn false_groups(seed: u64, triples: u64) -> Vec<&'static str> {
    let shown = run(seed, triples);
    let mut wrong = Vec::new();
    for (name, fault) in SCENARIOS {
        let groups = &shown[name];
        let fault = fault.map(|(path, kind)| (path.to_owned(), kind.to_owned()));
        let found = fault
            .iter()
            .all(|fault| groups.iter().any(|group| group.contains(fault)));
        assert!(
            found,
            "seed {seed}: {name} does not show {fault:?} but {groups:?}"
        );
        let exactly: BTreeSet<_> = fault
            .into_iter()
            .map(|fault| BTreeSet::from([fault]))
            .collect();
        if *groups != exactly {
            println!("seed {seed}: {name} shows too much: {groups:?}");
            wrong.push(name);
        }
    }
    println!("seed {seed}: {triples} triples each; false groups in {wrong:?}");
    wrong
}

/// The test itself allows a twentieth of slices to show a false group. So in the small run one that
/// a second seed does not show again is told, not failed.
#[test]
fn noise_shows_no_group_and_each_fault_shows_as_exactly_that() {
    let (first, seeds) = (knob("SIM_SEED", 1), knob("TRUTH_SEEDS", 1));
    let triples = knob("TRUTH_TRIPLES", 250);
    let mut count: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in first..first + seeds {
        for name in false_groups(seed, triples) {
            *count.entry(name).or_default() += 1;
        }
    }
    println!("false groups in {seeds} seeds: {count:?}");
    if seeds < 7 && !count.is_empty() {
        let again = false_groups(first + 1000, triples);
        let twice: Vec<_> = again
            .iter()
            .filter(|name| count.contains_key(*name))
            .collect();
        assert!(twice.is_empty(), "shown in two seeds: {twice:?}");
        return;
    }
    let much = count.iter().find(|(_, n)| **n * 20 > 3 * seeds);
    assert!(much.is_none(), "false groups in {seeds} seeds: {count:?}");
}
