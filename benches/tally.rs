//! What counting costs on the path of a request.
//!
//! Expected: a request that is opened and ended is three relaxed additions and a reference count,
//! well under 30 ns; a gate is one compare-and-swap, under 20 ns. More would show in every request.

use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use std::hint::black_box;
use std::sync::Arc;
use supplant::model::Outcome;
use supplant::table::Gate;
use supplant::table::Tally;
use tokio::time::Instant;

fn counting(c: &mut Criterion) {
    let tally = Arc::new(Tally::default());
    c.bench_function("tally/open and end", |b| {
        b.iter(|| black_box(&tally).open().end(Outcome::Match));
    });
    c.bench_function("tally/ended at the head", |b| {
        b.iter(|| black_box(&tally).ended(Outcome::UnsafeMethod));
    });
    c.bench_function("tally/read", |b| b.iter(|| black_box(&tally).read()));
}

fn gates(c: &mut Criterion) {
    let now = Instant::now();
    let gate = Gate::new(now);
    c.bench_function("gate/full", |b| b.iter(|| gate.pass(black_box(now), 50)));
    let open = Gate::new(now);
    let mut moving = now;
    c.bench_function("gate/open", |b| {
        b.iter(|| {
            moving += std::time::Duration::from_millis(20);
            open.pass(black_box(moving), 50)
        });
    });
}

criterion_group!(benches, counting, gates);
criterion_main!(benches);
