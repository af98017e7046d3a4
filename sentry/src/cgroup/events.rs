//! Things that happen to a group and are announced to who polls a file.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::wait::{Events, WaitQueue};

/// How often a file's contents have changed, and who waits for the next time.
#[derive(Default)]
pub struct EventCounter {
    changes: AtomicU64,
    queue: WaitQueue,
}

impl EventCounter {
    /// Announces a change.
    pub(super) fn announce(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.queue.notify(Events::PRI | Events::ERR);
    }

    /// How many changes there have been.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Where changes are announced.
    pub fn queue(&self) -> &WaitQueue {
        &self.queue
    }
}

/// What cgroup.events tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupEvents {
    /// A task lives in the group or below it.
    pub is_populated: bool,
    /// The group is to be frozen, and every task in it and below is.
    pub is_frozen: bool,
}
