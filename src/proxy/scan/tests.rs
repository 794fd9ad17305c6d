use super::*;
use proptest::prelude::*;

fn scan_all(bytes: &[u8]) -> (usize, u32, Rest) {
    let mut scanner = Scanner::new(Bounds::default());
    let scan = scanner.scan(bytes);
    (scan.passed, scan.heads, scan.rest)
}

/// Scans as a socket would: in pieces, with what is partial kept in front of what comes.
fn scan_in_pieces(bytes: &[u8], cuts: &[usize]) -> (usize, u32, Rest) {
    let mut scanner = Scanner::new(Bounds::default());
    let (mut held, mut passed, mut heads) = (Vec::new(), 0, 0);
    let mut rest = Rest::Nothing;
    let mut from = 0;
    let ends = cuts.iter().copied().chain([bytes.len()]);
    for end in ends.filter(|end| *end <= bytes.len()) {
        if end <= from {
            continue;
        }
        held.extend_from_slice(&bytes[from..end]);
        from = end;
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

/// Requests, and whether another may follow on their connection.
const GOOD: &[(&str, bool)] = &[
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
    (
        "GET /a%20b?c=d&e[]={} HTTP/1.1\r\nhost:a.example:80\r\nX: \t y \t\r\nEmpty:\r\n\r\n",
        true,
    ),
    (
        "GET /\u{e9}?\u{e9} HTTP/1.1\r\nHost: a\r\nX: \u{e9}\r\n\r\n",
        true,
    ),
    ("GET http://a/b HTTP/1.1\r\nHost: a:80\r\n\r\n", true),
    ("GET HTTPS://A HTTP/1.1\r\nHost: a:443\r\n\r\n", true),
    ("GET http://a?b HTTP/1.0\r\n\r\n", false),
    ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("GET / HTTP/1.0\r\n\r\n", false),
    (
        "M-SEARCH / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n",
        true,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        true,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        true,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000005;a=\"b\"\r\nhello\r\n00\r\nX-T: 1\r\n\r\n",
        true,
    ),
    ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
    ("GET / HTTP/1.0\r\nConnection: x\r\n\r\n", false),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n",
        false,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        false,
    ),
];

#[test]
fn what_is_well_formed_passes_whole_and_ends_where_it_ends() {
    for (good, kept) in GOOD {
        let (len, found) = (good.len(), scan_all(good.as_bytes()));
        assert_eq!(found, (len, 1, Rest::Nothing), "{good:?}");
        let twice = scan_all(format!("{good}{good}").as_bytes());
        let wanted = if *kept {
            (2 * len, 2, Rest::Nothing)
        } else {
            (len, 1, Rest::Ended)
        };
        assert_eq!(twice, wanted, "{good:?}");
    }
}

#[test]
fn a_request_in_any_two_pieces_is_the_request_in_one() {
    for (good, _) in GOOD {
        let whole = scan_all(good.as_bytes());
        for cut in 1..good.len() {
            let found = scan_in_pieces(good.as_bytes(), &[cut]);
            assert_eq!(found, whole, "{good:?} at {cut}");
        }
        let drops: Vec<usize> = (1..good.len()).collect();
        assert_eq!(scan_in_pieces(good.as_bytes(), &drops), whole, "{good:?}");
    }
}

/// What a request line may look like, mostly.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![
        4 => Just("GET".to_owned()),
        1 => "[A-Za-z!#$%&'*+.^_`|~-]{1,20}",
        1 => Just("OPTIONS".to_owned()),
    ];
    let target = prop_oneof![
        4 => "/[a-z0-9/%.;:@&=+$,!'()*~_-]{0,20}(\\?[a-z0-9/?%{}|`^-]{0,10})?".prop_map(String::into_bytes),
        1 => "(http|https|HTTP|ftp)://[a-z.:0-9@\\[\\]_-]{0,8}(/[a-z]{0,4})?(\\?[a-z]{0,4})?".prop_map(String::into_bytes),
        1 => Just(b"*".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..8).prop_map(|mut bytes| {
            bytes.insert(0, b'/');
            bytes
        }),
    ];
    let version = prop_oneof![
        6 => Just("HTTP/1.1"),
        1 => Just("HTTP/1.0"),
        1 => Just("HTTP/1.2"),
        1 => Just("http/1.1"),
    ];
    (method, target, version).prop_map(|(method, target, version)| {
        [method.as_bytes(), b" ", &target, b" ", version.as_bytes()].concat()
    })
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => ("[A-Za-z0-9_.-]{1,20}", "[ -~\\t]{0,30}").prop_map(|(n, v)| format!("{n}:{v}").into_bytes()),
        2 => Just(b"Host: a".to_vec()),
        1 => "(Content-Length|content-length): ?[0-9+, ]{0,5}".prop_map(String::into_bytes),
        1 => "Transfer-Encoding: ?(chunked|CHUNKED|gzip|chunked, chunked| chunked ?)".prop_map(String::into_bytes),
        1 => "Connection: ?(close|keep-alive|upgrade|close, x)".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ]
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    (line(), proptest::collection::vec(field(), 0..6)).prop_map(|(line, fields)| {
        let mut out = [&line[..], b"\r\nHost: a\r\n"].concat();
        for field in fields {
            out.extend_from_slice(&field);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    })
}

/// A whole request with a body of some kind, or a part of one.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(any::<u8>(), 0..30);
    let head = |fields: String| format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
    let length = body
        .clone()
        .prop_map(move |body| [head(format!("Content-Length: {}\r\n", body.len())), body].concat());
    let pieces = proptest::collection::vec((body, "(;[a-z=\" ]{0,9})?"), 0..4);
    let chunked = (pieces, "(X-T: [a-z]{0,4}\r\n){0,2}").prop_map(move |(pieces, trailers)| {
        let mut out = head("Transfer-Encoding: chunked\r\n".to_owned());
        for (data, extension) in pieces.iter().filter(|(data, _)| !data.is_empty()) {
            out.extend_from_slice(format!("{:x}{extension}\r\n", data.len()).as_bytes());
            out.extend_from_slice(data);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        out
    });
    let plain = prop_oneof![
        Just(b"GET /y HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        Just(b"\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        Just(b"GET /y HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec()),
        Just(b"GET /y HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n".to_vec()),
        Just(b"GET /y HTTP/1.0\r\n\r\n".to_vec()),
    ];
    prop_oneof![3 => length, 3 => chunked, 2 => plain]
}

/// A request as hyper's server reads it.
#[derive(Debug, Default)]
struct Read {
    method: String,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    whole: bool,
}

/// What hyper's server makes of some bytes, after which nothing comes.
fn as_hyper_reads(bytes: &[u8]) -> Vec<Read> {
    use http_body_util::BodyExt;
    use std::cell::RefCell;
    use std::rc::Rc;
    use tokio::io::AsyncWriteExt;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let found = Rc::new(RefCell::new(Vec::new()));
    runtime.block_on(async {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        ours.write_all(bytes).await.unwrap();
        let service =
            hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| {
                let fields = request.headers().iter();
                let fields = fields.map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec()));
                let mut read = Read {
                    method: request.method().to_string(),
                    target: request.uri().to_string(),
                    fields: fields.collect(),
                    ..Read::default()
                };
                let found = Rc::clone(&found);
                let mut body = request.into_body();
                async move {
                    read.whole = loop {
                        match body.frame().await {
                            None => break true,
                            Some(Err(_)) => break false,
                            Some(Ok(frame)) => {
                                read.body.extend(frame.data_ref().into_iter().flatten());
                            }
                        }
                    };
                    found.borrow_mut().push(read);
                    let response =
                        http::Response::new(http_body_util::Empty::<::bytes::Bytes>::new());
                    Ok::<_, std::convert::Infallible>(response)
                }
            });
        let io = hyper_util::rt::TokioIo::new(theirs);
        let serving = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(io, service);
        ours.shutdown().await.unwrap();
        drop(serving.await);
    });
    found.take()
}

/// Method, target and fields by a reading as plain as can be, of a head that passed.
fn as_we_read(bytes: &[u8]) -> (String, String, Vec<(String, Vec<u8>)>) {
    let mut lines = bytes
        .split(|b| *b == b'\n')
        .map(|l| &l[..l.len().saturating_sub(1)]);
    let first = lines.next().unwrap();
    let mut words = first.split(|b| *b == b' ');
    let mut word = || String::from_utf8(words.next().unwrap().to_vec()).unwrap();
    let (method, target) = (word(), word());
    let mut fields = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|b| *b == b':').unwrap();
        let name = String::from_utf8(line[..colon].to_ascii_lowercase()).unwrap();
        fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
    (method, target, fields)
}

/// `http::Uri` writes scheme and an empty path in its own way; only that is taken out.
fn plain(target: &str) -> String {
    match target.split_once("://") {
        None => target.to_owned(),
        Some((scheme, rest)) => {
            let scheme = scheme.to_ascii_lowercase();
            match rest.find(['/', '?']) {
                Some(at) if rest.as_bytes()[at] == b'?' => {
                    let (host, query) = rest.split_at(at);
                    format!("{scheme}://{host}/{query}")
                }
                Some(_) => format!("{scheme}://{rest}"),
                None => format!("{scheme}://{rest}/"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn hyper_reads_what_passed_as_it_was_written(head in head()) {
        let (passed, heads, _) = scan_all(&head);
        if heads == 0 {
            return Ok(());
        }
        let (method, target, mut fields) = as_we_read(&head[..passed]);
        let mut read = as_hyper_reads(&head[..passed]);
        prop_assert!(!read.is_empty(), "hyper takes it");
        let Read { method: read, target: uri, fields: mut named, .. } = read.remove(0);
        prop_assert_eq!(method, read);
        prop_assert_eq!(plain(&target), plain(&uri));
        // hyper's map keeps the order of equal names only.
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        named.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(fields, named);
    }

    #[test]
    fn hyper_finds_as_many_requests_as_passed_and_ends_each_where_it_ended(
        messages in proptest::collection::vec(message(), 1..4),
        bad in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let mut bytes = messages.concat();
        if let Some((at, byte)) = bad {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut scanner = Scanner::new(Bounds::default());
        let scan = scanner.scan(&bytes);
        let read = as_hyper_reads(&bytes[..scan.passed]);
        prop_assert_eq!(read.len(), usize::try_from(scan.heads).unwrap());
        let broken = read.iter().filter(|read| !read.whole).count();
        prop_assert_eq!(broken, usize::from(scanner.is_in_body()));
        prop_assert!(read.iter().rev().skip(1).all(|read| read.whole));
    }

    #[test]
    fn pieces_change_nothing(
        head in head(),
        body in proptest::collection::vec(any::<u8>(), 0..40),
        cuts in proptest::collection::vec(1usize..200, 0..6),
    ) {
        let bytes = [head, body].concat();
        let mut cuts = cuts;
        cuts.sort_unstable();
        let (passed, heads, rest) = scan_all(&bytes);
        let (pieces, again, told) = scan_in_pieces(&bytes, &cuts);
        prop_assert_eq!(heads, again);
        match (rest, told) {
            // A body's bytes before the bad one pass in either case.
            (Rest::Refused(a), Rest::Refused(b)) => prop_assert_eq!((passed, a), (pieces, b)),
            // A bad byte at the end of a piece may show only with the next line.
            (Rest::Refused(_), Rest::Partial) => {
                cuts.push(bytes.len());
                let told = scan_in_pieces(&[&bytes[..], b"\r\n"].concat(), &cuts).2;
                prop_assert!(matches!(told, Rest::Refused(_)), "{:?}", told);
            }
            (a, b) => prop_assert_eq!((passed, a), (pieces, b)),
        }
    }

    #[test]
    fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let scan = scan_all(&bytes);
        prop_assert!(scan.0 <= bytes.len());
        let _told = proxied(&bytes);
    }
}

#[test]
fn a_bad_version_is_refused_alike_wherever_it_is_cut() {
    for line in [
        &b"GET / \0 HTTP/1.1\r\n"[..],
        b"GET / HTTP\r/1.1\r\n",
        b"GET / HT\n\r\n\r\nrest",
        b"GET / HTTP/2.0\0\r\n",
        b"GET / HTTP/1.1x\r\n",
        b"GET / HTTP/3\r\n\r\n...",
    ] {
        let Rest::Refused(whole) = scan_all(line).2 else {
            panic!("{line:?} passed");
        };
        for cut in 1..line.len() {
            let told = scan_in_pieces(line, &[cut]).2;
            assert!(
                matches!(told, Rest::Refused(reason) if reason == whole),
                "{line:?} cut at {cut}: {told:?}, not {whole:?}"
            );
        }
    }
}

#[test]
fn a_proxy_header_says_who_the_client_is() {
    let client = |bytes: &[u8]| proxied(bytes).map(|p| p.map(|p| (p.len, p.client)));
    let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\nGET";
    let told = Some(Some("192.0.2.1:5000".parse().unwrap()));
    assert_eq!(client(line).unwrap().map(|p| p.1), told);
    assert_eq!(client(line).unwrap().unwrap().0, line.len() - 3);
    let six = b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n";
    assert_eq!(
        client(six).unwrap().unwrap().1,
        Some("[2001:db8::1]:1".parse().unwrap())
    );
    assert_eq!(client(b"PROXY UNKNOWN ffff\r\n"), Ok(Some((20, None))));
    for cut in 0..line.len() - 4 {
        assert_eq!(client(&line[..cut]), Ok(None), "{cut}");
    }
    for bad in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80 \r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 5000\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 05000 80\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"proxy tcp4",
        &[b'P'; 200],
        b"\x16\x03\x01",
    ] {
        assert_eq!(
            client(bad),
            Err(Malformed),
            "{:?}",
            String::from_utf8_lossy(bad)
        );
    }
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 120]].concat();
    assert_eq!(client(&long), Err(Malformed));
}

#[test]
fn a_proxy_block_says_who_the_client_is() {
    let block = |command: u8, family: u8, length: u16, body: &[u8]| {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        bytes.extend([command, family]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(body);
        bytes
    };
    let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x13, 0x88, 0, 80];
    let told = |bytes: &[u8]| proxied(bytes).map(|p| p.map(|p| (p.len, p.client)));
    let client = Some("192.0.2.1:5000".parse().unwrap());
    let whole = block(0x21, 0x11, 12, &four);
    assert_eq!(told(&whole), Ok(Some((28, client))));
    for cut in 0..whole.len() {
        assert_eq!(told(&whole[..cut]), Ok(None), "{cut}");
    }
    let noted = [&four[..], &[4, 0, 1, 0]].concat();
    assert_eq!(told(&block(0x21, 0x11, 16, &noted)), Ok(Some((32, client))));
    let mut six = [0u8; 36];
    six[15] = 1;
    six[33] = 7;
    let client = Some("[::1]:7".parse().unwrap());
    assert_eq!(told(&block(0x21, 0x21, 36, &six)), Ok(Some((52, client))));
    assert_eq!(
        told(&block(0x20, 0x00, 0, &[])),
        Ok(Some((16, None))),
        "LOCAL"
    );
    assert_eq!(told(&block(0x21, 0x00, 0, &[])), Ok(Some((16, None))));
    for (command, family, length) in [
        (0x11, 0x11, 12),
        (0x22, 0x11, 12),
        (0x21, 0x11, 11),
        (0x21, 0x21, 35),
        (0x21, 0x41, 12),
        (0x21, 0x31, 12),
        (0x21, 0x11, 4097),
    ] {
        let body = vec![0; usize::from(length)];
        assert_eq!(told(&block(command, family, length, &body)), Err(Malformed));
    }
}
