//! The control loop: the only writer of the table.
//!
//! Start, reload, operators and the beat all reach the table by one [`Event`] and one loop
//! (`run`). What takes long runs beside it: judging a file (`reload`), the beat (`tick`), writing
//! positions (`store::Keeper`). So a kill is in force as soon as the loop hears of it.

mod act;
pub mod board;
mod compose;
mod diff;
mod gauges;
mod holds;
mod operate;
mod reload;
mod run;
mod show;
mod source;
mod taking;
mod tick;

#[cfg(test)]
mod tests;

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
pub use run::Control;
pub use run::Ends;
pub use run::Parts;
