//! What the evidence as a whole promises.

use super::*;
use crate::evidence::book::Limits;
use crate::model::FieldKey;
use crate::model::Kind;
use crate::model::PairId;
use crate::model::Share;
use crate::model::Side;
use crate::model::SliceId;
use crate::model::UnixMillis;
use proptest::prelude::*;
use std::sync::Arc;

pub(super) fn slice() -> SliceId {
    SliceId::new("orders")
}

pub(super) fn key(path: &str) -> FieldKey {
    FieldKey::new(path, Kind::Value)
}

pub(super) fn versions(candidate: &str) -> Versions {
    Versions {
        rules: 1,
        legacy: "1.0".into(),
        candidate: candidate.into(),
    }
}

#[derive(Debug)]
pub(super) struct Feed {
    pub(super) delta: Delta,
    pub(super) at: i64,
    pub(super) id: u64,
    pub(super) endpoint: Arc<str>,
    pub(super) versions: Versions,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            delta: Delta::default(),
            at: 1_000,
            id: 0,
            endpoint: "GET /orders/{}".into(),
            versions: versions("2.0"),
        }
    }

    pub(super) fn pair(&mut self, verdict: PairVerdict) {
        self.at += 10;
        self.id += 1;
        let pair = PairSeen {
            example: Some(PairId(self.id)),
            at: UnixMillis(self.at),
            endpoint: Arc::clone(&self.endpoint),
            status: (200, 200),
            versions: self.versions.clone(),
            verdict,
        };
        self.delta.pair(&slice(), pair);
    }

    pub(super) fn differs(&mut self, paths: &[&str]) {
        self.pair(PairVerdict::Differs(paths.iter().map(|p| key(p)).collect()));
    }

    pub(super) fn triple(&mut self, discord: &[(&str, Discord)]) {
        self.at += 10;
        let triple = TripleSeen {
            at: UnixMillis(self.at),
            endpoint: Arc::clone(&self.endpoint),
            versions: self.versions.clone(),
            legacy_again: Arc::clone(&self.versions.legacy),
            discord: discord.iter().map(|(p, d)| (key(p), *d)).collect(),
        };
        self.delta.triple(&slice(), triple);
    }

    pub(super) fn control(&mut self, paths: &[&str]) {
        let control = ControlSeen {
            at: UnixMillis(self.at),
            endpoint: Arc::clone(&self.endpoint),
            versions: self.versions.clone(),
            differs: paths.iter().map(|p| key(p)).collect(),
        };
        self.delta.control(&slice(), control);
    }

    pub(super) fn latency(&mut self, legacy_us: u64, candidate_us: Option<u64>) {
        let latency = LatencySeen {
            at: UnixMillis(self.at),
            versions: self.versions.clone(),
            legacy_us,
            candidate_us,
        };
        self.delta.latency(&slice(), latency);
    }

    pub(super) fn give(&mut self, evidence: &mut Evidence) {
        let now = UnixMillis(self.at);
        for (_, delta) in std::mem::take(&mut self.delta).slices() {
            evidence.absorb(delta, now);
        }
    }
}

pub(super) fn evidence() -> Evidence {
    Evidence::new(0.999, 1, UnixMillis(0))
}

#[test]
fn a_regression_makes_a_group_and_noise_is_struck_from_the_whole_epoch() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    for i in 0..40 {
        feed.differs(if i % 2 == 0 {
            &["$.total", "$.at"]
        } else {
            &["$.at"]
        });
        feed.give(&mut e);
    }
    assert_eq!(e.groups(), []);
    assert_eq!(e.checking().len(), 2);
    assert_eq!(
        (
            e.summary(UnixMillis(feed.at)).parity.f,
            e.summary(UnixMillis(0)).reclassified
        ),
        (40, 0)
    );
    assert_eq!(
        e.known()
            .control_rate("GET /orders/{}", Share::new(500).unwrap()),
        Share::ALL
    );
    assert_eq!(
        e.known().control_rate("GET /orders/{}", Share::NONE),
        Share::NONE
    );
    for _ in 0..12 {
        feed.triple(&[("$.total", Discord::Candidate), ("$.at", Discord::Both)]);
        feed.control(&["$.at"]);
    }
    feed.give(&mut e);
    let summary = e.summary(UnixMillis(feed.at));
    assert_eq!((summary.parity.n, summary.parity.f), (40, 20));
    assert_eq!((summary.masked, summary.reclassified), (20, 20));
    assert_eq!((summary.legacy_self.n, summary.legacy_self.f), (12, 0));
    assert!(e.known().is_noisy("GET /orders/{}", &key("$.at")));
    assert!(!e.known().is_noisy("GET /orders/{}", &key("$.total")));
    assert!(
        !e.known()
            .is_noisy("GET /orders/{}", &FieldKey::new("$.at", Kind::Type))
    );
    let groups = e.groups();
    assert_eq!(groups.len(), 1);
    assert_eq!(
        (groups[0].count, groups[0].of, groups[0].verdict),
        (20, 40, Verdict::Regression)
    );
    assert_eq!(groups[0].keys, [key("$.total")]);
    assert_eq!(groups[0].examples.len(), 20);
    assert_eq!(
        groups[0].sentence,
        "`$.total` has another value on the candidate in 20 of 40 pairs since 00:00 UTC; never in \
         12 control pairs."
    );
    assert_eq!(e.checking(), []);
    let noisy = e
        .keys()
        .into_iter()
        .find(|k| k.verdict == Verdict::Noisy)
        .unwrap();
    assert_eq!(
        noisy.sentence,
        "`$.at` differs between two calls to legacy itself 100 % of the time, so its value is not \
         compared; its type still is."
    );
}

#[test]
fn without_controls_every_divergence_is_an_unchecked_group() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    e.set_controls(false);
    feed.differs(&["$.a", "$.b"]);
    feed.pair(PairVerdict::Timeout);
    feed.pair(PairVerdict::CandidateError);
    feed.give(&mut e);
    let groups = e.groups();
    assert_eq!(groups.len(), 3);
    assert_eq!(
        groups
            .iter()
            .filter(|g| g.verdict == Verdict::Unchecked)
            .count(),
        1
    );
    assert_eq!(groups.iter().filter(|g| g.status == (200, 0)).count(), 2);
    assert_eq!(e.checking(), []);
}

#[test]
fn late_pairs_of_an_earlier_version_stay_out_of_the_new_epoch() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    feed.versions = versions("2.0");
    feed.pair(PairVerdict::Timeout);
    feed.differs(&["$.a"]);
    feed.give(&mut e);
    assert_eq!(e.epoch().number, 1, "the first versions begin nothing new");
    feed.versions = versions("2.1");
    feed.pair(PairVerdict::Equal);
    feed.give(&mut e);
    feed.versions = versions("2.0");
    feed.differs(&["$.a"]);
    feed.give(&mut e);
    feed.versions = versions(Versions::UNKNOWN);
    feed.pair(PairVerdict::CandidateError);
    feed.give(&mut e);
    let summary = e.summary(UnixMillis(feed.at));
    assert_eq!(
        (summary.epoch.number, &*summary.epoch.candidate),
        (2, "2.1")
    );
    assert_eq!(
        (summary.parity.n, summary.parity.f, summary.counts.late),
        (2, 1, 1)
    );
    assert_eq!(
        e.earlier().len(),
        1,
        "the timeout; an undecided key is no group"
    );
    assert!(e.earlier().iter().all(|g| !g.current && g.epoch == 1));
    // Rolled back for good: the old version answers alone for ten minutes.
    feed.at += 601_000;
    feed.versions = versions("2.0");
    feed.pair(PairVerdict::Equal);
    feed.give(&mut e);
    assert_eq!((e.epoch().number, &*e.epoch().candidate), (3, "2.0"));
}

#[test]
fn an_announced_deploy_begins_an_epoch_once() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    feed.versions = Versions::unknown(1);
    feed.pair(PairVerdict::Equal);
    feed.give(&mut e);
    feed.pair(PairVerdict::Equal);
    e.deployed(Side::Candidate, "2.1", UnixMillis(feed.at + 5));
    feed.give(&mut e);
    e.deployed(Side::Candidate, "2.1", UnixMillis(feed.at + 6));
    let summary = e.summary(UnixMillis(feed.at));
    assert_eq!(
        (summary.epoch.number, summary.parity.n, summary.counts.late),
        (2, 0, 1)
    );
    feed.pair(PairVerdict::Equal);
    feed.give(&mut e);
    assert_eq!(e.summary(UnixMillis(feed.at)).parity.n, 1);
}

#[test]
fn changed_rules_begin_an_epoch_and_pairs_of_the_old_ones_are_late() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    feed.pair(PairVerdict::Equal);
    feed.give(&mut e);
    feed.pair(PairVerdict::Equal);
    e.rules_changed(2, UnixMillis(feed.at));
    e.rules_changed(2, UnixMillis(feed.at));
    feed.give(&mut e);
    let summary = e.summary(UnixMillis(feed.at));
    assert_eq!(
        (summary.epoch.number, summary.parity.n, summary.counts.late),
        (2, 0, 1)
    );
    assert_eq!(summary.epoch.reason, "rules changed");
}

#[test]
fn a_triple_of_two_legacy_versions_is_dropped() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    feed.delta.triple(
        &slice(),
        TripleSeen {
            at: UnixMillis(5),
            endpoint: "GET /a".into(),
            versions: versions("2.0"),
            legacy_again: "1.1".into(),
            discord: vec![(key("$.a"), Discord::Candidate)],
        },
    );
    feed.give(&mut e);
    assert_eq!(e.summary(UnixMillis(5)).counts.mixed_triples, 1);
    assert_eq!(e.keys(), []);
}

#[test]
fn too_many_sets_mean_learning_and_counting_anew_once_they_fit() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    e.current.book.limits.sets = 20;
    let names: Vec<String> = (0..7).map(|i| format!("$.k{i}")).collect();
    for set in 1..128u32 {
        let paths = names.iter().enumerate().filter(|(i, _)| set >> i & 1 == 1);
        let paths: Vec<&str> = paths.map(|(_, name)| name.as_str()).collect();
        feed.differs(&paths);
    }
    feed.give(&mut e);
    let summary = e.summary(UnixMillis(feed.at));
    assert!(summary.learning);
    assert_eq!((summary.parity.n, summary.parity.lower), (0, 0.0));
    for _ in 0..6 {
        let all: Vec<(&str, Discord)> = names.iter().map(|n| (n.as_str(), Discord::Both)).collect();
        feed.triple(&all[1..]);
    }
    feed.give(&mut e);
    feed.differs(&["$.k3"]);
    feed.differs(&["$.k0", "$.k1"]);
    feed.pair(PairVerdict::Equal);
    feed.give(&mut e);
    let summary = e.summary(UnixMillis(feed.at));
    assert!(!summary.learning);
    assert_eq!(
        (summary.parity.n, summary.parity.f, summary.masked),
        (3, 1, 1)
    );
    assert_eq!(summary.counts.restarts, 1);
}

#[test]
fn keys_beyond_the_bound_share_one_of_their_kind() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    e.current.book.limits = Limits {
        keys: 10,
        ..Limits::default()
    };
    let names: Vec<String> = (0..30).map(|i| format!("$.k{i:02}")).collect();
    for name in &names {
        feed.differs(&[name]);
        feed.triple(&[(name, Discord::Both)]);
    }
    feed.give(&mut e);
    let summary = e.summary(UnixMillis(feed.at));
    assert_eq!((summary.parity.n, summary.counts.keys), (30, 11));
    assert!(summary.counts.key_overflow >= 20);
    assert!(e.known().is_noisy("GET /orders/{}", &key("$.k29")));
    assert!(!e.known().is_noisy("GET /orders/{}", &key("$.k03")));
    assert_eq!(summary.parity.f, 10);
}

#[test]
fn crowded_segments_and_names_fold_and_what_is_known_goes_with_them() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    for _ in 0..30 {
        feed.endpoint = e.known().endpoint("GET", "/shop/home?x=1");
        feed.pair(PairVerdict::Equal);
    }
    for i in 0..80 {
        feed.endpoint = e.known().endpoint("GET", &format!("/shop/slug-{i}/stock"));
        feed.differs(&["$.at"]);
        feed.triple(&[("$.at", Discord::Both)]);
        feed.give(&mut e);
    }
    let known = e.known();
    assert_eq!(&*known.endpoint("GET", "/shop/home"), "GET /shop/home");
    assert_eq!(
        &*known.endpoint("GET", "/shop/new/stock"),
        "GET /shop/{}/stock"
    );
    assert!(known.is_noisy("GET /shop/{}/stock", &key("$.at")));
    let summary = e.summary(UnixMillis(feed.at));
    assert_eq!(
        (summary.parity.n, summary.parity.f, summary.masked),
        (110, 0, 80)
    );
    assert_eq!(summary.counts.endpoints, 2);
    feed.endpoint = "GET /prices".into();
    for i in 0..100 {
        let path = format!("$.by.sku-x{i}.net");
        feed.differs(&[&path]);
        feed.triple(&[
            (&path, Discord::Candidate),
            ("$.by.other.net", Discord::Candidate),
        ]);
        feed.give(&mut e);
    }
    let groups = e.groups();
    let folded = groups
        .iter()
        .find(|g| g.keys == [key("$.by.{}.net")])
        .unwrap();
    assert_eq!(
        (folded.verdict, folded.count, groups.len()),
        (Verdict::Regression, 100, 1)
    );
}

#[test]
fn folding_splits_paths_and_json_places_as_they_are_written() {
    let folds = Folds::default();
    for (path, template) in [
        ("/", "GET /"),
        ("", "GET /"),
        ("/orders/17/lines/", "GET /orders/{}/lines/"),
        ("/o/3f2b8c1e-7f5e-4f3a-9d1c-0a1b2c3d4e5f", "GET /o/{}"),
        ("/o/0123456789abcdef", "GET /o/{}"),
        ("/o/0123456789abcde", "GET /o/0123456789abcde"),
        ("/o/cafe", "GET /o/cafe"),
    ] {
        assert_eq!(&*folds.endpoint("GET", path), template);
        assert_eq!(folds.again(template), template);
    }
    let steps: Vec<&str> = template::steps(r#"$.a[*].b-c["x.\"]y"].{}[*]"#).collect();
    assert_eq!(
        steps,
        ["$", ".a", "[*]", ".b-c", r#"["x.\"]y"]"#, ".{}", "[*]"]
    );
    for broken in [r#"$["abc"#, r#"$["\"#, "$.", "$[", "$[\"é", "é.é"] {
        assert_eq!(template::steps(broken).collect::<String>(), broken);
    }
}

#[test]
fn places_under_an_array_are_weighed() {
    use crate::compare::Difference;
    let column = || FieldKey::new("$.items[*].stock", Kind::Value);
    let other = || FieldKey::new("$.at", Kind::Value);
    let wrong = Difference::new(column(), (0..500).collect());
    let noise = Difference::new(column(), vec![3, 77, 120, 400, 499]);
    let at = Difference::new(other(), Vec::new());
    let seen = |candidate: &[&Difference], control: &[&Difference]| {
        let owned = |list: &[&Difference]| list.iter().map(|d| (*d).clone()).collect::<Vec<_>>();
        discord(&owned(candidate), &owned(control))
    };
    assert_eq!(
        seen(&[&at, &wrong], &[&at, &noise]),
        [(other(), Discord::Both), (column(), Discord::Candidate)]
    );
    let some = Difference::new(column(), vec![3, 78, 121]);
    assert_eq!(seen(&[&some], &[&noise]), [(column(), Discord::Legacy)]);
    assert_eq!(seen(&[&some], &[&some]), [(column(), Discord::Both)]);
    assert_eq!(seen(&[&at], &[]), [(other(), Discord::Candidate)]);
    assert_eq!(seen(&[], &[&at]), [(other(), Discord::Legacy)]);
}

#[test]
fn the_sentences_of_a_stable_key_and_of_what_is_needed() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    for i in 0..4_741 {
        feed.triple(if i == 7 {
            &[("$.x", Discord::Candidate)]
        } else {
            &[]
        });
    }
    for _ in 0..100 {
        feed.pair(PairVerdict::Equal);
    }
    feed.give(&mut e);
    let parity = e.summary(UnixMillis(feed.at)).parity;
    assert_eq!(parity.needed, Some(4_641));
    assert!(
        parity.sentence.starts_with(
            "4,741 clean comparisons are needed, 100 so far; at today's traffic that is "
        ),
        "{}",
        parity.sentence
    );
    feed.differs(&["$.x"]);
    feed.give(&mut e);
    let checking = e.checking();
    assert_eq!(checking[0].verdict, Verdict::Stable);
    assert!(
        checking[0]
            .sentence
            .starts_with("1 of 101 pairs, 0 of 4,741 controls")
    );
    let parity = e.summary(UnixMillis(feed.at)).parity;
    assert!(
        parity.sentence.starts_with("At least "),
        "{}",
        parity.sentence
    );
}

/// What a worker may see, drawn at random.
#[derive(Clone, Debug)]
enum Act {
    Pair(u8, u8, Vec<u8>),
    Triple(u8, Vec<(u8, u8)>),
    Control(u8, Vec<u8>),
    Latency(u64, Option<u64>),
}

fn act() -> impl Strategy<Value = Act> {
    let keys = || prop::collection::vec(0u8..6, 0..4);
    prop_oneof![
        4 => (0u8..3, 0u8..8, keys()).prop_map(|(e, v, k)| Act::Pair(e, v, k)),
        3 => (0u8..3, prop::collection::vec((0u8..6, 0u8..3), 0..5)).prop_map(|(e, d)| Act::Triple(e, d)),
        2 => (0u8..3, keys()).prop_map(|(e, k)| Act::Control(e, k)),
        1 => (1u64..1_000_000, prop::option::of(1u64..1_000_000)).prop_map(|(a, b)| Act::Latency(a, b)),
    ]
}

const PATHS: [&str; 6] = [
    "$.a",
    "$.b[*].c",
    "status",
    "header:etag",
    "$.d.{}",
    "$[\"x y\"]",
];

fn perform(feed: &mut Feed, act: &Act) {
    let paths = |keys: &[u8]| {
        keys.iter()
            .map(|&k| PATHS[usize::from(k)])
            .collect::<Vec<_>>()
    };
    let endpoint = |e: u8| format!("GET /e{e}").into();
    match act {
        Act::Pair(e, verdict, keys) => {
            feed.endpoint = endpoint(*e);
            match verdict {
                0 => feed.pair(PairVerdict::CandidateError),
                1 => feed.pair(PairVerdict::Timeout),
                2 | 3 => feed.pair(PairVerdict::Equal),
                _ if keys.is_empty() => feed.pair(PairVerdict::Equal),
                _ => feed.differs(&paths(keys)),
            }
        }
        Act::Triple(e, discord) => {
            feed.endpoint = endpoint(*e);
            let mut seen: Vec<(&str, Discord)> = discord
                .iter()
                .map(|&(k, d)| {
                    let d = [Discord::Candidate, Discord::Legacy, Discord::Both][usize::from(d)];
                    (PATHS[usize::from(k)], d)
                })
                .collect();
            seen.sort_by_key(|(k, _)| *k);
            seen.dedup_by_key(|(k, _)| *k);
            feed.triple(&seen);
        }
        Act::Control(e, keys) => {
            feed.endpoint = endpoint(*e);
            feed.control(&paths(keys));
        }
        Act::Latency(legacy, candidate) => feed.latency(*legacy, *candidate),
    }
}

#[test]
fn failures_before_a_change_of_the_rules_or_a_deploy_do_not_count_after_it() {
    let (mut e, mut feed) = (evidence(), Feed::new());
    let n = |e: &Evidence| e.summary(UnixMillis(2_000)).parity.n;
    feed.versions = Versions::unknown(1);
    for _ in 0..3 {
        feed.pair(PairVerdict::CandidateError);
    }
    feed.give(&mut e);
    // Its first answer names the version that failed before.
    let mut answered = evidence();
    let mut again = Feed::new();
    again.versions = Versions::unknown(1);
    again.pair(PairVerdict::CandidateError);
    again.give(&mut answered);
    again.versions = versions("2.0");
    again.pair(PairVerdict::Equal);
    again.give(&mut answered);
    assert_eq!((n(&answered), answered.epoch().number), (2, 1));
    let mut deployed = e.clone();
    deployed.deployed(Side::Candidate, "2.1", UnixMillis(2_000));
    assert_eq!((n(&deployed), deployed.epoch().number), (0, 2));
    e.rules_changed(2, UnixMillis(2_000));
    assert_eq!((n(&e), e.epoch().number), (0, 2));
}

fn shown(e: &Evidence, at: i64) -> (Summary, Vec<Group>, Vec<Group>, Vec<Group>, Vec<KeyView>) {
    (
        e.summary(UnixMillis(at)),
        e.groups(),
        e.checking(),
        e.earlier(),
        e.keys(),
    )
}

/// Brings a base of saved parts up to date.
fn store(parts: &mut std::collections::BTreeMap<String, Vec<u8>>, changed: Vec<Part>) {
    for part in changed {
        match part.data {
            Some(data) => parts.insert(part.name, data),
            None => parts.remove(&part.name),
        };
    }
}

fn read(parts: &std::collections::BTreeMap<String, Vec<u8>>) -> Vec<Part> {
    let parts = parts.iter();
    parts
        .map(|(name, data)| Part {
            name: name.clone(),
            data: Some(data.clone()),
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn deltas_add_up_in_any_order(acts in prop::collection::vec(act(), 1..150), split in 1usize..6) {
        let mut whole = Feed::new();
        let mut feeds: Vec<Feed> = (0..split).map(|_| Feed::new()).collect();
        for (i, act) in acts.iter().enumerate() {
            let feed = &mut feeds[i % split];
            (feed.at, feed.id) = (whole.at, whole.id);
            perform(&mut whole, act);
            perform(feed, act);
        }
        let at = whole.at;
        let give = |deltas: Vec<Delta>| {
            let mut merged = SliceDelta::default();
            for (_, delta) in deltas.into_iter().flat_map(Delta::slices) {
                merged.merge(delta);
            }
            let mut e = evidence();
            e.absorb(merged, UnixMillis(at));
            let (mut summary, groups, checking, _, keys) = shown(&e, at);
            // Charts keep a sample of the times, which depends on their order.
            summary.slots.clear();
            (summary, groups, checking, keys)
        };
        let parts: Vec<Delta> = feeds.into_iter().rev().map(|feed| feed.delta).collect();
        prop_assert_eq!(give(parts), give(vec![whole.delta]));
    }

    #[test]
    fn every_pair_is_counted_once_whatever_is_struck(acts in prop::collection::vec(act(), 1..300)) {
        let (mut e, mut feed) = (evidence(), Feed::new());
        let mut pairs = 0;
        for (i, act) in acts.iter().enumerate() {
            perform(&mut feed, act);
            pairs += u64::from(matches!(act, Act::Pair(..)));
            if i % 7 == 0 {
                feed.give(&mut e);
            }
        }
        feed.give(&mut e);
        let summary = e.summary(UnixMillis(feed.at));
        prop_assert_eq!(summary.parity.n, pairs);
        let book = &e.current.book;
        let in_sets: u64 = book.sets.iter()
            .filter(|(id, _)| id.class != delta::Class::Control)
            .map(|(_, tally)| tally.count)
            .sum();
        prop_assert_eq!(in_sets, summary.parity.f);
        prop_assert!(summary.parity.f + summary.masked <= summary.parity.n);
    }

    #[test]
    fn what_was_saved_comes_back(acts in prop::collection::vec(act(), 1..200), deploy in 0usize..200) {
        let (mut e, mut feed) = (evidence(), Feed::new());
        let mut parts = std::collections::BTreeMap::new();
        for (i, act) in acts.iter().enumerate() {
            perform(&mut feed, act);
            if i == deploy {
                feed.versions = versions("2.1");
            }
            if i % 11 == 0 {
                feed.give(&mut e);
                store(&mut parts, e.save());
            }
        }
        feed.give(&mut e);
        store(&mut parts, e.save());
        prop_assert_eq!(e.save(), []);
        // A store that lost everything is given everything.
        let mut fresh = parts.clone();
        fresh.clear();
        store(&mut fresh, e.save_all());
        let full = Evidence::restore(0.999, 1, read(&fresh), UnixMillis(feed.at));
        prop_assert_eq!(shown(&full, feed.at), shown(&e, feed.at));
        let mut again = Evidence::restore(0.999, 1, read(&parts), UnixMillis(feed.at));
        prop_assert_eq!(shown(&again, feed.at), shown(&e, feed.at));
        prop_assert_eq!(again.save(), []);
        // And it goes on as if nothing had happened.
        for act in &acts {
            perform(&mut feed, act);
        }
        let delta = std::mem::take(&mut feed.delta);
        for (_, delta) in delta.slices() {
            let mut copy = SliceDelta::default();
            copy.merge(delta);
            again.absorb(copy, UnixMillis(feed.at));
        }
        store(&mut parts, again.save());
        let third = Evidence::restore(0.999, 1, read(&parts), UnixMillis(feed.at));
        prop_assert_eq!(shown(&third, feed.at), shown(&again, feed.at));
        let other = Evidence::restore(0.999, 2, read(&parts), UnixMillis(feed.at));
        prop_assert_eq!(other.summary(UnixMillis(feed.at)).parity.n, 0);
    }

    #[test]
    fn damage_never_panics_nor_makes_parity_look_better(
        acts in prop::collection::vec(act(), 1..120),
        part in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        value: u8,
        sealed: bool,
        dropped: bool,
    ) {
        let (mut e, mut feed) = (evidence(), Feed::new());
        for act in &acts {
            perform(&mut feed, act);
        }
        feed.give(&mut e);
        let mut parts = e.save();
        let hit = part.index(parts.len());
        if dropped {
            parts.remove(hit);
        } else {
            let data = parts[hit].data.as_mut().unwrap();
            let place = 8 + byte.index(data.len() - 8);
            data[place] = value;
            if sealed {
                // A wrong writer rather than a broken disk: the sum is right, the content is not.
                let sum = xxhash_rust::xxh3::xxh3_64(&data[8..]).to_le_bytes();
                data[..8].copy_from_slice(&sum);
            }
        }
        let mut again = Evidence::restore(0.999, 1, parts, UnixMillis(feed.at));
        let (summary, ..) = shown(&again, feed.at);
        if !sealed {
            let before = e.summary(UnixMillis(feed.at)).parity;
            let (n, f) = (summary.parity.n, summary.parity.f);
            prop_assert!(n == 0 || n <= before.n && f + (before.n - n) >= before.f);
        }
        for act in &acts {
            perform(&mut feed, act);
        }
        feed.give(&mut again);
        again.save();
        shown(&again, feed.at);
    }
}
