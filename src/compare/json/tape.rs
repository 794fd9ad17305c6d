//! One subtree of JSON as a flat list of nodes. Pure.

use crate::compare::json::scalar::canonical_number;
use crate::compare::json::scalar::unescape;
use crate::compare::json::tokens::Broken;
use crate::compare::json::tokens::Kind;
use crate::compare::json::tokens::Tokens;
use std::borrow::Cow;
use std::ops::Range;

/// A value or a key, and where the node after its subtree stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    start: u32,
    end: u32,
    next: u32,
}

impl Node {
    /// Returns where the value stands in the text, with all that is below it.
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// The nodes of one value in the order of the text: the value itself is node 0, members follow
/// their container, each key stands before its value.
#[derive(Debug)]
pub(crate) struct Tape<'a> {
    text: &'a [u8],
    nodes: Vec<Node>,
}

impl<'a> Tape<'a> {
    /// Reads the value that comes next and leaves the tokenizer after it.
    pub(crate) fn read(tokens: &mut Tokens<'a>) -> Result<Self, Broken> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        // Offsets of texts that are longer do not fit; no body that is kept is.
        let small = |n: usize| u32::try_from(n).map_err(|_| Broken::Complex);
        loop {
            let token = tokens.pull()?;
            match token.kind {
                Kind::ArrayClose | Kind::ObjectClose => {
                    let next = small(nodes.len())?;
                    if let Some(node) = open.pop().and_then(|at| nodes.get_mut(at)) {
                        node.end = small(token.end)?;
                        node.next = next;
                    }
                }
                Kind::End => return Err(Broken::Syntax),
                kind => {
                    if matches!(kind, Kind::ArrayOpen | Kind::ObjectOpen) {
                        open.push(nodes.len());
                    }
                    nodes.push(Node {
                        kind,
                        start: small(token.start)?,
                        end: small(token.end)?,
                        next: small(nodes.len() + 1)?,
                    });
                    if kind == Kind::Key {
                        continue;
                    }
                }
            }
            if open.is_empty() {
                return Ok(Self {
                    text: tokens.text(),
                    nodes,
                });
            }
        }
    }

    /// Returns how many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns a node; `at` comes from this tape.
    pub(crate) fn node(&self, at: usize) -> Node {
        let absent = Node {
            kind: Kind::Null,
            start: 0,
            end: 0,
            next: u32::MAX,
        };
        self.nodes.get(at).copied().unwrap_or(absent)
    }

    /// Returns the text of a node with all that is below it.
    pub(crate) fn text(&self, at: usize) -> &'a [u8] {
        self.text.get(self.node(at).range()).unwrap_or_default()
    }

    /// Returns what a string or key stands for.
    pub(crate) fn string(&self, at: usize) -> Cow<'a, [u8]> {
        unescape(self.text(at))
    }

    /// Appends the canonical form of a number.
    pub(crate) fn number(&self, at: usize, out: &mut Vec<u8>) {
        canonical_number(self.text(at), out);
    }

    /// Returns where the node after a subtree stands.
    fn after(&self, at: usize) -> usize {
        self.node(at).next as usize
    }

    /// Returns the members of an array.
    pub(crate) fn members(&self, array: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.after(array);
        let first = Some(array + 1).filter(|at| *at < end);
        std::iter::successors(first, move |at| {
            Some(self.after(*at)).filter(|at| *at < end)
        })
    }

    /// Returns the members of an object: key and value.
    pub(crate) fn fields(&self, object: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let end = self.after(object);
        let first = Some(object + 1).filter(|at| *at < end);
        let keys = std::iter::successors(first, move |key| {
            Some(self.after(key + 1)).filter(|at| *at < end)
        });
        keys.map(|key| (key, key + 1))
    }
}
