//! Options of the socket level, SOL_SOCKET (`man 7 socket`): decoded, checked and told as Linux does, for all families.

mod get;
mod set;
mod time;

pub use get::get;
pub use set::set;
pub(super) use time::tell_arrival;

use crate::Errno;

/// The `int` that an option's value begins with.
///
/// # Errors
/// EINVAL if it is shorter.
pub fn int(value: &[u8]) -> Result<i32, Errno> {
    value.first_chunk().map(|word| i32::from_ne_bytes(*word)).ok_or(Errno::EINVAL)
}
