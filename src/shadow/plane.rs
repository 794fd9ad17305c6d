//! The shadow threads and the queues that feed them.

use super::deltas::Deltas;
use super::job::Job;
use super::memory::Memory;
use super::worker::Worker;
use crate::compare::RedactKey;
use crate::model::Outcome;
use crate::model::Shed;
use crate::store::Writer;
use crate::telemetry::Metrics;
use crate::upstream::BEAT;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use thread_priority::ThreadPriority;
use thread_priority::ThreadPriorityValue;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::watch;
use tokio::time::Instant;

/// How many jobs may wait, over all threads.
const QUEUE: usize = 1_024;

/// While jobs come, a thread looks for them this often instead of being woken for each: waking it
/// costs the data plane more than all else that it does for a copy.
const GATHER: Duration = Duration::from_millis(1);

/// The end of the queue that data-plane threads hold.
#[derive(Clone, Debug)]
pub struct Shadow {
    queues: Arc<[mpsc::Sender<Job>]>,
    memory: Memory,
}

impl Shadow {
    /// Offers a job and returns at once; `lane` spreads data-plane threads over shadow threads.
    /// Where there is no room the copy is dropped, and counted.
    pub fn offer(&self, mut job: Job, lane: usize) {
        for i in 0..self.queues.len() {
            let queue = &self.queues[(lane + i) % self.queues.len()];
            match queue.try_send(job) {
                Err(TrySendError::Full(back)) => job = back,
                // Of a closed queue the guard in the job counts `shed(drain)`.
                Ok(()) | Err(TrySendError::Closed(_)) => return,
            }
        }
        if let Some(open) = job.open {
            open.end(Outcome::Shed(Shed::Queue));
        }
    }

    /// Returns the budget of bytes held.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns how many jobs wait, and how many may.
    pub fn queue(&self) -> (usize, usize) {
        let waiting = self
            .queues
            .iter()
            .map(|q| q.max_capacity() - q.capacity())
            .sum();
        let capacity = self.queues.iter().map(mpsc::Sender::max_capacity).sum();
        (waiting, capacity)
    }
}

/// What the shadow threads work with.
#[derive(Debug)]
pub struct PlaneParts {
    /// How many threads.
    pub threads: usize,
    /// Bytes of answers held in all.
    pub memory: Memory,
    /// Where examples go.
    pub writer: Writer,
    /// The key of the tokens that stand for secrets.
    pub key: RedactKey,
    /// The metrics.
    pub metrics: Metrics,
}

/// The running threads.
#[derive(Debug)]
pub struct Plane {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Plane {
    /// Starts the threads; returns them, the queue's end, and what the tick drains.
    pub fn start(parts: PlaneParts) -> io::Result<(Self, Shadow, Deltas)> {
        let count = parts.threads.max(1);
        let deltas = Deltas::new(count);
        let stop = watch::Sender::new(false);
        let key = Arc::new(parts.key);
        let mut queues = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for thread in 0..count {
            let (queue, jobs) = mpsc::channel(QUEUE.div_ceil(count));
            queues.push(queue);
            let (deltas, writer, key) = (deltas.clone(), parts.writer.clone(), Arc::clone(&key));
            let (metrics, memory) = (parts.metrics.clone(), parts.memory.clone());
            let stopped = stop.subscribe();
            let named = std::thread::Builder::new().name(format!("shadow-{thread}"));
            threads.push(named.spawn(move || {
                let worker = Worker::new(thread, deltas, writer, key, &metrics, memory);
                run(worker, jobs, stopped);
            })?);
        }
        let shadow = Shadow {
            queues: queues.into(),
            memory: parts.memory,
        };
        Ok((Self { threads, stop }, shadow, deltas))
    }

    /// Lets the threads finish what they have, for at most `patience`, and waits for them. Blocks.
    pub fn drain(self, patience: Duration) {
        self.stop.send_replace(true);
        let deadline = tokio::time::Instant::now() + patience;
        for thread in self.threads {
            while !thread.is_finished() && tokio::time::Instant::now() < deadline {
                crate::clock::pause(Duration::from_millis(5));
            }
            if thread.is_finished() && thread.join().is_err() {
                tracing::error!("a shadow thread panicked");
            }
        }
    }
}

fn run(worker: Worker, mut jobs: mpsc::Receiver<Job>, mut stopped: watch::Receiver<bool>) {
    lower_priority();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a shadow thread could not start; its copies are shed");
            return;
        }
    };
    let worker = Rc::new(worker);
    runtime.block_on(async move {
        let mut running = tokio::task::JoinSet::new();
        let mut sweep = tokio::time::interval(Duration::from_secs(1));
        let mut beat = tokio::time::interval(BEAT);
        let mut gathering = false;
        let gathered = tokio::time::sleep(GATHER);
        tokio::pin!(gathered);
        loop {
            // Each branch may be cancelled: receiving, ticking and waiting lose nothing.
            let job = tokio::select! {
                job = jobs.recv(), if !gathering => match job {
                    Some(job) => Some(job),
                    None => break,
                },
                () = &mut gathered, if gathering => jobs.try_recv().ok(),
                Some(done) = running.join_next(), if !running.is_empty() => {
                    worker.finished(&done);
                    continue;
                }
                now = beat.tick() => {
                    worker.expire(now);
                    continue;
                }
                now = sweep.tick() => {
                    worker.sweep(now);
                    continue;
                }
                _ = stopped.wait_for(|stop| *stop) => break,
            };
            // Without a job in all of the time, the next one may wake the thread again.
            gathering = job.is_some();
            let more = std::iter::from_fn(|| jobs.try_recv().ok()).take(QUEUE);
            for job in job.into_iter().chain(more) {
                let worker = Rc::clone(&worker);
                running.spawn_local(async move { worker.process(job).await });
            }
            gathered.as_mut().reset(Instant::now() + GATHER);
        }
        jobs.close();
        let patience = tokio::time::sleep(Duration::from_secs(2));
        tokio::pin!(patience);
        loop {
            tokio::select! {
                done = running.join_next() => match done {
                    Some(done) => worker.finished(&done),
                    None => break,
                },
                now = beat.tick() => worker.expire(now),
                () = &mut patience => break,
            }
        }
    });
}

/// Makes the scheduler prefer the data plane. Where that is not allowed, all runs at one priority.
fn lower_priority() {
    let lower = ThreadPriorityValue::try_from(20u8).map(ThreadPriority::Crossplatform);
    match lower.map(ThreadPriority::set_for_current) {
        Ok(Ok(())) => {}
        other => tracing::debug!(?other, "shadow threads run at the default priority"),
    }
}
