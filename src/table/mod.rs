//! What requests are served from.
//!
//! A [`Table`] is a snapshot of the rules bound to the running process: a lane for each slice with
//! its backends, metric handles, tallies and budgets. It is immutable; the [`Publisher`] swaps the
//! whole, and a request sees the one that it pinned to its end.

mod bind;
mod budget;
mod cookies;
mod lane;
mod notes;
mod tally;

pub use bind::Shared;
pub use bind::Table;
pub use bind::bind;
pub use budget::Gate;
pub use lane::Lane;
pub use lane::Served;
pub use lane::StatusClass;
pub use notes::Excluded;
pub use notes::Notes;
pub use tally::ControlEnd;
pub use tally::Open;
pub(crate) use tally::REFUSED;
pub use tally::Tally;

use arc_swap::ArcSwap;
use std::sync::Arc;

/// Makes the two ends of the table.
pub fn channel(first: Table) -> (Publisher, Reader) {
    let cell = Arc::new(ArcSwap::from_pointee(first));
    (
        Publisher {
            cell: Arc::clone(&cell),
        },
        Reader { cell },
    )
}

/// The one write half: it cannot be cloned, and the control loop owns it.
#[derive(Debug)]
pub struct Publisher {
    cell: Arc<ArcSwap<Table>>,
}

impl Publisher {
    /// Puts a table in force. Requests in flight finish on the one they pinned.
    pub fn publish(&mut self, table: Table) {
        self.cell.store(Arc::new(table));
    }

    /// Returns the table in force.
    pub fn current(&self) -> Arc<Table> {
        self.cell.load_full()
    }
}

/// A read half.
#[derive(Clone, Debug)]
pub struct Reader {
    cell: Arc<ArcSwap<Table>>,
}

impl Reader {
    /// Returns the table in force, which stays whole for as long as it is held.
    pub fn pin(&self) -> Arc<Table> {
        self.cell.load_full()
    }
}
