//! The page of one slice: where it stands, what was compared, what differs.

use maud::Markup;
use maud::html;
use serde::Deserialize;
use serde_json::Value;

use super::changes;
use super::chart;
use super::chart::Fill;
use super::chart::Piece;
use super::frame::Frame;
use super::parts;
use super::parts::Deed;
use super::parts::Panel;
use super::state;
use super::state::ticked;
use super::text;
use crate::admin::view;
use crate::admin::view::ChangeView;
use crate::admin::view::GroupView;
use crate::admin::view::Need;
use crate::admin::view::SliceView;
use crate::control::SliceBoard;
use crate::model::Side;
use crate::model::Stage;

/// Groups a page.
const GROUPS: usize = 50;
/// Rows of the smaller tables; the API has them all.
const ROWS_MAX: usize = 50;

/// What the reader asked for.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Look {
    #[serde(default)]
    pub q: String,
    #[serde(default)]
    pub page: usize,
}

/// Draws the page of a slice.
pub(crate) fn page(
    frame: &Frame<'_>,
    slice: &SliceBoard,
    look: &Look,
    changes: &[ChangeView],
) -> Markup {
    let view = SliceView::of(slice, frame.board);
    let page = Page {
        frame,
        slice,
        view: &view,
    };
    let unmatched = slice.id.is_unmatched();
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol {
            li { a href="/" { "Overview" } }
            li aria-current="page" { (view.name) }
        } }
        (page.head())
        (tabs(unmatched))
        @if !unmatched {
            (page.stage())
            (page.parity())
            div.half { (page.over_time()) (page.quantiles()) }
        }
        (page.outcomes())
        @if !unmatched {
            (page.divergences(look))
            (page.noise())
            (page.endpoints())
            (page.excluded())
            (changes::panel("Changes", changes, frame.board, "/changes"))
        }
    };
    frame.draw(&view.name, "/", &body)
}

fn tabs(unmatched: bool) -> Markup {
    const ALL: [(&str, &str); 9] = [
        ("stage", "Stage"),
        ("parity", "Parity"),
        ("latency", "Latency"),
        ("outcomes", "Outcomes"),
        ("divergences", "What differs"),
        ("noise", "Noise"),
        ("endpoints", "Endpoints"),
        ("excluded", "Left out"),
        ("changes", "Changes"),
    ];
    html! {
        nav.tabs aria-label="On this page" { ul {
            @for (id, name) in ALL.iter().filter(|(id, _)| !unmatched || *id == "outcomes") {
                li { a href={ "#" (id) } { (name) } }
            }
        } }
    }
}

struct Page<'a> {
    frame: &'a Frame<'a>,
    slice: &'a SliceBoard,
    view: &'a SliceView,
}

impl Page<'_> {
    fn url(&self, rest: &str) -> String {
        format!("/api/v1/slices/{}{rest}", parts::segment(&self.view.name))
    }

    fn head(&self) -> Markup {
        let view = self.view;
        let now = self.frame.board.at;
        html! {
            section.head id="head" aria-labelledby="s-h" {
                div.head-line { h1 id="s-h" { (view.name) } (state::chip(view)) }
                p.lede { (self.lede()) }
                dl.facts {
                    @if !view.matches.is_empty() { div { dt { "Takes" } dd { code { (view.matches) } } } }
                    @if !view.backend.is_empty() {
                        div { dt { "To" } dd {
                            (view.backend)
                            @if known(&view.epoch.candidate_version) { " " (view.epoch.candidate_version) }
                        } }
                    }
                    @if let Some(owner) = &view.owner { div { dt { "Owner" } dd { (owner) } } }
                    div { dt { "Requests" } dd { (text::count(view.requests)) } }
                    @if view.line > 0 { div { dt { "Line" } dd { a href="/rules#text" { (view.line) } } } }
                    @if self.slice.summary.epoch.number > 0 {
                        div { dt { "Evidence" } dd {
                            "since " (text::moment(self.slice.summary.epoch.since, now))
                            @if !view.epoch.reason.is_empty() { ", " (view.epoch.reason) }
                        } }
                    }
                }
            }
        }
    }

    fn lede(&self) -> Markup {
        let view = self.view;
        html! {
            @match view.needs {
                Need::NotStarted if view.name == "_unmatched" => {
                    "Requests that no slice takes. Legacy answers them; nobody gets a copy."
                }
                Need::Killed => { b { "Killed." } " Legacy answers every request of it; nothing is compared." }
                Need::RolledBack => { b { "Rolled back." } " Held at shadow until somebody resumes it; evidence goes on." }
                Need::Regression | Need::NoAnswer | Need::BelowTarget => {
                    b { "Not ready to leave " (view.stage) "." } " " (ticked(&view.parity.sentence))
                }
                Need::NotStarted => { "The file keeps it at legacy: nobody gets a copy." }
                Need::NoPairs => { "Nothing was compared in this epoch yet." }
                Need::Learning => { b { "Not known yet." } " Too many fields change by themselves to say; counting begins anew once they are known." }
                Need::LegacyNeeded => { b { (state::hint(view)) "." } }
                Need::Ready | Need::Collecting | Need::Steady => { (ticked(&view.parity.sentence)) }
            }
        }
    }

    fn stage(&self) -> Markup {
        let view = self.view;
        let sentence = html! {
            @if view.killed { "Killed: legacy answers, whatever stands here." }
            @else if let Some(ceiling) = &view.ceiling {
                "The file allows up to " (view.declared) "; the ceiling holds the slice at " (ceiling) "."
            } @else { "As far as the file says: " (view.declared) "." }
        };
        let body = html! {
            (self.rail())
            div.panel-body.acts { (self.deeds()) }
        };
        Panel {
            id: "stage",
            title: "Stage",
            json: Some(&self.url("")),
            csv: None,
        }
        .draw(&sentence, &body)
    }

    fn rail(&self) -> Markup {
        let now = self.slice.position.stage();
        let declared = self.slice.declared.stage();
        html! {
            ol.rail aria-label="Stages" {
                @for stage in Stage::ALL {
                    @let here = stage == now;
                    li.done[stage < now].now[here] aria-current=[here.then_some("step")] {
                        @if here { (self.view.position) } @else { (stage.as_str()) }
                        @if here {
                            small {
                                @if self.view.killed { "but killed" }
                                @else if self.slice.rolled_back { "rolled back" }
                                @else { "in force" }
                                " since " (text::moment(self.slice.position_since, self.frame.board.at))
                            }
                        }
                        @if stage == declared && !here { small { "the file’s limit" } }
                    }
                }
            }
        }
    }

    fn deeds(&self) -> Markup {
        let view = self.view;
        let base = format!("/slices/{}", parts::segment(&view.name));
        let who = self.frame.who;
        let lower = (!who.may_lower()).then_some("This token may only look.");
        let raise = (!who.may_raise()).then_some("Resume needs a token: sign in above.");
        let position = self.slice.position.stage();
        let deed = |action: &str, word: &str, says: &str, refused: Option<&str>| {
            Deed {
                action: &format!("{base}/{action}"),
                word,
                says,
                refused,
                form_token: &self.frame.form_token,
            }
            .draw()
        };
        html! {
            (deed("rollback", "Roll back",
                "The slice goes to shadow at once: legacy answers everybody, copies go on.",
                lower.or_else(|| (view.rolled_back).then_some("Roll back: it is rolled back already."))
                    .or_else(|| (position <= Stage::Shadow).then_some(
                        "Roll back has nothing to do: legacy answers everybody already."))))
            (deed("kill", "Kill",
                "Every request of the slice goes to legacy at once, and nothing is mirrored.",
                lower.or_else(|| self.slice.killed.then_some("Kill: it is killed already."))))
            @if self.slice.killed || view.rolled_back {
                (deed("resume", "Resume",
                    if self.slice.killed { "The kill is lifted; the slice goes back to where it stood." }
                    else { "The rollback is lifted; the file alone says how far the slice goes." },
                    raise))
            }
        }
    }

    fn parity(&self) -> Markup {
        let view = self.view;
        let parity = &view.parity;
        let own = &view.legacy_self;
        let unreachable = own.upper.is_some_and(|upper| upper < own.target);
        let body = html! {
            div.panel-body.stack-s {
                p.lede {
                    @if parity.n == 0 { "Nothing was compared in this epoch yet." }
                    @else { (ticked(&parity.sentence)) }
                }
                dl.figures {
                    (figure("At least", parity.lower.map(text::parity), "95 % sure, however often you look"))
                    (figure("Measured", (parity.n > 0).then(|| {
                        text::parity(1.0 - text::to_f64(parity.f) / text::to_f64(parity.n)) }), ""))
                    (figure("At most", parity.upper.map(text::parity), ""))
                    (figure("Target", Some(text::target(parity.target)), ""))
                    (figure("Pairs", Some(text::count(parity.n)),
                        &format!("{} of them differ", text::count(parity.f))))
                    (figure("Still needed", parity.needed.map(text::count), match parity.needed {
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

    fn over_time(&self) -> Markup {
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

    fn quantiles(&self) -> Markup {
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

    fn outcomes(&self) -> Markup {
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

    fn divergences(&self, look: &Look) -> Markup {
        let all = view::groups(self.slice);
        let q = look.q.trim().to_lowercase();
        let hit = |g: &GroupView| {
            let keys = g
                .differences
                .iter()
                .map(|d| format!("{} {}", d.path, d.kind));
            q.is_empty()
                || g.endpoint.to_lowercase().contains(&q)
                || keys.into_iter().any(|k| k.to_lowercase().contains(&q))
        };
        let mut now: Vec<&GroupView> = all.iter().filter(|g| g.current && hit(g)).collect();
        now.sort_by_key(|g| (rank(g), std::cmp::Reverse(g.count)));
        let earlier: Vec<&GroupView> = all.iter().filter(|g| !g.current && hit(g)).collect();
        let pages = now.len().div_ceil(GROUPS).max(1);
        let page = look.page.min(pages - 1);
        let rows: Vec<&GroupView> = now
            .iter()
            .skip(page * GROUPS)
            .take(GROUPS)
            .copied()
            .collect();
        let decided = now.iter().filter(|g| rank(g) == 0).count();
        let checking = now.iter().filter(|g| rank(g) > 0).count();
        let sentence = html! {
            @if now.is_empty() && q.is_empty() {
                @if self.view.parity.n > 0 { "Nothing differs in this epoch." }
                @else { "Nothing was compared in this epoch yet." }
            } @else {
                (text::plural(decided as u64, "regression", "regressions")) ", "
                (text::count(checking as u64)) " being checked; they count against parity until they are known to be noise."
            }
        };
        let body = html! {
            @if all.len() > 12 || !q.is_empty() { (self.search(&look.q)) }
            @if !rows.is_empty() { (table(&rows, "Differences of this epoch", self.frame)) }
            @else if !q.is_empty() { p.panel-body.dim { "Nothing fits this filter." } }
            @if pages > 1 { (self.pager(look, page, pages)) }
            @if !earlier.is_empty() {
                details.fold data-keep="" {
                    summary { (text::plural(earlier.len() as u64, "group", "groups")) " of earlier epochs" }
                    (table(&earlier[..earlier.len().min(ROWS_MAX)], "Differences of earlier epochs", self.frame))
                }
            }
            p.panel-foot {
                "Evidence: repeat calls in which legacy kept its answer and the candidate did not, against those the other way round."
            }
        };
        Panel {
            id: "divergences",
            title: "What differs",
            json: Some(&self.url("/divergences")),
            csv: Some(&self.url("/divergences?format=csv")),
        }
        .draw(&sentence, &body)
    }

    fn search(&self, q: &str) -> Markup {
        html! {
            form.filter method="get" role="search"
                action={ "/slices/" (parts::segment(&self.view.name)) "#divergences" } {
                label.field { "Filter "
                    input type="search" name="q" value=(q) placeholder="path, kind, endpoint"
                        data-filter="";
                }
                button.btn { "Apply" }
            }
        }
    }

    fn pager(&self, look: &Look, page: usize, pages: usize) -> Markup {
        let url = |page: usize| {
            format!(
                "/slices/{}?q={}&page={page}#divergences",
                parts::segment(&self.view.name),
                parts::segment(&look.q)
            )
        };
        html! {
            nav.panel-foot.pager aria-label="Pages of differences" {
                @if page > 0 { a.btn href=(url(page - 1)) rel="prev" { "Previous" } }
                span { "Page " (page + 1) " of " (pages) }
                @if page + 1 < pages { a.btn href=(url(page + 1)) rel="next" { "Next" } }
            }
        }
    }

    fn noise(&self) -> Markup {
        let rows = view::noise(self.slice);
        if rows.is_empty() {
            let body = html! { p.panel-body.dim { "No field is known to change by itself." } };
            return Panel {
                id: "noise",
                title: "Noise",
                json: None,
                csv: None,
            }
            .draw(&html! {}, &body);
        }
        let sentence = html! {
            (text::plural(rows.len() as u64, "field", "fields"))
            " that legacy changes by itself; masked and counted, not hidden."
        };
        let body = html! {
            div.scroll { table.rows role="table" {
                caption.vh { "Fields that legacy changes by itself" }
                thead role="rowgroup" { tr role="row" {
                    th scope="col" role="columnheader" { "Field" }
                    th scope="col" role="columnheader" { "In words" }
                    th.n scope="col" role="columnheader" { "Pairs" }
                    th.n scope="col" role="columnheader" { "Repeat calls" }
                } }
                tbody.hover role="rowgroup" { @for row in rows.iter().take(ROWS_MAX) {
                    tr role="row" {
                        th scope="row" role="rowheader" {
                            code { (row.path) } " " (row.kind) small { (row.endpoint) }
                        }
                        td.wide role="cell" { (ticked(&row.sentence)) }
                        td.n role="cell" data-label="Pairs" { (text::count(row.pairs))
                            small { "of " (text::count(row.of)) } }
                        td.n role="cell" data-label="Repeat calls" {
                            (text::count(row.legacy_only + row.both)) " of " (text::count(row.repeats))
                            small { "legacy against itself" } }
                    }
                } }
            } }
            @if rows.len() > ROWS_MAX { p.panel-foot { (rows.len() - ROWS_MAX) " more by the API." } }
        };
        Panel {
            id: "noise",
            title: "Noise",
            json: Some(&self.url("/noise")),
            csv: Some(&self.url("/noise?format=csv")),
        }
        .draw(&sentence, &body)
    }

    fn endpoints(&self) -> Markup {
        let rows = view::endpoints(self.slice);
        let share = |r: Option<f64>| r.map_or(text::DASH.to_owned(), text::parity);
        let body = html! {
            @if rows.is_empty() { p.panel-body.dim { "No endpoint was compared yet." } }
            @else { div.scroll tabindex="0" role="region" aria-label="Endpoints, table" { table {
                caption.vh { "Endpoints" }
                thead { tr {
                    th scope="col" { "Endpoint" } th.n scope="col" { "Compared" } th.n scope="col" { "Against" }
                    th.n scope="col" { "Masked" } th.n scope="col" { "Parity at least" }
                    th.n scope="col" { "Controls" }
                } }
                tbody.hover { @for row in rows.iter().take(ROWS_MAX) {
                    tr {
                        th scope="row" {
                            @if row.endpoint == "_other" { "others" small { (row.templates) " endpoints" } }
                            @else { code { (row.endpoint) } }
                        }
                        td.n { (text::count(row.n)) } td.n { (text::count(row.f)) }
                        td.n { (text::count(row.masked)) } td.n { (share(row.lower)) }
                        td.n { (text::count(row.controls)) }
                    }
                } }
            } } }
            @if rows.len() > ROWS_MAX { p.panel-foot { (rows.len() - ROWS_MAX) " more by the API." } }
        };
        Panel {
            id: "endpoints",
            title: "Endpoints",
            json: Some(&self.url("/endpoints")),
            csv: Some(&self.url("/endpoints?format=csv")),
        }
        .draw(
            &html! { "The worst one first: the slice is as safe as it." },
            &body,
        )
    }

    fn excluded(&self) -> Markup {
        let rows = &self.view.excluded;
        let sentence = html! {
            @if rows.is_empty() { "Nothing was left out by a word of its path or query, or by a session cookie." }
            @else { "Never sent twice, because it may have an effect. If it has none, the line lets it in." }
        };
        let body = html! {
            @if !rows.is_empty() { div.scroll { table.rows role="table" {
                caption.vh { "Endpoints left out of mirroring" }
                thead role="rowgroup" { tr role="row" {
                    th scope="col" role="columnheader" { "Endpoint" } th.n scope="col" role="columnheader" { "Requests" }
                    th scope="col" role="columnheader" { "Why" } th scope="col" role="columnheader" { "To let it in" }
                } }
                tbody role="rowgroup" { @for row in rows.iter().take(ROWS_MAX) {
                    tr role="row" {
                        th scope="row" role="rowheader" { code { (row.endpoint) } }
                        td.n role="cell" data-label="Requests" { (text::count(row.count)) }
                        td role="cell" data-label="Why" { (ticked(&row.why)) }
                        td.wide role="cell" data-label="To let it in" { code.all { (row.allow_line) } }
                    }
                } }
            } } }
        };
        Panel {
            id: "excluded",
            title: "Left out of mirroring",
            json: Some(&self.url("")),
            csv: None,
        }
        .draw(&sentence, &body)
    }
}

fn known(version: &str) -> bool {
    !version.is_empty() && version != "unknown"
}

fn figure(name: &str, value: Option<String>, note: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd { b { (value.as_deref().unwrap_or(text::DASH)) } @if !note.is_empty() { small { (note) } } }
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

/// Regressions first, then what is silent, then what is being checked.
fn rank(group: &GroupView) -> u8 {
    match (group.verdict, group.checking) {
        ("regression", false) => 0,
        _ if group.is_silent() => 1,
        _ => 2,
    }
}

fn table(rows: &[&GroupView], caption: &str, frame: &Frame<'_>) -> Markup {
    let groups: [(u8, &str, &str); 3] = [
        (
            0,
            "Regressions",
            "the candidate differs where legacy agrees with itself",
        ),
        (1, "No answer", "the candidate gave none, or not in time"),
        (
            2,
            "Being checked",
            "they count against parity until legacy itself has been asked often enough",
        ),
    ];
    html! {
        div.scroll { table.rows.divs role="table" {
            caption.vh { (caption) }
            thead role="rowgroup" { tr role="row" {
                th scope="col" role="columnheader" { "Difference" }
                th.n scope="col" role="columnheader" { "Pairs" }
                th.n scope="col" role="columnheader" { "Share" }
                th scope="col" role="columnheader" { "First and last seen, UTC" }
                th.n scope="col" role="columnheader" { "Evidence" }
                th scope="col" role="columnheader" { "Verdict" }
            } }
            @for (wanted, name, says) in groups {
                @let count = rows.iter().filter(|g| rank(g) == wanted).count();
                @if count > 0 { tbody.hover role="rowgroup" {
                    tr.group role="row" { th colspan="6" scope="rowgroup" role="rowheader" {
                        (name) " " span.dim { (count) " · " (says) } } }
                    @for group in rows.iter().filter(|g| rank(g) == wanted) { (group_row(group, frame)) }
                } }
            }
        } }
    }
}

/// Draws the name of a group: its first key, and how many more.
pub(crate) fn title(group: &GroupView) -> Markup {
    html! {
        @match group.differences.first() {
            Some(first) => {
                code { (first.path) } " " (first.kind)
                @if group.differences.len() > 1 {
                    " " span.dim { "and " (group.differences.len() - 1) " more" } }
            }
            None => { "no answer from the candidate" }
        }
    }
}

fn group_row(group: &GroupView, frame: &Frame<'_>) -> Markup {
    let now = frame.board.at;
    let link = format!(
        "/slices/{}/divergences/{}",
        parts::segment(&group.slice),
        parts::segment(&group.id)
    );
    let e = group.log_e;
    html! {
        tr role="row" id={ "group-" (group.id) } {
            th scope="row" role="rowheader" {
                a href=(link) { (title(group)) }
                small {
                    (group.endpoint)
                    @if let (Some(l), Some(c)) = (group.status_legacy, group.status_candidate) {
                        @if l != c { ", " (l) " → " (c) }
                    }
                }
            }
            td.n role="cell" data-label="Pairs" { (text::count(group.count)) small { "of " (text::count(group.of)) } }
            td.n role="cell" data-label="Share" { (text::share(group.share)) }
            td role="cell" data-label="First and last seen" {
                (text::moment(group.seen.0, now))
                @if group.seen.1 > group.seen.0 { " – " (text::moment(group.seen.1, now)) }
            }
            td.n role="cell" data-label="Evidence" {
                @if group.repeats == 0 { (parts::dash("legacy has not been asked again here yet")) }
                @else {
                    (text::count(group.candidate_only)) " : " (text::count(group.legacy_only))
                    small { (text::count(group.repeats)) " repeat calls"
                        @if e > 0.01 { ", e = " (evidence(e)) } }
                }
            }
            td role="cell" data-label="Verdict" { (verdict(group)) }
        }
    }
}

/// Writes an e-value from its logarithm.
pub(crate) fn evidence(log_e: f64) -> String {
    match log_e {
        l if l < 2.3 => format!("{:.1}", l.exp()),
        l if l < 13.8 => {
            let rounded = format!("{:.0}", l.exp());
            rounded.parse().map_or(rounded, text::count)
        }
        l => format!("10^{:.0}", (l / std::f64::consts::LN_10).floor()),
    }
}

/// Draws the verdict on a group.
pub(crate) fn verdict(group: &GroupView) -> Markup {
    let (tone, icon, word) = verdict_words(group);
    parts::status(tone, icon, word)
}

/// Returns tone, icon and word of the verdict on a group.
pub(crate) fn verdict_words(group: &GroupView) -> (parts::Tone, &'static str, &'static str) {
    use parts::Tone;
    match group.verdict {
        "regression" => (Tone::Alert, "alert", "regression"),
        _ if group.is_silent() => (Tone::Alert, "alert", "no answer"),
        "noisy" => (Tone::Plain, "noise", "noisy"),
        "expected" => (Tone::Plain, "ok", "expected"),
        "stable" => (Tone::Plain, "wait", "stable, being checked"),
        "unchecked" => (Tone::Plain, "none", "no controls yet"),
        _ => (Tone::Plain, "wait", "being checked"),
    }
}
