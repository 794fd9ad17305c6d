//! Asks a side for an answer; where the rules say so, legacy in place of a candidate that failed.
//!
//! One mechanism for all failures: nothing of an answer has gone to the client, the method is safe
//! and there is no body, the slice is not retired, and the budget has something left.

use super::answer;
use super::answer::Chain;
use super::ending::Ending;
use super::service::Proxy;
use crate::model::Side;
use crate::model::Stage;
use crate::rules::Decision;
use crate::rules::Fallback;
use crate::upstream::Backend;
use crate::upstream::ErrorKind;
use crate::upstream::Outgoing;
use crate::upstream::Permit;
use crate::upstream::Plan;
use crate::upstream::Sent;
use crate::upstream::head;
use crate::upstream::head::Noticed;
use http::Request;
use http::request::Parts;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What became of a request: an answer's head, or none.
pub(super) type Outcome = Result<Sent, ErrorKind>;

impl Proxy {
    /// Sends a request to a backend, if that may have one more, and awaits the head of the answer.
    pub(super) async fn ask(
        &self,
        side: Side,
        backend: &Arc<Backend>,
        plan: Plan<'_>,
        make: &mut dyn FnMut() -> Request<Outgoing>,
    ) -> (Permit, Outcome) {
        let permit = match backend.admit() {
            Ok(permit) => permit,
            Err(kind) => return (Permit::default(), Err(kind)),
        };
        let sent = self.thread.pool.send(backend, plan, make).await;
        let sent = sent.map_err(|error| {
            tracing::debug!(%side, error = %Chain(&error), "no answer");
            error.kind
        });
        (permit, sent)
    }

    /// Asks legacy in place of a candidate that failed.
    pub(super) async fn ask_legacy(
        &self,
        ending: &mut Ending,
        parts: &Parts,
    ) -> (Outcome, Option<head::Origin>, Duration) {
        let lane = Arc::clone(&ending.lane);
        let (backend, passage) = (lane.backend(Side::Legacy), lane.passage(Side::Legacy));
        let timeouts = backend.config().timeouts;
        let plan = Plan {
            repeatable: true,
            progress: None,
            response: timeouts.response,
            now: Instant::now(),
        };
        let mut noticed = Noticed::default();
        let spans = ending.spans.as_deref();
        let mut make = || self.outgoing((parts, passage, &mut noticed, spans), None, None);
        let (permit, sent) = self.ask(Side::Legacy, backend, plan, &mut make).await;
        let origin = passage.origin(parts, &self.client);
        ending.permit = permit;
        (sent, origin, timeouts.idle)
    }
}

/// Decides whether legacy is to be asked, and counts it. `plain` tells that the request is of a safe
/// method, without a body, and asks for no other protocol.
pub(super) fn takes(ending: &Ending, decision: &Decision, plain: bool, outcome: &Outcome) -> bool {
    if ending.side != Side::Candidate || ending.fell_back() {
        return false;
    }
    let Some(rule) = ending
        .lane
        .slice()
        .and_then(|slice| slice.fallback.as_ref())
    else {
        return false;
    };
    if !plain || decision.position.stage() == Stage::Retired {
        return false;
    }
    let Some(reason) = reason(rule, outcome) else {
        return false;
    };
    let (lane, metrics) = (&ending.lane, &ending.thread.metrics);
    if !lane.fallback_passes(rule.budget) {
        let name = "supplant_fallbacks_denied_total";
        metrics.counter(name, &[lane.label()]).inc();
        return false;
    }
    let name = "supplant_fallbacks_total";
    metrics.counter(name, &[lane.label(), reason]).inc();
    true
}

/// Returns for which of the rule's reasons legacy answers. A failure of which the client would see a
/// listed status counts as that status.
fn reason(rule: &Fallback, outcome: &Outcome) -> Option<&'static str> {
    let listed = |status: u16| rule.statuses.contains(&status);
    let kind = match outcome {
        Ok(sent) => {
            let status = sent.response.status().as_u16();
            return listed(status).then_some("status");
        }
        Err(kind) => *kind,
    };
    match kind {
        ErrorKind::Connect | ErrorKind::ConnectTimeout | ErrorKind::Tls | ErrorKind::NoAddress
            if rule.connect_error =>
        {
            Some("connect_error")
        }
        ErrorKind::CircuitOpen if rule.connect_error => Some("circuit"),
        ErrorKind::ResponseTimeout if rule.timeout => Some("timeout"),
        ErrorKind::Client | ErrorKind::TooLarge | ErrorKind::Local | ErrorKind::Busy => None,
        kind => listed(answer::failed(kind).status().as_u16()).then_some("status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Share;

    #[test]
    fn each_failure_falls_back_for_its_own_reason() {
        let mut rule = Fallback {
            connect_error: true,
            timeout: false,
            statuses: vec![502],
            budget: Share::ALL,
        };
        let told = |rule: &Fallback, kind| reason(rule, &Err(kind));
        assert_eq!(told(&rule, ErrorKind::Connect), Some("connect_error"));
        assert_eq!(told(&rule, ErrorKind::CircuitOpen), Some("circuit"));
        assert_eq!(told(&rule, ErrorKind::ResponseTimeout), None);
        assert_eq!(told(&rule, ErrorKind::Closed), Some("status"));
        assert_eq!(told(&rule, ErrorKind::Malformed), Some("status"));
        for kind in [ErrorKind::Client, ErrorKind::Local, ErrorKind::Busy] {
            assert_eq!(told(&rule, kind), None);
        }
        rule.timeout = true;
        assert_eq!(told(&rule, ErrorKind::ResponseTimeout), Some("timeout"));
        rule = Fallback {
            connect_error: false,
            timeout: false,
            statuses: vec![504],
            budget: Share::ALL,
        };
        assert_eq!(told(&rule, ErrorKind::ConnectTimeout), Some("status"));
        assert_eq!(told(&rule, ErrorKind::Connect), None);
    }
}
