//! The page of one slice: where it stands, what was compared, what differs.

mod figures;
mod groups;
mod tables;

pub(crate) use groups::evidence;
pub(crate) use groups::title;
pub(crate) use groups::verdict_words;

use maud::Markup;
use maud::html;
use serde::Deserialize;

use crate::admin::pages::Frame;
use crate::admin::pages::changes;
use crate::admin::pages::parts;
use crate::admin::pages::parts::Deed;
use crate::admin::pages::parts::Panel;
use crate::admin::pages::state;
use crate::admin::pages::state::ticked;
use crate::admin::pages::text;
use crate::admin::view::ChangeView;
use crate::admin::view::Need;
use crate::admin::view::SliceView;
use crate::control::SliceBoard;
use crate::model::Stage;

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
                Need::ClientsFail => { b { "Clients get errors." } " Now " (state::hint(view)) "." }
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
                reasoned: action == "resume",
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
}

fn known(version: &str) -> bool {
    !version.is_empty() && version != "unknown"
}
