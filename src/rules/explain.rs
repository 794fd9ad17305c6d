//! Tells why a request goes where it goes: the walk of `decide`, in words. Pure.

use crate::model::Head;
use crate::model::Outcome;
use crate::model::Side;
use crate::model::Stage;
use crate::rules::condition::Condition;
use crate::rules::condition::Host;
use crate::rules::condition::Miss;
use crate::rules::condition::Shape;
use crate::rules::condition::View;
use crate::rules::decide::decide;
use crate::rules::decision::Decision;
use crate::rules::decision::Mirror;
use crate::rules::decision::Step;
use crate::rules::matcher::precedence;
use crate::rules::path::Refused;
use crate::rules::snapshot::Snapshot;
use http::Method;
use serde::Serialize;
use std::fmt;

/// How many rules that lost are told.
const LOST_MAX: usize = 20;

/// Why a request goes where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Method, host and path, as asked.
    pub request: String,
    /// The path as the rules see it.
    pub canonical: String,
    /// The slice; none if no slice takes it.
    pub slice: Option<String>,
    /// How far the slice is.
    pub position: String,
    /// Who answers: `legacy` or `candidate`.
    pub side: &'static str,
    /// The backend that answers, by name.
    pub backend: String,
    /// Why, in one token.
    pub reason: &'static str,
    /// What is mirrored, in one sentence.
    pub mirror: String,
    /// The path that the candidate gets, where the slice rewrites it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_path: Option<String>,
    /// What happens when the candidate fails, where it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
    /// The outcome, if the head decides it: its word.
    pub outcome: Option<&'static str>,
    /// The reason of that outcome, in one word, or empty.
    pub outcome_reason: &'static str,
    /// Each step of the walk, in order.
    pub steps: Vec<Told>,
    /// Rules that hold for host and path too, and why they lost.
    pub lost: Vec<Lost>,
    #[serde(skip)]
    rewritten: bool,
    /// What else may happen, which the head alone does not decide.
    pub may: Vec<String>,
}

/// A step of the walk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// What was asked.
    pub step: &'static str,
    /// What was found.
    pub found: String,
}

/// A rule that lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The slice.
    pub slice: String,
    /// Its line in the file.
    pub line: u32,
    /// The match, as the file could write it.
    pub matches: String,
    /// Why it lost.
    pub why: String,
}

/// Explains a request. Without a number of chance, draws are told as shares.
pub fn explain(
    snapshot: &Snapshot,
    head: &Head<'_>,
    chance: Option<u64>,
) -> Result<Explanation, Refused> {
    let mut steps: Vec<Step> = Vec::new();
    let decision = decide(snapshot, head, chance.unwrap_or(0), &mut steps)?;
    let view = View::new(head, &snapshot.rules.tenants)?;
    let backend = match (
        decision.slice.and_then(|ix| snapshot.slice(ix)),
        decision.primary,
    ) {
        (Some(slice), Side::Candidate) => snapshot.backends().get(slice.backend.get()),
        _ => snapshot.backends().first(),
    };
    let drawn = |name: &str| {
        chance.is_none()
            && steps
                .iter()
                .any(|s| s.name == name && s.without_chance.is_some())
    };
    let (split, sampled) = (drawn("bucket"), drawn("sample"));
    let outcome = match decision.mirror {
        Mirror::Ended(Outcome::SampledOut) if sampled => None,
        Mirror::Ended(outcome) => Some(outcome),
        Mirror::Copy | Mirror::ControlOnly => None,
    };
    let mut may = may(snapshot, &decision, sampled);
    if split {
        may.insert(
            0,
            "either side may answer: it is drawn for each request, here as for `--chance 0`"
                .to_owned(),
        );
    }
    let told = |step: Step| Told {
        step: step.name,
        found: match step.without_chance {
            Some(other) if chance.is_none() => other,
            _ => step.found,
        },
    };
    Ok(Explanation {
        request: format!(
            "{} {}{}",
            head.method,
            head.host.map_or(String::new(), |h| format!("{h} ")),
            target(head)
        ),
        canonical: view.path.clone().into_owned(),
        rewritten: *view.path != *head.path,
        slice: decision
            .slice
            .and_then(|ix| snapshot.slice(ix))
            .map(|s| s.id.to_string()),
        position: decision.position.to_string(),
        side: decision.primary.as_str(),
        backend: backend.map_or(String::new(), |b| b.name.to_string()),
        reason: decision.reason.as_str(),
        mirror: mirror(&decision, sampled),
        candidate_path: decision
            .slice
            .and_then(|ix| snapshot.slice(ix)?.edits.rewrite.as_ref())
            .and_then(|rewrite| rewrite.moved(head.path)),
        on_failure: on_failure(snapshot, &decision, head.method),
        outcome: outcome.map(Outcome::name),
        outcome_reason: outcome.map_or("", Outcome::reason),
        steps: steps.into_iter().map(told).collect(),
        lost: lost(snapshot, &view),
        may,
    })
}

/// Returns a side as a sentence has it.
fn the(side: Side) -> &'static str {
    match side {
        Side::Legacy => "legacy",
        Side::Candidate => "the candidate",
    }
}

fn target(head: &Head<'_>) -> String {
    match head.query {
        Some(query) => format!("{}?{query}", head.path),
        None => head.path.to_owned(),
    }
}

/// Says who answers where the candidate fails.
fn on_failure(snapshot: &Snapshot, decision: &Decision, method: &Method) -> Option<String> {
    let slice = snapshot.slice(decision.slice?)?;
    if decision.primary == Side::Legacy {
        return None;
    }
    Some(match &slice.fallback {
        None => "the client gets an error: the slice has no `fallback`".to_owned(),
        Some(_) if decision.position.stage() == Stage::Retired => {
            "the client gets an error: in stage `retired` nothing falls back".to_owned()
        }
        Some(_) if !method.is_safe() => {
            format!("the client gets an error: {method} never falls back")
        }
        Some(fallback) => format!("legacy answers, after {fallback} of requests"),
    })
}

fn mirror(decision: &Decision, sampled: bool) -> String {
    let other = the(decision.primary.other());
    match decision.mirror {
        Mirror::Ended(Outcome::SampledOut) if sampled => {
            format!("a sample goes to {other} as a copy")
        }
        Mirror::Copy if sampled => format!("a sample goes to {other} as a copy"),
        Mirror::Copy => format!("{other} gets a copy"),
        Mirror::ControlOnly => {
            "nobody gets a copy; legacy may be asked again (not_mirrored, stage)".to_owned()
        }
        Mirror::Ended(outcome) if outcome.reason().is_empty() => {
            format!("nobody gets a copy ({})", outcome.name())
        }
        Mirror::Ended(outcome) => format!(
            "nobody gets a copy ({}, {})",
            outcome.name(),
            outcome.reason()
        ),
    }
}

/// Returns what the head does not decide.
fn may(snapshot: &Snapshot, decision: &Decision, sampled: bool) -> Vec<String> {
    let mut may = Vec::new();
    let Some((ix, slice)) = decision
        .slice
        .and_then(|ix| Some((ix, snapshot.slice(ix)?)))
    else {
        return may;
    };
    let copied = match decision.mirror {
        Mirror::Copy => true,
        Mirror::Ended(outcome) => sampled && outcome == Outcome::SampledOut,
        Mirror::ControlOnly => false,
    };
    if !copied {
        return may;
    }
    if sampled {
        may.push(format!(
            "sampled_out: only {} is mirrored",
            snapshot.sample(ix)
        ));
    }
    if let Some(rate) = slice.shadow.rate {
        may.push(format!(
            "sampled_out: above {rate} copies a second of this slice"
        ));
    }
    may.push(format!(
        "shed: above {} copies at a time, or when mirroring is behind",
        slice.shadow.max_inflight
    ));
    may
}

fn lost(snapshot: &Snapshot, view: &View<'_>) -> Vec<Lost> {
    let winner = snapshot.rules.matcher.find(view);
    let contenders = snapshot.rules.matcher.contenders(view);
    contenders
        .into_iter()
        .filter(|rule| winner.is_none_or(|w| !std::ptr::eq(*rule, w)))
        .take(LOST_MAX)
        .filter_map(|rule| {
            let slice = snapshot.slice(rule.slice)?;
            let why = match (rule.condition.misses(view), winner) {
                (Some(miss), _) => missed(&rule.condition, miss, view),
                (None, Some(winner)) => outranked(&rule.condition, &winner.condition),
                (None, None) => return None,
            };
            Some(Lost {
                slice: slice.id.to_string(),
                line: slice.line,
                matches: rule.condition.to_string(),
                why,
            })
        })
        .collect()
}

fn missed(condition: &Condition, miss: Miss, view: &View<'_>) -> String {
    match miss {
        Miss::Method => format!("its methods lack {}", view.head.method),
        Miss::Header(place) => match condition.headers.get(place) {
            Some((name, _)) if !view.head.headers.contains_key(name) => {
                format!("the request has no `{name}`")
            }
            Some((name, _)) => format!("`{name}` has another value"),
            None => "a header field has another value".to_owned(),
        },
        Miss::Tenant => "the tenant is none of these".to_owned(),
    }
}

/// Says why `loser` comes behind `winner`, though both hold.
fn outranked(loser: &Condition, winner: &Condition) -> String {
    let (l, w) = (precedence(loser), precedence(winner));
    let why = if l.0 != w.0 {
        match winner.host {
            Host::Exact(_) => "an exact host comes first",
            Host::Below(_) | Host::Any => "a wildcard host comes before any host",
        }
    } else if l.1 != w.1 {
        "a longer wildcard host comes first"
    } else if l.2 != w.2 {
        "a whole path comes before a prefix"
    } else if l.3 != w.3 {
        match winner.shape {
            Shape::Whole(_) => "more literal segments come first",
            Shape::Prefix(_) => "a longer prefix comes first",
        }
    } else if loser.methods.is_empty() != winner.methods.is_empty() {
        "a match with methods comes first"
    } else if loser.count() != winner.count() {
        "more header and tenant conditions come first"
    } else {
        "it stands later in the file"
    };
    why.to_owned()
}

/// The text that `explain` prints.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.request)?;
        let backend = if self.backend == self.side {
            String::new()
        } else {
            format!(" ({})", self.backend)
        };
        writeln!(f, "  {}{backend} answers: {}", self.side, self.reason)?;
        writeln!(f, "  {}", self.mirror)?;
        if let Some(path) = &self.candidate_path {
            writeln!(f, "  the candidate gets {path}")?;
        }
        if let Some(then) = &self.on_failure {
            writeln!(f, "  if the candidate fails, {then}")?;
        }
        if self.rewritten {
            writeln!(f, "  rules see {}", self.canonical)?;
        }
        writeln!(f, "\nsteps")?;
        for (number, told) in self.steps.iter().enumerate() {
            writeln!(f, "  {:>2}  {:<10}  {}", number + 1, told.step, told.found)?;
        }
        if !self.may.is_empty() {
            writeln!(f, "\nmay be")?;
            for line in &self.may {
                writeln!(f, "      {line}")?;
            }
        }
        if !self.lost.is_empty() {
            writeln!(f, "\nlost")?;
            for lost in &self.lost {
                writeln!(
                    f,
                    "      `{}` (line {}) {}: {}",
                    lost.slice, lost.line, lost.matches, lost.why
                )?;
            }
        }
        Ok(())
    }
}
