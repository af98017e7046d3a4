//! The identifiers of the task room.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes};

macro_rules! serial_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
            pub struct $name(pub(super) u64);
        )*
    };
}

serial_ids! {
    /// A task, for as long as the sandbox lives: never given twice, unlike a [`Tid`].
    TaskId;
    /// A thread group (a process), likewise.
    GroupId;
    /// A PID namespace, likewise.
    NamespaceId;
}

impl NamespaceId {
    /// The namespace that all others are in.
    pub const ROOT: Self = Self(0);
}

/// A number by which user code names a task, a process, a process group or a session in one PID namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub struct Tid(pub i32);

impl Tid {
    /// The first task of a PID namespace.
    pub const INIT: Self = Self(1);
    /// The largest number that is given out (Linux's default `kernel.pid_max` on a large machine, halved).
    pub const MAX: Self = Self(65_536);
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
