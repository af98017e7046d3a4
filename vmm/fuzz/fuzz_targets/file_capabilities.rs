//! The attribute security.capability.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sentry::fuzzing::file_capabilities(bytes));
