//! What `routes.yaml` means for a request. Pure.
//!
//! Text becomes a tree with places (`parse`), the tree a file as written (`file`, by the one table
//! of `rows`), the file a [`Snapshot`] (`compile`), or every [`Problem`] at once. [`decide`] is the
//! one walk that the data plane runs and [`explain`] prints.

mod problem;
mod parse;
mod keys;
mod rows;
mod near;
mod value;
mod path;
mod condition;
mod tenant;
mod split;
mod exclude;
mod matcher;
mod backend;
mod edits;
mod identity;
mod startup;
mod snapshot;
mod shared;
mod file;
mod reach;
mod slices;
mod compile;
mod decision;
mod decide;
mod explain;
mod diff;
mod reference;

pub use backend::Backend;
pub use backend::BackendTls;
pub use backend::CertificateFiles;
pub use backend::Circuit;
pub use backend::Ejection;
pub use backend::Endpoint;
pub use backend::Health;
pub use backend::Retry;
pub use backend::Scheme;
pub use backend::Timeouts;
pub use compile::Loaded;
pub use compile::load;
pub use decide::ROLE_FIELD;
pub use decide::allowed;
pub use decide::decide;
pub use decision::Decision;
pub use decision::Mirror;
pub use decision::Reason;
pub use decision::Step;
pub use decision::Trace;
pub use diff::diff;
pub use diff::is_risky;
pub use edits::Edits;
pub use edits::Fallback;
pub use edits::FieldEdits;
pub use edits::Rewrite;
pub use explain::Explanation;
pub use explain::Lost;
pub use explain::Told;
pub use explain::explain;
pub use identity::Identity;
pub use identity::Network;
pub use identity::Underscores;
pub(crate) use near::nearest;
pub use parse::decode;
pub use parse::unreadable;
pub use path::Refused;
pub use path::below;
pub use path::canonical;
pub use problem::CODES;
pub use problem::Problem;
pub use problem::Severity;
pub use reference::reference;
pub use snapshot::Ceiling;
pub use snapshot::Ceilings;
pub use snapshot::ComparePolicy;
pub use snapshot::Ramp;
pub use snapshot::ShadowPolicy;
pub use snapshot::Slice;
pub use snapshot::Snapshot;
pub use split::By;
pub use split::Draws;
pub use split::bucket;
pub use startup::AdminConf;
pub use startup::Drain;
pub use startup::Limits;
pub use startup::Listen;
pub use startup::ListenTls;
pub use startup::Startup;
pub use startup::StoreUrl;
pub use startup::TokenConf;
pub use startup::TokenRole;

#[cfg(test)]
mod tests;
