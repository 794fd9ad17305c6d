//! The one table of keys. Pure.

use crate::rules::keys::Form;
use crate::rules::keys::Form::Count;
use crate::rules::keys::Form::Duration;
use crate::rules::keys::Form::File;
use crate::rules::keys::Form::Flag;
use crate::rules::keys::Form::Map;
use crate::rules::keys::Form::Name;
use crate::rules::keys::Form::Rate;
use crate::rules::keys::Form::Share;
use crate::rules::keys::Form::Size;
use crate::rules::keys::Form::Text;
use crate::rules::keys::Form::Texts;
use crate::rules::keys::Form::Words;
use crate::rules::keys::Row;
use crate::rules::keys::Section;
use crate::rules::keys::Section::Admin;
use crate::rules::keys::Section::Backend;
use crate::rules::keys::Section::BackendTls;
use crate::rules::keys::Section::Certificate;
use crate::rules::keys::Section::Circuit;
use crate::rules::keys::Section::Compare;
use crate::rules::keys::Section::Defaults;
use crate::rules::keys::Section::Drain;
use crate::rules::keys::Section::Edits;
use crate::rules::keys::Section::Ejection;
use crate::rules::keys::Section::Fallback;
use crate::rules::keys::Section::Headers;
use crate::rules::keys::Section::Health;
use crate::rules::keys::Section::Limits;
use crate::rules::keys::Section::Listen;
use crate::rules::keys::Section::ListenTimeouts;
use crate::rules::keys::Section::ListenTls;
use crate::rules::keys::Section::Match;
use crate::rules::keys::Section::Names;
use crate::rules::keys::Section::Ramp;
use crate::rules::keys::Section::Retry;
use crate::rules::keys::Section::Rewrite;
use crate::rules::keys::Section::Shadow;
use crate::rules::keys::Section::Slice;
use crate::rules::keys::Section::Tenant;
use crate::rules::keys::Section::Timeouts;
use crate::rules::keys::Section::Token;
use crate::rules::keys::Section::Top;

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
    row(Top, "drain", Map, "", "How the process ends. Read at start."),
    row(Top, "limits", Map, "", "What the listeners take at most. Read at start."),
    row(Top, "trusted_proxies", Words("network or list of networks, `10.0.0.0/8` or `192.0.2.7`"), "none", "Peers whose `X-Forwarded-*` and `Forwarded` are believed; from everybody else they are dropped."),
    row(Top, "headers", Map, "", "What becomes of unusual names of fields."),
    row(Top, "legacy", Words("endpoint or map"), "must", "The application that is being replaced. What no slice takes goes there."),
    row(Top, "backends", Words("map of name to endpoint or map"), "none", "The new applications, by name. `legacy` is taken."),
    row(Top, "tenant", Map, "none", "Whose request it is."),
    row(Top, "defaults", Map, "", "What slices share."),
    row(Top, "slices", Words("list of maps"), "none", "The parts of the surface that move as one, in order."),
    later(Top, "include"),
    later(Top, "overrides"),
    later(Top, "guards"),
    row(Listen, "address", Words("`IP:PORT`"), "must", "The address. Port 0 takes a free one."),
    row(Listen, "timeouts", Map, "", "How long a client may be silent."),
    row(Listen, "tls", Map, "none", "Clients speak TLS here, HTTP/2 or HTTP/1.1 as they ask."),
    row(Listen, "proxy_protocol", Flag, "`false`", "Every connection begins with a PROXY header, version 1 or 2; one without is closed. Only a load balancer may reach such a listener."),
    row(Listen, "half_close", Flag, "`false`", "A client that ends its sending side after a request still gets the answer; without this it counts as gone."),
    row(ListenTimeouts, "header", Duration, "`10s`", "From the first byte of a head to its end."),
    row(ListenTimeouts, "body", Duration, "`30s`", "Silence inside a request body."),
    row(ListenTimeouts, "idle", Duration, "`60s`", "Silence between requests."),
    row(ListenTls, "certificates", Words("map or list of maps"), "must", "Certificates, chosen by the name that the client asks for; the first is for everybody else. Read anew when the files change."),
    row(ListenTls, "client_ca", File, "none", "Clients must show a certificate that one of these signed."),
    row(ListenTls, "min_version", Words("`1.2` or `1.3`"), "`1.2`", "The oldest version of TLS that is spoken."),
    row(Certificate, "cert", File, "must", "The chain in PEM, the leaf first."),
    row(Certificate, "key", File, "must", "The private key in PEM."),
    row(Admin, "address", Words("`IP:PORT`"), "`127.0.0.1:9900`", "The address. Off loopback it needs `tokens`."),
    row(Admin, "hosts", Texts, "none", "Names taken as Host besides the loopback ones."),
    row(Admin, "tokens", Words("list of maps"), "none", "Who may look, and who may act."),
    later(Admin, "tls"),
    later(Admin, "write_rules"),
    row(Token, "name", Name, "must", "The name that the history shows."),
    row(Token, "role", Words("`viewer` or `operator`"), "must", "A viewer looks, an operator acts."),
    row(Token, "file", File, "must", "The file that holds the token."),
    row(Drain, "delay", Duration, "`0s`", "How long to go on accepting after SIGTERM, while `/readyz` says 503 and each answer of HTTP/1 ends its connection."),
    row(Drain, "timeout", Duration, "`30s`", "How long requests in flight may take to end."),
    row(Limits, "connections", Count, "`20000`", "Connections of clients, 1 to 1000000."),
    row(Limits, "request_body", Words("size or `none`"), "`none`", "The largest request body; 413 above."),
    row(Limits, "accept_rate", Rate, "`none`", "New connections a second, over all listeners."),
    row(Limits, "request_line", Size, "`8KiB`", "The longest request line, 256B to 1MiB; 414 above."),
    row(Limits, "head", Size, "`64KiB`", "The largest head, 1KiB to 1MiB; 431 above."),
    row(Limits, "fields", Count, "`100`", "Fields of a head, 8 to 10000; 431 above."),
    row(Limits, "streams", Count, "`128`", "Streams of an HTTP/2 connection at a time, 1 to 10000."),
    row(Limits, "inflight", Words("whole number or `none`"), "`none`", "Requests under way at a time, over all connections; 503 with `Retry-After` above."),
    row(Limits, "requests", Words("whole number or `none`"), "`none`", "Requests on one connection, which then ends."),
    row(Names, "underscores", Words("`pass`, `drop` or `reject`"), "`pass`", "Fields with `_` in their name, which CGI and PHP cannot tell from `-`. They pass, but beside a twin with `-` they are dropped; or all are dropped; or such a request gets 400."),
    row(Backend, "endpoints", Words("endpoint or list of endpoints"), "must", "Where it runs: `http://HOST:PORT` (HTTP/1.1, port 80 if not given), `https://HOST:PORT` (HTTP/2 or 1.1, port 443), `h2c://HOST:PORT` (HTTP/2 without TLS, port 80) or `unix:/path`. Of several, the less busy of two is taken."),
    row(Backend, "timeouts", Map, "", "How long it may be silent."),
    row(Backend, "version_header", Text, "none", "The response field that names its version; a new version begins a new epoch of evidence."),
    row(Backend, "host", Words("host, or host and port"), "the client's", "The `Host` that it gets."),
    row(Backend, "tls", Map, "", "How `https` endpoints are verified. Verification cannot be switched off."),
    row(Backend, "health", Words("map or `none`"), "`none`", "How its endpoints are asked whether they are well."),
    row(Backend, "ejection", Words("map or `none`"), "", "When an endpoint that fails is left alone for a while."),
    row(Backend, "max_inflight", Words("whole number or `none`"), "`none`", "Requests under way to it, 1 to 1000000; above, clients get 503 with `Retry-After`."),
    row(Backend, "retry", Words("map, `idempotent` or `none`"), "", "Which requests may be sent again when no answer has begun. `idempotent` stands for `{ idempotent: true }`."),
    row(Backend, "circuit", Words("map or `none`"), "`none`", "When it is left alone as a whole: requests get 503, or the fallback, at once."),
    row(Timeouts, "connect", Duration, "`2s`", "Until a connection stands."),
    row(Timeouts, "response", Duration, "`60s`", "From the last byte of the request to the head of the answer."),
    row(Timeouts, "idle", Duration, "`5m`", "Silence inside a body or a tunnel."),
    row(Timeouts, "keepalive", Duration, "`4s`", "How long an unused connection is kept."),
    row(BackendTls, "ca", File, "the system's", "Certificates that are trusted, in PEM, instead of the system's."),
    row(BackendTls, "sni", Text, "the endpoint's host", "The name to ask for and to verify."),
    row(BackendTls, "cert", File, "none", "The client certificate's chain in PEM; with `key`."),
    row(BackendTls, "key", File, "none", "The client certificate's key in PEM; with `cert`."),
    row(Health, "path", Text, "must", "The target of the GET. An answer from 200 to 399 is good."),
    row(Health, "interval", Duration, "`5s`", "How often, from `10ms`."),
    row(Health, "timeout", Duration, "`2s`", "How long an answer may take."),
    row(Health, "healthy", Count, "`2`", "So many good answers in a row make an endpoint well."),
    row(Health, "unhealthy", Count, "`3`", "So many bad ones in a row make it ill."),
    row(Ejection, "failures", Count, "`5`", "So many failures in a row: no connection, no answer, or 502, 503, 504."),
    row(Ejection, "pause", Duration, "`10s`", "For so long; twice as long each further time, at most ten times."),
    row(Ejection, "slow_start", Duration, "`10s`", "Then it gets slowly more, up to its share after this time."),
    row(Retry, "idempotent", Flag, "`false`", "Besides safe methods without a body, requests with `Idempotency-Key`."),
    row(Retry, "budget", Share, "`20%`", "Retries are at most this share of its requests."),
    row(Circuit, "failures", Share, "`50%`", "The share of failures that opens it."),
    row(Circuit, "volume", Count, "`20`", "Of at least so many requests in ten seconds."),
    row(Circuit, "open", Duration, "`5s`", "For so long; then one request at a time tries."),
    row(Tenant, "from", Words("source or list of sources"), "must", "Where the tenant stands, first hit wins: `header:NAME`, or `host:{tenant}.app.example.com`."),
    row(Tenant, "cohorts", Words("map of name to list of tenants"), "none", "Lists of tenants by name, for `always`, `never` and `tenants`."),
    later(Tenant, "jwt"),
    later(Tenant, "unsigned"),
    row(Defaults, "shadow", Map, "", "For every slice; `except` and `allow` of a slice are added to these, its other keys replace them."),
    row(Defaults, "compare", Map, "", "For every slice; `ignore` of a slice is added to these, its other keys replace them."),
    later(Defaults, "guards"),
    later(Defaults, "ramp"),
    row(Defaults, "fallback", Words("map or `none`"), "`none`", "For every slice; one of its own replaces it."),
    row(Slice, "name", Name, "must", "Its name in labels, pages, commands, and in the bucket of its share."),
    row(Slice, "match", Words("path prefix, map, or list of either"), "must", "What it takes; of a list, any."),
    row(Slice, "to", Name, "must", "The backend: a name of `backends`, or an endpoint."),
    row(Slice, "stage", Words("`legacy`, `shadow`, `canary`, `cutover` or `retired`"), "must", "How far it may go."),
    row(Slice, "ramp", Map, "none", "Whom the candidate answers in stage `canary`."),
    row(Slice, "shadow", Map, "", "What is mirrored."),
    row(Slice, "compare", Map, "", "What counts as different."),
    row(Slice, "owner", Text, "none", "Whom to ask; shown on the page."),
    later(Slice, "expires"),
    row(Slice, "fallback", Words("map or `none`"), "`none`", "When legacy answers in place of a candidate that failed: safe methods only, before the first byte went to the client, not in stage `retired`."),
    row(Slice, "rewrite", Map, "none", "What the candidate sees instead of a prefix of the path. `Location`, `Content-Location`, `Refresh` and the `Path` of `Set-Cookie` follow."),
    row(Slice, "headers", Map, "none", "Fields that are edited, for both sides alike."),
    later(Slice, "guards"),
    later(Slice, "side_effects"),
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
    row(Fallback, "on", Words("word, status, or list of them"), "`[connect_error, timeout, 502, 503, 504]`", "After what: `connect_error`, `timeout`, and statuses from 400 to 599."),
    row(Fallback, "budget", Share, "`10%`", "At most this share of the slice's requests."),
    row(Rewrite, "prefix", Words("path prefix"), "must", "It takes the place of the longest prefix that all matches of the slice share; `/` removes that."),
    row(Headers, "request", Map, "none", "In requests, to both sides."),
    row(Headers, "response", Map, "none", "In answers, of both sides."),
    row(Edits, "remove", Texts, "none", "Fields that are dropped, first."),
    row(Edits, "set", Words("map of name to value"), "none", "Fields that get this one value, whatever they had."),
    row(Edits, "add", Words("map of name to value or list of values"), "none", "Values added to what is there, last."),
    row(Shadow, "sample", Share, "`100%`", "The share of requests that is mirrored. In stage `cutover` at most 10 %."),
    row(Shadow, "rate", Rate, "`50/s`", "Copies a second at most; `none` lifts it."),
    row(Shadow, "methods", Words("method or list, of `GET`, `HEAD`, `OPTIONS`"), "`[GET, HEAD]`", "What is mirrored at all."),
    row(Shadow, "body_limit", Size, "`1MiB`", "The largest answer that is compared."),
    row(Shadow, "timeout", Duration, "`5s`", "The deadline of a copy, if the served answer was not slower."),
    row(Shadow, "max_inflight", Count, "`64`", "Copies under way at a time, 1 to 100000."),
    row(Shadow, "except", Words("match or list of matches"), "none", "Requests that are never mirrored nor asked twice."),
    row(Shadow, "allow", Words("match or list of matches"), "none", "Requests that the words below do not keep out. `except` is stronger."),
    row(Shadow, "headers", Map, "none", "Fields that are edited in copies to the candidate only, such as `remove: [Authorization, Cookie]`."),
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
