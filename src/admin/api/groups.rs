//! Divergence groups and their pairs.

use axum::Json;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::Cut;
use super::as_csv;
use super::missing;
use super::number;
use super::unreadable;
use super::with_slice;
use crate::admin::Shared;
use crate::admin::auth::Who;
use crate::admin::csv;
use crate::admin::pair::PairView;
use crate::admin::segment;
use crate::admin::view;
use crate::admin::view::GroupView;
use crate::model::PairId;

/// Which groups, and in what order.
#[derive(Debug, Default, Deserialize)]
pub(in crate::admin) struct GroupFilter {
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
pub(in crate::admin) async fn divergences(
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
        let path = format!("/api/v1/slices/{}/divergences", segment(&name));
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

/// `GET /divergences/{id}`: a group with those of its pairs that are kept.
pub(in crate::admin) async fn divergence(
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
pub(in crate::admin) async fn pair(
    State(desk): State<Shared>,
    who: Who,
    Path(id): Path<String>,
) -> Response {
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
