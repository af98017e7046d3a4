//! Requests by netlink.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sentry::fuzzing::netlink(bytes));
