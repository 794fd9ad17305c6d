//! Echoes of fields that this proxy set on a copy. Pure.
//!
//! A copy carries one field more than the request that was served. An application that writes the
//! request into its answer shows it there; such a difference says nothing about the application.
//! Only the field's name together with its value is taken for an echo, never more of the text.

/// A field that this proxy set on one of the two requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnField {
    /// Its name, in lower case: `supplant-role`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}
