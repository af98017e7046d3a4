//! System calls: the table, and one file of handlers a subject.
//!
//! A handler only decodes: it copies arguments in, calls the subsystem that does the work, and copies results
//! out. It reaches its task through the `&mut` that it is given and through nothing else.

mod acct;
mod aio;
mod allocate;
mod arguments;
mod attributes;
mod descriptor;
mod directory;
mod disk_control;
mod epoll;
mod eventfd;
mod fanotify;
mod fiemap;
mod file_attributes;
mod futex;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handle;
mod identity;
mod inotify;
mod io_uring;
mod ipc;
mod kcmp;
mod keys;
mod landlock;
mod lent;
mod lock;
mod lsm;
mod machine;
mod memory;
mod mount;
mod mqueue;
mod namespace;
mod numa;
mod open;
mod path;
mod perf_event;
mod pidfd;
mod pipe;
mod poll;
mod process;
mod ptrace;
mod quota;
mod readwrite;
mod resource;
mod restart;
mod rseq;
mod scheduling;
mod scope;
mod seccomp;
mod set_mm;
mod signal;
mod signalfd;
mod socket;
mod stat;
mod swap;
mod syslog;
mod system;
mod table;
mod time;
mod timerfd;
pub(crate) mod trace;
mod transfer;
mod user_buffers;
mod userfaultfd;
mod xattr;

use crate::Errno;
use crate::task::CurrentTask;

pub use syscalls::Sysno;
pub use table::Table;
pub use trace::Tracer;

/// A system call's handler: its task and the six argument registers, to the value for `rax`.
pub(crate) type Handler = fn(&mut CurrentTask, [u64; 6]) -> Result<usize, Errno>;
