//! Filters of system calls (`man 2 seccomp`).
//!
//! A [`Filter`] is a [`Program`](crate::bpf::Program) in front of the filters that were installed before it. A task has one, the newest; the
//! tasks that it makes share it. A system call is shown to all of them, newest first, and the strictest answer counts.
//! What that answer does to the task is `task`'s business: this room knows programs, chains and listeners.
//!
//! Locks: a listener's own, with no other taken under it.

mod filter;
mod listener;
#[cfg(test)]
mod tests;

pub(crate) use filter::{Action, Filter, FilterFlags, Verdict};
pub(crate) use listener::{Addition, Answer, Listener, ListenerFile, Step};

/// `AUDIT_ARCH_X86_64` (`linux/audit.h`): the only architecture whose calls there are.
pub(crate) const ARCHITECTURE: u32 = 0xc000_003e;
