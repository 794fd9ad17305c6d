//! What a pair costs a worker, and what a second of traffic costs the tick.

use criterion::BatchSize;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use std::hint::black_box;
use std::sync::Arc;
use supplant::evidence::Delta;
use supplant::evidence::Discord;
use supplant::evidence::Evidence;
use supplant::evidence::PairSeen;
use supplant::evidence::PairVerdict;
use supplant::evidence::TripleSeen;
use supplant::evidence::Versions;
use supplant::model::FieldKey;
use supplant::model::Kind;
use supplant::model::PairId;
use supplant::model::SliceId;
use supplant::model::UnixMillis;

fn pair(i: u64, endpoint: &Arc<str>, verdict: PairVerdict) -> PairSeen {
    PairSeen {
        example: Some(PairId(i)),
        at: UnixMillis(1_000),
        endpoint: Arc::clone(endpoint),
        status: (200, 200),
        versions: Versions::unknown(1),
        verdict,
    }
}

/// A second of 1,000 pairs on 20 endpoints, of which a tenth differ, and 50 triples.
fn second(slice: &SliceId) -> Delta {
    let mut delta = Delta::default();
    let keys: Vec<FieldKey> = (0..8)
        .map(|k| FieldKey::new(format!("$.field{k}"), Kind::Value))
        .collect();
    for i in 0..1_000u64 {
        let endpoint: Arc<str> = format!("GET /orders/part{}/{{}}", i % 20).into();
        let place = usize::try_from(i / 10 % 8).expect("a small number");
        let verdict = if i % 10 == 0 {
            PairVerdict::Differs(keys[place..].to_vec())
        } else {
            PairVerdict::Equal
        };
        delta.pair(slice, pair(i, &endpoint, verdict));
        if i % 20 == 0 {
            let triple = TripleSeen {
                at: UnixMillis(1_000),
                endpoint,
                versions: Versions::unknown(1),
                legacy_again: Versions::UNKNOWN.into(),
                discord: keys.iter().map(|k| (k.clone(), Discord::Both)).collect(),
            };
            delta.triple(slice, triple);
        }
    }
    delta
}

fn costs(c: &mut Criterion) {
    let slice = SliceId::new("orders");
    let endpoint: Arc<str> = "GET /orders/{}".into();
    let mut delta = Delta::default();
    c.bench_function("evidence/pair", |b| {
        b.iter(|| delta.pair(&slice, pair(1, &endpoint, PairVerdict::Equal)));
    });
    let mut evidence = Evidence::new(0.999, 1, UnixMillis(0));
    c.bench_function("evidence/absorb 1000 pairs", |b| {
        let make = || second(&slice);
        let absorb = |delta: Delta| {
            for (_, delta) in delta.slices() {
                evidence.absorb(delta, UnixMillis(1_000));
            }
        };
        b.iter_batched(make, absorb, BatchSize::SmallInput);
    });
    let known = evidence.known();
    let key = FieldKey::new("$.field3", Kind::Value);
    c.bench_function("evidence/known endpoint", |b| {
        b.iter(|| known.endpoint(black_box("GET"), black_box("/orders/part3/4711")));
    });
    c.bench_function("evidence/known is_noisy", |b| {
        b.iter(|| known.is_noisy(black_box("GET /orders/part3/{}"), black_box(&key)));
    });
    c.bench_function("evidence/summary and save", |b| {
        b.iter(|| (evidence.summary(UnixMillis(1_000)), evidence.save()));
    });
}

criterion_group!(benches, costs);
criterion_main!(benches);
