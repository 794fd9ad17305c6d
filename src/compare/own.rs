//! Echoes of fields that this proxy set on a copy. Pure.
//!
//! A copy carries one field more than the request that was served. An application that writes the
//! request into its answer shows it there; such a difference says nothing about the application.
//! Only the field's name together with its value is taken for an echo, never more of the text.

/// Bytes that may stand between a name and its value, as in `name": "value`.
const GAP_BYTES: usize = 8;

/// Echoes of one field that are taken out of one text; each costs a copy of it.
const ECHOES_MAX: usize = 16;

/// A field that this proxy set on one of the two requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnField {
    /// Its name, in lower case: `supplant-role`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

impl OwnField {
    /// Returns whether a name is this field's, also as CGI writes it: `HTTP_SUPPLANT_ROLE`.
    fn is_named(&self, name: &[u8]) -> bool {
        let short = match name.split_first_chunk::<5>() {
            Some((start, rest)) if same_name(start, b"http-") => rest,
            _ => name,
        };
        same_name(name, self.name.as_bytes()) || same_name(short, self.name.as_bytes())
    }

    /// Returns where the field with its value stands in `text`.
    fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        let name = self.name.as_bytes();
        let mut windows = text.windows(name.len().max(1)).enumerate();
        windows.find_map(|(start, window)| {
            if !same_name(window, name) {
                return None;
            }
            let after = text.get(start + name.len()..)?;
            let gap = after.iter().position(u8::is_ascii_alphanumeric)?;
            let value = after.get(gap..)?.strip_prefix(self.value.as_bytes())?;
            let whole = !value.first().is_some_and(u8::is_ascii_alphanumeric);
            let near = gap > 0 && gap <= GAP_BYTES && !after.iter().take(gap).any(|b| *b == b'\n');
            (whole && near).then(|| (prefixed(text, start), text.len() - value.len()))
        })
    }
}

/// Returns whether two names are equal but for case and for `_` in place of `-`.
fn same_name(a: &[u8], b: &[u8]) -> bool {
    let plain = |byte: u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| plain(*a) == plain(*b))
}

/// Returns where the name begins when CGI's prefix is counted in.
fn prefixed(text: &[u8], start: usize) -> usize {
    let before = start.checked_sub(5).and_then(|from| text.get(from..start));
    match before {
        Some(before) if same_name(before, b"http-") => start - 5,
        _ => start,
    }
}

/// Returns whether `name` is one of our own fields.
pub(crate) fn is_name(own: &[OwnField], name: &[u8]) -> bool {
    own.iter().any(|field| field.is_named(name))
}

/// Returns whether `value` is the value of one of our own fields.
pub(crate) fn is_value(own: &[OwnField], value: &[u8]) -> bool {
    own.iter().any(|field| field.value.as_bytes() == value)
}

/// Returns whether `text` is nothing but one of our own fields: its name, or its name and value.
pub(crate) fn is_whole(own: &[OwnField], text: &[u8]) -> bool {
    is_name(own, text)
        || strip(own, text).is_some_and(|rest| !rest.iter().any(u8::is_ascii_alphanumeric))
}

/// Returns whether two texts are equal but for our own fields in them.
pub(crate) fn same_but_own(own: &[OwnField], legacy: &[u8], candidate: &[u8]) -> bool {
    match (strip(own, legacy), strip(own, candidate)) {
        (None, None) => false,
        (a, b) => a.as_deref().unwrap_or(legacy) == b.as_deref().unwrap_or(candidate),
    }
}

/// Returns `text` without our own fields, or nothing if there are none in it.
fn strip(own: &[OwnField], text: &[u8]) -> Option<Vec<u8>> {
    let mut rest: Option<Vec<u8>> = None;
    for field in own {
        let mut from = 0;
        for _ in 0..ECHOES_MAX {
            let now = rest.as_deref().unwrap_or(text);
            let Some((start, end)) = now.get(from..).and_then(|tail| field.find(tail)) else {
                break;
            };
            let (start, end) = widen(now, from + start, from + end);
            let mut kept = now.get(..start).unwrap_or_default().to_vec();
            kept.extend_from_slice(now.get(end..).unwrap_or_default());
            from = start;
            rest = Some(kept);
        }
    }
    rest
}

/// Takes the quotes around a range in, as JSON writes names and values.
fn unquote(text: &[u8], start: usize, end: usize) -> (usize, usize) {
    let before = start.checked_sub(1).and_then(|at| text.get(at));
    match (before, text.get(end)) {
        (Some(open @ (b'"' | b'\'')), Some(close)) if open == close => (start - 1, end + 1),
        _ => (start, end),
    }
}

/// Widens a range to its whole line, if nothing else is in it; otherwise to one separator.
fn widen(text: &[u8], start: usize, end: usize) -> (usize, usize) {
    let (start, end) = unquote(text, start, end);
    let before = text.get(..start).unwrap_or_default();
    let after = text.get(end..).unwrap_or_default();
    let line_start = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |i| i + 1);
    let line_end = after
        .iter()
        .position(|b| *b == b'\n')
        .map_or(text.len(), |i| end + i + 1);
    let blank = |from: usize, to: usize| {
        let part = text.get(from..to).unwrap_or_default();
        !part
            .iter()
            .any(|b| b.is_ascii_alphanumeric() || !b.is_ascii())
    };
    if blank(line_start, start) && blank(end, line_end) {
        return (line_start, line_end);
    }
    let separator = |b: &&u8| b",;& ".contains(b);
    match after.iter().take_while(separator).count() {
        0 => (
            start - before.iter().rev().take_while(separator).count(),
            end,
        ),
        wide => (start, end + wide),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<OwnField> {
        vec![OwnField {
            name: "supplant-role",
            value: "shadow".to_owned(),
        }]
    }

    fn same(legacy: &str, candidate: &str) -> bool {
        same_but_own(&own(), legacy.as_bytes(), candidate.as_bytes())
    }

    #[test]
    fn an_echo_is_the_name_with_its_value_and_no_more() {
        assert!(same("Host: a\r\n", "Host: a\r\nSupplant-Role: shadow\r\n"));
        assert!(same("a=1&b=2", "a=1&supplant_role=shadow&b=2"));
        assert!(same("a=1", "a=1, HTTP_SUPPLANT_ROLE=shadow"));
        assert!(same(
            "{\"a\": {\"b\": \"c\"}}\n{}\n",
            "{\"a\": {\"b\": \"c\", \"Supplant-Role\": \"shadow\"}}\n{}\n"
        ));
        assert!(!same("Host: a\r\n", "Host: a\r\nSupplant-Role: other\r\n"));
        assert!(!same("Host: a\r\n", "Host: b\r\nSupplant-Role: shadow\r\n"));
        assert!(!same("total 1", "total 2 Supplant-Role: shadow"));
        assert!(!same("a", "b"));
    }

    #[test]
    fn names_are_known_however_they_are_written() {
        for name in ["Supplant-Role", "SUPPLANT_ROLE", "HTTP_SUPPLANT_ROLE"] {
            assert!(is_name(&own(), name.as_bytes()), "{name}");
        }
        assert!(!is_name(&own(), b"Role"));
        assert!(is_whole(&own(), b"Supplant-Role: shadow"));
        assert!(!is_whole(&own(), b"x Supplant-Role: shadow"));
    }
}
