//! Makes spans of what the planes left, with the names of OpenTelemetry's HTTP conventions.

use super::Item;
use super::Spans;
use super::context::Context;
use super::wire::KeyValue;
use super::wire::Link;
use super::wire::Span;
use super::wire::Status;
use crate::model::Role;
use crate::model::Side;
use crate::model::SliceId;
use crate::telemetry::access::Record;
use crate::telemetry::access::version;
use std::time::Duration;

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: Status = Status { code: 2 };
/// The parent is another process.
const REMOTE: u32 = 0x300;
/// It is not.
const LOCAL: u32 = 0x100;
const SAMPLED: u32 = 1;

/// A request that has ended.
#[derive(Debug)]
pub struct Request {
    /// Its spans.
    pub spans: Spans,
    /// What the access log would tell of it.
    pub record: Record,
}

/// A copy that has ended.
#[derive(Debug)]
pub struct Copied {
    /// Its own place.
    pub context: Context,
    /// When it began, in nanoseconds since 1970.
    pub started: u64,
    /// How long it took.
    pub took: Duration,
    /// The slice.
    pub slice: SliceId,
    /// Who was asked.
    pub side: Side,
    /// Why.
    pub role: Role,
    /// The method.
    pub method: http::Method,
    /// The status, or what went wrong in one token.
    pub done: Result<u16, &'static str>,
}

impl Item {
    pub(super) fn write(self, out: &mut Vec<Span>) {
        match self {
            Self::Request(request) => {
                out.push(request.server());
                out.push(request.leg());
            }
            Self::Copied(copied, link) => out.push(copied.span(link)),
        }
    }

    /// How many spans it makes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Request(_) => 2,
            Self::Copied(..) => 1,
        }
    }
}

impl Request {
    fn server(&self) -> Span {
        let (spans, record) = (&self.spans, &self.record);
        let mut attributes = vec![
            KeyValue::text("http.request.method", record.method.as_str()),
            KeyValue::text("url.path", record.path.as_str()),
            KeyValue::text(
                "url.scheme",
                if record.tls.is_some() {
                    "https"
                } else {
                    "http"
                },
            ),
            KeyValue::text("network.protocol.version", version(record.protocol)),
            KeyValue::text("supplant.id", record.id.to_string()),
            KeyValue::text("supplant.slice", record.slice.as_str()),
            KeyValue::text("supplant.stage", record.stage.as_str()),
            KeyValue::text("supplant.side", record.side.as_str()),
            KeyValue::text("supplant.reason", record.reason),
            KeyValue::text("supplant.mirror", record.mirror),
            KeyValue::number("http.response.body.size", record.bytes),
        ];
        let mut put = |name: &str, value: Option<&str>| {
            attributes.extend(value.map(|value| KeyValue::text(name, value)));
        };
        let host = record
            .host
            .as_deref()
            .map(|host| match host.rsplit_once(':') {
                Some((name, port)) if port.parse::<u16>().is_ok() => (name, Some(port)),
                _ => (host, None),
            });
        put("server.address", host.map(|(name, _)| name));
        put("url.query", record.query.as_deref());
        put(
            "client.address",
            record.client.map(|c| c.to_string()).as_deref(),
        );
        if let Some(port) = host.and_then(|(_, port)| port?.parse::<u16>().ok()) {
            attributes.push(KeyValue::number("server.port", port.into()));
        }
        if record.aborted {
            attributes.push(KeyValue::bool("supplant.aborted", true));
        }
        let failed = self.end(&mut attributes, 500);
        Span {
            trace: trace(spans.server),
            id: span(spans.server.span),
            parent: spans.parent.map_or_else(Vec::new, span),
            name: format!("{} {}", record.method, record.slice),
            kind: SERVER,
            start_time_unix_nano: spans.started,
            end_time_unix_nano: spans.started + record.total_us * 1_000,
            attributes,
            links: Vec::new(),
            status: failed.then_some(ERROR),
            flags: SAMPLED
                | if spans.parent.is_some() {
                    REMOTE
                } else {
                    LOCAL
                },
        }
    }

    fn leg(&self) -> Span {
        let (spans, record) = (&self.spans, &self.record);
        let mut attributes = vec![
            KeyValue::text("http.request.method", record.method.as_str()),
            KeyValue::text("supplant.slice", record.slice.as_str()),
            KeyValue::text("supplant.side", record.side.as_str()),
            KeyValue::text("supplant.role", Role::Served.as_str()),
            KeyValue::number("supplant.connect_us", record.connect_us),
            KeyValue::number("supplant.first_byte_us", record.first_byte_us),
        ];
        let failed = self.end(&mut attributes, 400);
        Span {
            trace: trace(spans.server),
            id: span(spans.leg),
            parent: span(spans.server.span),
            name: format!("{} {}", record.method, record.side.as_str()),
            kind: CLIENT,
            start_time_unix_nano: spans.started + record.queue_us * 1_000,
            end_time_unix_nano: spans.started + record.total_us * 1_000,
            attributes,
            links: Vec::new(),
            status: failed.then_some(ERROR),
            flags: SAMPLED | LOCAL,
        }
    }

    /// Adds how it ended; returns whether that is an error of whoever answers, from a status on.
    fn end(&self, attributes: &mut Vec<KeyValue>, from: u16) -> bool {
        let status = self.record.status;
        if status > 0 {
            attributes.push(KeyValue::number("http.response.status_code", status.into()));
        }
        if let Some(error) = self.record.error {
            attributes.push(KeyValue::text("error.type", error));
        } else if status >= from {
            attributes.push(KeyValue::text("error.type", status.to_string()));
        }
        self.record.error.is_some() || status >= from
    }
}

impl Copied {
    fn span(self, link: Context) -> Span {
        let mut attributes = vec![
            KeyValue::text("http.request.method", self.method.as_str()),
            KeyValue::text("supplant.slice", self.slice.as_str()),
            KeyValue::text("supplant.side", self.side.as_str()),
            KeyValue::text("supplant.role", self.role.as_str()),
        ];
        let failed = match self.done {
            Ok(status) => {
                attributes.push(KeyValue::number("http.response.status_code", status.into()));
                if status >= 400 {
                    attributes.push(KeyValue::text("error.type", status.to_string()));
                }
                status >= 400
            }
            Err(error) => {
                attributes.push(KeyValue::text("error.type", error));
                true
            }
        };
        let took = u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX);
        Span {
            trace: trace(self.context),
            id: span(self.context.span),
            parent: Vec::new(),
            name: format!(
                "{} {} {}",
                self.method,
                self.role.as_str(),
                self.side.as_str()
            ),
            kind: CLIENT,
            start_time_unix_nano: self.started,
            end_time_unix_nano: self.started.saturating_add(took),
            attributes,
            links: vec![Link {
                trace: trace(link),
                id: span(link.span),
            }],
            status: failed.then_some(ERROR),
            flags: SAMPLED | LOCAL,
        }
    }
}

fn trace(context: Context) -> Vec<u8> {
    context.trace.to_be_bytes().to_vec()
}

fn span(id: u64) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}
