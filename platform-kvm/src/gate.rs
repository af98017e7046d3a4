//! Keeping vCPUs out of an address space while its tables are purged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::seat::SharedSeat;

/// How long to wait for contexts to leave before they are nudged again.
const PATIENCE: Duration = Duration::from_millis(1);

/// Keeps contexts out of user code of one address space.
#[derive(Default)]
pub(crate) struct Gate {
    is_closed: AtomicBool,
    /// Orders waiting and waking; holds nothing.
    lock: Mutex<()>,
    opened: Condvar,
    left: Condvar,
}

impl Gate {
    /// The flag that [`crate::seat::Seat::load`] obeys.
    pub(crate) fn is_closed(&self) -> &AtomicBool {
        &self.is_closed
    }

    /// Runs `work` while none of `members` is in user code of `space`. One caller at a time.
    pub(crate) fn closed<T>(&self, space: u64, members: &[SharedSeat], work: impl FnOnce() -> T) -> T {
        self.is_closed.store(true, Ordering::SeqCst);
        for seat in members {
            let mut guard = self.lock.lock();
            while seat.is_running_in(space) {
                seat.nudge();
                self.left.wait_for(&mut guard, PATIENCE);
            }
        }
        let result = work();
        let _guard = self.lock.lock();
        self.is_closed.store(false, Ordering::SeqCst);
        self.opened.notify_all();
        result
    }

    /// Tells whoever closed the gate that a context has left user code.
    pub(crate) fn note_left(&self) {
        if self.is_closed.load(Ordering::SeqCst) {
            let _guard = self.lock.lock();
            self.left.notify_all();
        }
    }

    /// Waits until the gate is open.
    pub(crate) fn wait_open(&self) {
        let mut guard = self.lock.lock();
        while self.is_closed.load(Ordering::SeqCst) {
            self.opened.wait(&mut guard);
        }
    }
}
