//! The page without slices: three steps to the first comparison.

use maud::Markup;
use maud::html;

use super::frame::Frame;
use super::parts;
use super::parts::Tone;
use super::text;

/// Where things are, for the commands to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    /// The data listener, `http://127.0.0.1:8080`.
    pub data: &'a str,
    /// The admin listener, `http://127.0.0.1:9900`.
    pub admin: &'a str,
}

/// Draws the steps.
pub(crate) fn page(frame: &Frame<'_>, places: Places<'_>) -> Markup {
    let board = frame.board;
    let slices = board.slices.len() as u64;
    let requests: u64 = board.rows().map(|s| s.counts.requests).sum();
    let headline = match (requests, slices) {
        (0, _) => "Nothing needs you: no traffic yet",
        (_, 0) => "Nothing needs you: no slice yet",
        _ => "Three steps to the first comparison",
    };
    let port = places.data.rsplit(':').next().unwrap_or("8080");
    let body = html! {
        section.head id="head" aria-labelledby="e-h" {
            h1 id="e-h" { (headline) }
            p.lede {
                "supplant listens on " code { (places.data) } " and sends "
                @if slices == 0 { "everything to legacy" } @else { "what no slice takes to legacy" }
                ". Three steps to the first comparison."
            }
        }
        ol.steps {
            (step(requests == 0, "Send one request through", &match requests {
                0 => parts::status(Tone::Plain, "wait", "waiting for the first request"),
                n => parts::status(Tone::Plain, "ok", &text::plural(n, "request", "requests")),
            }, &html! {
                p.lede { "Legacy answers it as before; nothing is copied or changed." }
                (parts::copyable(&format!("curl -i {}/", places.data), "Send a request"))
            }))
            (step(requests > 0 && slices == 0, "See your traffic counted", &match requests {
                0 => parts::status(Tone::Plain, "none", "0 requests"),
                n => parts::status(Tone::Plain, "ok", &text::plural(n, "request", "requests")),
            }, &html! {
                p.lede {
                    "Point a real client, a browser or a load balancer at port " (port)
                    ". Every request is counted; " a href="/api/v1/status" { "the status" }
                    " says how many, here and by the API:"
                }
                (parts::copyable(&format!("curl -s {}/api/v1/status", places.admin), "Ask for the status"))
            }))
            (first_slice(frame, places))
        }
        p.lede {
            "No application at hand? " code { "supplant demo" }
            " starts a legacy, a candidate and live traffic in one command."
        }
    };
    frame.draw(headline, "/", &body)
}

/// Draws the step that makes a slice. Without a file the text in force is the legacy of the command
/// line, and no file is watched.
fn first_slice(frame: &Frame<'_>, places: Places<'_>) -> Markup {
    let rules = &frame.board.rules;
    let by_hand = rules.path.is_none();
    let legacy = if by_hand {
        rules.text.trim()
    } else {
        "legacy: http://127.0.0.1:3000"
    };
    let status = match frame.board.slices.len() as u64 {
        0 => parts::status(Tone::Plain, "none", "0 slices"),
        n => parts::status(Tone::Plain, "ok", &text::plural(n, "slice", "slices")),
    };
    let first = format!(
        "{legacy}\nslices:\n  - {{ name: orders, match: /api/orders, to: \"http://127.0.0.1:4000\", stage: shadow }}"
    );
    let ask = format!(
        "curl -s {}/api/orders > /dev/null\ncurl -s {}/api/v1/slices/orders",
        places.data, places.admin
    );
    let body = html! {
        p.lede {
            @if by_hand { "Write this to " } @else { "Add this to " }
            code { "routes.yaml" } ", with your own addresses. Legacy still answers every "
            "client; the candidate gets copies of " code { "GET" } " and " code { "HEAD" } " only."
        }
        (parts::copyable(&first, "A first routes.yaml"))
        p.lede {
            @if by_hand {
                "Then start " code { "supplant run" } " again, without " code { "--legacy" }
                ": from there on the file is taken as soon as you save it."
            } @else { "The file is taken as soon as you save it." }
            " Then ask for one of its pages and read the outcome:"
        }
        (parts::copyable(&ask, "Ask for the slice"))
    };
    step(false, "Compare the first slice", &status, &body)
}

fn step(now: bool, title: &str, status: &Markup, body: &Markup) -> Markup {
    html! {
        li.panel.step.now[now] {
            div.stack-s {
                div.head-line { h2 { (title) } (status) }
                (body)
            }
        }
    }
}
