//! Where examples and the history are read from.

#[cfg(test)]
use std::sync::Arc;

use crate::model::PairId;
use crate::store::Change;
use crate::store::Example;
use crate::store::Library;

/// The read side of the store.
#[derive(Clone, Debug)]
pub enum Shelf {
    /// The store.
    Library(Library),
    /// Fixed content, for tests.
    #[cfg(test)]
    Fixed(Arc<(Vec<Example>, Vec<Change>)>),
}

impl Shelf {
    /// Returns those examples that are still kept, in the order asked for.
    ///
    /// # Errors
    /// Why the store cannot be read, as a sentence part.
    pub(crate) async fn examples(&self, ids: &[PairId]) -> Result<Vec<Example>, String> {
        match self {
            Self::Library(library) => library.examples(ids).await.map_err(|e| e.to_string()),
            #[cfg(test)]
            Self::Fixed(fixed) => Ok(ids
                .iter()
                .filter_map(|id| fixed.0.iter().find(|e| e.id == *id).cloned())
                .collect()),
        }
    }

    /// Returns the history, the newest first: at most `limit`, from before the entry `before`.
    ///
    /// # Errors
    /// Why the store cannot be read, as a sentence part.
    pub(crate) async fn changes(
        &self,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<Change>, String> {
        match self {
            Self::Library(library) => library
                .changes(limit, before)
                .await
                .map_err(|e| e.to_string()),
            #[cfg(test)]
            Self::Fixed(fixed) => Ok(fixed
                .1
                .iter()
                .filter(|c| before.is_none_or(|before| c.id < before))
                .take(limit as usize)
                .cloned()
                .collect()),
        }
    }
}
