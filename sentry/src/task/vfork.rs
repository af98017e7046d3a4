//! vfork's suspension of the parent until the child executes a program or exits (`man 2 vfork`).

use std::sync::atomic::{AtomicBool, Ordering};

use crate::wait::{Events, WaitQueue};

/// What the parent sleeps on.
#[derive(Default)]
pub(crate) struct VforkCompletion {
    is_complete: AtomicBool,
    queue: WaitQueue,
}

impl VforkCompletion {
    pub(super) fn complete(&self) {
        self.is_complete.store(true, Ordering::Release);
        self.queue.notify(Events::IN);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    pub(super) fn queue(&self) -> &WaitQueue {
        &self.queue
    }
}
