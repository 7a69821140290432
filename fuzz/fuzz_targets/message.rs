//! See `lampwire_sip::fuzzing::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lampwire_sip::fuzzing::message(data));
