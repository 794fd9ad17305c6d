//! Positions: what holds slices down, kept twice, so that no kill is forgotten.
//!
//! They lie in one row of the store and in a small file beside it, `<store>.positions`, each with a
//! generation. At start the higher one wins. A change is persisted when one of the two is synced.

use crate::model::Position;
use crate::model::SliceId;
use crate::model::UnixMillis;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The file is far smaller; what is larger is not ours.
pub(super) const FILE_BYTES_MAX: u64 = 4 * 1_024 * 1_024;

const MAGIC: &str = "supplant-positions 1 ";

/// What holds one slice down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// It may not be further than this.
    pub ceiling: Option<Position>,
    /// Legacy answers everything, and nobody gets copies.
    pub killed: bool,
    /// How often it was rolled back; each time, the cool-down doubles.
    pub rollbacks: u32,
    /// When it was last rolled back.
    pub rolled_back_at: Option<UnixMillis>,
    /// Since when the rules do not have it.
    pub gone: Option<UnixMillis>,
}

impl Held {
    /// Returns whether anything holds the slice down.
    pub fn holds(&self) -> bool {
        self.killed || self.ceiling.is_some()
    }

    fn lower(&self, other: &Self) -> Self {
        Self {
            ceiling: match (self.ceiling, other.ceiling) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            killed: self.killed || other.killed,
            ..self.clone()
        }
    }
}

/// What holds the slices of this installation down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// Counts up with each change.
    pub generation: u64,
    /// Everything goes to legacy.
    pub all_killed: bool,
    /// The slices that are held, were rolled back before, or are gone.
    pub slices: BTreeMap<SliceId, Held>,
}

impl Positions {
    /// Returns what holds a slice.
    pub fn held(&self, slice: &SliceId) -> Option<&Held> {
        self.slices.get(slice)
    }

    /// Returns, slice by slice, the lower of both: what holds in either holds.
    #[must_use]
    pub fn lower(&self, other: &Self) -> Self {
        let mut lower = self.clone();
        lower.all_killed |= other.all_killed;
        for (slice, held) in &other.slices {
            if held.holds() {
                let mine = lower.slices.entry(slice.clone()).or_default();
                *mine = mine.lower(held);
            }
        }
        lower
    }

    /// Writes the body that the row and the file hold.
    pub(super) fn to_body(&self) -> String {
        let row = Row {
            generation: self.generation,
            all_killed: self.all_killed,
            slices: self
                .slices
                .iter()
                .map(|(slice, held)| (slice.to_string(), HeldRow::of(held)))
                .collect(),
        };
        serde_json::to_string(&row).unwrap_or_default()
    }

    /// Reads a body, or says what is wrong with it.
    pub(super) fn parse_body(body: &str) -> Result<Self, String> {
        let row: Row = serde_json::from_str(body).map_err(|e| e.to_string())?;
        let mut slices = BTreeMap::new();
        for (name, row) in row.slices {
            slices.insert(SliceId::new(name), row.held()?);
        }
        Ok(Self {
            generation: row.generation,
            all_killed: row.all_killed,
            slices,
        })
    }

    /// Writes the file: a line with the hash of what follows, then the body.
    pub(super) fn to_file(&self) -> String {
        let body = self.to_body();
        format!("{MAGIC}{}\n{body}\n", digest(&body))
    }

    /// Reads the file, or says what is wrong with it.
    pub(super) fn parse_file(text: &str) -> Result<Self, String> {
        let (head, body) = text.split_once('\n').ok_or("it has no second line")?;
        let hash = head
            .strip_prefix(MAGIC)
            .ok_or("its first line is not that of a positions file")?;
        let body = body.strip_suffix('\n').ok_or("its end is missing")?;
        if digest(body) != hash {
            return Err("its content does not have the hash that its first line says".to_owned());
        }
        Self::parse_body(body)
    }
}

fn digest(body: &str) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(body.as_bytes()) {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    generation: u64,
    all_killed: bool,
    slices: BTreeMap<String, HeldRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct HeldRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ceiling: Option<String>,
    #[serde(default)]
    killed: bool,
    #[serde(default)]
    rollbacks: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rolled_back_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<i64>,
}

impl HeldRow {
    fn of(held: &Held) -> Self {
        Self {
            ceiling: held.ceiling.map(|c| c.to_string()),
            killed: held.killed,
            rollbacks: held.rollbacks,
            rolled_back_at: held.rolled_back_at.map(|at| at.0),
            gone: held.gone.map(|at| at.0),
        }
    }

    fn held(self) -> Result<Held, String> {
        let ceiling = match self.ceiling {
            Some(text) => {
                let position = Position::parse(&text);
                Some(position.ok_or_else(|| format!("`{text}` is not a position"))?)
            }
            None => None,
        };
        Ok(Held {
            ceiling,
            killed: self.killed,
            rollbacks: self.rollbacks,
            rolled_back_at: self.rolled_back_at.map(UnixMillis),
            gone: self.gone.map(UnixMillis),
        })
    }
}

/// What was found in one of the two places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing is there.
    Absent,
    /// It is there, readable, and holds no positions.
    Empty,
    /// It is there and cannot be read, and why.
    Unreadable(String),
    /// These.
    Read(Positions),
}

/// What a process starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) positions: Positions,
    /// The store was lost, and how; nothing rises until an operator resumes a slice.
    pub(super) lost: Option<String>,
}

/// Decides what a process starts with, or why it must not start.
pub(super) fn choose(store: Found, file: Found) -> Result<Start, String> {
    let known = |positions| Start {
        positions,
        lost: None,
    };
    let lost = |positions, why: &str| Start {
        positions,
        lost: Some(why.to_owned()),
    };
    match (store, file) {
        // A crash in the very first start leaves a store without positions: nobody had any yet.
        (Found::Absent | Found::Empty, Found::Absent) => Ok(known(Positions::default())),
        (Found::Read(store), Found::Read(file)) => {
            let file_wins = file.generation > store.generation;
            Ok(known(if file_wins { file } else { store }))
        }
        (Found::Read(store), _) => Ok(known(store)),
        (Found::Absent, Found::Read(file)) => {
            Ok(lost(file, "the store is gone, its positions file is not"))
        }
        (Found::Empty, Found::Read(file)) => Ok(lost(file, "the store is empty")),
        (Found::Unreadable(why), Found::Read(file)) => {
            Ok(lost(file, &format!("the store cannot be read: {why}")))
        }
        (Found::Unreadable(store), Found::Absent | Found::Empty) => Err(format!(
            "the store cannot be read ({store}), and there is no positions file beside it"
        )),
        (Found::Unreadable(store), Found::Unreadable(file)) => Err(format!(
            "neither the store ({store}) nor the positions file ({file}) can be read"
        )),
        (Found::Absent, Found::Unreadable(file)) => Err(format!(
            "the positions file cannot be read ({file}), and there is no store"
        )),
        (Found::Empty, Found::Unreadable(file)) => Err(format!(
            "the positions file cannot be read ({file}), and the store holds no positions"
        )),
        (Found::Absent | Found::Empty, Found::Empty) => {
            Err("the positions file is empty, and the store holds no positions".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Share;
    use crate::model::Stage;
    use proptest::prelude::*;

    fn positions() -> impl Strategy<Value = Positions> {
        let ceiling = prop::option::of((0_usize..5, 0_u16..=10_000));
        let held = (ceiling, any::<bool>(), any::<u32>(), any::<Option<i64>>());
        let slices = prop::collection::btree_map("[a-z]{1,3}", held, 0..5);
        (any::<u64>(), any::<bool>(), slices).prop_map(|(generation, all_killed, slices)| {
            let held =
                |(ceiling, killed, rollbacks, at): (Option<(usize, u16)>, _, _, Option<i64>)| {
                    Held {
                        ceiling: ceiling
                            .map(|(s, h)| Position::new(Stage::ALL[s], Share::new(h).unwrap())),
                        killed,
                        rollbacks,
                        rolled_back_at: at.map(UnixMillis),
                        gone: at.map(UnixMillis),
                    }
                };
            Positions {
                generation,
                all_killed,
                slices: slices
                    .into_iter()
                    .map(|(name, h)| (SliceId::new(name), held(h)))
                    .collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn positions_read_back_as_written(one in positions()) {
            prop_assert_eq!(Positions::parse_file(&one.to_file()), Ok(one.clone()));
            prop_assert_eq!(Positions::parse_body(&one.to_body()), Ok(one));
        }

        #[test]
        fn no_cut_and_no_flipped_byte_goes_unseen(one in positions(), at: prop::sample::Index, flip in 1_u8..) {
            let file = one.to_file();
            let cut = at.index(file.len());
            let short = String::from_utf8_lossy(&file.as_bytes()[..cut]).into_owned();
            prop_assert!(Positions::parse_file(&short).is_err());
            let mut bytes = file.into_bytes();
            bytes[cut] ^= flip;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert!(Positions::parse_file(&text).is_err());
            }
        }

        #[test]
        fn what_holds_in_either_holds_in_the_lower(a in positions(), b in positions()) {
            let lower = a.lower(&b);
            prop_assert_eq!(lower.all_killed, a.all_killed || b.all_killed);
            for one in [&a, &b] {
                for (slice, held) in &one.slices {
                    let after = lower.held(slice).cloned().unwrap_or_default();
                    prop_assert!(after.killed || !held.killed);
                    if let Some(ceiling) = held.ceiling {
                        prop_assert!(after.ceiling.unwrap() <= ceiling);
                    }
                }
            }
            prop_assert_eq!(a.lower(&a), a);
        }
    }

    fn generation(generation: u64) -> Positions {
        Positions {
            generation,
            ..Positions::default()
        }
    }

    #[test]
    fn the_higher_generation_wins_and_what_is_readable_is_used() {
        let read = |g| Found::Read(generation(g));
        let bad = || Found::Unreadable("torn".to_owned());
        for (store, file, expected, lost) in [
            (Found::Absent, Found::Absent, 0, false),
            (Found::Empty, Found::Absent, 0, false),
            (read(3), read(4), 4, false),
            (read(5), read(4), 5, false),
            (read(5), Found::Absent, 5, false),
            (read(5), bad(), 5, false),
            (read(5), Found::Empty, 5, false),
            (Found::Absent, read(4), 4, true),
            (Found::Empty, read(4), 4, true),
            (bad(), read(4), 4, true),
        ] {
            let start = choose(store.clone(), file.clone()).unwrap();
            let said = (start.positions.generation, start.lost.is_some());
            assert_eq!(said, (expected, lost), "{store:?} {file:?}");
        }
    }

    #[test]
    fn where_something_was_and_nothing_can_be_read_nothing_starts() {
        let bad = || Found::Unreadable("torn".to_owned());
        for (store, file) in [
            (bad(), Found::Absent),
            (bad(), Found::Empty),
            (bad(), bad()),
            (Found::Absent, bad()),
            (Found::Empty, bad()),
            (Found::Absent, Found::Empty),
        ] {
            assert!(
                choose(store.clone(), file.clone()).is_err(),
                "{store:?} {file:?}"
            );
        }
    }
}
