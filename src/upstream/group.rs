//! What one thread has of a backend: its addresses as this thread sees them, and the choice among
//! them.

use super::Backend;
use super::choose::choose;
use super::target::Target;
use crate::clock;
use crate::rules::Scheme;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Weak;
use tokio::time::Instant;

/// What one thread has of a backend.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) generation: u64,
    pub(super) targets: Box<[Rc<Target>]>,
    /// Requests since the retry budget was told last.
    pub(super) asked: Cell<u32>,
    /// Whether there is a choice, so that loads and failures are of interest.
    pub(super) counted: bool,
    /// Whether any address may refuse a request that it was sent.
    pub(super) refuses: bool,
    alive: Weak<()>,
}

impl Group {
    /// Makes what a thread has of a backend's addresses; those that `old` has as well stay.
    pub(super) fn new(backend: &Backend, generation: u64, old: Option<&Self>) -> Self {
        let keepalive = backend.config().timeouts.keepalive;
        let old = old.map_or(&[][..], |old| &*old.targets);
        let targets: Box<[_]> = backend
            .endpoints()
            .iter()
            .map(|endpoint| {
                let known = old.iter().find(|t| t.endpoint.is_same(endpoint));
                let made = || Rc::new(Target::new(endpoint.clone(), keepalive));
                known.map_or_else(made, Rc::clone)
            })
            .collect();
        Self {
            generation,
            counted: targets.len() > 1,
            refuses: targets.iter().any(|t| t.endpoint.scheme != Scheme::Http),
            targets,
            asked: Cell::new(0),
            alive: backend.alive(),
        }
    }

    /// Chooses a place; `avoid` holds a bit for each that was tried.
    pub(super) fn choose(&self, backend: &Backend, now: Instant, avoid: u64) -> usize {
        if !self.counted {
            return 0;
        }
        let now = backend.millis(now);
        let ejection = &backend.config().ejection;
        choose(
            self.targets.len(),
            |place| self.targets[place].endpoint.share(now, ejection),
            |place| self.targets[place].endpoint.inflight(),
            avoid,
            clock::chance(),
        )
    }

    /// Drops connections that were idle for too long; returns whether the backend is still there.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        for target in &self.targets {
            target.sweep(now);
        }
        self.alive.strong_count() > 0
    }
}
