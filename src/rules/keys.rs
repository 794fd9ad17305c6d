//! The maps of the file, and what their keys look like. Pure.
//!
//! With the one table of keys, in `rows.rs`, it drives reading (what is known where), the hints of
//! `check`, and `docs/routes.md`. A key that later versions have stands here as [`Form::Later`], so
//! that it is refused by name and never taken silently.

use crate::rules::rows::ROWS;

/// A map of the file: which keys can stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Top,
    Listen,
    ListenTimeouts,
    ListenTls,
    Certificate,
    Admin,
    Token,
    Drain,
    Limits,
    Names,
    Backend,
    Timeouts,
    BackendTls,
    Health,
    Ejection,
    Retry,
    Circuit,
    Tenant,
    Defaults,
    Slice,
    Match,
    Ramp,
    Fallback,
    Rewrite,
    Headers,
    Edits,
    Shadow,
    Compare,
}

impl Section {
    /// Every section in the order of the reference.
    pub(super) const ALL: [Self; 28] = [
        Self::Top,
        Self::Listen,
        Self::ListenTimeouts,
        Self::ListenTls,
        Self::Certificate,
        Self::Admin,
        Self::Token,
        Self::Drain,
        Self::Limits,
        Self::Names,
        Self::Backend,
        Self::Timeouts,
        Self::BackendTls,
        Self::Health,
        Self::Ejection,
        Self::Retry,
        Self::Circuit,
        Self::Tenant,
        Self::Defaults,
        Self::Slice,
        Self::Match,
        Self::Ramp,
        Self::Fallback,
        Self::Rewrite,
        Self::Headers,
        Self::Edits,
        Self::Shadow,
        Self::Compare,
    ];

    /// Returns the word that messages use for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Top => "the file",
            Self::Listen => "listen",
            Self::ListenTimeouts | Self::Timeouts => "timeouts",
            Self::ListenTls | Self::BackendTls => "tls",
            Self::Certificate => "certificates",
            Self::Admin => "admin",
            Self::Token => "tokens",
            Self::Drain => "drain",
            Self::Limits => "limits",
            Self::Names => "headers",
            Self::Headers => "headers of a slice",
            Self::Backend => "backend",
            Self::Health => "health",
            Self::Ejection => "ejection",
            Self::Retry => "retry",
            Self::Circuit => "circuit",
            Self::Tenant => "tenant",
            Self::Defaults => "defaults",
            Self::Slice => "slice",
            Self::Match => "match",
            Self::Ramp => "ramp",
            Self::Fallback => "fallback",
            Self::Rewrite => "rewrite",
            Self::Edits => "edits of fields",
            Self::Shadow => "shadow",
            Self::Compare => "compare",
        }
    }

    /// Returns where it stands, for the reference.
    pub(super) fn place(self) -> &'static str {
        match self {
            Self::Top => "The file",
            Self::Listen => "`listen[]`",
            Self::ListenTimeouts => "`listen[].timeouts`",
            Self::ListenTls => "`listen[].tls`",
            Self::Certificate => "`listen[].tls.certificates[]`",
            Self::Admin => "`admin`",
            Self::Token => "`admin.tokens[]`",
            Self::Drain => "`drain`",
            Self::Limits => "`limits`",
            Self::Names => "`headers`",
            Self::Backend => "`legacy`, `backends.NAME`",
            Self::Timeouts => "`legacy.timeouts`, `backends.NAME.timeouts`",
            Self::BackendTls => "`legacy.tls`, `backends.NAME.tls`",
            Self::Health => "`legacy.health`, `backends.NAME.health`",
            Self::Ejection => "`legacy.ejection`, `backends.NAME.ejection`",
            Self::Retry => "`legacy.retry`, `backends.NAME.retry`",
            Self::Circuit => "`legacy.circuit`, `backends.NAME.circuit`",
            Self::Tenant => "`tenant`",
            Self::Defaults => "`defaults`",
            Self::Slice => "`slices[]`",
            Self::Match => "`slices[].match`, and entries of `shadow.except` and `shadow.allow`",
            Self::Ramp => "`slices[].ramp`",
            Self::Fallback => "`slices[].fallback`, `defaults.fallback`",
            Self::Rewrite => "`slices[].rewrite`",
            Self::Headers => "`slices[].headers`",
            Self::Edits => {
                "`slices[].headers.request`, `slices[].headers.response`, `slices[].shadow.headers`, `defaults.shadow.headers`"
            }
            Self::Shadow => "`slices[].shadow`, `defaults.shadow`",
            Self::Compare => "`slices[].compare`, `defaults.compare`",
        }
    }

    /// Returns its rows.
    pub(super) fn rows(self) -> impl Iterator<Item = &'static Row> {
        let (from, to) = RANGES.get(self as usize).copied().unwrap_or_default();
        ROWS.get(from..to).unwrap_or_default().iter()
    }

    /// Returns the row of a key.
    pub(super) fn row(self, name: &str) -> Option<&'static Row> {
        self.rows().find(|r| r.name == name)
    }

    /// Returns the names that can be written, in alphabetical order.
    pub(super) fn names(self) -> Vec<&'static str> {
        let mut names: Vec<_> = self
            .rows()
            .filter(|r| r.form != Form::Later)
            .map(|r| r.name)
            .collect();
        names.sort_unstable();
        names
    }
}

/// Where the rows of each section begin and end, so that a key is not looked for among all.
const RANGES: [(usize, usize); Section::ALL.len()] = {
    let mut ranges = [(0, 0); Section::ALL.len()];
    let mut place = 0;
    while place < ROWS.len() {
        let section = ROWS[place].section as usize;
        if ranges[section].1 == 0 {
            ranges[section].0 = place;
        }
        place += 1;
        ranges[section].1 = place;
    }
    ranges
};

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Known, and not supported in this version.
    Later,
    /// A map, its keys in a section of their own.
    Map,
    /// Said in words.
    Words(&'static str),
    Text,
    Texts,
    Name,
    Duration,
    Size,
    Share,
    Rate,
    Count,
    Flag,
    File,
}

impl Form {
    /// Returns how the reference names it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Later => "not in this version",
            Self::Map => "map",
            Self::Words(words) => words,
            Self::Text => "text",
            Self::Texts => "list of texts",
            Self::Name => "name",
            Self::Duration => "duration, `300ms`, `5s`, `2m`, `1h`",
            Self::Size => "size, `512B`, `64KiB`, `1MiB`",
            Self::Share => "share, `5%`, `0.25%`",
            Self::Rate => "rate, `50/s`, or `none`",
            Self::Count => "whole number",
            Self::Flag => "`true` or `false`",
            Self::File => "path of a file; a relative one starts beside this file",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) section: Section,
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// What holds without it; `must` if there is nothing.
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_section_stand_together() {
        for section in Section::ALL {
            assert!(section.rows().count() > 0, "{section:?}");
            assert!(section.rows().all(|r| r.section == section), "{section:?}");
        }
    }

    #[test]
    fn no_key_stands_twice_in_a_section_and_every_one_is_described() {
        for section in Section::ALL {
            let names: Vec<_> = section.rows().map(|r| r.name).collect();
            let set: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!(set.len(), names.len(), "{section:?}");
            for row in section.rows().filter(|r| r.form != Form::Later) {
                assert!(row.doc.ends_with('.'), "{section:?}.{}", row.name);
            }
        }
    }
}
