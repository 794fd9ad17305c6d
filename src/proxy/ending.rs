//! How a request ends: counted once, logged once, and offered to the shadow when it may be.
//!
//! An [`Ending`] lives as long as its answer. Dropping it before it was told how the answer ended
//! means that the client left.

use super::connection::Busy;
use super::gate::Place;
use super::service::Thread;
use crate::compare::Answer;
use crate::compare::CapturedBody;
use crate::model::NotComparable;
use crate::model::Outcome;
use crate::model::PairId;
use crate::model::Role;
use crate::model::Shed;
use crate::model::Side;
use crate::model::UnixMillis;
use crate::rules::Draws;
use crate::shadow::Asked;
use crate::shadow::Job;
use crate::shadow::Tee;
use crate::table::Lane;
use crate::table::Open;
use crate::table::StatusClass;
use crate::telemetry::access::Record;
use crate::telemetry::trace;
use crate::telemetry::trace::Spans;
use crate::upstream::ErrorKind;
use crate::upstream::Lease;
use crate::upstream::Permit;
use crate::upstream::Progress;
use crate::upstream::Sent;
use crate::upstream::head::Client;
use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::request::Parts;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An answer that has not ended by then is a stream, which is not compared.
const STREAM: Duration = Duration::from_secs(30);

/// What the shadow will need, gathered while the answer goes by.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) parts: Parts,
    pub(super) client: Client,
    pub(super) at: UnixMillis,
    pub(super) draws: Draws,
    /// The request's body, where it has one.
    pub(super) body: Option<Rc<RefCell<Tee>>>,
    pub(super) tee: Tee,
    pub(super) headers: HeaderMap,
    /// What names the version of the side, whether or not the client sees it.
    pub(super) version: Option<HeaderValue>,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) streams: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Open,
    Completed,
    Failed(ErrorKind),
}

/// What must happen when a request ends.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) thread: Rc<Thread>,
    pub(super) lane: Arc<Lane>,
    pub(super) id: PairId,
    pub(super) side: Side,
    pub(super) method: Method,
    pub(super) arrived: Instant,
    pub(super) open: Option<Open>,
    pub(super) watch: Option<Box<Watch>>,
    pub(super) record: Option<Box<Record>>,
    pub(super) upload: Option<Progress>,
    /// The request's place among those under way.
    pub(super) place: Option<Place>,
    /// Its spans, where they are made.
    pub(super) spans: Option<Box<Spans>>,
    pub(super) permit: Permit,
    /// Whether legacy was asked because the candidate had failed.
    fell_back: bool,
    busy: Busy,
    status: u16,
    bytes: u64,
    sent_at: Option<Instant>,
    head_at: Option<Instant>,
    lease: Option<Lease>,
    how: How,
    /// Whether all has come that was announced, though not yet the end.
    full: bool,
    ended_at: Option<Instant>,
}

impl Ending {
    #[expect(
        clippy::too_many_arguments,
        reason = "made in one place, from what the head decided"
    )]
    pub(super) fn new(
        thread: Rc<Thread>,
        lane: Arc<Lane>,
        id: PairId,
        side: Side,
        method: Method,
        arrived: Instant,
        open: Option<Open>,
        busy: Busy,
        record: Option<Box<Record>>,
    ) -> Self {
        lane.backend(side).add_active(1);
        Self {
            thread,
            lane,
            id,
            side,
            method,
            arrived,
            open,
            watch: None,
            record,
            busy,
            upload: None,
            place: None,
            spans: None,
            permit: Permit::default(),
            fell_back: false,
            status: 0,
            bytes: 0,
            sent_at: None,
            head_at: None,
            lease: None,
            how: How::Open,
            full: false,
            ended_at: None,
        }
    }

    /// Returns whether some of the client's body was not read so far.
    pub(super) fn unread(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| !upload.ended())
    }

    /// The answer names the version of its side, which edits may take out for clients.
    pub(super) fn version(&mut self, headers: &HeaderMap) {
        if let Some(watch) = &mut self.watch {
            watch.version = self.lane.version(self.side, headers);
        }
    }

    /// The head of the answer is here, as the client gets it.
    pub(super) fn head(
        &mut self,
        status: u16,
        times: (Instant, Instant, Duration),
        headers: &HeaderMap,
        lease: Option<Lease>,
    ) {
        let (sent_at, head_at, connect) = times;
        self.status = status;
        self.sent_at = Some(sent_at);
        self.head_at = Some(head_at);
        self.lease = lease;
        self.permit.answered(status);
        self.lane.observe_head(
            self.side,
            Role::Served,
            status,
            head_at.duration_since(sent_at),
        );
        if let Some(watch) = &mut self.watch {
            watch.headers = headers.clone();
        }
        if let Some(record) = &mut self.record {
            let before = sent_at.duration_since(self.arrived);
            record.queue_us = micros(before.saturating_sub(connect));
            record.connect_us = micros(connect);
            record.first_byte_us = micros(head_at.duration_since(self.arrived));
        }
    }

    /// A piece of the answer went by.
    pub(super) fn passed(&mut self, data: &Bytes) {
        self.bytes += data.len() as u64;
        let Some(watch) = &mut self.watch else { return };
        watch.tee.push(data);
        if watch.tee.is_over() && self.side == Side::Legacy {
            return self.decide(Outcome::NotComparable(NotComparable::TooLarge));
        }
        self.waits();
    }

    /// The trailers of the answer went by.
    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(watch) = &mut self.watch {
            watch.trailers = Some(trailers.clone());
        }
    }

    /// The answer goes on; decides whether it is a stream.
    pub(super) fn waits(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        if watch.streams || self.head_at.is_none_or(|head| head.elapsed() < STREAM) {
            return;
        }
        watch.streams = true;
        if self.side == Side::Legacy {
            self.decide(Outcome::NotComparable(NotComparable::Streaming));
        }
    }

    /// All has come that there will be: if nobody asks for more, the answer was whole.
    pub(super) fn full(&mut self) {
        self.full = true;
    }

    /// Returns whether the answer is one that never has a body (RFC 9110 section 6.4.1).
    pub(super) fn is_bodiless(&self) -> bool {
        self.method == Method::HEAD || matches!(self.status, 204 | 304)
    }

    /// Returns whether all has come that there will be.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// The answer ended whole, and all of it was taken.
    pub(super) fn completed(&mut self) {
        if self.how != How::Open {
            return;
        }
        self.how = How::Completed;
        let now = Instant::now();
        self.ended_at = Some(now);
        // A connection with an unsent request body is never kept.
        let unread = self.unread();
        // Some applications send a body after HEAD, which would be read as the next answer.
        let headless = self.method == Method::HEAD;
        if let Some(lease) = self.lease.take()
            && !unread
            && !headless
        {
            lease.give_back(now);
        }
    }

    /// The candidate failed and legacy is asked in its place: there is nothing to compare.
    pub(super) fn falls_back(&mut self, outcome: &Result<Sent, ErrorKind>) {
        match outcome {
            Ok(sent) => {
                let (status, took) = (sent.response.status().as_u16(), sent.took());
                self.permit.answered(status);
                self.lane
                    .observe_head(self.side, Role::Served, status, took);
            }
            Err(kind) => {
                self.permit.failed(*kind);
                self.lane
                    .observe_error(self.side, Role::Served, kind.as_str());
            }
        }
        self.lane.backend(self.side).add_active(-1);
        self.side = Side::Legacy;
        self.lane.backend(self.side).add_active(1);
        self.fell_back = true;
        if let Some(record) = &mut self.record {
            record.side = self.side;
            record.reason = "fallback";
        }
    }

    /// Returns whether legacy was asked because the candidate had failed.
    pub(super) fn fell_back(&self) -> bool {
        self.fell_back
    }

    /// The side failed, or the client's own body did.
    pub(super) fn failed(&mut self, kind: ErrorKind) {
        self.permit.failed(kind);
        if self.how == How::Open {
            self.how = How::Failed(kind);
        }
    }

    /// This proxy answers by itself.
    pub(super) fn answered_by_us(&mut self, status: u16) {
        self.status = status;
    }

    /// The client's connection becomes something else than HTTP.
    pub(super) fn becomes_tunnel(&self) {
        self.busy.becomes_tunnel();
    }

    /// Ends the watching with an outcome.
    pub(super) fn decide(&mut self, outcome: Outcome) {
        self.watch = None;
        if let Some(open) = self.open.take() {
            open.end(outcome);
        }
    }

    fn settle(&mut self, now: Instant) {
        match self.how {
            How::Open | How::Failed(ErrorKind::Client) => self.decide(Outcome::Aborted),
            How::Failed(ErrorKind::TooLarge) => self.decide(crate::table::REFUSED),
            How::Failed(_) if self.fell_back => self.decide(Outcome::BothError),
            How::Completed if self.fell_back => self.decide(Outcome::CandidateError),
            How::Failed(ErrorKind::Busy | ErrorKind::CircuitOpen) => {
                self.decide(crate::table::REFUSED);
            }
            How::Failed(ErrorKind::Local) => self.decide(Outcome::Shed(Shed::Local)),
            How::Failed(_) => self.decide(match self.side {
                Side::Legacy => Outcome::LegacyError,
                Side::Candidate => Outcome::CandidateError,
            }),
            How::Completed => self.offer(now),
        }
    }

    fn offer(&mut self, now: Instant) {
        let Some(watch) = self.watch.take() else {
            return self.decide(Outcome::Shed(Shed::Memory));
        };
        let Some((body, held)) = watch.tee.finish(true) else {
            return self.decide(Outcome::Shed(Shed::Memory));
        };
        let body = if watch.streams {
            CapturedBody::TooLarge {
                len: body.len(),
                complete: false,
            }
        } else {
            body
        };
        let mut holds = vec![held];
        let asked = match watch.body {
            None => Bytes::new(),
            Some(tee) => match Rc::try_unwrap(tee)
                .ok()
                .and_then(|t| t.into_inner().finish(true))
            {
                Some((CapturedBody::Whole(bytes), held)) => {
                    holds.push(held);
                    bytes
                }
                Some(_) => return self.decide(Outcome::NotComparable(NotComparable::TooLarge)),
                None => return self.decide(Outcome::Shed(Shed::Memory)),
            },
        };
        let job = Job {
            id: self.id,
            at: watch.at,
            lane: Arc::clone(&self.lane),
            open: self.open.take(),
            asked: Asked {
                parts: watch.parts,
                body: asked,
                client: watch.client,
            },
            side: self.side,
            served: Answer {
                status: self.status,
                headers: watch.headers,
                body: crate::shadow::body_by_rule(body, &self.method, self.status),
                trailers: watch.trailers,
            },
            version: watch.version,
            took: self.sent_at.map_or(Duration::ZERO, |sent| now - sent),
            draws: watch.draws,
            held: holds,
            offered: now,
            trace: self.copies(),
        };
        self.thread.shadow.offer(job, self.thread.number);
    }

    fn log(&mut self, now: Instant) {
        let Some(mut record) = self.record.take() else {
            return;
        };
        record.status = self.status;
        record.bytes = self.bytes;
        record.aborted = self.how == How::Open;
        record.error = match self.how {
            How::Failed(kind) => Some(kind.as_str()),
            How::Open | How::Completed => None,
        };
        record.total_us = micros(now.duration_since(self.arrived));
        let log = &self.thread.log;
        let logged = log.takes(&record);
        let spans = self.spans.take().filter(|spans| spans.sampled());
        let Some((tracer, spans)) = self.thread.tracer.as_ref().zip(spans) else {
            if logged {
                log.push(*record);
            }
            return;
        };
        if logged {
            log.push(Record::clone(&record));
        }
        tracer.request(trace::Request {
            spans: *spans,
            record: *record,
        });
    }

    /// Returns how copies of this request are traced.
    fn copies(&self) -> Option<trace::Copies> {
        let tracer = self.thread.tracer.as_ref()?;
        Some(tracer.copies(**self.spans.as_ref()?))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.full {
            self.completed();
        }
        let now = self.ended_at.unwrap_or_else(Instant::now);
        self.busy.ended(now);
        let took = now.duration_since(self.arrived);
        self.lane.backend(self.side).add_active(-1);
        match self.how {
            How::Open => {}
            How::Completed => {
                let class = StatusClass::of(self.status);
                self.lane.observe_request(self.side, class, took);
                self.lane.tally().served(self.side);
                if let Some(sent) = self.sent_at {
                    self.lane
                        .observe_end(self.side, Role::Served, now.duration_since(sent));
                }
            }
            How::Failed(kind) => {
                // The client's own doing, and what we lack or refuse, is no failure of the side.
                if !matches!(
                    kind,
                    ErrorKind::Client
                        | ErrorKind::TooLarge
                        | ErrorKind::Local
                        | ErrorKind::Busy
                        | ErrorKind::NoTunnel
                ) {
                    self.lane.tally().failed(self.side);
                }
                self.lane
                    .observe_request(self.side, StatusClass::ERROR, took);
                self.lane
                    .observe_error(self.side, Role::Served, kind.as_str());
            }
        }
        if self.open.is_some() || self.watch.is_some() {
            self.settle(now);
        }
        self.log(now);
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
