//! The pages as handlers: what each one reads, and where forms lead.

use axum::extract::Form;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Redirect;
use axum::response::Response;
use maud::Markup;
use serde::Deserialize;

use super::Shared;
use super::auth::Denied;
use super::auth::Who;
use super::deny;
use super::pages;
use super::pages::Frame;
use super::pages::Theme;
use super::view::ChangeView;
use crate::control::Board;
use crate::model::PairId;

/// Changes on the overview.
const FEW: u32 = 10;
/// Changes a page.
const MANY: u32 = 100;
/// Changes searched for those of one slice.
const SEARCHED: u32 = 500;

/// What every page may carry in its query.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Common {
    note: Option<u64>,
}

/// Who reads which page.
struct Visit<'a> {
    desk: &'a Shared,
    who: &'a Who,
    headers: &'a HeaderMap,
    here: String,
    note: Option<u64>,
}

impl<'a> Visit<'a> {
    fn new(
        desk: &'a Shared,
        who: &'a Who,
        headers: &'a HeaderMap,
        uri: &Uri,
        common: &Common,
    ) -> Self {
        let here = uri.path_and_query().map_or("/", |p| p.as_str());
        // A note is for one look; the address that is sent on should not carry it.
        let here = here
            .split_once("note=")
            .map_or(here, |(before, _)| before.trim_end_matches(['?', '&']))
            .to_owned();
        Self {
            desk,
            who,
            headers,
            here,
            note: common.note,
        }
    }

    fn frame<'b>(&'b self, board: &'b Board) -> Frame<'b> {
        Frame {
            board,
            who: self.who,
            theme: Theme::of(self.headers),
            form_token: self.desk.parts.auth.form_token(self.who),
            here: &self.here,
            note: self.note.and_then(|id| self.desk.note(id)),
            shows_problems: false,
        }
    }
}

/// A store that cannot be read costs the history, never the page.
async fn history(desk: &Shared, limit: u32) -> Vec<ChangeView> {
    let changes = desk.parts.shelf.changes(limit, None).await;
    changes
        .unwrap_or_default()
        .iter()
        .map(ChangeView::from)
        .collect()
}

/// `GET /`.
pub(super) async fn overview(
    State(desk): State<Shared>,
    who: Who,
    headers: HeaderMap,
    uri: Uri,
    Query(common): Query<Common>,
    Query(filter): Query<pages::Filter>,
) -> Response {
    let board = desk.parts.board.get();
    let visit = Visit::new(&desk, &who, &headers, &uri, &common);
    if board.slices.is_empty() {
        return steps(&visit, &board).into_response();
    }
    let changes = history(&desk, FEW).await;
    pages::overview(&visit.frame(&board), &filter, &changes).into_response()
}

/// `GET /start`: the steps, whatever there is already.
pub(super) async fn start(
    State(desk): State<Shared>,
    who: Who,
    headers: HeaderMap,
    uri: Uri,
    Query(common): Query<Common>,
) -> Response {
    let board = desk.parts.board.get();
    let visit = Visit::new(&desk, &who, &headers, &uri, &common);
    steps(&visit, &board).into_response()
}

fn steps(visit: &Visit<'_>, board: &Board) -> Markup {
    let places = pages::Places {
        data: &visit.desk.parts.data,
        admin: &visit.desk.parts.admin,
    };
    pages::empty(&visit.frame(board), places)
}

/// `GET /slices/{name}`.
pub(super) async fn slice(
    State(desk): State<Shared>,
    who: Who,
    headers: HeaderMap,
    uri: Uri,
    Path(name): Path<String>,
    Query(common): Query<Common>,
    Query(look): Query<pages::Look>,
) -> Response {
    let board = desk.parts.board.get();
    let visit = Visit::new(&desk, &who, &headers, &uri, &common);
    let Some(slice) = board.slice(&name) else {
        return missing(&format!("There is no slice `{name}`."));
    };
    let mut changes = history(&desk, SEARCHED).await;
    changes.retain(|c| c.slice.as_deref() == Some(&name));
    changes.truncate(FEW as usize);
    pages::slice(&visit.frame(&board), slice, &look, &changes).into_response()
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct PairQuery {
    pair: Option<String>,
}

/// `GET /slices/{name}/divergences/{id}`.
pub(super) async fn divergence(
    State(desk): State<Shared>,
    who: Who,
    headers: HeaderMap,
    uri: Uri,
    Path((name, id)): Path<(String, String)>,
    Query(common): Query<Common>,
    Query(query): Query<PairQuery>,
) -> Response {
    let board = desk.parts.board.get();
    let visit = Visit::new(&desk, &who, &headers, &uri, &common);
    let found = board
        .slice(&name)
        .and_then(|slice| Some((slice, pages::divergence::find(slice, &id)?)));
    let Some((slice, group)) = found else {
        return missing(
            "There is no such difference, or not any more: groups of noise, and the oldest ones, go.",
        );
    };
    let ids: Vec<PairId> = group
        .examples
        .iter()
        .filter_map(|id| PairId::parse(id))
        .collect();
    let (pairs, failed) = match desk.parts.shelf.examples(&ids).await {
        Ok(pairs) => (pairs, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let shown = pages::divergence::Shown {
        slice,
        group: &group,
        at: pages::divergence::place(&pairs, query.pair.as_deref()),
        pairs: &pairs,
        failed,
        base: &desk.parts.data,
    };
    pages::divergence(&visit.frame(&board), &shown).into_response()
}

/// `GET /rules`.
pub(super) async fn rules(
    State(desk): State<Shared>,
    who: Who,
    headers: HeaderMap,
    uri: Uri,
    Query(common): Query<Common>,
) -> Response {
    let board = desk.parts.board.get();
    let visit = Visit::new(&desk, &who, &headers, &uri, &common);
    let frame = Frame {
        shows_problems: true,
        ..visit.frame(&board)
    };
    pages::rules(&frame).into_response()
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Before {
    before: Option<i64>,
}

/// `GET /changes`.
pub(super) async fn changes(
    State(desk): State<Shared>,
    who: Who,
    headers: HeaderMap,
    uri: Uri,
    Query(common): Query<Common>,
    Query(query): Query<Before>,
) -> Response {
    let board = desk.parts.board.get();
    let visit = Visit::new(&desk, &who, &headers, &uri, &common);
    let found = desk.parts.shelf.changes(MANY + 1, query.before).await;
    let changes = match found {
        Ok(changes) => changes,
        Err(why) => {
            let says = format!("The store cannot be read: {why}.");
            let page = pages::message(Theme::of(&headers), "No history", &says, "/");
            return (StatusCode::SERVICE_UNAVAILABLE, page).into_response();
        }
    };
    let shown = changes.get(..MANY as usize).unwrap_or(&changes);
    let more = changes.len() > shown.len();
    let next = shown
        .last()
        .filter(|_| more)
        .map(|last| format!("/changes?before={}", last.id));
    let views: Vec<ChangeView> = shown.iter().map(ChangeView::from).collect();
    pages::changes(&visit.frame(&board), &views, next.as_deref()).into_response()
}

/// Where to go after a form; only to a page of ours.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

impl Next {
    fn own(&self) -> &str {
        own(&self.next)
    }
}

/// A path of ours, never another host's: `//evil`, `/\evil` and a scheme lead away.
fn own(next: &str) -> &str {
    let inside = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', '\r', '\n'])
        && !next.bytes().any(|b| b.is_ascii_control());
    if inside { next } else { "/" }
}

/// `GET /session`.
pub(super) async fn session(
    State(desk): State<Shared>,
    headers: HeaderMap,
    Query(next): Query<Next>,
) -> Response {
    let auth = &desk.parts.auth;
    let who = auth.who(&headers, desk.parts.board.get().at).ok();
    let form = who.as_ref().map(|w| auth.form_token(w)).unwrap_or_default();
    pages::session(Theme::of(&headers), who.as_ref(), next.own(), &form, false).into_response()
}

/// A token, given once.
#[derive(Deserialize)]
pub(super) struct Given {
    token: String,
    #[serde(default)]
    next: String,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Given(…)")
    }
}

/// `POST /session`: takes a token and sets the cookie of a session.
pub(super) async fn sign_in(
    State(desk): State<Shared>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Response {
    let next = own(&given.next);
    let now = desk.parts.board.get().at;
    let Ok(cookie) = desk.parts.auth.sign_in(&given.token, now) else {
        let page = pages::session(Theme::of(&headers), None, next, "", true);
        return (StatusCode::UNAUTHORIZED, page).into_response();
    };
    ([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response()
}

#[derive(Debug, Deserialize)]
pub(super) struct Ended {
    #[serde(default)]
    form: String,
}

/// `POST /session/end`.
pub(super) async fn sign_out(
    State(desk): State<Shared>,
    who: Who,
    Form(ended): Form<Ended>,
) -> Response {
    let auth = &desk.parts.auth;
    if auth.check_form(&who, &ended.form).is_err() {
        return deny(Denied::Form, false);
    }
    (
        [(header::SET_COOKIE, auth.sign_out(&who))],
        Redirect::to("/session"),
    )
        .into_response()
}

#[derive(Debug, Deserialize)]
pub(super) struct Preferences {
    theme: String,
    #[serde(default)]
    next: String,
}

/// `POST /preferences`: remembers the theme.
pub(super) async fn preferences(Form(wanted): Form<Preferences>) -> Response {
    let theme = match wanted.theme.as_str() {
        "light" => Theme::Light,
        "dark" => Theme::Dark,
        _ => Theme::Auto,
    };
    let cookie = format!(
        "{}={}; Path=/; Max-Age=31536000; SameSite=Strict",
        pages::THEME_COOKIE,
        theme.as_str()
    );
    (
        [(header::SET_COOKIE, cookie)],
        Redirect::to(own(&wanted.next)),
    )
        .into_response()
}

/// Whatever else is asked for.
pub(super) async fn nothing(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return super::api::nothing();
    }
    missing("There is no such page.")
}

pub(super) fn missing(says: &str) -> Response {
    let page = pages::message(Theme::default(), "Not found", says, "/");
    (StatusCode::NOT_FOUND, page).into_response()
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn a_form_leads_to_our_own_pages_only() {
        for next in ["/", "/slices/a?q=1", "/rules#text"] {
            assert_eq!(own(next), next);
        }
        for next in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil",
            "/a\r\nb",
            "evil",
        ] {
            assert_eq!(own(next), "/", "{next}");
        }
    }
}
