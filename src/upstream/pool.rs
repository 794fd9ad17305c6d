//! Sends requests over the kept connections of one thread, and decides what may be sent again.
//!
//! | what happened | what follows |
//! |---|---|
//! | no connection | another endpoint, for every request |
//! | the connection gave the request back unsent, or HTTP/2 refused it | again, for every request whose body is still here |
//! | a kept connection closed under it, no answer | once more on a fresh one, where it may be repeated |
//! | a fresh connection closed under it, no answer | once more on another endpoint, where it may be repeated |
//! | anything else | the failure is the answer |
//!
//! What may be repeated is a safe method without a body (RFC 9110 section 9.2.2), and what the rules
//! add. The last two rows take from the backend's budget of retries.

use super::Backend;
use super::body::Outgoing;
use super::body::Progress;
use super::check;
use super::choose::choose;
use super::deadline::Deadlines;
use super::error::Error;
use super::error::ErrorKind;
use super::lines;
use super::replay::Again;
use super::target::Held;
use super::target::Sender;
use super::target::Target;
use super::tunnel;
use crate::clock;
use crate::rules::Scheme;
use http::Request;
use http::Response;
use hyper::body::Incoming;
use std::cell::Cell;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Weak;
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

/// What one thread has of a backend.
#[derive(Debug)]
struct Group {
    generation: u64,
    targets: Box<[Rc<Target>]>,
    /// Requests since the retry budget was told last.
    asked: Cell<u32>,
    /// Whether there is a choice, so that loads and failures are of interest.
    counted: bool,
    /// Whether any address may refuse a request that it was sent.
    refuses: bool,
    alive: Weak<()>,
}

/// The kept connections of one thread.
#[derive(Debug)]
pub struct Pool {
    groups: RefCell<Vec<Option<Rc<Group>>>>,
    deadlines: Deadlines,
    idle_max: usize,
}

/// How a request is to be sent.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Whether it may be sent again although it may have been acted on: a safe method without a
    /// body, or what the rules say.
    pub repeatable: bool,
    /// How far the body has come; none if there is no streamed body.
    pub progress: Option<&'a Progress>,
    /// From the last byte of the request to the head of the answer.
    pub response: Duration,
    /// When the request arrived, by which kept connections are judged.
    pub now: Instant,
}

/// An answer's head, and the connection it came on.
#[derive(Debug)]
pub struct Sent {
    /// The answer.
    pub response: Response<Incoming>,
    /// The connection, to be given back when the body has ended.
    pub lease: Lease,
    /// Time spent connecting; zero on a kept connection.
    pub connect: Duration,
    /// When the request was handed to the connection.
    pub sent_at: Instant,
    /// When the head of the answer was here.
    pub head_at: Instant,
}

impl Sent {
    /// Returns the time from the request sent to the head of the answer.
    pub fn took(&self) -> Duration {
        self.head_at.saturating_duration_since(self.sent_at)
    }
}

/// A connection in use. Dropping it closes the connection, or ends the one stream of HTTP/2.
#[derive(Debug)]
pub struct Lease {
    sender: Sender,
    held: Held,
    idle_max: usize,
}

impl Lease {
    /// Returns what a tunnel holds for as long as it lives: its place among the streams of a
    /// connection. A connection that became a tunnel itself is not counted any more.
    pub fn of_tunnel(self) -> Option<Self> {
        matches!(self.sender, Sender::Many(_)).then_some(self)
    }

    /// Keeps the connection for the next request; only for an answer that ended whole.
    pub fn give_back(self, now: Instant) {
        match self.sender {
            Sender::One(sender) => self.held.target.keep(sender, now, self.idle_max),
            // Its place is free as soon as it is dropped.
            Sender::Many(_) => {}
        }
    }
}

enum Tried {
    Answered(Box<Sent>),
    /// A connection of its own gave it back.
    Unsent(Box<Request<Outgoing>>, Error),
    /// A shared connection did not take it, or the application did not look at it.
    Refused(Error),
    Failed(Error),
}

/// Where a request stands between its tries.
struct Course<'a> {
    backend: &'a Backend,
    group: Rc<Group>,
    again: Again,
    place: usize,
    /// Places that failed.
    avoid: u64,
    /// Whether only a new connection will do.
    fresh: bool,
    repeated: bool,
    unconnected: u32,
    slow: u32,
    unsent: u32,
}

impl Pool {
    /// Makes a pool that keeps at most `idle_max` connections to each address.
    pub fn new(idle_max: usize) -> Self {
        Self {
            groups: RefCell::default(),
            deadlines: Deadlines::default(),
            idle_max: idle_max.max(1),
        }
    }

    /// Sends a request to one of a backend's addresses and waits for the answer's head.
    ///
    /// `make` is called once, and again for a request without a streamed body that is sent again.
    pub async fn send(
        &self,
        backend: &Backend,
        plan: Plan<'_>,
        make: &mut dyn FnMut() -> Request<Outgoing>,
    ) -> Result<Sent, Error> {
        let group = self.group(backend);
        if group.targets.is_empty() {
            return Err(Error::new(ErrorKind::NoAddress));
        }
        group.asked.set(group.asked.get().saturating_add(1));
        let mut first = make();
        let again = Again::of(&mut first, plan.repeatable || group.refuses);
        let tunnel = tunnel::is_wanted(&first);
        let mut request = Some(first);
        let mut course = Course::new(backend, group, again, plan.now);
        loop {
            let target = Rc::clone(&course.group.targets[course.place]);
            let kept = if course.fresh {
                None
            } else {
                target.take(plan.now, plan.repeatable, tunnel).await
            };
            let was_kept = kept.is_some();
            let (sender, connect) = if let Some(sender) = kept {
                (sender, Duration::ZERO)
            } else {
                let started = Instant::now();
                // Boxed, since it is rare: a request on a kept connection carries no room for it.
                match Box::pin(target.connect(backend, course.fresh, tunnel)).await {
                    Ok(sender) => (sender, started.elapsed()),
                    Err(error) => {
                        course.unconnected(error)?;
                        continue;
                    }
                }
            };
            let tried = self
                .try_on(&course, &target, sender, &mut request, &plan, connect)
                .await;
            request = Some(match tried {
                Tried::Answered(sent) => return Ok(*sent),
                Tried::Unsent(back, error) => course.unsent(*back, error, was_kept)?,
                Tried::Refused(error) => Box::pin(course.refused(error, make)).await?,
                Tried::Failed(error) => {
                    Box::pin(course.failed(error, was_kept, plan.repeatable, make)).await?
                }
            });
        }
    }

    /// Ends the waiting of requests whose deadline has passed. The owner calls it at every
    /// [`BEAT`](super::BEAT).
    pub fn expire(&self, now: Instant) {
        self.deadlines.sweep(now);
    }

    /// Drops connections that were idle for longer than their backend allows, and all of backends
    /// that are no more.
    pub fn sweep(&self, now: Instant) {
        for group in self.groups.borrow_mut().iter_mut() {
            let Some(some) = group else { continue };
            if some.alive.strong_count() == 0 {
                *group = None;
                continue;
            }
            for target in &some.targets {
                target.sweep(now);
            }
        }
    }

    fn group(&self, backend: &Backend) -> Rc<Group> {
        let generation = backend.generation();
        let mut groups = self.groups.borrow_mut();
        if let Some(Some(group)) = groups.get(backend.id())
            && group.generation == generation
        {
            return Rc::clone(group);
        }
        if groups.len() <= backend.id() {
            groups.resize_with(backend.id() + 1, || None);
        }
        let place = &mut groups[backend.id()];
        let group = Rc::new(Group::new(backend, generation, place.as_deref()));
        *place = Some(Rc::clone(&group));
        group
    }

    /// Awaits an answer for as long as the plan allows: its time starts when the request's last byte
    /// is gone, and starts again whenever a streamed body moves.
    async fn in_time<F: Future>(
        &self,
        mut answer: Pin<&mut F>,
        plan: &Plan<'_>,
        sent_at: Instant,
    ) -> Option<F::Output> {
        let mut from = sent_at;
        let deadline = self.deadlines.set(from + plan.response);
        loop {
            if let Some(output) = deadline.meet(answer.as_mut()).await {
                return Some(output);
            }
            match plan.progress {
                Some(progress) if progress.last() > from => {
                    from = progress.last();
                    deadline.reset(from + plan.response);
                }
                _ => return None,
            }
        }
    }

    async fn try_on(
        &self,
        course: &Course<'_>,
        target: &Rc<Target>,
        mut sender: Sender,
        request: &mut Option<Request<Outgoing>>,
        plan: &Plan<'_>,
        connect: Duration,
    ) -> Tried {
        // By reference, since what is moved into a future is copied with it.
        let Some(mut request) = request.take() else {
            return Tried::Failed(Error::new(ErrorKind::Local));
        };
        let sent_at = Instant::now();
        let held = Held::new(target, course.group.counted);
        let mut proof = None;
        let answer = match &mut sender {
            Sender::One(one) => {
                let answer = std::pin::pin!(one.try_send_request(request));
                self.in_time(answer, plan, sent_at).await
            }
            Sender::Many(seat) => {
                if tunnel::is_wanted(&request) {
                    let patience = course.backend.config().timeouts.connect;
                    if !Box::pin(seat.takes_tunnels(patience)).await {
                        return Tried::Failed(Error::new(ErrorKind::NoTunnel));
                    }
                    proof = Some(tunnel::ask(&mut request));
                }
                lines::many_form(&mut request, &target.endpoint);
                // Boxed, so that a request on a connection of its own carries no room for it.
                let answer = Box::pin(seat.sender().try_send_request(request));
                let mut answer = std::pin::pin!(answer);
                self.in_time(answer.as_mut(), plan, sent_at).await
            }
        };
        match answer {
            None => Tried::Failed(Error::new(ErrorKind::ResponseTimeout)),
            Some(Ok(mut response)) => {
                if let Some(proof) = proof {
                    tunnel::answer(&mut response, proof);
                }
                if let Sender::One(_) = sender {
                    if !check::is_framed(response.headers(), response.body()) {
                        return Tried::Failed(Error::new(ErrorKind::Malformed));
                    }
                    if !connect.is_zero() {
                        let keepalive = course.backend.config().timeouts.keepalive;
                        target.learn(response.headers(), keepalive);
                    }
                }
                course.answered(target, response.status().as_u16());
                Tried::Answered(Box::new(Sent {
                    response,
                    lease: Lease {
                        sender,
                        held,
                        idle_max: self.idle_max,
                    },
                    connect,
                    sent_at,
                    head_at: Instant::now(),
                }))
            }
            Some(Err(failed)) => not_answered(&sender, failed),
        }
    }
}

fn not_answered(
    sender: &Sender,
    mut failed: hyper::client::conn::TrySendError<Request<Outgoing>>,
) -> Tried {
    let message = failed.take_message();
    let error = failed.into_error();
    match (sender, message) {
        (Sender::One(_), Some(request)) => Tried::Unsent(Box::new(request), Error::speaking(error)),
        (Sender::Many(seat), Some(_)) => {
            seat.retire();
            Tried::Refused(Error::speaking(error))
        }
        (Sender::Many(seat), None) if Error::is_refusal(&error) => {
            if Error::is_farewell(&error) {
                seat.retire();
            }
            Tried::Refused(Error::speaking(error))
        }
        (_, None) => Tried::Failed(Error::speaking(error)),
    }
}

impl Group {
    fn new(backend: &Backend, generation: u64, old: Option<&Self>) -> Self {
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

    fn choose(&self, backend: &Backend, now: Instant, avoid: u64) -> usize {
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
}

impl<'a> Course<'a> {
    fn new(backend: &'a Backend, group: Rc<Group>, again: Again, now: Instant) -> Self {
        let place = group.choose(backend, now, 0);
        Self {
            backend,
            group,
            again,
            place,
            avoid: 0,
            fresh: false,
            repeated: false,
            unconnected: 0,
            slow: 0,
            unsent: 0,
        }
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

    fn unconnected(&mut self, error: Error) -> Result<(), Error> {
        if matches!(error.kind, ErrorKind::Local | ErrorKind::Busy) {
            return Err(error);
        }
        if error.kind.blames_backend() {
            self.blame();
        }
        self.unconnected += 1;
        self.slow += u32::from(error.kind == ErrorKind::ConnectTimeout);
        if self.unconnected >= PLACES || self.slow >= SLOW_PLACES || !self.elsewhere() {
            return Err(error);
        }
        self.backend.retried("connect");
        Ok(())
    }

    fn unsent(
        &mut self,
        back: Request<Outgoing>,
        error: Error,
        was_kept: bool,
    ) -> Result<Request<Outgoing>, Error> {
        self.unsent += 1;
        if (!was_kept && self.fresh) || self.unsent > UNSENT_TRIES {
            return Err(error);
        }
        self.fresh = !was_kept;
        self.backend.retried("unsent");
        Ok(back)
    }

    async fn refused(
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
        self.place = self.group.choose(self.backend, Instant::now(), 0);
        self.backend.retried("refused");
        Ok(request)
    }

    async fn failed(
        &mut self,
        error: Error,
        was_kept: bool,
        repeatable: bool,
        make: &mut dyn FnMut() -> Request<Outgoing>,
    ) -> Result<Request<Outgoing>, Error> {
        let closed = matches!(error.kind, ErrorKind::Closed | ErrorKind::Malformed);
        let raced = was_kept && closed;
        if !raced && error.kind.blames_backend() {
            self.blame();
        }
        let other = closed && self.group.targets.len() > 1;
        if !repeatable || self.repeated || !(raced || other) || !self.may_repeat() {
            return Err(error);
        }
        let Some(request) = self.again.next(make) else {
            return Err(error);
        };
        self.repeated = true;
        if raced {
            self.fresh = true;
            self.backend.retried("closed_idle");
        } else {
            if !self.elsewhere() {
                return Err(error);
            }
            jitter().await;
            self.backend.retried("failed");
        }
        Ok(request)
    }

    fn may_repeat(&self) -> bool {
        let asked = self.group.asked.replace(0);
        self.backend.may_repeat(asked.into())
    }

    fn blame(&self) {
        if self.group.counted {
            self.backend
                .failed(&self.group.targets[self.place].endpoint);
        }
    }

    fn answered(&self, target: &Target, status: u16) {
        if !self.group.counted {
            return;
        }
        if is_failure(status) {
            self.backend.failed(&target.endpoint);
        } else {
            target.endpoint.succeeded();
        }
    }
}

/// Returns whether an answer says that the application behind it does not work.
pub(super) fn is_failure(status: u16) -> bool {
    matches!(status, 502..=504)
}

async fn jitter() {
    let micros = clock::chance() % JITTER;
    tokio::time::sleep(Duration::from_micros(micros)).await;
}
