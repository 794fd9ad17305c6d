//! Places that a slice does not compare. Pure.
//!
//! `status`, `body`, `header:NAME`, `trailer:NAME` (with `*` in the name), and JSON paths:
//! `$.a.b`, `$.items[*].id`, `$.items[3]`, `$["any name"]`, `$.users.{}` (names that are ids),
//! `*` for any one name or a part of it, `**` for any number of steps.

use crate::compare::place::is_id;
use std::fmt;

/// A place, or a pattern of places, that is not compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IgnorePath {
    text: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum What {
    Status,
    Body,
    Header(String),
    Trailer(String),
    Json(Vec<Step>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Step {
    Name(String),
    Glob(String),
    IdName,
    Index(usize),
    AnyIndex,
    Any,
    Deep,
}

impl IgnorePath {
    /// Reads a path; the error is a sentence that says what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (text, what) = match text {
            "status" => (text.to_owned(), What::Status),
            "body" => (text.to_owned(), What::Body),
            _ => match text.split_once(':') {
                Some(("header", name)) => {
                    let name = field_name(name, "header")?;
                    (format!("header:{name}"), What::Header(name))
                }
                Some(("trailer", name)) => {
                    let name = field_name(name, "trailer")?;
                    (format!("trailer:{name}"), What::Trailer(name))
                }
                _ => (text.to_owned(), What::Json(json_steps(text)?)),
            },
        };
        Ok(Self { text, what })
    }

    /// Returns the path as it was written, names of fields in lower case.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for IgnorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn field_name(name: &str, part: &str) -> Result<String, String> {
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() {
        return Err(format!(
            "name the field, such as `{part}:x-build` or `{part}:x-cache-*`"
        ));
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.bytes().all(fits) {
        return Ok(name);
    }
    Err(format!(
        "`{name}` is not the name of a field; write letters, digits and `-`, such as `{part}:x-build`"
    ))
}

fn json_steps(text: &str) -> Result<Vec<Step>, String> {
    let Some(mut rest) = text.strip_prefix('$') else {
        return Err(hint(text));
    };
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('.') {
            Some(name) => dotted(name)?,
            None => bracketed(rest)?,
        };
        steps.push(step);
        rest = after;
    }
    // What ends in `**` means everything below, not the place itself.
    if steps.last() == Some(&Step::Deep) {
        steps.push(Step::Any);
    }
    if steps.len() > usize::from(u8::MAX) {
        return Err("the path has more than 255 steps; shorten it with `**`".to_owned());
    }
    Ok(steps)
}

fn hint(text: &str) -> String {
    if text.is_empty() {
        return "write a place, such as `$.meta.time` or `header:x-build`".to_owned();
    }
    if text.bytes().all(|b| b == b'*') {
        return format!("`{text}` would hide everything; name a place, such as `$.**.updated_at`");
    }
    let plain = |c: char| c.is_alphanumeric() || "_-.[]*{}\"".contains(c);
    if text.chars().all(plain) {
        let dot = if text.starts_with(['[', '.']) {
            ""
        } else {
            "."
        };
        return format!(
            "a path into a JSON body begins with `$`: `${dot}{text}`; a header field is `header:NAME`"
        );
    }
    format!(
        "`{text}` is not a place; write `status`, `body`, `header:NAME`, `trailer:NAME` or a path such as `$.items[*].id`"
    )
}

fn dotted(rest: &str) -> Result<(Step, &str), String> {
    if let Some(after) = rest.strip_prefix("{}") {
        return Ok((Step::IdName, after));
    }
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let step = match name {
        "" => return Err("a name is missing after `.`; write `$.name` or `$[*]`".to_owned()),
        "*" => Step::Glob("*".to_owned()),
        "**" => Step::Deep,
        _ if !name.chars().all(|c| c == '*' || is_plain(c)) => {
            let quoted = serde_json::Value::from(name);
            return Err(format!(
                "`{name}` has characters that need quotes; write `[{quoted}]`"
            ));
        }
        _ if name.contains('*') => Step::Glob(name.to_owned()),
        _ => Step::Name(name.to_owned()),
    };
    Ok((step, after))
}

/// Returns whether a character may stand in a name after `.`.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

fn bracketed(rest: &str) -> Result<(Step, &str), String> {
    let Some(inner) = rest.strip_prefix('[') else {
        return Err(format!("`.` or `[` is missing before `{rest}`"));
    };
    if inner.starts_with('"') {
        let mut names = serde_json::Deserializer::from_str(inner).into_iter::<String>();
        let name = names.next().and_then(Result::ok);
        let after = inner.get(names.byte_offset()..).unwrap_or_default();
        return match (name, after.strip_prefix(']')) {
            (Some(name), Some(after)) => Ok((Step::Name(name), after)),
            _ => Err("close the name, as in `$[\"any name\"]`".to_owned()),
        };
    }
    let Some((index, after)) = inner.split_once(']') else {
        return Err("`]` is missing; write `[*]` for every member".to_owned());
    };
    match (index, index.parse()) {
        ("*", _) => Ok((Step::AnyIndex, after)),
        (_, Ok(index)) => Ok((Step::Index(index), after)),
        _ => Err(format!(
            "`[{index}]` is neither `[*]` nor a number; a name is written `[\"{index}\"]`"
        )),
    }
}

/// Everything that a slice ignores, compiled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ignores {
    pub(crate) status: bool,
    pub(crate) body: bool,
    headers: Vec<String>,
    trailers: Vec<String>,
    json: Vec<Vec<Step>>,
}

/// One step down into JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Segment<'a> {
    Name(&'a [u8]),
    Index(usize),
}

/// How far each pattern has come on the way to a place: (pattern, steps taken).
#[derive(Clone, Debug, Default)]
pub(crate) struct States(Vec<(u16, u16)>);

impl Ignores {
    pub(crate) fn compile(paths: &[IgnorePath]) -> Self {
        let mut all = Self::default();
        for path in paths {
            match &path.what {
                What::Status => all.status = true,
                What::Body => all.body = true,
                What::Header(name) => all.headers.push(name.clone()),
                What::Trailer(name) => all.trailers.push(name.clone()),
                What::Json(steps) => all.json.push(steps.clone()),
            }
        }
        all
    }

    pub(crate) fn header(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|p| glob(p.as_bytes(), name.as_bytes()))
    }

    pub(crate) fn trailer(&self, name: &str) -> bool {
        self.trailers
            .iter()
            .any(|p| glob(p.as_bytes(), name.as_bytes()))
    }

    /// Returns whether a pattern names a member of an array by its index.
    pub(crate) fn knows_indices(&self) -> bool {
        let steps = self.json.iter().flatten();
        steps.into_iter().any(|step| matches!(step, Step::Index(_)))
    }

    /// Returns the states at `$`.
    pub(crate) fn start(&self) -> States {
        let mut states = States::default();
        for pattern in 0..self.json.len() {
            self.enter(&mut states, pattern, 0);
        }
        states
    }

    /// Returns the states one step below `states`.
    pub(crate) fn step(&self, states: &States, segment: Segment<'_>) -> States {
        let mut next = States::default();
        for &(pattern, at) in &states.0 {
            let (pattern, at) = (usize::from(pattern), usize::from(at));
            let Some(step) = self.json.get(pattern).and_then(|steps| steps.get(at)) else {
                continue;
            };
            match step {
                Step::Deep => self.enter(&mut next, pattern, at),
                step if step.takes(segment) => self.enter(&mut next, pattern, at + 1),
                _ => {}
            }
        }
        next
    }

    /// Returns whether a pattern ends here, so that this place and all below it is ignored.
    pub(crate) fn hit(&self, states: &States) -> bool {
        states.0.iter().any(|&(pattern, at)| {
            let steps = self.json.get(usize::from(pattern));
            steps.is_some_and(|steps| steps.len() == usize::from(at))
        })
    }

    fn enter(&self, states: &mut States, pattern: usize, at: usize) {
        let (Ok(short), Ok(place)) = (u16::try_from(pattern), u16::try_from(at)) else {
            return;
        };
        if states.0.contains(&(short, place)) {
            return;
        }
        states.0.push((short, place));
        let step = self.json.get(pattern).and_then(|steps| steps.get(at));
        if step == Some(&Step::Deep) {
            self.enter(states, pattern, at + 1);
        }
    }
}

impl Step {
    fn takes(&self, segment: Segment<'_>) -> bool {
        match (self, segment) {
            (Self::Name(name), Segment::Name(given)) => name.as_bytes() == given,
            (Self::Glob(pattern), Segment::Name(given)) => glob(pattern.as_bytes(), given),
            (Self::IdName, Segment::Name(given)) => is_id(given),
            (Self::Index(index), Segment::Index(given)) => *index == given,
            (Self::AnyIndex, Segment::Index(_)) | (Self::Any | Self::Deep, _) => true,
            _ => false,
        }
    }
}

/// Returns whether `text` fits `pattern`, where `*` stands for any bytes. Linear but for the last
/// `*` seen, which alone is tried again.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if Some(byte) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    p = after;
                    t = from + 1;
                    retry = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_none_or(|rest| rest.iter().all(|b| *b == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(pattern: &str, path: &[Segment<'_>]) -> bool {
        let ignores = Ignores::compile(&[IgnorePath::parse(pattern).unwrap()]);
        let mut states = ignores.start();
        for segment in path {
            if ignores.hit(&states) {
                return true;
            }
            states = ignores.step(&states, *segment);
        }
        ignores.hit(&states)
    }

    fn n(name: &str) -> Segment<'_> {
        Segment::Name(name.as_bytes())
    }

    #[test]
    fn a_path_takes_its_place_and_what_is_below() {
        assert!(hits("$.a.b", &[n("a"), n("b")]));
        assert!(hits("$.a.b", &[n("a"), n("b"), n("c")]));
        assert!(!hits("$.a.b", &[n("a")]));
        assert!(!hits("$.a.b", &[n("a"), n("c")]));
        assert!(hits("$", &[n("a")]));
        assert!(hits("$[\"a b\"]", &[n("a b")]));
    }

    #[test]
    fn stars_take_one_step_and_double_stars_any_number() {
        let item = [n("items"), Segment::Index(7), n("id")];
        assert!(hits("$.items[*].id", &item));
        assert!(hits("$.items[7].id", &item));
        assert!(!hits("$.items[8].id", &item));
        assert!(hits("$.**.id", &item));
        assert!(hits("$.**.id", &[n("id")]));
        assert!(!hits("$.*.id", &item));
        assert!(hits("$.it*s[*]", &item));
        assert!(hits("$.a.**", &[n("a"), n("b")]));
        assert!(!hits("$.a.**", &[n("a")]));
        assert!(hits("$.u.{}.x", &[n("u"), n("42"), n("x")]));
        assert!(!hits("$.u.{}.x", &[n("u"), n("me"), n("x")]));
    }

    #[test]
    fn names_of_fields_ignore_case_and_know_stars() {
        let ignores = Ignores::compile(&[
            IgnorePath::parse("header:X-Cache-*").unwrap(),
            IgnorePath::parse("trailer:x-sum").unwrap(),
        ]);
        assert!(ignores.header("x-cache-hits") && !ignores.header("x-cache"));
        assert!(ignores.trailer("x-sum") && !ignores.header("x-sum"));
    }

    #[test]
    fn a_wrong_path_is_answered_with_what_to_write() {
        for (text, says) in [
            ("items[*].id", "`$.items[*].id`"),
            ("*", "would hide everything"),
            ("header:", "name the field"),
            ("$.a b", "`[\"a b\"]`"),
            ("$.items[x]", "`[\"x\"]`"),
            ("$.items[*", "`]` is missing"),
            ("$..a", "a name is missing"),
            ("", "write a place"),
        ] {
            let error = IgnorePath::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_path_is_written_as_it_was_read() {
        for text in ["status", "body", "header:x-*", "$.a[*].b", "$[\"a b\"]"] {
            assert_eq!(IgnorePath::parse(text).unwrap().to_string(), text);
        }
    }
}
