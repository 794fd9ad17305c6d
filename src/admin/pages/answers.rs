//! Both answers beside each other.
//!
//! The lines come from [`crate::admin::diff`]; here the verdicts say which of them count. Readers
//! without a token see shapes: the comparison is made on the values, the text shown has none.

use maud::Markup;
use maud::html;
use std::ops::Range;

use super::parts;
use super::text;
use crate::admin::diff;
use crate::admin::diff::Cell;
use crate::admin::diff::Line;
use crate::admin::diff::Mark;
use crate::admin::diff::Row;
use crate::admin::diff::Segment;
use crate::admin::shape;
use crate::compare::BodyKind;
use crate::control::SliceBoard;
use crate::evidence::Verdict;
use crate::model::Side;
use crate::store::AnswerView;
use crate::store::Example;

/// Rows drawn of one pair at most; the rest is said.
const ROWS_MAX: usize = 4_000;

/// A place, and whether what differs there is known noise.
struct Judge {
    keys: Vec<(String, String, bool)>,
}

impl Judge {
    fn of(slice: &SliceBoard, pair: &Example) -> Self {
        let noisy = |path: &str, kind: &str| is_noise(slice, pair, path, kind);
        let mut keys: Vec<(String, String, bool)> = pair
            .differences
            .iter()
            .map(|d| {
                (
                    d.path.clone(),
                    d.place.clone(),
                    noisy(&d.path, d.kind.as_str()),
                )
            })
            .collect();
        for key in &pair.set_keys {
            if !keys.iter().any(|(path, ..)| **path == *key.path) {
                let masked = noisy(&key.path, key.kind.as_str());
                keys.push((key.path.to_string(), String::new(), masked));
            }
        }
        Self { keys }
    }

    /// Says how a line of a body that differs is to be read.
    fn line(&self, legacy: Option<&Line>, candidate: Option<&Line>) -> Mark {
        let place = [legacy, candidate]
            .into_iter()
            .flatten()
            .map(|line| line.place.as_str())
            .find(|place| !place.is_empty())
            .unwrap_or("");
        let folded = diff::fold(place);
        let plain = place.is_empty();
        self.mark(|path, concrete| {
            let of_body =
                !path.starts_with("header:") && !path.starts_with("trailer:") && path != "status";
            of_body
                && (plain
                    || path == "body"
                    || path.starts_with("_other")
                    || diff::covers(path, &folded)
                    || (!concrete.is_empty() && diff::covers(concrete, place)))
        })
    }

    /// Says how another place that differs is to be read.
    fn named(&self, name: &str) -> Mark {
        self.mark(|path, _| path == name)
    }

    fn mark(&self, hit: impl Fn(&str, &str) -> bool) -> Mark {
        let mut mark = Mark::Masked("by default");
        for (path, place, noisy) in &self.keys {
            if hit(path, place) {
                if !noisy {
                    return Mark::Differs;
                }
                mark = Mark::Masked("noise");
            }
        }
        mark
    }
}

/// Returns whether legacy changes there by itself.
pub(crate) fn is_noise(slice: &SliceBoard, pair: &Example, path: &str, kind: &str) -> bool {
    slice.keys.iter().any(|k| {
        k.verdict == Verdict::Noisy
            && *k.endpoint == *pair.endpoint
            && &*k.key.path == path
            && k.key.kind.as_str() == kind
    })
}

/// Draws both answers of a pair.
pub(crate) fn panel(values: bool, slice: &SliceBoard, pair: &Example, pager: &Markup) -> Markup {
    let judge = Judge::of(slice, pair);
    let (legacy, candidate) = (pair.legacy.as_ref(), pair.candidate.as_ref());
    let headers = headers(legacy, candidate, &judge, values);
    let served = match slice.share_served {
        Some(share) if share >= 1.0 => Some(Side::Candidate),
        Some(share) if share <= 0.0 => Some(Side::Legacy),
        _ => None,
    };
    html! {
        section.panel.diff id="pair" aria-labelledby="pair-h" {
            div.panel-head {
                h2 id="pair-h" { "Both answers" }
                p { code {
                    @if values { (pair.request.method) " " (redacted(&pair.request.target)) }
                    @else { (pair.endpoint) }
                } }
                (pager)
            }
            table.diff-top {
                (columns())
                caption.vh { "Status, time and size of both answers" }
                thead.diff-head { tr {
                    th.no { span.vh { "Line" } }
                    th scope="col" { (answer_head(Side::Legacy, legacy, served, None)) }
                    th.op { span.vh { "Differs" } }
                    th.no { span.vh { "Line" } }
                    th scope="col" { (answer_head(Side::Candidate, candidate, served, pair.error.as_deref())) }
                } }
                (status_row(legacy, candidate, &judge))
            }
            (header_rows(&headers))
            (bodies(legacy, candidate, &judge, values))
        }
    }
}

fn answer_head(
    side: Side,
    answer: Option<&AnswerView>,
    served: Option<Side>,
    error: Option<&str>,
) -> Markup {
    html! {
        (parts::side(side))
        @match answer {
            Some(answer) => {
                b { (answer.status) }
                " · " (text::seconds(micros(answer.duration_us)))
                " · " (text::bytes(answer.body.bytes))
                @if let Some(served) = served {
                    span.nb { (if served == side { " · served the client" } else { " · a copy" }) }
                }
            }
            None => { span.err { (error.unwrap_or("no answer")) } }
        }
    }
}

fn micros(us: u64) -> f64 {
    text::to_f64(us) / 1e6
}

fn columns() -> Markup {
    html! { colgroup { col.c-no; col; col.c-op; col.c-no; col; } }
}

fn status_row(
    legacy: Option<&AnswerView>,
    candidate: Option<&AnswerView>,
    judge: &Judge,
) -> Markup {
    let (Some(legacy), Some(candidate)) = (legacy, candidate) else {
        return html! {};
    };
    if legacy.status == candidate.status {
        return html! {};
    }
    let cell = |status: u16| Cell {
        number: 0,
        text: format!("status {status}"),
        marked: 7..10,
        tag: None,
    };
    let row = Row {
        legacy: Some(cell(legacy.status)),
        candidate: Some(cell(candidate.status)),
        mark: judge.named("status"),
    };
    html! { tbody { (draw(&row)) } }
}

fn headers(
    legacy: Option<&AnswerView>,
    candidate: Option<&AnswerView>,
    judge: &Judge,
    values: bool,
) -> Vec<Row> {
    let joined = |answer: Option<&AnswerView>, name: &str| -> Option<String> {
        let all: Vec<&str> = answer?
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect();
        (!all.is_empty()).then(|| all.join(", "))
    };
    let mut names: Vec<String> = Vec::new();
    for answer in [legacy, candidate].into_iter().flatten() {
        for (name, _) in &answer.headers {
            let name = name.to_ascii_lowercase();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
        .iter()
        .map(|name| {
            let (a, b) = (joined(legacy, name), joined(candidate, name));
            let mark = if a == b {
                Mark::Equal
            } else {
                judge.named(&format!("header:{name}"))
            };
            let line = |value: &Option<String>| {
                value
                    .as_ref()
                    .map(|v| format!("{name}: {}", shape::header(name, v, values)))
            };
            row(line(&a), line(&b), mark, (0, 0))
        })
        .collect()
}

fn row(a: Option<String>, b: Option<String>, mark: Mark, numbers: (usize, usize)) -> Row {
    let (marked_a, marked_b) = match (&a, &b) {
        (Some(a), Some(b)) if mark != Mark::Equal => marked(a, b),
        _ => (0..0, 0..0),
    };
    let cell = |text: Option<String>, marked, number| {
        text.map(|text| Cell {
            number,
            text,
            marked,
            tag: None,
        })
    };
    Row {
        legacy: cell(a, marked_a, numbers.0),
        candidate: cell(b, marked_b, numbers.1),
        mark,
    }
}

/// Returns what to mark; where shapes are equal, the whole of what stands after the name.
fn marked(a: &str, b: &str) -> (Range<usize>, Range<usize>) {
    if a != b {
        return diff::marks(a, b);
    }
    let start = a.find(": ").map_or(0, |at| at + 2);
    let end = a.strip_suffix(',').map_or(a.len(), str::len);
    let range = start.min(end)..end;
    (range.clone(), range)
}

fn header_rows(rows: &[Row]) -> Markup {
    if rows.is_empty() {
        return html! {};
    }
    let count = |wanted: fn(Mark) -> bool| rows.iter().filter(|r| wanted(r.mark)).count() as u64;
    let differ = count(|m| m == Mark::Differs);
    let masked = count(|m| matches!(m, Mark::Masked(_)));
    let equal = count(|m| m == Mark::Equal);
    html! {
        @if differ > 0 { (table(&rows.iter().filter(|r| r.mark == Mark::Differs).cloned().collect::<Vec<_>>(), "Headers that differ")) }
        details.fold data-keep="" {
            summary {
                (if differ > 0 { "All headers: " } else { "Headers: " })
                @if differ > 0 { (differ) " differ, " }
                (equal) " equal"
                @if masked > 0 { ", " (masked) " not compared or noise" }
            }
            (table(rows, "Response headers"))
        }
    }
}

fn bodies(
    legacy: Option<&AnswerView>,
    candidate: Option<&AnswerView>,
    judge: &Judge,
    values: bool,
) -> Markup {
    let json = [legacy, candidate]
        .iter()
        .flatten()
        .all(|a| a.body.kind == BodyKind::Json);
    let whole = [legacy, candidate].iter().all(Option::is_some);
    let (left, right) = diff::lines(body_text(legacy), body_text(candidate), json && whole);
    let mut rows = diff::rows(&left, &right, |a, b| {
        if whole {
            judge.line(a, b)
        } else {
            Mark::Differs
        }
    });
    let cut = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    let differ = rows.iter().filter(|r| r.mark == Mark::Differs).count();
    let masked = rows
        .iter()
        .filter(|r| matches!(r.mark, Mark::Masked(_)))
        .count();
    let total = rows.len();
    if !values {
        for row in &mut rows {
            veil(row, json);
        }
    }
    let truncated = [legacy, candidate]
        .into_iter()
        .flatten()
        .any(|a| a.body.truncated);
    html! {
        @if total == 0 { p.panel-body.dim { "Neither answer has a body." } }
        @for segment in diff::segments(rows) {
            @match segment {
                Segment::Shown(rows) => { (table(&rows, "Body")) }
                Segment::Folded(rows) => {
                    details.fold data-keep="" {
                        summary { (rows.len()) " equal lines" (range(&rows)) }
                        (table(&rows, "Equal lines"))
                    }
                }
            }
        }
        p.panel-foot {
            b { (text::plural(differ as u64, "line differs", "lines differ")) }
            @if masked > 0 { ", " (masked) " masked" }
            ", " (total - differ - masked) " of " (total) " lines equal. "
            @if json && whole { "JSON is laid out again, names in legacy’s order. " }
            @if cut > 0 { (text::count(cut as u64)) " more lines are not shown. " }
            @if truncated { "The end of a long body was not kept. " }
            @if !values { "Shapes only: values take a token. " }
            "Secrets were redacted before storing."
        }
    }
}

fn body_text(answer: Option<&AnswerView>) -> &str {
    answer.map_or("", |a| a.body.text.as_str())
}

fn range(rows: &[Row]) -> String {
    let number = |row: Option<&Row>| row.and_then(|r| r.legacy.as_ref()).map(|c| c.number);
    match (number(rows.first()), number(rows.last())) {
        (Some(first), Some(last)) => format!(", {first} to {last}"),
        _ => String::new(),
    }
}

/// Puts shapes in place of values; the mark on the row stays.
fn veil(row: &mut Row, json: bool) {
    let shape = |text: &str| {
        if json {
            shape::json_line(text)
        } else {
            shape::text_line(text)
        }
    };
    for cell in [&mut row.legacy, &mut row.candidate].into_iter().flatten() {
        cell.text = shape(&cell.text);
        cell.marked = 0..0;
    }
    if let (Some(a), Some(b)) = (&mut row.legacy, &mut row.candidate)
        && row.mark != Mark::Equal
    {
        (a.marked, b.marked) = marked(&a.text, &b.text);
    }
}

fn table(rows: &[Row], caption: &str) -> Markup {
    html! {
        table {
            (columns())
            caption.vh { (caption) }
            thead.vh { tr {
                th scope="col" { "Line" } th scope="col" { "legacy" } th scope="col" { "Differs" }
                th scope="col" { "Line" } th scope="col" { "candidate" }
            } }
            tbody { @for row in rows { (draw(row)) } }
        }
    }
}

fn draw(row: &Row) -> Markup {
    let (class, sign, says) = match row.mark {
        Mark::Equal => ("eq", "", ""),
        Mark::Differs => ("bad", "≠", "differs"),
        Mark::Masked(why) => ("masked", "≈", why),
    };
    let number = |cell: Option<&Cell>| {
        cell.filter(|c| c.number > 0)
            .map(|c| c.number.to_string())
            .unwrap_or_default()
    };
    let why = match row.mark {
        Mark::Masked(why) => Some(why),
        Mark::Equal | Mark::Differs => None,
    };
    html! {
        tr class=(class) {
            td.no { (number(row.legacy.as_ref())) }
            td.l.gone[row.legacy.is_none()] { (cell(row.legacy.as_ref(), "legacy", row.mark, why)) }
            td.op { @if !sign.is_empty() { span aria-hidden="true" { (sign) } span.vh { (says) } } }
            td.no { (number(row.candidate.as_ref())) }
            td.c.gone[row.candidate.is_none()] { (cell(row.candidate.as_ref(), "candidate", row.mark, None)) }
        }
    }
}

fn cell(cell: Option<&Cell>, side: &str, mark: Mark, why: Option<&str>) -> Markup {
    let Some(cell) = cell else {
        return html! { span.vh { (side) " has nothing here" } };
    };
    let whole = cell.text.as_str();
    let Range { start, end } = cell.marked.clone();
    let (before, rest) = whole.split_at_checked(start).unwrap_or((whole, ""));
    let (inside, after) = rest
        .split_at_checked(end.saturating_sub(start))
        .unwrap_or(("", rest));
    html! {
        @if mark == Mark::Differs { span.vh { (side) " " } }
        (redacted(before))
        @if !inside.is_empty() { mark { (redacted(inside)) } }
        (redacted(after))
        @if let Some(tag) = cell.tag { span.tag { (tag) } }
        @if let Some(why) = why { span.tag { (why) } }
    }
}

/// Draws text; what was redacted, `«token 3f9a»`, stands out.
pub(crate) fn redacted(text: &str) -> Markup {
    let mut rest = text;
    let mut pieces: Vec<(bool, &str)> = Vec::new();
    while let Some((before, after)) = rest.split_once('«') {
        let Some((inside, tail)) = after.split_once('»') else {
            break;
        };
        pieces.push((false, before));
        pieces.push((true, inside));
        rest = tail;
    }
    pieces.push((false, rest));
    html! {
        @for (red, piece) in pieces {
            @if red { span.red title="redacted" { "‹" (piece) "›" } } @else { (piece) }
        }
    }
}
