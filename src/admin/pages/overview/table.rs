//! The table of slices: one row each.

use maud::Markup;
use maud::html;
use serde_json::Value;

use super::Filter;
use super::served;
use crate::admin::pages::chart;
use crate::admin::pages::chart::Fill;
use crate::admin::pages::chart::Piece;
use crate::admin::pages::parts;
use crate::admin::pages::parts::Panel;
use crate::admin::pages::parts::Tone;
use crate::admin::pages::state;
use crate::admin::pages::text;
use crate::admin::view;
use crate::admin::view::SliceView;
use crate::model::Side;

/// Rows a page.
const ROWS: usize = 50;

/// Says whether a slice belongs to a part of the table.
type Wanted = fn(&SliceView) -> bool;

/// The parts of the table, in their order.
const GROUPS: [(&str, Wanted); 3] = [
    ("Need you", |s| s.needs.needs_you()),
    ("On their way", |s| {
        !s.needs.needs_you() && !matches!(s.needs, view::Need::NotStarted | view::Need::Steady)
    }),
    ("Steady", |s| {
        matches!(s.needs, view::Need::NotStarted | view::Need::Steady)
    }),
];

/// Draws the table, filtered and cut to a page.
pub(super) fn table(slices: &[SliceView], unmatched: &SliceView, filter: &Filter) -> Markup {
    let shown: Vec<&SliceView> = slices.iter().filter(|s| filter.admits(s)).collect();
    let pages = shown.len().div_ceil(ROWS).max(1);
    let page = filter.page.min(pages - 1);
    let rows = shown.iter().skip(page * ROWS).take(ROWS);
    let rows: Vec<&SliceView> = rows.copied().collect();
    let sentence = html! {
        (text::plural(slices.len() as u64, "slice", "slices"))
        @if !filter.is_empty() { ", " (shown.len()) " shown" }
        ", those that need a human first."
    };
    let body = html! {
        (filters(slices, filter))
        div.scroll {
            table.rows.slices role="table" {
                caption.vh { "Slices" }
                (head())
                @for (name, wanted) in GROUPS {
                    @let count = shown.iter().filter(|s| wanted(s)).count();
                    @if rows.iter().any(|s| wanted(s)) {
                        tbody.hover role="rowgroup" {
                            tr.group role="row" {
                                th colspan="7" scope="rowgroup" role="rowheader" {
                                    (name) " " span.dim { (count) }
                                }
                            }
                            @for slice in rows.iter().filter(|s| wanted(s)) { (row(slice)) }
                        }
                    }
                }
                @if rows.is_empty() {
                    tbody role="rowgroup" { tr role="row" { td.wide colspan="7" role="cell" {
                        @if filter.is_empty() {
                            "There is no slice yet. " a href="/start" { "Make the first one" } "."
                        } @else {
                            "No slice fits this filter. " a href="/#slices" { "Show all" } "."
                        }
                    } } }
                }
                (foot(slices, unmatched))
            }
        }
        p.panel-foot {
            "Bars: " (parts::side(Side::Candidate)) " and " (parts::side(Side::Legacy))
            " by share served. Latency: time to first byte on the same requests, p50 / p99."
        }
        @if pages > 1 { (pager(filter, page, pages)) }
    };
    Panel {
        id: "slices",
        title: "Slices",
        json: Some("/api/v1/slices"),
        csv: Some("/api/v1/slices?format=csv"),
    }
    .draw(&sentence, &body)
}

fn pager(filter: &Filter, page: usize, pages: usize) -> Markup {
    html! {
        nav.panel-foot.pager aria-label="Pages of slices" {
            @if page > 0 { a.btn href=(filter.url(page - 1)) rel="prev" { "Previous" } }
            span { "Page " (page + 1) " of " (pages) }
            @if page + 1 < pages { a.btn href=(filter.url(page + 1)) rel="next" { "Next" } }
        }
    }
}

fn filters(slices: &[SliceView], filter: &Filter) -> Markup {
    const STAGES: [&str; 5] = ["legacy", "shadow", "canary", "cutover", "retired"];
    let mut owners: Vec<&str> = slices.iter().filter_map(|s| s.owner.as_deref()).collect();
    owners.sort_unstable();
    owners.dedup();
    let choice = |value: &str, chosen: &str| (value == chosen).then_some("");
    html! {
        form.filter method="get" action="/#slices" role="search" {
            label.field { "Filter "
                input type="search" name="q" value=(filter.q) placeholder="name, owner, path"
                    data-filter="";
            }
            label.field { "Stage "
                select name="stage" {
                    option value="" { "any" }
                    @for stage in STAGES {
                        option value=(stage) selected=[choice(stage, &filter.stage)] { (stage) }
                    }
                }
            }
            @if !owners.is_empty() {
                label.field { "Owner "
                    select name="owner" {
                        option value="" { "any" }
                        @for owner in owners {
                            option value=(owner) selected=[choice(owner, &filter.owner)] { (owner) }
                        }
                    }
                }
            }
            button.btn { "Apply" }
        }
    }
}

fn head() -> Markup {
    html! {
        thead role="rowgroup" { tr role="row" {
            th scope="col" role="columnheader" { "Slice" }
            th scope="col" role="columnheader" { "State" }
            th scope="col" role="columnheader" { "Stage" }
            th.n scope="col" role="columnheader" { "Requests" }
            th.n scope="col" role="columnheader" { "Parity at least" }
            th.n scope="col" role="columnheader" { "Latency" }
            th.n scope="col" role="columnheader" { "Being checked" }
        } }
    }
}

fn row(slice: &SliceView) -> Markup {
    html! {
        tr role="row" id={ "slice-" (slice.name) } {
            th scope="row" role="rowheader" {
                a href={ "/slices/" (parts::segment(&slice.name)) } { (slice.name) }
                @if let Some(owner) = &slice.owner { small { (owner) } }
            }
            td.wide role="cell" data-label="State" {
                (state::status(slice)) small { (state::hint(slice)) }
            }
            td role="cell" data-label="Stage" {
                @if slice.killed { "legacy" small { "killed at " (slice.position) } }
                @else { (slice.position) }
                (parts::share_bar(slice.share))
            }
            td.n role="cell" data-label="Requests" { (requests(slice)) }
            td.n role="cell" data-label="Parity at least" { (parity(slice)) }
            td.n.lat role="cell" data-label="Latency" { (latency(slice)) }
            td.n role="cell" data-label="Being checked" { (checking(slice)) }
        }
    }
}

fn outcome(slice: &SliceView, name: &str) -> u64 {
    slice
        .outcomes
        .get(name)
        .and_then(Value::as_u64)
        .unwrap_or(0)
}

fn requests(slice: &SliceView) -> Markup {
    let against = ["divergence", "candidate_error", "timeout"]
        .iter()
        .map(|name| outcome(slice, name))
        .sum::<u64>();
    let masked = outcome(slice, "masked");
    let equal = outcome(slice, "match");
    let rest = slice.requests.saturating_sub(against + masked + equal);
    let pieces = [
        (equal, Fill::Class("f-match")),
        (masked, Fill::Pattern("p-m")),
        (against, Fill::Class("f-alert")),
        (rest, Fill::Class("out")),
    ]
    .map(|(count, fill)| Piece { count, fill });
    html! {
        (text::count(slice.requests))
        small {
            @if slice.requests == 0 { "none yet" }
            @else if slice.compared == 0 { "none compared" }
            @else { (text::count(slice.compared)) " compared" }
        }
        @if slice.requests > 0 {
            svg.mix role="img" aria-label={
                (equal) " the same, " (masked) " masked, " (against) " different, " (rest)
                " not compared" } {
                (chart::bar(&pieces, slice.requests, 0, 6))
            }
        }
    }
}

fn parity(slice: &SliceView) -> Markup {
    let parity = &slice.parity;
    html! {
        @match parity.lower {
            Some(lower) if !slice.learning => {
                (text::parity(lower))
                small { "n = " (text::count(parity.n)) ", target " (text::target(parity.target)) }
                @if let (view::Need::Collecting, Some(more)) = (slice.needs, parity.needed) {
                    (parts::meter(text::to_f64(parity.n) / text::to_f64((parity.n + more).max(1))))
                }
            }
            _ if slice.learning => { (parts::dash("not known yet: learning which fields are noise")) }
            _ => { (parts::dash("nothing was compared in this epoch")) }
        }
    }
}

fn latency(slice: &SliceView) -> Markup {
    let pair = |quantiles: Option<&view::QuantilesView>| {
        quantiles.and_then(|q| {
            let p50 = q.p50.map(text::seconds)?;
            let p99 = q.p99.map_or(text::DASH.to_owned(), text::seconds);
            Some(format!("{p50} / {p99}"))
        })
    };
    let (legacy, candidate) = (
        pair(slice.latency.legacy.as_ref()),
        pair(slice.latency.candidate.as_ref()),
    );
    html! {
        @if legacy.is_none() && candidate.is_none() {
            (parts::dash("too few latency pairs yet"))
        } @else {
            span.two { span.side.side-legacy title="legacy" {
                svg aria-hidden="true" { use href="#i-legacy" {} } span.vh { "legacy " } }
                (legacy.as_deref().unwrap_or(text::DASH)) }
            span.two { span.side.side-cand title="candidate" {
                svg aria-hidden="true" { use href="#i-cand" {} } span.vh { "candidate " } }
                (candidate.as_deref().unwrap_or(text::DASH)) }
            @if let Some(ratio) = &slice.latency.ratio {
                small { (text::change(ratio.value)) " at the median" }
            }
        }
    }
}

fn checking(slice: &SliceView) -> Markup {
    html! {
        @if slice.checking > 0 {
            (slice.checking) small { (if slice.checking == 1 { "difference" } else { "differences" }) }
        } @else if slice.parity.n > 0 { "0" }
        @else { (parts::dash("nothing was compared in this epoch")) }
    }
}

fn foot(slices: &[SliceView], unmatched: &SliceView) -> Markup {
    let requests: u64 = slices.iter().map(|s| s.requests).sum::<u64>() + unmatched.requests;
    html! {
        tfoot role="rowgroup" {
            tr role="row" id="slice-_unmatched" {
                th scope="row" role="rowheader" {
                    a href="/slices/_unmatched" { "No slice" } small { code { "_unmatched" } }
                }
                td.wide role="cell" data-label="State" {
                    (parts::status(Tone::Plain, "none", "unclaimed"))
                    small { "no slice takes these" }
                }
                td role="cell" data-label="Stage" { "legacy" (parts::share_bar(0.0)) }
                td.n role="cell" data-label="Requests" { (text::count(unmatched.requests)) }
                td.none role="cell" colspan="3" {}
            }
            tr role="row" {
                th scope="row" role="rowheader" { "All" }
                td.none role="cell" {}
                td role="cell" data-label="Served by candidates" {
                    @match served(slices, unmatched) {
                        Some(share) => { (text::share(share)) (parts::share_bar(share)) }
                        None => { (parts::dash("no request yet")) }
                    }
                }
                td.n role="cell" data-label="Requests" { (text::count(requests)) }
                td.none role="cell" colspan="3" {}
            }
        }
    }
}
