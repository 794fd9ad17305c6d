//! The history, the rules, and the whole process in one answer.

use axum::Json;
use axum::extract::Query;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::PER_PAGE;
use super::PER_PAGE_MAX;
use super::as_csv;
use super::unreadable;
use crate::admin::Shared;
use crate::admin::auth::Who;
use crate::admin::csv;
use crate::admin::view::ChangeView;
use crate::admin::view::SliceView;
use crate::control::Board;
use crate::control::StoreState;
use crate::rules::Problem;

/// Where a page of the history begins.
#[derive(Debug, Default, Deserialize)]
pub(in crate::admin) struct Walk {
    before: Option<i64>,
    per_page: Option<usize>,
    #[serde(default)]
    format: String,
}

/// `GET /changes`: the newest first.
pub(in crate::admin) async fn changes(
    State(desk): State<Shared>,
    _who: Who,
    Query(walk): Query<Walk>,
) -> Response {
    let limit = walk.per_page.unwrap_or(PER_PAGE).clamp(1, PER_PAGE_MAX);
    let asked = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let found = match desk.parts.shelf.changes(asked, walk.before).await {
        Ok(found) => found,
        Err(why) => return unreadable(&why),
    };
    let more = found.len() > limit;
    let views: Vec<ChangeView> = found.iter().take(limit).map(ChangeView::from).collect();
    if walk.format == "csv" {
        let head = ["at", "actor", "kind", "slice", "text", "hash"];
        let rows = views.iter().map(|c| {
            [
                c.at.clone(),
                c.actor.clone(),
                c.kind.to_owned(),
                c.slice.clone().unwrap_or_default(),
                c.text.clone(),
                c.hash.clone().unwrap_or_default(),
            ]
        });
        return as_csv("changes", csv::table(head, rows));
    }
    let next = views
        .last()
        .filter(|_| more)
        .map(|last| format!("/api/v1/changes?before={}&per_page={limit}", last.id));
    Json(json!({ "items": views, "next": next })).into_response()
}

#[derive(Serialize)]
struct ProblemView<'a> {
    code: &'a str,
    severity: &'a str,
    line: u32,
    column: u32,
    message: &'a str,
    hint: &'a str,
    example: Option<&'a str>,
    /// The text that `check` prints.
    text: String,
}

fn problems<'a>(problems: &'a [Problem], path: &str) -> Vec<ProblemView<'a>> {
    problems
        .iter()
        .map(|p| ProblemView {
            code: p.code,
            severity: p.severity.as_str(),
            line: p.line,
            column: p.column,
            message: &p.message,
            hint: &p.hint,
            example: p.example.as_deref(),
            text: p.render(path),
        })
        .collect()
}

/// `GET /rules`: what runs, and what is wrong with the file.
pub(in crate::admin) async fn rules(State(desk): State<Shared>, _who: Who) -> Response {
    let board = desk.parts.board.get();
    let rules = &board.rules;
    let path = rules.path.as_deref().unwrap_or("routes.yaml");
    Json(json!({
        "path": rules.path,
        "hash": rules.hash,
        "taken_at": rules.taken_at.to_string(),
        "successful": rules.successful,
        "problems": problems(&rules.problems, path),
        "warnings": problems(&rules.warnings, path),
        "restart_required": rules.restart_required,
        "refused_at": rules.refused_at.map(|at| at.to_string()),
        "text": &*rules.text,
        "refused_text": rules.refused_text.as_deref(),
    }))
    .into_response()
}

/// `GET /status`: the whole process in one answer.
pub(in crate::admin) async fn status(State(desk): State<Shared>, _who: Who) -> Response {
    let board = desk.parts.board.get();
    let views: Vec<SliceView> = board.rows().map(|s| SliceView::of(s, &board)).collect();
    let requests: u64 = views.iter().map(|s| s.requests).sum();
    let slices: Vec<Value> = views
        .iter()
        .map(|s| {
            json!({
                "name": s.name, "stage": s.stage, "share": s.share, "position": s.position,
                "declared": s.declared, "ceiling": s.ceiling, "killed": s.killed,
                "rolled_back": s.rolled_back, "needs": s.needs, "requests": s.requests,
                "parity": { "n": s.parity.n, "f": s.parity.f, "lower": s.parity.lower,
                    "upper": s.parity.upper, "target": s.parity.target },
                "regressions": s.regressions, "checking": s.checking,
            })
        })
        .collect();
    Json(json!({
        "at": board.at.to_string(),
        "started": board.started.to_string(),
        "version": env!("CARGO_PKG_VERSION"),
        "node": board.node,
        "ready": board.ready.is_ok() && !board.draining,
        "not_ready_because": board.ready.as_ref().err(),
        "draining": board.draining,
        "all_killed": board.all_killed,
        "unpersisted": board.killed_unpersisted,
        "requests": requests,
        "rules": rules_line(&board),
        "store": store(&board),
        "shadow": {
            "queued": board.shadow.queue_len, "queue_capacity": board.shadow.queue_capacity,
            "inflight": board.shadow.inflight, "shed": board.shadow.shed,
            "buffered_bytes": board.shadow.buffered_bytes,
        },
        "slices": slices,
    }))
    .into_response()
}

fn rules_line(board: &Board) -> Value {
    json!({
        "path": board.rules.path, "hash": board.rules.hash,
        "taken_at": board.rules.taken_at.to_string(), "successful": board.rules.successful,
        "restart_required": board.rules.restart_required,
        "errors": board.rules.problems.len(), "warnings": board.rules.warnings.len(),
    })
}

fn store(board: &Board) -> Value {
    let (state, why) = match &board.store.state {
        StoreState::Ok => ("ok", None),
        StoreState::Failing(why) => ("failing", Some(why)),
        StoreState::Lost(why) => ("lost", Some(why)),
    };
    json!({
        "url": board.store.url, "state": state, "because": why,
        "write_errors": board.store.write_errors, "dropped": board.store.dropped,
        "bytes": board.store.bytes, "positions_persisted": board.store.positions_persisted,
    })
}
