//! A body as lines: JSON printed again, other texts as they are. Pure.

use serde_json::Value;
use std::fmt::Write as _;

use super::Line;

/// Returns the lines of both bodies; as JSON if both are.
pub(crate) fn lines(legacy: &str, candidate: &str, json: bool) -> (Vec<Line>, Vec<Line>) {
    if json
        && let Ok(left) = serde_json::from_str::<Value>(legacy)
        && let Ok(right) = serde_json::from_str::<Value>(candidate)
    {
        let right = ordered(right, &left);
        return (print(&left), print(&right));
    }
    (plain(legacy), plain(candidate))
}

fn plain(text: &str) -> Vec<Line> {
    text.lines()
        .map(|line| Line {
            text: line.to_owned(),
            place: String::new(),
            kind: "",
        })
        .collect()
}

/// Puts names into the order of `model`; new ones keep theirs, at the end.
fn ordered(value: Value, model: &Value) -> Value {
    match (value, model) {
        (Value::Object(mut map), Value::Object(model)) => {
            let mut out = serde_json::Map::new();
            for (name, inner) in model {
                if let Some(value) = map.shift_remove(name) {
                    out.insert(name.clone(), ordered(value, inner));
                }
            }
            out.append(&mut map);
            Value::Object(out)
        }
        (Value::Array(list), Value::Array(model)) => Value::Array(
            list.into_iter()
                .enumerate()
                .map(|(at, item)| match model.get(at) {
                    Some(inner) => ordered(item, inner),
                    None => item,
                })
                .collect(),
        ),
        (value, _) => value,
    }
}

fn print(value: &Value) -> Vec<Line> {
    let mut out = Vec::new();
    push(&mut out, value, &mut "$".to_owned(), 0, "", "");
    out
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn push(
    out: &mut Vec<Line>,
    value: &Value,
    place: &mut String,
    depth: usize,
    name: &str,
    end: &str,
) {
    let indent = "  ".repeat(depth);
    let mut line = |text: String, place: &str| {
        out.push(Line {
            text,
            place: place.to_owned(),
            kind: kind(value),
        });
    };
    let (open, close) = match value {
        Value::Array(list) if !list.is_empty() => ('[', ']'),
        Value::Object(map) if !map.is_empty() => ('{', '}'),
        scalar => return line(format!("{indent}{name}{scalar}{end}"), place),
    };
    line(format!("{indent}{name}{open}"), place);
    let length = place.len();
    let comma = |at: usize, count: usize| if at + 1 < count { "," } else { "" };
    match value {
        Value::Array(list) => {
            for (at, item) in list.iter().enumerate() {
                write!(place, "[{at}]").expect("a string takes everything");
                push(out, item, place, depth + 1, "", comma(at, list.len()));
                place.truncate(length);
            }
        }
        Value::Object(map) => {
            for (at, (name, item)) in map.iter().enumerate() {
                push_name(place, name);
                let name = format!("{}: ", Value::from(name.as_str()));
                push(out, item, place, depth + 1, &name, comma(at, map.len()));
                place.truncate(length);
            }
        }
        _ => {}
    }
    out.push(Line {
        text: format!("{indent}{close}{end}"),
        place: place.clone(),
        kind: kind(value),
    });
}

fn push_name(place: &mut String, name: &str) {
    let simple = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let result = if simple {
        write!(place, ".{name}")
    } else {
        write!(place, "[{}]", Value::from(name))
    };
    result.expect("a string takes everything");
}
