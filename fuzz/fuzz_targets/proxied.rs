#![no_main]

#[path = "../../tests/it/seeds/targets.rs"]
#[allow(dead_code, reason = "each binary runs one of them")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::proxied(data));
