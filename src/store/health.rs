//! How the store is doing: counters that anyone may read, and the last thing that went wrong.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Why a sample is not in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The queue was full.
    Queue,
    /// The store did not take it.
    Store,
    /// There are enough examples of this difference, and a recent one.
    Enough,
    /// It left because the store has its limit of bytes.
    Bytes,
    /// It left because it was too old.
    Days,
}

impl Lost {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Queue,
        Self::Store,
        Self::Enough,
        Self::Bytes,
        Self::Days,
    ];

    /// Returns the word used in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Store => "store",
            Self::Enough => "enough",
            Self::Bytes => "bytes",
            Self::Days => "days",
        }
    }
}

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub struct Health {
    write_errors: AtomicU64,
    lost: [AtomicU64; Lost::ALL.len()],
    opened: AtomicU64,
    bytes: AtomicU64,
    failing: Mutex<Option<String>>,
}

impl Health {
    /// Returns how many writes failed.
    pub fn write_errors(&self) -> u64 {
        self.write_errors.load(Ordering::Relaxed)
    }

    /// Returns how many samples were lost for this reason.
    pub fn lost(&self, reason: Lost) -> u64 {
        self.lost[reason as usize].load(Ordering::Relaxed)
    }

    /// Returns how many samples never got into the store although they should have.
    pub fn dropped(&self) -> u64 {
        self.lost(Lost::Queue) + self.lost(Lost::Store)
    }

    /// Returns how often the store was opened: after each time, everything is written anew.
    pub fn times_opened(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }

    /// Returns the bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns what is wrong now, if something is.
    pub fn failing(&self) -> Option<String> {
        self.state().clone()
    }

    pub(super) fn lose(&self, reason: Lost, samples: u64) {
        self.lost[reason as usize].fetch_add(samples, Ordering::Relaxed);
    }

    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Release);
    }

    pub(super) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn well(&self) {
        if self.state().take().is_some() {
            tracing::info!("the store takes writes again");
        }
    }

    /// Counts a failed write; logs it once, and again when it changes.
    pub(super) fn failed(&self, error: &str) {
        self.write_errors.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        if state.as_deref() != Some(error) {
            tracing::error!(error, "the store does not take writes; samples are dropped");
            *state = Some(error.to_owned());
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<String>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
