//! One call of a side on a shadow thread: sent, captured, measured, under its own deadline.

use super::job::Asked;
use super::job::Job;
use super::memory::Held;
use super::memory::Memory;
use super::tee::Tee;
use crate::compare::Answer;
use crate::compare::CapturedBody;
use crate::model::Role;
use crate::model::Side;
use crate::telemetry::trace::Context;
use crate::telemetry::trace::Copied;
use crate::telemetry::trace::Copies;
use crate::upstream::ErrorKind;
use crate::upstream::Outgoing;
use crate::upstream::Plan;
use crate::upstream::Pool;
use crate::upstream::Sent;
use crate::upstream::ended_whole;
use crate::upstream::head::Leg;
use crate::upstream::head::Noticed;
use crate::upstream::head::Passage;
use http::HeaderValue;
use http::Method;
use http_body::Body;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// How late a thread may notice that a deadline has passed before the delay is called its own.
const LATE: Duration = Duration::from_millis(100);

/// An answer to a copy.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) answer: Answer,
    /// What named the version of the side, which clients may not see.
    pub(super) version: Option<HeaderValue>,
    /// From the request sent to the head of the answer.
    pub(super) first_byte: Duration,
    /// From the request sent to the end of the answer.
    pub(super) took: Duration,
    /// Whether it came on a connection that had been used before.
    pub(super) warm: bool,
    _held: Held,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// No complete HTTP answer.
    Error(ErrorKind),
    /// The deadline passed.
    Timeout,
    /// No memory to keep it.
    Memory,
    /// Our own fault.
    Local,
}

/// How much of an answer is kept, and how far its length is counted beyond that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) limit: u64,
    /// Reading stops once this many bytes came by.
    pub(super) count_to: u64,
}

/// Sends a copy and captures the answer.
pub(super) async fn call(
    pool: &Pool,
    job: &Job,
    side: Side,
    role: Role,
    keep: Keep,
    memory: &Memory,
) -> Result<Called, Failed> {
    let backend = job.lane.backend(side);
    let slice = job.lane.slice().ok_or(Failed::Local)?;
    let response = backend.config().timeouts.response;
    let patience = slice.shadow.timeout.max(job.took * 2).min(response);
    let asked = &job.asked;
    let (passage, leg) = (job.lane.passage(side), Leg::copy(role, job.side));
    let now = Instant::now();
    let plan = Plan {
        repeatable: asked.body.is_empty() && asked.parts.method.is_safe(),
        progress: None,
        response: patience,
        now,
    };
    let connect = backend.config().timeouts.connect;
    let deadline = now + connect + patience;
    let traced = job.trace.as_ref().map(|trace| (trace, trace.begin()));
    let mut make = || {
        let mut request = copy_of(asked, passage, leg);
        if let Some((_, (context, _))) = traced {
            Copies::carry(context, request.headers_mut());
        }
        request
    };
    let whole = async {
        let sent = pool
            .send(backend, plan, &mut make)
            .await
            .map_err(|error| Failed::of(error.kind))?;
        let status = sent.response.status().as_u16();
        let first_byte = sent.head_at.duration_since(sent.sent_at);
        job.lane.observe_head(side, role, status, first_byte);
        let deadline = sent.sent_at + patience;
        let captured = capture(sent, &asked.parts.method, keep, memory);
        match tokio::time::timeout_at(deadline, captured).await {
            Ok(done) => done,
            Err(_) => Err(timed_out(deadline)),
        }
    };
    let done = match tokio::time::timeout_at(deadline, whole).await {
        Ok(done) => done,
        Err(_) => Err(timed_out(deadline)),
    };
    let done = done.map(|called| as_clients_see(called, job, side));
    observe(job, side, role, &done);
    if let Some((trace, begun)) = traced {
        trace.ended(copied(job, (side, role), begun, now.elapsed(), &done));
    }
    done
}

/// Returns what the span of a copy tells.
fn copied(
    job: &Job,
    (side, role): (Side, Role),
    (context, started): (Context, u64),
    took: Duration,
    done: &Result<Called, Failed>,
) -> Copied {
    Copied {
        context,
        started,
        took,
        slice: job.lane.id().clone(),
        side,
        role,
        method: job.asked.parts.method.clone(),
        done: match done {
            Ok(called) => Ok(called.answer.status),
            Err(failed) => Err(failed.as_str()),
        },
    }
}

fn timed_out(deadline: Instant) -> Failed {
    if Instant::now().duration_since(deadline) > LATE {
        Failed::Local
    } else {
        Failed::Timeout
    }
}

impl Failed {
    /// That as many requests are under way as we allow says nothing about the side.
    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Local | ErrorKind::Busy => Self::Local,
            ErrorKind::ResponseTimeout => Self::Timeout,
            kind => Self::Error(kind),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Error(kind) => kind.as_str(),
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Local => "local",
        }
    }
}

fn copy_of(asked: &Asked, passage: &Passage, leg: Leg) -> http::Request<Outgoing> {
    let body = Outgoing::whole(asked.body.clone());
    // What there was to notice was noticed on the way to the side that served.
    let noticed = &mut Noticed::default();
    passage.request(&asked.parts, &asked.client, leg, noticed, body)
}

/// An answer is compared as a client would have got it, with its references moved back. The version
/// is what the side said, whether or not clients see it.
fn as_clients_see(mut called: Called, job: &Job, side: Side) -> Called {
    let (asked, passage) = (&job.asked, job.lane.passage(side));
    let headers = std::mem::take(&mut called.answer.headers);
    called.version = job.lane.version(side, &headers);
    let origin = passage.origin(&asked.parts, &asked.client);
    called.answer.headers = passage.answer(headers, origin.as_ref());
    called
}

fn observe(job: &Job, side: Side, role: Role, done: &Result<Called, Failed>) {
    match done {
        Ok(called) => {
            job.lane.observe_end(side, role, called.took);
            job.lane.observe_cookies(side, &called.answer.headers);
        }
        Err(failed) => job.lane.observe_error(side, role, failed.as_str()),
    }
}

async fn capture(
    sent: Sent,
    method: &Method,
    keep: Keep,
    memory: &Memory,
) -> Result<Called, Failed> {
    let (parts, mut body) = sent.response.into_parts();
    let mut tee = Tee::new(keep.limit, memory);
    let mut trailers = None;
    let mut complete = true;
    while let Some(frame) = next_frame(&mut body).await {
        let frame = frame.map_err(|_| Failed::Error(ErrorKind::Closed))?;
        match frame.into_data() {
            Ok(data) => tee.push(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if tee.len() > keep.count_to {
            complete = body.is_end_stream();
            break;
        }
    }
    if complete && !ended_whole(&body, parts.version) {
        return Err(Failed::Error(ErrorKind::Closed));
    }
    let now = Instant::now();
    let took = now.duration_since(sent.sent_at);
    if complete {
        sent.lease.give_back(now);
    }
    let (captured, held) = tee.finish(complete).ok_or(Failed::Memory)?;
    Ok(Called {
        answer: Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: by_rule(captured, method, parts.status.as_u16()),
            trailers,
        },
        version: None,
        first_byte: sent.head_at.duration_since(sent.sent_at),
        took,
        warm: sent.connect.is_zero(),
        _held: held,
    })
}

/// HEAD, 204 and 304 have no body by rule (RFC 9110 section 6.4.1).
pub(crate) fn by_rule(body: CapturedBody, method: &Method, status: u16) -> CapturedBody {
    if method == Method::HEAD || status == 204 || status == 304 {
        CapturedBody::Absent
    } else {
        body
    }
}

async fn next_frame<B: Body + Unpin>(
    body: &mut B,
) -> Option<Result<http_body::Frame<B::Data>, B::Error>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_lack_is_not_the_fault_of_a_side() {
        assert_eq!(Failed::of(ErrorKind::Local), Failed::Local);
        assert_eq!(Failed::of(ErrorKind::Busy), Failed::Local);
        assert_eq!(Failed::of(ErrorKind::ResponseTimeout), Failed::Timeout);
        let closed = ErrorKind::Closed;
        assert_eq!(Failed::of(closed), Failed::Error(closed));
    }
}
