//! Spans, as a collector gets them: decoded here from the bytes, by the numbers of the protocol.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Process;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::Start;
use crate::support::eventually;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A field of a message: its number, and its value as a number or as bytes.
type Field<'a> = (u64, u64, &'a [u8]);

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number is too long")
}

fn fields(mut bytes: &[u8]) -> Vec<Field<'_>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let len = match key & 7 {
            0 => {
                out.push((key >> 3, varint(&mut bytes), &[][..]));
                continue;
            }
            1 => 8,
            5 => 4,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(len);
        let mut number = [0; 8];
        if key & 7 != 2 {
            number[..len].copy_from_slice(value);
        }
        out.push((key >> 3, u64::from_le_bytes(number), value));
        bytes = rest;
    }
    out
}

fn all(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    let found = fields(message).into_iter();
    found.filter(move |f| f.0 == number).map(|f| f.2)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn text(message: &[u8], number: u64) -> String {
    let found = all(message, number).next().unwrap_or_default();
    String::from_utf8(found.to_vec()).unwrap()
}

fn attributes(message: &[u8], number: u64) -> BTreeMap<String, String> {
    let read = |pair: &[u8]| {
        let value = all(pair, 2).next().unwrap().to_vec();
        let (kind, plain, bytes) = fields(&value)[0];
        let value = match kind {
            1 => String::from_utf8(bytes.to_vec()).unwrap(),
            _ => plain.to_string(),
        };
        (text(pair, 1), value)
    };
    all(message, number).map(read).collect()
}

#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    start: u64,
    end: u64,
    attributes: BTreeMap<String, String>,
    link: Option<(String, String)>,
    failed: bool,
}

fn spans(export: &[u8]) -> Vec<Span> {
    let mut out = Vec::new();
    for group in all(export, 1) {
        let resource = all(group, 1).next().unwrap();
        assert_eq!(attributes(resource, 1)["service.name"], "shop");
        for scope in all(group, 2) {
            assert_eq!(text(all(scope, 1).next().unwrap(), 1), "supplant");
            out.extend(all(scope, 2).map(span));
        }
    }
    out
}

fn span(bytes: &[u8]) -> Span {
    let first = |number| all(bytes, number).next().unwrap_or_default();
    let number = |wanted| {
        fields(bytes)
            .iter()
            .find(|f| f.0 == wanted)
            .map_or(0, |f| f.1)
    };
    assert_eq!((first(1).len(), first(2).len()), (16, 8));
    Span {
        trace: hex(first(1)),
        id: hex(first(2)),
        parent: hex(first(4)),
        name: text(bytes, 5),
        kind: number(6),
        start: number(7),
        end: number(8),
        attributes: attributes(bytes, 9),
        link: all(bytes, 13).next().map(|link| {
            let id = |number| hex(all(link, number).next().unwrap());
            (id(1), id(2))
        }),
        failed: all(bytes, 15)
            .next()
            .is_some_and(|status| fields(status)[0].1 == 2),
    }
}

fn collector() -> Origin {
    Origin::start(|_| Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()))
}

fn collected(collector: &Origin) -> Vec<Span> {
    collector
        .seen()
        .iter()
        .flat_map(|seen| spans(&seen.body))
        .collect()
}

fn start(collector: &Origin, rules: String, sampler: &str) -> Process {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b".to_owned()),
        ("OTEL_SERVICE_NAME", "shop".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ("OTEL_TRACES_SAMPLER", sampler.to_owned()),
    ];
    Process::start(Start {
        rules,
        variables: &variables,
        args: &["--access-log", "off"],
        ..Start::default()
    })
}

fn shadowed(legacy: &Origin, candidate: &Origin) -> String {
    format!(
        "legacy: {}\nslices:\n  - {{ name: s, match: /s, to: \"{}\", stage: shadow, shadow: {{ rate: none }} }}\n",
        legacy.url(),
        candidate.url()
    )
}

#[test]
fn a_request_is_a_server_span_with_its_call_and_a_copy_is_a_trace_that_links_to_it() {
    let legacy = Origin::start(|_| Reply::json("{\"a\":1}"));
    let candidate = Origin::start(|_| Reply::json("{\"a\":1}"));
    let collector = collector();
    let process = start(
        &collector,
        shadowed(&legacy, &candidate),
        "parentbased_always_on",
    );
    let mut client = Client::connect(process.data);
    let sent = [("Traceparent", SENT), ("tracestate", "a=1")];
    client.ask("GET", "/s/1?secret=2", &sent, b"");
    let is_copy = |span: &Span| span.attributes["supplant.side"] == "candidate";
    eventually("all spans are there", || {
        let all = collected(&collector);
        all.iter().any(is_copy) && all.iter().any(|span| span.kind == 2)
    });
    let all = collected(&collector);
    let server = all.iter().find(|span| span.kind == 2).unwrap();
    assert_eq!(
        (server.trace.as_str(), server.parent.as_str()),
        (TRACE, "b7ad6b7169203331")
    );
    assert_eq!(server.name, "GET s");
    assert_eq!(server.attributes["http.response.status_code"], "200");
    assert_eq!(server.attributes["url.query"], "secret=");
    assert!(server.end > server.start && !server.failed);
    let leg = all.iter().find(|span| span.parent == server.id).unwrap();
    assert_eq!((leg.kind, leg.trace.as_str()), (3, TRACE));
    assert!(leg.start >= server.start && leg.end <= server.end);
    let copy = all.iter().find(|span| is_copy(span)).unwrap();
    assert_ne!(copy.trace, TRACE);
    assert_eq!(
        (copy.parent.as_str(), copy.link.as_ref()),
        ("", Some(&(server.trace.clone(), server.id.clone())))
    );
    // What each side was sent is the place of its own call.
    let got = |origin: &Origin| {
        let seen = origin.seen().into_iter().next().unwrap();
        let field = |name| seen.field(name).map(str::to_owned);
        (field("traceparent"), field("tracestate"))
    };
    let (parent, state) = got(&legacy);
    assert_eq!(parent.unwrap(), format!("00-{TRACE}-{}-01", leg.id));
    assert_eq!(state.as_deref(), Some("a=1"));
    let (parent, state) = got(&candidate);
    assert_eq!(parent.unwrap(), format!("00-{}-{}-01", copy.trace, copy.id));
    assert_eq!(state, None);
    let asked = &collector.seen()[0];
    assert_eq!(
        (asked.target.as_str(), asked.field("api-key")),
        ("/v1/traces", Some("a b"))
    );
    assert_eq!(asked.field("content-type"), Some("application/x-protobuf"));
    assert!(process.metric("supplant_spans_exported_total") >= 3.0);
}

#[test]
fn a_parent_that_is_not_sampled_is_respected_and_an_error_is_told() {
    let legacy = Origin::start(|_| Reply::status(503, "no"));
    let collector = collector();
    let rules = format!("legacy: {}\n", legacy.url());
    let process = start(&collector, rules, "parentbased_always_on");
    let mut client = Client::connect(process.data);
    let off = SENT.replace("-01", "-00");
    client.ask("GET", "/off", &[("traceparent", &off)], b"");
    client.ask("GET", "/root", &[], b"");
    eventually("a span is there", || !collected(&collector).is_empty());
    let all = collected(&collector);
    assert!(all.iter().all(|span| span.trace != TRACE && span.failed));
    let server = all.iter().find(|span| span.kind == 2).unwrap();
    assert_eq!(
        (
            server.attributes["url.path"].as_str(),
            server.parent.as_str()
        ),
        ("/root", "")
    );
    assert_eq!(legacy.seen()[0].field("traceparent"), Some(off.as_str()));
    assert!(
        legacy.seen()[1]
            .field("traceparent")
            .unwrap()
            .starts_with(&format!("00-{}", server.trace))
    );
}

#[test]
fn a_collector_that_is_gone_costs_no_client_anything_and_is_counted() {
    let legacy = Origin::start(|_| Reply::json("{}"));
    let collector = Origin::start(|_| Reply::Stall);
    let rules = format!("legacy: {}\n", legacy.url());
    let process = start(&collector, rules, "always_on");
    let mut client = Client::connect(process.data);
    for _ in 0..300 {
        assert_eq!(client.ask("GET", "/", &[], b"").status, 200);
    }
    collector.kill();
    let dropped = "supplant_spans_dropped_total{reason=\"export\"}";
    eventually("spans are dropped", || process.metric(dropped) > 0.0);
    assert_eq!(client.ask("GET", "/", &[], b"").status, 200);
}

#[test]
fn a_collector_that_stalls_does_not_hold_up_the_end() {
    let legacy = Origin::start(|_| Reply::json("{}"));
    let collector = Origin::start(|_| Reply::Stall);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
        ("OTEL_BSP_SCHEDULE_DELAY", "10".to_owned()),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2".to_owned()),
    ];
    let mut process = Process::start(Start {
        rules: format!("legacy: {}\n", legacy.url()),
        variables: &variables,
        ..Start::default()
    });
    let mut client = Client::connect(process.data);
    for _ in 0..20 {
        assert_eq!(client.ask("GET", "/", &[], b"").status, 200);
    }
    drop(client);
    eventually("a batch is on its way", || !collector.seen().is_empty());
    process.signal(Signal::TERM);
    assert_eq!(process.end(Duration::from_secs(6)), Some(0));
    assert!(process.log().contains("were not taken in time"));
}

#[test]
fn without_a_collector_a_trace_passes_unchanged_to_both_sides() {
    let legacy = Origin::start(|_| Reply::json("{}"));
    let candidate = Origin::start(|_| Reply::json("{}"));
    let proxy = Proxy::start(&shadowed(&legacy, &candidate));
    let mut client = Client::connect(proxy.data);
    client.ask(
        "GET",
        "/s",
        &[("traceparent", SENT), ("tracestate", "a=1")],
        b"",
    );
    eventually("the copy arrives", || !candidate.seen().is_empty());
    for origin in [&legacy, &candidate] {
        let seen = &origin.seen()[0];
        assert_eq!(
            (seen.field("traceparent"), seen.field("tracestate")),
            (Some(SENT), Some("a=1"))
        );
    }
}
