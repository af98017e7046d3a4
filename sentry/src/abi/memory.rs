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

    /// `struct procmap_query` (linux/fs.h): which mapping is asked for, and what it is.
    ProcmapQuery {
        size: u64,
        query_flags: u64,
        query_addr: u64,
        vma_start: u64,
        vma_end: u64,
        vma_flags: u64,
        vma_page_size: u64,
        vma_offset: u64,
        inode: u64,
        dev_major: u32,
        dev_minor: u32,
        vma_name_size: u32,
        build_id_size: u32,
        vma_name_addr: u64,
        build_id_addr: u64,
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
same_layout! {
    ProcmapQuery, linux_raw_sys::io_uring::procmap_query:
    size query_flags query_addr vma_start vma_end vma_flags vma_page_size vma_offset inode dev_major dev_minor
    vma_name_size build_id_size vma_name_addr build_id_addr
}
same_layout! { CachestatRange, linux_raw_sys::general::cachestat_range: off len }
same_layout! {
    Cachestat, linux_raw_sys::general::cachestat:
    nr_cache nr_dirty nr_writeback nr_evicted nr_recently_evicted
}
