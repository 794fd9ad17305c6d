//! Which pairs are kept as examples, and how they are made fit to be kept.
//!
//! Everything is redacted here, before it leaves the process's memory.

use super::call::Called;
use super::job::Job;
use crate::compare::Answer;
use crate::compare::Difference;
use crate::compare::RedactKey;
use crate::compare::body_view;
use crate::compare::headers_view;
use crate::compare::target_view;
use crate::model::FieldKey;
use crate::model::Side;
use crate::store::AnswerView;
use crate::store::DifferenceView;
use crate::store::Example;
use crate::store::RequestView;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::hash::Hasher;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// How many examples of one kind a worker makes before it thins them out.
const FIRST: u64 = 20;
/// How many kinds a worker tells apart; over that it starts to count anew.
const KINDS: usize = 4_096;

/// How often each kind of pair was seen by this worker.
#[derive(Debug, Default)]
pub(super) struct Picker(RefCell<HashMap<u64, u64>>);

impl Picker {
    /// Returns whether a pair is to be kept: the first ones of its kind always, then ever fewer, so
    /// that every pair has had the same chance (Vitter's algorithm R).
    pub(super) fn picks(
        &self,
        slice: &str,
        endpoint: &str,
        status: (u16, u16),
        keys: &[FieldKey],
        chance: u64,
    ) -> bool {
        let mut hash = Xxh3::new();
        (slice, endpoint, status, keys).hash(&mut hash);
        let mut kinds = self.0.borrow_mut();
        if kinds.len() >= KINDS {
            kinds.clear();
        }
        let seen = kinds.entry(hash.finish()).or_insert(0);
        *seen += 1;
        *seen <= FIRST || chance % *seen < FIRST
    }
}

/// Makes an example of a pair.
pub(super) fn example(
    job: &Job,
    endpoint: &str,
    other: Result<&Called, &'static str>,
    differences: &[Difference],
    key: &RedactKey,
) -> Example {
    let target = job.asked.parts.uri.path_and_query();
    let served = answer_view(&job.served, job.took, key);
    let (copied, error) = match other {
        Ok(called) => (Some(answer_view(&called.answer, called.took, key)), None),
        Err(why) => (None, Some(why.to_owned())),
    };
    let (legacy, candidate) = match job.side {
        Side::Legacy => (Some(served), copied),
        Side::Candidate => (copied, Some(served)),
    };
    Example {
        id: job.id,
        slice: job.lane.id().clone(),
        at: job.at,
        endpoint: endpoint.to_owned(),
        set_keys: differences.iter().map(|d| d.key.clone()).collect(),
        request: RequestView {
            method: job.asked.parts.method.to_string(),
            target: target_view(target.map_or("/", |t| t.as_str()), key),
            headers: headers_view(&job.asked.parts.headers, key),
        },
        legacy,
        candidate,
        error,
        differences: differences
            .iter()
            .filter_map(|d| difference_view(d, key))
            .collect(),
    }
}

fn answer_view(answer: &Answer, took: Duration, key: &RedactKey) -> AnswerView {
    AnswerView {
        status: answer.status,
        headers: headers_view(&answer.headers, key),
        body: body_view(answer, key),
        duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    }
}

fn difference_view(difference: &Difference, key: &RedactKey) -> Option<DifferenceView> {
    let shown = difference.shown(key)?;
    Some(DifferenceView {
        path: difference.key.path.to_string(),
        kind: difference.key.kind,
        place: shown.place,
        legacy: shown.legacy,
        candidate: shown.candidate,
    })
}
