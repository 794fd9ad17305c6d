//! What the workers have seen since the last tick: one delta a thread, behind its own lock.

use crate::evidence::Delta;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// The deltas of all shadow threads. Clones share them.
#[derive(Clone, Debug)]
pub struct Deltas(Arc<[Mutex<Delta>]>);

impl Deltas {
    /// Makes an empty delta for each of `threads`.
    pub fn new(threads: usize) -> Self {
        Self((0..threads.max(1)).map(|_| Mutex::default()).collect())
    }

    /// Takes everything seen since the last call, leaving empty deltas. For the tick.
    pub fn take_all(&self) -> Vec<Delta> {
        let threads = 0..self.0.len();
        threads
            .map(|thread| std::mem::take(&mut *self.of(thread)))
            .collect()
    }

    /// Locks the delta of one thread, for the moment of an addition.
    pub(super) fn of(&self, thread: usize) -> MutexGuard<'_, Delta> {
        self.0[thread]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
