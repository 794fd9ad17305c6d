//! One request between its tries: where it goes next, what may be sent again, and what is held
//! against an endpoint.
//!
//! | what happened | what follows |
//! |---|---|
//! | no connection | another endpoint, for every request |
//! | the connection gave the request back unsent | again, and on another endpoint once a second new connection did the same, for every request |
//! | HTTP/2 refused it | again, for every request whose body is still here |
//! | a kept connection closed under it, no answer | once more on a fresh one, where it may be repeated |
//! | a fresh connection closed under it, no answer | once more on another endpoint, where it may be repeated |
//! | anything else | the failure is the answer |
//!
//! What may be repeated is a safe method without a body (RFC 9110 section 9.2.2), and what the rules
//! add. Repeating takes from the backend's budget of retries.
//!
//! Copies are no requests of clients: they tell nothing of an endpoint, take nothing from that budget,
//! and are repeated only where a kept connection closed under them.

use super::Backend;
use super::backend::is_failure;
use super::body::Outgoing;
use super::error::Error;
use super::error::ErrorKind;
use super::group::Group;
use super::replay::Again;
use super::target::Target;
use crate::clock;
use http::Request;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a request that was never looked at is tried on other connections.
const UNSENT_TRIES: u32 = 8;
/// How many endpoints are tried for one request.
const PLACES: u32 = 8;
/// How many of them may take as long as a connection may.
const SLOW_PLACES: u32 = 2;
/// The longest wait before a request is repeated, in microseconds; how long is up to chance, so that
/// many that failed at once do not come back at once.
const JITTER: u64 = 20_000;

/// Where a request stands between its tries.
pub(super) struct Course<'a> {
    pub(super) backend: &'a Backend,
    pub(super) group: Rc<Group>,
    /// Whether only a new connection will do.
    pub(super) fresh: bool,
    /// Whether it is a client's request, whose failures are held against endpoints.
    judges: bool,
    again: Again,
    place: usize,
    /// Places that failed.
    avoid: u64,
    repeated: bool,
    unconnected: u32,
    slow: u32,
    unsent: u32,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        backend: &'a Backend,
        group: Rc<Group>,
        judges: bool,
        again: Again,
        now: Instant,
    ) -> Self {
        let place = group.choose(backend, now, 0);
        Self {
            backend,
            group,
            fresh: false,
            judges,
            again,
            place,
            avoid: 0,
            repeated: false,
            unconnected: 0,
            slow: 0,
            unsent: 0,
        }
    }

    /// Returns where it goes next.
    pub(super) fn target(&self) -> &Rc<Target> {
        &self.group.targets[self.place]
    }

    /// Goes on to another place; returns whether there is one that was not tried.
    fn elsewhere(&mut self) -> bool {
        if self.place < 64 {
            self.avoid |= 1 << self.place;
        }
        let count = self.group.targets.len();
        if self.avoid.count_ones() as usize >= count.min(64) {
            return false;
        }
        self.place = self.group.choose(self.backend, Instant::now(), self.avoid);
        true
    }

    /// There was no connection.
    pub(super) fn unconnected(&mut self, error: Error) -> Result<(), Error> {
        if matches!(error.kind, ErrorKind::Local | ErrorKind::Busy) {
            return Err(error);
        }
        self.slow += u32::from(error.kind == ErrorKind::ConnectTimeout);
        self.leave(error)?;
        self.backend.retried("connect");
        Ok(())
    }

    /// A connection of its own gave the request back.
    pub(super) fn unsent(
        &mut self,
        back: Request<Outgoing>,
        error: Error,
        was_kept: bool,
    ) -> Result<Request<Outgoing>, Error> {
        self.unsent += 1;
        if !was_kept && self.fresh || self.unsent > UNSENT_TRIES {
            self.leave(error)?;
            self.fresh = false;
            self.unsent = 0;
        } else {
            self.fresh = !was_kept;
        }
        self.backend.retried("unsent");
        Ok(back)
    }

    /// Holds against an endpoint that nothing can be sent to it, and goes elsewhere.
    fn leave(&mut self, error: Error) -> Result<(), Error> {
        self.blame(error.kind);
        self.unconnected += 1;
        if self.unconnected >= PLACES || self.slow >= SLOW_PLACES || !self.elsewhere() {
            return Err(error);
        }
        Ok(())
    }

    /// A shared connection did not take it, or the application did not look at it.
    pub(super) async fn refused(
        &mut self,
        error: Error,
        make: &mut dyn FnMut() -> Request<Outgoing>,
    ) -> Result<Request<Outgoing>, Error> {
        self.unsent += 1;
        if self.unsent > UNSENT_TRIES {
            return Err(error);
        }
        let Some(request) = self.again.next(make) else {
            return Err(error);
        };
        if self.unsent > 1 {
            jitter().await;
        }
        self.place = self.group.choose(self.backend, Instant::now(), self.avoid);
        self.backend.retried("refused");
        Ok(request)
    }

    /// There was no answer.
    pub(super) async fn failed(
        &mut self,
        error: Error,
        was_kept: bool,
        repeatable: bool,
        make: &mut dyn FnMut() -> Request<Outgoing>,
    ) -> Result<Request<Outgoing>, Error> {
        let raced = was_kept && error.kind == ErrorKind::Closed;
        if !raced {
            self.blame(error.kind);
        }
        let closed = matches!(error.kind, ErrorKind::Closed | ErrorKind::Malformed);
        let other = closed && self.judges && self.group.counted;
        if !repeatable || self.repeated || !(raced || other) {
            return Err(error);
        }
        if !raced && !self.elsewhere() {
            return Err(error);
        }
        let Some(request) = self.again.next(make) else {
            return Err(error);
        };
        if !self.may_repeat() {
            return Err(error);
        }
        self.repeated = true;
        if raced {
            self.fresh = true;
            self.backend.retried("closed_idle");
        } else {
            jitter().await;
            self.backend.retried("failed");
        }
        Ok(request)
    }

    fn may_repeat(&self) -> bool {
        if !self.judges {
            return true;
        }
        let asked = self.group.asked.replace(0);
        self.backend.may_repeat(asked.into())
    }

    fn blame(&self, kind: ErrorKind) {
        if self.judges && self.group.counted && kind.blames_backend() {
            self.backend.failed(&self.target().endpoint);
        }
    }

    /// The head of an answer came.
    pub(super) fn answered(&self, target: &Target, status: u16) {
        if !self.judges || !self.group.counted {
            return;
        }
        if is_failure(status) {
            self.backend.failed(&target.endpoint);
        } else {
            target.endpoint.succeeded();
        }
    }
}

async fn jitter() {
    let micros = clock::chance() % JITTER;
    tokio::time::sleep(Duration::from_micros(micros)).await;
}
