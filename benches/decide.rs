//! What deciding costs: the walk from a head to who serves and what is mirrored.
//!
//! Expected: below 0.5 µs with 50 slices, most of it looking for fields of the head; and no more
//! with 10,000, since the path is walked once through a tree of its host. Loading 10,000 slices is
//! reading and compiling together.

use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use std::fmt::Write as _;
use std::hint::black_box;
use supplant::model::Head;
use supplant::rules;

/// Writes hosts, prefixes, captures, exact paths with methods, a tenant header and two canaries.
fn rules_of(slices: usize) -> String {
    let mut out = String::from(
        "legacy: http://127.0.0.1:1\nbackends: { new: \"http://127.0.0.1:2\" }\ntenant: { from: [\"header:X-Tenant\"] }\ndefaults: { shadow: { sample: 100%, rate: none, max_inflight: 512 }, compare: { control: 0% } }\nslices:\n",
    );
    let hosts = if slices <= 50 { 4 } else { 100 };
    let mut add = |name: String, matches: String, stage: &str, more: &str| {
        writeln!(
            out,
            "  - {{ name: {name}, match: {matches}, to: new, stage: {stage}{more} }}"
        )
        .expect("a string takes it");
    };
    for i in 0..slices - 1 {
        if i == 39 {
            add(
                "measured".into(),
                "[{ path: /small }, { path: \"/{file}\" }]".into(),
                "shadow",
                "",
            );
        }
        if i == 10 || i == 20 {
            add(
                format!("s{i}"),
                format!("/canary{i}"),
                "canary",
                ", ramp: { by: tenant, percent: 10% }",
            );
            continue;
        }
        let host = format!("host: \"h{}.example.com\", ", i % hosts);
        let matches = match i % 3 {
            0 => format!("{{ {host}path_prefix: /area{i}/part }}"),
            1 => format!("{{ {host}path: \"/things{i}/{{id}}/state\" }}"),
            _ => format!("{{ {host}path: /exact/{i}, methods: [GET] }}"),
        };
        add(
            format!("s{i}"),
            matches,
            if i % 2 == 1 { "shadow" } else { "legacy" },
            "",
        );
    }
    out
}

fn fields() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "h1.example.com"),
        ("user-agent", "bench/1"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, br"),
        ("cookie", "uid=42; theme=dark"),
        ("x-tenant", "acme"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn decide(criterion: &mut Criterion) {
    let headers = fields();
    for slices in [50, 10_000] {
        let text = rules_of(slices);
        let Ok(loaded) = rules::load("routes.yaml", &text) else {
            return;
        };
        let mut group = criterion.benchmark_group(format!("decide/{slices}"));
        for (name, host, path) in [
            ("whole", "127.0.0.1:8080", "/small"),
            ("capture", "h1.example.com", "/things1/4711/state"),
            ("prefix", "h3.example.com", "/area3/part/of/it/7"),
            ("canary", "127.0.0.1:8080", "/canary10/x"),
            ("unmatched", "h9.example.com", "/no/such/path"),
            (
                "not canonical",
                "h1.example.com",
                "/x/../things1/%34711/state",
            ),
        ] {
            let head = Head {
                method: &Method::GET,
                path,
                query: Some("page=2"),
                host: Some(host),
                headers: &headers,
            };
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| rules::decide(&loaded.snapshot, black_box(&head), black_box(7), &mut ()));
            });
        }
        group.finish();
    }
}

fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(20);
    for slices in [50, 10_000] {
        let text = rules_of(slices);
        group.bench_function(BenchmarkId::from_parameter(slices), |b| {
            b.iter(|| rules::load("routes.yaml", black_box(&text)).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, decide, load);
criterion_main!(benches);
