//! Server-sent events: a page is told that there is something new, at most once a second.
//!
//! The event names a board; the page then fetches itself and puts the new parts in place. So an
//! event is small, and what a reader sees is always what the server would draw.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse;
use axum::response::sse::KeepAlive;
use axum::response::sse::Sse;
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::watch;
use tokio_stream::Stream;

use super::Shared;
use super::auth::Who;
use crate::control::BoardReader;

/// A comment that often keeps connections and their watchers alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The shortest time between two events.
const PAUSE: Duration = Duration::from_secs(1);

/// Streams events; `Last-Event-ID` spares the first one to who has seen it.
pub(super) async fn stream(State(desk): State<Shared>, _who: Who, headers: HeaderMap) -> Response {
    let Ok(permit) = Arc::clone(&desk.streams).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many listeners\n").into_response();
    };
    let board = desk.parts.board.clone();
    let seen = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .is_some_and(|id| id == current(&board));
    let sent = if seen { board.version() } else { 0 };
    let feed = Feed::new(Watcher {
        board,
        closing: desk.closing.subscribe(),
        sent,
        _permit: permit,
    });
    Sse::new(feed)
        .keep_alive(KeepAlive::new().interval(HEARTBEAT).text("here"))
        .into_response()
}

/// Ids hold over a restart: another process has another start.
fn current(board: &BoardReader) -> String {
    format!("{}-{}", board.get().started.0, board.version())
}

struct Watcher {
    board: BoardReader,
    closing: watch::Receiver<bool>,
    /// The version that the reader has.
    sent: u64,
    _permit: OwnedSemaphorePermit,
}

type Step = Pin<Box<dyn Future<Output = Option<(sse::Event, Watcher)>> + Send>>;

/// A stream made of one step after the other.
struct Feed {
    step: Option<Step>,
}

impl Feed {
    fn new(state: Watcher) -> Self {
        Self {
            step: Some(Box::pin(first(state))),
        }
    }
}

impl Stream for Feed {
    type Item = Result<sse::Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(step) = &mut self.step else {
            return Poll::Ready(None);
        };
        let Poll::Ready(result) = step.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        let Some((event, state)) = result else {
            self.step = None;
            return Poll::Ready(None);
        };
        self.step = Some(Box::pin(later(state)));
        Poll::Ready(Some(Ok(event)))
    }
}

async fn first(mut state: Watcher) -> Option<(sse::Event, Watcher)> {
    if state.sent > 0 {
        return wait(state).await;
    }
    state.sent = state.board.version();
    Some((event(&state.board), state))
}

async fn later(mut state: Watcher) -> Option<(sse::Event, Watcher)> {
    // Both branches may be dropped: sleeping and watching lose nothing.
    tokio::select! {
        () = tokio::time::sleep(PAUSE) => {}
        _ = state.closing.wait_for(|closing| *closing) => return None,
    }
    wait(state).await
}

async fn wait(mut state: Watcher) -> Option<(sse::Event, Watcher)> {
    while state.board.version() == state.sent {
        // Both branches may be dropped: a change not waited for is seen by the next wait.
        let more = tokio::select! {
            more = state.board.changed() => more,
            _ = state.closing.wait_for(|closing| *closing) => false,
        };
        if !more {
            return None;
        }
    }
    state.sent = state.board.version();
    Some((event(&state.board), state))
}

fn event(reader: &BoardReader) -> sse::Event {
    let board = reader.get();
    let requests: u64 = board.rows().map(|s| s.counts.requests).sum();
    let data = json!({
        "at": board.at.to_string(),
        "version": reader.version(),
        "requests": requests,
        "rules": board.rules.hash,
    });
    sse::Event::default()
        .event("board")
        .id(current(reader))
        .data(data.to_string())
}
