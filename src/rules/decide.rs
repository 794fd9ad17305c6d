//! One request: who serves it, and is it mirrored. Pure; the only walk there is.
//!
//! The data plane runs it with `()` as the trace and pays nothing; `explain` runs the same walk
//! with a trace that writes down each step. First hit wins, in this order: killed, `never`, the
//! position, `always`, the bucket.

use crate::model::Head;
use crate::model::NotComparable;
use crate::model::NotMirrored;
use crate::model::Outcome;
use crate::model::Position;
use crate::model::Share;
use crate::model::Side;
use crate::model::SliceIx;
use crate::model::Stage;
use crate::rules::condition::Condition;
use crate::rules::condition::View;
use crate::rules::decision::Decision;
use crate::rules::decision::Mirror;
use crate::rules::decision::Reason;
use crate::rules::decision::Step;
use crate::rules::decision::Trace;
use crate::rules::exclude;
use crate::rules::path::Refused;
use crate::rules::snapshot::Ramp;
use crate::rules::snapshot::Slice;
use crate::rules::snapshot::Snapshot;
use crate::rules::split;
use crate::rules::split::By;
use crate::rules::split::Draws;
use crate::rules::tenant::Tenant;
use http::Method;
use http::header;
use std::borrow::Cow;

/// The field that marks a copy. A request that arrives with it is never mirrored again.
pub const ROLE_FIELD: http::HeaderName = http::HeaderName::from_static("supplant-role");

/// Decides who serves a request and whether it is mirrored.
///
/// `chance` is uniform over all `u64` and goes to the log, so that the decision can be repeated.
pub fn decide(
    snapshot: &Snapshot,
    head: &Head<'_>,
    chance: u64,
    trace: &mut impl Trace,
) -> Result<Decision, Refused> {
    let rules = &*snapshot.rules;
    let view = View::new(head, &rules.tenants)?;
    let draws = Draws::of(chance);
    let Some((ix, slice, rule)) = rules
        .matcher
        .find(&view)
        .and_then(|rule| Some((rule.slice, snapshot.slice(rule.slice)?, rule)))
    else {
        trace.step(|| Step::new("match", "no slice takes it, so legacy answers"));
        return Ok(Decision {
            slice: None,
            position: Position::LEGACY,
            primary: Side::Legacy,
            reason: Reason::Unmatched,
            mirror: Mirror::Ended(Outcome::NotMirrored(NotMirrored::Stage)),
            draws,
        });
    };
    trace.step(|| {
        let place = format!("slice `{}` (line {})", slice.id, slice.line);
        Step::new("match", format!("{place} by {}", rule.condition))
    });
    let request = Request {
        snapshot,
        slice,
        ix,
        view: &view,
        chance,
    };
    let (primary, reason) = request.primary(trace);
    let mirror = match reason {
        Reason::Killed => Mirror::Ended(Outcome::NotMirrored(NotMirrored::Killed)),
        _ => request.mirror(primary, trace),
    };
    Ok(Decision {
        slice: Some(ix),
        position: snapshot.position(ix),
        primary,
        reason,
        mirror,
        draws,
    })
}

/// Returns whether the slice's `shadow.allow` names a request.
pub fn allowed(snapshot: &Snapshot, ix: SliceIx, head: &Head<'_>) -> bool {
    let view = View::new(head, &snapshot.rules.tenants);
    let slice = snapshot.slice(ix);
    view.ok()
        .zip(slice)
        .is_some_and(|(view, slice)| slice.shadow.allow.iter().any(|c| c.holds(&view)))
}

struct Request<'r> {
    snapshot: &'r Snapshot,
    slice: &'r Slice,
    ix: SliceIx,
    view: &'r View<'r>,
    chance: u64,
}

impl Request<'_> {
    fn primary(&self, trace: &mut impl Trace) -> (Side, Reason) {
        if self.snapshot.killed(self.ix) {
            let what = if self.snapshot.all_killed() {
                "everything is"
            } else {
                "the slice is"
            };
            trace.step(|| Step::new("killed", format!("{what} killed: legacy answers")));
            return (Side::Legacy, Reason::Killed);
        }
        trace.step(|| Step::new("killed", "no"));
        let ramp = self.slice.ramp.as_ref();
        if let Some(ramp) = ramp.filter(|r| !r.never.is_empty()) {
            let hit = self.is_tenant(|name| ramp.never.contains(name));
            trace.step(|| {
                Step::new(
                    "never",
                    self.tenant_step(hit, &ramp.never_written, "legacy answers"),
                )
            });
            if hit {
                return (Side::Legacy, Reason::Never);
            }
        }
        let position = self.snapshot.position(self.ix);
        trace.step(|| {
            let declared = self.slice.declared;
            let held = if position == declared {
                String::new()
            } else {
                format!(", held below `{declared}` of the file")
            };
            let serves = match position.stage() {
                Stage::Legacy | Stage::Shadow => "legacy answers",
                Stage::Canary => "the candidate answers a share",
                Stage::Cutover | Stage::Retired => "the candidate answers",
            };
            Step::new("position", format!("`{position}`{held}: {serves}"))
        });
        match position.stage() {
            Stage::Legacy => (Side::Legacy, Reason::Legacy),
            Stage::Shadow => (Side::Legacy, Reason::Shadow),
            Stage::Cutover => (Side::Candidate, Reason::Cutover),
            Stage::Retired => (Side::Candidate, Reason::Retired),
            Stage::Canary => self.canary(ramp, position.share(), trace),
        }
    }

    fn canary(&self, ramp: Option<&Ramp>, share: Share, trace: &mut impl Trace) -> (Side, Reason) {
        if let Some(ramp) = ramp.filter(|r| !r.always.is_empty()) {
            let hit = self.is_tenant(|name| ramp.always.contains(name));
            trace.step(|| {
                Step::new(
                    "always",
                    self.tenant_step(hit, &ramp.always_written, "the candidate answers"),
                )
            });
            if hit {
                return (Side::Candidate, Reason::Always);
            }
        }
        let head = self.view.head;
        let key: Option<Cow<'_, [u8]>> = match ramp.and_then(|r| r.by.as_ref()) {
            Some(By::Random) => return self.random(share, trace),
            Some(By::Header(name)) => split::header_key(head, name).map(Cow::Borrowed),
            Some(By::Cookie(name)) => split::cookie_key(head, name).map(Cow::Borrowed),
            Some(By::Tenant) => match self.view.tenant() {
                Tenant::Known(name) => Some(Cow::Borrowed(name.as_bytes())),
                Tenant::Unknown | Tenant::Malformed => None,
            },
            None => None,
        };
        let (Some(ramp), Some(key)) = (ramp, key) else {
            trace.step(|| {
                let kind = ramp.map_or("key", |r| &r.kind);
                Step::new(
                    "bucket",
                    format!("the request has no {kind} to split by: legacy answers"),
                )
            });
            return (Side::Legacy, Reason::NoKey);
        };
        let bucket = split::bucket(&ramp.group, &ramp.kind, &key);
        let hit = split::admits(share, bucket);
        trace.step(|| {
            let (compared, serves) = if hit { ("below", "the candidate") } else { ("not below", "legacy") };
            let (kind, key) = (&ramp.kind, String::from_utf8_lossy(&key).into_owned());
            let share = share.hundredths();
            Step::new("bucket", format!("{kind} {key:?} of group `{}` is in bucket {bucket}, {compared} {share} of 10000: {serves} answers", ramp.group))
        });
        if hit {
            (Side::Candidate, Reason::InShare)
        } else {
            (Side::Legacy, Reason::OutOfShare)
        }
    }

    fn random(&self, share: Share, trace: &mut impl Trace) -> (Side, Reason) {
        let hit = share.admits_draw(split::draw(self.chance, split::DRAW_SPLIT));
        trace.step(|| {
            let serves = if hit { "the candidate" } else { "legacy" };
            Step::new(
                "bucket",
                format!("drawn for this request: {serves} answers"),
            )
            .drawn(format!(
                "drawn for each request: the candidate answers {share} of them"
            ))
        });
        if hit {
            (Side::Candidate, Reason::InShare)
        } else {
            (Side::Legacy, Reason::OutOfShare)
        }
    }

    fn is_tenant(&self, holds: impl FnOnce(&str) -> bool) -> bool {
        matches!(self.view.tenant(), Tenant::Known(name) if holds(name))
    }

    fn tenant_step(&self, hit: bool, list: &[String], then: &str) -> String {
        let list = list.join(", ");
        match self.view.tenant() {
            Tenant::Known(name) if hit => {
                format!("tenant {name:?} is on the list ({list}): {then}")
            }
            Tenant::Known(name) => format!("tenant {name:?} is not on the list ({list})"),
            Tenant::Unknown => "the request names no tenant".to_owned(),
            Tenant::Malformed => "what the request names is no tenant".to_owned(),
        }
    }

    fn mirror(&self, primary: Side, trace: &mut impl Trace) -> Mirror {
        let stage = self.snapshot.position(self.ix).stage();
        let compare = &self.slice.compare;
        let nobody = Outcome::NotMirrored(NotMirrored::Stage);
        let only_control =
            stage == Stage::Legacy && compare.control_written && compare.control > Share::NONE;
        if matches!(stage, Stage::Legacy | Stage::Retired) && !only_control {
            trace.step(|| Step::new("stage", format!("in stage `{stage}` nobody gets a copy")));
            return Mirror::Ended(nobody);
        }
        trace.step(|| {
            let who = match primary.other() {
                Side::Candidate if !only_control => "the candidate",
                _ => "legacy",
            };
            let what = if only_control {
                "may be asked again"
            } else {
                "may get a copy"
            };
            Step::new("stage", format!("in stage `{stage}` {who} {what}"))
        });
        match (self.ended(trace), only_control) {
            (None, false) => Mirror::Copy,
            (None, true) => Mirror::ControlOnly,
            (Some(outcome), false) => Mirror::Ended(outcome),
            (Some(_), true) => Mirror::Ended(nobody),
        }
    }

    /// Returns the outcome if the head decides it, in the order that all outcomes have.
    fn ended(&self, trace: &mut impl Trace) -> Option<Outcome> {
        let head = self.view.head;
        if head.headers.contains_key(ROLE_FIELD) {
            trace.step(|| {
                Step::new(
                    "copy",
                    "it carries `Supplant-Role`, so it is a copy already",
                )
            });
            return Some(Outcome::NotMirrored(NotMirrored::Copy));
        }
        if !self.slice.shadow.methods.contains(head.method) {
            trace.step(|| {
                Step::new(
                    "method",
                    format!("{} may have effects and is not mirrored", head.method),
                )
            });
            return Some(Outcome::UnsafeMethod);
        }
        if let Some((reason, found)) = incomparable(head) {
            trace.step(|| Step::new("comparable", found));
            return Some(Outcome::NotComparable(reason));
        }
        if let Some(by) = exclusion(self.slice, self.view) {
            trace.step(|| Step::new("excluded", by.words(&self.view.path)));
            return Some(Outcome::NotComparable(NotComparable::Excluded));
        }
        let sample = self.snapshot.sample(self.ix);
        let sampled = sample.admits_draw(split::draw(self.chance, split::DRAW_SAMPLE));
        trace.step(|| {
            let found = if sampled { "drawn" } else { "not drawn" };
            let step = Step::new("sample", format!("{found}, at a sample of {sample}"));
            if sample == Share::ALL || sample == Share::NONE {
                step
            } else {
                step.drawn(format!("drawn for each request: {sample} of them are"))
            }
        });
        (!sampled).then_some(Outcome::SampledOut)
    }
}

/// Returns why no comparison would say anything, as far as the head tells.
fn incomparable(head: &Head<'_>) -> Option<(NotComparable, &'static str)> {
    let fields = head.headers;
    if fields.contains_key(header::UPGRADE) && asks_upgrade(head) || head.method == Method::CONNECT
    {
        return Some((NotComparable::Upgrade, "it asks for a tunnel"));
    }
    let conditional = [
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_MATCH,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
    ];
    if conditional.iter().any(|name| fields.contains_key(name)) {
        return Some((NotComparable::Conditional, "it is a conditional request"));
    }
    if fields.contains_key(header::RANGE) {
        return Some((NotComparable::Range, "it asks for a range"));
    }
    None
}

fn asks_upgrade(head: &Head<'_>) -> bool {
    let fields = head.headers.get_all(header::CONNECTION).iter();
    let mut tokens = fields.flat_map(|f| f.as_bytes().split(|b| *b == b','));
    tokens.any(|t| t.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// What keeps a request out of mirroring.
enum Exclusion<'s> {
    Except(&'s Condition),
    Word(exclude::Found),
}

impl Exclusion<'_> {
    fn words(&self, path: &str) -> String {
        match self {
            Self::Except(condition) => format!("`shadow.except` has {condition}"),
            Self::Word(exclude::Found::Path(word)) => format!(
                "the path says `{word}`; if it has no effects, write `shadow: {{ allow: [\"{path}\"] }}`"
            ),
            Self::Word(exclude::Found::Query(pair)) => format!(
                "the query says `{pair}`; if it has no effects, write `shadow: {{ allow: [\"{path}\"] }}`"
            ),
        }
    }
}

fn exclusion<'s>(slice: &'s Slice, view: &View<'_>) -> Option<Exclusion<'s>> {
    if let Some(condition) = slice.shadow.except.iter().find(|c| c.holds(view)) {
        return Some(Exclusion::Except(condition));
    }
    let found = exclude::word(view)?;
    let allowed = slice.shadow.allow.iter().any(|c| c.holds(view));
    (!allowed).then_some(Exclusion::Word(found))
}
