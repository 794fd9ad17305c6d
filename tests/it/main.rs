//! The integration tests: features and edges, over loopback, against the whole product.

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
