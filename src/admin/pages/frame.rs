//! The frame around every page: head, navigation, banners, foot.

use axum::http::HeaderMap;
use maud::DOCTYPE;
use maud::Markup;
use maud::html;

use super::parts;
use super::parts::Tone;
use super::state::ticked;
use super::text;
use crate::admin::assets;
use crate::admin::auth::Who;
use crate::admin::auth::cookie;
use crate::admin::sentence;
use crate::control::Board;
use crate::control::StoreState;

/// The cookie that remembers the theme.
pub(crate) const THEME_COOKIE: &str = "supplant_theme";

/// Light, dark, or what the system says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    /// What the system says.
    #[default]
    Auto,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// Reads the cookie.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match cookie(headers, THEME_COOKIE) {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::Auto,
        }
    }

    /// Returns the theme that a press of the button leads to.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Auto => Self::Dark,
            Self::Dark => Self::Light,
            Self::Light => Self::Auto,
        }
    }

    /// Returns the word of the cookie.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn attribute(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Light | Self::Dark => Some(self.as_str()),
        }
    }
}

/// What every page needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Frame<'a> {
    pub board: &'a Board,
    pub who: &'a Who,
    pub theme: Theme,
    /// The token that forms carry.
    pub form_token: String,
    /// Path and query of this page.
    pub here: &'a str,
    /// What the last act of this reader led to.
    pub note: Option<String>,
    /// Whether the full text of refused rules stands on this page anyway.
    pub shows_problems: bool,
}

impl Frame<'_> {
    /// Draws a page; `current` is the path of its entry in the navigation.
    pub(crate) fn draw(&self, title: &str, current: &str, body: &Markup) -> Markup {
        document(
            title,
            self.theme,
            &html! {
                (self.top(current))
                main.page id="main" {
                    @if let Some(note) = &self.note {
                        p.note id="note" role="status" { (parts::icon("ok")) span { (ticked(note)) } }
                    }
                    (self.banners())
                    (body)
                }
                (self.foot())
                (keys())
            },
        )
    }

    fn top(&self, current: &str) -> Markup {
        const PAGES: [(&str, &str); 3] = [
            ("/", "Overview"),
            ("/changes", "Changes"),
            ("/rules", "Rules"),
        ];
        let board = self.board;
        html! {
            header.top {
                (brand())
                nav.nav aria-label="Pages" {
                    ul {
                        @for (path, name) in PAGES {
                            li { a href=(path) aria-current=[(path == current).then_some("page")] {
                                (name)
                            } }
                        }
                    }
                }
                div.top-side id="top-side" {
                    span.live id="live" data-at=(board.at.to_string()) {
                        svg viewBox="0 0 10 10" aria-hidden="true" { circle cx="5" cy="5" r="5" {} }
                        span data-word="" { "as of" } " "
                        (text::moment(board.at, board.at))
                        span.opt-s { " UTC" }
                    }
                    @if board.rules.successful && board.rules.path.is_none() {
                        span.opt { a href="/rules" { "no " code { "routes.yaml" } } }
                    } @else if board.rules.successful {
                        span.opt {
                            "rules " a href="/rules" { code { (short(&board.rules.hash)) } }
                            " since " (text::moment(board.rules.taken_at, board.at))
                        }
                    } @else {
                        a.chip.st.st-alert href="/rules" {
                            (parts::icon("alert")) "rules refused"
                        }
                    }
                    (self.session())
                    form action="/preferences" method="post" {
                        input type="hidden" name="next" value=(self.here);
                        button.btn.btn-quiet name="theme" value=(self.theme.next().as_str())
                            aria-label={ "Theme: " (theme_word(self.theme)) ". Change" } {
                            (parts::icon("theme"))
                        }
                    }
                }
            }
        }
    }

    fn session(&self) -> Markup {
        html! {
            a.who href={ "/session?next=" (parts::segment(self.here)) } {
                @match &self.who.token {
                    Some(name) => { (name) }
                    None => { "sign in" }
                }
            }
        }
    }

    fn banners(&self) -> Markup {
        let board = self.board;
        html! {
            @if !board.rules.successful && !self.shows_problems { (refused(board)) }
            @if board.all_killed {
                (banner("killed", "Everything is killed: legacy answers every request", &html! {
                    p { "No candidate serves and nothing is compared until "
                        code { "supplant resume --all" } "." }
                    (parts::Deed {
                        action: "/resume",
                        word: "Resume all",
                        says: "Each slice goes back to where its file and its own holds put it.",
                        refused: (!self.who.may_raise()).then_some("Resume needs a token: sign in."),
                        form_token: &self.form_token,
                        reasoned: false,
                    }.draw())
                }))
            }
            @if board.killed_unpersisted {
                (banner("unpersisted", "A kill or rollback is in force, but not on disk", &html! {
                    p { "It is tried again every second. A restart before it succeeds would forget it." }
                }))
            }
            @match &board.store.state {
                StoreState::Ok => {}
                StoreState::Failing(why) => {
                    (banner("store", "The store takes nothing; requests are served as ever", &html! {
                        p { (sentence(why)) " Samples and counts that do not fit are dropped and counted: "
                            (text::count(board.store.dropped)) " so far." }
                    }))
                }
                StoreState::Lost(why) => {
                    (banner("store", "The store is lost; positions come from the file beside it", &html! {
                        p { (sentence(why)) " Nothing rises until somebody resumes a slice." }
                    }))
                }
            }
            @if let Err(why) = &board.ready {
                (banner("ready", "Not ready", &html! { p { (sentence(why)) } }))
            }
            @if board.draining {
                (banner("draining", "This process is on its way out", &html! {
                    p { "It finishes what it has begun and takes nothing new." }
                }))
            }
            @if board.rules.restart_required {
                (banner("restart", "A restart is needed for part of the rules", &html! {
                    p { "Keys changed that are read at start only; all others are in force. "
                        a href="/rules#warnings" { "See which" } "." }
                }))
            }
        }
    }

    fn foot(&self) -> Markup {
        let board = self.board;
        html! {
            footer.foot {
                span { "supplant " (env!("CARGO_PKG_VERSION")) " on " code { (board.node) } }
                span { "store " (board.store.url.split(':').next().unwrap_or(""))
                    @if board.store.bytes > 0 { ", " (text::bytes(board.store.bytes)) } }
                a href="/api/v1/status" { "API" }
                a href="/metrics" { "metrics" }
                span.needs-script {
                    kbd { "/" } " filter " kbd { "j" } " " kbd { "k" } " rows " kbd { "?" } " all keys"
                }
            }
        }
    }
}

fn theme_word(theme: Theme) -> &'static str {
    match theme {
        Theme::Auto => "automatic",
        Theme::Light => "light",
        Theme::Dark => "dark",
    }
}

fn short(hash: &str) -> &str {
    hash.get(..7).unwrap_or(hash)
}

fn banner(id: &str, title: &str, body: &Markup) -> Markup {
    html! {
        section.banner id={ "banner-" (id) } aria-labelledby={ "banner-" (id) "-h" } {
            h2 id={ "banner-" (id) "-h" } { (parts::icon("alert")) (title) }
            (body)
        }
    }
}

fn refused(board: &Board) -> Markup {
    let rules = &board.rules;
    let name = rules.path.as_deref().unwrap_or("routes.yaml");
    let name = name.rsplit('/').next().unwrap_or(name);
    html! {
        section.banner id="banner-rules" aria-labelledby="banner-rules-h" {
            h2 id="banner-rules-h" {
                (parts::icon("alert")) (name) " was refused, the old rules serve on"
            }
            p {
                (text::plural(rules.problems.len() as u64, "error", "errors"))
                @if let Some(at) = rules.refused_at { ", read at " (text::moment(at, board.at)) }
                ". No request failed and no evidence was lost. "
                a href="/rules" { "See what to mend" }
            }
        }
    }
}

fn brand() -> Markup {
    html! {
        a.brand href="/" {
            svg viewBox="0 0 20 20" aria-hidden="true" {
                path.f-legacy d="M3 3h5v14H3z" {}
                circle.f-cand cx="13" cy="6.5" r="4" {}
                circle.f-cand cx="13.5" cy="14.5" r="2.5" {}
            }
            "supplant"
        }
    }
}

fn keys() -> Markup {
    const KEYS: [(&str, &str); 8] = [
        ("/", "filter"),
        ("j", "next row, or next pair"),
        ("k", "row before, or pair before"),
        ("Enter", "open the row"),
        ("g o", "overview"),
        ("g c", "changes"),
        ("g r", "rules"),
        ("?", "this list"),
    ];
    html! {
        dialog.keys id="keys" aria-labelledby="keys-h" {
            h2 id="keys-h" { "Keys" }
            dl.kv { @for (key, what) in KEYS { dt { kbd { (key) } } dd { (what) } } }
            form method="dialog" { button.btn { "Close" } }
        }
    }
}

/// Draws a whole document.
fn document(title: &str, theme: Theme, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme.attribute()] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · supplant" }
                link rel="icon" href=(assets::ICON.url()) type="image/svg+xml";
                link rel="stylesheet" href=(assets::STYLE.url());
                script type="module" src=(assets::SCRIPT.url()) {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                (parts::sprite())
                (body)
            }
        }
    }
}

/// Draws a page that says one thing: not found, refused, failed.
pub(crate) fn message(theme: Theme, title: &str, says: &str, back: &str) -> Markup {
    document(
        title,
        theme,
        &html! {
            header.top { (brand()) }
            main.page id="main" {
                section.head {
                    h1 { (parts::chip(Tone::Alert, "alert", title)) }
                    p.lede { (says) }
                    p { a.btn href=(back) { "Back" } }
                }
            }
        },
    )
}

/// Draws a page outside the frame, before anybody is known.
pub(crate) fn bare(theme: Theme, title: &str, body: &Markup) -> Markup {
    document(
        title,
        theme,
        &html! {
            header.top { (brand()) }
            main.page id="main" { (body) }
        },
    )
}
