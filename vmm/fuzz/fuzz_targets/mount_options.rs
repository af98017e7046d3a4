//! Options of mounts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sentry::fuzzing::mount_options(bytes));
