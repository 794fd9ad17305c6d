//! Spawning, and draining at the end.
//!
//! Tasks of the control runtime start here, so that the drain can await all of them. The data plane
//! and the shadow spawn on their own runtimes and await their own work before their threads end.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Starts tasks, tells them to stop, and waits for them. Clones share one set.
#[derive(Clone, Debug)]
pub struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
    stop: watch::Sender<bool>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            set: Arc::default(),
            stop: watch::Sender::new(false),
        }
    }
}

impl Tasks {
    /// Starts a task on the runtime that calls.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        set.spawn(future);
    }

    /// Returns a future that ends when the tasks are told to stop.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // An error means that the sender is gone, which is a stop as well.
            drop(stop.wait_for(|stop| *stop).await);
        }
    }

    /// Tells every task to stop and waits at most `patience`; returns whether all ended.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.stop.send_replace(true);
        let mut set = std::mem::take(&mut *self.set.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while set.join_next().await.is_some() {} };
        tokio::time::timeout(patience, all).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_tasks_that_stop_and_gives_up_on_those_that_do_not() {
        let tasks = Tasks::default();
        tasks.spawn(tasks.stopping());
        assert!(tasks.drain(Duration::from_secs(1)).await);
        let tasks = Tasks::default();
        tasks.spawn(std::future::pending());
        assert!(!tasks.drain(Duration::from_secs(1)).await);
    }
}
