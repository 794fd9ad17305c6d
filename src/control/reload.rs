//! From bytes to rules, or to every problem: whole, or not at all.
//!
//! Judging runs beside the loop, because four megabytes take a while. What came in place and would
//! move traffic or let more be mirrored is only taken when it is still there half a second later,
//! whole lines and all: the front half of a YAML file is often valid.

use super::diff;
use crate::rules;
use crate::rules::Loaded;
use crate::rules::Problem;
use crate::rules::Severity;
use crate::rules::Snapshot;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Between the two looks at risky content.
pub(super) const CONFIRM: Duration = Duration::from_millis(500);

/// What content means.
#[derive(Debug)]
pub(super) enum Judged {
    /// It runs already.
    Same,
    /// It cannot be taken.
    Refused {
        /// Why.
        problems: Vec<Problem>,
        /// The text, if it is one.
        text: Option<Arc<str>>,
    },
    /// It can be taken.
    Good {
        /// The rules.
        loaded: Box<Loaded>,
        /// It moves traffic, or lets more be mirrored.
        risky: bool,
        /// Its last line ends.
        ended: bool,
        /// What changes, slice by slice.
        changes: Vec<String>,
        /// What changes in the text.
        diff: String,
    },
}

/// Judges content against the rules in force. Takes as long as it takes: never on the loop.
pub(super) fn judge(path: &str, content: &Result<Arc<[u8]>, String>, current: &Snapshot) -> Judged {
    let bytes = match content {
        Ok(bytes) => bytes,
        Err(error) => {
            return Judged::Refused {
                problems: vec![unreadable(error)],
                text: None,
            };
        }
    };
    let text = match rules::decode(bytes) {
        Ok(text) => text,
        Err(problem) => {
            return Judged::Refused {
                problems: vec![*problem],
                text: None,
            };
        }
    };
    if *text == **current.text() {
        return Judged::Same;
    }
    match rules::load(path, text) {
        Ok(loaded) => Judged::Good {
            risky: rules::is_risky(current, &loaded.snapshot),
            ended: text.ends_with('\n'),
            changes: rules::diff(current, &loaded.snapshot),
            diff: diff::unified(current.text(), text),
            loaded: Box::new(loaded),
        },
        Err(problems) => Judged::Refused {
            problems,
            text: Some(text.into()),
        },
    }
}

fn unreadable(error: &str) -> Problem {
    problem(
        format!("the file cannot be read: {error}"),
        "the rules in force stay; put the file back",
    )
}

/// Says that judging broke: a defect of ours that costs this content only.
pub(super) fn broken(error: &str) -> Problem {
    problem(
        format!("reading the file broke: {error}"),
        "this is a defect; the rules in force stay",
    )
}

/// Says that content will not be taken while its last line does not end.
pub(super) fn half_written() -> Problem {
    problem(
        "this would move traffic or let more be mirrored, and its last line does not end: the file may be half written"
            .to_owned(),
        "end the last line, save by rename, or force a reload",
    )
}

/// A file that cannot be read, or not yet: what `check` calls E010.
fn problem(message: String, hint: &str) -> Problem {
    Problem {
        code: "E010",
        severity: Severity::Error,
        line: 1,
        column: 1,
        message,
        snippet: String::new(),
        underline: (0, 0),
        hint: hint.to_owned(),
        example: None,
    }
}

/// Content that waits for its second look.
#[derive(Debug)]
pub(super) struct Waiting {
    content: Arc<[u8]>,
    at: Instant,
}

/// What to do with good content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Take it.
    Take,
    /// Look again then.
    Look(Instant),
    /// Refuse it: its last line does not end.
    HalfWritten,
}

/// Decides whether good content is taken now; keeps in `waiting` what has to be looked at again.
///
/// `trusted` is content that came whole, was forced, or changes nothing that could hurt.
pub(super) fn next(
    waiting: &mut Option<Waiting>,
    content: &Arc<[u8]>,
    trusted: bool,
    ended: bool,
    at: Instant,
) -> Next {
    if trusted {
        *waiting = None;
        return Next::Take;
    }
    match waiting.take() {
        Some(first) if first.content == *content => {
            if at < first.at + CONFIRM {
                let due = first.at + CONFIRM;
                *waiting = Some(first);
                Next::Look(due)
            } else if ended {
                Next::Take
            } else {
                Next::HalfWritten
            }
        }
        _ => {
            *waiting = Some(Waiting {
                content: Arc::clone(content),
                at,
            });
            Next::Look(at + CONFIRM)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Arc<[u8]> {
        text.as_bytes().into()
    }

    #[test]
    fn risky_content_is_taken_when_it_is_still_there_half_a_second_later() {
        let (mut waiting, start) = (None, Instant::now());
        let later = |millis| start + Duration::from_millis(millis);
        let a = bytes("a\n");
        let look = |millis| Next::Look(later(millis));
        assert_eq!(next(&mut waiting, &a, false, true, start), look(500));
        assert_eq!(next(&mut waiting, &a, false, true, later(300)), look(500));
        // Other content starts anew, and so does the first when it comes back.
        let b = bytes("b\n");
        assert_eq!(next(&mut waiting, &b, false, true, later(400)), look(900));
        assert_eq!(next(&mut waiting, &a, false, true, later(500)), look(1_000));
        assert_eq!(
            next(&mut waiting, &a, false, true, later(1_000)),
            Next::Take
        );
        assert!(waiting.is_none());
    }

    #[test]
    fn what_came_whole_is_taken_at_once_and_what_does_not_end_never() {
        let (mut waiting, start) = (None, Instant::now());
        let a = bytes("a");
        assert_eq!(next(&mut waiting, &a, true, false, start), Next::Take);
        next(&mut waiting, &a, false, false, start);
        let again = next(&mut waiting, &a, false, false, start + CONFIRM);
        assert_eq!(again, Next::HalfWritten);
    }
}
