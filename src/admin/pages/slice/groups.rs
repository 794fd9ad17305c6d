//! What differs in a slice: groups by path and kind.

use maud::Markup;
use maud::html;

use super::Look;
use super::Page;
use crate::admin::pages::Frame;
use crate::admin::pages::parts;
use crate::admin::pages::parts::Panel;
use crate::admin::pages::text;
use crate::admin::view;
use crate::admin::view::GroupView;

/// Groups a page.
const GROUPS: usize = 50;
/// Groups of earlier epochs shown; the API has them all.
const EARLIER_MAX: usize = 50;

impl Page<'_> {
    pub(super) fn divergences(&self, look: &Look) -> Markup {
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
                    (table(&earlier[..earlier.len().min(EARLIER_MAX)], "Differences of earlier epochs", self.frame))
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

    pub(super) fn search(&self, q: &str) -> Markup {
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

    pub(super) fn pager(&self, look: &Look, page: usize, pages: usize) -> Markup {
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
        l => {
            let exponent = format!("{:.0}", (l / std::f64::consts::LN_10).floor());
            exponent.parse().map_or(exponent, text::power)
        }
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
