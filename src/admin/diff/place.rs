//! JSON paths: concrete ones, and as keys fold them. Pure.

/// Folds a concrete path: indices become `[*]`, names that are ids become `.{}`.
pub(crate) fn fold(place: &str) -> String {
    let mut out = String::with_capacity(place.len());
    for step in steps(place) {
        let index = step
            .strip_prefix('[')
            .and_then(|s| s.strip_suffix(']'))
            .is_some_and(|s| s.bytes().all(|b| b.is_ascii_digit()));
        match step.strip_prefix('.') {
            _ if index => out.push_str("[*]"),
            Some(name) if is_id(name) => out.push_str(".{}"),
            _ => out.push_str(step),
        }
    }
    out
}

/// Returns whether `path`, folded, is the place of `folded` or of something it lies in.
///
/// A place that the evidence folded later on has `.{}` where this one has a name.
pub(crate) fn covers(path: &str, folded: &str) -> bool {
    let mut inner = steps(folded);
    steps(path).all(|outer| match inner.next() {
        Some(step) => outer == step || (outer == ".{}" && step != "[*]"),
        None => false,
    })
}

/// Splits a path: `$`, `.a`, `["b c"]`, `[*]`.
fn steps(place: &str) -> impl Iterator<Item = &str> {
    let mut rest = place;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = match first {
            '[' if rest.starts_with("[\"") => name_end(rest),
            '[' => rest.find(']').map_or(rest.len(), |at| at + 1),
            _ => rest
                .char_indices()
                .skip(1)
                .find(|(_, c)| matches!(c, '.' | '['))
                .map_or(rest.len(), |(at, _)| at),
        };
        let (step, after) = rest.split_at(end);
        rest = after;
        Some(step)
    })
}

/// Returns where `["any name"]` at the start of `text` ends.
fn name_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(2) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return (at + 2).min(text.len()),
            _ => {}
        }
    }
    text.len()
}

fn is_id(name: &str) -> bool {
    let digits = name.bytes().all(|b| b.is_ascii_digit());
    let hex = name.bytes().all(|b| b.is_ascii_hexdigit());
    let uuid = name.len() == 36
        && name.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
    !name.is_empty() && (digits || (hex && name.len() >= 16) || uuid)
}
