//! Differences of two JSON subtrees. Pure.
//!
//! Members of objects meet by name, whatever their order; names that occur twice meet in turn.
//! Members of arrays meet by index. An array with the same members in another order is one
//! difference of kind `order`; with another number of members one of kind `length`, and what is
//! left after the equal members at both ends is compared by index.

use crate::compare::Comparator;
use crate::compare::body::common_prefix;
use crate::compare::compared::Raw;
use crate::compare::found::Exhausted;
use crate::compare::found::Found;
use crate::compare::ignore::Ignores;
use crate::compare::ignore::Segment;
use crate::compare::ignore::States;
use crate::compare::json::tape::Tape;
use crate::compare::json::tokens::Kind as TokenKind;
use crate::compare::own;
use crate::compare::own::OwnField;
use crate::compare::place::Place;
use crate::model::Kind;
use crate::model::Side;
use bytes::Bytes;
use std::borrow::Cow;
use std::cmp::Ordering;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Scalars that a member of a list may have to be an echo of one of our fields.
const ECHO_NODES: usize = 6;

/// Bytes that two strings share at their start and that are shown nevertheless.
const NEAR_BYTES: usize = 128;

/// Bytes of a long string or number that are looked at in one step.
const SLOW_BYTES: usize = 16;

/// A walk down two subtrees at once.
pub(crate) struct Diff<'d> {
    pub(crate) comparator: &'d Comparator,
    pub(crate) legacy: (&'d Tape<'d>, &'d Bytes),
    pub(crate) candidate: (&'d Tape<'d>, &'d Bytes),
    pub(crate) own: &'d [OwnField],
    pub(crate) place: Place,
    pub(crate) hashes: Hashes,
    pub(crate) found: &'d mut Found,
}

/// A member of an object.
type Field<'d> = (Cow<'d, [u8]>, usize);

impl Diff<'_> {
    /// Compares the values of one name; `ours` says that it is the name of a field of ours.
    pub(crate) fn field(
        &mut self,
        ours: bool,
        (a, b): (usize, usize),
        states: &States,
    ) -> Result<(), Exhausted> {
        let echo = |tape: &Tape<'_>, at: usize| is_echo_value(tape, at, self.own);
        let other = ours && self.legacy.0.text(a) != self.candidate.0.text(b);
        if other && echo(self.legacy.0, a) && echo(self.candidate.0, b) {
            self.found.own();
            return Ok(());
        }
        self.value((a, b), states)
    }

    fn value(&mut self, (a, b): (usize, usize), states: &States) -> Result<(), Exhausted> {
        let (left, right) = (self.legacy.0.text(a), self.candidate.0.text(b));
        self.found.spend(1 + left.len().min(right.len()) / 64)?;
        if left == right || self.comparator.ignores.hit(states) {
            return Ok(());
        }
        let kinds = (self.legacy.0.node(a).kind, self.candidate.0.node(b).kind);
        match kinds {
            (TokenKind::ObjectOpen, TokenKind::ObjectOpen) => self.object((a, b), states),
            (TokenKind::ArrayOpen, TokenKind::ArrayOpen) => self.array((a, b), states),
            (TokenKind::Number, TokenKind::Number) => self.number((a, b)),
            (TokenKind::String, TokenKind::String) => self.string((a, b)),
            (TokenKind::True | TokenKind::False, TokenKind::True | TokenKind::False) => {
                self.add(Kind::Value, Some(a), Some(b))
            }
            _ => self.add(Kind::Type, Some(a), Some(b)),
        }
    }

    fn add(&mut self, kind: Kind, a: Option<usize>, b: Option<usize>) -> Result<(), Exhausted> {
        let raw = |(tape, text): (&Tape<'_>, &Bytes), at: Option<usize>| match at {
            Some(at) => Raw::Json(text.slice(tape.node(at).range())),
            None => Raw::Nothing,
        };
        let (legacy, candidate) = (self.legacy, self.candidate);
        self.found
            .add_at(&self.place, kind, || (raw(legacy, a), raw(candidate, b)))
    }

    fn number(&mut self, (a, b): (usize, usize)) -> Result<(), Exhausted> {
        self.found.spend(
            self.legacy
                .0
                .text(a)
                .len()
                .max(self.candidate.0.text(b).len())
                / SLOW_BYTES,
        )?;
        let (mut left, mut right) = (Vec::new(), Vec::new());
        self.legacy.0.number(a, &mut left);
        self.candidate.0.number(b, &mut right);
        match left == right {
            true if self.comparator.config.number_format => {
                self.add(Kind::Format, Some(a), Some(b))
            }
            true => Ok(()),
            false => self.add(Kind::Value, Some(a), Some(b)),
        }
    }

    fn string(&mut self, (a, b): (usize, usize)) -> Result<(), Exhausted> {
        self.found.spend(
            self.legacy
                .0
                .text(a)
                .len()
                .max(self.candidate.0.text(b).len())
                / SLOW_BYTES,
        )?;
        let (left, right) = (self.legacy.0.string(a), self.candidate.0.string(b));
        if left == right {
            return Ok(());
        }
        let values = own::is_value(self.own, &left) && own::is_value(self.own, &right);
        if values || own::same_but_own(self.own, &left, &right) {
            self.found.own();
            return Ok(());
        }
        let at = common_prefix(&left, &right);
        if at < NEAR_BYTES {
            return self.add(Kind::Value, Some(a), Some(b));
        }
        // Long texts are shown from where they part.
        self.found.add_at(&self.place, Kind::Value, || {
            let raw = |text: &[u8]| Raw::Text(Bytes::copy_from_slice(text), at);
            (raw(&left), raw(&right))
        })
    }

    fn object(&mut self, (a, b): (usize, usize), states: &States) -> Result<(), Exhausted> {
        let (legacy, candidate) = (self.legacy.0, self.candidate.0);
        let mut left = legacy.fields(a).peekable();
        let mut right = candidate.fields(b).peekable();
        // Most objects have their names in the same order on both sides.
        while let (Some(&(ka, va)), Some(&(kb, vb))) = (left.peek(), right.peek()) {
            if legacy.text(ka) != candidate.text(kb) {
                break;
            }
            left.next();
            right.next();
            self.member(&legacy.string(ka), Some(va), Some(vb), states)?;
        }
        let mut left: Vec<Field<'_>> = left.map(|(k, v)| (legacy.string(k), v)).collect();
        let mut right: Vec<Field<'_>> = right.map(|(k, v)| (candidate.string(k), v)).collect();
        self.found.spend(left.len() + right.len())?;
        // Stable: a name that occurs twice keeps the order of its values.
        left.sort_by(|x, y| x.0.cmp(&y.0));
        right.sort_by(|x, y| x.0.cmp(&y.0));
        let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(x), Some(y)) => x.0.cmp(&y.0),
            };
            let x = if order.is_le() { left.next() } else { None };
            let y = if order.is_ge() { right.next() } else { None };
            if let Some((name, _)) = x.or(y) {
                self.member(name, x.map(|x| x.1), y.map(|y| y.1), states)?;
            }
        }
    }

    fn member(
        &mut self,
        name: &[u8],
        a: Option<usize>,
        b: Option<usize>,
        states: &States,
    ) -> Result<(), Exhausted> {
        self.found.spend(1)?;
        if let (Some(a), Some(b)) = (a, b)
            && self.legacy.0.text(a) == self.candidate.0.text(b)
        {
            return Ok(());
        }
        let ignores = &self.comparator.ignores;
        let below = ignores.step(states, Segment::Name(name));
        if ignores.hit(&below) {
            return Ok(());
        }
        let ours = own::is_name(self.own, name);
        let mark = self.place.mark();
        self.place.name(name);
        match (a, b) {
            (Some(a), Some(b)) => self.field(ours, (a, b), &below)?,
            (Some(a), None) if ours && is_echo_value(self.legacy.0, a, self.own) => {
                self.found.own();
            }
            (None, Some(b)) if ours && is_echo_value(self.candidate.0, b, self.own) => {
                self.found.own();
            }
            (Some(_), None) => self.add(Kind::Missing, a, b)?,
            (None, _) => self.add(Kind::Extra, a, b)?,
        }
        self.place.back(mark);
        Ok(())
    }

    fn array(&mut self, (a, b): (usize, usize), states: &States) -> Result<(), Exhausted> {
        let mut left: Vec<usize> = self.legacy.0.members(a).collect();
        let mut right: Vec<usize> = self.candidate.0.members(b).collect();
        self.found.spend(left.len() + right.len())?;
        if left.len() != right.len() && !self.own.is_empty() {
            let before = left.len() + right.len();
            left.retain(|at| !is_echo(self.legacy.0, *at, self.own));
            right.retain(|at| !is_echo(self.candidate.0, *at, self.own));
            if left.len() + right.len() < before {
                self.found.own();
            }
        }
        if left.len() != right.len() {
            let said = |members: &[usize]| Raw::Plain(format!("{} members", members.len()));
            self.found
                .add_at(&self.place, Kind::Length, || (said(&left), said(&right)))?;
            return self.uneven(&left, &right, states);
        }
        let pairs = left.iter().zip(&right).enumerate();
        let differ: Vec<(usize, usize, usize)> = pairs
            .filter(|(_, (a, b))| self.legacy.0.text(**a) != self.candidate.0.text(**b))
            .map(|(i, (a, b))| (i, *a, *b))
            .collect();
        if differ.len() > 1 && self.is_reordered(&differ, states)? {
            return self.add(Kind::Order, Some(a), Some(b));
        }
        for (i, a, b) in differ {
            self.item(i, (a, b), states)?;
        }
        Ok(())
    }

    fn item(
        &mut self,
        index: usize,
        pair: (usize, usize),
        states: &States,
    ) -> Result<(), Exhausted> {
        let below = self.comparator.ignores.step(states, Segment::Index(index));
        let mark = self.place.mark();
        self.place.index(index);
        self.value(pair, &below)?;
        self.place.back(mark);
        Ok(())
    }

    /// Returns whether unequal members at the same indices are the same members elsewhere.
    fn is_reordered(
        &mut self,
        differ: &[(usize, usize, usize)],
        states: &States,
    ) -> Result<bool, Exhausted> {
        let mut left = Vec::with_capacity(differ.len());
        let mut right = Vec::with_capacity(differ.len());
        for (i, a, b) in differ {
            let below = self.comparator.ignores.step(states, Segment::Index(*i));
            left.push(self.hash(Side::Legacy, *a, &below)?);
            right.push(self.hash(Side::Candidate, *b, &below)?);
        }
        // Members that mean the same at the same index are no order to speak of.
        if left == right {
            return Ok(false);
        }
        left.sort_unstable();
        right.sort_unstable();
        Ok(left == right)
    }

    /// Compares arrays of unequal lengths, of which the length is reported already.
    fn uneven(
        &mut self,
        left: &[usize],
        right: &[usize],
        states: &States,
    ) -> Result<(), Exhausted> {
        let below = self
            .comparator
            .ignores
            .step(states, Segment::Index(usize::MAX));
        let mut hashes = (Vec::new(), Vec::new());
        for at in left {
            hashes.0.push(self.hash(Side::Legacy, *at, &below)?);
        }
        for at in right {
            hashes.1.push(self.hash(Side::Candidate, *at, &below)?);
        }
        let same = |(a, b): &(&u64, &u64)| a == b;
        let start = hashes.0.iter().zip(&hashes.1).take_while(same).count();
        let rest = (
            hashes.0.get(start..).unwrap_or_default(),
            hashes.1.get(start..).unwrap_or_default(),
        );
        let end = rest
            .0
            .iter()
            .rev()
            .zip(rest.1.iter().rev())
            .take_while(same)
            .count();
        let middle = (rest.0.len() - end, rest.1.len() - end);
        let mut lists = (
            rest.0.get(..middle.0).unwrap_or_default().to_vec(),
            rest.1.get(..middle.1).unwrap_or_default().to_vec(),
        );
        if middle.0 > middle.1 {
            std::mem::swap(&mut lists.0, &mut lists.1);
        }
        if is_within(lists.0, lists.1) {
            return Ok(());
        }
        let pairs = left.iter().zip(right).enumerate().skip(start);
        for (i, (a, b)) in pairs.take(middle.0.min(middle.1)) {
            self.item(i, (*a, *b), states)?;
        }
        Ok(())
    }

    /// Returns a hash that values of one meaning share: order of names, spelling of numbers and
    /// strings, and what is ignored leave it as it is.
    fn hash(&mut self, side: Side, at: usize, states: &States) -> Result<u64, Exhausted> {
        let tape = match side {
            Side::Legacy => self.legacy.0,
            Side::Candidate => self.candidate.0,
        };
        let ignores = &self.comparator.ignores;
        if ignores.hit(states) {
            return Ok(0);
        }
        if let Some(known) = self.hashes.get(side, at) {
            return Ok(known);
        }
        let kind = tape.node(at).kind;
        let long = match kind {
            TokenKind::Number | TokenKind::String => tape.text(at).len() / SLOW_BYTES,
            _ => 0,
        };
        self.found.spend(1 + long)?;
        let seed = kind as u64;
        let hash = match kind {
            TokenKind::Number => {
                let mut canonical = Vec::new();
                tape.number(at, &mut canonical);
                xxh3_64_with_seed(&canonical, seed)
            }
            TokenKind::String => xxh3_64_with_seed(&tape.string(at), seed),
            TokenKind::ArrayOpen => {
                let mut hash = seed;
                for (i, member) in tape.members(at).enumerate() {
                    let below = ignores.step(states, Segment::Index(i));
                    let member = self.hash(side, member, &below)?;
                    hash = xxh3_64_with_seed(&member.to_le_bytes(), hash);
                }
                hash
            }
            TokenKind::ObjectOpen => {
                let mut sum = seed;
                for (key, value) in tape.fields(at) {
                    let name = tape.string(key);
                    let below = ignores.step(states, Segment::Name(&name));
                    if !ignores.hit(&below) {
                        let value = self.hash(side, value, &below)?;
                        sum = sum.wrapping_add(xxh3_64_with_seed(&name, value));
                    }
                }
                xxh3_64_with_seed(&sum.to_le_bytes(), seed)
            }
            _ => xxh3_64_with_seed(&[], seed),
        };
        self.hashes.put(side, at, hash, tape.len());
        Ok(hash)
    }
}

/// The hashes of nodes that were hashed already, so that lists within lists are hashed once.
#[derive(Debug)]
pub(crate) struct Hashes {
    /// Whether the hash of a node is the same wherever its list begins.
    keeps: bool,
    sides: [Vec<Option<u64>>; 2],
}

impl Hashes {
    pub(crate) fn new(ignores: &Ignores) -> Self {
        Self {
            keeps: !ignores.knows_indices(),
            sides: [Vec::new(), Vec::new()],
        }
    }

    fn get(&self, side: Side, at: usize) -> Option<u64> {
        self.sides.get(side as usize)?.get(at).copied().flatten()
    }

    fn put(&mut self, side: Side, at: usize, hash: u64, nodes: usize) {
        if let Some(known) = self.sides.get_mut(side as usize).filter(|_| self.keeps) {
            known.resize(nodes, None);
            if let Some(slot) = known.get_mut(at) {
                *slot = Some(hash);
            }
        }
    }
}

/// Returns whether each member of `few` is in `many`, counted.
fn is_within(mut few: Vec<u64>, mut many: Vec<u64>) -> bool {
    few.sort_unstable();
    many.sort_unstable();
    let mut many = many.into_iter();
    few.into_iter()
        .all(|wanted| many.by_ref().any(|given| given == wanted))
}

/// Returns whether a value is that of a field of ours, alone or as the one member of a list.
fn is_echo_value(tape: &Tape<'_>, at: usize, own: &[OwnField]) -> bool {
    match tape.node(at).kind {
        TokenKind::String => own::is_value(own, &tape.string(at)),
        TokenKind::ArrayOpen => {
            let mut members = tape.members(at);
            let first = members.next();
            first.is_some_and(|at| is_echo_value(tape, at, own)) && members.next().is_none()
        }
        _ => false,
    }
}

/// Returns whether a member of a list says one of our fields: `"name: value"`, `["name", "value"]`
/// or `{"name": "name", "value": "value"}`.
fn is_echo(tape: &Tape<'_>, at: usize, own: &[OwnField]) -> bool {
    let text = |at: usize| match tape.node(at).kind {
        TokenKind::String => tape.string(at),
        _ => Cow::Borrowed(&[][..]),
    };
    let texts: Vec<Cow<'_, [u8]>> = match tape.node(at).kind {
        TokenKind::String => return own::is_whole(own, &tape.string(at)),
        TokenKind::ArrayOpen => tape.members(at).take(ECHO_NODES).map(text).collect(),
        TokenKind::ObjectOpen => tape
            .fields(at)
            .take(ECHO_NODES)
            .map(|(_, at)| text(at))
            .collect(),
        _ => return false,
    };
    texts.len() == 2
        && texts.iter().any(|text| own::is_name(own, text))
        && texts.iter().any(|text| own::is_value(own, text))
}
