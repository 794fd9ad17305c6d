//! What the tick knows and the workers may use: published whole, never changed. Pure.

use crate::evidence::template::Folds;
use crate::evidence::template::OTHER;
use crate::model::FieldKey;
use crate::model::Kind;
use crate::model::Share;
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of a slice.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub(super) folds: Folds,
    pub(super) endpoints: HashMap<Arc<str>, KnownEndpoint>,
    /// Whether new endpoints count as `_other`.
    pub(super) endpoints_full: bool,
    /// Whether new keys count as `_other`, and which kinds of those are noisy.
    pub(super) keys_full: bool,
    pub(super) other_noisy: Vec<Kind>,
}

/// What is known of one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownEndpoint {
    /// Its keys, and whether each is noisy.
    pub(super) keys: HashMap<FieldKey, bool>,
    /// Whether a key is undecided and its first 500 controls are not over.
    pub(super) hungry: bool,
}

impl Known {
    /// Returns the endpoint template of a request, `GET /orders/{}`.
    pub fn endpoint(&self, method: &str, path: &str) -> Arc<str> {
        let template = self.folds.template(method, path);
        match self.endpoints.get_key_value(template.as_str()) {
            Some((name, _)) => Arc::clone(name),
            None => template.into(),
        }
    }

    /// Returns whether legacy is known to change at this key by itself.
    pub fn is_noisy(&self, endpoint: &str, key: &FieldKey) -> bool {
        let other = || self.endpoints.get(OTHER).filter(|_| self.endpoints_full);
        let known = self.endpoints.get(endpoint).or_else(other);
        if let Some(noisy) = known.and_then(|known| known.keys.get(key)) {
            return *noisy;
        }
        if let Some(path) = self.folds.key(endpoint, &key.path) {
            let folded = FieldKey::new(path, key.kind);
            if let Some(noisy) = known.and_then(|known| known.keys.get(&folded)) {
                return *noisy;
            }
        }
        self.keys_full && self.other_noisy.contains(&key.kind)
    }

    /// Returns the share of controls for an endpoint, given the one that the slice asks for.
    ///
    /// An endpoint with an undecided key gets all of them until it has had 500, so that noise is
    /// told apart within minutes. It depends on earlier requests only, never on this one.
    pub fn control_rate(&self, endpoint: &str, base: Share) -> Share {
        let hungry = self
            .endpoints
            .get(endpoint)
            .is_some_and(|known| known.hungry);
        if hungry && base > Share::NONE {
            Share::ALL
        } else {
            base
        }
    }
}
