//! ext2, ext3 and ext4.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sentry::fuzzing::ext_image(bytes));
