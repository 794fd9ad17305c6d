//! Host and path to the slice that takes a request. Pure.
//!
//! Rules are compiled into a map of hosts, each with a tree of path segments, so that a lookup
//! costs what the path is long, not what the file is. Precedence: exact host, wildcard host (longer
//! first), any; then the whole path with more literal segments first, then the longest prefix; then
//! a rule with methods; then more header and tenant conditions; then the order of the file.

use crate::model::SliceIx;
use crate::rules::condition::Condition;
use crate::rules::condition::Host;
use crate::rules::condition::Segment;
use crate::rules::condition::Shape;
use crate::rules::condition::View;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::hash::Hasher;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The place of a rule in the matcher: its rank among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RuleIx(u32);

/// One match of one slice.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) slice: SliceIx,
    pub(super) condition: Condition,
}

/// All rules, compiled.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    /// In the order of their ranks.
    rules: Vec<Rule>,
    exact: Map<Tree>,
    below: Map<Tree>,
    any: Tree,
}

impl Matcher {
    /// Compiles rules that come in the order of the file.
    pub(super) fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_by_key(|r| {
            let condition = &r.condition;
            (
                condition.methods.is_empty(),
                usize::MAX - condition.count(),
                r.slice,
            )
        });
        let mut matcher = Self::default();
        for (rank, rule) in rules.iter().enumerate() {
            let rank = RuleIx(u32::try_from(rank).unwrap_or(u32::MAX));
            let tree = match &rule.condition.host {
                Host::Exact(name) => matcher.exact.entry(name.clone()).or_default(),
                Host::Below(suffix) => matcher.below.entry(suffix.clone()).or_default(),
                Host::Any => &mut matcher.any,
            };
            tree.insert(&rule.condition.shape, rank);
        }
        matcher.rules = rules;
        matcher
    }

    /// Returns the rule that takes the request.
    pub(super) fn find(&self, view: &View<'_>) -> Option<&Rule> {
        self.trees(&view.host)
            .find_map(|tree| tree.find(&self.rules, view))
            .and_then(|rank| self.rule(rank))
    }

    /// Returns every rule whose host and path hold, in the order in which they would be taken.
    pub(super) fn contenders(&self, view: &View<'_>) -> Vec<&Rule> {
        let mut found: Vec<_> = self
            .rules
            .iter()
            .enumerate()
            .filter(|(_, r)| {
                r.condition.host.holds(&view.host) && r.condition.shape.holds(&view.path)
            })
            .collect();
        found.sort_by_key(|(rank, r)| (precedence(&r.condition), *rank));
        found.into_iter().map(|(_, r)| r).collect()
    }

    fn rule(&self, rank: RuleIx) -> Option<&Rule> {
        self.rules.get(rank.0 as usize)
    }

    /// Returns the trees of a host, the most specific first.
    fn trees<'s>(&'s self, host: &'s str) -> impl Iterator<Item = &'s Tree> {
        let suffixes = if self.below.is_empty() { "" } else { host };
        let below = suffixes
            .match_indices('.')
            .filter_map(|(at, _)| self.below.get(suffixes.get(at..)?));
        let exact = (!self.exact.is_empty())
            .then(|| self.exact.get(host))
            .flatten();
        exact
            .into_iter()
            .chain(below)
            .chain(std::iter::once(&self.any))
    }
}

/// Returns what orders two rules that hold for one request, before their ranks; less comes first.
pub(super) fn precedence(condition: &Condition) -> (u8, usize, u8, usize) {
    let (host, suffix) = match &condition.host {
        Host::Exact(_) => (0, 0),
        Host::Below(suffix) => (1, suffix.len()),
        Host::Any => (2, 0),
    };
    let (kind, specific) = match &condition.shape {
        Shape::Whole(segments) => (0, literals(segments)),
        Shape::Prefix(segments) => (1, segments.len()),
    };
    (host, usize::MAX - suffix, kind, usize::MAX - specific)
}

pub(super) fn literals(segments: &[Segment]) -> usize {
    segments
        .iter()
        .filter(|s| matches!(s, Segment::Literal(_)))
        .count()
}

type Map<V> = HashMap<Box<str>, V, BuildHasherDefault<Xxh3>>;

/// XXH3 over what is written; keys come from the file, so nobody else can make them collide.
#[derive(Debug, Default)]
struct Xxh3(u64);

impl Hasher for Xxh3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u8(&mut self, byte: u8) {
        // `str` ends its hash by one byte; one key is hashed here, so nothing has to be told apart.
        self.0 ^= u64::from(byte);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

const ROOT: u32 = 0;

/// The paths of one host.
#[derive(Debug)]
struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    children: Map<u32>,
    capture: Option<u32>,
    /// Rules whose whole path ends here, by rank.
    ends: Vec<RuleIx>,
    /// Rules whose prefix ends here, by rank.
    prefixes: Vec<RuleIx>,
    parent: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

impl Tree {
    fn insert(&mut self, shape: &Shape, rule: RuleIx) {
        match shape {
            Shape::Prefix(segments) => {
                let at = segments.iter().fold(ROOT, |at, s| self.child(at, s));
                self.nodes[at as usize].prefixes.push(rule);
            }
            Shape::Whole(segments) => {
                let at = segments.iter().fold(ROOT, |at, s| match s {
                    Segment::Literal(text) => self.child(at, text),
                    Segment::Capture(_) => self.capture(at),
                });
                self.nodes[at as usize].ends.push(rule);
            }
        }
    }

    fn child(&mut self, at: u32, segment: &str) -> u32 {
        if let Some(next) = self.nodes[at as usize].children.get(segment) {
            return *next;
        }
        let next = self.add(at);
        self.nodes[at as usize]
            .children
            .insert(segment.into(), next);
        next
    }

    fn capture(&mut self, at: u32) -> u32 {
        if let Some(next) = self.nodes[at as usize].capture {
            return next;
        }
        let next = self.add(at);
        self.nodes[at as usize].capture = Some(next);
        next
    }

    fn add(&mut self, parent: u32) -> u32 {
        let next = u32::try_from(self.nodes.len()).expect("a file has fewer than a million nodes");
        self.nodes.push(Node {
            parent,
            ..Node::default()
        });
        next
    }

    fn find(&self, rules: &[Rule], view: &View<'_>) -> Option<RuleIx> {
        let path = view.path.strip_prefix('/');
        let mut best = None;
        let mut deepest = ROOT;
        if let Some(path) = path {
            self.walk(ROOT, Some(path), 0, &mut |captures, node, whole| {
                if captures == 0 {
                    deepest = node;
                }
                if whole && best.is_none_or(|(least, _)| captures <= least) {
                    let found = first(&self.nodes[node as usize].ends, rules, view);
                    best = better(best, found.map(|rule| (captures, rule)));
                }
            });
        }
        best.map(|(_, rule)| rule)
            .or_else(|| self.prefix(deepest, rules, view))
    }

    /// Calls `visit` with the captures, each node that the path reaches, and whether it ends there.
    fn walk(
        &self,
        at: u32,
        rest: Option<&str>,
        captures: u32,
        visit: &mut impl FnMut(u32, u32, bool),
    ) {
        let node = &self.nodes[at as usize];
        visit(captures, at, rest.is_none());
        let Some(rest) = rest else { return };
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if !node.children.is_empty()
            && let Some(next) = node.children.get(segment)
        {
            self.walk(*next, rest, captures, visit);
        }
        if let Some(next) = node.capture
            && !segment.is_empty()
        {
            self.walk(next, rest, captures + 1, visit);
        }
    }

    /// Returns the rule with the longest prefix, upward from the deepest literal node.
    fn prefix(&self, deepest: u32, rules: &[Rule], view: &View<'_>) -> Option<RuleIx> {
        let mut at = deepest;
        loop {
            let node = &self.nodes[at as usize];
            if let Some(rule) = first(&node.prefixes, rules, view) {
                return Some(rule);
            }
            if at == ROOT {
                return None;
            }
            at = node.parent;
        }
    }
}

fn first(ranks: &[RuleIx], rules: &[Rule], view: &View<'_>) -> Option<RuleIx> {
    ranks.iter().copied().find(|rank| {
        rules
            .get(rank.0 as usize)
            .is_some_and(|r| r.condition.misses(view).is_none())
    })
}

fn better(a: Option<(u32, RuleIx)>, b: Option<(u32, RuleIx)>) -> Option<(u32, RuleIx)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
