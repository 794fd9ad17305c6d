//! Two bodies side by side, line by line, with what differs marked. Pure.
//!
//! JSON is printed again, one value a line, the candidate's names in legacy's order, so that lines
//! differ where values do. Which lines count is not decided here: the caller knows the verdicts.

use serde_json::Value;
use std::fmt::Write as _;
use std::ops::Range;

/// Cells of the table of the longest common subsequence; beyond it lines are paired by place.
const TABLE_MAX: usize = 4_000_000;
/// Equal lines shown around a difference.
const CONTEXT: usize = 3;
/// The smallest number of equal lines that is folded away.
const FOLD_MIN: usize = 4;

/// How a row is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The same on both sides.
    Equal,
    /// Differs, and counts.
    Differs,
    /// Differs, and does not count, for the reason given.
    Masked(&'static str),
}

/// A line of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The text, indented.
    pub text: String,
    /// The concrete JSON path, empty for other texts.
    pub place: String,
    /// The type of the value that stands or begins here.
    pub kind: &'static str,
}

/// One side of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// The number of the line, from 1.
    pub number: usize,
    /// The text, indented.
    pub text: String,
    /// The bytes that differ.
    pub marked: Range<usize>,
    /// The type of the value, where the types differ.
    pub tag: Option<&'static str>,
}

/// Two lines beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Legacy's line.
    pub legacy: Option<Cell>,
    /// The candidate's line.
    pub candidate: Option<Cell>,
    /// How to read them.
    pub mark: Mark,
}

/// Rows that are shown, or folded away because they are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Shown.
    Shown(Vec<Row>),
    /// Equal, and far from any difference.
    Folded(Vec<Row>),
}

/// Returns the lines of both bodies; as JSON if both are.
pub(crate) fn lines(legacy: &str, candidate: &str, json: bool) -> (Vec<Line>, Vec<Line>) {
    if json
        && let Ok(left) = serde_json::from_str::<Value>(legacy)
        && let Ok(right) = serde_json::from_str::<Value>(candidate)
    {
        let right = ordered(right, &left);
        return (print(&left), print(&right));
    }
    (plain(legacy), plain(candidate))
}

fn plain(text: &str) -> Vec<Line> {
    text.lines()
        .map(|line| Line {
            text: line.to_owned(),
            place: String::new(),
            kind: "",
        })
        .collect()
}

/// Puts names into the order of `model`; new ones keep theirs, at the end.
fn ordered(value: Value, model: &Value) -> Value {
    match (value, model) {
        (Value::Object(mut map), Value::Object(model)) => {
            let mut out = serde_json::Map::new();
            for (name, inner) in model {
                if let Some(value) = map.shift_remove(name) {
                    out.insert(name.clone(), ordered(value, inner));
                }
            }
            out.append(&mut map);
            Value::Object(out)
        }
        (Value::Array(list), Value::Array(model)) => Value::Array(
            list.into_iter()
                .enumerate()
                .map(|(at, item)| match model.get(at) {
                    Some(inner) => ordered(item, inner),
                    None => item,
                })
                .collect(),
        ),
        (value, _) => value,
    }
}

fn print(value: &Value) -> Vec<Line> {
    let mut out = Vec::new();
    push(&mut out, value, &mut "$".to_owned(), 0, "", "");
    out
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn push(
    out: &mut Vec<Line>,
    value: &Value,
    place: &mut String,
    depth: usize,
    name: &str,
    end: &str,
) {
    let indent = "  ".repeat(depth);
    let mut line = |text: String, place: &str| {
        out.push(Line {
            text,
            place: place.to_owned(),
            kind: kind(value),
        });
    };
    let (open, close) = match value {
        Value::Array(list) if !list.is_empty() => ('[', ']'),
        Value::Object(map) if !map.is_empty() => ('{', '}'),
        scalar => return line(format!("{indent}{name}{scalar}{end}"), place),
    };
    line(format!("{indent}{name}{open}"), place);
    let length = place.len();
    let comma = |at: usize, count: usize| if at + 1 < count { "," } else { "" };
    match value {
        Value::Array(list) => {
            for (at, item) in list.iter().enumerate() {
                write!(place, "[{at}]").expect("a string takes everything");
                push(out, item, place, depth + 1, "", comma(at, list.len()));
                place.truncate(length);
            }
        }
        Value::Object(map) => {
            for (at, (name, item)) in map.iter().enumerate() {
                push_name(place, name);
                let name = format!("{}: ", Value::from(name.as_str()));
                push(out, item, place, depth + 1, &name, comma(at, map.len()));
                place.truncate(length);
            }
        }
        _ => {}
    }
    out.push(Line {
        text: format!("{indent}{close}{end}"),
        place: place.clone(),
        kind: kind(value),
    });
}

fn push_name(place: &mut String, name: &str) {
    let simple = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let result = if simple {
        write!(place, ".{name}")
    } else {
        write!(place, "[{}]", Value::from(name))
    };
    result.expect("a string takes everything");
}

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

/// Puts lines beside each other; `judge` says how a line that differs is to be read.
pub(crate) fn rows(
    legacy: &[Line],
    candidate: &[Line],
    judge: impl Fn(Option<&Line>, Option<&Line>) -> Mark,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (left, right) in pairs(legacy, candidate) {
        let (a, b) = (left.map(|at| &legacy[at]), right.map(|at| &candidate[at]));
        let mark = match (a, b) {
            (Some(a), Some(b)) if same(a, b) => Mark::Equal,
            _ => judge(a, b),
        };
        let (marked_a, marked_b) = match (a, b) {
            (Some(a), Some(b)) => marks(&a.text, &b.text),
            _ => (0..0, 0..0),
        };
        let types = matches!((a, b), (Some(a), Some(b)) if a.kind != b.kind);
        let cell = |at: Option<usize>, line: Option<&Line>, marked| {
            line.zip(at).map(|(line, at)| Cell {
                number: at + 1,
                text: line.text.clone(),
                marked,
                tag: (types && mark != Mark::Equal).then_some(line.kind),
            })
        };
        rows.push(Row {
            legacy: cell(left, a, marked_a),
            candidate: cell(right, b, marked_b),
            mark,
        });
    }
    rows
}

/// A comma at the end says only that something follows.
fn same(a: &Line, b: &Line) -> bool {
    bare(&a.text) == bare(&b.text)
}

fn bare(text: &str) -> &str {
    text.strip_suffix(',').unwrap_or(text)
}

/// Returns the bytes of each text that the other has not, at the ends of characters.
pub(crate) fn marks(a: &str, b: &str) -> (Range<usize>, Range<usize>) {
    let (a, b) = (bare(a), bare(b));
    let start: usize = a
        .chars()
        .zip(b.chars())
        .take_while(|(x, y)| x == y)
        .map(|(x, _)| x.len_utf8())
        .sum();
    let (rest_a, rest_b) = (a.split_at(start).1, b.split_at(start).1);
    let end: usize = rest_a
        .chars()
        .rev()
        .zip(rest_b.chars().rev())
        .take_while(|(x, y)| x == y)
        .map(|(x, _)| x.len_utf8())
        .sum();
    (start..a.len() - end, start..b.len() - end)
}

type Pair = (Option<usize>, Option<usize>);

fn pairs(a: &[Line], b: &[Line]) -> Vec<Pair> {
    let start = a.iter().zip(b).take_while(|(x, y)| same(x, y)).count();
    let (rest_a, rest_b) = (&a[start..], &b[start..]);
    let end = rest_a
        .iter()
        .rev()
        .zip(rest_b.iter().rev())
        .take_while(|(x, y)| same(x, y))
        .count();
    let (mid_a, mid_b) = (&rest_a[..rest_a.len() - end], &rest_b[..rest_b.len() - end]);
    let mut out: Vec<Pair> = (0..start).map(|at| (Some(at), Some(at))).collect();
    let mut hunk = Hunk::default();
    let small = mid_a
        .len()
        .checked_mul(mid_b.len())
        .is_some_and(|cells| cells <= TABLE_MAX);
    let common = if small {
        common(mid_a, mid_b)
    } else {
        Vec::new()
    };
    let (mut i, mut j) = (0, 0);
    for (x, y) in common.into_iter().chain([(mid_a.len(), mid_b.len())]) {
        hunk.left.extend((i..x).map(|at| start + at));
        hunk.right.extend((j..y).map(|at| start + at));
        hunk.close(a, b, &mut out);
        if x < mid_a.len() || y < mid_b.len() {
            out.push((Some(start + x), Some(start + y)));
        }
        (i, j) = (x + 1, y + 1);
    }
    let tail = (a.len() - end).max(start)..a.len();
    out.extend(tail.zip(b.len() - end..).map(|(x, y)| (Some(x), Some(y))));
    out
}

/// Returns the places of the longest common subsequence.
fn common(a: &[Line], b: &[Line]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    let mut table = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i * width + j] = if same(&a[i], &b[j]) {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if same(&a[i], &b[j]) {
            out.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if table[(i + 1) * width + j] >= table[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// Lines between two equal ones.
#[derive(Default)]
struct Hunk {
    left: Vec<usize>,
    right: Vec<usize>,
}

impl Hunk {
    /// Pairs lines of the same place; texts without places are paired in order.
    fn close(&mut self, a: &[Line], b: &[Line], out: &mut Vec<Pair>) {
        let mut next = 0;
        for &left in &self.left {
            let found = self.right.get(next..).and_then(|rest| {
                rest.iter()
                    .position(|&right| a[left].place == b[right].place)
            });
            match found {
                Some(skip) => {
                    let end = next + skip;
                    out.extend(self.right[next..end].iter().map(|&r| (None, Some(r))));
                    out.push((Some(left), Some(self.right[end])));
                    next = end + 1;
                }
                None => out.push((Some(left), None)),
            }
        }
        out.extend(self.right[next..].iter().map(|&r| (None, Some(r))));
        self.left.clear();
        self.right.clear();
    }
}

/// Folds equal rows that are far from any other.
pub(crate) fn segments(rows: Vec<Row>) -> Vec<Segment> {
    let near: Vec<bool> = {
        let mut near = vec![false; rows.len()];
        for (at, row) in rows.iter().enumerate() {
            if row.mark != Mark::Equal {
                let end = (at + CONTEXT + 1).min(rows.len());
                near[at.saturating_sub(CONTEXT)..end].fill(true);
            }
        }
        if let Some(edge) = near.first_mut() {
            *edge = true;
        }
        if let Some(edge) = near.last_mut() {
            *edge = true;
        }
        near
    };
    let mut out: Vec<Segment> = Vec::new();
    let mut run: Vec<Row> = Vec::new();
    for (row, near) in rows.into_iter().zip(near) {
        if near {
            flush(&mut out, &mut run);
            show(&mut out, [row]);
        } else {
            run.push(row);
        }
    }
    flush(&mut out, &mut run);
    out
}

fn flush(out: &mut Vec<Segment>, run: &mut Vec<Row>) {
    let rows = std::mem::take(run);
    match rows.len() {
        0 => {}
        n if n < FOLD_MIN => show(out, rows),
        _ => out.push(Segment::Folded(rows)),
    }
}

fn show(out: &mut Vec<Segment>, rows: impl IntoIterator<Item = Row>) {
    match out.last_mut() {
        Some(Segment::Shown(shown)) => shown.extend(rows),
        _ => out.push(Segment::Shown(rows.into_iter().collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(legacy: &str, candidate: &str) -> Vec<String> {
        let (a, b) = lines(legacy, candidate, true);
        rows(&a, &b, |_, _| Mark::Differs)
            .into_iter()
            .filter(|row| row.mark != Mark::Equal)
            .map(|row| {
                let text = |cell: Option<Cell>| {
                    cell.map_or("-".to_owned(), |c| {
                        c.text.get(c.marked.clone()).unwrap().to_owned()
                            + c.tag.map(|t| format!(" ({t})")).as_deref().unwrap_or("")
                            + if c.marked.is_empty() {
                                c.text.trim()
                            } else {
                                ""
                            }
                    })
                };
                format!("{} | {}", text(row.legacy), text(row.candidate))
            })
            .collect()
    }

    #[test]
    fn a_changed_type_is_one_row_with_both_types() {
        assert_eq!(
            shown(
                r#"{"id":1,"total":12.50,"x":true}"#,
                r#"{"x":true,"total":"12.50","id":1}"#
            ),
            [r#"12.50 (number) | "12.50" (string)"#]
        );
    }

    #[test]
    fn a_missing_member_stands_alone() {
        assert_eq!(
            shown(r#"{"a":1,"gone":{"b":2},"z":3}"#, r#"{"a":1,"z":3}"#),
            [r#""gone": { | -"#, r#""b": 2 | -"#, "}, | -"]
        );
        assert_eq!(
            shown(r#"{"a":1}"#, r#"{"a":1,"more":2}"#),
            [r#"- | "more": 2"#]
        );
    }

    #[test]
    fn a_longer_list_shows_what_came_in_between() {
        assert_eq!(shown("[1,2,4]", "[1,2,3,4]"), ["- | 3,"]);
    }

    #[test]
    fn texts_that_are_no_json_are_compared_by_line() {
        assert_eq!(shown("one\ntwo\nthree", "one\n2\nthree"), ["two | 2"]);
    }

    #[test]
    fn paths_fold_as_keys_do() {
        for (place, folded) in [
            ("$", "$"),
            ("$.a.b", "$.a.b"),
            ("$.items[17].id", "$.items[*].id"),
            ("$[0][1]", "$[*][*]"),
            ("$.byId.4711.name", "$.byId.{}.name"),
            ("$.x.0123456789abcdef", "$.x.{}"),
            (r#"$["a.b[0]"].c"#, r#"$["a.b[0]"].c"#),
            (r#"$["say \"]\""][3]"#, r#"$["say \"]\""][*]"#),
        ] {
            assert_eq!(fold(place), folded);
        }
    }

    #[test]
    fn a_path_covers_itself_and_what_lies_in_it() {
        assert!(covers("$.a", "$.a") && covers("$.a", "$.a.b[*]") && covers("$", "$.a"));
        assert!(!covers("$.a", "$.ab") && !covers("$.a.b", "$.a") && !covers("body", "$.a"));
        assert!(covers("$.by.{}.x", "$.by.anna.x") && !covers("$.by.{}", "$.by[*]"));
    }

    #[test]
    fn equal_lines_far_away_are_folded() {
        let list: Vec<u32> = (0..40).collect();
        let mut other = list.clone();
        other[20] = 999;
        let text = |l: &[u32]| serde_json::to_string(l).unwrap();
        let (a, b) = lines(&text(&list), &text(&other), true);
        let parts = segments(rows(&a, &b, |_, _| Mark::Differs));
        let sizes: Vec<_> = parts
            .iter()
            .map(|s| match s {
                Segment::Shown(r) => format!("+{}", r.len()),
                Segment::Folded(r) => format!("-{}", r.len()),
            })
            .collect();
        assert_eq!(sizes, ["+1", "-17", "+7", "-16", "+1"]);
    }

    #[test]
    fn a_huge_pair_is_still_laid_out() {
        let text = |step: u32| {
            let list: Vec<u32> = (0..4_000).map(|n| n * step).collect();
            serde_json::to_string(&list).unwrap()
        };
        let (a, b) = lines(&text(2), &text(3), true);
        let rows = rows(&a, &b, |_, _| Mark::Differs);
        assert_eq!(rows.len(), 4_002);
    }

    proptest! {
        #[test]
        fn every_line_appears_once_and_in_order(
            a in proptest::collection::vec("[a-c]{1,2},?", 0..30),
            b in proptest::collection::vec("[a-c]{1,2},?", 0..30),
        ) {
            let (left, right) = lines(&a.join("\n"), &b.join("\n"), false);
            let rows = rows(&left, &right, |_, _| Mark::Differs);
            let numbers = |side: fn(&Row) -> Option<&Cell>| -> Vec<usize> {
                rows.iter().filter_map(side).map(|c| c.number).collect()
            };
            let all = |n: usize| (1..=n).collect::<Vec<_>>();
            prop_assert_eq!(numbers(|r| r.legacy.as_ref()), all(left.len()));
            prop_assert_eq!(numbers(|r| r.candidate.as_ref()), all(right.len()));
            let count = rows.len();
            let kept: usize = segments(rows)
                .iter()
                .map(|s| match s { Segment::Shown(r) | Segment::Folded(r) => r.len() })
                .sum();
            prop_assert_eq!(kept, count);
        }

        #[test]
        fn marks_lie_on_characters(a in ".{0,20}", b in ".{0,20}") {
            let (x, y) = marks(&a, &b);
            prop_assert!(a.get(x).is_some() && b.get(y).is_some());
        }
    }
}
