//! The prefix that all matches of a slice share, which `rewrite` moves. Pure.

use crate::rules::condition::Condition;
use crate::rules::condition::Segment;
use crate::rules::condition::Shape;

/// Why there is no such prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unshared {
    /// A match begins with a capture; as the file could write it.
    Capture(String),
    /// Two matches have nothing in common.
    Apart(String, String),
}

/// Returns the longest literal prefix, without a slash at its end; empty for the root, where one of
/// the matches takes the root itself.
pub(super) fn shared<'c>(
    conditions: impl Iterator<Item = &'c Condition>,
) -> Result<String, Unshared> {
    let mut common: Option<(Vec<&str>, &Condition)> = None;
    for condition in conditions {
        let mine = literals(&condition.shape);
        if mine.is_empty() {
            return match &condition.shape {
                Shape::Whole(segments) if matches!(segments.first(), Some(Segment::Capture(_))) => {
                    Err(Unshared::Capture(condition.to_string()))
                }
                Shape::Whole(_) | Shape::Prefix(_) => Ok(String::new()),
            };
        }
        common = match common {
            None => Some((mine, condition)),
            Some((mut before, first)) => {
                let same = before.iter().zip(&mine).take_while(|(a, b)| a == b).count();
                if same == 0 {
                    return Err(Unshared::Apart(first.to_string(), condition.to_string()));
                }
                before.truncate(same);
                Some((before, first))
            }
        };
    }
    let segments = common.map(|(segments, _)| segments).unwrap_or_default();
    Ok(segments.iter().fold(String::new(), |mut out, segment| {
        out.push('/');
        out.push_str(segment);
        out
    }))
}

/// Returns the segments before the first capture, without an empty one at the end.
fn literals(shape: &Shape) -> Vec<&str> {
    let mut found: Vec<&str> = match shape {
        Shape::Prefix(segments) => segments.iter().map(|s| &**s).collect(),
        Shape::Whole(segments) => segments
            .iter()
            .map_while(|s| match s {
                Segment::Literal(text) => Some(&**text),
                Segment::Capture(_) => None,
            })
            .collect(),
    };
    while found.last().is_some_and(|s| s.is_empty()) {
        found.pop();
    }
    found
}
