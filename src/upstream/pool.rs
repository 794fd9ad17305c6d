//! Kept connections of one thread, and what may be sent again.
//!
//! A request without a body and with a safe method is sent once more on a fresh connection when a
//! kept one closes under it (RFC 9110 section 9.2.2). Every other request takes a fresh connection
//! or one that was idle for less than a second, and once a byte of it may have left it is never
//! sent twice. What hyper hands back unsent may always be sent again.

use super::Backend;
use super::body::Outgoing;
use super::body::Progress;
use super::connect::Address;
use super::connect::Stream;
use super::deadline::Deadlines;
use super::error::Error;
use super::error::ErrorKind;
use http::Request;
use http::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

type Sender = http1::SendRequest<Outgoing>;

/// How long a connection may have been idle to carry a request that must not be sent twice.
const FRESH_ENOUGH: Duration = Duration::from_secs(1);

/// How many turns of the scheduler a kept connection gets to become ready.
const TURNS: usize = 3;

/// How often a request that was never written is tried on other connections.
const UNSENT_TRIES: usize = 8;

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

#[derive(Debug)]
struct Target {
    address: Address,
    keepalive: Duration,
    idle: RefCell<VecDeque<Idle>>,
}

/// The kept connections of one thread.
#[derive(Debug)]
pub struct Pool {
    backends: RefCell<Vec<Rc<[Rc<Target>]>>>,
    deadlines: Deadlines,
    idle_max: usize,
}

/// How a request is to be sent.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Safe and without a body: may be sent again on a fresh connection.
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

/// A connection in use. Dropping it closes the connection.
#[derive(Debug)]
pub struct Lease {
    sender: Sender,
    target: Rc<Target>,
    idle_max: usize,
}

impl Lease {
    /// Keeps the connection for the next request; only for an answer that ended whole.
    pub fn give_back(self, now: Instant) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.target.idle.borrow_mut();
        if idle.len() >= self.idle_max {
            idle.pop_front();
        }
        idle.push_back(Idle {
            sender: self.sender,
            since: now,
        });
    }
}

enum Tried {
    Answered(Box<Sent>),
    Unsent(Box<Request<Outgoing>>, Error),
    Failed(Error),
}

impl Pool {
    /// Makes a pool that keeps at most `idle_max` connections to each address.
    pub fn new(idle_max: usize) -> Self {
        Self {
            backends: RefCell::default(),
            deadlines: Deadlines::default(),
            idle_max: idle_max.max(1),
        }
    }

    /// Sends a request to one of a backend's addresses, in turn, and waits for the answer's head.
    ///
    /// `make` is called once, and once more when a repeatable request met a closed connection.
    pub async fn send(
        &self,
        backend: &Backend,
        plan: Plan<'_>,
        make: &mut dyn FnMut() -> Request<Outgoing>,
    ) -> Result<Sent, Error> {
        let targets = self.targets(backend);
        if targets.is_empty() {
            return Err(Error::new(ErrorKind::NoAddress));
        }
        let first = backend.turn();
        let mut refused = 0;
        let mut sent_again = false;
        let mut fresh = false;
        let mut request = make();
        for _ in 0..UNSENT_TRIES + targets.len() {
            let target = &targets[(first + refused) % targets.len()];
            let kept = if fresh {
                None
            } else {
                target.take(&plan).await
            };
            let was_kept = kept.is_some();
            let (sender, connect) = if let Some(sender) = kept {
                (sender, Duration::ZERO)
            } else {
                let started = Instant::now();
                // Boxed, since it is rare: a request on a kept connection carries no room for it.
                match Box::pin(target.connect(backend.config().timeouts.connect)).await {
                    Ok(sender) => (sender, started.elapsed()),
                    Err(error) => {
                        refused += 1;
                        if refused >= targets.len() {
                            return Err(error);
                        }
                        continue;
                    }
                }
            };
            match self.try_on(target, sender, request, &plan, connect).await {
                Tried::Answered(sent) => return Ok(*sent),
                Tried::Unsent(back, error) => {
                    if !was_kept && fresh {
                        return Err(error);
                    }
                    fresh = !was_kept;
                    request = *back;
                }
                Tried::Failed(error) => {
                    let raced =
                        was_kept && matches!(error.kind, ErrorKind::Closed | ErrorKind::Malformed);
                    if !plan.repeatable || sent_again || !raced {
                        return Err(error);
                    }
                    sent_again = true;
                    fresh = true;
                    request = make();
                }
            }
        }
        Err(Error::new(ErrorKind::Closed))
    }

    /// Ends the waiting of requests whose deadline has passed. The owner calls it at every
    /// [`BEAT`](super::BEAT).
    pub fn expire(&self, now: Instant) {
        self.deadlines.sweep(now);
    }

    /// Drops connections that were idle for longer than their backend allows.
    pub fn sweep(&self, now: Instant) {
        for targets in self.backends.borrow().iter() {
            for target in targets.iter() {
                let mut idle = target.idle.borrow_mut();
                idle.retain(|kept| {
                    now.duration_since(kept.since) < target.keepalive && !kept.sender.is_closed()
                });
            }
        }
    }

    fn targets(&self, backend: &Backend) -> Rc<[Rc<Target>]> {
        let addresses = backend.addresses.load();
        let mut backends = self.backends.borrow_mut();
        if backends.len() <= backend.id() {
            backends.resize_with(backend.id() + 1, || Rc::new([]));
        }
        let targets = &mut backends[backend.id()];
        let same = targets.len() == addresses.len()
            && targets
                .iter()
                .zip(addresses.iter())
                .all(|(t, a)| t.address == *a);
        if !same {
            let old = Rc::clone(targets);
            *targets = addresses
                .iter()
                .map(|address| {
                    let kept = old.iter().find(|t| t.address == *address);
                    kept.map_or_else(
                        || {
                            Rc::new(Target {
                                address: address.clone(),
                                keepalive: backend.config().timeouts.keepalive,
                                idle: RefCell::default(),
                            })
                        },
                        Rc::clone,
                    )
                })
                .collect();
        }
        Rc::clone(targets)
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
        target: &Rc<Target>,
        mut sender: Sender,
        request: Request<Outgoing>,
        plan: &Plan<'_>,
        connect: Duration,
    ) -> Tried {
        let sent_at = Instant::now();
        let answer = sender.try_send_request(request);
        let answer = std::pin::pin!(answer);
        match self.in_time(answer, plan, sent_at).await {
            None => Tried::Failed(Error::new(ErrorKind::ResponseTimeout)),
            Some(Ok(response)) => Tried::Answered(Box::new(Sent {
                response,
                lease: Lease {
                    sender,
                    target: Rc::clone(target),
                    idle_max: self.idle_max,
                },
                connect,
                sent_at,
                head_at: Instant::now(),
            })),
            Some(Err(mut failed)) => match failed.take_message() {
                Some(request) => {
                    Tried::Unsent(Box::new(request), Error::speaking(failed.into_error()))
                }
                None => Tried::Failed(Error::speaking(failed.into_error())),
            },
        }
    }
}

impl Target {
    async fn take(&self, plan: &Plan<'_>) -> Option<Sender> {
        let limit = if plan.repeatable {
            self.keepalive
        } else {
            self.keepalive.min(FRESH_ENOUGH)
        };
        loop {
            let sender = {
                let mut idle = self.idle.borrow_mut();
                let newest = idle.back()?;
                if plan.now.duration_since(newest.since) >= limit {
                    return None;
                }
                idle.pop_back()?.sender
            };
            // Where the last answer has only just ended, the connection's own task must run first.
            for _ in 0..TURNS {
                if sender.is_ready() {
                    return Some(sender);
                }
                if sender.is_closed() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    async fn connect(&self, patience: Duration) -> Result<Sender, Error> {
        let stream = Stream::connect(&self.address, patience).await?;
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(256)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Error::speaking)?;
        tokio::task::spawn_local(async move {
            // How a connection ended is told to the request it carried.
            if let Err(error) = connection.with_upgrades().await {
                tracing::trace!(%error, "a connection to a backend ended");
            }
        });
        Ok(sender)
    }
}
