//! One of the stores, behind one set of words. Which one is decided by the URL, here and nowhere
//! else; every kind passes the same suite of tests.

use super::Change;
use super::Example;
use super::Limits;
use super::batch::Batch;
#[cfg(test)]
use super::batch::Saved;
use super::batch::Trimmed;
use super::error::Error;
use super::memory::Memory;
use super::rows;
use super::sqlite::Identity;
use super::sqlite::Open;
use super::sqlite::Place;
use super::sqlite::Purpose;
use super::sqlite::close;
use crate::model::PairId;
use crate::model::UnixMillis;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// A handle to a store; each user has one of its own.
#[derive(Debug)]
pub(super) enum Backend {
    Memory(Arc<Mutex<Memory>>),
    Sqlite {
        place: Place,
        purpose: Purpose,
        open: Option<Open>,
    },
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_open() -> Error {
    Error::Other("it is not open".to_owned())
}

impl Backend {
    pub(super) fn sqlite(place: &Place, purpose: Purpose) -> Self {
        Self::Sqlite {
            place: place.clone(),
            purpose,
            open: None,
        }
    }

    /// Makes sure that the store is open and still where it should be; true if it was opened now.
    pub(super) async fn hold(&mut self) -> Result<bool, Error> {
        match self {
            Self::Memory(_) => Ok(false),
            Self::Sqlite {
                place,
                purpose,
                open,
            } => place.hold(open, *purpose).await,
        }
    }

    /// Does what an error asks for: a damaged file is put aside, a broken connection closed.
    pub(super) async fn after(&mut self, error: &Error) {
        let Self::Sqlite { place, open, .. } = self else {
            return;
        };
        match error {
            Error::Damaged(_) => {
                if let Err(error) = place.set_aside(open.take()).await {
                    tracing::error!(%error, "the damaged store could not be put aside");
                }
            }
            Error::Other(_) | Error::NoDirectory(_) => {
                if let Some(open) = open.take() {
                    close(open.link).await;
                }
            }
            Error::Busy | Error::Full | Error::Later(_) => {}
        }
    }

    pub(super) async fn close(&mut self) {
        if let Self::Sqlite { open, .. } = self
            && let Some(open) = open.take()
        {
            close(open.link).await;
        }
    }

    pub(super) async fn bytes(&self) -> u64 {
        match self {
            Self::Memory(_) => 0,
            Self::Sqlite { place, .. } => place.bytes().await,
        }
    }

    pub(super) async fn write(&mut self, batch: &Batch, limits: &Limits) -> Result<(), Error> {
        match self {
            Self::Memory(memory) => {
                lock(memory).write(batch, limits);
                Ok(())
            }
            Self::Sqlite { open, .. } => {
                let open = open.as_mut().ok_or_else(not_open)?;
                rows::write(&mut open.link, batch, limits).await
            }
        }
    }

    pub(super) async fn trim(
        &mut self,
        limits: &Limits,
        now: UnixMillis,
    ) -> Result<Trimmed, Error> {
        match self {
            Self::Memory(memory) => Ok(lock(memory).trim(limits, now)),
            Self::Sqlite { open, .. } => {
                let open = open.as_mut().ok_or_else(not_open)?;
                rows::trim(&mut open.link, limits, now).await
            }
        }
    }

    /// Reads what outlived the last process; at start only, before there is a handle.
    #[cfg(test)]
    pub(super) async fn load(&mut self) -> Result<Saved, Error> {
        match self {
            Self::Memory(memory) => Ok(lock(memory).load()),
            Self::Sqlite { open, .. } => {
                let open = open.as_mut().ok_or_else(not_open)?;
                rows::load(&mut open.link).await
            }
        }
    }

    pub(super) async fn example(&mut self, id: PairId) -> Result<Option<Example>, Error> {
        match self {
            Self::Memory(memory) => Ok(lock(memory).example(id)),
            Self::Sqlite { open, .. } => {
                let open = open.as_mut().ok_or_else(not_open)?;
                rows::example(&mut open.link, id).await
            }
        }
    }

    pub(super) async fn changes(
        &mut self,
        limit: u32,
        before: Option<i64>,
    ) -> Result<Vec<Change>, Error> {
        match self {
            Self::Memory(memory) => Ok(lock(memory).changes(limit, before)),
            Self::Sqlite { open, .. } => {
                let open = open.as_mut().ok_or_else(not_open)?;
                rows::changes(&mut open.link, limit, before).await
            }
        }
    }
}

/// Returns whether something is at the path at all.
pub(super) async fn is_there(place: &Place) -> bool {
    Identity::of(place.path()).await.is_some()
}
