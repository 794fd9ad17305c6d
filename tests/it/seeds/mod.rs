//! The seeds of the fuzzer, as a plain test: what must hold for any bytes holds for these.

mod targets;

use std::fs;
use std::path::Path;

#[test]
fn what_must_hold_for_any_bytes_holds_for_the_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/seeds");
    let mut runs = 0;
    for (name, target) in [
        ("head", targets::head as fn(&[u8])),
        ("chunked", targets::chunked),
        ("proxied", targets::proxied),
        ("forwarded", targets::forwarded),
    ] {
        for entry in fs::read_dir(seeds.join(name)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            for end in 0..=bytes.len() {
                target(&bytes[..end]);
                runs += 1;
            }
        }
    }
    assert!(runs > 500, "{runs}");
}
