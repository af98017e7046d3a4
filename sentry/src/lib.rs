//! A Linux kernel in user space: it serves the system calls, faults and signals of unmodified Linux
//! programs that run on a [`platform`].

pub mod platform;
