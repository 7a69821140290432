//! See `lampwire_bus::fuzzing::bus`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lampwire_bus::fuzzing::bus(data));
