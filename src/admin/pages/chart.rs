//! Charts as SVG, drawn here: at most 300 points, each with a title and a table behind it.
//!
//! The outer svg has no view box, so that text stays crisp; the plot is a nested, stretched one.

use maud::Markup;
use maud::html;
use std::fmt::Write as _;
use std::time::Duration;

use super::text;
use crate::admin::view::QuantilesView;
use crate::evidence::Slot;
use crate::model::UnixMillis;

/// Points of a line at most.
const POINTS_MAX: i64 = 120;
/// A gap longer than this breaks a line, in milliseconds.
const GAP_MS: i64 = 90_000;
/// Spans shorter than this are labeled to the second.
const SECONDS_BELOW: Duration = Duration::from_mins(10);

/// Thins slots to at most [`POINTS_MAX`], keeping in each span the one that rests on most pairs.
///
/// Nothing is averaged: every point drawn was measured.
pub(crate) fn thin(slots: &[Slot]) -> Vec<&Slot> {
    let Some((first, last)) = slots.first().zip(slots.last()) else {
        return Vec::new();
    };
    let whole = (last.at.0 - first.at.0).max(1) + 1;
    let width = (whole / POINTS_MAX).max(1) + 1;
    let mut out: Vec<&Slot> = Vec::new();
    for slot in slots
        .iter()
        .filter(|s| s.legacy_p50.is_some() || s.candidate_p50.is_some())
    {
        let span = |s: &Slot| (s.at.0 - first.at.0) / width;
        match out.last_mut() {
            Some(kept) if span(kept) == span(slot) => {
                if slot.pairs > kept.pairs {
                    *kept = slot;
                }
            }
            _ => out.push(slot),
        }
    }
    out
}

/// Takes a figure out of a row, if it is there.
type Pick<T> = fn(&T) -> Option<f64>;

/// One line of a chart.
struct Trace<'a> {
    class: &'a str,
    dashes: Option<&'a str>,
    value: Pick<Slot>,
}

const TRACES: [Trace<'static>; 4] = [
    Trace {
        class: "k-legacy thin",
        dashes: None,
        value: |s| s.legacy_p95,
    },
    Trace {
        class: "k-cand thin",
        dashes: Some("5 3"),
        value: |s| s.candidate_p95,
    },
    Trace {
        class: "k-legacy",
        dashes: None,
        value: |s| s.legacy_p50,
    },
    Trace {
        class: "k-cand",
        dashes: Some("5 3"),
        value: |s| s.candidate_p50,
    },
];

/// What the last points of the lines are called.
const ENDS: [(&str, Pick<Slot>); 2] = [
    ("p95", |s| s.legacy_p95.or(s.candidate_p95)),
    ("p50", |s| s.legacy_p50.or(s.candidate_p50)),
];

/// Returns the names of the lines and where they end; lines that end together share one.
fn ends(last: &Slot, y: impl Fn(f64) -> f64) -> Vec<(String, f64)> {
    let mut out: Vec<(String, f64)> = Vec::new();
    for (name, pick) in ENDS {
        let Some(place) = pick(last).map(&y) else {
            continue;
        };
        match out.last_mut() {
            Some((names, before)) if (place - *before).abs() < 14.0 => {
                *names = format!("{names}, {name}");
            }
            _ => out.push((name.to_owned(), place)),
        }
    }
    out
}

/// Draws the medians and 95th percentiles of both sides over the last hour, or nothing.
pub(crate) fn over_time(slots: &[Slot]) -> Option<Markup> {
    const HEIGHT: f64 = 168.0;
    let slots = thin(slots);
    let (first, last) = slots.first().zip(slots.last())?;
    if slots.len() < 2 {
        return None;
    }
    let top = TRACES
        .iter()
        .flat_map(|t| slots.iter().filter_map(|s| (t.value)(s)))
        .fold(0.0, f64::max);
    let top = ceiling(top);
    let span = millis((last.at.0 - first.at.0).max(1));
    let x = |at: UnixMillis| millis(at.0 - first.at.0) / span * 1_000.0;
    let y = |value: f64| HEIGHT - value / top * HEIGHT;
    let ticks = [0.0, 0.5, 1.0];
    let clock = |at: UnixMillis| {
        let short = last.at.since(first.at) < SECONDS_BELOW;
        if short {
            text::clock_seconds(at)
        } else {
            text::clock(at)
        }
    };
    let middle = UnixMillis(first.at.0.midpoint(last.at.0));
    Some(html! {
        svg.chart height="208" role="img" aria-labelledby="over-time-t" {
            title id="over-time-t" {
                "Time to first byte of legacy and candidate, " (text::clock(first.at)) " to "
                (text::clock(last.at)) " UTC"
            }
            @for tick in ticks {
                line.grid x1="0" x2="100%" y1=(y(tick * top) + 16.0) y2=(y(tick * top) + 16.0) {}
            }
            svg y="16" width="100%" height="168" viewBox="0 0 1000 168" preserveAspectRatio="none" {
                @for trace in &TRACES {
                    @for line in lines(&slots, trace.value, x, y) {
                        polyline class=(trace.class) stroke-dasharray=[trace.dashes] points=(line) {}
                    }
                }
            }
            @for tick in &ticks[1..] {
                text.halo x="4" y=(y(tick * top) + 12.0) { (text::seconds(tick * top)) }
            }
            @for (name, place) in ends(last, y) {
                text.halo.strong x="100%" y=(place + 10.0) text-anchor="end" { (name) }
            }
            text x="0%" y="202" text-anchor="start" { (clock(first.at)) }
            text x="50%" y="202" text-anchor="middle" { (clock(middle)) }
            text x="100%" y="202" text-anchor="end" { (clock(last.at)) }
        }
        (table(&slots))
    })
}

/// Returns one list of points for each stretch without a gap.
fn lines(
    slots: &[&Slot],
    value: fn(&Slot) -> Option<f64>,
    x: impl Fn(UnixMillis) -> f64,
    y: impl Fn(f64) -> f64,
) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut before: Option<UnixMillis> = None;
    for slot in slots {
        let Some(value) = value(slot) else { continue };
        let joined = before.is_some_and(|at| slot.at.0 - at.0 <= GAP_MS);
        if !joined {
            out.push(String::new());
        }
        if let Some(line) = out.last_mut() {
            write!(line, "{:.1},{:.1} ", x(slot.at), y(value)).expect("a string takes everything");
        }
        before = Some(slot.at);
    }
    out
}

fn table(slots: &[&Slot]) -> Markup {
    let cell = |value: Option<f64>| value.map_or(text::DASH.to_owned(), text::seconds);
    // A table that nobody can read helps nobody: every so many rows, the last one among them.
    let step = slots.len().div_ceil(24).max(1);
    html! {
        details.data data-keep="" {
            summary { "Show as table" }
            div.scroll tabindex="0" role="region" aria-label="Latency over time" {
                table {
                    caption.vh { "Time to first byte over time" }
                    thead { tr {
                        th scope="col" { "Time" } th.n scope="col" { "Pairs" }
                        th.n scope="col" { "Legacy p50" } th.n scope="col" { "Candidate p50" }
                        th.n scope="col" { "Legacy p95" } th.n scope="col" { "Candidate p95" }
                    } }
                    tbody {
                        @for slot in slots.iter().rev().step_by(step) {
                            tr {
                                th scope="row" { time datetime=(slot.at) { (text::clock(slot.at)) } }
                                td.n { (text::count(slot.pairs)) }
                                td.n { (cell(slot.legacy_p50)) } td.n { (cell(slot.candidate_p50)) }
                                td.n { (cell(slot.legacy_p95)) } td.n { (cell(slot.candidate_p95)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the next round number.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.001;
    }
    let scale = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * scale)
        .find(|step| *step >= value)
        .unwrap_or(value)
}

#[expect(clippy::cast_precision_loss, reason = "an hour in milliseconds")]
fn millis(span: i64) -> f64 {
    span as f64
}

/// Draws the quantiles of both sides on one logarithmic scale, or nothing.
pub(crate) fn quantiles(
    legacy: Option<&QuantilesView>,
    candidate: Option<&QuantilesView>,
) -> Option<Markup> {
    let picks: [(&str, Pick<QuantilesView>); 3] =
        [("p50", |q| q.p50), ("p95", |q| q.p95), ("p99", |q| q.p99)];
    let rows: Vec<_> = picks
        .into_iter()
        .map(|(name, pick)| (name, legacy.and_then(pick), candidate.and_then(pick)))
        .filter(|(_, l, c)| l.is_some() || c.is_some())
        .collect();
    let all = || rows.iter().flat_map(|(_, l, c)| [*l, *c]).flatten();
    let low = all().fold(f64::INFINITY, f64::min).max(1e-6);
    let high = all().fold(0.0, f64::max).max(low * 1.5);
    if rows.is_empty() {
        return None;
    }
    let x = |value: f64| {
        let place = (value.max(low) / low).ln() / (high / low).ln();
        format!("{:.1}%", 10.0 + place * 72.0)
    };
    let height = 8 + 52 * rows.len();
    Some(html! {
        svg.chart height=(height) role="img" aria-labelledby="quantiles-t" {
            title id="quantiles-t" {
                "Quantiles of legacy and candidate on a logarithmic scale, from "
                (text::seconds(low)) " to " (text::seconds(high))
            }
            @for (at, (name, legacy, candidate)) in rows.iter().enumerate() {
                @let line = 52 * at + 17;
                text.strong x="0" y=(line + 13) { (name) }
                line.grid x1="10%" x2="100%" y1=(line) y2=(line) {}
                line.grid x1="10%" x2="100%" y1=(line + 18) y2=(line + 18) {}
                @if let Some(value) = legacy {
                    svg x=(x(*value)) y=(line) overflow="visible" {
                        rect.f-legacy x="-5" y="-5" width="10" height="10" rx="1" {}
                    }
                    text.halo x=(x(*value)) dx="10" y=(line + 4) { (text::seconds(*value)) }
                }
                @if let Some(value) = candidate {
                    circle.f-cand cx=(x(*value)) cy=(line + 18) r="5" {}
                    text.halo x=(x(*value)) dx="10" y=(line + 22) { (text::seconds(*value)) }
                }
            }
        }
    })
}

/// A part of a bar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// The count.
    pub count: u64,
    /// The class of a plain color, or the pattern.
    pub fill: Fill,
}

/// How a piece is filled; shapes tell them apart without color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// A class.
    Class(&'static str),
    /// A pattern of the sprite.
    Pattern(&'static str),
}

/// Draws a stacked bar.
pub(crate) fn bar(pieces: &[Piece], total: u64, y: u32, height: u32) -> Markup {
    let whole = text::to_f64(total.max(1));
    let mut at = 0.0;
    let mut drawn = Vec::new();
    for piece in pieces.iter().filter(|p| p.count > 0) {
        let width = text::to_f64(piece.count) / whole * 100.0;
        drawn.push((format!("{at:.3}%"), format!("{width:.3}%"), piece.fill));
        at += width;
    }
    html! {
        @for (x, width, fill) in drawn {
            @match fill {
                Fill::Class(class) => {
                    rect class=(class) x=(x) y=(y) width=(width) height=(height) {}
                }
                Fill::Pattern(id) => {
                    rect fill={ "url(#" (id) ")" } x=(x) y=(y) width=(width) height=(height) {}
                    rect.edge x=(x) y=(y) width=(width) height=(height) {}
                }
            }
        }
    }
}

/// Draws the sample of a fill for a legend.
pub(crate) fn sample(fill: Fill) -> Markup {
    html! {
        svg.sw viewBox="0 0 11 11" aria-hidden="true" {
            @match fill {
                Fill::Class(class) => {
                    rect class=(class) width="11" height="11" {}
                    @if class == "out" { rect.edge x=".5" y=".5" width="10" height="10" {} }
                }
                Fill::Pattern(id) => {
                    rect fill={ "url(#" (id) ")" } width="11" height="11" {}
                    rect.edge x=".5" y=".5" width="10" height="10" {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(second: i64, pairs: u64) -> Slot {
        Slot {
            at: UnixMillis(second * 1_000),
            legacy_p50: Some(0.01),
            candidate_p50: Some(0.02),
            pairs,
            ..Slot::default()
        }
    }

    #[test]
    fn an_hour_of_slots_is_thinned_to_what_was_measured() {
        let slots: Vec<Slot> = (0..360_u32)
            .map(|n| slot(i64::from(n) * 10, u64::from(n % 7)))
            .collect();
        let kept = thin(&slots);
        assert!((60..=121).contains(&kept.len()));
        assert!(kept.iter().all(|k| slots.contains(k)));
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let slots = [slot(0, 1), slot(10, 1), slot(2_000, 1), slot(2_010, 1)];
        let slots: Vec<&Slot> = slots.iter().collect();
        assert_eq!(lines(&slots, |s| s.legacy_p50, |_| 0.0, |v| v).len(), 2);
    }

    #[test]
    fn nothing_is_drawn_from_nothing() {
        assert!(over_time(&[]).is_none());
        assert!(over_time(&[slot(0, 1)]).is_none());
        assert!(quantiles(None, None).is_none());
    }

    #[test]
    fn scales_end_on_round_numbers() {
        assert!((ceiling(0.041) - 0.06).abs() < 1e-12);
        assert!((ceiling(0.2) - 0.2).abs() < 1e-12);
        assert!(ceiling(0.0) > 0.0);
    }
}
