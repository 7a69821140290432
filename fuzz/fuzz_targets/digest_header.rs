//! See `lampwire_sip::fuzzing::digest_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lampwire_sip::fuzzing::digest_header(data));
