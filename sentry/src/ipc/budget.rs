//! What the objects of IPC may hold of the sentry's own memory: messages, semaphores, and what is kept of each object.
//!
//! Linux's limits are for each namespace and can be raised inside; this one is for all namespaces of a kernel together and
//! cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::Errno;
use crate::heap::HeapCharge;

/// Most bytes that all objects may hold.
const MAX_BYTES: usize = 256 << 20;
/// What an object costs beside its contents.
pub(super) const OBJECT_BYTES: usize = 1024;

/// What the objects of all namespaces may hold together, and the ids of undo lists. The first namespace and those made from it share one.
#[derive(Debug, Default)]
pub struct IpcBudget {
    charged_bytes: AtomicUsize,
    undo_lists: AtomicU64,
}

impl IpcBudget {
    /// An id for an undo list. No other of the kernel ever has it.
    pub(super) fn new_undo_list_id(&self) -> u64 {
        self.undo_lists.fetch_add(1, Ordering::Relaxed)
    }
}

/// Bytes that are charged; dropping it takes the charge back.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<IpcBudget>,
    len_bytes: usize,
    heap_charge: HeapCharge,
}

impl Charge {
    /// Charges `len_bytes` to `budget`.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn new(budget: &Arc<IpcBudget>, len_bytes: usize) -> Result<Self, Errno> {
        let has_room = |charged: usize| charged.checked_add(len_bytes).filter(|sum| *sum <= MAX_BYTES);
        budget
            .charged_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room)
            .map_err(|_| Errno::ENOMEM)?;
        let mut charge = Self { budget: budget.clone(), len_bytes, heap_charge: HeapCharge::default() };
        charge.heap_charge.resize(len_bytes)?;
        Ok(charge)
    }

    /// What it is charged to.
    pub(super) fn budget(&self) -> &Arc<IpcBudget> {
        &self.budget
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.charged_bytes.fetch_sub(self.len_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
