//! What is read from the evidence: plain values, each number with what it rests on. Pure.

use crate::model::FieldKey;
use crate::model::PairId;
use crate::model::UnixMillis;
use std::fmt;
use std::sync::Arc;

/// What the evidence of a slice shows now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The epoch that the figures belong to.
    pub epoch: EpochView,
    /// Candidate against legacy.
    pub parity: Parity,
    /// Legacy against itself, from control pairs.
    pub legacy_self: Parity,
    /// Both sides' time to first byte, from latency pairs.
    pub latency: Latency,
    /// Pairs that first counted as different and count as equal since a key was found noisy.
    pub reclassified: u64,
    /// Pairs whose only differences are noise.
    pub masked: u64,
    /// Their share of the pairs, 0 to 1.
    pub masked_share: f64,
    /// Whether there are too many sets to know parity yet.
    pub learning: bool,
    /// Endpoints, the worst first; at most 200, then `_other` for the rest together.
    pub endpoints: Vec<EndpointView>,
    /// The last hour in slots of ten seconds, oldest first; slots without anything are left out.
    pub slots: Vec<Slot>,
    /// Sizes, and what did not fit.
    pub counts: Counts,
}

/// A span of time in which nothing that matters changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochView {
    /// Counts up from 1 in each slice.
    pub number: u64,
    /// When it began.
    pub since: UnixMillis,
    /// Why it began, in a few words.
    pub reason: String,
    /// Legacy's version, or `unknown`.
    pub legacy: Arc<str>,
    /// The candidate's version, or `unknown`.
    pub candidate: Arc<str>,
}

/// A share of equal pairs and its interval, valid however often one looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parity {
    /// Comparable pairs.
    pub n: u64,
    /// Those that differ.
    pub f: u64,
    /// At least this share is equal, 0 to 1.
    pub lower: f64,
    /// At most this share is equal, 0 to 1.
    pub upper: f64,
    /// The share wanted, 0 to 1.
    pub target: f64,
    /// Clean comparisons still needed to show the target; none if that is out of reach.
    pub needed: Option<u64>,
    /// The figures in one sentence.
    pub sentence: String,
}

/// A value with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// The estimate.
    pub value: f64,
    /// The lower end.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}

/// Times to first byte, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// The median, from 20 values on.
    pub p50: Option<f64>,
    /// The 95th percentile, from 200 values on.
    pub p95: Option<f64>,
    /// The 99th percentile, from 1,000 values on.
    pub p99: Option<f64>,
    /// How many values.
    pub n: u64,
}

/// How fast the sides answer the same requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// Latency pairs.
    pub pairs: u64,
    /// The median of candidate / legacy, from 100 pairs on.
    pub ratio: Option<Band>,
    /// Legacy's times.
    pub legacy: Option<Quantiles>,
    /// The candidate's times; answers that never came are not in it.
    pub candidate: Option<Quantiles>,
    /// Pairs in which the candidate was slower.
    pub slow_candidate: u64,
    /// Pairs in which legacy was slower.
    pub slow_legacy: u64,
    /// Pairs in which the candidate failed or timed out; they count as slower, too.
    pub errors_candidate: u64,
    /// The logarithm of the evidence that the candidate is slower.
    pub log_e: f64,
    /// Whether that evidence is an alarm.
    pub alarm: bool,
    /// The figures in one sentence.
    pub sentence: String,
}

/// Ten seconds of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slot {
    /// When it begins.
    pub at: UnixMillis,
    /// Comparable pairs.
    pub n: u64,
    /// Those that differed, as far as was known then.
    pub f: u64,
    /// Legacy's median, in seconds.
    pub legacy_p50: Option<f64>,
    /// Legacy's 95th percentile, in seconds.
    pub legacy_p95: Option<f64>,
    /// The candidate's median, in seconds.
    pub candidate_p50: Option<f64>,
    /// The candidate's 95th percentile, in seconds.
    pub candidate_p95: Option<f64>,
    /// Latency pairs.
    pub pairs: u64,
}

/// One endpoint template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointView {
    /// The template, `GET /orders/{}`.
    pub endpoint: Arc<str>,
    /// Comparable pairs.
    pub n: u64,
    /// Those that differ.
    pub f: u64,
    /// Pairs whose only differences are noise.
    pub masked: u64,
    /// At least this share is equal.
    pub lower: f64,
    /// At most this share is equal.
    pub upper: f64,
    /// Control pairs, of either half.
    pub controls: u64,
    /// Sandwiched triples.
    pub triples: u64,
    /// How many templates this row stands for: 1, or more in the last row.
    pub templates: u64,
}

/// Sizes of the evidence, and what did not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sets of keys, at most 20,000.
    pub sets: u64,
    /// Keys, at most 2,000.
    pub keys: u64,
    /// Keys found noisy.
    pub noisy_keys: u64,
    /// Keys found to be regressions.
    pub regression_keys: u64,
    /// Endpoint templates, at most 2,000.
    pub endpoints: u64,
    /// Differences counted under a shared key, because there are 2,000 keys.
    pub key_overflow: u64,
    /// Pairs counted under a shared endpoint, because there are 2,000 templates.
    pub endpoint_overflow: u64,
    /// Pairs, triples, controls and latency pairs of an earlier epoch, kept out of this one.
    pub late: u64,
    /// Triples dropped because legacy's version changed between its two answers.
    pub mixed_triples: u64,
    /// How often the sets outgrew their bound, so that counting began anew.
    pub restarts: u64,
    /// Damaged parts dropped when the evidence was read from the store.
    pub damaged: u64,
}

/// What is known about a key or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The candidate differs where legacy agrees with itself.
    Regression,
    /// Legacy changes there by itself.
    Noisy,
    /// Legacy hardly ever changes there, and the candidate not often enough to tell.
    Stable,
    /// Not enough is known.
    Undecided,
    /// A rule expects it.
    Expected,
    /// There are no controls to tell by.
    Unchecked,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 6] = [
        Self::Regression,
        Self::Noisy,
        Self::Stable,
        Self::Undecided,
        Self::Expected,
        Self::Unchecked,
    ];

    /// Returns the word used in labels, the API and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Noisy => "noisy",
            Self::Stable => "stable",
            Self::Undecided => "undecided",
            Self::Expected => "expected",
            Self::Unchecked => "unchecked",
        }
    }

    /// Reads the word, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|v| v.as_str() == text)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What sandwiched triples say about a key.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeyCounts {
    /// Triples of the endpoint.
    pub triples: u64,
    /// Only the candidate differed.
    pub b: u64,
    /// Only legacy's second answer differed.
    pub c: u64,
    /// Both differed from legacy's first answer.
    pub both: u64,
    /// The logarithm of the evidence that the candidate is the cause.
    pub log_e: f64,
    /// The rank of the key among the slice's keys, from 1 on; none before a discordant triple.
    pub rank: Option<u64>,
}

/// Pairs that differ alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Sixteen hexadecimal digits made of endpoint, status pair and keys.
    pub id: String,
    /// The endpoint template.
    pub endpoint: Arc<str>,
    /// Legacy's status and the candidate's; 0 where the candidate gave no answer.
    pub status: (u16, u16),
    /// The keys, sorted; none where the candidate gave no answer.
    pub keys: Vec<FieldKey>,
    /// What is known about the keys.
    pub verdict: Verdict,
    /// How many pairs.
    pub count: u64,
    /// Of how many pairs of this endpoint.
    pub of: u64,
    /// `count / of`, 0 to 1.
    pub share: f64,
    /// When the first was seen.
    pub first_seen: UnixMillis,
    /// When the last was seen.
    pub last_seen: UnixMillis,
    /// Up to 20 pairs: the first ones, and a fair sample of the others.
    pub examples: Vec<PairId>,
    /// The triples of its most telling key.
    pub triples: KeyCounts,
    /// The figures in one sentence.
    pub sentence: String,
    /// The number of its epoch.
    pub epoch: u64,
    /// Whether that is the current epoch.
    pub current: bool,
}

/// One key of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyView {
    /// The endpoint template.
    pub endpoint: Arc<str>,
    /// The place and the kind.
    pub key: FieldKey,
    /// What is known.
    pub verdict: Verdict,
    /// In how many pairs it was seen, candidate against legacy.
    pub pairs: u64,
    /// Of how many pairs of this endpoint.
    pub of: u64,
    /// Its triples.
    pub triples: KeyCounts,
    /// When it was first seen.
    pub first_seen: UnixMillis,
    /// When it was last seen.
    pub last_seen: UnixMillis,
    /// The figures in one sentence.
    pub sentence: String,
}
