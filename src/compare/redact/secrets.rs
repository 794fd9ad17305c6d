//! Finding secrets in text. Pure.

/// Returns whether a name is itself a secret, so that no path may carry it.
pub(crate) fn looks_secret(name: &str) -> bool {
    name.contains('@')
}
