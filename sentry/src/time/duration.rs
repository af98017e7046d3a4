//! Linux's `timespec` and `timeval` as [`Duration`]s.

use std::time::Duration;

use crate::Errno;

const NANOSECONDS: i64 = 1_000_000_000;
const MICROSECONDS: i64 = 1_000_000;
/// Linux counts time in nanoseconds in 63 bits: what is longer is cut to this many seconds.
const MAX_SECONDS: i64 = i64::MAX / NANOSECONDS - 1;

/// The duration of a `struct timespec` (seconds, nanoseconds).
///
/// # Errors
/// EINVAL: negative, or not normal.
pub fn duration_from_timespec([seconds, nanoseconds]: [i64; 2]) -> Result<Duration, Errno> {
    if seconds < 0 || !(0..NANOSECONDS).contains(&nanoseconds) {
        return Err(Errno::EINVAL);
    }
    Ok(Duration::new(seconds.min(MAX_SECONDS) as u64, nanoseconds as u32))
}

/// The duration of a `struct timeval` (seconds, microseconds).
///
/// # Errors
/// EINVAL: negative, or not normal.
pub fn duration_from_timeval([seconds, microseconds]: [i64; 2]) -> Result<Duration, Errno> {
    if !(0..MICROSECONDS).contains(&microseconds) {
        return Err(Errno::EINVAL);
    }
    duration_from_timespec([seconds, microseconds * 1000])
}

/// A `struct timespec`.
pub fn timespec(duration: Duration) -> [i64; 2] {
    [duration.as_secs() as i64, i64::from(duration.subsec_nanos())]
}

/// A `struct timeval`; what is less than a microsecond is cut off.
pub fn timeval(duration: Duration) -> [i64; 2] {
    [duration.as_secs() as i64, i64::from(duration.subsec_micros())]
}

#[cfg(test)]
mod tests;
