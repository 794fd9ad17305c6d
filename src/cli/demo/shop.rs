//! What both applications of the demo know: products, orders, stock. The same on both sides.

use crate::model::UnixMillis;
use serde_json::Value;
use serde_json::json;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

const NAMES: [&str; 12] = [
    "kettle", "lamp", "desk", "chair", "shelf", "rug", "clock", "vase", "mirror", "basket",
    "blanket", "tray",
];
const COLORS: [&str; 4] = ["oak", "slate", "sand", "moss"];

/// The number of products.
pub(super) const PRODUCTS: u64 = 48;
/// The SKU of the first product; from one to the next it is [`SKU_STEP`].
const SKU_FIRST: u64 = 400_100;
const SKU_STEP: u64 = 3;
/// The ids of orders.
pub(super) const ORDERS: std::ops::Range<u64> = 1001..1401;

/// Something the shop sells.
pub(super) struct Product {
    pub(super) number: u64,
    pub(super) sku: String,
    pub(super) name: String,
    pub(super) cents: u64,
    pub(super) weight_grams: u64,
    pub(super) discontinued: bool,
}

/// Something somebody bought.
pub(super) struct Order {
    pub(super) id: u64,
    pub(super) customer: u64,
    pub(super) status: &'static str,
    pub(super) lines: Vec<(Product, u64)>,
}

/// Returns one product; any number is one.
pub(super) fn product(number: u64) -> Product {
    let number = number % PRODUCTS;
    let pick = |list: &[&'static str], at: u64| {
        let len = list.len() as u64;
        list[usize::try_from(at % len).unwrap_or(0)]
    };
    Product {
        number,
        sku: (SKU_FIRST + number * SKU_STEP).to_string(),
        name: format!("{} {}", pick(&COLORS, number / 12), pick(&NAMES, number)),
        cents: 495 + number * 1_337 % 9_000,
        weight_grams: 150 + number * 71 % 4_000,
        discontinued: number % 9 == 4,
    }
}

/// Returns the product of a SKU, or nothing.
pub(super) fn by_sku(sku: &str) -> Option<Product> {
    let place = sku.parse::<u64>().ok()?.checked_sub(SKU_FIRST)?;
    let number = place / SKU_STEP;
    (place % SKU_STEP == 0 && number < PRODUCTS).then(|| product(number))
}

/// Returns one order, or nothing for an id outside [`ORDERS`].
pub(super) fn order(id: u64) -> Option<Order> {
    let status = ["paid", "packed", "sent", "delivered"];
    ORDERS.contains(&id).then(|| Order {
        id,
        customer: 70_000 + id * 17 % 900,
        status: status[usize::try_from(id % 4).unwrap_or(0)],
        lines: (0..=id % 3)
            .map(|line| (product(id * 7 + line * 5), 1 + (id + line) % 4))
            .collect(),
    })
}

impl Order {
    /// Returns the sum in cents.
    pub(super) fn cents(&self) -> u64 {
        self.lines.iter().map(|(p, n)| p.cents * n).sum()
    }
}

/// Returns how many pieces are left: it falls with time and is filled up again, so two calls a
/// moment apart may differ.
pub(super) fn stock(product: &Product, at: UnixMillis) -> u64 {
    let seconds = at.0.unsigned_abs() / 1000;
    40 - (seconds / 3 + product.number) % 40
}

/// Returns products whose name holds `word`, in the order of their numbers.
pub(super) fn search(word: &str) -> Vec<Product> {
    (0..PRODUCTS)
        .map(product)
        .filter(|p| p.name.contains(word))
        .collect()
}

/// Writes cents as the number that legacy shows.
#[expect(clippy::cast_precision_loss, reason = "prices of the demo are small")]
pub(super) fn euros(cents: u64) -> f64 {
    cents as f64 / 100.0
}

/// Returns what no two answers share: an id, the time, a counter. The noise of the demo.
pub(super) fn meta(served: &AtomicU64, id: u64, at: UnixMillis) -> Value {
    json!({
        "request_id": format!("{id:016x}"),
        "generated_at": at.to_string(),
        "served": served.fetch_add(1, Ordering::Relaxed),
    })
}
