//! See `lampwire_core::fuzzing::cluster`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lampwire_core::fuzzing::cluster(data));
