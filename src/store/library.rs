//! The read side: examples and the history, on a connection of its own.

use super::Change;
use super::Error;
use super::Example;
use super::backend::Backend;
use crate::model::PairId;
use std::sync::Arc;
use std::time::Duration;

/// How long a page waits for the store.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads what was kept. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Library {
    backend: Arc<tokio::sync::Mutex<Backend>>,
}

impl Library {
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            backend: Arc::new(tokio::sync::Mutex::new(backend)),
        }
    }

    /// Returns one example, if it is still kept.
    pub async fn example(&self, id: PairId) -> Result<Option<Example>, Error> {
        let mut found = self.examples(&[id]).await?;
        Ok(found.pop())
    }

    /// Returns those examples that are still kept, in the order asked for.
    pub async fn examples(&self, ids: &[PairId]) -> Result<Vec<Example>, Error> {
        patiently(async {
            let mut backend = self.backend.lock().await;
            let found = examples(&mut backend, ids).await;
            done(&mut backend, found).await
        })
        .await
    }

    /// Returns the history, the newest first: at most `limit`, from before the entry `before`.
    pub async fn changes(&self, limit: u32, before: Option<i64>) -> Result<Vec<Change>, Error> {
        patiently(async {
            let mut backend = self.backend.lock().await;
            let found = match backend.hold().await {
                Ok(_) => backend.changes(limit, before).await,
                Err(error) => Err(error),
            };
            done(&mut backend, found).await
        })
        .await
    }
}

async fn examples(backend: &mut Backend, ids: &[PairId]) -> Result<Vec<Example>, Error> {
    backend.hold().await?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(backend.example(*id).await?);
    }
    Ok(found)
}

/// Closes a connection that failed; a damaged file is the writer's to put aside.
async fn done<T>(backend: &mut Backend, found: Result<T, Error>) -> Result<T, Error> {
    if found.is_err() {
        backend.close().await;
    }
    found
}

async fn patiently<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Busy),
    }
}
