//! The one table of keys. Pure.
//!
//! It drives reading (what is known where), the hints of `check`, and `docs/routes.md`. A key that
//! later versions have stands here as [`Form::Later`], so that it is refused by name and never
//! taken silently.

use Form::Count;
use Form::Duration;
use Form::Map;
use Form::Name;
use Form::Rate;
use Form::Share;
use Form::Size;
use Form::Text;
use Form::Texts;
use Form::Words;
use Section::Admin;
use Section::Backend;
use Section::Compare;
use Section::Defaults;
use Section::Drain;
use Section::Limits;
use Section::Listen;
use Section::ListenTimeouts;
use Section::Match;
use Section::Ramp;
use Section::Shadow;
use Section::Slice;
use Section::Tenant;
use Section::Timeouts;
use Section::Token;
use Section::Top;

/// A map of the file: which keys can stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Top,
    Listen,
    ListenTimeouts,
    Admin,
    Token,
    Drain,
    Limits,
    Backend,
    Timeouts,
    Tenant,
    Defaults,
    Slice,
    Match,
    Ramp,
    Shadow,
    Compare,
}

impl Section {
    /// Every section in the order of the reference.
    pub(super) const ALL: [Self; 16] = [
        Self::Top,
        Self::Listen,
        Self::ListenTimeouts,
        Self::Admin,
        Self::Token,
        Self::Drain,
        Self::Limits,
        Self::Backend,
        Self::Timeouts,
        Self::Tenant,
        Self::Defaults,
        Self::Slice,
        Self::Match,
        Self::Ramp,
        Self::Shadow,
        Self::Compare,
    ];

    /// Returns the word that messages use for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Top => "the file",
            Self::Listen => "listen",
            Self::ListenTimeouts | Self::Timeouts => "timeouts",
            Self::Admin => "admin",
            Self::Token => "tokens",
            Self::Drain => "drain",
            Self::Limits => "limits",
            Self::Backend => "backend",
            Self::Tenant => "tenant",
            Self::Defaults => "defaults",
            Self::Slice => "slice",
            Self::Match => "match",
            Self::Ramp => "ramp",
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
            Self::Admin => "`admin`",
            Self::Token => "`admin.tokens[]`",
            Self::Drain => "`drain`",
            Self::Limits => "`limits`",
            Self::Backend => "`legacy`, `backends.NAME`",
            Self::Timeouts => "`legacy.timeouts`, `backends.NAME.timeouts`",
            Self::Tenant => "`tenant`",
            Self::Defaults => "`defaults`",
            Self::Slice => "`slices[]`",
            Self::Match => "`slices[].match`, and entries of `shadow.except` and `shadow.allow`",
            Self::Ramp => "`slices[].ramp`",
            Self::Shadow => "`slices[].shadow`, `defaults.shadow`",
            Self::Compare => "`slices[].compare`, `defaults.compare`",
        }
    }

    /// Returns its rows.
    pub(super) fn rows(self) -> impl Iterator<Item = &'static Row> {
        ROWS.iter().filter(move |r| r.section == self)
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

const fn row(
    section: Section,
    name: &'static str,
    form: Form,
    default: &'static str,
    doc: &'static str,
) -> Row {
    Row {
        section,
        name,
        form,
        default,
        doc,
    }
}

const fn later(section: Section, name: &'static str) -> Row {
    row(section, name, Form::Later, "", "")
}

/// Every key that this version or a later one knows.
#[rustfmt::skip] // a row a line reads as the table that it is
pub(super) const ROWS: &[Row] = &[
    row(Top, "version", Words("`1`"), "`1`", "The version of this format."),
    row(Top, "listen", Words("address, map, or list of either"), "`127.0.0.1:8080`", "Where clients are served. Read at start."),
    row(Top, "admin", Map, "", "The listener of dashboard, API and metrics. Read at start."),
    row(Top, "store", Words("`sqlite:PATH`"), "`sqlite:supplant.db`", "What outlives the process. A relative path starts beside this file. Read at start."),
    row(Top, "threads", Count, "one per core", "Data-plane threads, 1 to 1024. Read at start."),
    row(Top, "drain", Map, "", "How the process ends."),
    row(Top, "limits", Map, "", "What a listener takes at most."),
    row(Top, "legacy", Words("endpoint or map"), "must", "The application that is being replaced. What no slice takes goes there."),
    row(Top, "backends", Words("map of name to endpoint or map"), "none", "The new applications, by name. `legacy` is taken."),
    row(Top, "tenant", Map, "none", "Whose request it is."),
    row(Top, "defaults", Map, "", "What slices share."),
    row(Top, "slices", Words("list of maps"), "none", "The parts of the surface that move as one, in order."),
    later(Top, "include"),
    later(Top, "overrides"),
    later(Top, "trusted_proxies"),
    later(Top, "headers"),
    later(Top, "guards"),
    row(Listen, "address", Words("`IP:PORT`"), "must", "The address. Port 0 takes a free one."),
    row(Listen, "timeouts", Map, "", "How long a client may be silent."),
    later(Listen, "tls"),
    later(Listen, "proxy_protocol"),
    row(ListenTimeouts, "body", Duration, "`30s`", "Silence inside a request body."),
    row(ListenTimeouts, "idle", Duration, "`60s`", "Silence between requests, and for a head to arrive."),
    later(ListenTimeouts, "header"),
    row(Admin, "address", Words("`IP:PORT`"), "`127.0.0.1:9900`", "The address. Off loopback it needs `tokens`."),
    row(Admin, "hosts", Texts, "none", "Names taken as Host besides the loopback ones."),
    row(Admin, "tokens", Words("list of maps"), "none", "Who may look, and who may act."),
    later(Admin, "tls"),
    later(Admin, "write_rules"),
    row(Token, "name", Name, "must", "The name that the history shows."),
    row(Token, "role", Words("`viewer` or `operator`"), "must", "A viewer looks, an operator acts."),
    row(Token, "file", Text, "must", "The file that holds the token. A relative path starts beside this file."),
    row(Drain, "delay", Duration, "`0s`", "How long to go on accepting after SIGTERM, `/readyz` already saying 503."),
    row(Drain, "timeout", Duration, "`30s`", "How long requests in flight may take to end."),
    row(Limits, "connections", Count, "`20000`", "Connections of clients, 1 to 1000000."),
    row(Limits, "request_body", Words("size or `none`"), "`none`", "The largest request body."),
    row(Backend, "endpoints", Words("endpoint or list of endpoints"), "must", "Where it runs: `http://HOST:PORT` (port 80 if not given) or `unix:/path`. Several are taken in turn."),
    row(Backend, "timeouts", Map, "", "How long it may be silent."),
    row(Backend, "version_header", Text, "none", "The response field that names its version; a new version begins a new epoch of evidence."),
    later(Backend, "health"),
    later(Backend, "tls"),
    later(Backend, "max_inflight"),
    later(Backend, "host"),
    row(Timeouts, "connect", Duration, "`2s`", "Until a connection stands."),
    row(Timeouts, "response", Duration, "`60s`", "From the last byte of the request to the head of the answer."),
    row(Timeouts, "idle", Duration, "`5m`", "Silence inside a body or a tunnel."),
    row(Timeouts, "keepalive", Duration, "`4s`", "How long an unused connection is kept."),
    row(Tenant, "from", Words("source or list of sources"), "must", "Where the tenant stands, first hit wins: `header:NAME`, or `host:{tenant}.app.example.com`."),
    row(Tenant, "cohorts", Words("map of name to list of tenants"), "none", "Lists of tenants by name, for `always`, `never` and `tenants`."),
    later(Tenant, "jwt"),
    later(Tenant, "unsigned"),
    row(Defaults, "shadow", Map, "", "For every slice; `except` and `allow` of a slice are added to these, its other keys replace them."),
    row(Defaults, "compare", Map, "", "For every slice; `ignore` of a slice is added to these, its other keys replace them."),
    later(Defaults, "guards"),
    later(Defaults, "ramp"),
    later(Defaults, "fallback"),
    row(Slice, "name", Name, "must", "Its name in labels, pages, commands, and in the bucket of its share."),
    row(Slice, "match", Words("path prefix, map, or list of either"), "must", "What it takes; of a list, any."),
    row(Slice, "to", Name, "must", "The backend: a name of `backends`, or an endpoint."),
    row(Slice, "stage", Words("`legacy`, `shadow`, `canary`, `cutover` or `retired`"), "must", "How far it may go."),
    row(Slice, "ramp", Map, "none", "Whom the candidate answers in stage `canary`."),
    row(Slice, "shadow", Map, "", "What is mirrored."),
    row(Slice, "compare", Map, "", "What counts as different."),
    row(Slice, "owner", Text, "none", "Whom to ask; shown on the page."),
    later(Slice, "expires"),
    later(Slice, "fallback"),
    later(Slice, "guards"),
    later(Slice, "rewrite"),
    later(Slice, "side_effects"),
    later(Slice, "headers"),
    later(Slice, "host"),
    row(Match, "host", Text, "any", "The host without port: a name, or `*.example.com` for every name below."),
    row(Match, "path", Text, "any", "The whole path; `{name}` takes one segment that is not empty."),
    row(Match, "path_prefix", Text, "any", "The first segments of the path: `/api` takes `/api` and `/api/7`, not `/apis`."),
    row(Match, "methods", Words("method or list of methods"), "any", "The methods, as the request writes them. `GET` does not mean `HEAD`."),
    row(Match, "headers", Words("map of name to value"), "any", "All of these fields have these values; `\"*\"` stands for any value."),
    row(Match, "tenants", Words("name or list of names"), "any", "The tenant is one of these, or of these cohorts."),
    later(Match, "path_regex"),
    later(Match, "query"),
    later(Match, "cookies"),
    later(Match, "source"),
    row(Ramp, "percent", Share, "none", "The share that the candidate answers. In stage `canary` it must be given, elsewhere it must not."),
    row(Ramp, "by", Words("`tenant`, `header:NAME`, `cookie:NAME` or `random`"), "`tenant` where `tenant` is set", "The key that decides; one key always falls on one side."),
    row(Ramp, "always", Texts, "none", "Tenants and cohorts that the candidate answers in stage `canary` at any share."),
    row(Ramp, "never", Texts, "none", "Tenants and cohorts that legacy answers in every stage."),
    row(Ramp, "group", Name, "the slice's name", "Slices of one group move the same keys."),
    later(Ramp, "steps"),
    later(Ramp, "advance"),
    later(Ramp, "attempt"),
    row(Shadow, "sample", Share, "`100%`", "The share of requests that is mirrored. In stage `cutover` at most 10 %."),
    row(Shadow, "rate", Rate, "`50/s`", "Copies a second at most; `none` lifts it."),
    row(Shadow, "methods", Words("method or list, of `GET`, `HEAD`, `OPTIONS`"), "`[GET, HEAD]`", "What is mirrored at all."),
    row(Shadow, "body_limit", Size, "`1MiB`", "The largest answer that is compared."),
    row(Shadow, "timeout", Duration, "`5s`", "The deadline of a copy, if the served answer was not slower."),
    row(Shadow, "max_inflight", Count, "`64`", "Copies under way at a time, 1 to 100000."),
    row(Shadow, "except", Words("match or list of matches"), "none", "Requests that are never mirrored nor asked twice."),
    row(Shadow, "allow", Words("match or list of matches"), "none", "Requests that the words below do not keep out. `except` is stronger."),
    later(Shadow, "headers"),
    later(Shadow, "by"),
    row(Compare, "ignore", Texts, "none", "Places that do not count: `status`, `header:x-request-id`, `header:x-*`, `$.a.b`, `$.items[*].id`, `$.**.etag`."),
    row(Compare, "control", Share, "`5%`", "The share of mirrored requests for which legacy is asked again, which tells noise from difference. In stage `legacy` only if written."),
    row(Compare, "control_rate", Words("`none`"), "capped", "`none` lifts the caps on control calls: 5 a second for a slice, 20 in all, 10 % of the calls of legacy."),
    later(Compare, "unordered"),
    later(Compare, "tolerance"),
    later(Compare, "subset"),
    later(Compare, "null_is_absent"),
    later(Compare, "empty_is_null"),
    later(Compare, "trim"),
    later(Compare, "case_insensitive"),
    later(Compare, "shape"),
    later(Compare, "map_ids"),
    later(Compare, "expect"),
    later(Compare, "base_urls"),
    later(Compare, "large"),
];

/// Returns the known name nearest to a mistyped one, if it is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let near = (word.chars().count() / 3).max(1) + 1;
    known
        .into_iter()
        .map(|k| {
            (
                distance(&word, &k.to_ascii_lowercase().replace('-', "_")),
                k,
            )
        })
        .filter(|(d, k)| *d <= near && *d < k.chars().count())
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Counts the edits between two words; two letters swapped are one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (above[j] + usize::from(x != y))
                .min(above[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_its_neighbor_and_a_strange_one_none() {
        assert_eq!(nearest("percnet", Ramp.names()), Some("percent"));
        assert_eq!(
            nearest("max-inflight", Shadow.names()),
            Some("max_inflight")
        );
        assert_eq!(nearest("Timeout", Shadow.names()), Some("timeout"));
        assert_eq!(nearest("zebra", Shadow.names()), None);
        assert_eq!(nearest("x", Shadow.names()), None);
        assert_eq!(distance("abcd", "acbd"), 1);
        assert_eq!(distance("", "abc"), 3);
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
