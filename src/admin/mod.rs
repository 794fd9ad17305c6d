//! The admin listener: health, metrics, the API under `/api/v1/`, and the dashboard.
//!
//! Nothing here is in the path of a request that the proxy serves. What is shown comes from the
//! [`Board`](crate::control::Board) of the moment; what is asked goes to the control loop as an
//! [`Event`]. Who may do what is decided in [`auth`] alone.

mod act;
mod api;
mod assets;
pub mod auth;
mod csv;
mod diff;
mod door;
mod events;
mod pages;
mod pair;
mod shape;
mod shelf;
mod site;
#[cfg(test)]
mod tests;
mod view;

pub use auth::Auth;
pub use auth::Token;
pub use auth::refuse_open;
pub use auth::write_token;
pub(crate) use pages::segment;
pub use shelf::Shelf;

use axum::Json;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts as Head;
use axum::middleware;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Redirect;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use serde_json::json;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::watch;

use crate::admin::auth::Denied;
use crate::admin::auth::Who;
use crate::control::BoardReader;
use crate::control::Event;
use crate::control::StoreState;

/// The largest body that an act or a form may have.
const BODY_MAX: usize = 64 * 1024;
/// Pages that may listen for events at one time.
const STREAMS_MAX: usize = 64;
/// Notes kept for readers who were just redirected.
const NOTES_MAX: usize = 64;

/// Writes the metrics in Prometheus's text form.
pub type Gather = Arc<dyn Fn() -> String + Send + Sync>;

/// What the admin side is made of.
pub struct Parts {
    /// What is shown.
    pub board: BoardReader,
    /// Examples and the history.
    pub shelf: Shelf,
    /// Where acts go.
    pub events: mpsc::Sender<Event>,
    /// The metrics.
    pub metrics: Gather,
    /// Who may do what.
    pub auth: Auth,
    /// Where the data listener is, such as `http://127.0.0.1:8080`, for commands to copy.
    pub data: String,
    /// Where this listener is, for commands to copy.
    pub admin: String,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("auth", &self.auth)
            .field("data", &self.data)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

/// Everything that handlers share.
pub(crate) struct Desk {
    parts: Parts,
    notes: Mutex<(u64, VecDeque<(u64, String)>)>,
    closing: watch::Sender<bool>,
    streams: Arc<Semaphore>,
}

/// The state of the router.
pub(crate) type Shared = Arc<Desk>;

impl Desk {
    fn new(parts: Parts) -> Self {
        Self {
            parts,
            notes: Mutex::default(),
            closing: watch::Sender::new(false),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }

    /// Keeps a note for the page that a reader is sent to; returns its number.
    fn leave_note(&self, text: String) -> u64 {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.0 += 1;
        let id = notes.0;
        if notes.1.len() >= NOTES_MAX {
            notes.1.pop_front();
        }
        notes.1.push_back((id, text));
        id
    }

    fn note(&self, id: u64) -> Option<String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let found = notes.1.iter().find(|(own, _)| *own == id);
        found.map(|(_, text)| text.clone())
    }
}

/// Serves the admin side until `shutdown` ends, then lets open answers end.
///
/// # Errors
/// What the listener says.
pub async fn serve(
    listener: TcpListener,
    parts: Parts,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let desk = Arc::new(Desk::new(parts));
    let closing = desk.closing.clone();
    axum::serve(door::Door::new(listener), router(desk))
        .with_graceful_shutdown(async move {
            shutdown.await;
            // Event streams have no end of their own.
            closing.send_replace(true);
        })
        .await
}

fn router(desk: Shared) -> Router {
    let api = Router::new()
        .route("/api/v1/slices", get(api::slices))
        .route("/api/v1/slices/{name}", get(api::slice))
        .route("/api/v1/slices/{name}/divergences", get(api::divergences))
        .route("/api/v1/slices/{name}/endpoints", get(api::endpoints))
        .route("/api/v1/slices/{name}/noise", get(api::noise))
        .route("/api/v1/slices/{name}/{act}", post(act::api_slice))
        .route("/api/v1/divergences/{id}", get(api::divergence))
        .route("/api/v1/pairs/{id}", get(api::pair))
        .route("/api/v1/changes", get(api::changes))
        .route("/api/v1/rules", get(api::rules))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/events", get(events::stream))
        .route("/api/v1/kill", post(act::api_kill))
        .route("/api/v1/resume", post(act::api_resume))
        .route("/api/v1/reload", post(act::api_reload))
        .route("/api/v1/deploys", post(act::api_deploy));
    Router::new()
        .merge(api)
        .route("/", get(site::overview))
        .route("/start", get(site::start))
        .route("/slices/{name}", get(site::slice))
        .route("/slices/{name}/divergences/{id}", get(site::divergence))
        .route("/slices/{name}/{act}", post(act::page_slice))
        .route("/kill", post(act::page_kill))
        .route("/resume", post(act::page_resume))
        .route("/reload", post(act::page_reload))
        .route("/rules", get(site::rules))
        .route("/changes", get(site::changes))
        .route("/session", get(site::session).post(site::sign_in))
        .route("/session/end", post(site::sign_out))
        .route("/preferences", post(site::preferences))
        .route("/assets/{file}", get(asset))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .fallback(site::nothing)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(desk.clone(), gate))
        .with_state(desk)
}

/// Stands before every handler: the Host, the origin, and what every answer says to browsers.
async fn gate(State(desk): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // Probes ask by address, and these two tell nothing.
    let probe = matches!(path, "/healthz" | "/readyz");
    let api = is_api(path);
    let auth = &desk.parts.auth;
    let checked = if probe {
        Ok(())
    } else {
        auth.check_host(request.headers())
    }
    .and_then(|()| auth.check_origin(request.method(), request.headers()));
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(denied) => deny(denied, api),
    };
    let headers = response.headers_mut();
    for (name, value) in GUARDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Nothing inline, nothing from elsewhere, no frame around us. The referrer stays, because without
/// it browsers hide the origin of our own forms.
const GUARDS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
         object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

fn is_api(path: &str) -> bool {
    path.starts_with("/api/") || path == "/metrics"
}

fn status_of(denied: Denied) -> StatusCode {
    match denied {
        Denied::Host => StatusCode::MISDIRECTED_REQUEST,
        Denied::Origin | Denied::Form | Denied::Role => StatusCode::FORBIDDEN,
        Denied::Token => StatusCode::UNAUTHORIZED,
    }
}

fn deny(denied: Denied, api: bool) -> Response {
    let status = status_of(denied);
    let mut response = if api {
        (status, Json(json!({ "error": denied.to_string() }))).into_response()
    } else {
        let page = pages::message(
            pages::Theme::default(),
            "Refused",
            &sentence(&denied.to_string()),
            "/",
        );
        (status, page).into_response()
    };
    if denied == Denied::Token {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Makes a sentence of a message: errors begin small and have no full stop.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        None => String::new(),
    }
}

/// Every handler that takes a [`Who`] has been through the gate.
impl FromRequestParts<Shared> for Who {
    type Rejection = Response;

    async fn from_request_parts(head: &mut Head, desk: &Shared) -> Result<Self, Response> {
        let now = desk.parts.board.get().at;
        let who = desk.parts.auth.who(&head.headers, now);
        who.map_err(|denied| {
            let path = head.uri.path();
            if is_api(path) || head.headers.contains_key(header::AUTHORIZATION) {
                return deny(denied, is_api(path));
            }
            let here = head.uri.path_and_query().map_or("/", |p| p.as_str());
            Redirect::to(&format!("/session?next={}", segment(here))).into_response()
        })
    }
}

async fn asset(request: Request) -> Response {
    assets::find(request.uri().path()).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

async fn metrics(State(desk): State<Shared>, _who: Who) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], (desk.parts.metrics)()).into_response()
}

async fn health() -> &'static str {
    "ok\n"
}

async fn ready(State(desk): State<Shared>) -> Response {
    let board = desk.parts.board.get();
    let lost = match &board.store.state {
        StoreState::Lost(_) => " (store lost: positions come from the file beside it)",
        StoreState::Ok | StoreState::Failing(_) => "",
    };
    match (&board.ready, board.draining) {
        (_, true) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned()),
        (Err(why), _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {why}\n"),
        ),
        (Ok(()), false) => (StatusCode::OK, format!("ready{lost}\n")),
    }
    .into_response()
}
