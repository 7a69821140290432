//! See `lampwire_core::fuzzing::node`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lampwire_core::fuzzing::node(data));
