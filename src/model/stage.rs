//! Sides, stages and positions. Pure.
//!
//! Positions are ordered: `legacy < shadow < canary(share) < cutover < retired`. What is in force
//! is the lower of what the file declares and the ceiling that guards and operators set.

use std::fmt;

/// One of the two applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The application that is being replaced.
    Legacy,
    /// The application that takes over.
    Candidate,
}

impl Side {
    /// Returns the opposite side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Legacy => Self::Candidate,
            Self::Candidate => Self::Legacy,
        }
    }

    /// Returns the word used in logs, labels and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Candidate => "candidate",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call to a side was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The client waits for it.
    Served,
    /// A copy for comparing.
    Shadow,
    /// The same side asked again.
    Control,
}

impl Role {
    /// Returns the word used in labels and in the `Supplant-Role` field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Shadow => "shadow",
            Self::Control => "control",
        }
    }
}

/// Where a slice stands on its way, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Legacy answers; nobody gets a copy.
    Legacy,
    /// Legacy answers; the candidate gets copies.
    Shadow,
    /// The candidate answers a share; the other side gets copies.
    Canary,
    /// The candidate answers; legacy gets copies.
    Cutover,
    /// The candidate answers; legacy must not be needed.
    Retired,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 5] = [
        Self::Legacy,
        Self::Shadow,
        Self::Canary,
        Self::Cutover,
        Self::Retired,
    ];

    /// Returns the word used in the file, in labels and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Cutover => "cutover",
            Self::Retired => "retired",
        }
    }

    /// Reads the word, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A share of something, in hundredths of a percent: 10,000 is the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u16);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The whole.
    pub const ALL: Self = Self(10_000);

    /// Takes hundredths of a percent, or nothing if they are more than the whole.
    pub const fn new(hundredths: u16) -> Option<Self> {
        if hundredths <= 10_000 {
            Some(Self(hundredths))
        } else {
            None
        }
    }

    /// Returns hundredths of a percent.
    pub fn hundredths(self) -> u16 {
        self.0
    }

    /// Returns the share as a ratio from 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Returns whether a draw, uniform over all `u32`, falls into this share.
    pub fn admits_draw(self, draw: u32) -> bool {
        (u64::from(draw) * 10_000) >> 32 < u64::from(self.0)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match part {
            0 => write!(f, "{whole}%"),
            p if p % 10 == 0 => write!(f, "{whole}.{}%", p / 10),
            p => write!(f, "{whole}.{p:02}%"),
        }
    }
}

/// How far a slice is: a stage, and within `canary` its share. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    stage: Stage,
    share: Share,
}

impl Position {
    /// Legacy answers everything.
    pub const LEGACY: Self = Self {
        stage: Stage::Legacy,
        share: Share::NONE,
    };
    /// Legacy answers, the candidate gets copies. Where a rollback leads.
    pub const SHADOW: Self = Self {
        stage: Stage::Shadow,
        share: Share::NONE,
    };

    /// Makes a position; the share counts in stage `canary` only.
    pub fn new(stage: Stage, share: Share) -> Self {
        let share = match stage {
            Stage::Canary => share,
            Stage::Legacy | Stage::Shadow => Share::NONE,
            Stage::Cutover | Stage::Retired => Share::ALL,
        };
        Self { stage, share }
    }

    /// Returns the stage.
    pub fn stage(self) -> Stage {
        self.stage
    }

    /// Returns the share of traffic that the candidate answers.
    pub fn share(self) -> Share {
        self.share
    }

    /// Reads what [`fmt::Display`] writes, or nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let (stage, share) = match text.split_once(' ') {
            Some((stage, share)) => (Stage::parse(stage)?, parse_share(share)?),
            None => (Stage::parse(text)?, Share::NONE),
        };
        Some(Self::new(stage, share))
    }
}

fn parse_share(text: &str) -> Option<Share> {
    let number = text.strip_suffix('%')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 2 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: u16 = whole.parse().ok()?;
    let part: u16 = match part.len() {
        0 => 0,
        1 => part.parse::<u16>().ok()? * 10,
        _ => part.parse().ok()?,
    };
    Share::new(whole.checked_mul(100)?.checked_add(part)?)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            Stage::Canary => write!(f, "{} {}", self.stage, self.share),
            stage => write!(f, "{stage}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ordered_by_stage_then_share() {
        let canary = |h| Position::new(Stage::Canary, Share::new(h).unwrap());
        let ladder = [
            Position::LEGACY,
            Position::SHADOW,
            canary(0),
            canary(100),
            canary(10_000),
            Position::new(Stage::Cutover, Share::NONE),
            Position::new(Stage::Retired, Share::NONE),
        ];
        assert!(ladder.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn every_position_reads_back_as_written() {
        for hundredths in 0..=10_000 {
            let position = Position::new(Stage::Canary, Share::new(hundredths).unwrap());
            assert_eq!(Position::parse(&position.to_string()), Some(position));
        }
        for stage in [Stage::Legacy, Stage::Shadow, Stage::Cutover, Stage::Retired] {
            let position = Position::new(stage, Share::NONE);
            assert_eq!(Position::parse(&position.to_string()), Some(position));
        }
    }

    #[test]
    fn a_draw_is_admitted_as_often_as_the_share_says() {
        assert!(!Share::NONE.admits_draw(0));
        assert!(Share::ALL.admits_draw(u32::MAX));
        let half = Share::new(5_000).unwrap();
        assert!(half.admits_draw(u32::MAX / 2) && !half.admits_draw(u32::MAX / 2 + 1));
    }
}
