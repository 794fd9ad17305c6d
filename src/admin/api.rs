//! The API that reads: one function an endpoint, stable shapes, JSON or CSV.
//!
//! A list is `{items, next}`; `?page=` and `?per_page=` walk it, `?format=csv` gives all of it.

use axum::Json;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::Shared;
use super::auth::Who;
use super::csv;
use super::pair::PairView;
use super::view;
use super::view::ChangeView;
use super::view::GroupView;
use super::view::SliceView;
use crate::control::Board;
use crate::control::SliceBoard;
use crate::control::StoreState;
use crate::model::PairId;
use crate::rules::Problem;

/// Items a page, unless asked otherwise.
const PER_PAGE: usize = 100;
/// Items a page at most.
const PER_PAGE_MAX: usize = 1_000;

/// Answers that there is nothing here.
pub(super) fn nothing() -> Response {
    missing("there is no such endpoint")
}

fn missing(text: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": text }))).into_response()
}

/// How a list is cut and written.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Cut {
    #[serde(default)]
    page: usize,
    per_page: Option<usize>,
    #[serde(default)]
    format: String,
}

impl Cut {
    fn wants_csv(&self) -> bool {
        self.format == "csv"
    }

    /// Answers with one page of `items`; `path` and `rest` make the address of the next one.
    fn answer<T: Serialize>(&self, items: &[T], path: &str, rest: &[(&str, &str)]) -> Response {
        let per_page = self.per_page.unwrap_or(PER_PAGE).clamp(1, PER_PAGE_MAX);
        let start = self.page.saturating_mul(per_page).min(items.len());
        let end = (start + per_page).min(items.len());
        let next = (end < items.len()).then(|| {
            let mut url = format!("{path}?page={}&per_page={per_page}", self.page + 1);
            for (name, value) in rest.iter().filter(|(_, value)| !value.is_empty()) {
                url.push_str(&format!("&{name}={}", super::site::segment(value)));
            }
            url
        });
        let total = items.len();
        Json(json!({ "items": &items[start..end], "next": next, "total": total })).into_response()
    }
}

fn as_csv(name: &str, text: String) -> Response {
    let kind = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    let file = format!("attachment; filename=\"{name}.csv\"");
    let headers = [
        (header::CONTENT_TYPE, kind),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::try_from(file).unwrap_or(HeaderValue::from_static("attachment")),
        ),
    ];
    (headers, text).into_response()
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

fn with_slice(
    desk: &Shared,
    name: &str,
    then: impl FnOnce(&Board, &SliceBoard) -> Response,
) -> Response {
    let board = desk.parts.board.get();
    match board.slice(name) {
        Some(slice) => then(&board, slice),
        None => missing(&format!("there is no slice `{name}`")),
    }
}

/// Which slices.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SliceFilter {
    #[serde(default)]
    q: String,
    #[serde(default)]
    stage: String,
    #[serde(default)]
    owner: String,
}

/// `GET /slices`: every slice in the order of the file, then `_unmatched`.
pub(super) async fn slices(
    State(desk): State<Shared>,
    _who: Who,
    Query(cut): Query<Cut>,
    Query(filter): Query<SliceFilter>,
) -> Response {
    let board = desk.parts.board.get();
    let wanted = super::pages::Filter {
        q: filter.q.clone(),
        stage: filter.stage.clone(),
        owner: filter.owner.clone(),
        page: 0,
    };
    let views: Vec<SliceView> = board
        .slices
        .iter()
        .chain([&board.unmatched])
        .map(|s| SliceView::of(s, &board))
        .filter(|s| wanted.admits(s))
        .collect();
    if cut.wants_csv() {
        return as_csv("slices", slices_csv(&views));
    }
    let rest = [
        ("q", filter.q.as_str()),
        ("stage", &filter.stage),
        ("owner", &filter.owner),
    ];
    cut.answer(&views, "/api/v1/slices", &rest)
}

fn slices_csv(views: &[SliceView]) -> String {
    let head = [
        "name",
        "owner",
        "stage",
        "share",
        "position",
        "needs",
        "requests",
        "compared",
        "n",
        "f",
        "lower",
        "upper",
        "target",
        "legacy_p50",
        "legacy_p99",
        "candidate_p50",
        "candidate_p99",
        "regressions",
        "checking",
    ];
    let rows = views.iter().map(|s| {
        let quantile = |q: Option<view::QuantilesView>,
                        pick: fn(view::QuantilesView) -> Option<f64>| {
            number(q.and_then(pick))
        };
        [
            s.name.clone(),
            s.owner.clone().unwrap_or_default(),
            s.stage.to_owned(),
            s.share.to_string(),
            s.position.clone(),
            serde_json::to_value(s.needs)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
            s.requests.to_string(),
            s.compared.to_string(),
            s.parity.n.to_string(),
            s.parity.f.to_string(),
            number(s.parity.lower),
            number(s.parity.upper),
            s.parity.target.to_string(),
            quantile(s.latency.legacy, |q| q.p50),
            quantile(s.latency.legacy, |q| q.p99),
            quantile(s.latency.candidate, |q| q.p50),
            quantile(s.latency.candidate, |q| q.p99),
            s.regressions.to_string(),
            s.checking.to_string(),
        ]
    });
    csv::table(head, rows)
}

/// `GET /slices/{name}`; as CSV its outcomes.
pub(super) async fn slice(
    State(desk): State<Shared>,
    _who: Who,
    Path(name): Path<String>,
    Query(cut): Query<Cut>,
) -> Response {
    with_slice(&desk, &name, |board, slice| {
        let view = SliceView::of(slice, board);
        if !cut.wants_csv() {
            return Json(view).into_response();
        }
        let rows = view
            .outcomes
            .iter()
            .map(|(name, count)| [name.clone(), count.to_string()])
            .chain([["pending".to_owned(), view.pending.to_string()]]);
        as_csv(&name, csv::table(["outcome", "requests"], rows))
    })
}

/// Which groups, and in what order.
#[derive(Debug, Default, Deserialize)]
pub(super) struct GroupFilter {
    /// A verdict.
    #[serde(default)]
    verdict: String,
    /// A kind of difference.
    #[serde(default)]
    kind: String,
    /// Part of a path.
    #[serde(default)]
    path: String,
    /// Part of an endpoint.
    #[serde(default)]
    endpoint: String,
    /// `current` (as without it) or `all`.
    #[serde(default)]
    epoch: String,
    /// `count` (as without it), `share`, `first_seen` or `last_seen`; the largest first.
    #[serde(default)]
    sort: String,
}

impl GroupFilter {
    fn admits(&self, group: &GroupView) -> bool {
        let any = |wanted: &str, hit: &dyn Fn() -> bool| wanted.is_empty() || hit();
        (group.current || self.epoch == "all")
            && any(&self.verdict, &|| group.verdict == self.verdict)
            && any(&self.endpoint, &|| group.endpoint.contains(&self.endpoint))
            && any(&self.kind, &|| {
                group.differences.iter().any(|d| d.kind == self.kind)
            })
            && any(&self.path, &|| {
                group
                    .differences
                    .iter()
                    .any(|d| d.path.contains(&self.path))
            })
    }

    fn sort(&self, groups: &mut [GroupView]) {
        match self.sort.as_str() {
            "share" => groups.sort_by(|a, b| b.share.total_cmp(&a.share)),
            "first_seen" => groups.sort_by_key(|g| std::cmp::Reverse(g.seen.0)),
            "last_seen" => groups.sort_by_key(|g| std::cmp::Reverse(g.seen.1)),
            _ => groups.sort_by_key(|g| std::cmp::Reverse(g.count)),
        }
    }
}

/// `GET /slices/{name}/divergences`.
pub(super) async fn divergences(
    State(desk): State<Shared>,
    _who: Who,
    Path(name): Path<String>,
    Query(cut): Query<Cut>,
    Query(filter): Query<GroupFilter>,
) -> Response {
    with_slice(&desk, &name, |_, slice| {
        let mut groups = view::groups(slice);
        groups.retain(|g| filter.admits(g));
        filter.sort(&mut groups);
        if cut.wants_csv() {
            return as_csv("divergences", groups_csv(&groups));
        }
        let path = format!("/api/v1/slices/{}/divergences", super::site::segment(&name));
        let rest = [
            ("verdict", filter.verdict.as_str()),
            ("kind", &filter.kind),
            ("path", &filter.path),
            ("endpoint", &filter.endpoint),
            ("epoch", &filter.epoch),
            ("sort", &filter.sort),
        ];
        cut.answer(&groups, &path, &rest)
    })
}

fn groups_csv(groups: &[GroupView]) -> String {
    let head = [
        "id",
        "endpoint",
        "status_legacy",
        "status_candidate",
        "differences",
        "verdict",
        "count",
        "of",
        "share",
        "first_seen",
        "last_seen",
        "current",
    ];
    let rows = groups.iter().map(|g| {
        let keys: Vec<String> = g
            .differences
            .iter()
            .map(|d| format!("{} {}", d.path, d.kind))
            .collect();
        [
            g.id.clone(),
            g.endpoint.clone(),
            number(g.status_legacy),
            number(g.status_candidate),
            keys.join("; "),
            g.verdict.to_owned(),
            g.count.to_string(),
            g.of.to_string(),
            g.share.to_string(),
            g.first_seen.clone(),
            g.last_seen.clone(),
            g.current.to_string(),
        ]
    });
    csv::table(head, rows)
}

/// `GET /slices/{name}/endpoints`: the worst first.
pub(super) async fn endpoints(
    State(desk): State<Shared>,
    _who: Who,
    Path(name): Path<String>,
    Query(cut): Query<Cut>,
) -> Response {
    with_slice(&desk, &name, |_, slice| {
        let rows = view::endpoints(slice);
        if !cut.wants_csv() {
            let path = format!("/api/v1/slices/{}/endpoints", super::site::segment(&name));
            return cut.answer(&rows, &path, &[]);
        }
        let head = [
            "endpoint", "n", "f", "masked", "lower", "upper", "controls", "triples",
        ];
        let rows = rows.iter().map(|r| {
            [
                r.endpoint.clone(),
                r.n.to_string(),
                r.f.to_string(),
                r.masked.to_string(),
                number(r.lower),
                number(r.upper),
                r.controls.to_string(),
                r.triples.to_string(),
            ]
        });
        as_csv("endpoints", csv::table(head, rows))
    })
}

/// `GET /slices/{name}/noise`: fields that legacy changes by itself.
pub(super) async fn noise(
    State(desk): State<Shared>,
    _who: Who,
    Path(name): Path<String>,
    Query(cut): Query<Cut>,
) -> Response {
    with_slice(&desk, &name, |_, slice| {
        let rows = view::noise(slice);
        if !cut.wants_csv() {
            let path = format!("/api/v1/slices/{}/noise", super::site::segment(&name));
            return cut.answer(&rows, &path, &[]);
        }
        let head = ["endpoint", "path", "kind", "verdict", "pairs", "of"];
        let rows = rows.iter().map(|r| {
            [
                r.endpoint.clone(),
                r.path.clone(),
                r.kind.to_owned(),
                r.verdict.to_owned(),
                r.pairs.to_string(),
                r.of.to_string(),
            ]
        });
        as_csv("noise", csv::table(head, rows))
    })
}

/// `GET /divergences/{id}`: a group with those of its pairs that are kept.
pub(super) async fn divergence(
    State(desk): State<Shared>,
    who: Who,
    Path(id): Path<String>,
) -> Response {
    let board = desk.parts.board.get();
    let Some((_, group)) = view::group(&board, &id) else {
        return missing(&format!("there is no divergence `{id}`"));
    };
    let ids: Vec<PairId> = group
        .examples
        .iter()
        .filter_map(|id| PairId::parse(id))
        .collect();
    let pairs = match desk.parts.shelf.examples(&ids).await {
        Ok(pairs) => pairs,
        Err(why) => return unreadable(&why),
    };
    let values = who.sees_values();
    let pairs: Vec<PairView> = pairs.iter().map(|p| PairView::of(p, values)).collect();
    let mut value = match serde_json::to_value(&group) {
        Ok(value) => value,
        Err(why) => return unreadable(&why.to_string()),
    };
    if let Value::Object(map) = &mut value {
        map.insert("pairs".to_owned(), json!(pairs));
    }
    Json(value).into_response()
}

/// `GET /pairs/{id}`.
pub(super) async fn pair(State(desk): State<Shared>, who: Who, Path(id): Path<String>) -> Response {
    let unknown = || missing(&format!("there is no pair `{id}`, or not any more"));
    let Some(wanted) = PairId::parse(&id) else {
        return unknown();
    };
    match desk.parts.shelf.examples(&[wanted]).await {
        Ok(pairs) => match pairs.first() {
            Some(pair) => Json(PairView::of(pair, who.sees_values())).into_response(),
            None => unknown(),
        },
        Err(why) => unreadable(&why),
    }
}

fn unreadable(why: &str) -> Response {
    let body = json!({ "error": format!("the store cannot be read: {why}") });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

/// Where a page of the history begins.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Walk {
    before: Option<i64>,
    per_page: Option<usize>,
    #[serde(default)]
    format: String,
}

/// `GET /changes`: the newest first.
pub(super) async fn changes(
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
pub(super) async fn rules(State(desk): State<Shared>, _who: Who) -> Response {
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
pub(super) async fn status(State(desk): State<Shared>, _who: Who) -> Response {
    let board = desk.parts.board.get();
    let views: Vec<SliceView> = board
        .slices
        .iter()
        .chain([&board.unmatched])
        .map(|s| SliceView::of(s, &board))
        .collect();
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
