//! Signing in: a small form that takes a token once.

use maud::Markup;
use maud::html;

use super::frame::Theme;
use super::frame::bare;
use super::parts;
use super::parts::Tone;
use crate::admin::auth::Who;

/// Draws the form; `failed` after a token that is not known.
pub(crate) fn page(
    theme: Theme,
    who: Option<&Who>,
    next: &str,
    form_token: &str,
    failed: bool,
) -> Markup {
    let signed_in = who.and_then(|w| w.token.as_deref());
    let body = html! {
        section.head aria-labelledby="t-h" {
            h1 id="t-h" { @if signed_in.is_some() { "Signed in" } @else { "Sign in" } }
            p.lede {
                @match (who, signed_in) {
                    (Some(who), Some(name)) => {
                        "You are here with the token " b { (name) } ", whose role is " b { (who.role.as_str()) } "."
                    }
                    _ => {
                        "Without a token a page on this machine shows shapes, kills and rolls back. Resuming, "
                        "reloading and seeing values take one."
                    }
                }
            }
        }
        section.panel id="token" aria-labelledby="token-h" {
            div.panel-head { h2 id="token-h" { "Token" } }
            div.panel-body.stack-s {
                @if failed {
                    p role="alert" { (parts::status(Tone::Alert, "alert", "This token is not known here.")) }
                }
                form.acts method="post" action="/session" {
                    input type="hidden" name="next" value=(next);
                    label.field { "Token "
                        input type="password" name="token" autocomplete="off" required size="40";
                    }
                    button.btn.btn-go { "Sign in" }
                }
                p.small.dim {
                    "The proxy writes one at each start to " code { "supplant.token" }
                    " beside its store, and prints a link that carries it. The page keeps a session "
                    "of 12 hours, not the token."
                }
                @if signed_in.is_some() {
                    form.acts method="post" action="/session/end" {
                        input type="hidden" name="form" value=(form_token);
                        button.btn { "Sign out" }
                    }
                }
                p { a href=(next) { "Back to the page" } }
            }
        }
    };
    bare(theme, "Sign in", &body)
}
