//! What happens to one job: sent to the other side, compared, counted, recorded, and where a
//! control was drawn, asked once more.
//!
//! L₁ is legacy's answer and N the candidate's, whoever served the client; L₂ is legacy's again.
//! A call made because of a divergence would bias the noise test, so whether a control is made was
//! drawn before any answer was known.

use super::call::Called;
use super::call::Failed;
use super::call::Keep;
use super::call::call;
use super::deltas::Deltas;
use super::examples::Picker;
use super::examples::example;
use super::job::Job;
use super::memory::Memory;
use super::session::hands_out_session;
use crate::clock;
use crate::compare::Answer;
use crate::compare::Comparator;
use crate::compare::Compared;
use crate::compare::Difference;
use crate::compare::OwnField;
use crate::compare::RedactKey;
use crate::compare::compare;
use crate::evidence::ControlSeen;
use crate::evidence::LatencySeen;
use crate::evidence::PairSeen;
use crate::evidence::PairVerdict;
use crate::evidence::TripleSeen;
use crate::evidence::Versions;
use crate::evidence::discord;
use crate::model::FieldKey;
use crate::model::Masked;
use crate::model::NotComparable;
use crate::model::Outcome;
use crate::model::PairId;
use crate::model::Role;
use crate::model::Shed;
use crate::model::Side;
use crate::store::Write;
use crate::store::Writer;
use crate::table::ControlEnd;
use crate::table::Excluded;
use crate::telemetry::Metrics;
use crate::upstream::Pool;
use crate::upstream::head;
use http::HeaderValue;
use prometheus::Histogram;
use prometheus::IntCounter;
use std::sync::Arc;
use tokio::task::JoinError;
use tokio::time::Instant;

/// How many connections a shadow thread keeps to one address.
const IDLE_MAX: usize = 256;

/// What one shadow thread works with.
#[derive(Debug)]
pub(super) struct Worker {
    thread: usize,
    pool: Pool,
    deltas: Deltas,
    writer: Writer,
    key: Arc<RedactKey>,
    memory: Memory,
    picker: Picker,
    waited: Histogram,
    compared: Histogram,
    panics: IntCounter,
}

/// What is known of a job once it was taken.
#[derive(Debug)]
struct Plan {
    endpoint: Arc<str>,
    comparator: Arc<Comparator>,
    epoch_key: u64,
    /// Whether there are controls to tell noise by.
    checked: bool,
    /// Whether a control was drawn for this request, and the caps let it pass.
    control: bool,
}

/// A pair whose outcome is decided.
#[derive(Debug)]
struct Pair {
    legacy: Answer,
    versions: Versions,
    differences: Vec<Difference>,
    own: Vec<OwnField>,
}

impl Worker {
    pub(super) fn new(
        thread: usize,
        deltas: Deltas,
        writer: Writer,
        key: Arc<RedactKey>,
        metrics: &Metrics,
        memory: Memory,
    ) -> Self {
        Self {
            thread,
            pool: Pool::of_copies(IDLE_MAX),
            deltas,
            writer,
            key,
            memory,
            picker: Picker::default(),
            waited: metrics.histogram("supplant_shadow_queue_wait_seconds", &[]),
            compared: metrics.histogram("supplant_compare_duration_seconds", &[]),
            panics: metrics.counter("supplant_panics_total", &["shadow"]),
        }
    }

    pub(super) fn expire(&self, now: Instant) {
        self.pool.expire(now);
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.pool.sweep(now);
    }

    pub(super) fn finished(&self, done: &Result<(), JoinError>) {
        if let Err(error) = done
            && error.is_panic()
        {
            self.panics.inc();
            tracing::error!(%error, "a comparison panicked; the process goes on");
        }
    }

    /// Takes a job to its end.
    pub(super) async fn process(&self, mut job: Job) {
        let now = Instant::now();
        self.waited
            .observe(now.duration_since(job.offered).as_secs_f64());
        let open = job.open.take();
        let Some(_place) = job.lane.enter() else {
            return end(open, Outcome::Shed(Shed::Inflight));
        };
        let plan = match self.plan(&job, now) {
            Ok(plan) => plan,
            Err(outcome) => return end(open, outcome),
        };
        let Some(open) = open else {
            return Box::pin(self.legacy_alone(&job, &plan)).await;
        };
        let other = job.side.other();
        let called = self.call(&job, other, Role::Shadow).await;
        let called = match called {
            Ok(called) => called,
            Err(failed) => {
                let outcome = self.failed(&job, &plan, other, failed);
                return open.end(outcome);
            }
        };
        let (outcome, pair) = self.compare_pair(&job, &plan, &called);
        open.end(outcome);
        if let Some(pair) = pair {
            // Boxed, since only few are asked again.
            Box::pin(self.control(&job, &plan, pair)).await;
        }
    }

    /// Decides what is decided before sending and without looking at a body.
    fn plan(&self, job: &Job, now: Instant) -> Result<Plan, Outcome> {
        let excluded = Outcome::NotComparable(NotComparable::Excluded);
        let slice = job.lane.slice().ok_or(excluded)?;
        let parts = &job.asked.parts;
        let known = job.lane.known();
        let endpoint = known.endpoint(parts.method.as_str(), parts.uri.path());
        let notes = job.lane.notes();
        if !job.lane.allows(&head::view(parts)) {
            if notes.is_suspended(&endpoint) {
                notes.excluded(&endpoint, Excluded::Suspended);
                return Err(excluded);
            }
            if let Some(why) = hands_out_session(&parts.headers, &job.served.headers) {
                notes.excluded(&endpoint, why);
                return Err(excluded);
            }
        }
        if self.deltas.of(self.thread).is_full() {
            return Err(Outcome::Shed(Shed::Memory));
        }
        let rate = known.control_rate(&endpoint, slice.compare.control);
        let drawn = rate.admits_draw(job.draws.control) && !notes.rests(&endpoint, now);
        let control = drawn && job.lane.control_passes(now);
        if drawn && !control {
            job.lane.tally().control(ControlEnd::Capped);
        }
        Ok(Plan {
            endpoint,
            comparator: Arc::clone(&slice.compare.comparator),
            epoch_key: slice.epoch_key,
            checked: slice.compare.control.hundredths() > 0,
            control,
        })
    }

    async fn call(&self, job: &Job, side: Side, role: Role) -> Result<Called, Failed> {
        let limit = job.lane.slice().map_or(0, |s| s.shadow.body_limit);
        let count_to = match side {
            // Legacy over the limit is decided at that byte.
            Side::Legacy => limit,
            // The candidate's length counts once it passed both the limit and four times legacy's.
            Side::Candidate => limit.max(job.served.body.len().saturating_mul(4)),
        };
        let keep = Keep { limit, count_to };
        call(&self.pool, job, side, role, keep, &self.memory).await
    }

    /// The copy got no whole answer.
    fn failed(&self, job: &Job, plan: &Plan, side: Side, failed: Failed) -> Outcome {
        let outcome = match (failed, side) {
            (Failed::Local, _) => return Outcome::Shed(Shed::Local),
            (Failed::Memory, _) => return Outcome::Shed(Shed::Memory),
            (_, Side::Legacy) => return Outcome::LegacyError,
            (Failed::Timeout, Side::Candidate) => Outcome::Timeout,
            (Failed::Error(_), Side::Candidate) => Outcome::CandidateError,
        };
        let verdict = if outcome == Outcome::Timeout {
            PairVerdict::Timeout
        } else {
            PairVerdict::CandidateError
        };
        let status = (job.served.status, 0);
        let versions = Versions {
            legacy: word(job.version.as_ref()),
            ..Versions::unknown(plan.epoch_key)
        };
        let example = self.keep_example(job, plan, status, Err(failed.as_str()), &[]);
        self.record(job, plan, status, versions, verdict, example);
        outcome
    }

    fn compare_pair(&self, job: &Job, plan: &Plan, called: &Called) -> (Outcome, Option<Pair>) {
        let served = &job.served;
        let (legacy, candidate) = match job.side {
            Side::Legacy => (served, &called.answer),
            Side::Candidate => (&called.answer, served),
        };
        let own = vec![OwnField {
            name: "Supplant-Role",
            value: Role::Shadow.as_str().to_owned(),
        }];
        let started = Instant::now();
        let compared = compare(&plan.comparator, legacy, candidate, &own);
        self.compared.observe(started.elapsed().as_secs_f64());
        let echoed = compared == Compared::OwnHeader;
        let differences = match compared {
            Compared::Vacuous => return (Outcome::Vacuous, None),
            Compared::Incomparable(why) => return (Outcome::NotComparable(why), None),
            Compared::Match | Compared::OwnHeader => Vec::new(),
            Compared::Differs(differences) => differences,
        };
        let known = job.lane.known();
        let mut all_noisy = true;
        for difference in &differences {
            let noisy = known.is_noisy(&plan.endpoint, &difference.key);
            all_noisy &= noisy;
            let verdict = if !plan.checked {
                "unchecked"
            } else if noisy {
                "noisy"
            } else {
                "undecided"
            };
            job.lane
                .observe_difference(difference.key.kind.as_str(), verdict);
        }
        let outcome = if echoed {
            Outcome::Masked(Masked::OwnHeader)
        } else if differences.is_empty() {
            Outcome::Match
        } else if all_noisy {
            Outcome::Masked(Masked::Noise)
        } else {
            Outcome::Divergence
        };
        let status = (legacy.status, candidate.status);
        let (here, there) = (job.version.as_ref(), called.version.as_ref());
        let versions = match job.side {
            Side::Legacy => versions(plan, here, there),
            Side::Candidate => versions(plan, there, here),
        };
        let keys: Vec<FieldKey> = differences.iter().map(|d| d.key.clone()).collect();
        let verdict = if keys.is_empty() {
            PairVerdict::Equal
        } else {
            PairVerdict::Differs(keys)
        };
        let example = (outcome == Outcome::Divergence)
            .then(|| self.keep_example(job, plan, status, Ok(called), &differences))
            .flatten();
        self.record(job, plan, status, versions.clone(), verdict, example);
        // What is asked for again is compared with legacy's answer, kept for those few only.
        let pair = plan.control.then(|| Pair {
            legacy: legacy.clone(),
            versions,
            differences,
            own,
        });
        (outcome, pair)
    }

    fn record(
        &self,
        job: &Job,
        plan: &Plan,
        status: (u16, u16),
        versions: Versions,
        verdict: PairVerdict,
        example: Option<PairId>,
    ) {
        let seen = PairSeen {
            example,
            at: job.at,
            endpoint: Arc::clone(&plan.endpoint),
            status,
            versions,
            verdict,
        };
        self.deltas.of(self.thread).pair(job.lane.id(), seen);
    }

    fn keep_example(
        &self,
        job: &Job,
        plan: &Plan,
        status: (u16, u16),
        other: Result<&Called, &'static str>,
        differences: &[Difference],
    ) -> Option<PairId> {
        let keys: Vec<FieldKey> = differences.iter().map(|d| d.key.clone()).collect();
        let (slice, chance) = (job.lane.id().as_str(), job.id.0);
        if self
            .picker
            .picks(slice, &plan.endpoint, status, &keys, chance)
        {
            let example = example(job, &plan.endpoint, other, differences, &self.key);
            // A full queue is counted by the writer.
            if self.writer.offer(Write::Example(Box::new(example))) {
                return Some(job.id);
            }
        }
        None
    }

    /// Asks once more, as drawn: legacy after the candidate, or both for their latency.
    async fn control(&self, job: &Job, plan: &Plan, pair: Pair) {
        if job.draws.sandwiched {
            self.sandwich(job, plan, pair).await;
        } else {
            self.latency(job, plan, &pair).await;
        }
    }

    /// L₂ starts when N has ended. Where the candidate served, N is asked for anew, since what the
    /// client got came before L₁.
    async fn sandwich(&self, job: &Job, plan: &Plan, pair: Pair) {
        let (differences, candidate) = match job.side {
            Side::Legacy => (pair.differences, Arc::clone(&pair.versions.candidate)),
            Side::Candidate => {
                let Ok(again) = self.call(job, Side::Candidate, Role::Shadow).await else {
                    return;
                };
                let comparator = &plan.comparator;
                match compare(comparator, &pair.legacy, &again.answer, &pair.own) {
                    Compared::Incomparable(_) | Compared::Vacuous => return,
                    compared => {
                        let version = word(again.version.as_ref());
                        (compared.differences().to_vec(), version)
                    }
                }
            }
        };
        let Some(again) = self.legacy_again(job, plan).await else {
            return;
        };
        let Some(own) = self.self_parity(job, plan, &pair.legacy, &again) else {
            return;
        };
        job.lane.tally().control(ControlEnd::Sandwiched);
        let triple = TripleSeen {
            at: job.at,
            endpoint: Arc::clone(&plan.endpoint),
            versions: Versions {
                candidate,
                ..pair.versions
            },
            legacy_again: word(again.version.as_ref()),
            discord: discord(&differences, &own),
        };
        self.deltas.of(self.thread).triple(job.lane.id(), triple);
    }

    /// Both sides once more, in the drawn order, measured from request sent to first byte.
    async fn latency(&self, job: &Job, plan: &Plan, pair: &Pair) {
        let (legacy, candidate) = if job.draws.candidate_first {
            let candidate = self.call(job, Side::Candidate, Role::Shadow).await;
            (self.legacy_again(job, plan).await, candidate)
        } else {
            let Some(legacy) = self.legacy_again(job, plan).await else {
                return;
            };
            let candidate = self.call(job, Side::Candidate, Role::Shadow).await;
            (Some(legacy), candidate)
        };
        let Some(legacy) = legacy else { return };
        self.self_parity(job, plan, &pair.legacy, &legacy);
        let candidate = match candidate {
            Ok(candidate) => Some(candidate),
            Err(Failed::Local | Failed::Memory) => return,
            Err(Failed::Error(_) | Failed::Timeout) => None,
        };
        // A connection made for this call is a first contact, which says nothing about the side.
        if !legacy.warm || candidate.as_ref().is_some_and(|c| !c.warm) {
            return;
        }
        job.lane.tally().control(ControlEnd::Latency);
        let micros =
            |called: &Called| u64::try_from(called.first_byte.as_micros()).unwrap_or(u64::MAX);
        let seen = LatencySeen {
            at: job.at,
            versions: pair.versions.clone(),
            legacy_us: micros(&legacy),
            candidate_us: candidate.as_ref().map(micros),
        };
        self.deltas.of(self.thread).latency(job.lane.id(), seen);
    }

    /// In stage `legacy`, where the file asks for it: legacy against itself.
    async fn legacy_alone(&self, job: &Job, plan: &Plan) {
        if !plan.control {
            return;
        }
        let Some(again) = self.legacy_again(job, plan).await else {
            return;
        };
        if self.self_parity(job, plan, &job.served, &again).is_some() {
            job.lane.tally().control(ControlEnd::Sandwiched);
        }
    }

    /// Asks legacy again. A failure, 429 or 503 makes no triple and lets the controls of the
    /// endpoint rest.
    async fn legacy_again(&self, job: &Job, plan: &Plan) -> Option<Called> {
        let called = self.call(job, Side::Legacy, Role::Control).await;
        let refused = match &called {
            Ok(called) => matches!(called.answer.status, 429 | 503),
            Err(Failed::Local | Failed::Memory) => return None,
            Err(Failed::Error(_) | Failed::Timeout) => true,
        };
        if refused {
            job.lane.tally().control(ControlEnd::Failed);
            job.lane.notes().rest(&plan.endpoint, Instant::now());
            return None;
        }
        called.ok()
    }

    /// Compares legacy with itself and records it; nothing where the two say nothing.
    fn self_parity(
        &self,
        job: &Job,
        plan: &Plan,
        first: &Answer,
        again: &Called,
    ) -> Option<Vec<Difference>> {
        let own = [Role::Control, Role::Shadow].map(|role| OwnField {
            name: "Supplant-Role",
            value: role.as_str().to_owned(),
        });
        let comparator = &plan.comparator;
        let compared = compare(comparator, first, &again.answer, &own);
        if matches!(compared, Compared::Incomparable(_) | Compared::Vacuous) {
            return None;
        }
        let differences = compared.differences().to_vec();
        let versions = Versions {
            legacy: word(again.version.as_ref()),
            ..Versions::unknown(plan.epoch_key)
        };
        let seen = ControlSeen {
            at: clock::now(),
            endpoint: Arc::clone(&plan.endpoint),
            versions,
            differs: differences.iter().map(|d| d.key.clone()).collect(),
        };
        self.deltas.of(self.thread).control(job.lane.id(), seen);
        Some(differences)
    }
}

fn end(open: Option<crate::table::Open>, outcome: Outcome) {
    if let Some(open) = open {
        open.end(outcome);
    }
}

fn word(version: Option<&HeaderValue>) -> Arc<str> {
    let text = version.and_then(|value| value.to_str().ok());
    text.unwrap_or(Versions::UNKNOWN).into()
}

fn versions(
    plan: &Plan,
    legacy: Option<&HeaderValue>,
    candidate: Option<&HeaderValue>,
) -> Versions {
    Versions {
        rules: plan.epoch_key,
        legacy: word(legacy),
        candidate: word(candidate),
    }
}
