//! The page of one difference: what it is, both answers, the request.

use maud::Markup;
use maud::html;

use super::answers;
use super::frame::Frame;
use super::parts;
use super::parts::Panel;
use super::slice;
use super::state::ticked;
use super::text;
use crate::admin::shape;
use crate::admin::view;
use crate::admin::view::GroupView;
use crate::control::SliceBoard;
use crate::store::DifferenceView;
use crate::store::Example;

/// What the page shows: a group, and those of its pairs that are still kept.
#[derive(Clone, Debug)]
pub(crate) struct Shown<'a> {
    pub slice: &'a SliceBoard,
    pub group: &'a GroupView,
    /// The pairs kept, in their order.
    pub pairs: &'a [Example],
    /// Which of them is shown.
    pub at: usize,
    /// Why none could be read, if the store failed.
    pub failed: Option<String>,
    /// Where the data listener is, for the copy of the request.
    pub base: &'a str,
}

impl Shown<'_> {
    fn url(&self, pair: &Example) -> String {
        format!(
            "/slices/{}/divergences/{}?pair={}#pair",
            parts::segment(&self.group.slice),
            parts::segment(&self.group.id),
            pair.id
        )
    }
}

/// Draws the page of a difference.
pub(crate) fn page(frame: &Frame<'_>, shown: &Shown<'_>) -> Markup {
    let group = shown.group;
    let slice_url = format!("/slices/{}", parts::segment(&group.slice));
    let name = group
        .differences
        .first()
        .map_or("no answer", |d| text::tail(&d.path));
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol {
            li { a href="/" { "Overview" } }
            li { a href=(slice_url) { (group.slice) } }
            li { a href={ (slice_url) "#divergences" } { "What differs" } }
            li aria-current="page" { code { (name) } }
        } }
        (head(frame, group))
        @match shown.pairs.get(shown.at) {
            Some(pair) => {
                (answers::panel(frame.who.sees_values(), shown.slice, pair, &pager(shown)))
                div.half {
                    div.stack-m { (keys(shown, pair, frame)) (others(frame, shown)) }
                    div.stack-m { (request(frame, shown, pair)) }
                }
            }
            None => { (nothing(shown)) }
        }
    };
    frame.draw(&format!("{name} in {}", group.slice), "/", &body)
}

fn head(frame: &Frame<'_>, group: &GroupView) -> Markup {
    let now = frame.board.at;
    let (tone, icon, word) = slice::verdict_words(group);
    html! {
        section.head id="head" aria-labelledby="d-h" {
            div.head-line {
                (parts::chip(tone, icon, word))
                span.dim.small { code { (group.endpoint) } " · " (slice::title(group)) }
                @if !group.current { (parts::chip(parts::Tone::Plain, "none", "earlier epoch")) }
            }
            h1 id="d-h" { (ticked(&group.sentence)) }
            dl.facts {
                div { dt { "First seen" } dd { (text::moment(group.seen.0, now)) } }
                div { dt { "Last seen" } dd { (text::moment(group.seen.1, now)) } }
                div { dt { "Pairs" } dd { (text::count(group.count)) " of " (text::count(group.of)) } }
                @if let (Some(legacy), Some(candidate)) = (group.status_legacy, group.status_candidate) {
                    div { dt { "Status" } dd { (legacy) @if legacy != candidate { " → " (candidate) } } }
                }
                @if group.repeats > 0 {
                    div { dt { "Repeat calls" } dd {
                        (text::count(group.repeats)) ": " (text::count(group.candidate_only))
                        " times only the candidate differed, " (text::count(group.legacy_only))
                        " times only legacy"
                        @if group.log_e > 0.01 { ", e = " (slice::evidence(group.log_e)) }
                    } }
                } @else { div { dt { "Repeat calls" } dd { "none yet" } } }
            }
        }
    }
}

fn pager(shown: &Shown<'_>) -> Markup {
    let before = shown.at.checked_sub(1).and_then(|at| shown.pairs.get(at));
    let after = shown.pairs.get(shown.at + 1);
    html! {
        nav.pager aria-label="Pairs of this difference" {
            span.small { "Pair " b { (shown.at + 1) } " of " (shown.pairs.len()) " kept" }
            @match before {
                Some(pair) => {
                    a.btn href=(shown.url(pair)) rel="prev" {
                        (parts::icon("prev")) "Previous " kbd.needs-script { "k" } }
                }
                None => { span.btn aria-disabled="true" { (parts::icon("prev")) "Previous" } }
            }
            @match after {
                Some(pair) => {
                    a.btn href=(shown.url(pair)) rel="next" {
                        "Next " kbd.needs-script { "j" } (parts::icon("next")) }
                }
                None => { span.btn aria-disabled="true" { "Next" (parts::icon("next")) } }
            }
        }
    }
}

fn nothing(shown: &Shown<'_>) -> Markup {
    html! {
        section.panel id="pair" aria-labelledby="pair-h" {
            div.panel-head { h2 id="pair-h" { "Both answers" } }
            p.panel-body {
                @match &shown.failed {
                    Some(why) => {
                        (parts::status(parts::Tone::Alert, "alert", "The store cannot be read"))
                        ": " (why) ". The figures above do not come from it."
                    }
                    None => {
                        "No pair of this difference is kept: older ones make room for newer ones, and a "
                        "pair that could not be written is counted as dropped. The next one will be here."
                    }
                }
            }
        }
    }
}

/// Lists the differences of the pair shown.
fn keys(shown: &Shown<'_>, pair: &Example, frame: &Frame<'_>) -> Markup {
    let group = shown.group;
    let values = frame.who.sees_values();
    let note = |difference: &DifferenceView| {
        let kind = difference.kind.as_str();
        let of_group = |d: &view::DifferenceKey| d.path == difference.path && d.kind == kind;
        if group.differences.iter().any(of_group) {
            ""
        } else if answers::is_noise(shown.slice, pair, &difference.path, kind) {
            "noise"
        } else {
            "not of this group"
        }
    };
    let excerpt = |text: &str| {
        if values {
            text.to_owned()
        } else {
            shape::json_value(text)
        }
    };
    let body = html! {
        @if pair.differences.is_empty() { p.panel-body.dim {
            @match &pair.error {
                Some(why) => { "The candidate gave no answer: " (why) "." }
                None => { "No excerpt was kept." }
            }
        } } @else { div.scroll tabindex="0" role="region" aria-label="Differences of this pair" { table {
            caption.vh { "Differences of this pair" }
            thead { tr {
                th scope="col" { "Place" } th scope="col" { "Kind" }
                th scope="col" { (parts::side(crate::model::Side::Legacy)) }
                th scope="col" { (parts::side(crate::model::Side::Candidate)) }
            } }
            tbody { @for difference in &pair.differences { tr {
                @let note = note(difference);
                th scope="row" { code { (difference.place) } @if !note.is_empty() { small { (note) } } }
                td { (difference.kind.as_str()) }
                td.mono { (answers::redacted(&excerpt(&difference.legacy))) }
                td.mono { (answers::redacted(&excerpt(&difference.candidate))) }
            } } }
        } } }
    };
    Panel {
        id: "differences",
        title: "Where they differ",
        json: Some(&format!(
            "/api/v1/divergences/{}",
            parts::segment(&group.id)
        )),
        csv: None,
    }
    .draw(&html! {}, &body)
}

fn others(frame: &Frame<'_>, shown: &Shown<'_>) -> Markup {
    let now = frame.board.at;
    let values = frame.who.sees_values();
    let body = html! {
        div.scroll tabindex="0" role="region" aria-label="Pairs of this difference" { table {
            caption.vh { "Pairs of this difference" }
            thead { tr {
                th scope="col" { "Pair" } th scope="col" { "Time" } th scope="col" { "Request" }
                th.n scope="col" { (parts::side(crate::model::Side::Legacy)) }
                th.n scope="col" { (parts::side(crate::model::Side::Candidate)) }
            } }
            tbody { @for (at, pair) in shown.pairs.iter().enumerate() {
                tr.here[at == shown.at] aria-current=[(at == shown.at).then_some("true")] {
                    th scope="row" { a href=(shown.url(pair)) { (at + 1) } }
                    td { (text::moment(pair.at, now)) }
                    td { code { @if values { (answers::redacted(&pair.request.target)) } @else { (pair.endpoint) } } }
                    td.n { (status(pair.legacy.as_ref().map(|a| a.status))) }
                    td.n { (status(pair.candidate.as_ref().map(|a| a.status))) }
                }
            } }
        } }
        p.panel-foot {
            (text::count(shown.pairs.len() as u64)) " examples are kept of " (text::count(shown.group.count))
            ": the first ones and a fair sample of the others."
        }
    };
    Panel {
        id: "pairs",
        title: "Pairs kept",
        json: None,
        csv: None,
    }
    .draw(&html! {}, &body)
}

fn status(code: Option<u16>) -> String {
    code.map_or(text::DASH.to_owned(), |c| c.to_string())
}

fn request(frame: &Frame<'_>, shown: &Shown<'_>, pair: &Example) -> Markup {
    let values = frame.who.sees_values();
    let request = &pair.request;
    let body = html! {
        div.panel-body.stack-s {
            dl.kv {
                dt { "Client asked" }
                dd { code {
                    @if values { (request.method) " " (answers::redacted(&request.target)) }
                    @else { (pair.endpoint) }
                } }
                dt { "Time" } dd { (text::moment(pair.at, frame.board.at)) " UTC" }
                dt { "Pair" } dd { code { (pair.id.to_string()) } }
                dt { "Headers" }
                dd { details data-keep="" {
                    summary { (text::plural(request.headers.len() as u64, "header", "headers")) }
                    @for (name, value) in &request.headers {
                        code { (name) ": " (answers::redacted(&shape::header(name, value, values))) } br;
                    }
                } }
            }
            @if values {
                (parts::copyable(&curl(shown.base, pair), "The request as curl"))
                p.small.dim { "Redacted values are not in it: put your own in their place." }
            } @else {
                p.small.dim { "Values are shown to operators: "
                    a href={ "/session?next=" (parts::segment(frame.here)) } { "sign in" }
                    " with a token to see them, and the request as curl." }
            }
        }
    };
    Panel {
        id: "request",
        title: "The request",
        json: Some(&format!("/api/v1/pairs/{}", pair.id)),
        csv: None,
    }
    .draw(&html! {}, &body)
}

/// Fields that belong to a connection, or that curl writes by itself.
const OF_THE_WIRE: [&str; 5] = [
    "connection",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "supplant-role",
];

/// Writes the request as a command; fields that were redacted are left out.
fn curl(base: &str, pair: &Example) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let request = &pair.request;
    let mut lines = vec![match request.method.as_str() {
        "GET" => "curl -sS".to_owned(),
        "HEAD" => "curl -sS -I".to_owned(),
        method => format!("curl -sS -X {}", quote(method)),
    }];
    lines.push(quote(&format!("{base}{}", request.target)));
    for (name, value) in &request.headers {
        let wire = OF_THE_WIRE.iter().any(|w| w.eq_ignore_ascii_case(name));
        if !wire && !value.contains('«') {
            lines.push(format!("-H {}", quote(&format!("{name}: {value}"))));
        }
    }
    lines.join(" \\\n  ")
}

/// Returns the examples of a group in the order shown, the one asked for first found.
pub(crate) fn place(pairs: &[Example], wanted: Option<&str>) -> usize {
    wanted
        .and_then(|id| pairs.iter().position(|p| p.id.to_string() == id))
        .unwrap_or(0)
}

/// Finds the group `id` of `slice`.
pub(crate) fn find(slice: &SliceBoard, id: &str) -> Option<GroupView> {
    view::groups(slice).into_iter().find(|g| g.id == id)
}
