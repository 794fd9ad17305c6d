//! Text to a tree of nodes that know their place. Pure. The one file that names the YAML crate.
//!
//! Budgets are checked while reading: 4 MiB, depth 32, a million nodes. Anchors, aliases, tags,
//! several documents and duplicate keys are problems; reading goes on after each where it can.

use crate::rules::problem::At;
use crate::rules::problem::Problem;
use crate::rules::problem::Problems;
use crate::rules::problem::code;
use serde_yaml::granit_parser::Event;
use serde_yaml::granit_parser::Parser;
use serde_yaml::granit_parser::ScalarStyle;
use serde_yaml::granit_parser::ScanError;
use serde_yaml::granit_parser::Span;
use serde_yaml::granit_parser::options;
use std::collections::HashMap;

const BYTES_MAX: usize = 4 << 20;
const DEPTH_MAX: usize = 32;
const NODES_MAX: usize = 1_000_000;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar: its text, and whether it was quoted.
    Text(String, Style),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file, without duplicates.
    Map(Vec<(Key, Node)>),
    /// Something that was refused already; whoever meets it says nothing more.
    Refused,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Quoted,
}

/// A key of a mapping with its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) at: At,
    pub(super) name: String,
}

/// Reads bytes as text; a file that is not UTF-8 is a problem like any other.
pub fn decode(bytes: &[u8]) -> Result<&str, Box<Problem>> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.split(|b| *b == b'\n').count();
        let last = good.rsplit(|b| *b == b'\n').next().unwrap_or_default();
        let column = String::from_utf8_lossy(last).chars().count() + 1;
        let at = At {
            line: small(line),
            column: small(column),
            len: 1,
        };
        let mut problems = Problems::new("");
        problems.error(
            code::SYNTAX,
            at,
            "this byte is not UTF-8",
            "save the file as UTF-8",
        );
        Box::new(problems.finish().swap_remove(0))
    })
}

/// Tells that a file could not be read at all.
pub fn unreadable(error: &str) -> Problem {
    let mut problems = Problems::new("");
    let hint = "give the path with `--config`";
    problems.error(
        code::UNREADABLE,
        At::default(),
        format!("cannot be read: {error}"),
        hint,
    );
    problems.finish().swap_remove(0)
}

/// Reads a document, or nothing if it is too broken to look into.
pub(super) fn parse(text: &str, problems: &mut Problems) -> Option<Node> {
    let start = At {
        line: 1,
        column: 1,
        len: 1,
    };
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes, more than 4 MiB", text.len());
        problems.error(
            code::BUDGET,
            start,
            message,
            "split the applications over several proxies",
        );
        return None;
    }
    let options = options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
    };
    let mut tree = Tree {
        problems,
        stack: Vec::new(),
        root: None,
        nodes: 0,
        documents: 0,
    };
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => match tree.take(event, span) {
                Flow::On => {}
                Flow::Stop => return None,
            },
            Err(error) => {
                broken(tree.problems, &error, text);
                return None;
            }
        }
    }
    let root = tree.root.take();
    if root.is_none() && !problems.has_errors() {
        problems.error(
            code::MISSING,
            start,
            "the file is empty",
            "the smallest file is `legacy: http://127.0.0.1:3000`",
        );
    }
    root
}

fn broken(problems: &mut Problems, error: &ScanError, text: &str) {
    let mark = error.marker();
    let at = At {
        line: small(mark.line()).max(1),
        column: small(mark.col() + 1),
        len: 1,
    };
    let info = error.info();
    let line = text
        .lines()
        .nth(mark.line().saturating_sub(1))
        .unwrap_or("");
    let hint = if info.contains("tab") {
        "YAML is indented by spaces; replace the tab"
    } else if line.contains("/{") {
        "a path with braces needs quotes: `\"/orders/{id}\"`"
    } else {
        "check quotes, brackets and the indentation here and one line above"
    };
    problems.error(code::SYNTAX, at, format!("this is not YAML: {info}"), hint);
}

enum Flow {
    On,
    Stop,
}

enum Frame {
    List {
        at: At,
        items: Vec<Node>,
    },
    Map {
        at: At,
        entries: Vec<(Key, Node)>,
        seen: HashMap<String, u32>,
        key: Pending,
    },
}

/// What a mapping waits for.
enum Pending {
    Key,
    Value(Key),
    /// A value whose key was refused.
    Nothing,
}

struct Tree<'p> {
    problems: &'p mut Problems,
    stack: Vec<Frame>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Tree<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Flow {
        let at = at(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems.error(
                        code::DOCUMENTS,
                        at,
                        "a second document begins here",
                        "one file holds one document; remove what follows `---`",
                    );
                    return Flow::Stop;
                }
            }
            Event::Scalar(text, style, _, tag) => {
                self.tag(tag.is_some(), at);
                return self.add(at, scalar(&text, style));
            }
            Event::SequenceStart(_, _, tag) => {
                self.tag(tag.is_some(), at);
                let items = Vec::new();
                return self.open(Frame::List { at, items }, at);
            }
            Event::MappingStart(_, _, tag) => {
                self.tag(tag.is_some(), at);
                let (entries, seen, key) = (Vec::new(), HashMap::new(), Pending::Key);
                return self.open(
                    Frame::Map {
                        at,
                        entries,
                        seen,
                        key,
                    },
                    at,
                );
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::List { at, items }) => return self.add(at, Value::List(items)),
                Some(Frame::Map { at, entries, .. }) => return self.add(at, Value::Map(entries)),
                None => {}
            },
            Event::Anchor(..) => self.sugar(at, "an anchor"),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.sugar(at, "an alias");
                return self.add(at, Value::Refused);
            }
            _ => {}
        }
        Flow::On
    }

    fn sugar(&mut self, at: At, what: &str) {
        self.problems.error(
            code::SUGAR,
            at,
            format!("{what} is not taken here"),
            "write the value itself; `defaults` holds what slices share",
        );
    }

    fn open(&mut self, frame: Frame, at: At) -> Flow {
        if self.stack.len() >= DEPTH_MAX {
            self.problems.error(
                code::BUDGET,
                at,
                "nested deeper than 32 levels",
                "no key of this file needs that",
            );
            return Flow::Stop;
        }
        self.stack.push(frame);
        Flow::On
    }

    fn tag(&mut self, is_there: bool, at: At) {
        if is_there {
            self.sugar(at, "a tag");
        }
    }

    fn add(&mut self, at: At, value: Value) -> Flow {
        let node = Node { at, value };
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.problems.error(
                code::BUDGET,
                node.at,
                "more than a million values",
                "split the applications over several proxies",
            );
            return Flow::Stop;
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map {
                entries, seen, key, ..
            }) => match std::mem::replace(key, Pending::Key) {
                Pending::Key => *key = pending(node, seen, self.problems),
                Pending::Value(name) => entries.push((name, node)),
                Pending::Nothing => {}
            },
        }
        Flow::On
    }
}

/// Takes a node in the place of a key.
fn pending(node: Node, seen: &mut HashMap<String, u32>, problems: &mut Problems) -> Pending {
    let at = node.at;
    let name = match node.value {
        Value::Text(name, _) => name,
        Value::Null => "null".to_owned(),
        Value::Refused => return Pending::Nothing,
        Value::List(_) | Value::Map(_) => {
            problems.error(
                code::FORM,
                at,
                "a key must be a word",
                "is a `{` or `[` missing its quotes?",
            );
            return Pending::Nothing;
        }
    };
    if name == "<<" {
        problems.error(
            code::SUGAR,
            at,
            "a merge key is not taken here",
            "write the keys themselves; `defaults` holds what slices share",
        );
        return Pending::Nothing;
    }
    if let Some(line) = seen.get(&name) {
        let message = format!("`{}` is given twice; first in line {line}", short(&name));
        problems.error(code::DUPLICATE_KEY, at, message, "remove one of the two");
        return Pending::Nothing;
    }
    seen.insert(name.clone(), at.line);
    Pending::Value(Key { at, name })
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    match style {
        ScalarStyle::Plain if matches!(text, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
        ScalarStyle::Plain => Value::Text(text.to_owned(), Style::Plain),
        _ => Value::Text(text.to_owned(), Style::Quoted),
    }
}

fn at(span: Span) -> At {
    let (from, to) = (span.start, span.end);
    let len = if from.line() == to.line() {
        to.col().saturating_sub(from.col())
    } else {
        1
    };
    At {
        line: small(from.line()).max(1),
        column: small(from.col() + 1),
        len: small(len).max(1),
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Shortens what a file wrote before it is put into a message.
pub(super) fn short(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(60)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(60).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codes(text: &str) -> Vec<(String, u32, u32)> {
        let mut problems = Problems::new(text);
        parse(text, &mut problems);
        problems
            .finish()
            .into_iter()
            .map(|p| (p.code.to_owned(), p.line, p.column))
            .collect()
    }

    #[test]
    fn what_yaml_offers_beyond_plain_values_is_refused_where_it_stands() {
        let cases = [
            ("a: 1\na: 2\n", "E005", 2, 1),
            ("a: &x 1\n", "E003", 1, 4),
            ("a: *x\n", "E003", 1, 4),
            ("a: !t 1\n", "E003", 1, 7),
            ("a: 1\n---\nb: 1\n", "E004", 2, 1),
            ("a:\n\tb: 1\n", "E001", 2, 2),
            ("a: [1\nb: 2\n", "E001", 2, 2),
            ("", "E007", 1, 1),
            ("# only a comment\n", "E007", 1, 1),
            ("[a]: 1\n", "E006", 1, 1),
        ];
        for (text, code, line, column) in cases {
            let found = codes(text);
            assert_eq!(found, [(code.to_owned(), line, column)], "{text:?}");
        }
    }

    #[test]
    fn budgets_end_the_reading() {
        assert_eq!(
            codes(&format!("{}{}", "[".repeat(40), "]".repeat(40)))[0].0,
            "E002"
        );
        assert_eq!(codes(&"a".repeat(BYTES_MAX + 1))[0].0, "E002");
        let many = format!("[{}]", "1,".repeat(NODES_MAX + 1));
        assert_eq!(codes(&many)[0].0, "E002");
    }

    #[test]
    fn a_byte_that_is_not_utf_8_has_its_place() {
        let problem = decode(b"a: 1\nb: \xff\n").unwrap_err();
        assert_eq!((problem.code, problem.line, problem.column), ("E001", 2, 4));
        assert_eq!(decode("ü".as_bytes()), Ok("ü"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            codes(&text);
        }

        #[test]
        fn no_soup_of_yaml_makes_the_parser_panic(parts in prop::collection::vec(prop::sample::select(vec![
            "a", ":", " ", "\n", "- ", "{", "}", "[", "]", ",", "\"", "'", "|", ">", "&x", "*x", "!t", "---", "...", "%", "#", "\t", "  ", "?", "<<", "~", "\u{feff}", "\u{0}", "ä",
        ]), 0..60)) {
            codes(&parts.concat());
        }
    }
}
