//! The integration tests: features and edges, over loopback, against the whole product.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test tells what is wrong by where it stops, and its seeds and figures by printing"
)]

mod cli;
mod documents;
mod faults;
mod house;
mod mirror;
mod noise;
mod reload;
mod routing;
mod soup;
mod support;
mod takeback;
mod wire;
