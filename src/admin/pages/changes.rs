//! The history: what changed, who did it, and why.

use maud::Markup;
use maud::html;

use super::frame::Frame;
use super::parts;
use super::parts::Panel;
use super::state::ticked;
use super::text;
use crate::admin::view::ChangeView;
use crate::model::UnixMillis;

/// Draws the page of all changes; `next` is where older ones are.
pub(crate) fn page(frame: &Frame<'_>, changes: &[ChangeView], next: Option<&str>) -> Markup {
    let body = html! {
        section.head aria-labelledby="c-h" {
            h1 id="c-h" { "Changes" }
            p.lede { "What changed, who did it, and what it did to the evidence; the newest first." }
        }
        (panel("changes", "History", changes, frame.board.at, ""))
        @if let Some(next) = next { p { a.btn href=(next) rel="next" { "Older changes" } } }
    };
    frame.draw("Changes", "/changes", &body)
}

/// Draws a list of changes as a block.
pub(crate) fn panel(
    id: &str,
    title: &str,
    changes: &[ChangeView],
    now: UnixMillis,
    all: &str,
) -> Markup {
    let body = html! {
        @if changes.is_empty() { p.panel-body.dim { "Nothing has changed yet." } }
        ol.feed {
            @for change in changes {
                li id={ "change-" (change.id) } {
                    (text::moment(change.when, now))
                    div {
                        (line(change))
                        @if let Some(diff) = &change.diff { (diff_of(diff)) }
                    }
                }
            }
        }
        @if !all.is_empty() && !changes.is_empty() { p.panel-foot { a href=(all) { "All changes" } } }
    };
    Panel {
        id,
        title,
        json: Some("/api/v1/changes"),
        csv: Some("/api/v1/changes?format=csv"),
    }
    .draw(&html! {}, &body)
}

fn line(change: &ChangeView) -> Markup {
    html! {
        @match change.kind {
            "kill" => span.st.st-alert { (parts::icon("stop")) "kill" },
            "rollback" => span.st.st-alert { (parts::icon("back")) "rollback" },
            "rules_refused" => span.st.st-alert { (parts::icon("alert")) "rules refused" },
            _ => {}
        }
        " "
        @if let Some(slice) = &change.slice {
            b { a href={ "/slices/" (parts::segment(slice)) } { (slice) } } " "
        }
        (ticked(&change.text))
        span.dim { ", by " (change.actor) }
    }
}

fn diff_of(diff: &str) -> Markup {
    html! {
        details data-keep="" {
            summary { "what changed" }
            pre.code tabindex="0" role="region" aria-label="What changed" { (diff) }
        }
    }
}
