//! Booting: from a plain description to a kernel with a first task.
//!
//! A [`Description`] says what a sandbox is to be. It is data: a front end makes it of a command line or reads it from a file, and
//! it can be written down beside a snapshot. [`Sandbox::new`] makes a kernel of it, of the [`Image`] that it names and of a
//! [`Machine`]; [`Sandbox::start`] runs the first program. What only the front end has (standard streams, a jail) comes between
//! the two.
//!
//! # What a snapshot could not write down
//!
//! Everything else that a kernel holds is data, or refers to data by ids and `Arc`s. These are the host's, and are made anew:
//!
//! | what | where | how to make it anew |
//! |---|---|---|
//! | the machine, its page tables and vCPUs | [`Platform`], [`AddressSpace`], [`Context`] | a new machine; page tables are a cache that faults fill again; a context takes its segment bases and extended state |
//! | guest memory | [`GuestMemory`] | map it from the snapshot, frame by frame |
//! | the image's root directory, an executable | [`HostTree`](crate::fs::host::HostTree), [`Image`] | [`Image::open`] with the description's `root` |
//! | the index and the contents of an image's layers | [`LayeredTree`](crate::fs::layers::LayeredTree) | opened again by the digests that the index names |
//! | files of the image that are open on the host | [`fs::host`](crate::fs::host) | they are a cache: opened again below the root directory, by their paths |
//! | the host's pages of an image's files, shown in a window of guest memory | [`HostExtent`](crate::memory::HostExtent) | shown again, as the files are opened again; until then their pages are faults |
//! | the caller's standard streams and terminal | [`HostFile`](crate::fs::host_stdio::HostFile) | the new front end's own |
//! | what waits for them: an epoll and a thread | [`HostNotifier`](crate::fs::host_stdio::HostNotifier) | made when the first stream is waited for |
//! | a volume's root, and the handles of what is used below it | [`volume`](crate::fs::volume) | the root is the new front end's; what was open is opened again by its path below |
//! | the outside's door, its sockets, and the thread that waits for them | [`outside`](crate::net::outside) | the new front end's own; connections are broken off, and flows begin anew |
//! | the host threads that run tasks | [`task`](crate::task) | one for each [`CurrentTask`](crate::task::CurrentTask), as at [`UnstartedTask::start`](crate::task::UnstartedTask::start) |
//! | what a thread serves just now: its task's calls, or a lent one's; whose heap it charges | [`sleeper`](crate::fs::sleeper), [`heap`](crate::heap) | said anew by each thread that runs a task |
//! | a sleeping task's place in wait queues, its [`Waiter`](crate::wait::Waiter) | [`wait`](crate::wait) | the task is woken first: its call returns to its start, or leaves a restart block |
//! | what interrupts a task in user code | [`Interrupter`] | the new context's |
//! | the thread of timers, and deadlines on the host's clock | [`TimerQueue`](crate::time::TimerQueue) | each [`Timer`](crate::time::Timer) knows its setting on a clock of the kernel's, and is scheduled again |
//! | periods of CPU quotas, turns of CPUs | [`Bandwidth`](crate::cgroup::Bandwidth), [`VirtualCpus`](crate::virtual_cpus::VirtualCpus) | they begin afresh |
//! | the counter that CPU times begin at, and the host thread whose clock is read | [`task`](crate::task) | what has been used is added up, and counted on from the new thread |
//! | lines fitted to the host's clocks | [`Timekeeper`](crate::time::Timekeeper) | fitted again; the monotonic clocks go on where they were by an offset, as in a time namespace |
//! | how a sandbox is profiled just now | [`profile`](crate::profile) | asked for again |
//! | where system calls are written to | [`Tracer`](crate::syscall::Tracer) | the new front end's choice |
//!
//! [`Platform`]: crate::platform::Platform
//! [`AddressSpace`]: crate::platform::AddressSpace
//! [`Context`]: crate::platform::Context
//! [`GuestMemory`]: crate::platform::GuestMemory
//! [`Interrupter`]: crate::platform::Interrupter

mod accounts;
mod description;
mod image;
mod init;
mod join;
mod name_service;
mod reaper;
mod root;
mod sandbox;
#[cfg(test)]
mod tests;
mod volumes;

pub use accounts::AccountError;
pub use description::{Description, HOSTFS, MountPoint, ResourceLimit, Text, User};
pub use image::{Image, ImageError};
pub use init::{InitError, InitProgram};
pub use join::{Joining, LaterPrograms, PreparedProgram};
pub use name_service::{HostEntry, NameService};
pub use root::BootError;
pub use sandbox::{Machine, Sandbox, SandboxError};
pub use volumes::{VolumeError, Volumes};
