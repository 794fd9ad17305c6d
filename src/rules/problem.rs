//! What is wrong in `routes.yaml`, where, and what to write instead. Pure.
//!
//! Problems are collected, never thrown: one pass over the file names all of them.

use serde::Serialize;
use std::fmt::Write as _;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is taken, but somebody should look.
    Warning,
    /// The file is not taken.
    Error,
}

impl Severity {
    /// Returns the word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// The codes by name, for the readers and the compiler.
        pub(super) mod code {
            $(#[doc = $text] pub(in crate::rules) const $name: &str = $code;)*
        }
        /// Every code with its meaning. A code never changes its meaning.
        pub const CODES: &[(&str, &str)] = &[$(($code, $text)),*];
    };
}

codes! {
    SYNTAX = "E001", "the text is not YAML, or not UTF-8";
    BUDGET = "E002", "the file is over 4 MiB, nested deeper than 32, or has more than a million nodes";
    SUGAR = "E003", "an anchor, an alias or a tag: each value is written where it holds";
    DOCUMENTS = "E004", "more than one YAML document";
    DUPLICATE_KEY = "E005", "a key is given twice in one map";
    FORM = "E006", "a value of another form: a map, a list or a text was expected";
    MISSING = "E007", "a key or a value that must be given is not there";
    VERSION = "E008", "a version of the format that is not known";
    LATER = "E009", "a key, value or scheme that is known, but not supported in this version";
    UNREADABLE = "E010", "the file cannot be read";
    UNKNOWN_KEY = "E012", "an unknown key";
    UNIT = "E013", "a number without its unit";
    NUMBER = "E014", "a number that cannot be read, or is out of its range";
    WORD = "E015", "a word that is none of those that can stand here";
    NAME = "E016", "a name of another form: a to z, 0 to 9, `-` and `_`, at most 64, not starting with `_`";
    ADDRESS = "E020", "an address, network, endpoint or store that cannot be read";
    HOST = "E021", "a host condition, or the name of a host, that cannot be read";
    PATH = "E022", "a path or path condition that cannot be read, or that no request can have";
    HEADER = "E023", "a header name or value that cannot be sent";
    METHOD = "E024", "a method that cannot be sent";
    CONDITION = "E025", "two conditions of one match exclude each other";
    FILE = "E026", "the path of a file that is empty, or a secret in its place";
    FIELD = "E027", "an edit of a field that the proxy itself writes: hop-by-hop, framing, Host, or who the client is";
    EDITS = "E028", "two edits of one field that exclude each other, or too many";
    REWRITE = "E029", "a rewrite whose matches share no prefix";
    BACKEND = "E030", "a backend that is not declared";
    DUPLICATE_NAME = "E031", "two slices, backends or cohorts of one name";
    RESERVED = "E032", "a name that is taken by the product, or by a cohort";
    PERCENT_STAGE = "E040", "`percent` outside the stage `canary`";
    NO_SHARE = "E041", "stage `canary` without `ramp: { percent: … }`";
    NO_KEY = "E042", "a ramp that does not say by what it splits";
    NO_TENANT = "E043", "tenants are named, but nothing says whose request it is";
    UNREACHABLE = "E051", "a slice that can never match, with a request that proves it";
    OPEN_ADMIN = "E060", "an admin address off loopback without tokens";
    IGNORE = "E065", "a compare path that cannot be read";
    MIRROR = "E070", "mirroring a method that may have effects";
    TOO_MANY = "E099", "more problems than are shown";
    ORDER = "W001", "two slices take the same requests, and only their order decides";
    PLAIN_COPY = "W002", "copies carry credentials over plain HTTP to a host that is not this one";
    UNUSED_BACKEND = "W003", "a backend that no slice uses";
    ALL_EXCLUDED = "W004", "a word of the path keeps a whole slice out of mirroring";
    USELESS_MATCH = "W005", "one of several matches of a slice can never match";
    NO_SLICES = "W006", "no slices: everything goes to legacy";
    IDLE_COHORT = "W007", "a cohort that nothing names";
    USELESS = "W008", "a key that does nothing where it stands";
    TRUST_ALL = "W009", "everybody is believed to be a proxy before this one";
    RESTART = "W010", "a key that is read at start was changed: it takes a restart";
}

/// A place in the file: line and column from 1, and how many characters are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct At {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) len: u32,
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The stable code, such as `E012`.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong, in one line.
    pub message: String,
    /// The line of the file, shortened when long.
    pub snippet: String,
    /// What of the snippet is meant: the first character (from 0) and how many.
    pub underline: (u32, u32),
    /// What to write instead; empty if the message says it.
    pub hint: String,
    /// A request that proves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

impl Problem {
    /// Renders it as `check` and the log print it, several lines without a last newline.
    pub fn render(&self, path: &str) -> String {
        let mut out = format!(
            "{path}:{}:{}: {}[{}]: {}",
            self.line,
            self.column,
            self.severity.as_str(),
            self.code,
            self.message
        );
        if !self.snippet.is_empty() {
            let (from, len) = self.underline;
            let pad = " ".repeat(from as usize);
            let marks = "^".repeat((len as usize).max(1));
            let _written = write!(out, "\n{:>5} | {}", self.line, self.snippet);
            let _written = write!(out, "\n      | {pad}{marks} {}", self.hint);
            out.truncate(out.trim_end().len());
        } else if !self.hint.is_empty() {
            let _written = write!(out, "\n      {}", self.hint);
        }
        if let Some(example) = &self.example {
            let _written = write!(out, "\n      example: {example}");
        }
        out
    }
}

/// How many problems are kept; a broken file of a million lines has a million.
const SHOWN_MAX: usize = 200;
const SNIPPET_MAX: usize = 160;
/// What begins a key or a certificate in PEM. No snippet shows what follows, up to its end.
pub(super) const SECRET: &str = "-----BEGIN";
const SECRET_END: &str = "-----END";

/// Collects problems; the text gives the snippets.
#[derive(Debug)]
pub(super) struct Problems {
    lines: Vec<Box<str>>,
    list: Vec<Problem>,
    dropped: u32,
    errors: u32,
}

impl Problems {
    pub(super) fn new(text: &str) -> Self {
        let mut inside = false;
        let shown = |line: &str| -> Box<str> {
            let shown = match line.split_once(SECRET) {
                _ if inside => Box::default(),
                Some((before, _)) => format!("{before}{SECRET}…").into(),
                None => line.trim_end_matches('\r').into(),
            };
            let (begin, end) = (line.rfind(SECRET), line.rfind(SECRET_END));
            inside = begin > end || inside && end.is_none();
            shown
        };
        Self {
            lines: text.split('\n').map(shown).collect(),
            list: Vec::new(),
            dropped: 0,
            errors: 0,
        }
    }

    /// Shows no snippet of a line, because a secret stands in it.
    pub(super) fn hide(&mut self, at: At) {
        let place = (at.line as usize).checked_sub(1);
        if let Some(line) = place.and_then(|place| self.lines.get_mut(place)) {
            *line = Box::default();
        }
    }

    /// Adds an error.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        at: At,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(code, Severity::Error, at, message.into(), hint.into(), None);
    }

    /// Adds a warning.
    pub(super) fn warn(
        &mut self,
        code: &'static str,
        at: At,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(
            code,
            Severity::Warning,
            at,
            message.into(),
            hint.into(),
            None,
        );
    }

    /// Adds one that a request proves.
    pub(super) fn proven(
        &mut self,
        code: &'static str,
        severity: Severity,
        at: At,
        message: String,
        example: String,
    ) {
        self.add(code, severity, at, message, String::new(), Some(example));
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns all of them in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|p| (p.line, p.column));
        if self.dropped > 0 {
            let at = At::default();
            let message = format!("{} more problems are not shown", self.dropped);
            let severity = if self.list.iter().all(|p| p.severity == Severity::Warning) {
                Severity::Warning
            } else {
                Severity::Error
            };
            self.list.push(self.problem(
                code::TOO_MANY,
                severity,
                at,
                message,
                String::new(),
                None,
            ));
        }
        self.list
    }

    fn add(
        &mut self,
        code: &'static str,
        severity: Severity,
        at: At,
        message: String,
        hint: String,
        example: Option<String>,
    ) {
        if severity == Severity::Error {
            self.errors += 1;
        }
        if self.list.len() >= SHOWN_MAX {
            self.dropped += 1;
            return;
        }
        let problem = self.problem(code, severity, at, message, hint, example);
        self.list.push(problem);
    }

    fn problem(
        &self,
        code: &'static str,
        severity: Severity,
        at: At,
        message: String,
        hint: String,
        example: Option<String>,
    ) -> Problem {
        let line = (at.line as usize)
            .checked_sub(1)
            .and_then(|i| self.lines.get(i))
            .map_or("", |l| l);
        let (snippet, underline) = snippet(line, at);
        Problem {
            code,
            severity,
            line: at.line.max(1),
            column: at.column.max(1),
            message,
            snippet,
            underline,
            hint,
            example,
        }
    }
}

/// Cuts a window around the place out of a long line, and takes control characters out.
fn snippet(line: &str, at: At) -> (String, (u32, u32)) {
    let start = at.column.saturating_sub(1) as usize;
    let skip = if start + 20 > SNIPPET_MAX {
        start - 20
    } else {
        0
    };
    let shown: String = line
        .chars()
        .skip(skip)
        .take(SNIPPET_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let shown = shown.trim_end().to_owned();
    let length = u32::try_from(shown.chars().count()).unwrap_or(0);
    let from = u32::try_from(start - skip)
        .unwrap_or(0)
        .min(length.saturating_sub(1));
    let room = length.saturating_sub(from);
    (shown, (from, at.len.clamp(1, room.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_rendered_with_its_line_and_what_to_write() {
        let mut problems = Problems::new("slices:\n        percnet: 20%\n");
        let at = At {
            line: 2,
            column: 9,
            len: 7,
        };
        problems.error(
            code::UNKNOWN_KEY,
            at,
            "unknown key `percnet` in ramp",
            "did you mean `percent`?",
        );
        let all = problems.finish();
        assert_eq!(
            all[0].render("routes.yaml"),
            "routes.yaml:2:9: error[E012]: unknown key `percnet` in ramp\n    2 |         percnet: 20%\n      |         ^^^^^^^ did you mean `percent`?"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}x: 1{}", " ".repeat(1_000), "y".repeat(1_000));
        let (shown, (from, len)) = snippet(
            &line,
            At {
                line: 1,
                column: 1_001,
                len: 1,
            },
        );
        assert!(shown.chars().count() <= SNIPPET_MAX);
        assert_eq!(shown.chars().nth(from as usize), Some('x'));
        assert_eq!(len, 1);
    }

    #[test]
    fn no_snippet_shows_a_key() {
        let mut problems = Problems::new("key: \"-----BEGIN PRIVATE KEY-----\\nMIIE\"\n");
        let at = At {
            line: 1,
            column: 6,
            len: 40,
        };
        problems.error(code::FILE, at, "x", "");
        let text = problems.finish()[0].render("routes.yaml");
        assert!(!text.contains("MIIE"), "{text}");
    }

    #[test]
    fn a_flood_of_problems_is_counted_and_cut() {
        let mut problems = Problems::new("");
        for line in 0..1_000 {
            problems.error(
                code::FORM,
                At {
                    line,
                    column: 1,
                    len: 1,
                },
                "x",
                "",
            );
        }
        let all = problems.finish();
        assert_eq!(all.len(), SHOWN_MAX + 1);
        assert_eq!(
            all.last().unwrap().message,
            "800 more problems are not shown"
        );
    }

    #[test]
    fn no_code_is_given_twice() {
        let codes: std::collections::BTreeSet<_> = CODES.iter().map(|(c, _)| c).collect();
        assert_eq!(codes.len(), CODES.len());
    }
}
