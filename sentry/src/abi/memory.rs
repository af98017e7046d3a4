//! Structures about memory and what moves it (`linux/uio.h`).

use super::{same_layout, structures};

structures! {
    /// `struct iovec` (`man 3type iovec`).
    Iovec {
        iov_base: u64,
        iov_len: u64,
    }
}

same_layout! { Iovec, linux_raw_sys::general::iovec: iov_base iov_len }
