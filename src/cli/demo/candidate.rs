//! The rewritten shop of the demo. It is nearly right; what is wrong says so in a comment.

use crate::cli::demo::legacy;
use crate::cli::demo::legacy::Page;
use crate::cli::demo::legacy::Wanted;
use crate::cli::demo::legacy::Words;
use crate::cli::demo::legacy::answer;
use crate::cli::demo::legacy::not_found;
use crate::cli::demo::shop;
use crate::clock;
use crate::model::UnixMillis;
use axum::Router;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;
use serde_json::json;
use std::cmp::Reverse;
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
        .route("/api/orders", get(orders).post(legacy::place_order))
        .route("/api/orders/{id}", get(order))
        .route("/api/products", get(products))
        .route("/api/products/{sku}", get(product))
        .route("/api/prices/{sku}", get(price))
        .route("/api/search", get(search))
        .route("/api/reports/daily", get(report))
        .route("/api/sessions/me", get(legacy::session))
        .route("/api/currencies", get(legacy::currencies))
        .with_state(Arc::default())
}

fn order_view(order: &shop::Order) -> Value {
    let lines = order.lines.iter().map(|(p, quantity)| {
        json!({ "sku": p.sku, "name": p.name, "quantity": quantity, "price": shop::euros(p.cents) })
    });
    let cents = order.cents();
    json!({
        "id": order.id,
        "customer": order.customer,
        "status": order.status,
        "currency": "EUR",
        // The fault: a decimal type that serializes as a string.
        "total": format!("{}.{:02}", cents / 100, cents % 100),
        "lines": lines.collect::<Vec<_>>(),
    })
}

async fn order(State(served): Served, Path(id): Path<u64>) -> Response {
    shop::order(id).map_or_else(
        || not_found("order"),
        |order| answer(&served, order_view(&order)),
    )
}

async fn orders(State(served): Served, Query(page): Query<Page>) -> Response {
    let orders: Vec<_> = page.orders().map(|o| order_view(&o)).collect();
    answer(&served, json!({ "orders": orders }))
}

fn product_view(product: &shop::Product, at: UnixMillis) -> Value {
    let mut view = json!({
        "sku": product.sku,
        "name": product.name,
        "price": shop::euros(product.cents),
        "weight_grams": product.weight_grams,
        "discontinued": product.discontinued,
        "stock": shop::stock(product, at),
    });
    // The fault: fields with their default value are left out.
    if let (false, Value::Object(fields)) = (product.discontinued, &mut view) {
        fields.shift_remove("discontinued");
    }
    view
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

async fn price(
    State(served): Served,
    Path(sku): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let Some(product) = shop::by_sku(&sku) else {
        return not_found("product");
    };
    // The fault: the discount is rounded for each piece, and then multiplied.
    let percent = if wanted.pieces() >= 3 { 93 } else { 100 };
    let cents = (product.cents * percent + 50) / 100 * wanted.pieces();
    let body = json!({
        "sku": product.sku, "quantity": wanted.pieces(), "currency": "EUR",
        "discount_percent": 100 - percent, "total": shop::euros(cents),
    });
    answer(&served, body)
}

async fn search(State(served): Served, Query(words): Query<Words>) -> Response {
    let mut found = words.found();
    // The fault: what ranks equally comes in another order.
    found.sort_by_key(|p| Reverse(p.number));
    let found: Vec<_> = found
        .iter()
        .map(|p| json!({ "sku": p.sku, "name": p.name }))
        .collect();
    answer(&served, json!({ "hits": found.len(), "results": found }))
}

async fn report(State(served): Served) -> Response {
    // The fault: one query a row.
    tokio::time::sleep(Duration::from_millis(120)).await;
    answer(&served, legacy::report_view())
}
