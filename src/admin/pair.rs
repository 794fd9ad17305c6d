//! One pair of answers as the API shows it: values to operators, shapes to viewers.

use serde::Serialize;

use super::shape;
use crate::compare::BodyKind;
use crate::store::AnswerView;
use crate::store::Example;

/// A pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PairView {
    id: String,
    slice: String,
    at: String,
    endpoint: String,
    /// Whether values are shown, or shapes in their place.
    values: bool,
    request: RequestShown,
    legacy: Option<AnswerShown>,
    candidate: Option<AnswerShown>,
    /// Why the candidate gave no answer.
    error: Option<String>,
    differences: Vec<DifferenceShown>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct RequestShown {
    method: String,
    /// The path and query, or none where only shapes are shown.
    target: Option<String>,
    headers: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct AnswerShown {
    status: u16,
    headers: Vec<(String, String)>,
    body: BodyShown,
    /// In seconds.
    duration: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct BodyShown {
    kind: &'static str,
    text: String,
    truncated: bool,
    bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct DifferenceShown {
    path: String,
    kind: &'static str,
    place: String,
    legacy: String,
    candidate: String,
}

impl PairView {
    /// Draws `example`, with values or without.
    pub(crate) fn of(example: &Example, values: bool) -> Self {
        let excerpt = |text: &String| {
            if values {
                text.clone()
            } else {
                shape::json_value(text)
            }
        };
        Self {
            id: example.id.to_string(),
            slice: example.slice.as_str().to_owned(),
            at: example.at.to_string(),
            endpoint: example.endpoint.clone(),
            values,
            request: RequestShown {
                method: example.request.method.clone(),
                target: values.then(|| example.request.target.clone()),
                headers: headers(&example.request.headers, values),
            },
            legacy: example.legacy.as_ref().map(|a| answer(a, values)),
            candidate: example.candidate.as_ref().map(|a| answer(a, values)),
            error: example.error.clone(),
            differences: example
                .differences
                .iter()
                .map(|d| DifferenceShown {
                    path: d.path.clone(),
                    kind: d.kind.as_str(),
                    place: d.place.clone(),
                    legacy: excerpt(&d.legacy),
                    candidate: excerpt(&d.candidate),
                })
                .collect(),
        }
    }
}

fn headers(fields: &[(String, String)], values: bool) -> Vec<(String, String)> {
    fields
        .iter()
        .map(|(name, value)| (name.clone(), shape::header(name, value, values)))
        .collect()
}

fn answer(answer: &AnswerView, values: bool) -> AnswerShown {
    let body = &answer.body;
    AnswerShown {
        status: answer.status,
        headers: headers(&answer.headers, values),
        body: BodyShown {
            kind: match body.kind {
                BodyKind::Json => "json",
                BodyKind::Text => "text",
                BodyKind::Bytes => "bytes",
            },
            text: match (values, body.kind) {
                (true, _) | (_, BodyKind::Bytes) => body.text.clone(),
                (false, BodyKind::Json) => by_line(&body.text, shape::json_line),
                (false, BodyKind::Text) => by_line(&body.text, shape::text_line),
            },
            truncated: body.truncated,
            bytes: body.bytes,
        },
        duration: super::pages::text::to_f64(answer.duration_us) / 1e6,
    }
}

fn by_line(text: &str, shape: fn(&str) -> String) -> String {
    text.lines().map(shape).collect::<Vec<_>>().join("\n")
}
