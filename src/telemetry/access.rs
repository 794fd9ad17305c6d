//! The access log: one line a request, through a bounded ring that never makes a request wait.
//!
//! Query values are left out, and so are credentials and bodies. A data-plane thread pushes a
//! record; a thread of its own empties all rings every 50 ms and writes.

use crate::clock;
use crate::model::PairId;
use crate::model::Side;
use crate::model::SliceId;
use crate::model::Stage;
use crate::model::UnixMillis;
use crate::settings::AccessFormat as Format;
use crate::settings::AccessSample;
use prometheus::IntCounter;
use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What one line tells.
#[derive(Clone, Debug)]
pub struct Record {
    /// When the head arrived.
    pub at: UnixMillis,
    /// The request's id, which is also the chance it was decided with.
    pub id: PairId,
    /// The trace id of the client's `traceparent`.
    pub trace: Option<String>,
    /// Who asked.
    pub client: Option<std::net::IpAddr>,
    /// The version that the client speaks.
    pub protocol: http::Version,
    /// The version of TLS that it speaks, if any.
    pub tls: Option<&'static str>,
    /// The method.
    pub method: http::Method,
    /// The host asked for.
    pub host: Option<String>,
    /// The raw path.
    pub path: String,
    /// The names of the query, without their values.
    pub query: Option<String>,
    /// The slice that took it.
    pub slice: SliceId,
    /// The stage in force.
    pub stage: Stage,
    /// Who answered.
    pub side: Side,
    /// Why that side, in one token.
    pub reason: &'static str,
    /// What the head decided about mirroring: an outcome, or `pending`.
    pub mirror: &'static str,
    /// The status sent; 0 if the client left before there was one.
    pub status: u16,
    /// Bytes of the answer's body sent on.
    pub bytes: u64,
    /// The client left before the answer ended.
    pub aborted: bool,
    /// What went wrong, in one token.
    pub error: Option<&'static str>,
    /// Microseconds from the head to the call of the side, its connect apart.
    pub queue_us: u64,
    /// Microseconds spent connecting; 0 on a kept connection.
    pub connect_us: u64,
    /// Microseconds from the head to the head of the answer.
    pub first_byte_us: u64,
    /// Microseconds from the head to the end of the answer.
    pub total_us: u64,
}

const RING: usize = 16_384;
const BEAT: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Ring {
    lines: Mutex<Vec<Record>>,
}

/// The log; each data-plane thread takes a [`Sink`] of its own.
#[derive(Clone, Debug)]
pub struct AccessLog {
    format: Format,
    sample: Sample,
    rings: Arc<Mutex<Vec<Arc<Ring>>>>,
    dropped: IntCounter,
    stop: Arc<AtomicBool>,
}

/// Where one data-plane thread leaves its records.
#[derive(Clone, Debug)]
pub struct Sink {
    ring: Option<Arc<Ring>>,
    sample: Sample,
    dropped: IntCounter,
}

/// Which records are written.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Of 2³², which is all.
    share: u64,
    slow_us: u64,
}

impl Sample {
    fn new(wanted: AccessSample) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share is from 0 to 1"
        )]
        let share = (wanted.share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        Self {
            share,
            slow_us: u64::try_from(wanted.slow.as_micros()).unwrap_or(u64::MAX),
        }
    }

    fn takes(self, record: &Record) -> bool {
        // The id decided who answered; mixed anew, so that the sample is one of both sides.
        let drawn = record.id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        drawn < self.share
            || record.aborted
            || record.error.is_some()
            || record.status >= 500
            || record.total_us >= self.slow_us
    }
}

impl AccessLog {
    /// Makes a log that counts what it drops.
    pub fn new(format: Format, sample: AccessSample, dropped: IntCounter) -> Self {
        Self {
            format,
            sample: Sample::new(sample),
            rings: Arc::default(),
            dropped,
            stop: Arc::default(),
        }
    }

    /// Returns a new ring.
    pub fn sink(&self) -> Sink {
        let ring = (self.format != Format::Off).then(|| {
            let ring = Arc::new(Ring {
                lines: Mutex::new(Vec::new()),
            });
            let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
            rings.push(Arc::clone(&ring));
            ring
        });
        Sink {
            ring,
            sample: self.sample,
            dropped: self.dropped.clone(),
        }
    }

    /// Writes until [`AccessLog::stop`] was called and the rings are empty. Blocks its thread.
    pub fn write_all(&self, mut out: impl Write) {
        if self.format == Format::Off {
            return;
        }
        let mut text = Vec::new();
        loop {
            let last = self.stop.load(Ordering::Acquire);
            let mut written = 0;
            let rings = self
                .rings
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            for ring in rings {
                let lines =
                    std::mem::take(&mut *ring.lines.lock().unwrap_or_else(PoisonError::into_inner));
                written += lines.len() as u64;
                for line in &lines {
                    line.write(self.format, &mut text);
                }
            }
            if !text.is_empty() && out.write_all(&text).and_then(|()| out.flush()).is_err() {
                self.dropped.inc_by(written);
            }
            text.clear();
            if last {
                return;
            }
            clock::pause(BEAT);
        }
    }

    /// Asks the writer to empty the rings once more and return.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Sink {
    /// Returns whether lines are wanted at all, so that nothing is gathered for a log that is off.
    pub fn is_on(&self) -> bool {
        self.ring.is_some()
    }

    /// Returns whether a record is to be written: the log is on, and its sample has the record.
    pub fn takes(&self, record: &Record) -> bool {
        self.is_on() && self.sample.takes(record)
    }

    /// Leaves a record that the log [takes](Self::takes), or counts it as dropped when the ring is
    /// full.
    pub fn push(&self, record: Record) {
        let Some(ring) = &self.ring else { return };
        let mut lines = ring.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < RING {
            lines.push(record);
        } else {
            self.dropped.inc();
        }
    }
}

/// Bytes of a path, a host or a query that are kept: a ring holds many records, and how long they are
/// is the client's choice.
const TEXT_BYTES: usize = 1_024;

/// Characters of a part of a query without `=` that are taken for a name; more is taken for a value.
const FLAG_CHARS: usize = 24;

/// Returns a text as it is kept: whole, or its beginning and a mark.
pub fn bounded(text: &str) -> String {
    if text.len() <= TEXT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(TEXT_BYTES);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// Returns the names of a query without their values: `a=1&b` becomes `a=&b`. A long part without a
/// name is a value itself, such as a token, and becomes `…`.
pub fn query_names(query: &str) -> String {
    let mut out = String::new();
    for (i, part) in query.split('&').enumerate() {
        if out.len() > TEXT_BYTES {
            return bounded(&out);
        }
        if i > 0 {
            out.push('&');
        }
        match part.split_once('=') {
            Some((name, _)) => {
                out.push_str(&bounded(name));
                out.push('=');
            }
            None if part.chars().nth(FLAG_CHARS).is_some() => out.push('…'),
            None => out.push_str(part),
        }
    }
    bounded(&out)
}

/// Returns the number of a version of HTTP as people write it, after `HTTP/`.
pub fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

impl Record {
    fn write(&self, format: Format, out: &mut Vec<u8>) {
        match format {
            Format::Off => {}
            Format::Json => self.write_json(out),
            Format::Text => self.write_text(out),
        }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        let mut line = serde_json::Map::new();
        let mut put = |name: &str, value: serde_json::Value| {
            line.insert(name.to_owned(), value);
        };
        put("time", self.at.to_string().into());
        put("id", self.id.to_string().into());
        if let Some(trace) = &self.trace {
            put("trace_id", trace.as_str().into());
        }
        if let Some(client) = self.client {
            put("client", client.to_string().into());
        }
        put(
            "protocol",
            format!("HTTP/{}", version(self.protocol)).into(),
        );
        if let Some(tls) = self.tls {
            put("tls", tls.into());
        }
        put("method", self.method.as_str().into());
        if let Some(host) = &self.host {
            put("host", host.as_str().into());
        }
        put("path", self.path.as_str().into());
        if let Some(query) = &self.query {
            put("query", query.as_str().into());
        }
        put("slice", self.slice.as_str().into());
        put("stage", self.stage.as_str().into());
        put("side", self.side.as_str().into());
        put("reason", self.reason.into());
        put("mirror", self.mirror.into());
        put("status", self.status.into());
        put("bytes", self.bytes.into());
        if self.aborted {
            put("aborted", true.into());
        }
        if let Some(error) = self.error {
            put("error", error.into());
        }
        put("queue_us", self.queue_us.into());
        put("connect_us", self.connect_us.into());
        put("first_byte_us", self.first_byte_us.into());
        put("total_us", self.total_us.into());
        if serde_json::to_writer(&mut *out, &line).is_ok() {
            out.push(b'\n');
        }
    }

    fn write_text(&self, out: &mut Vec<u8>) {
        let (_, _, _, hour, minute, second, milli) = self.at.civil();
        let note = match (self.aborted, self.error) {
            (true, _) => " aborted".to_owned(),
            (_, Some(error)) => format!(" {error}"),
            _ => String::new(),
        };
        let query = match &self.query {
            Some(query) => format!("?{}", query.escape_debug()),
            None => String::new(),
        };
        let total = std::time::Duration::from_micros(self.total_us);
        let line = format!(
            "{hour:02}:{minute:02}:{second:02}.{milli:03} {} {:<9} {:<3} {} {}{query} → {} ({}) {:.1?}{note}\n",
            self.id,
            self.side.as_str(),
            self.status,
            self.method,
            self.path.escape_debug(),
            self.slice,
            self.reason,
            total,
        );
        out.extend_from_slice(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u64) -> Record {
        Record {
            at: UnixMillis(0),
            id: PairId(id),
            trace: None,
            client: None,
            protocol: http::Version::HTTP_11,
            tls: None,
            method: http::Method::GET,
            host: None,
            path: "/".to_owned(),
            query: None,
            slice: SliceId::new("s"),
            stage: Stage::Legacy,
            side: Side::Legacy,
            reason: "stage",
            mirror: "pending",
            status: 200,
            bytes: 0,
            aborted: false,
            error: None,
            queue_us: 0,
            connect_us: 0,
            first_byte_us: 0,
            total_us: 10,
        }
    }

    #[test]
    fn a_sample_is_of_its_share_and_has_all_that_went_wrong_or_was_slow() {
        let sample = |share| {
            Sample::new(AccessSample {
                share,
                slow: Duration::from_millis(5),
            })
        };
        let count = |share| {
            let takes =
                |id: &u64| sample(share).takes(&record(id.wrapping_mul(0x1234_5678_9abc_def1)));
            (0..10_000).filter(takes).count()
        };
        assert_eq!((count(1.0), count(0.0)), (10_000, 0));
        assert!((900..1_100).contains(&count(0.1)), "{}", count(0.1));
        let none = sample(0.0);
        for change in [
            |r: &mut Record| r.aborted = true,
            |r: &mut Record| r.error = Some("closed"),
            |r: &mut Record| r.status = 502,
            |r: &mut Record| r.total_us = 5_000,
        ] {
            let mut record = record(1);
            change(&mut record);
            assert!(none.takes(&record), "{record:?}");
        }
    }

    #[test]
    fn query_values_never_reach_the_log() {
        assert_eq!(query_names("token=abc&q=&flag"), "token=&q=&flag");
        assert_eq!(query_names("eyJhbGciOiJIUzI1NiJ9.bare.token&a=1"), "…&a=");
    }

    #[test]
    fn a_record_is_bounded_whatever_the_client_sends() {
        let long = "ä".repeat(30_000);
        assert!(bounded(&long).len() <= TEXT_BYTES + 3);
        assert!(query_names(&format!("{long}=1")).len() <= TEXT_BYTES + 3);
        assert!(query_names(&"a=1&".repeat(20_000)).len() <= TEXT_BYTES + 3);
        assert_eq!(bounded("/a"), "/a");
    }
}
