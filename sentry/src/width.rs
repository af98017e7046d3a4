//! Lengths and addresses as numbers: a `usize` is 64 bits wide wherever the sentry runs, so that it and a `u64` become each other
//! without loss.

const _: () = assert!(usize::BITS == u64::BITS);

/// The same number.
pub(crate) const fn u64_from(number: usize) -> u64 {
    number as u64
}

/// The same number.
pub(crate) fn usize_from(number: impl Into<u64>) -> usize {
    number.into() as usize
}
