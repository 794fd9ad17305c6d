//! The control loop: the only writer of the table.

mod act;
pub mod board;
mod diff;
mod holds;
mod source;

pub use act::Act;
pub use act::Done;
pub use act::Event;
pub use act::Refused;
pub use act::Target;

pub use board::Board;
pub use board::BoardPublisher;
pub use board::BoardReader;
pub use board::ControlBoard;
pub use board::ExcludedView;
pub use board::RulesBoard;
pub use board::ServedLatency;
pub use board::ServedQuantiles;
pub use board::ShadowBoard;
pub use board::SliceBoard;
pub use board::StoreBoard;
pub use board::StoreState;

