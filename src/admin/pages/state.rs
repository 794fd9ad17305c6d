//! What a slice needs, as words and as a sentence.

use maud::Markup;
use maud::html;

use super::parts;
use super::parts::Tone;
use super::text;
use crate::admin::view::GroupView;
use crate::admin::view::Need;
use crate::admin::view::SliceView;

/// Returns tone, icon and word of what a slice needs.
fn words(slice: &SliceView) -> (Tone, &'static str, String) {
    match slice.needs {
        Need::Killed => (Tone::Alert, "stop", "killed".to_owned()),
        Need::RolledBack => (Tone::Alert, "back", "rolled back".to_owned()),
        Need::Regression => {
            let n = slice.regressions as u64;
            let word = text::plural(n, "regression", "regressions");
            (Tone::Alert, "alert", word)
        }
        Need::ClientsFail => (Tone::Alert, "alert", "clients fail".to_owned()),
        Need::NoAnswer => (Tone::Alert, "alert", "no answer".to_owned()),
        Need::BelowTarget => (Tone::Alert, "alert", "below target".to_owned()),
        Need::LegacyNeeded => (Tone::Alert, "alert", "legacy needed".to_owned()),
        Need::Ready => (Tone::Act, "up", "parity shown".to_owned()),
        Need::Collecting => (Tone::Plain, "wait", "collecting".to_owned()),
        Need::Learning => (Tone::Plain, "noise", "learning noise".to_owned()),
        Need::NoPairs => (Tone::Plain, "none", "nothing compared yet".to_owned()),
        Need::NotStarted => (Tone::Plain, "none", "not started".to_owned()),
        Need::Steady if slice.stage == "retired" => (Tone::Plain, "ok", "retired".to_owned()),
        Need::Steady => (Tone::Plain, "ok", "no drift".to_owned()),
    }
}

/// Draws the status of a slice.
pub(crate) fn status(slice: &SliceView) -> Markup {
    let (tone, icon, word) = words(slice);
    parts::status(tone, icon, &word)
}

/// Draws the status of a slice beside its title.
pub(crate) fn chip(slice: &SliceView) -> Markup {
    let (tone, icon, word) = words(slice);
    parts::chip(tone, icon, &word)
}

/// Returns the few words under the status.
pub(crate) fn hint(slice: &SliceView) -> String {
    match slice.needs {
        Need::Killed => "legacy answers until it is resumed".to_owned(),
        Need::RolledBack => format!("held at shadow; the file says {}", slice.declared),
        Need::Regression => "the candidate differs, legacy does not".to_owned(),
        Need::ClientsFail => {
            let [legacy, candidate] = slice.failing;
            let side = if candidate >= legacy {
                "the candidate"
            } else {
                "legacy"
            };
            format!("{side} gives them no answer")
        }
        Need::NoAnswer => "the candidate often gives none".to_owned(),
        Need::BelowTarget => "more differs than the target allows".to_owned(),
        Need::LegacyNeeded => {
            let n = text::plural(slice.retired_hits, "request", "requests");
            format!("{n} still answered by legacy")
        }
        Need::Ready => "the target is met; the file moves it on".to_owned(),
        Need::Collecting => match slice.parity.needed {
            // Parity is shown already; what keeps it from being ready is the alarm of latency.
            Some(0) => "the target is met, but the candidate is slower".to_owned(),
            Some(more) => format!("{} clean comparisons to go", text::count(more)),
            None => "the target is out of reach as it stands".to_owned(),
        },
        Need::Learning => "too many fields change by themselves".to_owned(),
        Need::NoPairs => "waiting for requests to compare".to_owned(),
        Need::NotStarted if slice.name == "_unmatched" => "no slice takes these".to_owned(),
        Need::NotStarted => "the file keeps it at legacy".to_owned(),
        Need::Steady => "nothing new differs".to_owned(),
    }
}

/// Says how many clients got no answer, and from whom.
fn failing(slice: &SliceView) -> String {
    let told = |n: u64, side: &str| {
        let clients = text::plural(n, "client", "clients");
        format!("{clients} got no answer from {side}")
    };
    match slice.failing {
        [0, n] => told(n, "the candidate"),
        [n, 0] => told(n, "legacy"),
        [a, b] => format!("{}, {}", told(a, "legacy"), told(b, "the candidate")),
    }
}

/// Returns the sentence of the list of needs, and where its button leads.
pub(crate) fn sentence(slice: &SliceView, groups: &[GroupView]) -> (Markup, String, &'static str) {
    let page = format!("/slices/{}", parts::segment(&slice.name));
    let worst = |wanted: fn(&GroupView) -> bool| {
        groups
            .iter()
            .filter(|g| g.current && wanted(g))
            .max_by_key(|g| g.count)
    };
    match slice.needs {
        Need::ClientsFail => (
            html! { (failing(slice)) " within the last minute." },
            format!("{page}#stage"),
            "Open",
        ),
        Need::Regression => match worst(|g| g.verdict == "regression") {
            Some(group) => (
                html! { (ticked(&group.sentence)) },
                format!("{page}/divergences/{}", group.id),
                "See the difference",
            ),
            None => (html! {}, page, "Open"),
        },
        Need::NoAnswer => match worst(GroupView::is_silent) {
            Some(group) => (
                html! { (ticked(&group.sentence)) },
                format!("{page}/divergences/{}", group.id),
                "Investigate",
            ),
            None => (html! {}, page, "Investigate"),
        },
        Need::Killed => (
            html! { "Legacy answers every request of it until somebody resumes it." },
            format!("{page}#stage"),
            "Open",
        ),
        Need::RolledBack => (
            html! { "Held at shadow until somebody resumes it; the file would let it go to "
            b { (slice.declared) } "." },
            format!("{page}#stage"),
            "Investigate",
        ),
        Need::LegacyNeeded => (
            html! { (hint(slice)) ", although the slice is retired." },
            page,
            "Open",
        ),
        Need::BelowTarget => (
            html! {
                b { (text::count(slice.parity.f)) } " of " (text::count(slice.parity.n))
                " compared requests differ, more than the target of " (text::share(slice.parity.target)) " allows."
            },
            format!("{page}#parity"),
            "Review",
        ),
        _ => (
            html! { (ticked(&slice.parity.sentence)) },
            format!("{page}#parity"),
            "Review",
        ),
    }
}

/// Draws a sentence, with what stands between backticks as code.
pub(crate) fn ticked(sentence: &str) -> Markup {
    html! {
        @for (at, part) in sentence.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
