//! The data plane: one thread a core, each with its own runtime, listener and connections.
//!
//! Nothing here awaits anything of `shadow`, `store`, `control` or `admin`.

mod answer;
mod body;
mod connection;
mod ending;
mod fallback;
mod flow;
mod gate;
mod http2;
mod intake;
mod listener;
mod plane;
pub mod scan;
mod scanned;
mod service;
mod stack;
mod tls;
mod upgrade;
mod upload;

pub use plane::Drained;
pub use plane::Plane;
pub use plane::PlaneParts;
pub use tls::Certificates;
