//! Every section of RFC 9113 that concerns an intermediary, frame by frame: what is wrong with a
//! connection ends it, what is wrong with a stream ends that stream alone, and the rest is served.

#![expect(clippy::too_many_lines, reason = "tables of cases")]

use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::frames::ACK;
use crate::support::frames::CONTINUATION;
use crate::support::frames::DATA;
use crate::support::frames::END_HEADERS;
use crate::support::frames::END_STREAM;
use crate::support::frames::GOAWAY;
use crate::support::frames::HEADERS;
use crate::support::frames::PADDED;
use crate::support::frames::PING;
use crate::support::frames::PREFACE;
use crate::support::frames::PRIORITIZED;
use crate::support::frames::PRIORITY;
use crate::support::frames::PUSH_PROMISE;
use crate::support::frames::RST_STREAM;
use crate::support::frames::Reaction;
use crate::support::frames::SETTINGS;
use crate::support::frames::WINDOW_UPDATE;
use crate::support::frames::Wire;
use crate::support::frames::block;
use crate::support::frames::raw_block;
use crate::support::frames::request;

const PROTOCOL: u32 = 1;
const FLOW: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;
const CALM: u32 = 11;

/// What has to come of a case.
enum Want {
    /// The connection ends, with one of these codes.
    Connection(&'static [u32]),
    /// Stream 1 ends, with one of these codes, and others are served.
    Stream(&'static [u32]),
    /// The RFC asks for the end of stream 1; hyper ends the connection with it.
    Harder(&'static [u32]),
    /// Stream 1 is answered so, and others are served.
    Status(u16),
}

use Want::Connection;
use Want::Harder;
use Want::Status;
use Want::Stream;

type Case = (&'static str, &'static str, fn(&mut Wire), Want);

/// Runs cases of `(section, name, what is sent, what has to come of it)`.
fn run(cases: Vec<Case>) {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = Proxy::start(&format!("legacy: {}\n", origin.url()));
    let mut wrong = Vec::new();
    for (section, name, send, want) in cases {
        let mut wire = Wire::bare(proxy.data);
        send(&mut wire);
        let got = wire.reaction(1);
        let right = match (&want, got) {
            (Connection(codes) | Harder(codes), Reaction::Away(code))
            | (Stream(codes), Reaction::Reset(code)) => codes.contains(&code),
            (Status(status), Reaction::Answer(answer)) => *status == answer,
            _ => false,
        };
        if !right {
            wrong.push(format!("{section} {name}: {got:?}"));
            continue;
        }
        if matches!(want, Connection(_) | Harder(_)) {
            if wire.until(|_| false).is_some() {
                wrong.push(format!("{section} {name}: the connection goes on"));
            }
        } else {
            wire.get(101, "/after");
            let after = wire.reaction(101);
            if after != Reaction::Answer(200) {
                wrong.push(format!("{section} {name}: then {after:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A request whose block of fields is this.
fn asked(wire: &mut Wire, fields: &[(&str, &str)]) {
    wire.begin(&[]);
    wire.fields(1, true, fields);
}

/// A plain request with one more field.
fn with(wire: &mut Wire, name: &[u8], value: &[u8]) {
    wire.begin(&[]);
    let mut fields = block(&request("GET", "/"));
    fields.extend(raw_block(&[(name, value)]));
    wire.frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields);
}

/// A request that is answered only when its body has ended.
fn post(wire: &mut Wire) {
    wire.begin(&[]);
    wire.fields(1, false, &request("POST", "/"));
}

#[test]
fn a_connection_begins_as_section_3_says() {
    run(vec![
        (
            "3.4",
            "no settings after the preface",
            |w| {
                w.bytes(PREFACE);
                w.get(1, "/");
            },
            Status(200),
        ),
        (
            "3.4",
            "settings of the client",
            |w| {
                w.begin(&[(1, 0), (3, 10), (4, 65_535), (5, 16_384), (6, 8_192)]);
                w.get(1, "/");
            },
            Status(200),
        ),
    ]);
}

#[test]
fn frames_are_as_section_4_says() {
    run(vec![
        (
            "4.1",
            "an unknown type",
            |w| {
                w.begin(&[]);
                w.frame(0xfa, 0xff, 1, b"what?");
                w.frame(0xfb, 0, 0, &[0; 16_384]);
                w.get(1, "/");
            },
            Status(200),
        ),
        (
            "4.1",
            "unused flags and the reserved bit",
            |w| {
                w.begin(&[]);
                let fields = block(&request("GET", "/"));
                w.frame(
                    HEADERS,
                    END_HEADERS | END_STREAM | 0xc2,
                    0x8000_0001,
                    &fields,
                );
            },
            Status(200),
        ),
        (
            "4.2",
            "DATA over the size",
            |w| {
                post(w);
                w.frame(DATA, END_STREAM, 1, &[0; 16_385]);
            },
            Connection(&[SIZE]),
        ),
        (
            "4.2",
            "HEADERS over the size",
            |w| {
                w.begin(&[]);
                w.frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0; 16_385]);
            },
            Connection(&[SIZE]),
        ),
        (
            "4.3",
            "an index that is nowhere",
            |w| {
                w.begin(&[]);
                w.frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0x00]);
            },
            Connection(&[COMPRESSION, PROTOCOL]),
        ),
        (
            "4.3",
            "index zero",
            |w| {
                w.begin(&[]);
                w.frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]);
            },
            Connection(&[COMPRESSION, PROTOCOL]),
        ),
        (
            "4.3",
            "a table larger than allowed",
            |w| {
                w.begin(&[]);
                let mut fields = vec![0x3f, 0xe1, 0xff, 0x03];
                fields.extend(block(&request("GET", "/")));
                w.frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields);
            },
            Connection(&[COMPRESSION, PROTOCOL]),
        ),
        (
            "4.3",
            "a block that breaks off",
            |w| {
                w.begin(&[]);
                let fields = block(&request("GET", "/"));
                w.frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    1,
                    &fields[..fields.len() - 3],
                );
            },
            Connection(&[COMPRESSION, PROTOCOL]),
        ),
    ]);
}

#[test]
fn streams_live_as_section_5_says() {
    run(vec![
        (
            "5.1",
            "DATA on an idle stream",
            |w| {
                w.begin(&[]);
                w.frame(DATA, END_STREAM, 1, b"a");
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "5.1",
            "RST_STREAM on an idle stream",
            |w| {
                w.begin(&[]);
                w.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "5.1",
            "WINDOW_UPDATE on an idle stream",
            |w| {
                w.begin(&[]);
                w.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 8]);
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "5.1",
            "DATA after the end",
            |w| {
                w.begin(&[]);
                w.get(1, "/slow");
                w.frame(DATA, END_STREAM, 1, b"a");
            },
            Harder(&[PROTOCOL]),
        ),
        (
            "5.1",
            "HEADERS after the end",
            |w| {
                w.begin(&[]);
                w.get(1, "/slow");
                w.get(1, "/slow");
            },
            Harder(&[PROTOCOL]),
        ),
        (
            "5.1.1",
            "an even stream",
            |w| {
                w.begin(&[]);
                w.get(2, "/");
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "5.1.1",
            "a stream below the last",
            |w| {
                w.begin(&[]);
                w.get(9, "/");
                w.reaction(9);
                w.get(7, "/");
            },
            Connection(&[PROTOCOL, STREAM_CLOSED]),
        ),
        (
            "5.1.2",
            "a stream more than allowed",
            |w| {
                w.begin(&[]);
                for n in 0..128 {
                    w.fields(2 * n + 103, false, &request("POST", "/"));
                }
                // Below the streams above, so that it is the last to be asked about.
                w.get(1, "/");
            },
            Connection(&[PROTOCOL, STREAM_CLOSED]),
        ),
        (
            "5.3.1",
            "a stream that depends on itself",
            |w| {
                w.begin(&[]);
                let mut fields = vec![0, 0, 0, 1, 16];
                fields.extend(block(&request("GET", "/")));
                w.frame(HEADERS, END_HEADERS | END_STREAM | PRIORITIZED, 1, &fields);
            },
            Stream(&[PROTOCOL]),
        ),
    ]);
}

#[test]
fn a_stream_too_many_is_refused_alone() {
    let origin = Origin::start(|_| Reply::json("{}"));
    let proxy = Proxy::start(&format!("legacy: {}\n", origin.url()));
    let mut wire = Wire::connect(proxy.data);
    // 7 is what the client waits for before it asks for more.
    let settings = wire.until(|f| f.kind == SETTINGS && f.flags == 0).unwrap();
    let streams = [0, 3, 0, 0, 0, 128];
    assert!(
        settings.payload.chunks(6).any(|s| s == streams),
        "128 streams"
    );
    for n in 0..128 {
        wire.fields(2 * n + 1, false, &request("POST", "/"));
    }
    wire.get(301, "/");
    assert_eq!(wire.reaction(301), Reaction::Reset(REFUSED));
    wire.frame(DATA, END_STREAM, 1, b"a");
    assert_eq!(wire.reaction(1), Reaction::Answer(200));
}

#[test]
fn data_headers_and_priority_are_as_section_6_says() {
    run(vec![
        (
            "6.1",
            "DATA on stream 0",
            |w| {
                w.begin(&[]);
                w.frame(DATA, 0, 0, b"a");
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.1",
            "padding as long as the payload",
            |w| {
                post(w);
                w.frame(DATA, END_STREAM | PADDED, 1, &[4, 1, 2, 3]);
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.1",
            "padding",
            |w| {
                post(w);
                w.frame(DATA, END_STREAM | PADDED, 1, &[2, b'a', 0, 0]);
            },
            Status(200),
        ),
        (
            "6.2",
            "HEADERS on stream 0",
            |w| {
                w.begin(&[]);
                w.get(0, "/");
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.2",
            "padding longer than the payload",
            |w| {
                w.begin(&[]);
                let mut fields = vec![255];
                fields.extend(block(&request("GET", "/")));
                w.frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &fields);
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.2",
            "padding and a priority",
            |w| {
                w.begin(&[]);
                let mut fields = vec![3, 0, 0, 0, 0, 16];
                fields.extend(block(&request("GET", "/")));
                fields.extend([0, 0, 0]);
                w.frame(
                    HEADERS,
                    END_HEADERS | END_STREAM | PADDED | PRIORITIZED,
                    1,
                    &fields,
                );
            },
            Status(200),
        ),
        (
            "6.3",
            "PRIORITY on stream 0",
            |w| {
                w.begin(&[]);
                w.frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 16]);
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.3",
            "PRIORITY of another length",
            |w| {
                post(w);
                w.frame(PRIORITY, 0, 1, &[0; 4]);
            },
            Harder(&[PROTOCOL]),
        ),
        (
            "6.3",
            "PRIORITY",
            |w| {
                w.begin(&[]);
                w.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16]);
                w.get(1, "/");
            },
            Status(200),
        ),
        (
            "6.4",
            "RST_STREAM on stream 0",
            |w| {
                w.begin(&[]);
                w.frame(RST_STREAM, 0, 0, &[0; 4]);
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.4",
            "RST_STREAM of another length",
            |w| {
                post(w);
                w.frame(RST_STREAM, 0, 1, &[0; 3]);
            },
            Connection(&[SIZE, PROTOCOL]),
        ),
    ]);
}

#[test]
fn settings_push_ping_and_goaway_are_as_section_6_says() {
    run(vec![
        (
            "6.5",
            "an acknowledgement with settings",
            |w| {
                w.begin(&[]);
                w.frame(SETTINGS, ACK, 0, &[0, 1, 0, 0, 0, 0]);
            },
            Connection(&[SIZE, PROTOCOL]),
        ),
        (
            "6.5",
            "SETTINGS on a stream",
            |w| {
                w.begin(&[]);
                w.frame(SETTINGS, 0, 1, b"");
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.5",
            "SETTINGS of another length",
            |w| {
                w.begin(&[]);
                w.frame(SETTINGS, 0, 0, &[0; 5]);
            },
            Connection(&[SIZE, PROTOCOL]),
        ),
        (
            "6.5.2",
            "ENABLE_PUSH of 2",
            |w| w.begin(&[(2, 2)]),
            Connection(&[PROTOCOL]),
        ),
        (
            "6.5.2",
            "a window too large",
            |w| w.begin(&[(4, 1 << 31)]),
            Connection(&[FLOW, PROTOCOL]),
        ),
        (
            "6.5.2",
            "frames too small",
            |w| w.begin(&[(5, 16_383)]),
            Connection(&[PROTOCOL]),
        ),
        (
            "6.5.2",
            "frames too large",
            |w| w.begin(&[(5, 1 << 24)]),
            Connection(&[PROTOCOL]),
        ),
        (
            "6.5.2",
            "a setting that nobody knows",
            |w| {
                w.begin(&[(0xf0f0, 7)]);
                w.get(1, "/");
            },
            Status(200),
        ),
        (
            "6.6",
            "PUSH_PROMISE",
            |w| {
                post(w);
                w.frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]);
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.7",
            "PING on a stream",
            |w| {
                w.begin(&[]);
                w.frame(PING, 0, 1, &[0; 8]);
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.7",
            "PING of another length",
            |w| {
                w.begin(&[]);
                w.frame(PING, 0, 0, &[0; 6]);
            },
            Connection(&[SIZE, PROTOCOL]),
        ),
        (
            "6.7",
            "an acknowledgement of nothing",
            |w| {
                w.begin(&[]);
                w.frame(PING, ACK, 0, &[7; 8]);
                w.get(1, "/");
            },
            Status(200),
        ),
        (
            "6.8",
            "GOAWAY on a stream",
            |w| {
                w.begin(&[]);
                w.frame(GOAWAY, 0, 1, &[0; 8]);
            },
            Connection(&[PROTOCOL]),
        ),
    ]);
}

#[test]
fn windows_and_continuations_are_as_section_6_says() {
    run(vec![
        (
            "6.9",
            "an update of 0 for the connection",
            |w| {
                w.begin(&[]);
                w.frame(WINDOW_UPDATE, 0, 0, &[0; 4]);
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.9",
            "an update of 0 for a stream",
            |w| {
                post(w);
                w.frame(WINDOW_UPDATE, 0, 1, &[0; 4]);
            },
            Harder(&[PROTOCOL]),
        ),
        (
            "6.9",
            "an update of another length",
            |w| {
                w.begin(&[]);
                w.frame(WINDOW_UPDATE, 0, 0, &[0; 3]);
            },
            Connection(&[SIZE, PROTOCOL]),
        ),
        (
            "6.9.1",
            "a window too large for the connection",
            |w| {
                w.begin(&[]);
                w.frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]);
            },
            Connection(&[FLOW]),
        ),
        (
            "6.9.1",
            "a window too large for a stream",
            |w| {
                post(w);
                w.frame(WINDOW_UPDATE, 0, 1, &[0x7f, 255, 255, 255]);
            },
            Stream(&[FLOW]),
        ),
        (
            "6.10",
            "CONTINUATION without HEADERS",
            |w| {
                w.begin(&[]);
                w.frame(CONTINUATION, END_HEADERS, 1, &block(&request("GET", "/")));
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.10",
            "another frame within a block",
            |w| {
                w.begin(&[]);
                w.frame(HEADERS, END_STREAM, 1, &block(&request("GET", "/")));
                w.frame(PING, 0, 0, &[0; 8]);
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.10",
            "CONTINUATION of another stream",
            |w| {
                w.begin(&[]);
                w.frame(HEADERS, END_STREAM, 1, &block(&request("GET", "/")));
                w.frame(CONTINUATION, END_HEADERS, 3, &block(&[("a", "b")]));
            },
            Connection(&[PROTOCOL]),
        ),
        (
            "6.10",
            "a block in pieces",
            |w| {
                w.begin(&[]);
                let fields = block(&request("GET", "/"));
                w.frame(HEADERS, END_STREAM, 1, &fields[..10]);
                w.frame(CONTINUATION, 0, 1, &fields[10..20]);
                w.frame(CONTINUATION, END_HEADERS, 1, &fields[20..]);
            },
            Status(200),
        ),
        (
            "6.10",
            "a block in far too many pieces",
            |w| {
                w.begin(&[]);
                w.frame(HEADERS, END_STREAM, 1, &block(&request("GET", "/")));
                for _ in 0..100 {
                    w.frame(CONTINUATION, 0, 1, &block(&[("a", "b")]));
                }
            },
            Connection(&[CALM]),
        ),
    ]);
}

#[test]
fn messages_are_framed_as_section_8_1_says() {
    run(vec![
        (
            "8.1",
            "trailers that do not end the stream",
            |w| {
                post(w);
                w.fields(1, false, &[("a", "b")]);
            },
            Stream(&[PROTOCOL]),
        ),
        (
            // hyper drops it; it reaches nobody.
            "8.1",
            "trailers with a pseudo-header",
            |w| {
                post(w);
                w.fields(1, true, &[(":path", "/other")]);
            },
            Status(200),
        ),
        (
            "8.1",
            "trailers",
            |w| {
                post(w);
                w.frame(DATA, 0, 1, b"a");
                w.fields(1, true, &[("a", "b")]);
            },
            Status(200),
        ),
        (
            "8.1.1",
            "less than its length",
            |w| {
                w.begin(&[]);
                let fields = [&request("POST", "/")[..], &[("content-length", "2")]].concat();
                w.fields(1, false, &fields);
                w.frame(DATA, END_STREAM, 1, b"a");
            },
            Stream(&[PROTOCOL]),
        ),
        (
            "8.1.1",
            "more than its length",
            |w| {
                w.begin(&[]);
                let fields = [&request("POST", "/")[..], &[("content-length", "2")]].concat();
                w.fields(1, false, &fields);
                w.frame(DATA, END_STREAM, 1, b"abc");
            },
            Stream(&[PROTOCOL]),
        ),
        (
            "8.1.1",
            "a length without a body",
            |w| with(w, b"content-length", b"2"),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.1.1",
            "a length that is none",
            |w| with(w, b"content-length", b"+0"),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.1.1",
            "two lengths",
            |w| {
                w.begin(&[]);
                let lengths = [("content-length", "1"), ("content-length", "2")];
                w.fields(1, false, &[&request("POST", "/")[..], &lengths].concat());
            },
            Stream(&[PROTOCOL]),
        ),
    ]);
}

#[test]
fn fields_are_as_section_8_2_says() {
    run(vec![
        (
            "8.2",
            "a name in upper case",
            |w| with(w, b"X-A", b"b"),
            Harder(&[PROTOCOL]),
        ),
        (
            "8.2.1",
            "a name with a space",
            |w| with(w, b"x a", b"b"),
            Harder(&[PROTOCOL]),
        ),
        (
            "8.2.1",
            "a name with a colon",
            |w| with(w, b"x:a", b"b"),
            Harder(&[PROTOCOL]),
        ),
        (
            "8.2.1",
            "an empty name",
            |w| with(w, b"", b"b"),
            Harder(&[PROTOCOL]),
        ),
        (
            "8.2.1",
            "a line break in a value",
            |w| with(w, b"a", b"b\r\nc: d"),
            Harder(&[PROTOCOL]),
        ),
        (
            "8.2.1",
            "a bare line feed in a value",
            |w| with(w, b"a", b"b\nc"),
            Harder(&[PROTOCOL]),
        ),
        (
            "8.2.1",
            "a zero in a value",
            |w| with(w, b"a", b"b\0c"),
            Harder(&[PROTOCOL]),
        ),
        (
            "8.2.1",
            "space before a value",
            |w| with(w, b"a", b" b"),
            Status(400),
        ),
        (
            "8.2.1",
            "space after a value",
            |w| with(w, b"a", b"b\t"),
            Status(400),
        ),
        (
            "8.2.2",
            "connection",
            |w| with(w, b"connection", b"keep-alive"),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.2.2",
            "keep-alive",
            |w| with(w, b"keep-alive", b"1"),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.2.2",
            "proxy-connection",
            |w| with(w, b"proxy-connection", b"a"),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.2.2",
            "transfer-encoding",
            |w| with(w, b"transfer-encoding", b"chunked"),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.2.2",
            "upgrade",
            |w| with(w, b"upgrade", b"websocket"),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.2.2",
            "te of something else",
            |w| with(w, b"te", b"trailers, gzip"),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.2.2",
            "te of trailers",
            |w| with(w, b"te", b"trailers"),
            Status(200),
        ),
    ]);
}

#[test]
fn pseudo_headers_are_as_section_8_3_says() {
    run(vec![
        (
            "8.3",
            "one that nobody knows",
            |w| with(w, b":other", b"b"),
            Harder(&[PROTOCOL]),
        ),
        (
            "8.3",
            "one of an answer",
            |w| with(w, b":status", b"200"),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3",
            "one after a field",
            |w| {
                asked(
                    w,
                    &[
                        (":method", "GET"),
                        (":scheme", "http"),
                        ("a", "b"),
                        (":path", "/"),
                        (":authority", "a"),
                    ],
                );
            },
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "no method",
            |w| {
                asked(
                    w,
                    &[(":scheme", "http"), (":path", "/"), (":authority", "a")],
                );
            },
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "no scheme",
            |w| {
                asked(
                    w,
                    &[(":method", "GET"), (":path", "/"), (":authority", "a")],
                );
            },
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "no path",
            |w| {
                asked(
                    w,
                    &[(":method", "GET"), (":scheme", "http"), (":authority", "a")],
                );
            },
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "an empty path",
            |w| asked(w, &request("GET", "")),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "a path twice",
            |w| with(w, b":path", b"/b"),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "a path without a slash",
            |w| asked(w, &request("GET", "a")),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "a path that is a whole URI",
            |w| asked(w, &request("GET", "http://b/")),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "a space in a path",
            |w| asked(w, &request("GET", "/a b")),
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "a line break in a path",
            |w| {
                asked(w, &request("GET", "/ HTTP/1.1\r\na: b"));
            },
            Stream(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "a space in a method",
            |w| asked(w, &request("GET /x", "/")),
            Harder(&[PROTOCOL]),
        ),
        (
            "8.3.1",
            "OPTIONS of everything",
            |w| asked(w, &request("OPTIONS", "*")),
            Status(200),
        ),
        (
            "8.3.1",
            "GET of everything",
            |w| asked(w, &request("GET", "*")),
            Status(400),
        ),
        (
            "8.3.1",
            "another scheme",
            |w| {
                asked(
                    w,
                    &[
                        (":method", "GET"),
                        (":scheme", "ftp"),
                        (":path", "/"),
                        (":authority", "a"),
                    ],
                );
            },
            Status(400),
        ),
        (
            "8.3.1",
            "userinfo",
            |w| {
                asked(
                    w,
                    &[
                        (":method", "GET"),
                        (":scheme", "http"),
                        (":path", "/"),
                        (":authority", "u@a"),
                    ],
                );
            },
            Status(400),
        ),
        (
            "8.3.1",
            "a Host that differs",
            |w| with(w, b"host", b"other.example"),
            Status(400),
        ),
        (
            "8.3.1",
            "a Host that agrees",
            |w| with(w, b"host", b"app.example"),
            Status(200),
        ),
        (
            "8.3.1",
            "only a Host",
            |w| {
                asked(
                    w,
                    &[
                        (":method", "GET"),
                        (":scheme", "http"),
                        (":path", "/"),
                        ("host", "a"),
                    ],
                );
            },
            Status(200),
        ),
        (
            "8.3.1",
            "no host at all",
            |w| {
                asked(
                    w,
                    &[(":method", "GET"), (":scheme", "http"), (":path", "/")],
                );
            },
            Status(400),
        ),
    ]);
}

#[test]
fn connect_and_limits_are_as_sections_8_5_and_10_5_say() {
    run(vec![
        (
            "8.5",
            "CONNECT",
            |w| {
                asked(
                    w,
                    &[(":method", "CONNECT"), (":authority", "db.internal:5432")],
                );
            },
            Status(405),
        ),
        (
            "8.5",
            "CONNECT with a path",
            |w| asked(w, &request("CONNECT", "/")),
            Stream(&[PROTOCOL]),
        ),
        (
            "RFC 8441 4",
            "extended CONNECT of something else",
            |w| {
                asked(
                    w,
                    &[
                        (":method", "CONNECT"),
                        (":protocol", "connect-udp"),
                        (":scheme", "http"),
                        (":path", "/"),
                        (":authority", "a"),
                    ],
                );
            },
            Status(405),
        ),
        (
            "RFC 8441 4",
            ":protocol without CONNECT",
            |w| with(w, b":protocol", b"websocket"),
            Stream(&[PROTOCOL]),
        ),
        (
            "10.5.1",
            "fields over the size",
            |w| {
                w.begin(&[]);
                let value = "a".repeat(15_000);
                let fields = block(&request("GET", "/"));
                w.frame(HEADERS, END_STREAM, 1, &fields);
                for n in 0..5 {
                    let flags = if n == 4 { END_HEADERS } else { 0 };
                    w.frame(CONTINUATION, flags, 1, &block(&[("a", &value)]));
                }
            },
            Status(431),
        ),
        (
            "10.5.1",
            "too many fields",
            |w| {
                w.begin(&[]);
                let mut fields = request("GET", "/").to_vec();
                fields.extend([("a", ""); 101]);
                w.fields(1, true, &fields);
            },
            Status(431),
        ),
        (
            "10.5.1",
            "too many pieces of a cookie",
            |w| {
                w.begin(&[]);
                let mut fields = request("GET", "/").to_vec();
                fields.extend([("cookie", "a=b"); 101]);
                w.fields(1, true, &fields);
            },
            Status(431),
        ),
        (
            "10.5.1",
            "as many fields as allowed",
            |w| {
                w.begin(&[]);
                let mut fields = request("GET", "/").to_vec();
                fields.extend([("a", "b"); 100]);
                w.fields(1, true, &fields);
            },
            Status(200),
        ),
    ]);
}
