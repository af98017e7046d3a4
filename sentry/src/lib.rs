//! A Linux kernel in user space: it serves the system calls, faults and signals of unmodified Linux programs that run on a
//! [`platform`].
#![doc = include_str!("../architecture.md")]

mod abi;
mod aio;
pub mod boot;
mod bpf;
pub mod cgroup;
pub mod core_settings;
pub mod cred;
pub mod errno;
pub mod fs;
pub mod futex;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod heap;
pub mod host;
mod io_uring;
pub mod ipc;
pub mod kernel;
pub mod keys;
pub mod landlock;
pub mod limits;
pub mod loader;
pub mod memory;
pub mod net;
pub mod network_settings;
pub mod pace;
mod perf;
pub mod platform;
pub mod process_identity;
pub mod profile;
mod seccomp;
pub mod settings;
pub mod signal;
mod slices;
pub mod syscall;
pub mod task;
pub mod time;
pub mod uts;
pub mod virtual_cpus;
pub mod wait;
mod width;

pub use errno::Errno;
