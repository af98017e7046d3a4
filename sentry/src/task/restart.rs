//! The rest of a system call that a signal interrupted.

use std::time::Duration;

use super::CurrentTask;
use crate::Errno;
use crate::platform::VirtualAddress;
use crate::time::{ClockId, MonotonicTime};

/// What restart_syscall(2) goes on with, if no handler has run: Linux's `restart_block`.
#[derive(Clone, Debug)]
pub(crate) enum RestartBlock {
    /// nanosleep(2), and clock_nanosleep(2) for a time.
    Nanosleep {
        /// The clock that is slept on.
        clock: ClockId,
        /// What the clock shows at the end, unshifted by time namespaces.
        until: Duration,
        /// Where what is left is stored; 0 for nowhere.
        remaining: VirtualAddress,
    },
    /// futex(2), FUTEX_WAIT and FUTEX_WAIT_BITSET with a time-out.
    FutexWait {
        /// The address of the word, in the task's own memory.
        address: VirtualAddress,
        /// Whether only the process waits on it.
        is_private: bool,
        /// What the word holds for as long as there is something to wait for.
        expected: u32,
        /// Which wake-ups count.
        bitset: u32,
        /// When the wait ends.
        until: MonotonicTime,
    },
    /// poll(2).
    Poll {
        /// The entries.
        address: VirtualAddress,
        /// How many there are.
        count: u32,
        /// When the wait ends; `None` for never.
        until: Option<MonotonicTime>,
    },
}

impl CurrentTask {
    /// Has restart_syscall(2) go on with `rest`.
    ///
    /// # Errors
    /// ERESTART_RESTARTBLOCK, always.
    pub(crate) fn restart_with(&mut self, rest: RestartBlock) -> Result<usize, Errno> {
        self.restart = Some(rest);
        Err(Errno::ERESTART_RESTARTBLOCK)
    }
}
