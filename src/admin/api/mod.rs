//! The API that reads: one function an endpoint, stable shapes, JSON or CSV.
//!
//! A list is `{items, next, total}`; `?page=` and `?per_page=` walk it, `?format=csv` gives all of
//! it.

mod groups;
mod process;
mod slices;

pub(super) use groups::divergence;
pub(super) use groups::divergences;
pub(super) use groups::pair;
pub(super) use process::changes;
pub(super) use process::rules;
pub(super) use process::status;
pub(super) use slices::endpoints;
pub(super) use slices::noise;
pub(super) use slices::slice;
pub(super) use slices::slices;

use axum::Json;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use serde_json::json;
use std::fmt::Write as _;

use super::Shared;
use super::segment;
use crate::control::Board;
use crate::control::SliceBoard;

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
                write!(url, "&{name}={}", segment(value)).expect("a string takes everything");
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

fn unreadable(why: &str) -> Response {
    let body = json!({ "error": format!("the store cannot be read: {why}") });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}
