//! supplant: a strangler-fig routing proxy.
//!
//! It stands in front of a legacy application while a new one, the candidate, takes it over slice
//! by slice. For each request it decides who answers, mirrors a sample to the other side, compares
//! both answers, gathers evidence, and shows when a slice is safe to shift.
//!
//! The modules are listed from the ground up: **a module uses only the modules above its own
//! line**. `tests/it/house.rs` reads this file and names whoever looks upward.

pub mod model; // the words of the domain
// Pure: no clock, no chance, no I/O, no tasks, no logging.
pub mod compare; // are two answers the same?
pub mod evidence; // what do many comparisons show?
pub mod rules; // what does routes.yaml mean for this request?
// Shell.
pub mod clock; // the one place that reads time and chance
pub mod tasks; // spawning, and draining at the end
pub mod settings; // what is fixed for the life of the process
pub mod descriptors; // how many files and sockets may be open, and for whom the last are
pub mod systemd; // readiness, sockets handed over
pub mod telemetry; // metric names and handles, logs
pub mod upstream; // connections to the two applications
pub mod store; // what outlives the process
pub mod table; // what requests are served from
pub mod shadow; // copy, mirror, compare, record
pub mod proxy; // the data plane
pub mod control; // the only writer of the table
pub mod admin; // API and dashboard
pub mod app; // wires all of it; the one file that knows every part
pub mod cli;
