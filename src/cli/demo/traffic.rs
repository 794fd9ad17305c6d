//! Gentle traffic for the demo: a few clients that look around in the shop, about a hundred
//! requests a second in all. Seeded, so that each run asks for the same things.

use crate::cli::demo::shop;
use bytes::Bytes;
use http::Method;
use http::Request;
use http::header;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Asks for things at `proxy` for ever; what fails is tried again a moment later.
pub(super) async fn run(proxy: SocketAddr) {
    let client = |seed| client(proxy, Dice(seed));
    tokio::join!(
        client(1),
        client(2),
        client(3),
        client(4),
        client(5),
        client(6)
    );
}

async fn client(proxy: SocketAddr, mut dice: Dice) {
    loop {
        // The proxy may not listen yet, or any more: both pass.
        drop(visit(proxy, &mut dice).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Uses one connection until it ends.
async fn visit(proxy: SocketAddr, dice: &mut Dice) -> anyhow::Result<()> {
    let stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
    // Whichever ends first ends the visit; both are dropped whole.
    tokio::select! {
        ended = connection => Ok(ended?),
        ended = look_around(sender, proxy, dice) => ended,
    }
}

async fn look_around(
    mut sender: SendRequest<Full<Bytes>>,
    proxy: SocketAddr,
    dice: &mut Dice,
) -> anyhow::Result<()> {
    loop {
        sender.ready().await?;
        let mut answer = sender.send_request(next(proxy, dice)?).await?;
        while let Some(frame) = answer.body_mut().frame().await {
            frame?;
        }
        tokio::time::sleep(Duration::from_millis(30 + dice.below(50))).await;
    }
}

fn next(proxy: SocketAddr, dice: &mut Dice) -> http::Result<Request<Full<Bytes>>> {
    let sku = shop::product(dice.below(shop::PRODUCTS)).sku;
    let order = shop::ORDERS.start + dice.below(400);
    let words = ["desk", "lamp", "oak", "slate", "moss", "rug"];
    let word = words[usize::try_from(dice.below(6)).unwrap_or(0)];
    let (method, target) = match dice.below(100) {
        0..18 => (Method::GET, format!("/api/orders/{order}")),
        18..24 => (Method::GET, format!("/api/orders?page={}", dice.below(8))),
        24..26 => (Method::POST, "/api/orders".to_owned()),
        26..44 => (Method::GET, format!("/api/products/{sku}")),
        44..48 => (Method::GET, "/api/products".to_owned()),
        48..66 => (
            Method::GET,
            format!("/api/prices/{sku}?quantity={}", 1 + dice.below(9)),
        ),
        66..78 => (Method::GET, format!("/api/search?q={word}")),
        78..84 => (Method::GET, "/api/reports/daily".to_owned()),
        84..92 => (Method::GET, "/api/sessions/me".to_owned()),
        92..97 => (Method::GET, format!("/api/stock/{sku}")),
        97..99 => (Method::GET, "/api/currencies".to_owned()),
        _ => (Method::GET, "/".to_owned()),
    };
    Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, proxy.to_string())
        .header(header::USER_AGENT, "demo")
        .header(header::ACCEPT, "application/json")
        .header("x-user", format!("user-{}", dice.below(500)))
        .body(Full::default())
}

/// Chance that repeats: splitmix64.
struct Dice(u64);

impl Dice {
    /// Returns a number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
