//! I/O priorities, kept for who asks (`man 2 ioprio_set`): the host's scheduler decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use linux_raw_sys::general::SCHED_IDLE;

use super::Task;
use crate::Errno;

const CLASS_SHIFT: u32 = 13;
const CLASS_MASK: u32 = 7;
const LEVEL_MASK: u32 = 7;
const REAL_TIME: u16 = 1;
const BEST_EFFORT: u16 = 2;
const IDLE: u16 = 3;

/// A class, hints and a level, in the order of the bits; 0 if it follows from the niceness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IoPriority(u16);

impl IoPriority {
    /// The priority that ioprio_set(2) is given; bits above the class do not count.
    ///
    /// # Errors
    /// EPERM: real time without privilege. EINVAL: no such class, or a level without a class.
    pub(crate) fn new(bits: u32, is_privileged: bool) -> Result<Self, Errno> {
        let class = (bits >> CLASS_SHIFT & CLASS_MASK) as u16;
        match class {
            REAL_TIME if !is_privileged => Err(Errno::EPERM),
            0 if bits & LEVEL_MASK != 0 => Err(Errno::EINVAL),
            0..=IDLE => Ok(Self(bits as u16)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Its number.
    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    fn class(self) -> u16 {
        self.0 >> CLASS_SHIFT
    }
}

/// Where a task keeps its I/O priority: shared with children of CLONE_IO.
#[derive(Clone, Debug, Default)]
pub(crate) struct IoContext(Arc<AtomicU16>);

impl IoContext {
    /// A child's own, with the same priority.
    pub(super) fn duplicate(&self) -> Self {
        let priority = self.priority();
        let inherited = if priority.class() == 0 { IoPriority::default() } else { priority };
        Self(Arc::new(AtomicU16::new(inherited.0)))
    }

    /// Whether it is one with `other`.
    pub(super) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn priority(&self) -> IoPriority {
        IoPriority(self.0.load(Ordering::Relaxed))
    }
}

impl Task {
    /// What ioprio_set(2) has set.
    pub(crate) fn io_priority(&self) -> IoPriority {
        self.io_context.priority()
    }

    /// The priority that counts: without a class that has been set it follows from policy and niceness.
    pub(crate) fn effective_io_priority(&self) -> IoPriority {
        let own = self.io_priority();
        if own.class() != 0 {
            return own;
        }
        let scheduling = self.scheduling();
        let class = match scheduling.policy {
            SCHED_IDLE => IDLE,
            _ if scheduling.is_real_time() || scheduling.has_deadlines() => REAL_TIME,
            _ => BEST_EFFORT,
        };
        let level = u16::try_from((self.niceness() + 20) / 5).unwrap_or(0);
        IoPriority(class << CLASS_SHIFT | level)
    }

    /// ioprio_set(2).
    pub(crate) fn set_io_priority(&self, priority: IoPriority) {
        self.io_context.0.store(priority.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
