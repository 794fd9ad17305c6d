//! The pages: what they say, and what they never say.

use axum::http::StatusCode;
use axum::http::header;

use super::fixture;
use super::fixture::SECRET;
use super::run;
use super::side;

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
        let side = super::side(fixture::one());
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
