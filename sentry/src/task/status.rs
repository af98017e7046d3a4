//! How a process ended, and what it used.

use crate::fs::proc::IoCounts;
use std::time::Duration;

use linux_raw_sys::general::{CLD_DUMPED, CLD_EXITED, CLD_KILLED};

use crate::signal::Signal;

/// How a process ended (`man 2 wait`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It called exit with this status.
    Exited(u8),
    /// A signal killed it.
    Signaled {
        /// Which one.
        signal: Signal,
        /// Whether its default action is to dump core.
        has_dumped_core: bool,
    },
}

impl ExitStatus {
    /// The status word of wait4(2).
    pub fn wait_status(self) -> i32 {
        match self {
            Self::Exited(code) => i32::from(code) << 8,
            Self::Signaled { signal, has_dumped_core } => {
                i32::from(signal.number()) | if has_dumped_core { 0x80 } else { 0 }
            }
        }
    }

    /// `si_code` and `si_status` of the SIGCHLD that tells of it (`man 2 sigaction`).
    pub fn child_code_and_status(self) -> (u32, i32) {
        match self {
            Self::Exited(code) => (CLD_EXITED, code.into()),
            Self::Signaled { signal, has_dumped_core: true } => (CLD_DUMPED, signal.number().into()),
            Self::Signaled { signal, .. } => (CLD_KILLED, signal.number().into()),
        }
    }

    /// What a shell shows as `$?`: the status, or 128 + the signal.
    pub fn shell_status(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled { signal, .. } => 128 + signal.number(),
        }
    }
}

/// Resources used, as getrusage(2) and wait4(2) report them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Time in user code.
    pub user_time: Duration,
    /// Time in the sentry.
    pub system_time: Duration,
    /// Largest resident set, KiB.
    pub max_resident_kib: u64,
    /// Faults served without I/O.
    pub minor_faults: u64,
    /// Times it slept.
    pub voluntary_switches: u64,
    /// What it read and wrote.
    pub io: IoCounts,
}

impl std::ops::AddAssign for ResourceUsage {
    fn add_assign(&mut self, other: Self) {
        self.user_time += other.user_time;
        self.system_time += other.system_time;
        self.max_resident_kib = self.max_resident_kib.max(other.max_resident_kib);
        self.minor_faults += other.minor_faults;
        self.voluntary_switches += other.voluntary_switches;
        self.io += other.io;
    }
}
