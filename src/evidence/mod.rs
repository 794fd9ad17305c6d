//! What do many comparisons show? Pure.
//!
//! Four small kernels over counters: a bound on parity (`parity`), the same request on both sides
//! (`paired`), both valid however often one looks, and on top of them noise, sets of keys, and
//! epochs. A worker fills a [`Delta`]; the tick absorbs it into the [`Evidence`] of each slice and
//! publishes what is [`Known`]; pages read a [`Summary`].

mod book;
mod delta;
mod discord;
mod epoch;
mod groups;
mod known;
mod latency;
mod learn;
mod noise;
mod paired;
mod parity;
mod rows;
mod saved;
mod slots;
mod summary;
mod tally;
mod template;
mod view;
mod words;

#[cfg(test)]
mod sims;
#[cfg(test)]
mod tests;

pub use delta::ControlSeen;
pub use delta::Delta;
pub use delta::Discord;
pub use delta::LatencySeen;
pub use delta::PairSeen;
pub use delta::PairVerdict;
pub use delta::SliceDelta;
pub use delta::TripleSeen;
pub use delta::Versions;
pub use discord::discord;
pub use epoch::Evidence;
pub use known::Known;
pub use paired::LATENCY;
pub use paired::RARE;
pub use paired::k2_alarm;
pub use paired::k2_log_e;
pub use paired::key_limit;
pub use paired::single_limit;
pub use parity::ALPHA;
pub use parity::k1_bounds;
pub use parity::k1_needed;
pub use parity::ln_beta;
pub use parity::rank_band;
pub use saved::Part;
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
pub use words::parity as parity_sentence;
