//! The API that reads, health, and events.

use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use std::time::Duration;
use tower::ServiceExt;

use super::ADDRESS;
use super::fixture;
use super::run;
use super::side;

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
