//! The numbers of file descriptors.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A file descriptor: the number by which a process names one of its open files. It may name none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub struct Fd(pub i32);

impl Fd {
    /// `AT_FDCWD`: where a directory is asked for, the working directory.
    pub const WORKING_DIRECTORY: Self = Self(linux_raw_sys::general::AT_FDCWD);

    /// What no table has: the file that an operation of a ring has been given (`man 7 io_uring`).
    pub(crate) const HELD: Self = Self(i32::MIN);

    /// Its place in a table of descriptors; `None` if it is negative.
    pub fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

impl fmt::Display for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
