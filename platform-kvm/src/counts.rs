//! How often vCPUs ran, and what ended that: logged at the end, for who looks for exits that are not needed.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use sentry::platform::Exit;

use crate::vcpu::Stop;

/// Runs of a machine's vCPUs by what ended them.
#[derive(Debug, Default)]
pub(crate) struct RunCounts {
    syscalls: AtomicU64,
    faults: AtomicU64,
    exceptions: AtomicU64,
    kicks: AtomicU64,
}

impl RunCounts {
    /// Counts a run.
    pub(crate) fn note(&self, stop: &Stop) {
        let count = match stop {
            Stop::Exit(Exit::Syscall) => &self.syscalls,
            Stop::Exit(Exit::Fault { .. }) => &self.faults,
            Stop::Exit(_) => &self.exceptions,
            Stop::Kicked => &self.kicks,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for RunCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [syscalls, faults, exceptions, kicks] =
            [&self.syscalls, &self.faults, &self.exceptions, &self.kicks]
                .map(|count| count.load(Ordering::Relaxed));
        write!(
            f,
            "exits: {syscalls} by calls, {faults} by faults, {exceptions} by exceptions, {kicks} by kicks"
        )
    }
}
