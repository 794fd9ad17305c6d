//! How values are written into rows: JSON with words, so that a later version reads them.

use super::AnswerView;
use super::Counts;
use super::DifferenceView;
use super::Example;
use super::RequestView;
use crate::compare::BodyView;
use crate::model::FieldKey;
use crate::model::Kind;
use crate::model::Outcome;
use crate::model::PairId;
use crate::model::SliceId;
use crate::model::UnixMillis;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::Xxh3;

#[derive(Debug, Serialize, Deserialize)]
struct ExampleRow {
    id: String,
    slice: String,
    at: i64,
    endpoint: String,
    #[serde(default)]
    keys: Vec<(String, String)>,
    method: String,
    target: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    legacy: Option<AnswerRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidate: Option<AnswerRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default)]
    differences: Vec<DifferenceRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AnswerRow {
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: BodyView,
    duration_us: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct DifferenceRow {
    path: String,
    kind: String,
    place: String,
    legacy: String,
    candidate: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct CountsRow {
    requests: u64,
    outcomes: BTreeMap<String, u64>,
    control_pairs: u64,
    control_failed: u64,
    retired_hits: u64,
}

/// Writes an example.
pub(super) fn example(example: &Example) -> String {
    let Example {
        id,
        slice,
        at,
        endpoint,
        set_keys,
        request,
        legacy,
        candidate,
        error,
        differences,
    } = example;
    let row = ExampleRow {
        id: id.to_string(),
        slice: slice.to_string(),
        at: at.0,
        endpoint: endpoint.clone(),
        keys: set_keys
            .iter()
            .map(|k| (k.path.to_string(), k.kind.to_string()))
            .collect(),
        method: request.method.clone(),
        target: request.target.clone(),
        headers: request.headers.clone(),
        legacy: legacy.as_ref().map(answer),
        candidate: candidate.as_ref().map(answer),
        error: error.clone(),
        differences: differences.iter().map(difference).collect(),
    };
    serde_json::to_string(&row).unwrap_or_default()
}

fn answer(answer: &AnswerView) -> AnswerRow {
    AnswerRow {
        status: answer.status,
        headers: answer.headers.clone(),
        body: answer.body.clone(),
        duration_us: answer.duration_us,
    }
}

fn difference(difference: &DifferenceView) -> DifferenceRow {
    DifferenceRow {
        path: difference.path.clone(),
        kind: difference.kind.to_string(),
        place: difference.place.clone(),
        legacy: difference.legacy.clone(),
        candidate: difference.candidate.clone(),
    }
}

/// Reads an example, or nothing if the row makes no sense.
pub(super) fn parse_example(text: &str) -> Option<Example> {
    let row: ExampleRow = serde_json::from_str(text).ok()?;
    let key = |(path, kind): (String, String)| Some(FieldKey::new(path, Kind::parse(&kind)?));
    let difference = |row: DifferenceRow| {
        Some(DifferenceView {
            path: row.path,
            kind: Kind::parse(&row.kind)?,
            place: row.place,
            legacy: row.legacy,
            candidate: row.candidate,
        })
    };
    Some(Example {
        id: PairId::parse(&row.id)?,
        slice: SliceId::new(row.slice),
        at: UnixMillis(row.at),
        endpoint: row.endpoint,
        set_keys: row.keys.into_iter().filter_map(key).collect(),
        request: RequestView {
            method: row.method,
            target: row.target,
            headers: row.headers,
        },
        legacy: row.legacy.map(parse_answer),
        candidate: row.candidate.map(parse_answer),
        error: row.error,
        differences: row.differences.into_iter().filter_map(difference).collect(),
    })
}

fn parse_answer(row: AnswerRow) -> AnswerView {
    AnswerView {
        status: row.status,
        headers: row.headers,
        body: row.body,
        duration_us: row.duration_us,
    }
}

/// Names the pairs of which a few are enough: same slice, endpoint, statuses and keys.
pub(super) fn family(example: &Example) -> u64 {
    let mut hash = Xxh3::new();
    let mut put = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    put(example.slice.as_str());
    put(&example.endpoint);
    for key in &example.set_keys {
        put(&key.path);
        put(key.kind.as_str());
    }
    let status = |answer: &Option<AnswerView>| answer.as_ref().map_or(0, |a| a.status);
    hash.update(&status(&example.legacy).to_le_bytes());
    hash.update(&status(&example.candidate).to_le_bytes());
    hash.digest()
}

fn outcome_word(outcome: Outcome) -> String {
    format!("{}/{}", outcome.name(), outcome.reason())
}

/// Writes counters.
pub(super) fn counts(counts: &Counts) -> String {
    let Counts {
        requests,
        outcomes,
        control_pairs,
        control_failed,
        retired_hits,
    } = counts;
    let outcomes = Outcome::ALL
        .iter()
        .zip(outcomes)
        .filter(|(_, n)| **n > 0)
        .map(|(outcome, n)| (outcome_word(*outcome), *n))
        .collect();
    let row = CountsRow {
        requests: *requests,
        outcomes,
        control_pairs: *control_pairs,
        control_failed: *control_failed,
        retired_hits: *retired_hits,
    };
    serde_json::to_string(&row).unwrap_or_default()
}

/// Reads counters; what makes no sense counts as nothing.
pub(super) fn parse_counts(text: &str) -> Counts {
    let row: CountsRow = serde_json::from_str(text).unwrap_or_default();
    let mut counts = Counts {
        requests: row.requests,
        control_pairs: row.control_pairs,
        control_failed: row.control_failed,
        retired_hits: row.retired_hits,
        ..Counts::default()
    };
    for (outcome, n) in Outcome::ALL.iter().zip(&mut counts.outcomes) {
        *n = row
            .outcomes
            .get(&outcome_word(*outcome))
            .copied()
            .unwrap_or(0);
    }
    counts
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::compare::BodyKind;

    pub(in crate::store) fn sample(id: u64, endpoint: &str) -> Example {
        let answer = |status, text: &str| AnswerView {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: BodyView {
                kind: BodyKind::Json,
                text: text.to_owned(),
                truncated: false,
                bytes: 12,
            },
            duration_us: 1_234,
        };
        Example {
            id: PairId(id),
            slice: SliceId::new("orders"),
            // Far ahead, so that no limit of days takes it.
            at: UnixMillis(4_000_000_000_000 + i64::try_from(id % 1_000_000).unwrap()),
            endpoint: endpoint.to_owned(),
            set_keys: vec![FieldKey::new("$.total", Kind::Type)],
            request: RequestView {
                method: "GET".to_owned(),
                target: "/orders/7?q=«token 3f9a1c»".to_owned(),
                headers: vec![("accept".to_owned(), "*/*".to_owned())],
            },
            legacy: Some(answer(200, "{\"total\": 12.5}")),
            candidate: Some(answer(200, "{\"total\": \"12.5\"}")),
            error: None,
            differences: vec![DifferenceView {
                path: "$.total".to_owned(),
                kind: Kind::Type,
                place: "$.total".to_owned(),
                legacy: "12.5".to_owned(),
                candidate: "\"12.5\"".to_owned(),
            }],
        }
    }

    #[test]
    fn an_example_reads_back_as_written() {
        let mut one = sample(u64::MAX, "GET /orders/{}");
        assert_eq!(parse_example(&example(&one)), Some(one.clone()));
        one.candidate = None;
        one.error = Some("refused".to_owned());
        assert_eq!(parse_example(&example(&one)), Some(one));
        assert_eq!(parse_example("{}"), None);
    }

    #[test]
    fn counters_read_back_as_written_and_nonsense_is_nothing() {
        let mut all = Counts {
            requests: 7,
            control_pairs: 1,
            control_failed: 2,
            retired_hits: 3,
            ..Counts::default()
        };
        for (n, place) in (1..).zip(&mut all.outcomes) {
            *place = n;
        }
        assert_eq!(parse_counts(&counts(&all)), all);
        assert_eq!(parse_counts("not json"), Counts::default());
    }

    #[test]
    fn a_family_is_slice_endpoint_statuses_and_keys() {
        let one = sample(1, "GET /a");
        assert_eq!(family(&one), family(&sample(2, "GET /a")));
        assert_ne!(family(&one), family(&sample(1, "GET /b")));
        let mut other = sample(1, "GET /a");
        other.candidate = None;
        assert_ne!(family(&one), family(&other));
    }
}
