//! What a connection may ask for without getting work done. Pure.
//!
//! Frames that cost a client nothing and this proxy something take from one budget; answers and data
//! give back, and time does. So a client that resets one request for each that it takes, or
//! acknowledges every piece of a download, is never short, and one that does only such things soon is.

use super::frames;
use super::frames::Frame;

/// What a connection starts with, and has at most.
const MOST: u32 = 1_000;
/// What it gets back each second.
const EACH_SECOND: u32 = 100;

/// What the budget was spent on; also the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abuse {
    Resets,
    OurResets,
    Pings,
    Settings,
    EmptyFrames,
    WindowUpdates,
    Continuations,
    Others,
}

const KINDS: [Abuse; 8] = [
    Abuse::Resets,
    Abuse::OurResets,
    Abuse::Pings,
    Abuse::Settings,
    Abuse::EmptyFrames,
    Abuse::WindowUpdates,
    Abuse::Continuations,
    Abuse::Others,
];

impl Abuse {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::OurResets => "provoked_resets",
            Self::Pings => "pings",
            Self::Settings => "settings",
            Self::EmptyFrames => "empty_frames",
            Self::WindowUpdates => "window_updates",
            Self::Continuations => "continuations",
            Self::Others => "other_frames",
        }
    }
}

/// The budget of one connection.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    spent: [u32; KINDS.len()],
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: MOST,
            spent: [0; KINDS.len()],
        }
    }
}

impl Budget {
    /// A frame came from the client.
    pub(super) fn received(&mut self, frame: Frame) {
        match frame.kind {
            frames::DATA if frame.is_empty_data() => self.spend(Abuse::EmptyFrames, 5),
            frames::DATA => self.earn(1),
            frames::HEADERS => {}
            frames::RST_STREAM => self.spend(Abuse::Resets, 5),
            frames::SETTINGS => self.spend(Abuse::Settings, 10),
            frames::PING => self.spend(Abuse::Pings, 5),
            frames::WINDOW_UPDATE => self.spend(Abuse::WindowUpdates, 1),
            frames::CONTINUATION => self.spend(Abuse::Continuations, 5),
            _ => self.spend(Abuse::Others, 1),
        }
    }

    /// A frame went to the client.
    pub(super) fn sent(&mut self, frame: Frame) {
        match frame.kind {
            frames::DATA if frame.length > 0 => self.earn(2),
            frames::HEADERS => self.earn(5),
            frames::RST_STREAM => self.spend(Abuse::OurResets, 5),
            _ => {}
        }
    }

    /// A second has passed.
    pub(super) fn second(&mut self) {
        self.earn(EACH_SECOND);
        for spent in &mut self.spent {
            *spent /= 2;
        }
    }

    /// Returns what most of the budget went to, once nothing is left of it.
    pub(super) fn exhausted(&self) -> Option<Abuse> {
        if self.left > 0 {
            return None;
        }
        let most = KINDS.iter().zip(self.spent).max_by_key(|(_, spent)| *spent);
        most.map(|(kind, _)| *kind)
    }

    fn earn(&mut self, points: u32) {
        if self.left > 0 {
            self.left = (self.left + points).min(MOST);
        }
    }

    fn spend(&mut self, on: Abuse, points: u32) {
        self.left = self.left.saturating_sub(points);
        if let Some(spent) = self.spent.get_mut(on as usize) {
            *spent = spent.saturating_add(points);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u32) -> Frame {
        Frame {
            length,
            kind,
            flags: 0,
            stream: 1,
        }
    }

    #[test]
    fn each_kind_of_flood_runs_out_and_is_named() {
        for (kind, length, most, name) in [
            (frames::RST_STREAM, 4, 200, "resets"),
            (frames::PING, 8, 200, "pings"),
            (frames::SETTINGS, 0, 100, "settings"),
            (frames::DATA, 0, 200, "empty_frames"),
            (frames::WINDOW_UPDATE, 4, 1_000, "window_updates"),
            (frames::CONTINUATION, 0, 200, "continuations"),
            (2, 5, 1_000, "other_frames"),
        ] {
            let mut budget = Budget::default();
            for n in 0..most {
                assert_eq!(budget.exhausted(), None, "{name} {n}");
                budget.received(frame(kind, length));
            }
            assert_eq!(budget.exhausted().unwrap().as_str(), name);
        }
    }

    #[test]
    fn resets_that_a_client_makes_us_send_count_as_its_own() {
        let mut budget = Budget::default();
        for _ in 0..200 {
            budget.sent(frame(frames::RST_STREAM, 4));
        }
        assert_eq!(budget.exhausted(), Some(Abuse::OurResets));
    }

    #[test]
    fn who_gets_work_done_is_never_short() {
        let mut budget = Budget::default();
        for _ in 0..100_000 {
            // A request that is answered, acknowledged twice, and one that is cancelled.
            budget.received(frame(frames::HEADERS, 40));
            budget.sent(frame(frames::HEADERS, 60));
            budget.sent(frame(frames::DATA, 1_000));
            budget.received(frame(frames::WINDOW_UPDATE, 4));
            budget.received(frame(frames::WINDOW_UPDATE, 4));
            budget.received(frame(frames::RST_STREAM, 4));
        }
        assert_eq!(budget.exhausted(), None);
    }

    #[test]
    fn time_gives_back() {
        let mut budget = Budget::default();
        for _ in 0..100 {
            for _ in 0..20 {
                budget.received(frame(frames::PING, 8));
            }
            budget.second();
        }
        assert_eq!(budget.exhausted(), None);
    }
}
