//! The control loop: the only writer of the table.

pub mod board;

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

