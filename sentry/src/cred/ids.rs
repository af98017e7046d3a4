//! Ids of users and groups, before and after a user namespace: what a system call is given and shows is one thing, what the kernel
//! keeps and compares is another, and only a namespace turns the one into the other.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A user as some user namespace numbers them: what system calls and files take and show (Linux's `uid_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Uid(pub u32);

/// A group as some user namespace numbers it (Linux's `gid_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Gid(pub u32);

/// A user as the kernel itself numbers them, which is how the initial user namespace does (Linux's `kuid_t`). Only these can be
/// compared with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelUid(pub u32);

/// A group as the kernel itself numbers it (Linux's `kgid_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelGid(pub u32);

impl Uid {
    /// Root of its namespace.
    pub const ROOT: Self = Self(0);
    /// What a user is shown as whom the namespace does not map (/proc/sys/kernel/overflowuid).
    pub const OVERFLOW: Self = Self(super::OVERFLOW_ID);
}

impl Gid {
    /// The group 0 of its namespace.
    pub const ROOT: Self = Self(0);
    /// What a group is shown as that the namespace does not map (/proc/sys/kernel/overflowgid).
    pub const OVERFLOW: Self = Self(super::OVERFLOW_ID);
}

impl KernelUid {
    /// Root of the initial namespace.
    pub const ROOT: Self = Self(0);
    /// Nobody (Linux's `INVALID_UID`).
    pub const INVALID: Self = Self(u32::MAX);
}

impl KernelGid {
    /// The group 0 of the initial namespace.
    pub const ROOT: Self = Self(0);
    /// No group (Linux's `INVALID_GID`).
    pub const INVALID: Self = Self(u32::MAX);
}

impl fmt::Display for Uid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
