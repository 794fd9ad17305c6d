//! Two bodies side by side, line by line, with what differs marked. Pure.
//!
//! JSON is printed again, one value a line, the candidate's names in legacy's order, so that lines
//! differ where values do. Which lines count is not decided here: the caller knows the verdicts.

mod pairs;
mod place;
mod print;

#[cfg(test)]
mod tests;

pub(crate) use place::covers;
pub(crate) use place::fold;
pub(crate) use print::lines;

use std::ops::Range;

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

/// Puts lines beside each other; `judge` says how a line that differs is to be read.
pub(crate) fn rows(
    legacy: &[Line],
    candidate: &[Line],
    judge: impl Fn(Option<&Line>, Option<&Line>) -> Mark,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (left, right) in pairs::pairs(legacy, candidate) {
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
