//! Requests: what is refused, with which status and reason, and what passes, and as what.

use super::Case;
use super::Wanted;
use crate::support::Seen;

/// A good head, to put a bad one behind it.
const FIRST: &str = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n";

fn refused(
    status: u16,
    reason: &'static str,
    source: &'static str,
    sent: impl Into<Vec<u8>>,
) -> Case {
    Case {
        source,
        sent: sent.into(),
        wanted: Wanted::Refused(status, reason),
    }
}

/// One request with these lines after its `Host`.
fn with(status: u16, reason: &'static str, source: &'static str, lines: &str) -> Case {
    let sent = format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n0\r\n\r\n");
    refused(status, reason, source, sent)
}

/// One request with this first line.
fn line(status: u16, reason: &'static str, source: &'static str, line: &str) -> Case {
    refused(status, reason, source, format!("{line}\r\nHost: a\r\n\r\n"))
}

/// One request in chunks that go like this.
fn chunks(status: u16, reason: &'static str, source: &'static str, body: &str) -> Case {
    let sent = format!("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    refused(status, reason, source, sent)
}

fn passes(
    answers: usize,
    source: &'static str,
    sent: impl Into<Vec<u8>>,
    check: fn(&[Seen]) -> bool,
) -> Case {
    Case {
        source,
        sent: sent.into(),
        wanted: Wanted::Passes(answers, check),
    }
}

pub(super) fn all() -> Vec<Case> {
    [
        lengths(),
        encodings(),
        first_lines(),
        hosts(),
        fields(),
        chunked(),
        sizes(),
        pipelined(),
        good(),
        rewritten(),
    ]
    .concat()
}

fn lengths() -> Vec<Case> {
    let several = "RFC 9112 6.3, CVE-2021-21295";
    let form = "RFC 9112 6.3, CVE-2021-32715";
    let length = |value: &str| with(400, "length", form, &format!("Content-Length:{value}"));
    vec![
        with(
            400,
            "length_several",
            several,
            "Content-Length: 5\r\nContent-Length: 6",
        ),
        with(
            400,
            "length_several",
            several,
            "Content-Length: 5\r\nContent-Length: 5",
        ),
        with(
            400,
            "length_several",
            several,
            "Content-Length: 5\r\nX: y\r\ncontent-length: 5",
        ),
        length(" 5,5"),
        length(" 5, 5"),
        length(" +5"),
        length(" -1"),
        length(" 0x5"),
        length(" 5 5"),
        length(" 5;"),
        length(" 5.0"),
        length(" 1e1"),
        length(" \"5\""),
        length(""),
        length("  \t "),
        length(" \u{665}"),
        length(" 99999999999999999999"),
        length(" 18446744073709551616"),
        length(" 00000000000000000000000005"),
        refused(
            400,
            "control",
            form,
            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: \u{b}5\r\n\r\nhello",
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table is read in one piece")]
fn encodings() -> Vec<Case> {
    let both = "RFC 9112 6.1, CVE-2026-2835, RUSTSEC-2021-0078";
    let other = "RFC 9112 6.1, CVE-2026-69204";
    let encoding = |value: &str| {
        with(
            400,
            "encoding",
            other,
            &format!("Transfer-Encoding:{value}"),
        )
    };
    let old = "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let kept = "POST /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    vec![
        with(
            400,
            "length_encoding",
            both,
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
        ),
        with(
            400,
            "length_encoding",
            both,
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
        ),
        with(
            400,
            "length_encoding",
            both,
            "Transfer-Encoding: chunked\r\nContent-Length: 0",
        ),
        with(
            400,
            "length_encoding",
            both,
            "transfer-encoding: CHUNKED\r\nCONTENT-LENGTH: 5",
        ),
        encoding(" gzip"),
        encoding(" gzip, chunked"),
        encoding(" chunked, gzip"),
        encoding(" chunked, chunked"),
        encoding(" identity"),
        encoding(" identity, chunked"),
        encoding(" xchunked"),
        encoding(" chunkedx"),
        encoding(" chunked;q=1"),
        encoding(" \"chunked\""),
        encoding(" 'chunked'"),
        encoding(" ,chunked"),
        encoding(" chunked,"),
        encoding(" chunk ed"),
        encoding(" c\u{68}unked\u{a0}"),
        encoding(""),
        with(
            400,
            "encoding",
            other,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        with(
            400,
            "encoding",
            other,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        ),
        with(
            400,
            "encoding",
            other,
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        ),
        with(400, "control", other, "Transfer-Encoding: \u{b}chunked"),
        with(400, "control", other, "Transfer-Encoding: chunked\u{c}"),
        with(
            400,
            "space",
            "RFC 9112 5.1, CVE-2019-16276",
            "Transfer-Encoding : chunked",
        ),
        with(
            400,
            "encoding",
            "RFC 9112 5.2",
            "Transfer-Encoding:\r\n chunked",
        ),
        refused(400, "encoding_old", "RFC 9112 6.1, CVE-2026-2835", old),
        refused(400, "encoding_old", "RFC 9112 6.1, CVE-2026-2835", kept),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table is read in one piece")]
fn first_lines() -> Vec<Case> {
    let form = "RFC 9112 3";
    let target = "RFC 9112 3.2";
    let version = "RFC 9112 2.3";
    let host = "Host: a\r\n\r\n";
    vec![
        line(400, "request_line", form, "GET  / HTTP/1.1"),
        line(400, "request_line", form, " GET / HTTP/1.1"),
        line(400, "version_form", form, "GET /  HTTP/1.1"),
        line(400, "version_form", form, "GET / HTTP/1.1 "),
        line(400, "control", form, "GET\t/ HTTP/1.1"),
        line(400, "control", form, "GET /\tHTTP/1.1"),
        line(400, "method", form, "G(T / HTTP/1.1"),
        line(400, "method", form, "G\u{e9}T / HTTP/1.1"),
        line(400, "request_line", form, "GET"),
        line(
            501,
            "method_long",
            "RFC 9112 3",
            &format!("{} / HTTP/1.1", "M".repeat(40)),
        ),
        line(
            405,
            "connect",
            "RFC 9110 9.3.6, CVE-2026-71324",
            "CONNECT b:443 HTTP/1.1",
        ),
        line(400, "http09", "RFC 9112 2.3, CVE-2026-69204", "GET /"),
        line(400, "version_form", version, "GET / "),
        line(505, "version", version, "GET / HTTP/2.0"),
        line(505, "version", version, "GET / HTTP/1.2"),
        line(505, "version", version, "GET / HTTP/0.9"),
        line(505, "version", version, "GET / HTTP/3.1"),
        line(400, "version_form", version, "GET / HTTP/1"),
        line(400, "version_form", version, "GET / HTTP/11"),
        line(400, "version_form", version, "GET / http/1.1"),
        line(400, "version_form", version, "GET / HTTP/01.1"),
        line(400, "version_form", version, "GET / HTTP/1.1x"),
        line(400, "version_form", version, "GET / ICY/1.1"),
        line(400, "version_form", version, "GET / HTTP/1,1"),
        line(400, "target_form", target, "GET x HTTP/1.1"),
        line(400, "target_form", target, "GET a.example/ HTTP/1.1"),
        line(400, "target_form", target, "GET ftp://a/ HTTP/1.1"),
        line(400, "target_form", target, "GET http:/a/ HTTP/1.1"),
        line(400, "target_form", target, "GET * HTTP/1.1"),
        line(400, "target_form", target, "OPTIONS */x HTTP/1.1"),
        line(400, "target", target, "GET /<script> HTTP/1.1"),
        line(400, "target", target, "GET /`x` HTTP/1.1"),
        line(400, "target", target, "GET /?a=\"b\" HTTP/1.1"),
        line(400, "target", target, "GET /?a=<b> HTTP/1.1"),
        refused(
            400,
            "target",
            target,
            [b"GET /\xff HTTP/1.1\r\n", host.as_bytes()].concat(),
        ),
        refused(
            400,
            "nul",
            target,
            [b"GET /\0 HTTP/1.1\r\n", host.as_bytes()].concat(),
        ),
        line(400, "control", target, "GET /\u{7f} HTTP/1.1"),
        line(400, "control", target, "GET /\u{1} HTTP/1.1"),
        line(400, "fragment", "RFC 9112 3.2.1", "GET /a#b HTTP/1.1"),
        line(400, "fragment", "RFC 9112 3.2.1", "GET /?a#b HTTP/1.1"),
        line(400, "fragment", "RFC 9112 3.2.2", "GET http://a#b HTTP/1.1"),
        line(
            400,
            "userinfo",
            "RFC 9110 4.2.4",
            "GET http://u@a/ HTTP/1.1",
        ),
        line(
            400,
            "userinfo",
            "RFC 9110 4.2.4",
            "GET http://u:p@a/ HTTP/1.1",
        ),
        line(
            400,
            "userinfo",
            "RFC 9110 4.2.4",
            "GET http://a@b@a/ HTTP/1.1",
        ),
        line(400, "host_form", "RFC 9110 4.2.1", "GET http:///x HTTP/1.1"),
        line(
            400,
            "host_form",
            "RFC 9110 4.2.1",
            "GET http://a:b/ HTTP/1.1",
        ),
        line(
            400,
            "host_form",
            "RFC 9110 4.2.1",
            "GET http://[::1/ HTTP/1.1",
        ),
        refused(
            400,
            "bare_lf",
            "RFC 9112 2.2",
            format!("GET / HTTP/1.1\n{host}"),
        ),
        refused(
            400,
            "bare_cr",
            "RFC 9112 2.2",
            format!("GET / HTTP/1.1\r{host}"),
        ),
        refused(
            400,
            "bare_cr",
            "RFC 9112 2.2",
            format!("GET /\r HTTP/1.1\r\n{host}"),
        ),
        refused(
            400,
            "bare_lf",
            "RFC 9112 2.2",
            format!("\nGET / HTTP/1.1\r\n{host}"),
        ),
        refused(
            400,
            "blank_lines",
            "RFC 9112 2.2",
            format!("\r\n\r\nGET / HTTP/1.1\r\n{host}"),
        ),
        refused(
            400,
            "bare_cr",
            "RFC 9112 2.2",
            format!("\r\r\nGET / HTTP/1.1\r\n{host}"),
        ),
        refused(
            400,
            "request_line",
            "RFC 9112 2.2",
            format!(" \r\nGET / HTTP/1.1\r\n{host}"),
        ),
        refused(
            400,
            "tls",
            "RFC 8446 5.1",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n".to_vec(),
        ),
    ]
}

fn hosts() -> Vec<Case> {
    let source = "RFC 9112 3.2, RFC 9110 7.2";
    let host = |reason, fields: &str| {
        refused(
            400,
            reason,
            source,
            format!("GET /x HTTP/1.1\r\n{fields}\r\n"),
        )
    };
    let form = |value: &str| host("host_form", &format!("Host:{value}\r\n"));
    let absolute = |target: &str, host: &str| {
        let sent = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        refused(400, "host_differs", "RFC 9112 3.2.2", sent)
    };
    vec![
        host("host_missing", "X: y\r\n"),
        host("host_missing", ""),
        host("host_several", "Host: a\r\nHost: b\r\n"),
        host("host_several", "Host: a\r\nHost: a\r\n"),
        host("host_several", "Host: a\r\nX: y\r\nhost: b\r\n"),
        form(""),
        form(" "),
        form(" a b"),
        form(" a,b"),
        form(" a@b"),
        form(" a/b"),
        form(" a?b"),
        form(" a#b"),
        form(" a:b"),
        form(" a:80:80"),
        form(" a:65536"),
        form(" :80"),
        form(" http://a"),
        form(" [::1"),
        form(" [zz]"),
        form(" ::1"),
        form(" a%00"),
        form(" \u{e9}"),
        form(" a\\b"),
        absolute("http://a/", "b"),
        absolute("http://a:81/", "a"),
        absolute("http://a/", "a:8080"),
        absolute("https://a/", "a:80"),
        absolute("http://a.evil/", "a"),
        refused(
            400,
            "host_missing",
            "RFC 9112 3.2.2",
            "GET http://a/ HTTP/1.1\r\nX: y\r\n\r\n",
        ),
        refused(
            400,
            "host_several",
            source,
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        ),
    ]
}

fn fields() -> Vec<Case> {
    let name = "RFC 9110 5.1";
    let value = "RFC 9110 5.5, CVE-2019-9741";
    vec![
        with(400, "space", "RFC 9112 5.1", "X : y"),
        with(400, "space", "RFC 9112 5.1", "X\t: y"),
        with(400, "space", "RFC 9112 5.1", "Content-Length : 0"),
        with(400, "name", name, ": y"),
        with(400, "name", name, "X"),
        with(400, "space", name, "X Y: z"),
        with(400, "name", name, "X(: y"),
        with(400, "name", name, "X\"Y\": z"),
        with(400, "name", name, "X\u{e9}: y"),
        with(400, "name", name, "X/Y: z"),
        with(400, "name", name, "X@Y: z"),
        with(400, "nul", name, "X\0: y"),
        with(400, "control", name, "X\u{1}: y"),
        with(400, "fold", "RFC 9112 5.2", "X: y\r\n z"),
        with(400, "fold", "RFC 9112 5.2", "X: y\r\n\tz"),
        with(400, "fold", "RFC 9112 5.2", "X: y\r\n "),
        refused(
            400,
            "fold",
            "RFC 9112 2.2",
            "GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n",
        ),
        with(400, "nul", value, "X: a\0b"),
        with(400, "control", value, "X: a\u{1}b"),
        with(400, "control", value, "X: a\u{8}b"),
        with(400, "control", value, "X: a\u{1b}b"),
        with(400, "control", value, "X: a\u{7f}b"),
        with(400, "bare_cr", "RFC 9112 2.2, CVE-2023-30589", "X: a\rY: b"),
        with(
            400,
            "bare_cr",
            "RFC 9112 2.2, CVE-2023-30589",
            "X: a\r\rY: b",
        ),
        with(400, "bare_lf", "RFC 9112 2.2", "X: a\nY: b"),
        with(
            400,
            "bare_lf",
            "RFC 9112 2.2, CVE-2022-32214",
            "X: a\nContent-Length: 0",
        ),
        with(400, "bare_lf", "RFC 9112 2.2", "X\nY: b"),
        refused(
            400,
            "bare_lf",
            "RFC 9112 2.2",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
        ),
        refused(
            400,
            "bare_lf",
            "RFC 9112 2.2",
            "GET / HTTP/1.1\nHost: a\n\n",
        ),
        refused(
            400,
            "bare_cr",
            "RFC 9112 2.2",
            "GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n",
        ),
    ]
}

fn chunked() -> Vec<Case> {
    let size = "RFC 9112 7.1, RUSTSEC-2021-0079";
    let end = "RFC 9112 7.1, CVE-2025-22871";
    let extension = "RFC 9112 7.1.1, CVE-2025-55315";
    let trailer = "RFC 9112 7.1.2, CVE-2025-12642";
    let long = |n: usize| format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(n));
    let many: String = (0..101).map(|i| format!("X{i}: y\r\n")).collect();
    let large = format!("0\r\nX: {}\r\n\r\n", "y".repeat(17_000));
    vec![
        chunks(400, "chunk_size", size, "x\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_size", size, "\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_size", size, "+5\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_size", size, "-5\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_size", size, "0x5\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_size", size, " 5\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_size", size, "5 \r\nhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_size", size, "5\t\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_size", size, "5,\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_size", size, "5_0\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_size", size, ";a=b\r\nhello\r\n0\r\n\r\n"),
        chunks(
            400,
            "chunk_size",
            size,
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        chunks(
            400,
            "chunk_size",
            size,
            "00000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        chunks(400, "bare_lf", end, "5\nhello\r\n0\r\n\r\n"),
        chunks(400, "bare_cr", end, "5\rhello\r\n0\r\n\r\n"),
        chunks(400, "chunk_end", end, "5\r\nhello\n0\r\n\r\n"),
        chunks(400, "chunk_end", end, "5\r\nhello0\r\n\r\n"),
        chunks(400, "chunk_end", end, "5\r\nhelloo\r\n0\r\n\r\n"),
        chunks(400, "chunk_end", end, "5\r\nhello\rx0\r\n\r\n"),
        chunks(400, "chunk_end", end, "4\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "bare_lf", extension, "5;a\nhello\r\n0\r\n\r\n"),
        chunks(400, "bare_lf", extension, "5;\n\r\nhello\r\n0\r\n\r\n"),
        chunks(400, "bare_cr", extension, "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        chunks(
            400,
            "chunk_extension",
            extension,
            "5;a\0\r\nhello\r\n0\r\n\r\n",
        ),
        chunks(
            400,
            "chunk_extension",
            extension,
            "5;a\u{1}\r\nhello\r\n0\r\n\r\n",
        ),
        chunks(400, "chunk_extension", extension, &long(257)),
        chunks(400, "bare_lf", trailer, "0\r\nX: y\n\r\n"),
        chunks(400, "bare_lf", trailer, "0\r\n\n"),
        chunks(400, "bare_cr", trailer, "0\r\nX: y\rz\r\n\r\n"),
        chunks(400, "bare_cr", trailer, "0\r\n\rx\r\n"),
        chunks(400, "nul", trailer, "0\r\nX: \0\r\n\r\n"),
        chunks(400, "control", trailer, "0\r\nX: \u{7f}\r\n\r\n"),
        chunks(400, "trailer", trailer, "0\r\nX y\r\n\r\n"),
        chunks(400, "trailer", trailer, "0\r\n: y\r\n\r\n"),
        chunks(400, "trailer", trailer, "0\r\nX : y\r\n\r\n"),
        chunks(400, "trailer", trailer, "0\r\nX\r\n\r\n"),
        chunks(400, "fold", trailer, "0\r\nX: y\r\n z\r\n\r\n"),
        chunks(431, "trailers_large", trailer, &format!("0\r\n{many}\r\n")),
        chunks(431, "trailers_large", trailer, &large),
    ]
}

fn sizes() -> Vec<Case> {
    let long = "a".repeat(9 << 10);
    let fields: String = (0..100).map(|i| format!("X{i}: y\r\n")).collect();
    let head = format!("X: {}\r\n", "y".repeat(7 << 10)).repeat(10);
    vec![
        line(
            414,
            "line_long",
            "RFC 9112 3",
            &format!("GET /{long} HTTP/1.1"),
        ),
        refused(414, "line_long", "RFC 9112 3", format!("GET /{long}")),
        with(431, "fields", "RFC 6585 5", fields.trim_end()),
        with(431, "head_large", "RFC 6585 5", head.trim_end()),
        with(
            431,
            "head_large",
            "RFC 6585 5",
            &format!("X: {}", "y".repeat(70 << 10)),
        ),
        refused(
            431,
            "head_large",
            "RFC 6585 5",
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(70 << 10)),
        ),
    ]
}

/// A bad request behind good ones: those get their answers first.
fn pipelined() -> Vec<Case> {
    let after = |reason, source, sent: &str| Case {
        source,
        sent: format!("{FIRST}{sent}").into_bytes(),
        wanted: Wanted::RefusedAfter(1, 400, reason),
    };
    let body = "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    vec![
        after("host_missing", "RFC 9112 9.3.2", "GET /second HTTP/1.1\r\n\r\n"),
        after("bare_lf", "RFC 9112 9.3.2", "GET /second HTTP/1.1\nHost: a\n\n"),
        after("blank_lines", "RFC 9112 2.2", "\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n"),
        Case {
            source: "RFC 9112 9.3.2",
            sent: format!("{FIRST}{FIRST}{FIRST}GARBAGE\r\n\r\n").into_bytes(),
            wanted: Wanted::RefusedAfter(3, 400, "request_line"),
        },
        Case {
            source: "RFC 9112 6.3",
            sent: format!("{body}xGET /second HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n").into_bytes(),
            wanted: Wanted::RefusedAfter(1, 400, "space"),
        },
        Case {
            source: "RFC 9110 7.8, CVE-2026-2833",
            sent: b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello\r\n".to_vec(),
            wanted: Wanted::RefusedAfter(1, 400, "method"),
        },
    ]
}

/// What is well formed passes, however odd.
#[expect(clippy::too_many_lines, reason = "a table is read in one piece")]
fn good() -> Vec<Case> {
    let chunked = |body: &str| {
        format!("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    let hello = |s: &[Seen]| s[0].body == b"hello";
    let fields: String = (0..99).map(|i| format!("X{i}: y\r\n")).collect();
    let long = "a".repeat(8000);
    vec![
        passes(1, "RFC 9112 3", FIRST, |s| s[0].target == "/first"),
        passes(1, "RFC 9112 2.2", format!("\r\n{FIRST}"), |s| s.len() == 1),
        passes(3, "RFC 9112 9.3.2", FIRST.repeat(3), |s| s.len() == 3),
        passes(1, "RFC 9112 2.3", "GET /old HTTP/1.0\r\n\r\n", |s| {
            s[0].target == "/old"
        }),
        passes(
            1,
            "RFC 9112 3.2.4",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            |s| s[0].target == "*",
        ),
        passes(
            1,
            "RFC 9110 9.1",
            "BREW /x HTTP/1.1\r\nHost: a\r\n\r\n",
            |s| s[0].method == "BREW",
        ),
        passes(
            1,
            "RFC 9110 9.1",
            "get /x HTTP/1.1\r\nHost: a\r\n\r\n",
            |s| s[0].method == "get",
        ),
        passes(
            1,
            "RFC 3986 2.1",
            "GET /a%2Fb/%41?%41&&=;/?:@%zz HTTP/1.1\r\nHost: a\r\n\r\n",
            |s| s[0].target == "/a%2Fb/%41?%41&&=;/?:@%zz",
        ),
        passes(
            1,
            "RFC 3986 3.3",
            "GET /{a}|\"b\"^?{c}|`d`^ HTTP/1.1\r\nHost: a\r\n\r\n",
            |s| s[0].target == "/{a}|\"b\"^?{c}|`d`^",
        ),
        passes(
            1,
            "RFC 3986 3.3",
            "GET /\u{e9}?\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            |s| s[0].target == "/\u{e9}?\u{e9}",
        ),
        passes(
            1,
            "RFC 9112 3.2.2",
            "GET http://A:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
            |s| s[0].target == "/x?y",
        ),
        passes(
            1,
            "RFC 9110 7.2",
            "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
            |s| s[0].field("host") == Some("[::1]:8080"),
        ),
        passes(
            1,
            "RFC 9110 7.2",
            "GET / HTTP/1.1\r\nHost: a_b.example.:80\r\n\r\n",
            |s| s[0].field("host") == Some("a_b.example.:80"),
        ),
        passes(
            1,
            "RFC 9112 5",
            "GET / HTTP/1.1\r\nHost:a\r\nX:\t y z \t\r\nEmpty:\r\n\r\n",
            |s| s[0].field("x") == Some("y z") && s[0].field("empty") == Some(""),
        ),
        passes(
            1,
            "RFC 9110 5.5",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \u{e9}\tb\r\n\r\n",
            |s| s[0].field("x") == Some("\u{e9}\tb"),
        ),
        passes(
            1,
            "RFC 9110 5.3",
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\nX: 3\r\n\r\n",
            |s| {
                let all = s[0].fields.iter().filter(|(n, _)| n == "X");
                all.map(|(_, v)| v.as_str()).eq(["1", "3"])
            },
        ),
        passes(
            1,
            "RFC 6585 5",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
            |s| s[0].field("x98") == Some("y"),
        ),
        passes(
            1,
            "RFC 9112 3",
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            |s| s[0].target.len() == 8001,
        ),
        passes(
            1,
            "RFC 9110 8.6",
            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            |s| s[0].body.is_empty(),
        ),
        passes(
            1,
            "RFC 9110 8.6",
            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello",
            hello,
        ),
        passes(
            1,
            "RFC 9110 9.3.1",
            "GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            hello,
        ),
        passes(
            1,
            "RFC 9112 6.1",
            "POST /x HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
            hello,
        ),
        passes(1, "RFC 9112 7.1", chunked("5\r\nhello\r\n0\r\n\r\n"), hello),
        passes(
            1,
            "RFC 9112 7.1",
            chunked("0000000000000005\r\nhello\r\n00\r\n\r\n"),
            hello,
        ),
        passes(
            1,
            "RFC 9112 7.1",
            chunked("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
            hello,
        ),
        passes(
            1,
            "RFC 9112 7.1",
            chunked("A\r\n0123456789\r\n0\r\n\r\n"),
            |s| s[0].body.len() == 10,
        ),
        passes(
            1,
            "RFC 9112 7",
            "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            hello,
        ),
        passes(
            2,
            "RFC 9112 9.3.2",
            format!("{}{FIRST}", chunked("5\r\nhello\r\n0\r\nX: y\r\n\r\n")),
            |s| s[1].target == "/first",
        ),
        passes(
            2,
            "RFC 9112 9.3.2",
            format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\n{FIRST}"),
            |s| s[0].body == b"hello" && s[1].target == "/first",
        ),
        passes(
            1,
            "RFC 9112 9.6",
            format!("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{FIRST}"),
            |s| s.len() == 1,
        ),
        passes(
            1,
            "RFC 9112 9.6",
            "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGARBAGE\0",
            |s| s.len() == 1,
        ),
        passes(
            1,
            "RFC 9112 9.3",
            format!("GET /a HTTP/1.0\r\n\r\n{FIRST}"),
            |s| s.len() == 1,
        ),
        passes(
            2,
            "RFC 9112 9.3",
            format!("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{FIRST}"),
            |s| s.len() == 2,
        ),
        passes(
            1,
            "RFC 9112 7.1.1",
            chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(256))),
            hello,
        ),
    ]
}

/// What passes in another form: a relay of bytes gets these wrong.
fn rewritten() -> Vec<Case> {
    let extension = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;evil=\"x\"\r\nhello\r\n0\r\n\r\n";
    vec![
        passes(1, "RFC 9112 7.1.1, CVE-2025-55315", extension, |s| {
            s[0].body == b"hello"
        }),
        passes(
            1,
            "RFC 9110 7.6.1, CVE-2022-31813",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Gone, Authorization\r\nX-Gone: 1\r\nAuthorization: Bearer x\r\n\r\n",
            |s| s[0].field("x-gone").is_none() && s[0].field("authorization").is_some(),
        ),
        passes(
            1,
            "RFC 9110 7.6.1, CVE-2024-45410",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For, Host, Content-Length\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n",
            |s| {
                s[0].field("x-forwarded-for") == Some("127.0.0.1")
                    && s[0].field("host") == Some("a")
            },
        ),
        passes(
            1,
            "RFC 9110 7.6.1, CVE-2026-105299",
            "GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\n\r\n",
            |s| {
                ["keep-alive", "proxy-connection", "proxy-authorization"]
                    .iter()
                    .all(|n| s[0].field(n).is_none())
            },
        ),
        passes(
            1,
            "RFC 9110 10.1.4",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: gzip, trailers\r\n\r\n",
            |s| s[0].field("te") == Some("trailers"),
        ),
        passes(
            1,
            "CVE-2026-88011",
            "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 203.0.113.1\r\nX-Forwarded.Proto: https\r\n\r\n",
            |s| s[0].fields.iter().all(|(n, _)| !n.contains(['_', '.'])),
        ),
        passes(
            1,
            "RFC 9113 3.1, CVE-2026-2833",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
            |s| {
                ["upgrade", "http2-settings", "connection"]
                    .iter()
                    .all(|n| s[0].field(n).is_none())
            },
        ),
        passes(
            1,
            "RFC 9112 3.2.2",
            "GET http://a/x HTTP/1.1\r\nHost: A\r\n\r\n",
            |s| s[0].target == "/x",
        ),
    ]
}
