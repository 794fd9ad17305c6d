//! The state of the rules: what runs, and what is wrong with the file.

use maud::Markup;
use maud::html;

use super::frame::Frame;
use super::parts;
use super::parts::Deed;
use super::parts::Panel;
use super::text;
use crate::rules::Problem;

/// Draws the page of the rules.
pub(crate) fn page(frame: &Frame<'_>) -> Markup {
    let rules = &frame.board.rules;
    let now = frame.board.at;
    let path = rules.path.as_deref().unwrap_or("routes.yaml");
    let name = path.rsplit('/').next().unwrap_or(path);
    let body = html! {
        @if rules.successful {
            section.head id="head" aria-labelledby="r-h" {
                h1 id="r-h" {
                    @if rules.path.is_some() { (name) " is in force" } @else { "There is no file" } }
                p.lede {
                    @if rules.path.is_some() {
                        "Rules " code { (rules.hash) } " since " (text::moment(rules.taken_at, now))
                        " UTC. A correct file is taken within a second of its saving, a wrong one not at all."
                    } @else {
                        "Everything goes to legacy, as the command line says. Write a "
                        code { "routes.yaml" } " to compare the first slice: "
                        a href="/start" { "three steps" } "."
                    }
                }
            }
        } @else { (refused(frame, name)) }
        @if !rules.warnings.is_empty() {
            (Panel { id: "warnings", title: "Warnings", json: Some("/api/v1/rules"), csv: None }.draw(
                &html! { "The file is taken, but somebody should look." },
                &html! { div.panel-body { (problems(&rules.warnings, name, "What supplant check warns about")) } },
            ))
        }
        @if rules.path.is_some() { (reload(frame)) }
        (Panel { id: "text", title: "Rules in force", json: Some("/api/v1/rules"), csv: None }.draw(
            &html! { code { (rules.hash) } },
            &html! { div.panel-body { (numbered(&rules.text, "The text in force", &[])) } },
        ))
        @if let Some(text) = &rules.refused_text {
            (Panel { id: "refused", title: "What was refused", json: None, csv: None }.draw(
                &html! {},
                &html! { div.panel-body { (numbered(text, "The text that was refused", &rules.problems)) } },
            ))
        }
    };
    let title = if rules.successful {
        "Rules"
    } else {
        "Rules refused"
    };
    frame.draw(title, "/rules", &body)
}

fn refused(frame: &Frame<'_>, name: &str) -> Markup {
    let rules = &frame.board.rules;
    let now = frame.board.at;
    html! {
        section.banner id="reload" aria-labelledby="reload-h" {
            h1 id="reload-h" { (parts::icon("alert")) (name) " was refused, the old rules serve on" }
            p {
                @if let Some(at) = rules.refused_at { "Read at " (text::moment(at, now)) ", " }
                (text::plural(rules.problems.len() as u64, "error", "errors")) ", nothing taken. The rules "
                code { (rules.hash) } " of " (text::moment(rules.taken_at, now))
                " keep serving; no request failed and no evidence was lost. Save a correct file and it is "
                "taken within a second."
            }
            (problems(&rules.problems, name, "What supplant check prints"))
            p.small { "The same text is in the log and from " code { "supplant check" } "." }
        }
    }
}

fn reload(frame: &Frame<'_>) -> Markup {
    html! {
        div.acts id="again" {
            (Deed {
                action: "/reload",
                word: "Read it again",
                says: "The file is read now and taken if it is correct.",
                refused: (!frame.who.may_raise()).then_some("Reading it again needs a token; saving the file does not."),
                form_token: &frame.form_token,
                reasoned: false,
            }.draw())
        }
    }
}

/// Draws problems exactly as `check` prints them.
pub(crate) fn problems(problems: &[Problem], path: &str, label: &str) -> Markup {
    html! {
        pre.term tabindex="0" role="region" aria-label=(label) {
            @for (at, problem) in problems.iter().enumerate() {
                @if at > 0 { "\n" }
                (colored(&problem.render(path)))
            }
        }
    }
}

/// Colors what `check` colors on a terminal; the text is not changed.
fn colored(text: &str) -> Markup {
    html! {
        @for (at, line) in text.lines().enumerate() {
            @if at > 0 { "\n" }
            @match cut(line) {
                Some((before, marked, after)) => { (before) span.err { (marked) } (after) }
                None => { (line) }
            }
        }
    }
}

fn cut(line: &str) -> Option<(&str, &str, &str)> {
    for word in ["error[", "warning["] {
        if let Some(start) = line.find(word) {
            let (before, rest) = line.split_at_checked(start)?;
            let end = rest.find(']')? + 1;
            let (marked, after) = rest.split_at_checked(end)?;
            return Some((before, marked, after));
        }
    }
    let gutter = line.trim_start().starts_with('|');
    let start = line.find('^').filter(|_| gutter)?;
    let (before, rest) = line.split_at_checked(start)?;
    let end = rest.find(|c| c != '^').unwrap_or(rest.len());
    let (marked, after) = rest.split_at_checked(end)?;
    Some((before, marked, after))
}

/// Draws a text with its lines numbered, and those with a problem marked.
fn numbered(text: &str, label: &str, problems: &[Problem]) -> Markup {
    html! {
        pre.code.numbered tabindex="0" role="region" aria-label=(label) {
            @for (at, line) in text.lines().enumerate() {
                @let wrong = problems.iter().any(|p| p.line as usize == at + 1);
                span.ln.err[wrong] aria-hidden="true" {
                    (format!("{:>4}{} ", at + 1, if wrong { '!' } else { ' ' })) }
                @if line.trim_start().starts_with('#') { span.cm { (line) } } @else { (line) }
                "\n"
            }
        }
    }
}
