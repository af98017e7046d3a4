//! Numbers in the values of options.

use crate::Errno;

/// The `u32` that is the word at `index` of a value.
///
/// # Errors
/// EINVAL.
pub(super) fn word(value: &[u8], index: usize) -> Result<u32, Errno> {
    let bytes = value.get(index * size_of::<u32>()..).and_then(|rest| rest.first_chunk());
    bytes.map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)
}
