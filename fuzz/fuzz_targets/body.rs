//! See `lampwire_sip::fuzzing::body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lampwire_sip::fuzzing::body(data));
