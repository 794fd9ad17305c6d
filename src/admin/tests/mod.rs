//! The admin side from outside: requests in, answers out.

mod fixture;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::Request;
use axum::http::StatusCode;
use axum::http::header;
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
use crate::model::SliceId;

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

fn form_token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"form\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

const PAGES: [&str; 8] = [
    "/",
    "/start",
    "/slices/invoices",
    "/slices/_unmatched",
    "/slices/invoices/divergences/4f2a9c1e00b17a55",
    "/rules",
    "/changes",
    "/session",
];

#[test]
fn every_page_is_served_under_a_strict_policy_and_has_nothing_inline() {
    run(async {
        for board in [fixture::full(), fixture::refused()] {
            let side = side(board);
            for path in PAGES {
                let said = side.get(path).await;
                assert_eq!(said.status, StatusCode::OK, "{path}");
                let policy = said.headers[header::CONTENT_SECURITY_POLICY]
                    .to_str()
                    .unwrap();
                assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"));
                assert!(said.text.starts_with("<!DOCTYPE html>"));
                for inline in [" style=", "<style", "onclick", "<script>", "javascript:"] {
                    assert!(!said.text.contains(inline), "{path} has {inline}");
                }
                assert_eq!(said.text.matches("<h1").count(), 1, "{path}");
            }
        }
    });
}

#[test]
fn pages_without_anything_say_so_instead_of_making_figures_up() {
    run(async {
        let side = side(fixture::none());
        let page = side.get("/").await.text;
        assert!(page.contains("no traffic yet") && page.contains("/api/v1/status"));
        let side = self::side(fixture::one());
        let page = side.get("/slices/orders").await.text;
        assert!(page.contains("Nothing was compared in this epoch yet"));
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
        let page = side.get("/").await.text;
        assert!(page.contains("1 slice") && page.contains("nothing compared yet"));
    });
}

#[test]
fn the_overview_puts_first_what_needs_a_human() {
    run(async {
        let page = side(fixture::full()).get("/").await.text;
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
        assert!(page.contains("2 slices need you"));
        assert!(at("id=\"slice-payments\"") < at("id=\"slice-invoices\""));
        assert!(at("id=\"slice-invoices\"") < at("id=\"slice-orders-read\""));
        assert!(at("id=\"slice-orders-read\"") < at("id=\"slice-reviews\""));
        assert!(at("id=\"slice-reviews\"") < at("id=\"slice-search\""));
        assert!(page.contains("94.2\u{202f}%") && page.contains("n = 8,606"));
    });
}

#[test]
fn two_hundred_slices_are_paged() {
    run(async {
        let side = side(fixture::many());
        let page = side.get("/").await.text;
        assert_eq!(page.matches("id=\"slice-slice-").count(), 50);
        assert!(page.contains("Page 1 of 4"));
        let last = side.get("/?page=99").await.text;
        assert!(last.contains("Page 4 of 4"));
        let filtered = side.get("/?q=name-017").await.text;
        assert_eq!(filtered.matches("id=\"slice-slice-").count(), 1);
        let slice = side.get("/slices/slice-with-a-long-name-000").await;
        assert_eq!(slice.status, StatusCode::OK);
    });
}

#[test]
fn the_rules_page_prints_what_check_prints() {
    run(async {
        let board = fixture::refused();
        let texts: Vec<String> = board
            .rules
            .problems
            .iter()
            .map(|p| p.render("routes.yaml"))
            .collect();
        let page = side(board).get("/rules").await.text;
        let plain = page
            .replace("<span class=\"err\">", "")
            .replace("</span>", "");
        for text in texts {
            let escaped = text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('"', "&quot;");
            assert!(plain.contains(&escaped), "{escaped}");
        }
        let other = side(fixture::refused()).get("/").await.text;
        assert!(other.contains("was refused, the old rules serve on"));
    });
}

#[test]
fn viewers_see_shapes_and_operators_values() {
    run(async {
        let side = side(fixture::full());
        for path in [
            "/slices/invoices/divergences/4f2a9c1e00b17a55",
            "/api/v1/pairs/0000000000000001",
            "/api/v1/divergences/4f2a9c1e00b17a55",
        ] {
            let shapes = side.get(path).await.text;
            let looker = side.get_as(path, "fixture-token-of-a-viewer").await.text;
            let values = side.get_as(path, SECRET).await.text;
            for secret in ["12.50", "AX-0003", "billing-ui", "8c1f0e42", "Tolkien"] {
                assert!(!shapes.contains(secret), "{path} shows {secret}");
                assert!(!looker.contains(secret), "{path} shows {secret}");
            }
            assert!(
                shapes.contains("number") && shapes.contains("string("),
                "{path}"
            );
            assert!(
                values.contains("12.50") && values.contains("AX-0003"),
                "{path}"
            );
            if path.starts_with("/slices") {
                assert!(!values.contains("<b>Werkzeuge"), "{path} is not escaped");
            }
        }
    });
}

#[test]
fn the_divergence_page_marks_what_differs_and_nothing_else() {
    run(async {
        let side = side(fixture::full());
        let page = side
            .get_as("/slices/invoices/divergences/4f2a9c1e00b17a55", SECRET)
            .await
            .text;
        assert_eq!(
            page.matches("<tr class=\"bad\">").count(),
            2,
            "total and paid"
        );
        assert!(page.contains("<mark>&quot;12.50&quot;</mark>"));
        assert!(page.contains("<span class=\"tag\">string</span>"));
        assert!(page.contains("<span class=\"tag\">noise</span>"));
        assert!(page.contains("2 lines differ") && page.contains("equal lines"));
        assert!(page.contains("rel=\"next\"") && !page.contains("rel=\"prev\""));
        assert!(page.contains("curl -sS") && page.contains(r"billing-ui/5.2 (it'\''s)"));
        let second = side
            .get("/slices/invoices/divergences/4f2a9c1e00b17a55?pair=0000000000000002")
            .await
            .text;
        assert!(second.contains("rel=\"prev\""));
    });
}

#[test]
fn stable_shapes_of_the_api_are_there() {
    run(async {
        let side = side(fixture::full());
        let slice = side.get("/api/v1/slices/invoices").await.json();
        for name in ["name", "stage", "share", "outcomes", "parity", "latency"] {
            assert!(!slice[name].is_null(), "{name}");
        }
        for name in ["n", "f", "lower", "upper", "target"] {
            assert!(slice["parity"][name].is_number(), "{name}");
        }
        for of in ["legacy", "candidate"] {
            for name in ["p50", "p95", "p99", "n"] {
                assert!(slice["latency"][of][name].is_number(), "{of} {name}");
            }
        }
        let outcomes = slice["outcomes"].as_object().unwrap();
        let sum: u64 = outcomes.values().map(|v| v.as_u64().unwrap()).sum();
        let requests = slice["requests"].as_u64().unwrap();
        assert_eq!(sum + slice["pending"].as_u64().unwrap(), requests);

        let list = side.get("/api/v1/slices").await.json();
        assert_eq!(list["items"].as_array().unwrap().len(), 8);
        assert!(list["next"].is_null());

        let found = side.get("/api/v1/slices/invoices/divergences").await.json();
        let item = &found["items"][0];
        for name in [
            "id",
            "endpoint",
            "differences",
            "verdict",
            "count",
            "share",
            "first_seen",
            "last_seen",
        ] {
            assert!(!item[name].is_null(), "{name}");
        }
        assert_eq!(item["differences"][0]["path"], "$.total");
        assert_eq!(item["differences"][0]["kind"], "type");
        assert_eq!(item["verdict"], "regression");
        assert_eq!(
            side.get("/api/v1/slices/none").await.status,
            StatusCode::NOT_FOUND
        );
        assert_eq!(side.get("/api/v1/none").await.status, StatusCode::NOT_FOUND);
        assert_eq!(side.get("/none").await.status, StatusCode::NOT_FOUND);
    });
}

#[test]
fn lists_are_filtered_sorted_paged_and_written_as_csv() {
    run(async {
        let side = side(fixture::many());
        let base = "/api/v1/slices/slice-with-a-long-name-000/divergences";
        let mut next = format!("{base}?per_page=20&sort=count");
        let mut seen = Vec::new();
        for _ in 0..3 {
            let page = side.get(&next).await.json();
            for item in page["items"].as_array().unwrap() {
                seen.push(item["count"].as_u64().unwrap());
            }
            next = page["next"].as_str().unwrap_or("").to_owned();
        }
        assert_eq!(next, "");
        assert!(seen.len() == 50 && seen.is_sorted_by(|a, b| a >= b));
        let none = side.get(&format!("{base}?verdict=regression")).await.json();
        assert_eq!(none["total"], 0);
        let some = side
            .get(&format!("{base}?path=field_4&kind=value"))
            .await
            .json();
        assert_eq!(some["total"], 11);
        let csv = side.get(&format!("{base}?format=csv")).await;
        assert!(
            csv.headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/csv")
        );
        assert_eq!(csv.text.lines().count(), 51);
        for path in [
            "/api/v1/slices",
            "/api/v1/changes",
            "/api/v1/slices/slice-with-a-long-name-000",
            "/api/v1/slices/slice-with-a-long-name-000/endpoints",
            "/api/v1/slices/slice-with-a-long-name-000/noise",
        ] {
            let csv = side.get(&format!("{path}?format=csv")).await;
            assert!(csv.text.lines().count() > 1, "{path}");
        }
    });
}

#[test]
fn changes_are_walked_backward() {
    run(async {
        let side = side(fixture::full());
        let first = side.get("/api/v1/changes?per_page=4").await.json();
        assert_eq!(first["items"].as_array().unwrap().len(), 4);
        let rest = side.get(first["next"].as_str().unwrap()).await.json();
        assert_eq!(rest["items"].as_array().unwrap().len(), 3);
        assert!(rest["next"].is_null());
    });
}

#[test]
fn anybody_here_may_lower_and_only_a_token_raises() {
    run(async {
        let side = side(fixture::full());
        let killed = side.post("/api/v1/slices/invoices/kill", &[], "").await;
        assert_eq!(killed.status, StatusCode::OK);
        assert_eq!(killed.json()["persisted"], true);
        for path in [
            "/api/v1/slices/invoices/resume",
            "/api/v1/resume",
            "/api/v1/reload",
        ] {
            let said = side.post(path, &[], "").await;
            assert_eq!(said.status, StatusCode::UNAUTHORIZED, "{path}");
        }
        let deploy = r#"{"backend":"billing","version":"2.14.1"}"#;
        let said = side.post("/api/v1/deploys", &[], deploy).await;
        assert_eq!(said.status, StatusCode::UNAUTHORIZED);

        let bearer = format!("Bearer {SECRET}");
        let token = [("authorization", bearer.as_str())];
        let said = side
            .post(
                "/api/v1/slices/invoices/resume",
                &token,
                r#"{"reason":"mended"}"#,
            )
            .await;
        assert_eq!(said.status, StatusCode::OK);
        let said = side.post("/api/v1/deploys", &token, deploy).await;
        assert_eq!(said.status, StatusCode::OK);
        let said = side.post("/api/v1/reload", &token, "").await;
        assert_eq!(said.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(said.json()["code"], "rules_refused");
        let said = side.post("/api/v1/deploys", &token, "{").await;
        assert_eq!(said.status, StatusCode::BAD_REQUEST);
        let said = side.post("/api/v1/slices/nobody/kill", &[], "").await;
        assert_eq!(said.status, StatusCode::NOT_FOUND);

        let acts = side.acts();
        let invoices = SliceId::new("invoices");
        assert_eq!(acts[0].0, Act::Kill(Target::Slice(invoices.clone())));
        assert_eq!(acts[0].1, "someone on this machine");
        assert_eq!(
            acts[1],
            (
                Act::Resume {
                    target: Target::Slice(invoices),
                    reason: Some("mended".to_owned())
                },
                "token ops".to_owned()
            )
        );
    });
}

#[test]
fn other_sites_and_other_names_reach_nothing() {
    run(async {
        let side = side(fixture::full());
        let evil = [("origin", "http://evil.example")];
        let said = side.post("/api/v1/slices/invoices/kill", &evil, "").await;
        assert_eq!(said.status, StatusCode::FORBIDDEN);
        let said = side
            .send(Method::GET, "/", &[("host", "evil.example")], "")
            .await;
        assert_eq!(said.status, StatusCode::MISDIRECTED_REQUEST);
        let said = side
            .send(Method::GET, "/metrics", &[("host", "evil.example")], "")
            .await;
        assert_eq!(said.status, StatusCode::MISDIRECTED_REQUEST);
        let said = side
            .send(Method::GET, "/healthz", &[("host", "10.1.2.3")], "")
            .await;
        assert_eq!(said.status, StatusCode::OK);
        assert!(side.acts().is_empty());
        assert!(!said.headers.contains_key("access-control-allow-origin"));
    });
}

#[test]
fn a_form_needs_its_token_and_leads_back_with_a_note() {
    run(async {
        let side = side(fixture::full());
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        let bare = side.post("/slices/invoices/kill", &kind, "").await;
        assert_eq!(bare.status, StatusCode::FORBIDDEN);
        let page = side.get("/slices/invoices").await.text;
        let form = format!("form={}", form_token(&page));
        let said = side.post("/slices/invoices/kill", &kind, &form).await;
        assert_eq!(said.status, StatusCode::SEE_OTHER);
        let back = said.headers[header::LOCATION].to_str().unwrap();
        assert!(side.get(back).await.text.contains("Done."));
        let said = side.post("/slices/invoices/resume", &kind, &form).await;
        assert_eq!(said.status, StatusCode::UNAUTHORIZED);
        assert_eq!(side.acts().len(), 1);
    });
}

#[test]
fn a_session_takes_the_token_once() {
    run(async {
        let side = side(fixture::full());
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let wrong = side.post("/session", &[kind], "token=wrong").await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
        let body = format!("token={SECRET}&next=/slices/invoices");
        let said = side.post("/session", &[kind], &body).await;
        assert_eq!(said.status, StatusCode::SEE_OTHER);
        assert_eq!(said.headers[header::LOCATION], "/slices/invoices");
        let cookie = said.headers[header::SET_COOKIE].to_str().unwrap();
        let cookie = ("cookie", cookie.split(';').next().unwrap());

        let page = side
            .send(Method::GET, "/slices/payments", &[cookie], "")
            .await
            .text;
        assert!(page.contains("Yes: Resume"));
        let form = form_token(&page);
        let said = side
            .post(
                "/slices/payments/resume",
                &[kind, cookie],
                &format!("form={form}"),
            )
            .await;
        assert_eq!(said.status, StatusCode::SEE_OTHER);

        let path = "/api/v1/slices/payments/resume";
        let said = side.post(path, &[cookie], "").await;
        assert_eq!(
            said.status,
            StatusCode::FORBIDDEN,
            "a cookie alone is not enough"
        );
        let said = side
            .post(path, &[cookie, ("x-supplant-form", &form)], "")
            .await;
        assert_eq!(said.status, StatusCode::OK);
        let said = side
            .post("/session/end", &[kind, cookie], &format!("form={form}"))
            .await;
        assert_eq!(said.status, StatusCode::SEE_OTHER);
        let page = side
            .send(Method::GET, "/slices/payments", &[cookie], "")
            .await
            .text;
        assert!(!page.contains("Yes: Resume"));
    });
}

#[test]
fn off_loopback_everything_takes_a_token() {
    run(async {
        let side = side_at(fixture::full(), "10.0.0.5:9900");
        let host = ("host", "10.0.0.5:9900");
        let said = side
            .send(Method::GET, "/slices/invoices?q=a", &[host], "")
            .await;
        assert_eq!(said.status, StatusCode::SEE_OTHER);
        let to = said.headers[header::LOCATION].to_str().unwrap();
        assert_eq!(to, "/session?next=%2Fslices%2Finvoices%3Fq%3Da");
        for path in ["/api/v1/status", "/metrics", "/api/v1/events"] {
            let said = side.send(Method::GET, path, &[host], "").await;
            assert_eq!(said.status, StatusCode::UNAUTHORIZED, "{path}");
        }
        for path in ["/healthz", "/readyz", "/session"] {
            let said = side.send(Method::GET, path, &[host], "").await;
            assert_eq!(said.status, StatusCode::OK, "{path}");
        }
        let said = side.post("/api/v1/kill", &[host], "").await;
        assert_eq!(said.status, StatusCode::UNAUTHORIZED);
    });
}

#[test]
fn readiness_names_what_is_wrong() {
    run(async {
        let mut board = fixture::full();
        assert_eq!(side(board.clone()).get("/readyz").await.text, "ready\n");
        board.store.state = crate::control::StoreState::Lost("it is empty".to_owned());
        let said = side(board.clone()).get("/readyz").await;
        assert!(said.status == StatusCode::OK && said.text.contains("store lost"));
        board.ready = Err("no legacy endpoint answers".to_owned());
        let said = side(board.clone()).get("/readyz").await;
        assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE);
        board.draining = true;
        assert_eq!(side(board).get("/readyz").await.text, "draining\n");
    });
}

#[test]
fn events_come_at_most_once_a_second_and_remember_where_a_page_was() {
    run(async {
        let side = side(fixture::full());
        let open = |last: Option<&str>| {
            let mut request = Request::builder()
                .uri("/api/v1/events")
                .header("host", ADDRESS);
            if let Some(last) = last {
                request = request.header("last-event-id", last);
            }
            side.router
                .clone()
                .oneshot(request.body(Body::empty()).unwrap())
        };
        let mut body = open(None).await.unwrap().into_body();
        let mut next = async || {
            let frame = body.frame().await.unwrap().unwrap();
            String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
        };
        let first = next().await;
        assert!(
            first.contains("event: board") && first.contains("id: "),
            "{first}"
        );
        let before = tokio::time::Instant::now();
        for _ in 0..5 {
            side.publisher.publish(fixture::full());
        }
        let second = next().await;
        assert!(second.contains("event: board"));
        assert!(before.elapsed() >= Duration::from_secs(1));
        let third = next().await;
        assert!(
            third.starts_with(':'),
            "a heartbeat, not a fourth event: {third}"
        );

        let id = second
            .lines()
            .find_map(|line| line.strip_prefix("id: "))
            .unwrap();
        let mut body = open(Some(id)).await.unwrap().into_body();
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(
            frame.starts_with(b":"),
            "nothing new, so a heartbeat comes first"
        );
    });
}

#[test]
fn hostile_texts_are_only_texts() {
    run(async {
        let evil = "\"><script>alert(1)</script>";
        let mut slice = fixture::invoices();
        slice.owner = Some(evil.to_owned());
        slice.matches = evil.to_owned();
        let side = side(fixture::board(vec![slice], 0));
        for path in ["/", "/slices/invoices"] {
            assert!(
                !side.get(path).await.text.contains("<script>alert"),
                "{path}"
            );
        }
        let encoded = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E";
        for path in [
            format!("/?q={encoded}"),
            format!("/slices/{encoded}"),
            format!("/slices/invoices?q={encoded}"),
            format!("/session?next=/{encoded}"),
            format!("/slices/invoices/divergences/{encoded}"),
        ] {
            assert!(
                !side.get(&path).await.text.contains("<script>alert"),
                "{path}"
            );
        }
    });
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
