//! The way to a place in JSON, concrete and folded. Pure.

use crate::compare::redact::looks_secret;
use std::fmt::Write;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a name that a path keeps; the rest becomes a hash.
const NAME_BYTES: usize = 96;

/// A place that grows and shrinks as a walk goes down and up.
#[derive(Debug)]
pub(crate) struct Place {
    folded: String,
    concrete: String,
    hash: u64,
    folds: bool,
}

/// Where to return to on the way up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    folded: usize,
    concrete: usize,
    hash: u64,
    folds: bool,
}

impl Place {
    pub(crate) fn root() -> Self {
        Self {
            folded: "$".to_owned(),
            concrete: "$".to_owned(),
            hash: 0,
            folds: false,
        }
    }

    /// Returns the path with indices and names that are ids folded.
    pub(crate) fn folded(&self) -> &str {
        &self.folded
    }

    /// Returns the path with its indices; names that look like secrets stay folded.
    pub(crate) fn concrete(&self) -> &str {
        &self.concrete
    }

    /// Returns the hash of the concrete place, if the folded one stands for several.
    pub(crate) fn hash(&self) -> Option<u64> {
        self.folds.then_some(self.hash)
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            folded: self.folded.len(),
            concrete: self.concrete.len(),
            hash: self.hash,
            folds: self.folds,
        }
    }

    pub(crate) fn back(&mut self, mark: Mark) {
        self.folded.truncate(mark.folded);
        self.concrete.truncate(mark.concrete);
        self.hash = mark.hash;
        self.folds = mark.folds;
    }

    /// Goes down to a member of an object.
    pub(crate) fn name(&mut self, name: &[u8]) {
        self.hash = xxh3_64_with_seed(name, self.hash ^ 1);
        let text = String::from_utf8_lossy(name);
        let secret = looks_secret(&text);
        if secret || is_id(name) {
            self.folds = true;
            self.folded.push_str(".{}");
        } else {
            write_name(&mut self.folded, &text);
        }
        if secret {
            self.concrete.push_str(".{}");
        } else {
            write_name(&mut self.concrete, &text);
        }
    }

    /// Goes down to a member of an array, counted from 0.
    pub(crate) fn index(&mut self, index: usize) {
        self.hash = xxh3_64_with_seed(&(index as u64).to_le_bytes(), self.hash ^ 2);
        self.folds = true;
        self.folded.push_str("[*]");
        // Writing to a string cannot fail.
        let _written = write!(self.concrete, "[{index}]");
    }
}

fn write_name(path: &mut String, name: &str) {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if name.len() > NAME_BYTES {
        let end = name.floor_char_boundary(NAME_BYTES);
        let start = name.get(..end).unwrap_or_default();
        let rest = xxh3_64_with_seed(name.as_bytes(), 0);
        let cut = serde_json::Value::from(format!("{start}…{rest:016x}"));
        let _written = write!(path, "[{cut}]");
    } else if !name.is_empty() && name.chars().all(plain) {
        path.push('.');
        path.push_str(name);
    } else {
        let _written = write!(path, "[{}]", serde_json::Value::from(name));
    }
}

/// Returns whether a name is an id: digits only, a UUID, or at least 16 hexadecimal digits.
pub(crate) fn is_id(name: &[u8]) -> bool {
    if name.is_empty() {
        return false;
    }
    if name.iter().all(u8::is_ascii_digit) {
        return true;
    }
    if name.len() >= 16 && name.iter().all(u8::is_ascii_hexdigit) {
        return true;
    }
    name.len() == 36
        && name.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_folded_and_concrete() {
        let mut place = Place::root();
        place.name(b"orders");
        let mark = place.mark();
        place.index(3);
        place.name(b"any name");
        assert_eq!(place.folded(), "$.orders[*][\"any name\"]");
        assert_eq!(place.concrete(), "$.orders[3][\"any name\"]");
        assert!(place.hash().is_some());
        place.back(mark);
        place.name(b"1042");
        assert_eq!(place.folded(), "$.orders.{}");
        assert_eq!(place.concrete(), "$.orders.1042");
        place.back(mark);
        assert_eq!((place.folded(), place.hash()), ("$.orders", None));
    }

    #[test]
    fn the_same_place_has_the_same_hash_and_another_place_another() {
        let hash = |i, name: &str| {
            let mut place = Place::root();
            place.index(i);
            place.name(name.as_bytes());
            place.hash()
        };
        assert_eq!(hash(1, "a"), hash(1, "a"));
        assert_ne!(hash(1, "a"), hash(2, "a"));
        assert_ne!(hash(1, "a"), hash(1, "b"));
    }

    #[test]
    fn a_name_that_is_an_address_of_a_person_is_folded() {
        let mut place = Place::root();
        place.name(b"ada@example.org");
        assert_eq!((place.folded(), place.concrete()), ("$.{}", "$.{}"));
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let path = |tail: &str| {
            let mut place = Place::root();
            place.name(format!("{} {tail}", "é ".repeat(5_000)).as_bytes());
            place.folded().to_owned()
        };
        assert!(path("a").len() < 160);
        assert_ne!(path("a"), path("b"));
    }
}
