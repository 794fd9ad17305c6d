//! Who may do what, from where.

use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;

use super::fixture;
use super::fixture::SECRET;
use super::run;
use super::side;
use super::side_at;
use crate::control::Act;
use crate::control::Target;
use crate::model::SliceId;

fn form_token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"form\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
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
