//! What is asked of the broker.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vmm::fuzzing::broker_request(bytes));
