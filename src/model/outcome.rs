//! The one way in which a request of a slice ends, with its reason. Pure.
//!
//! Every request that a slice takes ends in exactly one outcome, counted once. Where several could
//! be said at one moment, the first in this order is.

/// Why a request was not mirrored at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotMirrored {
    /// The stage in force mirrors nothing.
    Stage,
    /// The slice, or everything, is killed.
    Killed,
    /// A tester chose the side.
    Override,
    /// It arrived as a copy already: the loop guard.
    Copy,
    /// Our own limits refused it.
    Limits,
}

/// Why two answers were not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotComparable {
    /// It became a tunnel.
    Upgrade,
    /// It was a conditional request.
    Conditional,
    /// It asked for a range.
    Range,
    /// A rule, a word of the path or query, or a session cookie takes it out of mirroring.
    Excluded,
    /// The answer, or the request, is over the body limit.
    TooLarge,
    /// The answer did not end within 30 s of its head.
    Streaming,
    /// The path was written a moment ago.
    Fresh,
    /// The content coding could not be undone.
    Undecodable,
    /// Over depth, nodes or the compare budget.
    TooComplex,
}

/// Why a copy was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shed {
    /// The queue was full.
    Queue,
    /// The slice's copies in flight were at their limit.
    Inflight,
    /// No memory left for captured bodies or evidence.
    Memory,
    /// The governor held mirroring back.
    Governor,
    /// A failure of our own: no descriptor, no port, a late wake-up.
    Local,
    /// The worker panicked.
    Panic,
    /// The process was draining.
    Drain,
}

/// Why differences did not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Masked {
    /// Legacy changes there by itself.
    Noise,
    /// A rule expects it.
    Expectation,
    /// A rule tolerates it.
    Tolerance,
    /// An echo of a field that this proxy set.
    OwnHeader,
}

/// How a request of a slice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nobody was to get a copy.
    NotMirrored(NotMirrored),
    /// The method may have effects.
    UnsafeMethod,
    /// No comparison is possible, or none would say anything.
    NotComparable(NotComparable),
    /// The sample or the rate left it out.
    SampledOut,
    /// The copy was dropped.
    Shed(Shed),
    /// The client left before the live answer ended.
    Aborted,
    /// Neither side gave a complete answer.
    BothError,
    /// Legacy gave no complete answer.
    LegacyError,
    /// The candidate gave no complete answer.
    CandidateError,
    /// The copy's deadline passed.
    Timeout,
    /// Both gave an answer that says nothing about either.
    Vacuous,
    /// A difference that counts.
    Divergence,
    /// Only differences that are known not to count.
    Masked(Masked),
    /// The same answer.
    Match,
}

macro_rules! table {
    ($($outcome:expr => $name:literal, $reason:literal;)*) => {
        impl Outcome {
            /// Every outcome with its reason, in the order of [`Outcome::index`].
            pub const ALL: &'static [Self] = &[$($outcome),*];
            const WORDS: &'static [(&'static str, &'static str)] = &[$(($name, $reason)),*];
        }
    };
}

table! {
    Self::NotMirrored(NotMirrored::Stage) => "not_mirrored", "stage";
    Self::NotMirrored(NotMirrored::Killed) => "not_mirrored", "killed";
    Self::NotMirrored(NotMirrored::Override) => "not_mirrored", "override";
    Self::NotMirrored(NotMirrored::Copy) => "not_mirrored", "copy";
    Self::NotMirrored(NotMirrored::Limits) => "not_mirrored", "limits";
    Self::UnsafeMethod => "unsafe_method", "";
    Self::NotComparable(NotComparable::Upgrade) => "not_comparable", "upgrade";
    Self::NotComparable(NotComparable::Conditional) => "not_comparable", "conditional";
    Self::NotComparable(NotComparable::Range) => "not_comparable", "range";
    Self::NotComparable(NotComparable::Excluded) => "not_comparable", "excluded";
    Self::NotComparable(NotComparable::TooLarge) => "not_comparable", "too_large";
    Self::NotComparable(NotComparable::Streaming) => "not_comparable", "streaming";
    Self::NotComparable(NotComparable::Fresh) => "not_comparable", "fresh";
    Self::NotComparable(NotComparable::Undecodable) => "not_comparable", "undecodable";
    Self::NotComparable(NotComparable::TooComplex) => "not_comparable", "too_complex";
    Self::SampledOut => "sampled_out", "";
    Self::Shed(Shed::Queue) => "shed", "queue";
    Self::Shed(Shed::Inflight) => "shed", "inflight";
    Self::Shed(Shed::Memory) => "shed", "memory";
    Self::Shed(Shed::Governor) => "shed", "governor";
    Self::Shed(Shed::Local) => "shed", "local";
    Self::Shed(Shed::Panic) => "shed", "panic";
    Self::Shed(Shed::Drain) => "shed", "drain";
    Self::Aborted => "aborted", "";
    Self::BothError => "both_error", "";
    Self::LegacyError => "legacy_error", "";
    Self::CandidateError => "candidate_error", "";
    Self::Timeout => "timeout", "";
    Self::Vacuous => "vacuous", "";
    Self::Divergence => "divergence", "";
    Self::Masked(Masked::Noise) => "masked", "noise";
    Self::Masked(Masked::Expectation) => "masked", "expectation";
    Self::Masked(Masked::Tolerance) => "masked", "tolerance";
    Self::Masked(Masked::OwnHeader) => "masked", "own_header";
    Self::Match => "match", "";
}

impl Outcome {
    /// How many outcomes there are, reasons counted apart.
    pub const COUNT: usize = Self::ALL.len();

    /// Returns a dense index below [`Outcome::COUNT`].
    pub fn index(self) -> usize {
        match self {
            Self::NotMirrored(reason) => reason as usize,
            Self::UnsafeMethod => 5,
            Self::NotComparable(reason) => 6 + reason as usize,
            Self::SampledOut => 15,
            Self::Shed(reason) => 16 + reason as usize,
            Self::Aborted => 23,
            Self::BothError => 24,
            Self::LegacyError => 25,
            Self::CandidateError => 26,
            Self::Timeout => 27,
            Self::Vacuous => 28,
            Self::Divergence => 29,
            Self::Masked(reason) => 30 + reason as usize,
            Self::Match => 34,
        }
    }

    /// Returns the word used in labels, logs, the API and pages.
    pub fn name(self) -> &'static str {
        Self::WORDS[self.index()].0
    }

    /// Returns the reason in one word, or the empty string.
    pub fn reason(self) -> &'static str {
        Self::WORDS[self.index()].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_every_outcome_is_its_place_in_the_table() {
        for (place, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(outcome.index(), place, "{outcome:?}");
        }
    }

    #[test]
    fn no_two_outcomes_share_their_words() {
        let words: std::collections::BTreeSet<_> = Outcome::ALL
            .iter()
            .map(|o| (o.name(), o.reason()))
            .collect();
        assert_eq!(words.len(), Outcome::COUNT);
    }
}
