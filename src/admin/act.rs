//! Acts: by the API, and by the forms of the pages. Both become one event to the control loop.

use axum::Json;
use axum::extract::Form;
use axum::extract::Path;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Redirect;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tokio::sync::oneshot;

use super::Shared;
use super::auth::Auth;
use super::auth::Denied;
use super::auth::Who;
use super::deny;
use super::pages;
use super::segment;
use super::sentence;
use crate::control::Act;
use crate::control::Done;
use crate::control::Event;
use crate::control::Refused;
use crate::control::Target;
use crate::model::SliceId;

/// How long an act may take before we say that it may still happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// The header that carries the form token of a session to the API.
const FORM_HEADER: &str = "x-supplant-form";

/// Why an act has no answer.
enum Failed {
    Refused(Refused),
    Late,
}

impl Failed {
    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refused) => match refused {
                Refused::UnknownSlice { .. } | Refused::UnknownBackend { .. } => {
                    StatusCode::NOT_FOUND
                }
                Refused::Nothing(_) => StatusCode::CONFLICT,
                Refused::NeedsReason(_) | Refused::Rules(_) => StatusCode::UNPROCESSABLE_ENTITY,
                Refused::NotPersisted(_) | Refused::Ending => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused(refused) => match refused {
                Refused::UnknownSlice { .. } => "unknown_slice",
                Refused::UnknownBackend { .. } => "unknown_backend",
                Refused::Nothing(_) => "nothing_to_do",
                Refused::NeedsReason(_) => "needs_reason",
                Refused::NotPersisted(_) => "not_persisted",
                Refused::Rules(_) => "rules_refused",
                Refused::Ending => "ending",
            },
            Self::Late => "late",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Refused(refused) => refused.to_string(),
            Self::Late => "no answer in time; it may still happen".to_owned(),
        }
    }
}

async fn perform(desk: &Shared, act: Act, who: &Who) -> Result<Done, Failed> {
    let (reply, answer) = oneshot::channel();
    let event = Event::Act {
        act,
        actor: who.actor(),
        reply,
    };
    let ending = || Failed::Refused(Refused::Ending);
    let work = async {
        desk.parts.events.send(event).await.map_err(|_| ending())?;
        match answer.await {
            Ok(result) => result.map_err(Failed::Refused),
            Err(_) => Err(ending()),
        }
    };
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(Failed::Late),
    }
}

/// Lowering is for everybody on this machine; everything else takes a token.
fn permit(act: &Act, who: &Who) -> Result<(), Denied> {
    let allowed = match act {
        Act::Kill(_) | Act::Rollback(_) => who.may_lower(),
        Act::Resume { .. } | Act::Deploy { .. } | Act::Reload => who.may_raise(),
    };
    match (allowed, &who.token) {
        (true, _) => Ok(()),
        (false, None) => Err(Denied::Token),
        (false, Some(_)) => Err(Denied::Role),
    }
}

fn slice_act(word: &str, name: &str, reason: Option<String>) -> Option<Act> {
    let slice = SliceId::new(name);
    match word {
        "kill" => Some(Act::Kill(Target::Slice(slice))),
        "rollback" => Some(Act::Rollback(slice)),
        "resume" => Some(Act::Resume {
            target: Target::Slice(slice),
            reason,
        }),
        _ => None,
    }
}

/// What an act may carry.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deploy {
    backend: String,
    version: String,
}

fn bad(text: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": text }))).into_response()
}

/// Reads a body of JSON, where an empty one stands for nothing said.
fn read<T: serde::de::DeserializeOwned>(
    body: &Bytes,
    empty: Option<T>,
) -> Result<T, Box<Response>> {
    if let (true, Some(value)) = (body.is_empty(), empty) {
        return Ok(value);
    }
    serde_json::from_slice(body)
        .map_err(|e| Box::new(bad(&format!("the body cannot be read as JSON: {e}"))))
}

async fn api(desk: &Shared, who: &Who, headers: &HeaderMap, act: Act) -> Response {
    // A cookie comes along by itself, so a session shows that its own page is asking.
    if Auth::by_session(who) {
        let token = headers.get(FORM_HEADER).and_then(|v| v.to_str().ok());
        if let Err(denied) = desk.parts.auth.check_form(who, token.unwrap_or("")) {
            return deny(denied, true);
        }
    }
    if let Err(denied) = permit(&act, who) {
        return deny(denied, true);
    }
    match perform(desk, act, who).await {
        Ok(done) => Json(json!({ "done": done.text, "persisted": done.persisted })).into_response(),
        Err(failed) => {
            let body = json!({ "error": failed.text(), "code": failed.code() });
            (failed.status(), Json(body)).into_response()
        }
    }
}

/// `POST /api/v1/slices/{name}/kill|rollback|resume`.
pub(super) async fn api_slice(
    State(desk): State<Shared>,
    who: Who,
    Path((name, word)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let reason = match read(&body, Some(Reason::default())) {
        Ok(Reason { reason }) => reason,
        Err(response) => return *response,
    };
    match slice_act(&word, &name, reason) {
        Some(act) => api(&desk, &who, &headers, act).await,
        None => super::api::nothing(),
    }
}

/// `POST /api/v1/kill`: everything to legacy.
pub(super) async fn api_kill(State(desk): State<Shared>, who: Who, headers: HeaderMap) -> Response {
    api(&desk, &who, &headers, Act::Kill(Target::All)).await
}

/// `POST /api/v1/resume`: lifts `kill --all`.
pub(super) async fn api_resume(
    State(desk): State<Shared>,
    who: Who,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let reason = match read(&body, Some(Reason::default())) {
        Ok(Reason { reason }) => reason,
        Err(response) => return *response,
    };
    let act = Act::Resume {
        target: Target::All,
        reason,
    };
    api(&desk, &who, &headers, act).await
}

/// `POST /api/v1/reload`: reads the rules now.
pub(super) async fn api_reload(
    State(desk): State<Shared>,
    who: Who,
    headers: HeaderMap,
) -> Response {
    api(&desk, &who, &headers, Act::Reload).await
}

/// `POST /api/v1/deploys {backend, version}`: a version is out.
pub(super) async fn api_deploy(
    State(desk): State<Shared>,
    who: Who,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Deploy { backend, version } = match read(&body, None) {
        Ok(read) => read,
        Err(response) => return *response,
    };
    if backend.is_empty() || version.is_empty() || version.len() > 200 {
        return bad("`backend` and `version` are needed, a version of at most 200 characters");
    }
    api(&desk, &who, &headers, Act::Deploy { backend, version }).await
}

/// What every form of a page carries.
#[derive(Debug, Deserialize)]
pub(super) struct Confirmed {
    #[serde(default)]
    form: String,
    #[serde(default)]
    reason: Option<String>,
}

/// Performs what a form asks for and goes back to `page` with a note.
async fn page(desk: &Shared, who: &Who, form: &Confirmed, act: Act, page: &str) -> Response {
    let checked = desk
        .parts
        .auth
        .check_form(who, &form.form)
        .and_then(|()| permit(&act, who));
    if let Err(denied) = checked {
        return deny(denied, false);
    }
    match perform(desk, act, who).await {
        Ok(done) => {
            let later = if done.persisted {
                ""
            } else {
                " It is in force, but not on disk yet."
            };
            let note = desk.leave_note(format!("{}{later}", sentence(&done.text)));
            let glue = if page.contains('?') { '&' } else { '?' };
            Redirect::to(&format!("{page}{glue}note={note}")).into_response()
        }
        Err(failed) => {
            let says = sentence(&failed.text());
            let message = pages::message(pages::Theme::default(), "Not done", &says, page);
            (failed.status(), message).into_response()
        }
    }
}

/// `POST /slices/{name}/kill|rollback|resume` of a page.
pub(super) async fn page_slice(
    State(desk): State<Shared>,
    who: Who,
    Path((name, word)): Path<(String, String)>,
    Form(form): Form<Confirmed>,
) -> Response {
    let back = format!("/slices/{}", segment(&name));
    match slice_act(&word, &name, form.reason.clone()) {
        Some(act) => page(&desk, &who, &form, act, &back).await,
        None => super::site::missing("There is no such act."),
    }
}

/// `POST /kill` of a page.
pub(super) async fn page_kill(
    State(desk): State<Shared>,
    who: Who,
    Form(form): Form<Confirmed>,
) -> Response {
    page(&desk, &who, &form, Act::Kill(Target::All), "/").await
}

/// `POST /resume` of a page.
pub(super) async fn page_resume(
    State(desk): State<Shared>,
    who: Who,
    Form(form): Form<Confirmed>,
) -> Response {
    let act = Act::Resume {
        target: Target::All,
        reason: form.reason.clone(),
    };
    page(&desk, &who, &form, act, "/").await
}

/// `POST /reload` of a page.
pub(super) async fn page_reload(
    State(desk): State<Shared>,
    who: Who,
    Form(form): Form<Confirmed>,
) -> Response {
    page(&desk, &who, &form, Act::Reload, "/rules").await
}
