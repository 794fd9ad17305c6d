//! The integration tests: features and edges, over loopback, against the whole product.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets the unexpected is to fail"
)]
#![expect(
    clippy::print_stdout,
    reason = "a test tells its seeds and figures by printing"
)]
#![expect(clippy::float_cmp, reason = "counts are read back as floats")]
#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "small texts, read often"
)]
#![expect(clippy::disallowed_methods, reason = "tests measure time by the wall")]

mod applications;
mod cli;
mod documents;
mod faults;
mod heads;
mod house;
mod lifecycle;
mod http2;
mod http2_floods;
mod http2_frames;
mod mirror;
mod noise;
mod protocol;
mod reload;
mod routing;
mod seeds;
mod soup;
mod support;
mod takeback;
mod traces;
mod upstream;
mod tls;
mod wire;
