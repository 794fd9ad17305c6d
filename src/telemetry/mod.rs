//! Metric names and handles, and the two logs: what the process does, and what clients asked.

pub mod access;
pub mod metrics;
pub mod names;
pub mod process;
pub mod process_log;
pub mod trace;

pub use access::AccessLog;
pub use metrics::Metrics;
