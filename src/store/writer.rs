//! The writer: a bounded queue that never waits, and one task that empties it in batches.
//!
//! Samples that do not fit, or whose batch fails, are dropped and counted. Evidence, counters and
//! the history are kept until they are written: of each only the latest is held, so that a store
//! that is away for hours costs no memory.

use super::Change;
use super::Counts;
use super::Error;
use super::Example;
use super::Health;
use super::Limits;
use super::Lost;
use super::backend::Backend;
use super::batch::Batch;
use super::form;
use crate::clock;
use crate::evidence::Part;
use crate::model::SliceId;
use crate::model::UnixMillis;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a sample waits at most before it is written.
const BEAT: Duration = Duration::from_secs(1);
/// How often limits are enforced.
const TRIM: Duration = Duration::from_secs(30);
/// Samples that may wait.
const SAMPLES: usize = 1_024;
/// Bytes that waiting samples may take: two seconds of the busiest slices.
const SAMPLE_BYTES: usize = 16 * 1_024 * 1_024;
/// Changes that may wait for a store that is away.
const CHANGES: usize = 1_000;
/// Families remembered so that the same difference is not written fifty times a second.
const FAMILIES: usize = 20_000;
/// How often a family that has its share of examples gets a newer one.
const FRESH: Duration = Duration::from_secs(10);

/// Something to be kept.
#[derive(Debug)]
pub enum Write {
    /// A sample; may be dropped.
    Example(Box<Example>),
    /// What changed in the evidence of a slice.
    Evidence {
        /// The slice.
        slice: SliceId,
        /// Its parts.
        parts: Vec<Part>,
        /// Whether these are all of them, so that others go.
        all: bool,
    },
    /// The counters of a slice.
    Counts {
        /// The slice.
        slice: SliceId,
        /// Its counters.
        counts: Counts,
    },
    /// Since when a slice is not in the rules, or that it is again.
    Gone {
        /// The slice.
        slice: SliceId,
        /// Since when.
        at: Option<UnixMillis>,
    },
    /// Everything of a slice may go.
    Forget(SliceId),
    /// An entry of the history.
    Change(Change),
}

#[derive(Debug, Default)]
struct Queue {
    batch: Batch,
    sample_bytes: usize,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    ended: watch::Sender<bool>,
    health: Arc<Health>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where things to keep are left. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    /// Leaves something to be kept, without waiting; returns false if it was dropped and counted.
    pub fn offer(&self, write: Write) -> bool {
        let mut queue = self.shared.queue();
        if queue.closed {
            return false;
        }
        match write {
            Write::Example(example) => return self.sample(&mut queue, *example),
            Write::Evidence { slice, parts, all } => {
                if all {
                    let old = queue.batch.parts.keys().filter(|(s, _)| *s == slice);
                    let old: Vec<_> = old.cloned().collect();
                    for key in old {
                        queue.batch.parts.remove(&key);
                    }
                    queue.batch.replace.insert(slice.clone());
                }
                for part in parts {
                    let key = (slice.clone(), part.name);
                    queue.batch.parts.insert(key, part.data);
                }
            }
            Write::Counts { slice, counts } => {
                queue.batch.counts.insert(slice, counts);
            }
            Write::Gone { slice, at } => {
                queue.batch.gone.insert(slice, at);
            }
            Write::Forget(slice) => {
                queue.batch.parts.retain(|(s, _), _| *s != slice);
                queue.batch.counts.remove(&slice);
                queue.batch.gone.remove(&slice);
                queue.batch.replace.remove(&slice);
                queue.batch.forget.insert(slice);
            }
            Write::Change(change) => {
                if queue.batch.changes.len() >= CHANGES {
                    self.shared.health.lose(Lost::Queue, 1);
                    return false;
                }
                queue.batch.changes.push(change);
            }
        }
        true
    }

    fn sample(&self, queue: &mut Queue, example: Example) -> bool {
        let size = weight(&example);
        let full = queue.batch.examples.len() >= SAMPLES;
        if full || queue.sample_bytes + size > SAMPLE_BYTES {
            self.shared.health.lose(Lost::Queue, 1);
            return false;
        }
        queue.sample_bytes += size;
        queue.batch.examples.push(example);
        true
    }

    /// Asks the writer not to wait for its beat.
    pub fn flush(&self) {
        self.shared.wake.notify_one();
    }

    /// Returns how the store is doing.
    pub fn health(&self) -> &Arc<Health> {
        &self.shared.health
    }

    /// Takes nothing more, and waits until what was taken is written or `patience` is over.
    pub async fn close(&self, patience: Duration) -> bool {
        self.shared.queue().closed = true;
        self.shared.wake.notify_one();
        let mut ended = self.shared.ended.subscribe();
        let ended = ended.wait_for(|ended| *ended);
        tokio::time::timeout(patience, ended).await.is_ok()
    }
}

/// Returns about how many bytes a sample takes.
fn weight(example: &Example) -> usize {
    let body =
        |answer: &Option<super::AnswerView>| answer.as_ref().map_or(0, |a| a.body.text.len() + 512);
    let shown = example.differences.iter();
    let shown: usize = shown.map(|d| d.legacy.len() + d.candidate.len() + 64).sum();
    body(&example.legacy) + body(&example.candidate) + shown + 1_024
}

/// The task that writes.
#[derive(Debug)]
pub struct WriterTask {
    shared: Arc<Shared>,
    backend: Backend,
    limits: Limits,
    families: HashMap<u64, (u32, Instant)>,
    trimmed: Option<Instant>,
}

/// Makes both ends.
pub(super) fn channel(
    backend: Backend,
    limits: Limits,
    health: Arc<Health>,
) -> (Writer, WriterTask) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        wake: Notify::new(),
        ended: watch::Sender::new(false),
        health,
    });
    let writer = Writer {
        shared: Arc::clone(&shared),
    };
    let task = WriterTask {
        shared,
        backend,
        limits,
        families: HashMap::new(),
        trimmed: None,
    };
    (writer, task)
}

impl WriterTask {
    /// Writes until [`Writer::close`] was called and the last batch is tried.
    pub async fn run(mut self) {
        loop {
            // Canceling either loses nothing: a stored wake-up stays, a beat comes again.
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(BEAT) => {}
            }
            let (batch, closed) = {
                let mut queue = self.shared.queue();
                queue.sample_bytes = 0;
                (std::mem::take(&mut queue.batch), queue.closed)
            };
            self.turn(batch).await;
            if closed {
                break;
            }
        }
        self.backend.close().await;
        self.shared.ended.send_replace(true);
    }

    async fn turn(&mut self, mut batch: Batch) {
        self.thin(&mut batch);
        match self.write(&batch).await {
            Ok(()) => self.shared.health.well(),
            Err(error) => {
                self.failed(&error, batch);
                self.backend.after(&error).await;
            }
        }
        self.shared.health.set_bytes(self.backend.bytes().await);
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        if self.backend.hold().await? {
            self.shared.health.opened();
            // What was full of examples may be empty now.
            self.families.clear();
        }
        if !batch.is_empty() {
            self.backend.write(batch, &self.limits).await?;
        }
        let due = self.trimmed.is_none_or(|at| at.elapsed() >= TRIM);
        if due {
            self.trimmed = Some(Instant::now());
            let gone = self.backend.trim(&self.limits, clock::now()).await?;
            self.shared.health.lose(Lost::Bytes, gone.bytes);
            self.shared.health.lose(Lost::Days, gone.days);
        }
        Ok(())
    }

    /// Leaves out samples of differences that have enough examples and a recent one.
    fn thin(&mut self, batch: &mut Batch) {
        if self.families.len() > FAMILIES {
            self.families.clear();
        }
        let now = Instant::now();
        let before = batch.examples.len();
        let enough = self.limits.examples_per_set;
        batch.examples.retain(|example| {
            let family = self.families.entry(form::family(example));
            let (count, last) = family.or_insert((0, now));
            if *count < enough || now.duration_since(*last) >= FRESH {
                *count += 1;
                *last = now;
                true
            } else {
                false
            }
        });
        let thinned = (before - batch.examples.len()) as u64;
        self.shared.health.lose(Lost::Enough, thinned);
    }

    fn failed(&self, error: &Error, mut batch: Batch) {
        let lost = batch.examples.len() as u64;
        self.shared.health.lose(Lost::Store, lost);
        batch.examples.clear();
        self.shared.health.failed(&error.to_string());
        let mut queue = self.shared.queue();
        queue.batch.put_under(batch);
        let over = queue.batch.changes.len().saturating_sub(CHANGES);
        if over > 0 {
            queue.batch.changes.drain(..over);
            self.shared.health.lose(Lost::Queue, over as u64);
        }
    }
}
