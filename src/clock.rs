//! The one place that reads the wall clock and draws chance.
//!
//! Latency is measured with `tokio::time::Instant` where it is needed; what is decided with time or
//! chance gets them as arguments.

use crate::model::UnixMillis;
use std::cell::Cell;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Returns the wall-clock time.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Returns the wall-clock time in nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// Returns 64 random bits; cheap, seeded by the system once a thread, not for secrets.
///
/// splitmix64 (Steele, Lea, Flood: *Fast Splittable Pseudorandom Number Generators*, 2014).
pub fn chance() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(getrandom::u64().unwrap_or_else(|_| seed_of_time()));
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mut z = next;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

fn seed_of_time() -> u64 {
    now().0.unsigned_abs()
}

/// Blocks a thread of our own that runs no runtime.
#[expect(
    clippy::disallowed_methods,
    reason = "for threads of our own, never on a runtime"
)]
pub fn pause(span: Duration) {
    std::thread::sleep(span);
}
