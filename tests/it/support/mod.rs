//! What the tests stand on: an origin that answers as told, a client that sees every byte, and the
//! product started whole.

mod client;
mod dice;
pub(crate) mod frames;
mod origin;
mod process;
mod proxy;
pub(crate) mod tls;

pub(crate) use client::Answer;
pub(crate) use client::Client;
pub(crate) use dice::Dice;
pub(crate) use dice::knob;
pub(crate) use origin::Origin;
pub(crate) use origin::Reply;
pub(crate) use origin::Seen;
pub(crate) use process::Process;
pub(crate) use process::Start;
pub(crate) use proxy::Proxy;

use std::time::Duration;
use std::time::Instant;

/// Waits until `true_now` holds, or panics with `what` after ten seconds.
pub(crate) fn eventually(what: &str, mut true_now: impl FnMut() -> bool) {
    let start = Instant::now();
    while !true_now() {
        assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
        pause(10);
    }
}

/// Sleeps for so many milliseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "tests run on threads of their own"
)]
pub(crate) fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}
