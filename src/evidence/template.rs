//! Endpoint templates and crowded places. Pure.
//!
//! A segment of digits, a UUID, or 16 hexadecimal digits and more is an id and becomes `{}`. A
//! place in a path, or an object in an answer, that shows more names than [`CROWDED`] is crowded:
//! the names seen often keep theirs, all others become `{}`.

use crate::compare::hides;
use crate::model::FieldKey;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// More distinct names than these fold a place.
pub(super) const CROWDED: usize = 64;
/// A name seen as often as this when its place folds keeps its name.
pub(super) const FREQUENT: u64 = 20;
/// The endpoint, and the path of keys, that stand for all that do not fit.
pub(super) const OTHER: &str = "_other";
/// What stands for a folded name.
pub(super) const FOLDED: &str = "{}";
/// Separates an endpoint from a place in its answers.
pub(super) const INSIDE: char = '\n';

/// Segments of a path that are looked at; what follows is one more segment.
const SEGMENTS: usize = 24;
/// A longer segment is an id.
const SEGMENT_BYTES: usize = 80;

/// Which places are crowded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folds {
    /// A place (`GET /users/`, or an endpoint, [`INSIDE`] and `$.prices`) and the names it keeps.
    pub(super) places: HashMap<Box<str>, HashSet<Box<str>>>,
    /// Endpoints that have a crowded place in their answers.
    pub(super) inside: HashSet<Box<str>>,
}

impl Folds {
    /// Returns the template of a path, `GET /orders/{}`; folding a template again keeps it.
    pub fn endpoint(&self, method: &str, path: &str) -> Arc<str> {
        self.template(method, path).into()
    }

    pub(super) fn template(&self, method: &str, path: &str) -> String {
        let mut out = String::with_capacity(method.len() + path.len() + 1);
        out.push_str(method);
        out.push(' ');
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let path = path.strip_prefix('/').unwrap_or(path);
        for (index, segment) in path.splitn(SEGMENTS, '/').enumerate() {
            out.push('/');
            let rest = index + 1 == SEGMENTS && segment.contains('/');
            let named = segment.is_empty()
                || !rest
                    && !is_id(segment)
                    && self
                        .places
                        .get(out.as_str())
                        .is_none_or(|kept| kept.contains(segment));
            out.push_str(if named { segment } else { FOLDED });
        }
        out
    }

    /// Folds a template that was made when less was known.
    pub(super) fn again(&self, endpoint: &str) -> String {
        match endpoint.split_once(' ') {
            Some((method, path)) => self.template(method, path),
            None => endpoint.to_owned(),
        }
    }

    /// Folds crowded names in a key.
    pub(super) fn field(&self, endpoint: &str, key: &FieldKey) -> FieldKey {
        match self.key(endpoint, &key.path) {
            Some(path) => FieldKey::new(path, key.kind),
            None => key.clone(),
        }
    }

    /// Folds crowded names in the path of a key, or returns nothing if it stays as it is.
    pub(super) fn key(&self, endpoint: &str, path: &str) -> Option<String> {
        if !self.inside.contains(endpoint) || !path.starts_with('$') {
            return None;
        }
        let mut place = String::with_capacity(endpoint.len() + path.len() + 1);
        place.push_str(endpoint);
        place.push(INSIDE);
        let start = place.len();
        for step in steps(path) {
            let folds = is_name(step)
                && self
                    .places
                    .get(place.as_str())
                    .is_some_and(|kept| !kept.contains(step));
            place.push_str(if folds { ".{}" } else { step });
        }
        let folded = place.split_off(start);
        (folded != path).then_some(folded)
    }
}

/// Returns whether a step of a JSON path is a name that may fold.
pub(super) fn is_name(step: &str) -> bool {
    step != ".{}" && step != "[*]" && step != "$"
}

/// Splits a JSON path into `$`, `.name`, `["any name"]`, `[*]` and `.{}`.
pub(super) fn steps(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (step, tail) = rest.split_at_checked(step_len(rest)).unwrap_or((rest, ""));
        rest = tail;
        Some(step)
    })
}

fn step_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    if bytes.starts_with(b"[\"") {
        let mut at = 2;
        while at < bytes.len() && bytes[at] != b'"' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        return (at + 2).min(bytes.len());
    }
    let tail = bytes.iter().skip(1);
    1 + tail.take_while(|&&b| b != b'.' && b != b'[').count()
}

/// Returns whether a segment names one of many things, or is a secret: templates are shown to
/// everybody and kept as they are.
fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    if bytes.is_empty() {
        return false;
    }
    segment == FOLDED
        || bytes.len() > SEGMENT_BYTES
        || bytes.iter().all(u8::is_ascii_digit)
        || (bytes.len() >= 16 && bytes.iter().all(u8::is_ascii_hexdigit))
        || is_uuid(bytes)
        || hides(segment)
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_path_is_in_no_template() {
        let folds = Folds::default();
        for (path, template) in [
            ("/users/bob@example.com/orders", "GET /users/{}/orders"),
            ("/users/bob%40example.com", "GET /users/{}"),
            ("/invite/ghp_0123456789abcdefABCDEF", "GET /invite/{}"),
            ("/cart;jsessionid=1A2B", "GET /{}"),
            ("/orders/by-date", "GET /orders/by-date"),
        ] {
            assert_eq!(folds.template("GET", path), template);
            assert_eq!(folds.again(template), template);
        }
    }
}
