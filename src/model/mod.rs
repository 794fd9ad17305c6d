//! The words of the domain: small values that every layer speaks in. Pure.

mod field;
mod head;
mod ids;
mod outcome;
mod stage;
mod time;

pub use field::FieldKey;
pub use field::Kind;
pub use head::Head;
pub use ids::BackendIx;
pub use ids::PairId;
pub use ids::SliceId;
pub use ids::SliceIx;
pub use outcome::Masked;
pub use outcome::NotComparable;
pub use outcome::NotMirrored;
pub use outcome::Outcome;
pub use outcome::Shed;
pub use stage::Position;
pub use stage::Role;
pub use stage::Share;
pub use stage::Side;
pub use stage::Stage;
pub use time::UnixMillis;
