//! One request from head to answer.

use super::answer;
use super::answer::Refusal;
use super::body::Body;
use super::body::IdleTimer;
use super::connection::State;
use super::ending::Ending;
use super::ending::Watch;
use super::fallback;
use super::gate::Gate;
use super::gate::Place;
use super::http2::Pace;
use super::http2::Terms;
use super::upgrade::declined;
use super::upgrade::switch;
use super::upload::Accept;
use super::upload::Expectation;
use super::upload::Upload;
use crate::clock;
use crate::model::NotMirrored;
use crate::model::Outcome;
use crate::model::PairId;
use crate::model::Shed;
use crate::model::Side;
use crate::model::SliceId;
use crate::model::Stage;
use crate::rules;
use crate::rules::Decision;
use crate::rules::Mirror;
use crate::shadow::Shadow;
use crate::shadow::Tee;
use crate::table::Excluded;
use crate::table::Lane;
use crate::table::Open;
use crate::table::REFUSED;
use crate::table::Reader;
use crate::table::Table;
use crate::telemetry::Metrics;
use crate::telemetry::access::Record;
use crate::telemetry::access::Sink;
use crate::telemetry::access::bounded;
use crate::telemetry::access::query_names;
use crate::telemetry::trace::Spans;
use crate::telemetry::trace::Tracer;
use crate::upstream::Backend;
use crate::upstream::ErrorKind;
use crate::upstream::Outgoing;
use crate::upstream::Plan;
use crate::upstream::Pool;
use crate::upstream::Progress;
use crate::upstream::Sent;
use crate::upstream::head;
use crate::upstream::head::Client;
use crate::upstream::head::Leg;
use crate::upstream::head::Noticed;
use crate::upstream::head::Origin;
use crate::upstream::head::Passage;
use http::HeaderMap;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http::request::Parts;
use hyper::body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What one data-plane thread works with.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) number: usize,
    pub(super) tables: Reader,
    pub(super) shadow: Shadow,
    pub(super) pool: Pool,
    pub(super) log: Sink,
    pub(super) metrics: Metrics,
    pub(super) body_limit: Option<u64>,
    pub(super) gate: Arc<Gate>,
    /// Makes spans, where somebody wants them.
    pub(super) tracer: Option<Tracer>,
    /// The process is on its way out, which clients are told with each answer.
    pub(super) leaving: Cell<bool>,
}

/// Answers one client request. The order of the steps is the contract:
///
/// 1. Pin the table. The request sees one set of rules to its end, whatever is published meanwhile.
/// 2. Decide. Pure: the same head, snapshot and chance give the same decision, which `explain`
///    prints.
/// 3. Forward to the primary, streaming. A failure becomes a response here and nowhere else.
/// 4. Watch the answer go by, if the decision asked for a mirror.
///
/// Nothing here waits for the mirror, and no failure of it can reach the client: the shadow is
/// offered a copy when the answer has ended, and drops it when it has no room.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) thread: Rc<Thread>,
    pub(super) client: Client,
    /// How long a client's body may stand still.
    pub(super) body_idle: Duration,
    pub(super) connection: Rc<State>,
    /// The version of TLS that the client speaks.
    pub(super) tls: Option<&'static str>,
    /// On what terms its requests are taken, if the client speaks HTTP/2.
    pub(super) http2: Option<Terms>,
}

/// What of a request goes on: its head, its body, and whether it wishes to become a tunnel.
struct Asking {
    parts: Parts,
    body: Incoming,
    tunnel: bool,
}

impl Proxy {
    /// Answers a request, and sees to the end of a connection on which another protocol was asked for
    /// and no tunnel came of it, whatever was answered.
    pub(super) async fn answer(
        self: Rc<Self>,
        mut request: Request<Incoming>,
        client_pace: Option<Pace>,
    ) -> Response<Body> {
        let asks = match self.http2 {
            None => request.headers().contains_key(header::UPGRADE),
            Some(_) => request.method() == Method::CONNECT,
        };
        let mut upgrade = asks.then(|| hyper::upgrade::on(&mut request));
        let response = self.serve(request, &mut upgrade, client_pace).await;
        if let Some(client) = upgrade
            && self.http2.is_none()
        {
            declined(client, &self.connection);
        }
        response
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
        upgrade: &mut Option<OnUpgrade>,
        client_pace: Option<Pace>,
    ) -> Response<Body> {
        let arrived = Instant::now();
        let busy = self.connection.busy();
        let table = self.thread.tables.pin();
        let (mut parts, body) = request.into_parts();
        let chance = clock::chance();
        let unread = !body.is_end_stream();
        let (place, decision) = match self.admit(&table, &mut parts, chance) {
            Ok(admitted) => admitted,
            Err(why) => return self.refuse(table.lane(None), why, &parts, unread),
        };
        let lane = Arc::clone(table.lane(decision.slice));
        drop(table);
        if self.is_too_large(&parts.headers) {
            return self.refuse(&lane, Refusal::Body, &parts, unread);
        }
        let (open, watched, mirror) = Self::count(&lane, &decision, &parts, arrived);
        let id = PairId(chance);
        let (spans, record) = self.observed(&lane, &decision, &parts, id, mirror);
        let side = decision.primary;
        let method = parts.method.clone();
        let thread = Rc::clone(&self.thread);
        let mut ending = Ending::new(thread, lane, id, side, method, arrived, open, busy, record);
        ending.place = Some(place);
        ending.spans = spans;
        let tunnel = upgrade.is_some() && head::wants_upgrade(&parts.headers);
        let asking = Asking {
            parts,
            body,
            tunnel,
        };
        match self.forward(&mut ending, asking, &decision, watched).await {
            Ok(answer) => self.relay(ending, answer, (tunnel, upgrade), client_pace),
            Err(kind) => {
                let mut response = match self.connection.refused() {
                    Some(reason) if kind == ErrorKind::Client => answer::refused(reason),
                    _ => answer::failed(kind),
                };
                self.end_connection(ending.unread(), response.headers_mut());
                ending.failed(kind);
                ending.answered_by_us(response.status().as_u16());
                response
            }
        }
    }

    /// Returns a request's place among those under way and what the rules say of it, if nothing in its
    /// head speaks against it.
    fn admit(
        &self,
        table: &Table,
        parts: &mut Parts,
        chance: u64,
    ) -> Result<(Place, Decision), Refusal> {
        let gate = &self.thread.gate;
        self.connection.asked(gate.requests);
        let place = gate.enter().ok_or(Refusal::Busy)?;
        if let Some(terms) = &self.http2 {
            terms.prepare(parts)?;
        }
        if parts.method == Method::CONNECT {
            return Err(Refusal::Connect);
        }
        if head::hops_left(parts) == Some(0) {
            return Err(Refusal::LastHop);
        }
        let passage = table.lane(None).passage(Side::Legacy);
        if passage.refuses(&parts.headers) {
            return Err(Refusal::Underscore);
        }
        match rules::decide(&table.snapshot, &head::view(parts), chance, &mut ()) {
            Ok(decision) => Ok((place, decision)),
            Err(rules::Refused::Path) => Err(Refusal::Path),
        }
    }

    fn is_too_large(&self, headers: &HeaderMap) -> bool {
        let Some(limit) = self.thread.body_limit else {
            return false;
        };
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        length.is_some_and(|length| length > limit)
    }

    /// Counts the request, and returns whether it is watched (its outcome is open, or legacy is to
    /// be asked again for its own sake), and what is known of its outcome in one word.
    fn count(
        lane: &Arc<Lane>,
        decision: &Decision,
        parts: &Parts,
        now: Instant,
    ) -> (Option<Open>, bool, &'static str) {
        let tally = lane.tally();
        if decision.position.stage() == Stage::Retired && decision.primary == Side::Legacy {
            tally.retired_hit();
        }
        match decision.mirror {
            Mirror::Copy if !lane.copy_passes(now) => {
                tally.ended(Outcome::SampledOut);
                (None, false, Outcome::SampledOut.name())
            }
            Mirror::Copy if lane.is_stuck() => {
                let outcome = Outcome::Shed(Shed::Inflight);
                tally.ended(outcome);
                (None, false, outcome.name())
            }
            Mirror::Copy => (Some(tally.open()), true, "pending"),
            Mirror::ControlOnly => {
                let outcome = Outcome::NotMirrored(NotMirrored::Stage);
                tally.ended(outcome);
                (None, lane.copy_passes(now), outcome.name())
            }
            Mirror::Ended(outcome) => {
                tally.ended(outcome);
                if outcome.reason() == "excluded" {
                    let known = lane.known();
                    let endpoint = known.endpoint(parts.method.as_str(), parts.uri.path());
                    lane.notes().excluded(&endpoint, Excluded::Rule);
                }
                (None, false, outcome.name())
            }
        }
    }

    /// Says with an answer of HTTP/1 that the connection ends, where it does: what was not read of a
    /// body stands in the way of the next request, or the process is on its way out. On HTTP/2 the
    /// stream is reset without an error, and the connection ends by a frame.
    fn end_connection(&self, unread: bool, headers: &mut HeaderMap) {
        if (unread || self.thread.leaving.get()) && self.http2.is_none() {
            answer::close(headers);
        }
    }

    fn refuse(&self, lane: &Lane, why: Refusal, parts: &Parts, unread: bool) -> Response<Body> {
        lane.tally().ended(REFUSED);
        answer::count_refused(&self.thread.metrics, why.as_str());
        let mut response = match why {
            Refusal::LastHop if parts.method == Method::TRACE => {
                answer::reflected(head::reflection(parts))
            }
            why => why.response(),
        };
        self.end_connection(unread, response.headers_mut());
        response
    }

    /// Counts what was noticed in the head of a request.
    fn notice(&self, noticed: Noticed) {
        let metrics = &self.thread.metrics;
        let name = "supplant_request_fields_dropped_total";
        for (reason, count) in noticed.dropped() {
            if count > 0 {
                metrics.counter(name, &[reason]).inc_by(count.into());
            }
        }
        if noticed.looped {
            let name = "supplant_requests_looped_total";
            metrics.counter(name, &[]).inc();
        }
    }

    async fn forward(
        &self,
        ending: &mut Ending,
        asking: Asking,
        decision: &Decision,
        watched: bool,
    ) -> Result<Answered, ErrorKind> {
        let Asking {
            parts,
            body,
            tunnel,
        } = asking;
        let backend = Arc::clone(ending.lane.backend(ending.side));
        let timeouts = &backend.config().timeouts;
        let has_body = !body.is_end_stream();
        let limit = ending.lane.slice().map_or(0, |s| s.shadow.body_limit);
        let memory = self.thread.shadow.memory();
        let request_tee =
            (watched && has_body).then(|| Rc::new(RefCell::new(Tee::new(limit, memory))));
        let mut body = Some(body);
        let progress = has_body.then(|| Progress::new(ending.arrived));
        ending.upload.clone_from(&progress);
        let passage = ending.lane.passage(ending.side);
        let mut noticed = Noticed::default();
        let spans = ending.spans.as_deref();
        let mut make = || {
            let body = body.take().filter(|_| has_body);
            let upload = body.zip(progress.clone());
            let head = (&parts, passage, &mut noticed, spans);
            self.outgoing(head, upload, request_tee.clone())
        };
        let safe = parts.method.is_safe() && !has_body;
        let plan = Plan {
            repeatable: safe || is_keyed(&backend, &parts),
            progress: progress.as_ref(),
            response: timeouts.response,
            now: ending.arrived,
        };
        let (permit, mut sent) = self.ask(ending.side, &backend, plan, &mut make).await;
        if !noticed.is_empty() {
            self.notice(noticed);
        }
        let (mut origin, mut idle) = (passage.origin(&parts, &self.client), timeouts.idle);
        ending.permit = permit;
        if fallback::takes(ending, decision, safe && !tunnel, &sent) {
            ending.falls_back(&sent);
            drop(sent);
            // Boxed, since it is rare.
            (sent, origin, idle) = Box::pin(self.ask_legacy(ending, &parts)).await;
        }
        let sent = sent?;
        if watched && !ending.fell_back() {
            ending.watch = Some(Box::new(Watch {
                parts,
                client: self.client.clone(),
                at: clock::now(),
                draws: decision.draws,
                body: request_tee,
                tee: Tee::new(limit, memory),
                headers: HeaderMap::new(),
                version: None,
                trailers: None,
                streams: false,
            }));
        }
        Ok(Answered { sent, origin, idle })
    }

    pub(super) fn outgoing(
        &self,
        head: (&Parts, &Passage, &mut Noticed, Option<&Spans>),
        upload: Option<(Incoming, Progress)>,
        tee: Option<Rc<RefCell<Tee>>>,
    ) -> Request<Outgoing> {
        let (parts, passage, noticed, spans) = head;
        let (body, accept) = match upload {
            None => (Outgoing::Empty, None),
            Some(upload) => self.upload(parts, upload, tee),
        };
        let mut request = passage.request(parts, &self.client, Leg::SERVED, noticed, body);
        if let Some(spans) = spans {
            spans.carry(request.headers_mut());
        }
        if let Some(accept) = accept {
            accept.when_continued(&mut request);
        }
        request
    }

    /// Makes a client's body one that streams on, and what opens it where the client waits for a
    /// `100 Continue`.
    fn upload(
        &self,
        parts: &Parts,
        (inner, progress): (Incoming, Progress),
        tee: Option<Rc<RefCell<Tee>>>,
    ) -> (Outgoing, Option<Accept>) {
        let expects = parts
            .headers
            .get(header::EXPECT)
            .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let (expectation, accept) = expects.then(Expectation::new).unzip();
        let upload = Upload {
            inner,
            version: parts.version,
            progress,
            idle: IdleTimer::new(self.body_idle),
            connection: Rc::clone(&self.connection),
            left: self.thread.body_limit,
            expectation,
            tee,
        };
        (Outgoing::Streamed(Box::pin(upload)), accept)
    }

    /// Turns a side's answer into the client's. Takes `upgrade` if it becomes a tunnel, which was asked
    /// for by `tunnel`.
    fn relay(
        &self,
        mut ending: Ending,
        answered: Answered,
        (tunnel, upgrade): (bool, &mut Option<OnUpgrade>),
        pace: Option<Pace>,
    ) -> Response<Body> {
        let Answered { sent, origin, idle } = answered;
        self.connection.set_patience(idle);
        let mut response = sent.response;
        let times = (sent.sent_at, sent.head_at, sent.connect);
        let status = response.status();
        let switching = status == StatusCode::SWITCHING_PROTOCOLS;
        let asked = switching && head::names_websocket(response.headers());
        let (lease, held) = if switching {
            (None, sent.lease.of_tunnel())
        } else {
            (Some(sent.lease), None)
        };
        ending.version(response.headers());
        let passage = ending.lane.passage(ending.side);
        let fields = std::mem::take(response.headers_mut());
        *response.headers_mut() = if switching && self.http2.is_none() {
            passage.switching(fields, origin.as_ref())
        } else {
            passage.answer(fields, origin.as_ref())
        };
        ending.lane.observe_cookies(ending.side, response.headers());
        ending.head(status.as_u16(), times, response.headers(), lease);
        if switching {
            let Some(client) = upgrade.take_if(|_| tunnel && asked) else {
                // Nobody asked for another protocol, or not for this one.
                return self.malformed(ending);
            };
            return switch(ending, response, (client, idle, self.http2.is_some()), held);
        }
        if self.http2.is_some() && tunnel && status.is_success() {
            // To a client of HTTP/2 it would say that the tunnel stands (RFC 8441 section 5).
            return self.malformed(ending);
        }
        let (mut parts, body) = response.into_parts();
        let version = std::mem::replace(&mut parts.version, http::Version::HTTP_11);
        self.end_connection(ending.unread(), &mut parts.headers);
        Response::from_parts(parts, Body::relayed(body, version, idle, ending, pace))
    }

    fn malformed(&self, mut ending: Ending) -> Response<Body> {
        let mut response = answer::failed(ErrorKind::Malformed);
        self.end_connection(ending.unread(), response.headers_mut());
        ending.failed(ErrorKind::Malformed);
        ending.answered_by_us(StatusCode::BAD_GATEWAY.as_u16());
        response
    }

    /// Returns what the log and traces will tell, where somebody wants them.
    fn observed(
        &self,
        lane: &Lane,
        decision: &Decision,
        parts: &Parts,
        id: PairId,
        mirror: &'static str,
    ) -> (Option<Box<Spans>>, Option<Box<Record>>) {
        let tracer = self.thread.tracer.as_ref();
        let spans = tracer.map(|tracer| Box::new(tracer.begin(&parts.headers)));
        let wanted = self.thread.log.is_on() || spans.as_ref().is_some_and(|s| s.sampled());
        let record = wanted.then(|| self.record(lane, decision, parts, id, mirror));
        (spans, record)
    }

    fn record(
        &self,
        lane: &Lane,
        decision: &Decision,
        parts: &Parts,
        id: PairId,
        mirror: &'static str,
    ) -> Box<Record> {
        let parent = parts.headers.get("traceparent");
        let parent = parent.and_then(|value| value.to_str().ok());
        let trace = parent.and_then(|value| value.split('-').nth(1));
        Box::new(Record {
            at: clock::now(),
            id,
            trace: trace.map(bounded),
            client: lane
                .passage(decision.primary)
                .address(&parts.headers, &self.client),
            protocol: parts.version,
            tls: self.tls,
            method: parts.method.clone(),
            host: head::host(parts).map(bounded),
            path: bounded(parts.uri.path()),
            query: parts.uri.query().map(query_names),
            slice: SliceId::clone(lane.id()),
            stage: decision.position.stage(),
            side: decision.primary,
            reason: decision.reason.as_str(),
            mirror,
            status: 0,
            bytes: 0,
            aborted: false,
            error: None,
            queue_us: 0,
            connect_us: 0,
            first_byte_us: 0,
            total_us: 0,
        })
    }
}

/// An answer that is on its way.
struct Answered {
    sent: Sent,
    /// How the client reached it, where references in the answer are moved back.
    origin: Option<Origin>,
    idle: Duration,
}

/// Returns whether the client lets a request with effects be repeated, and so do the rules.
fn is_keyed(backend: &Backend, parts: &Parts) -> bool {
    backend.config().retry.idempotent && parts.headers.contains_key("idempotency-key")
}
