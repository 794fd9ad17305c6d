//! The legacy shop of the demo: old, slow to change, and right by definition.

use crate::cli::demo::shop;
use crate::clock;
use crate::model::UnixMillis;
use axum::Json;
use axum::Router;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Html;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::net::TcpListener;

type Served = State<Arc<AtomicU64>>;

/// Serves until the listener fails.
pub(super) async fn serve(listener: TcpListener) -> std::io::Result<()> {
    axum::serve(listener, app()).await
}

/// Returns the application.
pub(super) fn app() -> Router {
    Router::new()
        .route("/", get(home))
        .route("/api/orders", get(orders).post(place_order))
        .route("/api/orders/{id}", get(order))
        .route("/api/products", get(products))
        .route("/api/products/{sku}", get(product))
        .route("/api/prices/{sku}", get(price))
        .route("/api/search", get(search))
        .route("/api/reports/daily", get(report))
        .route("/api/sessions/me", get(session))
        .route("/api/stock/{sku}", get(stock))
        .route("/api/currencies", get(currencies))
        .with_state(Arc::default())
}

/// Answers with an instance's id and clock beside `body`, as both applications do.
pub(super) fn answer(served: &AtomicU64, mut body: Value) -> Response {
    let id = clock::chance();
    if let Value::Object(fields) = &mut body {
        fields.insert("meta".into(), shop::meta(served, id, clock::now()));
    }
    let mut response = Json(body).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("{id:016x}")) {
        response.headers_mut().insert("x-correlation-id", value);
    }
    response
}

/// Answers that there is no such thing.
pub(super) fn not_found(what: &str) -> Response {
    let body = Json(json!({ "error": format!("no such {what}") }));
    (StatusCode::NOT_FOUND, body).into_response()
}

async fn home() -> Html<&'static str> {
    Html("<!doctype html><title>Shop</title><h1>The old shop</h1><p>Try /api/orders/1001")
}

fn order_view(order: &shop::Order) -> Value {
    let lines = order.lines.iter().map(|(p, quantity)| {
        json!({ "sku": p.sku, "name": p.name, "quantity": quantity, "price": shop::euros(p.cents) })
    });
    json!({
        "id": order.id,
        "customer": order.customer,
        "status": order.status,
        "currency": "EUR",
        "total": shop::euros(order.cents()),
        "lines": lines.collect::<Vec<_>>(),
    })
}

async fn order(State(served): Served, Path(id): Path<u64>) -> Response {
    shop::order(id).map_or_else(
        || not_found("order"),
        |order| answer(&served, order_view(&order)),
    )
}

/// The range of a list.
#[derive(Deserialize)]
pub(super) struct Page {
    page: Option<u64>,
}

impl Page {
    /// Returns the ten orders of this page.
    pub(super) fn orders(&self) -> impl Iterator<Item = shop::Order> {
        let first = shop::ORDERS.start + self.page.unwrap_or(0) % 40 * 10;
        (first..first + 10).filter_map(shop::order)
    }
}

async fn orders(State(served): Served, Query(page): Query<Page>) -> Response {
    let orders: Vec<_> = page.orders().map(|o| order_view(&o)).collect();
    answer(&served, json!({ "orders": orders }))
}

pub(super) async fn place_order(State(served): Served) -> Response {
    let body = json!({ "accepted": true, "id": shop::ORDERS.end });
    (StatusCode::CREATED, answer(&served, body)).into_response()
}

fn product_view(product: &shop::Product, at: UnixMillis) -> Value {
    json!({
        "sku": product.sku,
        "name": product.name,
        "price": shop::euros(product.cents),
        "weight_grams": product.weight_grams,
        "discontinued": product.discontinued,
        "stock": shop::stock(product, at),
    })
}

async fn product(State(served): Served, Path(sku): Path<String>) -> Response {
    shop::by_sku(&sku).map_or_else(
        || not_found("product"),
        |p| answer(&served, product_view(&p, clock::now())),
    )
}

async fn products(State(served): Served) -> Response {
    let now = clock::now();
    let all: Vec<_> = (0..12)
        .map(|n| product_view(&shop::product(n), now))
        .collect();
    answer(&served, json!({ "products": all }))
}

/// How many pieces somebody asks a price for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    quantity: Option<u64>,
}

impl Wanted {
    /// Returns the number of pieces.
    pub(super) fn pieces(&self) -> u64 {
        self.quantity.unwrap_or(1).clamp(1, 1_000)
    }
}

async fn price(
    State(served): Served,
    Path(sku): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let Some(product) = shop::by_sku(&sku) else {
        return not_found("product");
    };
    // 7 % off from three pieces on, rounded once, at the end.
    let percent = if wanted.pieces() >= 3 { 93 } else { 100 };
    let cents = (product.cents * wanted.pieces() * percent + 50) / 100;
    let body = json!({
        "sku": product.sku, "quantity": wanted.pieces(), "currency": "EUR",
        "discount_percent": 100 - percent, "total": shop::euros(cents),
    });
    answer(&served, body)
}

/// What somebody looks for.
#[derive(Deserialize)]
pub(super) struct Words {
    q: Option<String>,
}

impl Words {
    /// Returns what was found.
    pub(super) fn found(&self) -> Vec<shop::Product> {
        shop::search(self.q.as_deref().unwrap_or(""))
    }
}

async fn search(State(served): Served, Query(words): Query<Words>) -> Response {
    let found: Vec<_> = words
        .found()
        .iter()
        .map(|p| json!({ "sku": p.sku, "name": p.name }))
        .collect();
    answer(&served, json!({ "hits": found.len(), "results": found }))
}

/// Returns the report of the day, the same on both sides.
pub(super) fn report_view() -> Value {
    let rows: Vec<_> = (0..24)
        .map(|hour| json!({ "hour": hour, "orders": 40 + hour * 3 % 17, "returns": hour % 3 }))
        .collect();
    json!({ "day": "yesterday", "rows": rows })
}

async fn report(State(served): Served) -> Response {
    tokio::time::sleep(Duration::from_millis(8)).await;
    answer(&served, report_view())
}

pub(super) async fn session(State(served): Served) -> Response {
    let body = json!({ "user": "ada", "cart": ["400109", "400142"], "locale": "en" });
    let mut response = answer(&served, body);
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn stock(State(served): Served, Path(sku): Path<String>) -> Response {
    shop::by_sku(&sku).map_or_else(
        || not_found("product"),
        |p| {
            answer(
                &served,
                json!({ "sku": p.sku, "stock": shop::stock(&p, clock::now()) }),
            )
        },
    )
}

pub(super) async fn currencies() -> Json<Value> {
    Json(json!({ "default": "EUR", "currencies": ["EUR", "GBP", "SEK", "USD"] }))
}
