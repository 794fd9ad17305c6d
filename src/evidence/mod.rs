//! What do many comparisons show? Pure.
//!
//! Four small kernels over counters: a bound on parity (`parity`), the same request on both sides
//! (`paired`), both valid however often one looks, and on top of them noise, sets of keys, and
//! epochs. A worker fills a [`Delta`]; the tick absorbs it into the [`Evidence`] of each slice and
//! publishes what is [`Known`]; pages read a [`Summary`].

mod delta;
mod epoch;
mod known;
mod summary;
mod tally;
mod template;

pub use delta::ControlSeen;
pub use delta::Delta;
pub use delta::Discord;
pub use delta::LatencySeen;
pub use delta::PairSeen;
pub use delta::PairVerdict;
pub use delta::SliceDelta;
pub use delta::TripleSeen;
pub use delta::Versions;
pub use epoch::Evidence;
pub use epoch::Part;
pub use known::Known;
pub use summary::Band;
pub use summary::Counts;
pub use summary::EndpointView;
pub use summary::EpochView;
pub use summary::Group;
pub use summary::KeyCounts;
pub use summary::KeyView;
pub use summary::Latency;
pub use summary::Parity;
pub use summary::Quantiles;
pub use summary::Slot;
pub use summary::Summary;
pub use summary::Verdict;
pub use template::Folds;
