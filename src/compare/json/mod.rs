//! Differences of two JSON texts by structure. Pure.
//!
//! Two tokenizers walk in step for as long as their tokens are equal; nothing is built on the way.
//! Where they part, the smallest subtree that must be seen as a whole is read into a flat tree on
//! both sides: the value, the object whose names part, or the outermost array (its members may only
//! have changed places). After it the walk goes on in step.

pub(crate) mod diff;
pub(crate) mod scalar;
pub(crate) mod tape;
pub(crate) mod tokens;

use crate::compare::Comparator;
use crate::compare::body::common_prefix;
use crate::compare::found::Exhausted;
use crate::compare::found::Found;
use crate::compare::ignore::Segment;
use crate::compare::ignore::States;
use crate::compare::json::diff::Diff;
use crate::compare::json::diff::Hashes;
use crate::compare::json::scalar::unescape;
use crate::compare::json::tape::Tape;
use crate::compare::json::tokens::Broken;
use crate::compare::json::tokens::Kind;
use crate::compare::json::tokens::Tokens;
use crate::compare::own::OwnField;
use crate::compare::place::Place;
use bytes::Bytes;

/// What became of comparing two texts as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Both were read; the differences are added.
    Both,
    /// Only one of them is JSON.
    One,
    /// Neither is JSON.
    Neither,
    /// Legacy's text is over a limit, or the pair over its budget.
    TooComplex,
    /// Only the candidate's text is over a limit.
    CandidateTooComplex,
}

/// Compares two texts as JSON. Unless the answer is [`Reading::Both`], nothing was added.
pub(crate) fn compare(
    comparator: &Comparator,
    (legacy, candidate): (&Bytes, &Bytes),
    own: &[OwnField],
    found: &mut Found,
) -> Reading {
    let (legacy, candidate) = (without_mark(legacy), without_mark(candidate));
    let before = found.moment();
    let mut walk = Walk {
        comparator,
        legacy: &legacy,
        candidate: &candidate,
        own,
        found,
    };
    let readable = is_utf8(&legacy) && is_utf8(&candidate);
    let stopped = match readable.then(|| walk.run()) {
        Some(Ok(())) => return Reading::Both,
        Some(Err(stop)) => stop,
        None => Stop::Broken,
    };
    found.back(before);
    if stopped == Stop::Exhausted {
        return Reading::TooComplex;
    }
    let check = |text: &Bytes| {
        if is_utf8(text) {
            read(start(comparator, text))
        } else {
            Err(Broken::Syntax)
        }
    };
    match (check(&legacy), check(&candidate)) {
        // The walk reads what the check reads; if it ever stopped alone, there is no verdict.
        (Err(Broken::Complex), _) | (Ok(()), Ok(())) => Reading::TooComplex,
        (Ok(()), Err(Broken::Complex)) => Reading::CandidateTooComplex,
        (Err(Broken::Syntax), Err(_)) => Reading::Neither,
        (Ok(()), Err(Broken::Syntax)) | (Err(Broken::Syntax), Ok(())) => Reading::One,
    }
}

fn is_utf8(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok()
}

/// Drops the byte order mark that some writers put first.
fn without_mark(text: &Bytes) -> Bytes {
    if text.starts_with(b"\xef\xbb\xbf") {
        text.slice(3..)
    } else {
        text.clone()
    }
}

fn start<'a>(comparator: &Comparator, text: &'a [u8]) -> Tokens<'a> {
    let limits = &comparator.config.limits;
    Tokens::new(text, limits.depth, limits.nodes)
}

fn read(mut tokens: Tokens<'_>) -> Result<(), Broken> {
    while tokens.pull()?.kind != Kind::End {}
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Broken,
    Exhausted,
}

impl From<Broken> for Stop {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

impl From<Exhausted> for Stop {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

struct Walk<'w> {
    comparator: &'w Comparator,
    legacy: &'w Bytes,
    candidate: &'w Bytes,
    own: &'w [OwnField],
    found: &'w mut Found,
}

/// A container that both walks are in.
struct Frame<'a> {
    /// Both walks before its opening token.
    before: (Tokens<'a>, Tokens<'a>),
    array: bool,
    /// The name that both are at, with its quotes.
    key: &'a [u8],
}

impl<'w> Walk<'w> {
    fn run(&mut self) -> Result<(), Stop> {
        let mut legacy = start(self.comparator, self.legacy);
        let mut candidate = start(self.comparator, self.candidate);
        let mut frames: Vec<Frame<'w>> = Vec::new();
        // How far both texts are equal from here, in legacy's bytes: there one walk does for both.
        let mut shared = shared_until(&legacy, &candidate);
        loop {
            let before = (legacy, candidate);
            self.found.spend(2)?;
            let a = legacy.pull()?;
            let both = legacy.at() < shared;
            let b = if both {
                candidate.follow(&before.0, &legacy, a)?
            } else {
                candidate.pull()?
            };
            if both || (a.kind == b.kind && legacy.slice(a) == candidate.slice(b)) {
                match a.kind {
                    Kind::End => return Ok(()),
                    Kind::ArrayOpen | Kind::ObjectOpen => frames.push(Frame {
                        before,
                        array: a.kind == Kind::ArrayOpen,
                        key: &[],
                    }),
                    Kind::ArrayClose | Kind::ObjectClose => drop(frames.pop()),
                    Kind::Key => {
                        if let Some(frame) = frames.last_mut() {
                            frame.key = legacy.slice(a);
                        }
                    }
                    Kind::Null | Kind::False | Kind::True | Kind::Number | Kind::String => {}
                }
                continue;
            }
            let names = [a.kind, b.kind]
                .iter()
                .any(|kind| matches!(kind, Kind::Key | Kind::ObjectClose));
            (legacy, candidate) = part(&mut frames, before, names);
            self.subtree(&frames, &mut legacy, &mut candidate)?;
            shared = shared_until(&legacy, &candidate);
        }
    }

    /// Compares the value that comes next on both sides, and leaves both walks after it.
    fn subtree(
        &mut self,
        frames: &[Frame<'_>],
        legacy: &mut Tokens<'w>,
        candidate: &mut Tokens<'w>,
    ) -> Result<(), Stop> {
        let legacy = Tape::read(legacy)?;
        let candidate = Tape::read(candidate)?;
        self.found.spend(legacy.len() + candidate.len())?;
        let ignores = &self.comparator.ignores;
        let mut states: States = ignores.start();
        let mut place = Place::root();
        let mut ours = false;
        for frame in frames {
            let name = unescape(frame.key);
            if ignores.hit(&states) {
                return Ok(());
            }
            states = ignores.step(&states, Segment::Name(&name));
            place.name(&name);
            ours = crate::compare::own::is_name(self.own, &name);
        }
        let mut diff = Diff {
            comparator: self.comparator,
            legacy: (&legacy, self.legacy),
            candidate: (&candidate, self.candidate),
            own: self.own,
            place,
            hashes: Hashes::new(ignores),
            found: self.found,
        };
        Ok(diff.field(ours, (0, 0), &states)?)
    }
}

/// Returns where in legacy's text the equal bytes end that both walks have before them.
fn shared_until(legacy: &Tokens<'_>, candidate: &Tokens<'_>) -> usize {
    legacy.at() + common_prefix(legacy.rest(), candidate.rest())
}

/// Returns both walks before the smallest subtree that must be seen as a whole, and leaves the
/// frames that are above it.
fn part<'a>(
    frames: &mut Vec<Frame<'a>>,
    before: (Tokens<'a>, Tokens<'a>),
    names: bool,
) -> (Tokens<'a>, Tokens<'a>) {
    let outermost = match frames.iter().position(|frame| frame.array) {
        Some(at) => at,
        None if names => frames.len().saturating_sub(1),
        None => return before,
    };
    let whole = frames.get(outermost).map_or(before, |frame| frame.before);
    frames.truncate(outermost);
    whole
}
