//! The view of a request that rules may look at. Pure.

use http::HeaderMap;
use http::Method;

/// The head of a request, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The raw path, as the client sent it, without the query.
    pub path: &'a str,
    /// The raw query without `?`, if there is one.
    pub query: Option<&'a str>,
    /// The host asked for, with its port if the client named one.
    pub host: Option<&'a str>,
    /// All header fields.
    pub headers: &'a HeaderMap,
}
