//! The figures of a slice: parity, latency, outcomes.

use maud::Markup;
use maud::html;
use serde_json::Value;

use super::Page;
use crate::admin::pages::chart;
use crate::admin::pages::chart::Fill;
use crate::admin::pages::chart::Piece;
use crate::admin::pages::parts;
use crate::admin::pages::parts::Panel;
use crate::admin::pages::state::ticked;
use crate::admin::pages::text;
use crate::admin::view::SliceView;
use crate::model::Side;

impl Page<'_> {
    pub(super) fn parity(&self) -> Markup {
        let view = self.view;
        let parity = &view.parity;
        let own = &view.legacy_self;
        // Clean comparisons would outweigh anything in the end; that is no plan.
        let missed = parity.upper.is_some_and(|upper| upper < parity.target);
        let needed = parity.needed.filter(|_| !missed);
        let unreachable = own.upper.is_some_and(|upper| upper < own.target);
        let body = html! {
            div.panel-body.stack-s {
                p.lede {
                    @if parity.n == 0 { "Nothing was compared in this epoch yet." }
                    @else { (ticked(&parity.sentence)) }
                }
                dl.figures {
                    (figure("At least", parity.lower.map(text::parity).as_deref(), "95 % sure, however often you look"))
                    (figure("Measured", (parity.n > 0).then(|| {
                        text::parity(1.0 - text::to_f64(parity.f) / text::to_f64(parity.n)) }).as_deref(), ""))
                    (figure("At most", parity.upper.map(text::parity).as_deref(), ""))
                    (figure("Target", Some(&text::target(parity.target)), ""))
                    (figure("Pairs", Some(&text::count(parity.n)),
                        &format!("{} of them differ", text::count(parity.f))))
                    (figure("Still needed", needed.map(text::count).as_deref(), match needed {
                        Some(_) => "clean comparisons",
                        None => "out of reach as it stands",
                    }))
                }
                @if own.n > 0 {
                    p {
                        b { "Legacy against itself: " }
                        (ticked(&own.sentence))
                        " " span.dim { "n = " (text::count(own.n)) ", " (text::count(own.f)) " differ." }
                    }
                } @else {
                    p.dim { "Legacy against itself: not known yet, no control pair was made." }
                }
                @if unreachable {
                    p { (parts::status(parts::Tone::Alert, "alert", "The target cannot be reached"))
                        ": legacy does not agree with itself that often. See what is noise, or set "
                        code { "compare.ignore" } "." }
                }
                p.small.dim {
                    @if view.masked > 0 {
                        (text::count(view.masked)) " pairs (" (text::share(view.masked_share))
                        ") differ in noise only and count as equal. "
                    }
                    @if view.reclassified > 0 {
                        (text::count(view.reclassified))
                        " of them first counted as different, before the field was known to be noise. "
                    }
                    @if view.control_failed > 0 {
                        (text::count(view.control_failed)) " control calls failed. "
                    }
                    @if !view.control_resting.is_empty() {
                        "Controls rest for " (view.control_resting.join(", ")) "."
                    }
                }
            }
        };
        Panel {
            id: "parity",
            title: "Parity",
            json: Some(&self.url("")),
            csv: None,
        }
        .draw(&html! {}, &body)
    }

    pub(super) fn over_time(&self) -> Markup {
        let latency = &self.view.latency;
        let body = html! {
            figure.panel-body {
                figcaption {
                    (ticked(&latency.sentence)) " "
                    (parts::side(Side::Legacy)) " solid, " (parts::side(Side::Candidate))
                    " dashed; thin lines are the 95th percentile."
                }
                @match chart::over_time(&self.slice.summary.slots) {
                    Some(chart) => { (chart) }
                    None => { p.blank {
                        "No line yet: it takes latency pairs over a few minutes of the last hour." } }
                }
            }
        };
        Panel {
            id: "latency",
            title: "Latency, the last hour",
            json: Some(&self.url("")),
            csv: None,
        }
        .draw(&html! {}, &body)
    }

    pub(super) fn quantiles(&self) -> Markup {
        let latency = &self.view.latency;
        let cell = |q: Option<f64>| q.map_or(text::DASH.to_owned(), text::seconds);
        let rows = [
            ("legacy, same requests", latency.legacy),
            ("candidate, same requests", latency.candidate),
            ("legacy, as served", latency.served.legacy),
            ("candidate, as served", latency.served.candidate),
        ];
        let body = html! {
            figure.panel-body {
                figcaption {
                    @if latency.pairs > 0 {
                        (text::count(latency.pairs)) " latency pairs: "
                        (text::count(latency.slower_candidate)) " times the candidate was slower, "
                        (text::count(latency.slower_legacy)) " times legacy; "
                        (text::count(latency.errors_candidate)) " times the candidate failed."
                    } @else { "No latency pair yet: both sides are asked again in a drawn order." }
                }
                @if let Some(chart) = chart::quantiles(latency.legacy.as_ref(), latency.candidate.as_ref()) {
                    (chart)
                }
                div.scroll tabindex="0" role="region" aria-label="Quantiles of both sides" {
                    table.fit {
                        caption.vh { "Quantiles of both sides" }
                        thead { tr {
                            th scope="col" { "Time to first byte" } th.n scope="col" { "p50" }
                            th.n scope="col" { "p95" } th.n scope="col" { "p99" } th.n scope="col" { "n" }
                        } }
                        tbody { @for (name, q) in rows { @if let Some(q) = q {
                            tr { th scope="row" { (name) } td.n { (cell(q.p50)) } td.n { (cell(q.p95)) }
                                td.n { (cell(q.p99)) } td.n { (text::count(q.n)) } }
                        } } }
                    }
                }
                p.small.dim { "A dash: too few values for that quantile. As served: estimated from buckets." }
            }
        };
        Panel {
            id: "quantiles",
            title: "Legacy and candidate",
            json: Some(&self.url("")),
            csv: None,
        }
        .draw(&html! {}, &body)
    }

    pub(super) fn outcomes(&self) -> Markup {
        let view = self.view;
        let rows = outcome_rows(view);
        let compared = view.compared;
        let against: u64 = ["divergence", "candidate_error", "timeout"]
            .iter()
            .map(|name| count_of(view, name))
            .sum();
        let pieces: Vec<Piece> = rows
            .iter()
            .map(|(_, _, count, fill)| Piece {
                count: *count,
                fill: *fill,
            })
            .collect();
        let percent = |n: u64| text::share(text::to_f64(n) / text::to_f64(view.requests.max(1)));
        let body = html! {
            figure.panel-body {
                figcaption {
                    (text::plural(view.requests, "request", "requests"))
                    ", each with exactly one outcome. "
                    b { (text::count(compared)) } " were compared, " (text::count(against))
                    " of them differed as far as was known then."
                }
                @if view.requests > 0 {
                    svg.chart height="32" role="img" aria-labelledby="outcomes-t" {
                        title id="outcomes-t" {
                            (text::count(view.requests)) " requests by outcome: " (text::count(compared))
                            " compared" }
                        (chart::bar(&pieces, view.requests, 2, 28))
                    }
                }
                ul.legend.legend-grid {
                    @for (name, says, count, fill) in &rows {
                        li { (chart::sample(*fill)) span { b { (name) } " " span.dim { (says) } }
                            span.num { (text::count(*count)) } }
                    }
                }
                details.data data-keep="" {
                    summary { "Show as table" }
                    div.scroll tabindex="0" role="region" aria-label="Outcomes as a table" { table {
                        caption.vh { "Outcomes as a table" }
                        thead { tr { th scope="col" { "Outcome" } th.n scope="col" { "Requests" }
                            th.n scope="col" { "Share" } } }
                        tbody { @for (name, says, count, _) in &rows {
                            tr { th scope="row" { (name) small { (says) } } td.n { (text::count(*count)) }
                                td.n { (percent(*count)) } }
                        } }
                        tfoot { tr { th scope="row" { "all" } td.n {
                            (text::count(rows.iter().map(|r| r.2).sum())) } td.n { (percent(view.requests)) } } }
                    } }
                }
            }
        };
        Panel {
            id: "outcomes",
            title: "Outcomes",
            json: Some(&self.url("")),
            csv: Some(&self.url("?format=csv")),
        }
        .draw(&html! {}, &body)
    }
}

fn figure(name: &str, value: Option<&str>, note: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd { b { (value.unwrap_or(text::DASH)) } @if !note.is_empty() { small { (note) } } }
        }
    }
}

fn count_of(view: &SliceView, name: &str) -> u64 {
    view.outcomes.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// What each outcome means, and how it is drawn; in the order of the bar.
const OUTCOMES: [(&str, &str, Fill); 14] = [
    ("match", "same answer", Fill::Class("f-match")),
    (
        "masked",
        "differs in known noise only",
        Fill::Pattern("p-m"),
    ),
    ("divergence", "another answer", Fill::Class("f-alert")),
    (
        "candidate_error",
        "no complete answer",
        Fill::Pattern("p-a"),
    ),
    ("timeout", "no answer in time", Fill::Pattern("p-a")),
    (
        "sampled_out",
        "left out by sample or rate",
        Fill::Class("out"),
    ),
    (
        "not_mirrored",
        "nobody was to get a copy",
        Fill::Class("out"),
    ),
    ("unsafe_method", "never sent twice", Fill::Pattern("p-d")),
    ("not_comparable", "", Fill::Pattern("p-c")),
    (
        "vacuous",
        "says nothing on both sides",
        Fill::Pattern("p-r"),
    ),
    ("shed", "copy dropped", Fill::Pattern("p-r")),
    ("aborted", "client left early", Fill::Pattern("p-r")),
    ("legacy_error", "no complete answer", Fill::Pattern("p-r")),
    (
        "both_error",
        "no complete answer from either",
        Fill::Pattern("p-r"),
    ),
];

/// Returns name, meaning, count and fill of each outcome that happened, and what is pending.
fn outcome_rows(view: &SliceView) -> Vec<(&'static str, String, u64, Fill)> {
    let mut rows: Vec<_> = OUTCOMES
        .iter()
        .map(|(name, says, fill)| {
            let reasons = view.outcome_reasons.get(*name).and_then(Value::as_object);
            let says = match reasons {
                Some(reasons) if *name != "masked" || reasons.len() > 1 => reasons
                    .iter()
                    .map(|(reason, n)| {
                        format!(
                            "{} {}",
                            text::count(n.as_u64().unwrap_or(0)),
                            reason.replace('_', " ")
                        )
                    })
                    .collect::<Vec<_>>()
                    .join(", "),
                _ => (*says).to_owned(),
            };
            (*name, says, count_of(view, name), *fill)
        })
        .filter(|(name, _, count, _)| {
            *count > 0 || matches!(*name, "match" | "masked" | "divergence")
        })
        .collect();
    if view.pending > 0 {
        let says = "not ended, or still being compared".to_owned();
        rows.push(("pending", says, view.pending, Fill::Pattern("p-d")));
    }
    rows
}
