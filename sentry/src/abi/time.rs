//! Structures about time (`linux/time.h`, `linux/timex.h`).

use super::{same_layout, structures};

/// `struct timespec`: seconds, nanoseconds (`man 3type timespec`). A `struct itimerspec` is two, the interval first.
pub(crate) type Timespec = [i64; 2];
/// `struct timeval`: seconds, microseconds (`man 3type timeval`). A `struct itimerval` is two, the interval first.
pub(crate) type Timeval = [i64; 2];

structures! {
    /// `struct timex` (`man 2 adjtimex`).
    Timex {
        modes: u32,
        padding: u32,
        offset: i64,
        freq: i64,
        maxerror: i64,
        esterror: i64,
        status: i32,
        status_padding: u32,
        constant: i64,
        precision: i64,
        tolerance: i64,
        time: Timeval,
        tick: i64,
        ppsfreq: i64,
        jitter: i64,
        shift: i32,
        shift_padding: u32,
        stabil: i64,
        jitcnt: i64,
        calcnt: i64,
        errcnt: i64,
        stbcnt: i64,
        tai: i32,
        unused: [u32; 11],
    }
}

same_layout! {
    Timex, libc::timex:
    modes offset freq maxerror esterror status constant precision tolerance time tick ppsfreq jitter shift stabil jitcnt
    calcnt errcnt stbcnt tai
}
