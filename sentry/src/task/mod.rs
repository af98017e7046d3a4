//! Tasks: creation, execution, and everything that happens to them until they are reaped.
//!
//! A task is one host thread. What only that thread touches is a [`CurrentTask`], which it owns; what others may
//! see is an `Arc<Task>`. Relations (parents, process groups, numbers) are in the [`TaskSet`]'s tree.
//!
//! # Lock order
//!
//! Outer before inner; two locks of one line are never held together.
//!
//! 1. the lock of signals to several processes (`TaskSet::broadcast`), then the task set's tree (`TaskSet::tree`)
//! 2. a thread group's state (`ThreadGroup::state`)
//! 3. a task's signals (`Task::signals`), a group's signal actions, what the tasks of a group leave with a core dump
//! 4. the state of the control groups ([`Hierarchy`](crate::cgroup::Hierarchy))
//! 5. the other fields of `Task` and `ThreadGroup`, a [`WaitQueue`](crate::wait::WaitQueue), a [`Waiter`](crate::wait::Waiter);
//!    [`VirtualCpus`](crate::virtual_cpus::VirtualCpus) come before a waiter
//!    [`TaskKeyrings`](crate::keys::TaskKeyrings) come before the lock of all [`Keys`](crate::keys::Keys)
//! 6. the lock of external stops, a task's CPU clock, the host threads that wait for a task
//!
//! Memory, files and timers have orders of their own; none of their locks is held while one of these is taken,
//! and none of these while a file is closed or an address space dropped. The lock of migrations between control
//! groups comes before all of them.

mod accounting;
mod async_io;
mod block;
mod caller;
mod clone;
#[cfg(test)]
mod concurrency;
mod config;
mod core_dump;
mod cpu_limit;
mod cpu_time;
#[cfg(test)]
mod creation_cost;
mod current;
mod deferred;
mod deliver;
mod dispatch;
mod exec;
mod exit;
mod external_stop;
mod flags;
mod futex;
mod group_stop;
mod host_threads;
mod id;
mod io_priority;
mod ipc;
mod job_control;
mod keyrings;
mod lent;
mod load_average;
mod member;
#[cfg(test)]
mod model;
mod mounter;
mod namespaces;
mod patience;
mod perf;
mod pid_namespace;
mod pidfd;
mod process_source;
mod profiling;
mod ptrace;
mod restart;
mod rseq;
mod run;
mod scheduling;
mod seccomp;
mod set;
mod shortage;
mod signal_source;
mod signals;
mod start;
mod status;
#[expect(clippy::module_inception, reason = "a task is what this room is about")]
mod task;
mod terminal_groups;
#[cfg(test)]
mod tests;
mod thread_counts;
mod thread_group;
mod tid_allocator;
mod tree;
mod unshare;
mod usage;
mod user_dispatch;
mod vfork;
mod vsyscall;
mod wait;

pub use block::Blocked;
pub(crate) use clone::{CloneFlags, CloneRequest};
pub use config::{TaskConfig, TaskImage};
pub use current::CurrentTask;
pub(crate) use deferred::{Attempt, Attempting, DeferredWork};
pub use dispatch::Dispatcher;
pub(crate) use exec::ExecRequest;
pub use external_stop::StopGuard;
pub use flags::TaskFlags;
pub(crate) use futex::UserWord;
pub use id::{GroupId, NamespaceId, TaskId, Tid};
pub(crate) use io_priority::IoPriority;
pub use member::CgroupTasks;
pub(crate) use namespaces::NamespaceCreator;
pub use namespaces::Namespaces;
pub use patience::Patience;
pub(crate) use perf::SystemCounts;
pub use pid_namespace::PidNamespace;
pub(crate) use pidfd::ProcessFile;
pub use process_source::TaskSource;
pub use profiling::{ProfileImages, Profiler, ProfilerError};
pub(crate) use ptrace::{
    GENERAL_REGISTER_COUNT, Mode, PendingQueue, SyscallInfo, SyscallPhase, TraceOptions, Tracee, check_access,
};
pub(crate) use restart::RestartBlock;
pub use rseq::RseqArea;
pub use scheduling::{DeadlineParameters, Scheduling};
pub(crate) use seccomp::{Installation, SeccompMode};
pub use set::TaskSet;
pub(crate) use signal_source::SignalSource;
pub use start::UnstartedTask;
pub use status::{ExitStatus, ResourceUsage};
pub use task::{CpuSet, NAME_LEN, Task};
pub(crate) use terminal_groups::TaskGroups;
pub use thread_group::ThreadGroup;
pub(crate) use user_dispatch::UserDispatch;
pub(crate) use wait::{ChildEvent, WaitOptions, WaitSelector, Waited};
