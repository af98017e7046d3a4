//! Parts of buffers whose lengths the sentry itself keeps. One that is not there is a mistake of the sentry's, which must
//! show: as an empty part it would pass for the end of a file.

use std::panic::Location;

use crate::Errno;

/// The first `len` bytes of `bytes`.
///
/// # Errors
/// EIO, and a line in the log, if there are fewer. A debug build panics.
#[track_caller]
pub(crate) fn first(bytes: &[u8], len: usize) -> Result<&[u8], Errno> {
    let total = bytes.len();
    bytes.get(..len).ok_or_else(missing(len, total))
}

/// The first `len` bytes of `bytes`, to be changed.
///
/// # Errors
/// As [`first`].
#[track_caller]
pub(crate) fn first_mut(bytes: &mut [u8], len: usize) -> Result<&mut [u8], Errno> {
    let total = bytes.len();
    bytes.get_mut(..len).ok_or_else(missing(len, total))
}

/// `bytes` without the first `len`.
///
/// # Errors
/// As [`first`].
#[track_caller]
pub(crate) fn rest(bytes: &[u8], len: usize) -> Result<&[u8], Errno> {
    let total = bytes.len();
    bytes.get(len..).ok_or_else(missing(len, total))
}

/// `bytes` without the first `len`, to be changed.
///
/// # Errors
/// As [`first`].
#[track_caller]
pub(crate) fn rest_mut(bytes: &mut [u8], len: usize) -> Result<&mut [u8], Errno> {
    let total = bytes.len();
    bytes.get_mut(len..).ok_or_else(missing(len, total))
}

/// What tells of a part of `len` bytes that is not in `total`.
#[track_caller]
fn missing(len: usize, total: usize) -> impl FnOnce() -> Errno {
    let place = Location::caller();
    move || {
        log::error!("{place}: {len} bytes of a buffer of {total}");
        debug_assert!(len <= total, "{place}: {len} bytes of a buffer of {total}");
        Errno::EIO
    }
}

#[cfg(test)]
mod tests;
