//! The pages, one file each, and what all of them share: the frame and the small parts.

mod answers;
mod changes;
pub(crate) mod chart;
pub(crate) mod divergence;
mod empty;
mod frame;
pub(crate) mod overview;
mod parts;
mod problem;
mod session;
mod slice;
mod state;
pub(crate) mod text;

pub(crate) use changes::page as changes;
pub(crate) use divergence::page as divergence;
pub(crate) use empty::Places;
pub(crate) use empty::page as empty;
pub(crate) use frame::Frame;
pub(crate) use frame::THEME_COOKIE;
pub(crate) use frame::Theme;
pub(crate) use frame::message;
pub(crate) use overview::Filter;
pub(crate) use overview::page as overview;
pub(crate) use parts::segment;
pub(crate) use problem::page as rules;
pub(crate) use session::page as session;
pub(crate) use slice::Look;
pub(crate) use slice::page as slice;
