//! What a look at a raw request costs.

use criterion::BatchSize;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use std::hint::black_box;
use supplant::proxy::scan::Bounds;
use supplant::proxy::scan::Scanner;

const SMALL: &[u8] =
    b"GET /api/items/42 HTTP/1.1\r\nHost: app.example\r\nUser-Agent: wrk\r\nAccept: */*\r\n\r\n";
const BROWSER: &[u8] = b"GET /api/items/42?page=2&sort=name HTTP/1.1\r\nHost: app.example\r\nConnection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1\r\n\r\n";

fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan");
    for (name, head) in [("small", SMALL), ("browser", BROWSER)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        let mut scanner = Scanner::new(Bounds::default());
        group.bench_function(name, |b| {
            b.iter(|| {
                let scan = scanner.scan(black_box(head));
                assert_eq!(scan.passed, head.len());
            });
        });
    }
    let chunk = [b"4000\r\n", &[b'x'; 0x4000][..], b"\r\n"].concat();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    group.throughput(Throughput::Bytes(chunk.len() as u64));
    group.bench_function("chunk of 16 KiB", |b| {
        b.iter_batched_ref(
            || {
                let mut scanner = Scanner::new(Bounds::default());
                scanner.scan(head);
                scanner
            },
            |scanner| assert_eq!(scanner.scan(black_box(&chunk)).passed, chunk.len()),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, heads);
criterion_main!(benches);
