//! What comparing a pair costs.
//!
//! Expected, on one core of a small virtual machine:
//! - equal 10 KiB bodies: a `memcmp` and the header fields, under 1 µs;
//! - 10 KiB of JSON that differs in one field: both texts are read once, the part that differs
//!   twice, at most 60 µs;
//! - 1 MiB of JSON that differs in one field: the same for each byte, at most 6 ms;
//! - 100,000 shuffled members: hashed and sorted once, within the budget of five million steps.

use bytes::Bytes;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use http::HeaderMap;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use std::fmt::Write;
use std::hint::black_box;
use supplant::compare::Answer;
use supplant::compare::CapturedBody;
use supplant::compare::Comparator;
use supplant::compare::Compared;
use supplant::compare::compare;

fn answer(body: String) -> Answer {
    let json = HeaderValue::from_static("application/json");
    Answer {
        status: 200,
        headers: HeaderMap::from_iter([(CONTENT_TYPE, json)]),
        body: CapturedBody::Whole(Bytes::from(body)),
        trailers: None,
    }
}

/// Orders as an application lists them, of about `len` bytes; `wrong` changes one price.
fn orders(len: usize, wrong: bool) -> Answer {
    let mut body = String::from("{\"page\":1,\"items\":[");
    let mut i = 0;
    while body.len() < len {
        let comma = if i == 0 { "" } else { "," };
        let price = 1_000 + i * 7;
        let written = write!(
            body,
            "{comma}{{\"id\":{i},\"sku\":\"SKU-{i:06}\",\"name\":\"A thing with a name, number {i}\",\
             \"price\":{price}.50,\"tags\":[\"new\",\"blue\"],\"stock\":{{\"berlin\":{i},\"oslo\":0}},\"active\":true}}"
        );
        written.expect("writing to a string cannot fail");
        i += 1;
    }
    body.push_str("],\"total\":17}");
    if wrong {
        let middle = body.len() / 2;
        let at = body.get(middle..).and_then(|rest| rest.find(".50"));
        let at = middle + at.expect("there are prices in the second half");
        body.replace_range(at..at + 3, ".51");
    }
    answer(body)
}

fn pair(c: &mut Criterion, name: &str, legacy: &Answer, candidate: &Answer) {
    let comparator = Comparator::default();
    c.bench_function(name, |b| {
        b.iter(|| compare(&comparator, black_box(legacy), black_box(candidate), &[]));
    });
}

fn run(c: &mut Criterion) {
    pair(
        c,
        "equal 10 KiB",
        &orders(10 << 10, false),
        &orders(10 << 10, false),
    );
    pair(
        c,
        "one field in 10 KiB",
        &orders(10 << 10, false),
        &orders(10 << 10, true),
    );
    pair(
        c,
        "one field in 1 MiB",
        &orders(1 << 20, false),
        &orders(1 << 20, true),
    );

    let list = |step: u64| {
        let members: Vec<String> = (0..100_000)
            .map(|i| (i * step % 100_003).to_string())
            .collect();
        answer(format!("[{}]", members.join(",")))
    };
    // Nearly the same numbers in another order, so that each index differs.
    let (legacy, candidate) = (list(1), list(7));
    let compared = compare(&Comparator::default(), &legacy, &candidate, &[]);
    assert!(
        matches!(compared, Compared::Differs(_)),
        "the budget must suffice"
    );
    pair(c, "100,000 other members", &legacy, &candidate);
    let mut members: Vec<String> = (0..100_000).map(|i| i.to_string()).collect();
    let sorted = answer(format!("[{}]", members.join(",")));
    members.sort_by_key(|member| member.chars().rev().collect::<String>());
    let shuffled = answer(format!("[{}]", members.join(",")));
    let compared = compare(&Comparator::default(), &sorted, &shuffled, &[]);
    assert_eq!(
        compared.differences().len(),
        1,
        "one difference of kind `order`"
    );
    pair(c, "100,000 shuffled members", &sorted, &shuffled);
}

criterion_group!(benches, run);
criterion_main!(benches);
