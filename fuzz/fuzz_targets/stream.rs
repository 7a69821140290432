//! See `lampwire_sip::fuzzing::stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lampwire_sip::fuzzing::stream(data));
