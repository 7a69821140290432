//! See `lampwire_conf::fuzzing::configuration`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lampwire_conf::fuzzing::configuration(data));
