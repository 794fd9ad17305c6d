//! Connections to the two applications.
//!
//! [`Backend`] is a backend at run time, shared by all threads: its addresses, kept fresh by the
//! control runtime, how they are, and how many requests are in flight. [`Pool`] belongs to one thread
//! and holds its kept connections, so that no request waits for a lock or for another thread.

mod backend;
mod body;
mod budget;
mod check;
mod choose;
mod circuit;
mod connect;
mod course;
mod deadline;
mod endpoint;
mod error;
mod group;
pub mod head;
mod health;
mod lines;
mod pool;
mod replay;
mod resolve;
mod target;
mod tls;
mod tunnel;

pub use backend::Backend;
pub use backend::Permit;
pub use backend::Wellness;
pub use body::Outgoing;
pub use body::Progress;
pub use body::ended_whole;
pub use budget::Budget;
pub use connect::Address;
pub use connect::Stream;
pub use deadline::BEAT;
pub use error::Error;
pub use error::ErrorKind;
pub use health::tend;
pub use pool::Lease;
pub use pool::Plan;
pub use pool::Pool;
pub use pool::Sent;
pub use resolve::resolve;
