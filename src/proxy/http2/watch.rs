//! What the sweep knows of an HTTP/2 connection beyond what it knows of any: its budget, a head that
//! does not end, and streams whose client takes nothing of the answer.

use super::budget::Abuse;
use super::budget::Budget;
use super::frames::Frame;
use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// One connection.
#[derive(Debug)]
pub(in crate::proxy) struct Watch {
    budget: RefCell<Budget>,
    /// Whether a block of fields, or the frame that ends it, is not whole.
    fields_open: Cell<bool>,
    fields_ending: Cell<bool>,
    /// How many blocks of fields have begun.
    blocks: Cell<u32>,
    /// The block that the last sweeps found open, and since when.
    open_block: Cell<Option<(u32, Instant)>>,
    head: Duration,
    last_stream: Cell<u32>,
    slots: RefCell<Vec<Rc<Slot>>>,
    free: RefCell<Vec<Rc<Slot>>>,
}

/// One stream. Slots are used again, so that a request allocates none.
#[derive(Debug, Default)]
struct Slot {
    live: Cell<bool>,
    /// A piece of the answer was handed over, and the next was not asked for.
    waits: Cell<bool>,
    moved: Cell<u32>,
    seen: Cell<Option<(u32, Instant)>>,
    patience: Cell<Duration>,
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    /// Watches a connection whose heads may take so long.
    pub(super) fn new(head: Duration) -> Self {
        Self {
            budget: RefCell::default(),
            fields_open: Cell::new(false),
            fields_ending: Cell::new(false),
            blocks: Cell::new(0),
            open_block: Cell::new(None),
            head,
            last_stream: Cell::new(0),
            slots: RefCell::default(),
            free: RefCell::default(),
        }
    }

    pub(super) fn received(&self, frame: Frame) {
        self.fields_open.set(frame.leaves_fields_open());
        self.fields_ending.set(frame.ends_fields());
        if frame.kind == super::frames::HEADERS {
            self.blocks.set(self.blocks.get().wrapping_add(1));
        }
        if frame.stream > self.last_stream.get() {
            self.last_stream.set(frame.stream);
        }
        self.budget.borrow_mut().received(frame);
    }

    /// The last frame is whole.
    pub(super) fn whole(&self) {
        self.fields_ending.set(false);
    }

    pub(super) fn sent(&self, frame: Frame) {
        self.budget.borrow_mut().sent(frame);
    }

    pub(super) fn exhausted(&self) -> Option<Abuse> {
        self.budget.borrow().exhausted()
    }

    pub(super) fn last_stream(&self) -> u32 {
        self.last_stream.get()
    }

    /// Looks after the connection once a second; returns whether it has to end because a head does
    /// not.
    pub(in crate::proxy) fn sweep(&self, now: Instant) -> bool {
        self.budget.borrow_mut().second();
        for slot in self.slots.borrow().iter().filter(|slot| slot.live.get()) {
            slot.sweep(now);
        }
        if !self.fields_open.get() && !self.fields_ending.get() {
            self.open_block.set(None);
            return false;
        }
        let block = self.blocks.get();
        match self.open_block.get() {
            Some((seen, since)) if seen == block => now.duration_since(since) >= self.head,
            _ => {
                self.open_block.set(Some((block, now)));
                false
            }
        }
    }

    /// Starts to watch a stream.
    pub(super) fn stream(self: &Rc<Self>) -> Stream {
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let slot = Rc::<Slot>::default();
            self.slots.borrow_mut().push(Rc::clone(&slot));
            slot
        });
        slot.live.set(true);
        slot.waits.set(false);
        slot.seen.set(None);
        slot.cut.set(false);
        Stream {
            watch: Rc::clone(self),
            slot,
        }
    }
}

impl Slot {
    fn sweep(&self, now: Instant) {
        if !self.waits.get() {
            return self.seen.set(None);
        }
        let moved = self.moved.get();
        match self.seen.get() {
            Some((seen, since)) if seen == moved => {
                if now.duration_since(since) >= self.patience.get()
                    && !self.cut.replace(true)
                    && let Some(waker) = &*self.waker.borrow()
                {
                    waker.wake_by_ref();
                }
            }
            _ => self.seen.set(Some((moved, now))),
        }
    }
}

/// A stream being watched, by the task that serves it.
#[derive(Debug)]
pub(super) struct Stream {
    watch: Rc<Watch>,
    slot: Rc<Slot>,
}

impl Stream {
    /// Returns what its body notes.
    pub(super) fn pace(&self) -> Pace {
        Pace(Rc::clone(&self.slot))
    }

    /// Returns whether it has to end; otherwise wakes the task when that is so.
    pub(super) fn is_cut(&self, waker: &Waker) -> bool {
        if self.slot.cut.get() {
            return true;
        }
        let mut kept = self.slot.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
        false
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.slot.live.set(false);
        *self.slot.waker.borrow_mut() = None;
        self.watch.free.borrow_mut().push(Rc::clone(&self.slot));
    }
}

/// Notes whether a client takes what it is sent of an answer.
#[derive(Debug)]
pub(in crate::proxy) struct Pace(Rc<Slot>);

impl Pace {
    /// Sets how long the client may take nothing.
    pub(in crate::proxy) fn set_patience(&self, patience: Duration) {
        self.0.patience.set(patience);
    }

    /// The next piece is asked for.
    pub(in crate::proxy) fn asked(&self) {
        self.0.waits.set(false);
    }

    /// A piece was handed over.
    pub(in crate::proxy) fn gave(&self) {
        self.0.waits.set(true);
        self.0.moved.set(self.0.moved.get().wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::http2::frames::HEADERS;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_client_takes_nothing_is_cut_and_a_slow_one_is_not() {
        let watch = Rc::new(Watch::new(10 * SECOND));
        let (stalled, slow) = (watch.stream(), watch.stream());
        for stream in [&stalled, &slow] {
            stream.pace().set_patience(3 * SECOND);
            stream.pace().gave();
        }
        let start = Instant::now();
        let waker = Waker::noop();
        for at in 1..6 {
            slow.pace().asked();
            slow.pace().gave();
            watch.sweep(start + at * SECOND);
            assert!(!slow.is_cut(waker));
            assert_eq!(stalled.is_cut(waker), at > 3, "{at}");
        }
        drop(stalled);
        assert!(!watch.stream().is_cut(waker), "a slot is used again afresh");
        assert_eq!(watch.slots.borrow().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_ends_the_connection() {
        let watch = Watch::new(3 * SECOND);
        let start = Instant::now();
        let open = Frame {
            length: 1,
            kind: HEADERS,
            flags: 0,
            stream: 1,
        };
        watch.received(open);
        for at in 1..4 {
            assert!(!watch.sweep(start + at * SECOND));
        }
        assert!(watch.sweep(start + 4 * SECOND));
        watch.received(Frame { flags: 4, ..open });
        watch.whole();
        assert!(!watch.sweep(start + 9 * SECOND));
    }
}
