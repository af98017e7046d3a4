//! What is said to and by a running sandbox.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vmm::fuzzing::control_request(bytes));
