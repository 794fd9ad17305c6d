//! What must hold for any bytes. The fuzzer calls these, and a test does with the seeds.

use supplant::proxy::scan::Bounds;
use supplant::proxy::scan::Rest;
use supplant::proxy::scan::Scan;
use supplant::proxy::scan::Scanner;
use supplant::upstream::head::forwarded;

/// Scans in pieces of a size, with what is partial kept in front of what comes.
fn in_pieces(bytes: &[u8], size: usize) -> (usize, u32, Rest) {
    let mut scanner = Scanner::new(Bounds::default());
    let (mut held, mut passed, mut heads) = (Vec::new(), 0, 0);
    let mut rest = Rest::Nothing;
    for piece in bytes.chunks(size) {
        held.extend_from_slice(piece);
        let scan = scanner.scan(&held);
        passed += scan.passed;
        heads += scan.heads;
        held.drain(..scan.passed);
        rest = scan.rest;
        if matches!(rest, Rest::Refused(_) | Rest::Ended) {
            break;
        }
    }
    (passed, heads, rest)
}

/// Pieces change nothing, but that a bad byte at the end of one may show only with the next line.
fn pieces_agree(bytes: &[u8], whole: Scan) {
    for size in [1, 3, 17] {
        let (passed, heads, rest) = in_pieces(bytes, size);
        match (whole.rest, rest) {
            (Rest::Refused(_), Rest::Partial) => assert!(passed <= whole.passed),
            // Bytes of a body before the bad one pass in any case.
            (Rest::Refused(_), Rest::Refused(_)) => {
                assert_eq!((whole.passed, whole.heads), (passed, heads));
            }
            (one, other) => assert_eq!((whole.passed, whole.heads, one), (passed, heads, other)),
        }
    }
}

/// Heads: what passes is what the parser behind reads, method, target, fields and end.
pub(super) fn head(bytes: &[u8]) {
    let mut scanner = Scanner::new(Bounds::default());
    let scan = scanner.scan(bytes);
    assert!(scan.passed <= bytes.len());
    pieces_agree(bytes, scan);
    if scan.heads == 0 {
        return;
    }
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut fields);
    let read = request.parse(bytes).expect("the parser takes what passed");
    let end = read.unwrap();
    let text = &bytes[..end];
    let text = text.strip_prefix(b"\r\n").unwrap_or(text);
    let mut lines = text
        .split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").expect("no line ends otherwise"));
    let first: Vec<&[u8]> = lines.next().unwrap().split(|b| *b == b' ').collect();
    assert_eq!(first.len(), 3);
    assert_eq!(first[0], request.method.unwrap().as_bytes());
    assert_eq!(first[1], request.path.unwrap().as_bytes());
    let uri = http::Uri::try_from(first[1]).expect("the target is held");
    assert!(uri.authority().is_none_or(|a| !a.as_str().contains('@')));
    let mut hosts = 0;
    for field in request.headers.iter() {
        let line = lines.next().unwrap();
        let colon = line.iter().position(|b| *b == b':').unwrap();
        assert_eq!(&line[..colon], field.name.as_bytes());
        assert_eq!(line[colon + 1..].trim_ascii(), field.value.trim_ascii());
        hosts += usize::from(field.name.eq_ignore_ascii_case("host"));
        http::HeaderValue::from_bytes(field.value).expect("the value is held");
    }
    assert_eq!(lines.next(), Some(&b""[..]));
    assert!(hosts == 1 || (hosts == 0 && request.version == Some(0)));
}

/// Bodies in chunks: where one ends, a plain decoder ends too.
pub(super) fn chunked(body: &[u8]) {
    const HEAD: &[u8] =
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bytes = [HEAD, body].concat();
    let mut scanner = Scanner::new(Bounds::default());
    let scan = scanner.scan(&bytes);
    assert!(scan.passed >= HEAD.len() && scan.heads == 1);
    pieces_agree(&bytes, scan);
    let ended = decode(body);
    if scanner.has_ended() {
        assert_eq!(ended, Some(scan.passed - HEAD.len()));
    } else if !matches!(scan.rest, Rest::Refused(_)) {
        assert_eq!(ended, None);
    }
}

/// Decodes a body as plainly as can be, and returns where it ends.
fn decode(body: &[u8]) -> Option<usize> {
    let line = |at: usize| {
        let rest = body.get(at..)?;
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        Some((&rest[..end], at + end + 2))
    };
    let mut at = 0;
    loop {
        let (size, next) = line(at)?;
        let digits = size.split(|b| *b == b';').next()?;
        let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        at = next;
        if size == 0 {
            break;
        }
        at = at.checked_add(usize::try_from(size).ok()?)?;
        if body.get(at..at.checked_add(2)?)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    loop {
        let (trailer, next) = line(at)?;
        at = next;
        if trailer.is_empty() {
            return Some(at);
        }
    }
}

/// PROXY headers: nothing but the header decides, and less of it decides nothing.
pub(super) fn proxied(bytes: &[u8]) {
    let Ok(Some(told)) = supplant::proxy::scan::proxied(bytes) else {
        return;
    };
    assert!(told.len >= 15 && told.len <= bytes.len());
    let again = supplant::proxy::scan::proxied(&bytes[..told.len]);
    assert_eq!(again, Ok(Some(told)));
    for less in 0..told.len {
        let less = supplant::proxy::scan::proxied(&bytes[..less]);
        assert!(matches!(less, Ok(None)), "{less:?}");
    }
}

/// Forwarded: reading is bounded, and what is written is read back.
pub(super) fn forwarded(bytes: &[u8]) {
    let values = bytes.split(|b| *b == b'\n');
    let Ok(elements) = forwarded::read(values) else {
        return;
    };
    assert!(!elements.is_empty() && elements.len() <= forwarded::MOST);
    for element in &elements {
        let from = match &element.from {
            Some(forwarded::Node::Address(address)) => Some(*address),
            _ => None,
        };
        let text = forwarded::write(from, element.host.as_deref(), "https");
        let again = forwarded::read([text.as_bytes()]).expect("what is written is read");
        assert_eq!(again.len(), 1);
        if let Some(address) = from {
            assert_eq!(again[0].from, Some(forwarded::Node::Address(address)));
        }
    }
}
