//! Slices, their endpoints, and what is noise in them.

use axum::Json;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Deserialize;

use super::Cut;
use super::as_csv;
use super::number;
use super::with_slice;
use crate::admin::Shared;
use crate::admin::auth::Who;
use crate::admin::csv;
use crate::admin::pages::Filter;
use crate::admin::segment;
use crate::admin::view;
use crate::admin::view::SliceView;

/// Which slices.
#[derive(Debug, Default, Deserialize)]
pub(in crate::admin) struct SliceFilter {
    #[serde(default)]
    q: String,
    #[serde(default)]
    stage: String,
    #[serde(default)]
    owner: String,
}

/// `GET /slices`: every slice in the order of the file, then `_unmatched`.
pub(in crate::admin) async fn slices(
    State(desk): State<Shared>,
    _who: Who,
    Query(cut): Query<Cut>,
    Query(filter): Query<SliceFilter>,
) -> Response {
    let board = desk.parts.board.get();
    let wanted = Filter {
        q: filter.q.clone(),
        stage: filter.stage.clone(),
        owner: filter.owner.clone(),
        page: 0,
    };
    let views: Vec<SliceView> = board
        .rows()
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
pub(in crate::admin) async fn slice(
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

/// `GET /slices/{name}/endpoints`: the worst first.
pub(in crate::admin) async fn endpoints(
    State(desk): State<Shared>,
    _who: Who,
    Path(name): Path<String>,
    Query(cut): Query<Cut>,
) -> Response {
    with_slice(&desk, &name, |_, slice| {
        let rows = view::endpoints(slice);
        if !cut.wants_csv() {
            let path = format!("/api/v1/slices/{}/endpoints", segment(&name));
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
pub(in crate::admin) async fn noise(
    State(desk): State<Shared>,
    _who: Who,
    Path(name): Path<String>,
    Query(cut): Query<Cut>,
) -> Response {
    with_slice(&desk, &name, |_, slice| {
        let rows = view::noise(slice);
        if !cut.wants_csv() {
            let path = format!("/api/v1/slices/{}/noise", segment(&name));
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
