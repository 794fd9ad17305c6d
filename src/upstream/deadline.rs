//! Deadlines of one thread's requests, found by a sweep instead of a timer each.
//!
//! A timer for each request costs more than deciding about it: it is entered into and taken out of
//! the runtime's wheel, and its alignment makes every future around it expensive to allocate. A
//! deadline here is noticed at the sweep after it, so within [`BEAT`].

use std::cell::Cell;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// How often the owner of a pool has to sweep its deadlines.
pub const BEAT: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Slot {
    due: Cell<Option<Instant>>,
    passed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// The deadlines of one thread. Slots are used again, so that a request allocates none.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    slots: RefCell<Vec<Rc<Slot>>>,
    free: RefCell<Vec<Rc<Slot>>>,
}

/// One deadline; given back when dropped.
#[derive(Debug)]
pub(super) struct Deadline<'a> {
    slot: Option<Rc<Slot>>,
    owner: &'a Deadlines,
}

impl Deadlines {
    /// Sets a deadline.
    pub(super) fn set(&self, due: Instant) -> Deadline<'_> {
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let slot = Rc::new(Slot {
                due: Cell::new(None),
                passed: Cell::new(false),
                waker: RefCell::default(),
            });
            self.slots.borrow_mut().push(Rc::clone(&slot));
            slot
        });
        slot.due.set(Some(due));
        slot.passed.set(false);
        Deadline {
            slot: Some(slot),
            owner: self,
        }
    }

    /// Wakes those whose deadline has passed.
    pub(super) fn sweep(&self, now: Instant) {
        for slot in self.slots.borrow().iter() {
            if slot.due.get().is_some_and(|due| due <= now) {
                slot.due.set(None);
                slot.passed.set(true);
                if let Some(waker) = slot.waker.borrow_mut().take() {
                    waker.wake();
                }
            }
        }
    }
}

impl Deadline<'_> {
    /// Awaits `future` until the deadline; nothing when that passed first.
    pub(super) async fn meet<F: Future>(&self, mut future: Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.has_passed(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Sets the deadline anew, after it has passed.
    pub(super) fn reset(&self, due: Instant) {
        if let Some(slot) = &self.slot {
            slot.passed.set(false);
            slot.due.set(Some(due));
        }
    }

    fn has_passed(&self, cx: &mut Context<'_>) -> bool {
        let Some(slot) = &self.slot else { return true };
        if slot.passed.get() {
            return true;
        }
        let mut waker = slot.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        false
    }
}

impl Drop for Deadline<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.due.set(None);
            *slot.waker.borrow_mut() = None;
            self.owner.free.borrow_mut().push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_met_or_passes_and_its_slot_is_used_again() {
        let deadlines = Deadlines::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        {
            let deadline = deadlines.set(start + second);
            let done = std::pin::pin!(async { 7 });
            assert_eq!(deadline.meet(done).await, Some(7));
        }
        let deadline = deadlines.set(start + second);
        assert_eq!(deadlines.slots.borrow().len(), 1);
        let mut never = std::pin::pin!(std::future::pending::<()>());
        let sweeping = async {
            tokio::time::sleep(second / 2).await;
            deadlines.sweep(Instant::now());
            tokio::time::sleep(second).await;
            deadlines.sweep(Instant::now());
        };
        let (met, ()) = tokio::join!(deadline.meet(never.as_mut()), sweeping);
        assert_eq!(met, None);
        deadline.reset(Instant::now() + second);
        let mut later = std::pin::pin!(async {
            tokio::time::sleep(second / 2).await;
            7
        });
        let sweeping = async {
            for _ in 0..3 {
                tokio::time::sleep(second / 4).await;
                deadlines.sweep(Instant::now());
            }
        };
        let (met, ()) = tokio::join!(deadline.meet(later.as_mut()), sweeping);
        assert_eq!(met, Some(7), "set anew, it is met again");
    }
}
