//! Structures about memory and what moves it (`linux/uio.h`).

use super::{same_layout, structures};

structures! {
    /// `struct iovec` (`man 3type iovec`).
    Iovec {
        iov_base: u64,
        iov_len: u64,
    }

    /// `struct cachestat_range` (linux/mman.h): bytes of a file; no length is to its end.
    CachestatRange {
        off: u64,
        len: u64,
    }

    /// `struct cachestat` (linux/mman.h), in pages.
    Cachestat {
        nr_cache: u64,
        nr_dirty: u64,
        nr_writeback: u64,
        nr_evicted: u64,
        nr_recently_evicted: u64,
    }
}

same_layout! { Iovec, linux_raw_sys::general::iovec: iov_base iov_len }
same_layout! { CachestatRange, linux_raw_sys::general::cachestat_range: off len }
same_layout! {
    Cachestat, linux_raw_sys::general::cachestat:
    nr_cache nr_dirty nr_writeback nr_evicted nr_recently_evicted
}
