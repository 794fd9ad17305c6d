//! How many bytes of answers may be held for comparing, in all.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// The bytes held by all captures. Clones share one budget.
#[derive(Clone, Debug)]
pub struct Memory {
    held: Arc<AtomicUsize>,
    limit: usize,
}

impl Memory {
    /// Makes a budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            held: Arc::default(),
            limit,
        }
    }

    /// Starts a capture that holds nothing yet.
    pub fn hold(&self) -> Held {
        Held {
            memory: self.clone(),
            bytes: 0,
        }
    }

    /// Returns how many bytes are held.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Returns how many bytes may be held.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// The bytes of one capture; given back when dropped.
#[derive(Debug)]
pub struct Held {
    memory: Memory,
    bytes: usize,
}

impl Held {
    /// Takes `bytes` more, or returns false where the budget has no room.
    pub fn add(&mut self, bytes: usize) -> bool {
        let before = self.memory.held.fetch_add(bytes, Relaxed);
        if before + bytes > self.memory.limit {
            self.memory.held.fetch_sub(bytes, Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// Gives everything back.
    pub fn release(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.memory.held.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_shared_and_given_back() {
        let memory = Memory::new(10);
        let (mut a, mut b) = (memory.hold(), memory.hold());
        assert!(a.add(6) && !b.add(6) && b.add(4) && !a.add(1));
        drop(a);
        assert_eq!(memory.held(), 4);
        assert!(b.add(6));
        b.release();
        assert_eq!(memory.held(), 0);
    }
}
