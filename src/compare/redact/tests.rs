use super::*;
use crate::compare::tests::headers;
use crate::compare::tests::json_answer;
use proptest::prelude::*;

fn key() -> RedactKey {
    RedactKey::new([7; 32])
}

/// Secrets that must not be seen wherever they stand; put together here, so that no scanner of
/// sources takes them for real ones.
fn secrets() -> Vec<String> {
    let random = "aB3dE6gH9jK2mN5pQ8sT1v";
    vec![
        "ada.lovelace+x@mail.example.org".to_owned(),
        "ädä@exämple.org".to_owned(),
        "4111111111111111".to_owned(),
        "4111 1111 1111 1111".to_owned(),
        "5500-0000-0000-0004".to_owned(),
        "378282246310005".to_owned(),
        "DE89370400440532013000".to_owned(),
        "GB29 NWBK 6016 1331 9268 19".to_owned(),
        format!(
            "ey{}.{}.{random}",
            "JhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0"
        ),
        format!("sk_{}_{random}", "live"),
        format!("gh{}_{random}1234", "p"),
        format!("AKI{}", "AIOSFODNN7EXAMPLE"),
        format!("xox{}-123456789012-{random}", "b"),
        random.to_owned(),
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        "dGhpcyBpcyBhIHNlY3JldCB0b2tlbg==".to_owned(),
    ]
}

/// Values that are nobody's secret and must stay readable.
const PLAIN: [&str; 14] = [
    "hello world",
    "2026-11-24T21:52:22.005Z",
    "1795557142005",
    "6f1e4c2a-8a44-4c55-9d6b-2f1f0f7c9a11",
    "Product-Page-2026-Summer-Sale",
    "getUserAccountBalanceForCustomer",
    "/api/v1/orders/list",
    "text/html; charset=utf-8",
    "12345678901234567890",
    "https://example.org/a/b?c",
    "ORD-2026-000123",
    "+49 30 1234567",
    "3.141592653589793",
    "user @ home",
];

#[test]
fn no_secret_is_seen_in_a_string_a_name_a_text_a_path_or_a_header() {
    for secret in secrets() {
        let quoted = serde_json::Value::from(secret.as_str());
        let hidden = |what: &str, text: &str| {
            assert!(!text.contains(&secret), "{what}: {secret}: {text}");
            assert!(text.contains("«token "), "{what}: {secret}: {text}");
        };
        let json = format!("{{\"a\":[\"x {secret} y\",{quoted}]}}");
        let view = body_view(&json_answer(json), &key());
        assert_eq!(view.kind, BodyKind::Json);
        hidden("string", &view.text);
        if !secret.contains(' ') {
            hidden(
                "name",
                &body_view(&json_answer(format!("{{{quoted}:1}}")), &key()).text,
            );
            hidden("path", &target_view(&format!("/a/{secret}/b"), &key()));
        }
        let mut text = json_answer(format!("<p>{secret}</p>"));
        text.headers.clear();
        hidden("text", &body_view(&text, &key()).text);
        hidden("query", &target_view(&format!("/a?q={secret}"), &key()));
        if secret.is_ascii() {
            for name in [
                "x-any",
                "cookie",
                "host",
                "authorization",
                "set-cookie",
                "location",
            ] {
                let value = match name {
                    "cookie" | "set-cookie" => format!("a={secret}"),
                    "location" => format!("https://example.org/?t={secret}"),
                    _ => secret.clone(),
                };
                let fields = headers(&[(name.to_owned(), value)]);
                hidden(name, &headers_view(&fields, &key())[0].1);
            }
        }
    }
}

#[test]
fn what_is_no_secret_is_shown_as_sent() {
    for plain in PLAIN {
        assert_eq!(scrub(plain, &key()), plain);
    }
}

#[test]
fn values_behind_a_name_that_says_so_are_hidden_whatever_they_are() {
    let json = r#"{"user":{"password":"hunter2","pin":1234,"has":true},"tokens":["a1","b2"],"credentials":{"x":{"y":"z9"}},"token_type":"bearer","secret":null,"ok":"seen"}"#;
    let text = body_view(&json_answer(json), &key()).text;
    for hidden in ["hunter2", "1234", "a1", "b2", "z9"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    for shown in [
        "\"has\": true",
        "\"token_type\": \"bearer\"",
        "\"secret\": null",
        "\"ok\": \"seen\"",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    for (text, shown) in [
        ("a=1&password=hunter2&b=2", "a=1&password=«»&b=2"),
        (
            "{'api_key': 'hunter2', 'b': 2}",
            "{'api_key': '«»', 'b': 2}",
        ),
        ("<password>hunter2</password>", "<password>«»</password>"),
        (
            "Authorization: Bearer hunter2\r\nHost: a",
            "Authorization: «»\r\nHost: a",
        ),
        ("use Bearer hunter2 now", "use Bearer «» now"),
        ("ftp://ada:hunter2@localhost/x", "ftp://«»@localhost/x"),
    ] {
        let scrubbed = scrub(text, &key()).into_owned();
        let (start, rest) = scrubbed.split_once("«token ").unwrap();
        let (_, end) = rest.split_once('»').unwrap();
        assert_eq!(format!("{start}«»{end}"), shown);
    }
}

#[test]
fn a_target_keeps_its_form_and_hides_ids_and_values() {
    let shape = |target: &str| {
        let mut text = target_view(target, &key());
        while let Some((start, rest)) = text.split_once("«token ") {
            text = format!("{start}*{}", rest.split_once('»').unwrap().1);
        }
        text
    };
    assert_eq!(
        shape("/orders/17/items?page=2&q=&flag"),
        "/orders/*/items?page=*&q=&flag"
    );
    assert_eq!(shape("/u/ada%40example.org"), "/u/*");
    assert_eq!(shape("/u/6f1e4c2a-8a44-4c55-9d6b-2f1f0f7c9a11"), "/u/*");
    assert_eq!(shape("/"), "/");
    assert_eq!(target_view("/a?x=1", &key()), target_view("/a?x=1", &key()));
    assert_ne!(target_view("/a?x=1", &key()), target_view("/a?x=2", &key()));
}

#[test]
fn header_values_outside_the_allow_list_are_tokens() {
    let fields = [
        ("content-type", "text/html"),
        ("authorization", "Bearer abc"),
        ("x-tenant", "acme"),
        ("set-cookie", "sid=abc; Path=/; HttpOnly"),
        ("cookie", "a=1; b=2"),
        ("location", "https://u:p@example.org/orders/17?x=1"),
    ]
    .map(|(n, v)| (n.to_owned(), v.to_owned()));
    let shown: Vec<String> = headers_view(&headers(&fields), &key())
        .into_iter()
        .map(|(_, value)| {
            value
                .split("«token ")
                .enumerate()
                .map(|(i, part)| {
                    if i == 0 {
                        part
                    } else {
                        part.split_once('»').unwrap().1
                    }
                })
                .collect::<Vec<_>>()
                .join("*")
        })
        .collect();
    assert_eq!(
        shown,
        [
            "text/html",
            "Bearer *",
            "*",
            "sid=*; Path=/; HttpOnly",
            "a=*; b=*",
            "https://example.org/orders/*?x=*"
        ]
    );
}

#[test]
fn json_is_indented_in_the_order_sent_and_long_strings_are_cut() {
    let view = body_view(&json_answer(r#"{"b":[1,{}],"a":[],"c":1.50}"#), &key());
    let lines = "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": [],\n  \"c\": 1.50\n}";
    assert_eq!(
        (view.text.as_str(), view.truncated, view.bytes),
        (lines, false, 28)
    );
    let long = format!("{{\"a\":\"{}\"}}", "ab ".repeat(1_000));
    let view = body_view(&json_answer(long), &key());
    assert!(
        view.text.len() < 300 && view.text.contains("…\""),
        "{}",
        view.text
    );
    let many = format!("[{}0]", "1,".repeat(60_000));
    let view = body_view(&json_answer(many), &key());
    assert!(view.truncated && view.text.len() < 66_000);
}

#[test]
fn bodies_that_are_no_text_are_named_by_their_length() {
    let mut answer = json_answer(vec![0xff, 0xd8, 0, 1]);
    assert!(
        body_view(&answer, &key())
            .text
            .starts_with("4 bytes, «token ")
    );
    answer.body = CapturedBody::TooLarge {
        len: 9,
        complete: false,
    };
    assert_eq!(
        body_view(&answer, &key()).text,
        "more than 9 bytes, over the limit and not kept"
    );
    answer.body = CapturedBody::Absent;
    assert_eq!(body_view(&answer, &key()).kind, BodyKind::Bytes);
}

#[test]
fn a_difference_shows_no_secret_and_where_long_texts_part() {
    let shown = |a: &str, b: &str| {
        let (a, b) = (json_answer(a.to_owned()), json_answer(b.to_owned()));
        let compared = crate::compare::compare(&crate::compare::Comparator::default(), &a, &b, &[]);
        compared.differences()[0].shown(&key()).unwrap()
    };
    let secret = shown(r#"{"password":"one"}"#, r#"{"password":"two"}"#);
    assert!(
        secret.legacy.starts_with("\"«token ") && secret.legacy != secret.candidate,
        "{secret:?}"
    );
    let within = shown(r#"{"u":{"token":"one","n":[1]}}"#, "{}");
    assert!(
        within.legacy.contains("\"n\": [1]") && !within.legacy.contains("one"),
        "{within:?}"
    );
    assert_eq!(within.candidate, "");
    let start = "word ".repeat(100);
    let long = shown(
        &format!("{{\"t\":\"{start}one\"}}"),
        &format!("{{\"t\":\"{start}two\"}}"),
    );
    assert!(
        long.legacy.starts_with('…') && long.legacy.ends_with("one"),
        "{long:?}"
    );
    let debug = format!(
        "{:?}",
        crate::compare::Sample {
            place: "$.a".to_owned(),
            legacy: Raw::Plain("hunter2".to_owned()),
            candidate: Raw::Nothing,
        }
    );
    assert!(!debug.contains("hunter2"));
}

proptest! {
    #[test]
    fn any_text_is_scrubbed_without_panic_and_at_any_place(text: String, from in 0usize..64) {
        scrub_from(&text, from, 256, &key());
        target_view(&text, &key());
        looks_secret(&text);
    }

    #[test]
    fn texts_of_the_bytes_that_matter_are_scrubbed(text in "[@.=: %40eyJA-Z0-9a-c«é/\"'<>-]{0,60}", from in 0usize..64) {
        scrub_from(&text, from, 256, &key());
        target_view(&text, &key());
    }

    #[test]
    fn a_cut_text_fits(text: String, max in 3usize..40) {
        prop_assert!(cut(&text, max).len() <= max);
    }
}
