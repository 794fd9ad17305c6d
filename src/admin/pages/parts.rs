//! Small parts of every page: icons, statuses, panels, sides, forms.

use maud::Markup;
use maud::PreEscaped;
use maud::html;
use std::fmt::Write as _;

use crate::model::Side;

/// Every icon, referred to by `<use>`; the shape says the meaning, not only the color.
const SPRITE: &str = include_str!("../assets/icons.svg");

/// Returns the symbols that [`icon`] refers to.
pub(crate) fn sprite() -> Markup {
    PreEscaped(SPRITE.to_owned())
}

/// Draws an icon of the sprite.
pub(crate) fn icon(name: &str) -> Markup {
    html! { svg.i aria-hidden="true" { use href={ "#i-" (name) } {} } }
}

/// How loud a status is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A human must look.
    Alert,
    /// You may act.
    Act,
    /// Fine, or not known.
    Plain,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Alert => "st st-alert",
            Self::Act => "st st-act",
            Self::Plain => "st",
        }
    }
}

/// Draws a status: icon and word.
pub(crate) fn status(tone: Tone, name: &str, word: &str) -> Markup {
    html! { span class=(tone.class()) { (icon(name)) (word) } }
}

/// Draws a status as a chip, beside a title.
pub(crate) fn chip(tone: Tone, name: &str, word: &str) -> Markup {
    html! { span class={ (tone.class()) " chip" } { (icon(name)) (word) } }
}

/// Draws the name of a side with its shape.
pub(crate) fn side(side: Side) -> Markup {
    let (class, name) = match side {
        Side::Legacy => ("side side-legacy", "legacy"),
        Side::Candidate => ("side side-cand", "cand"),
    };
    html! {
        span class=(class) {
            svg aria-hidden="true" { use href={ "#i-" (name) } {} }
            (side.as_str())
        }
    }
}

/// Draws a bar of who serves, `share` being the candidate's.
pub(crate) fn share_bar(share: f64) -> Markup {
    let width = format!("{:.2}%", share * 100.0);
    html! {
        svg.share aria-hidden="true" {
            rect.f-legacy width="100%" height="6" rx="1" {}
            @if share > 0.0 {
                rect.f-cand width=(width) height="6" rx="1" {}
                @if share < 1.0 { rect.p-bg x=(width) width="2" height="6" {} }
            }
        }
    }
}

/// Draws how far a count is on its way.
pub(crate) fn meter(done: f64) -> Markup {
    let width = format!("{:.1}%", done.clamp(0.0, 1.0) * 100.0);
    html! {
        svg.meter aria-hidden="true" {
            rect.out x=".5" y=".5" width="99%" height="5" rx="2.5" {}
            rect.fill width=(width) height="6" rx="3" {}
        }
    }
}

/// What stands in the head of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel<'a> {
    /// The anchor.
    pub id: &'a str,
    /// The title.
    pub title: &'a str,
    /// Where the same data is as JSON, if it is.
    pub json: Option<&'a str>,
    /// Where the same data is as CSV, if it is.
    pub csv: Option<&'a str>,
}

impl Panel<'_> {
    /// Draws a block with a sentence beside its title.
    pub(crate) fn draw(self, sentence: &Markup, body: &Markup) -> Markup {
        let heading = format!("{}-h", self.id);
        html! {
            section.panel id=(self.id) aria-labelledby=(heading) {
                div.panel-head {
                    h2 id=(heading) { (self.title) }
                    @if !sentence.0.is_empty() { p { (sentence) } }
                    span.tools {
                        a href={ "#" (self.id) } aria-label={ "Link to " (self.title) } { "link" }
                        @if let Some(url) = self.csv {
                            " " a href=(url) aria-label={ (self.title) " as CSV" } { "CSV" }
                        }
                        @if let Some(url) = self.json {
                            " " a href=(url) aria-label={ (self.title) " as JSON" } { "JSON" }
                        }
                    }
                }
                (body)
            }
        }
    }
}

/// Draws code that one click selects; a button to copy it appears when scripts run.
pub(crate) fn copyable(code: &str, label: &str) -> Markup {
    html! {
        div.copyable {
            pre.code tabindex="0" role="region" aria-label=(label) { code.all { (code) } }
            button.btn.needs-script type="button" data-copy="" { (icon("copy")) "Copy" }
        }
    }
}

/// Draws a dash with the reason why a figure is missing.
pub(crate) fn dash(reason: &str) -> Markup {
    html! { span.dim title=(reason) { "–" span.vh { " " (reason) } } }
}

/// One thing that may be done, with its one confirmation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed<'a> {
    /// Where the form goes.
    pub action: &'a str,
    /// The word on the button.
    pub word: &'a str,
    /// What happens, as a sentence.
    pub says: &'a str,
    /// Why it is not possible now.
    pub refused: Option<&'a str>,
    /// The token of the form.
    pub form_token: &'a str,
    /// Whether it may need a reason, so that one can be given.
    pub reasoned: bool,
}

impl Deed<'_> {
    /// Draws the button; it opens its own confirmation, without a script.
    pub(crate) fn draw(self) -> Markup {
        html! {
            @if let Some(reason) = self.refused {
                div.deed {
                    button.btn type="button" aria-disabled="true" { (self.word) }
                    p.why { (reason) }
                }
            } @else {
                details.deed data-keep="" {
                    summary.btn { (self.word) "…" }
                    form.confirm method="post" action=(self.action) {
                        p { (self.says) }
                        input type="hidden" name="form" value=(self.form_token);
                        @if self.reasoned {
                            p.field { label { "Reason, for the history" " "
                                input type="text" name="reason" maxlength="500"; } }
                        }
                        button.btn.btn-sure { "Yes: " (self.word) }
                    }
                }
            }
        }
    }
}

/// Writes a text as one segment of a path, or one value of a query, of our own URLs.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("a-b_c.d~9"), "a-b_c.d~9");
        assert_eq!(segment("../x?y#z"), "..%2Fx%3Fy%23z");
    }
}
