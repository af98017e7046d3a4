//! Control messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sentry::fuzzing::control_messages(bytes));
