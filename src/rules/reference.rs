//! `docs/routes.md`, written from the table of keys. Pure.

use crate::rules::exclude;
use crate::rules::keys::Form;
use crate::rules::keys::Section;
use crate::rules::problem::CODES;
use crate::rules::split;
use std::fmt::Write as _;

const INTRO: &str = "\
# routes.yaml

Every key of the file, its default, and what it does. This page is written from the table that the
reader of the file uses (`src/rules/rows.rs`); a test keeps the two equal.

The smallest useful file. Everything goes to legacy; one slice is compared:

```yaml
legacy: http://127.0.0.1:3000
slices:
  - { name: orders, match: /api/orders, to: \"http://127.0.0.1:4000\", stage: shadow }
```

`supplant check` names every mistake of a file in one pass, with its place and what to write.
`supplant explain GET /api/orders/7` tells where a request goes, step by step, and which rules lost.

- Names of keys are in snake_case. An unknown key is an error, and so is a key of a later version.
- A number has its unit: `5%`, `300ms`, `64KiB`, `50/s`. A bare number where a unit belongs is an
  error.
- Names of slices, backends, cohorts and groups have a to z, 0 to 9, `-` and `_`, at most 64 of
  them, and do not start with `_`.
- Anchors, aliases, tags and several documents are refused. So is a file over 4 MiB.
- In YAML, a path with braces inside `{ … }` needs quotes: `{ path: \"/orders/{id}\" }`.
";

const MATCHING: &str = "
## How a request finds its slice

Rules look at a canonical copy of the path: dot segments are resolved, unreserved characters are
decoded (`%61` is `a`), everything else that is encoded stays so (`%2F` is no slash, and takes part
in a segment). What goes upstream are the bytes that came, unless `rewrite` moves them. A path that
leaves the root, or that holds a NUL or a backslash, encoded or not, is refused with 400. The host is compared in lower
case, without port and last dot.

All conditions of a match must hold; of a list of matches, any. Where several slices could take a
request, the first difference decides:

1. host: exact, then the longer wildcard, then any;
2. path: whole path, more literal segments first; then the longest prefix;
3. a match with `methods` before one without;
4. more `headers` and `tenants` conditions before fewer, each field and `tenants` counting one;
5. the order of the file, with a warning.

A slice that can never match is an error with a request that proves it, if one earlier slice with
the same host and shape of path takes all that it could take. What no slice takes goes to legacy.

## Who answers

How far a slice is, is the lower of what the file declares and the ceiling that operators set. The
first of these that holds decides:

1. the slice, or everything, is killed: legacy;
2. the tenant is on `ramp.never`: legacy, in every stage;
3. stage `legacy` or `shadow`: legacy; `cutover` or `retired`: the candidate;
4. stage `canary`: a tenant on `ramp.always` goes to the candidate; a key whose bucket is below the
   share goes to the candidate; without a key, legacy; otherwise legacy.

| stage | answers | gets a copy |
|---|---|---|
| `legacy` | legacy | nobody; with `compare.control` written, legacy may be asked again |
| `shadow` | legacy | the candidate |
| `canary` | the candidate for its share, legacy for the rest | the other side |
| `cutover` | the candidate | legacy, at most 10 % |
| `retired` | the candidate | nobody |

A tenant comes from the first source of `tenant.from` that the request has. A source that is there
but holds no tenant (empty, two different values, over 256 bytes, the name of a cohort) ends the
search: the tenant is unknown. `always`, `never` and `tenants` name a cohort if one has that name,
and a tenant otherwise.

Where the candidate answers and fails, the slice's `fallback` lets legacy answer: for GET, HEAD,
OPTIONS and TRACE only, before the first byte went to the client, and never in stage `retired`.

## What changes on the way

Edits of fields are made in this order: `remove`, `set`, `add`. Those of `headers` hold for both
sides alike, those of `shadow.headers` for copies to the candidate only. Fields that the proxy writes
itself cannot be edited: `Host` (write `host` at the backend), `Content-Length`, `Transfer-Encoding` and the other
fields of one connection, `Via`, `Forwarded`, `X-Forwarded-*` (see `trusted_proxies`) and
`Supplant-*`.

`rewrite` moves the longest prefix, in whole segments and before any capture, that all matches of
the slice share: with `match: [/api/v1/bills, /api/v1/invoices]` and `prefix: /v2` the candidate gets
`/v2/bills/7` for `/api/v1/bills/7`. Only the candidate's path changes, never legacy's. What follows
the prefix keeps the bytes that came, unless they lead out of it: then the canonical copy is moved.
`supplant explain` prints the path that the candidate gets.

An endpoint's scheme is its protocol. TLS to an application is always verified; `tls.ca` names who
signed its certificate if the system does not know. Paths of files start beside this file.

## The bucket

A key falls into one of 10,000 buckets: (XXH3-64 with seed 0 of `group ‖ 0x00 ‖ kind ‖ 0x00 ‖ key`,
times 10,000) >> 64, computed in 128 bits. `kind` is `tenant`, `header:x-user` (the name in lower
case) or `cookie:uid`. A share of 5 % takes buckets 0 to 499. So a wider share only adds keys, a
narrower one removes the newest, and proxies agree without talking. With `by: random` nothing
sticks: each request is drawn. The function never changes:

| group | kind | key | bucket |
|---|---|---|---|
";

const MIRRORING: &str = "
## What is never mirrored

Only the methods of `shadow.methods`, and never: a request that carries `Supplant-Role` (it is a
copy already), one that asks for a tunnel, a conditional request, a range, and what `shadow.except`
takes. Legacy applications have GETs with effects, so these words keep a request out too, as a whole
segment of the path, as a part of one between `-`, `_` and `.`, or as a whole name or value of the
query, in upper or lower case:
";

/// Returns the text of `docs/routes.md`.
pub fn reference() -> String {
    let mut out = INTRO.to_owned();
    out.push_str("\n## Keys\n");
    for section in Section::ALL {
        keys(&mut out, section);
    }
    out.push_str(MATCHING);
    for (group, kind, key, bucket) in split::VECTORS {
        let _written = writeln!(out, "| `{group}` | `{kind}` | `{key}` | {bucket} |");
    }
    out.push_str(MIRRORING);
    let words: Vec<_> = exclude::WORDS.iter().map(|w| format!("`{w}`")).collect();
    let _written = write!(out, "\n{}.\n", wrapped(&words));
    let names: Vec<_> = exclude::QUERY_NAMES
        .iter()
        .map(|w| format!("`{w}`"))
        .collect();
    let _written = writeln!(
        out,
        "\nA name of the query that is {}, or that ends in `token`, keeps it out as well.\n`shadow.allow` lets requests through that these words would keep out; `check` and `explain` print\nthe line to write.",
        names.join(", ")
    );
    out.push_str("\n## Codes\n\nA code never changes its meaning. E is an error, W a warning (`check --strict` makes them errors).\n\n| code | meaning |\n|---|---|\n");
    for (code, text) in CODES {
        let _written = writeln!(out, "| {code} | {text} |");
    }
    out
}

/// Lays words out in lines of about a hundred characters.
fn wrapped(words: &[String]) -> String {
    let mut out = String::new();
    let mut width = 0;
    for (place, word) in words.iter().enumerate() {
        if place > 0 {
            let (gap, room) = if width + word.len() > 96 {
                (",\n", 0)
            } else {
                (", ", width + 2)
            };
            out.push_str(gap);
            width = room;
        }
        out.push_str(word);
        width += word.len();
    }
    out
}

fn keys(out: &mut String, section: Section) {
    let _written = write!(
        out,
        "\n### {}\n\n| key | value | default | |\n|---|---|---|---|\n",
        section.place()
    );
    for row in section.rows().filter(|r| r.form != Form::Later) {
        let default = if row.default.is_empty() {
            ""
        } else {
            row.default
        };
        let _written = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            row.name,
            row.form.words(),
            default,
            row.doc
        );
    }
    let later: Vec<_> = section
        .rows()
        .filter(|r| r.form == Form::Later)
        .map(|r| format!("`{}`", r.name))
        .collect();
    if !later.is_empty() {
        let _written = writeln!(out, "\nNot in this version (E009): {}.", later.join(", "));
    }
}
