//! The admin side from outside: requests in, answers out.

mod access;
mod api;
mod fixture;
mod pages;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::Request;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use http_body_util::Limited;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tower::ServiceExt;

use self::fixture::SECRET;
use super::Desk;
use super::router;
use crate::control::Act;
use crate::control::Board;
use crate::control::BoardPublisher;
use crate::control::Done;
use crate::control::Event;
use crate::control::Refused;
use crate::control::Target;
use crate::control::board::channel;

const ADDRESS: &str = "127.0.0.1:9900";

/// An admin side on a board, with somebody who does whatever is asked.
struct Side {
    router: axum::Router,
    publisher: BoardPublisher,
    acts: Arc<std::sync::Mutex<Vec<(Act, String)>>>,
}

struct Said {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

fn answer(act: &Act) -> Result<Done, Refused> {
    match act {
        Act::Kill(Target::Slice(slice)) if slice.as_str() == "nobody" => {
            Err(Refused::UnknownSlice {
                name: "nobody".to_owned(),
                nearest: None,
            })
        }
        Act::Reload => Err(Refused::Rules("2 errors".to_owned())),
        _ => Ok(Done {
            text: "done".to_owned(),
            persisted: true,
        }),
    }
}

async fn obey(mut events: mpsc::Receiver<Event>, acts: Arc<std::sync::Mutex<Vec<(Act, String)>>>) {
    while let Some(event) = events.recv().await {
        if let Event::Act { act, actor, reply } = event {
            let result = answer(&act);
            acts.lock().unwrap().push((act, actor));
            let _gone = reply.send(result);
        }
    }
}

fn side_at(board: Board, address: &str) -> Side {
    let (publisher, reader) = channel(board);
    let (sender, receiver) = mpsc::channel(8);
    let acts = Arc::default();
    let own = Arc::clone(&acts);
    tokio::task::spawn_local(obey(receiver, own));
    let desk = Desk::new(fixture::parts(reader, sender, address));
    Side {
        router: router(Arc::new(desk)),
        publisher,
        acts,
    }
}

fn side(board: Board) -> Side {
    side_at(board, ADDRESS)
}

impl Side {
    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Said {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", ADDRESS);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = Limited::new(body, 64 << 20);
        #[expect(clippy::disallowed_methods, reason = "it is limited")]
        let bytes = body.collect().await.unwrap().to_bytes();
        Said {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Said {
        self.send(Method::GET, path, &[], "").await
    }

    async fn get_as(&self, path: &str, secret: &str) -> Said {
        let bearer = format!("Bearer {secret}");
        self.send(Method::GET, path, &[("authorization", &bearer)], "")
            .await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Said {
        self.send(Method::POST, path, headers, body).await
    }

    fn acts(&self) -> Vec<(Act, String)> {
        self.acts.lock().unwrap().clone()
    }
}

/// Runs a test on one thread, where helpers may be spawned without the drain.
fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Serves every board on a port of its own, for `tests/browser` and for people.
#[test]
#[ignore = "serves until it is stopped; see tests/browser/README.md"]
fn serve_the_fixtures() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let boards: [(u16, fn() -> Board); 5] = [
        (19_900, fixture::full),
        (19_901, fixture::none),
        (19_902, fixture::one),
        (19_903, fixture::many),
        (19_904, fixture::refused),
    ];
    tokio::task::LocalSet::new().block_on(&runtime, async {
        for (port, make) in boards {
            let address = format!("127.0.0.1:{port}");
            let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
            let (publisher, reader) = channel(make());
            let (sender, receiver) = mpsc::channel(8);
            tokio::task::spawn_local(obey(receiver, Arc::default()));
            tokio::task::spawn_local(async move {
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    publisher.publish(make());
                }
            });
            let parts = fixture::parts(reader, sender, &address);
            tokio::task::spawn_local(super::serve(listener, parts, std::future::pending()));
            println!("http://{address}/  (token: {SECRET})");
        }
        std::future::pending::<()>().await;
    });
}
