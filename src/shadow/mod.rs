//! Copy, mirror, compare, record: beside the request, never in front of it.
//!
//! The data plane keeps a bounded copy of an answer as it streams by ([`Tee`]), and when the answer
//! has ended offers a [`Job`] to the queue. Offering never waits. Everything after that happens on
//! threads of lower priority, with their own connections, deadlines and budgets; they may be slow,
//! full, or panic.

mod call;
mod deltas;
mod examples;
mod job;
mod memory;
mod plane;
mod session;
mod tee;
mod worker;

pub(crate) use call::by_rule as body_by_rule;
pub use deltas::Deltas;
pub use job::Asked;
pub use job::Job;
pub use memory::Held;
pub use memory::Memory;
pub use plane::Plane;
pub use plane::PlaneParts;
pub use plane::Shadow;
pub use tee::Tee;
