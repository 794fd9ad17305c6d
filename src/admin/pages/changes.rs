//! The history: what changed, who did it, and why.

use maud::Markup;
use maud::html;

use super::frame::Frame;
use super::parts;
use super::parts::Panel;
use super::state::ticked;
use super::text;
use crate::admin::view::ChangeView;
use crate::control::Board;

/// Draws the page of all changes; `next` is where older ones are.
pub(crate) fn page(frame: &Frame<'_>, changes: &[ChangeView], next: Option<&str>) -> Markup {
    let body = html! {
        section.head aria-labelledby="c-h" {
            h1 id="c-h" { "Changes" }
            p.lede { "What changed, who did it, and what it did to the evidence; the newest first." }
        }
        (panel("History", changes, frame.board, ""))
        @if let Some(next) = next { p { a.btn href=(next) rel="next" { "Older changes" } } }
    };
    frame.draw("Changes", "/changes", &body)
}

/// Draws a list of changes as a block.
pub(crate) fn panel(title: &str, changes: &[ChangeView], board: &Board, all: &str) -> Markup {
    let body = html! {
        @if changes.is_empty() { p.panel-body.dim { "Nothing has changed yet." } }
        ol.feed {
            @for change in changes {
                li id={ "change-" (change.id) } {
                    (text::moment(change.when, board.at))
                    div {
                        (line(change, board))
                        @if let Some(diff) = &change.diff { (diff_of(diff)) }
                    }
                }
            }
        }
        @if !all.is_empty() && !changes.is_empty() { p.panel-foot { a href=(all) { "All changes" } } }
    };
    Panel {
        id: "changes",
        title,
        json: Some("/api/v1/changes"),
        csv: Some("/api/v1/changes?format=csv"),
    }
    .draw(&html! {}, &body)
}

fn line(change: &ChangeView, board: &Board) -> Markup {
    html! {
        @match change.kind {
            "kill" => { (mark("stop", "kill")) }
            "rollback" => { (mark("back", "rollback")) }
            "rules_refused" => { (mark("alert", "refused")) }
            _ => {}
        }
        @if let Some(slice) = &change.slice {
            // A text that names its slice needs no name in front of it.
            @if let Some((before, after)) = change.text.split_once(&format!("`{slice}`")) {
                (ticked(before)) (name(slice, board)) (ticked(after))
            } @else { (name(slice, board)) " " (ticked(&change.text)) }
        } @else { (ticked(&change.text)) }
        span.dim { ", by " (change.actor) }
    }
}

fn name(slice: &str, board: &Board) -> Markup {
    html! {
        b {
            @if board.slice(slice).is_some() {
                a href={ "/slices/" (parts::segment(slice)) } { (slice) }
            } @else { (slice) }
        }
    }
}

fn mark(icon: &str, word: &str) -> Markup {
    html! { span.st.st-alert { (parts::icon(icon)) span.vh { (word) ": " } } " " }
}

fn diff_of(diff: &str) -> Markup {
    html! {
        details data-keep="" {
            summary { "what changed" }
            pre.code tabindex="0" role="region" aria-label="What changed" { (diff) }
        }
    }
}
