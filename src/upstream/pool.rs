//! Sends requests over the kept connections of one thread. What follows where a try fails is decided
//! in `course`.

use super::Backend;
use super::body::Outgoing;
use super::body::Progress;
use super::check;
use super::course::Course;
use super::deadline::Deadlines;
use super::error::Error;
use super::error::ErrorKind;
use super::group::Group;
use super::lines;
use super::replay::Again;
use super::target::Held;
use super::target::Sender;
use super::tunnel;
use http::Request;
use http::Response;
use hyper::body::Incoming;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// The kept connections of one thread.
#[derive(Debug)]
pub struct Pool {
    /// What it has of each backend, by the backend's number.
    groups: RefCell<BTreeMap<usize, Rc<Group>>>,
    deadlines: Deadlines,
    idle_max: usize,
    /// Whether what its requests meet is held for and against endpoints.
    judges: bool,
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

/// Why a try gave no answer.
enum Missed {
    /// A connection of its own gave it back.
    Unsent(Box<Request<Outgoing>>, Error),
    /// A shared connection did not take it, or the application did not look at it.
    Refused(Error),
    Failed(Error),
}

impl Pool {
    /// Makes a pool of clients' requests that keeps at most `idle_max` connections to each address.
    pub fn new(idle_max: usize) -> Self {
        Self {
            groups: RefCell::default(),
            deadlines: Deadlines::default(),
            idle_max: idle_max.max(1),
            judges: true,
        }
    }

    /// Makes a pool of copies: how endpoints are, and what clients' requests may be repeated, is the
    /// same whatever happens to them.
    pub fn of_copies(idle_max: usize) -> Self {
        Self {
            judges: false,
            ..Self::new(idle_max)
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
        let mut course = Course::new(backend, group, self.judges, again, plan.now);
        let mut now = plan.now;
        loop {
            let held = Held::new(course.target(), course.group.counted);
            let kept = if course.fresh {
                None
            } else {
                held.target.take(now, plan.repeatable, tunnel).await
            };
            let was_kept = kept.is_some();
            let connected = if let Some(sender) = kept {
                Ok((sender, Duration::ZERO))
            } else {
                let started = Instant::now();
                // Boxed, since it is rare: a request on a kept connection carries no room for it.
                let dialed = Box::pin(held.target.connect(backend, course.fresh, tunnel)).await;
                dialed.map(|sender| (sender, started.elapsed()))
            };
            match connected {
                Err(error) => course.unconnected(error)?,
                Ok((sender, connect)) => {
                    let tried = self
                        .try_on(&course, held, sender, &mut request, &plan, connect)
                        .await;
                    request = Some(match tried {
                        Ok(sent) => return Ok(sent),
                        Err(Missed::Unsent(back, error)) => {
                            course.unsent(*back, error, was_kept)?
                        }
                        Err(Missed::Refused(error)) => {
                            Box::pin(course.refused(error, make)).await?
                        }
                        Err(Missed::Failed(error)) => {
                            Box::pin(course.failed(error, was_kept, plan.repeatable, make)).await?
                        }
                    });
                }
            }
            // Time has passed, by which kept connections are judged.
            now = Instant::now();
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
        let mut groups = self.groups.borrow_mut();
        groups.retain(|_, group| group.sweep(now));
    }

    fn group(&self, backend: &Backend) -> Rc<Group> {
        let generation = backend.generation();
        let mut groups = self.groups.borrow_mut();
        let known = groups.get(&backend.id());
        if let Some(group) = known
            && group.generation == generation
        {
            return Rc::clone(group);
        }
        let group = Rc::new(Group::new(backend, generation, known.map(|known| &**known)));
        groups.insert(backend.id(), Rc::clone(&group));
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
        held: Held,
        mut sender: Sender,
        request: &mut Option<Request<Outgoing>>,
        plan: &Plan<'_>,
        connect: Duration,
    ) -> Result<Sent, Missed> {
        let target = &held.target;
        // By reference, since what is moved into a future is copied with it.
        let Some(mut request) = request.take() else {
            return Err(Missed::Failed(Error::new(ErrorKind::Local)));
        };
        let sent_at = Instant::now();
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
                        return Err(Missed::Failed(Error::new(ErrorKind::NoTunnel)));
                    }
                    proof = Some(tunnel::ask(&mut request));
                }
                lines::many_form(&mut request, &target.endpoint);
                // Boxed, so that a request on a connection of its own carries no room for it.
                let mut answer = Box::pin(seat.sender().try_send_request(request));
                self.in_time(answer.as_mut(), plan, sent_at).await
            }
        };
        match answer {
            None => Err(Missed::Failed(Error::new(ErrorKind::ResponseTimeout))),
            Some(Ok(mut response)) => {
                if let Some(proof) = proof {
                    tunnel::answer(&mut response, proof);
                }
                if let Sender::One(_) = sender {
                    if !check::is_framed(response.headers(), response.body()) {
                        return Err(Missed::Failed(Error::new(ErrorKind::Malformed)));
                    }
                    if !connect.is_zero() {
                        let keepalive = course.backend.config().timeouts.keepalive;
                        target.learn(response.headers(), keepalive);
                    }
                }
                course.answered(target, response.status().as_u16());
                Ok(Sent {
                    response,
                    lease: Lease {
                        sender,
                        held,
                        idle_max: self.idle_max,
                    },
                    connect,
                    sent_at,
                    head_at: Instant::now(),
                })
            }
            Some(Err(failed)) => Err(not_answered(&sender, failed)),
        }
    }
}

fn not_answered(
    sender: &Sender,
    mut failed: hyper::client::conn::TrySendError<Request<Outgoing>>,
) -> Missed {
    let message = failed.take_message();
    let error = failed.into_error();
    match (sender, message) {
        (Sender::One(_), Some(request)) => {
            Missed::Unsent(Box::new(request), Error::speaking(error))
        }
        (Sender::Many(seat), Some(_)) => {
            seat.retire();
            Missed::Refused(Error::speaking(error))
        }
        (Sender::Many(seat), None) if Error::is_refusal(&error) => {
            if Error::is_farewell(&error) {
                seat.retire();
            }
            Missed::Refused(Error::speaking(error))
        }
        (_, None) => Missed::Failed(Error::speaking(error)),
    }
}
