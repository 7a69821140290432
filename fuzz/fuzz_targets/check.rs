//! See `lampwire_conf::fuzzing::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lampwire_conf::fuzzing::check(data));
