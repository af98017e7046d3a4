//! What is taken back when processes end (`man 2 semop`, SEM_UNDO).
//!
//! A set keeps the adjustments of each undo list; a list knows the sets that it has adjustments in. Tasks share a list
//! by CLONE_SYSVSEM.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::set::SemaphoreSet;
use crate::Errno;
use crate::ipc::IpcBudget;
use crate::ipc::budget::Charge;
use crate::process_identity::ProcessIdentity;

/// What the adjustments of one list in one set cost beside their numbers.
const ENTRY_BYTES: usize = 128;

/// The sets in which the tasks that share it have something to take back.
pub struct UndoList {
    id: u64,
    sets: Mutex<Vec<Weak<SemaphoreSet>>>,
}

impl UndoList {
    /// An empty list, for sets that are charged to `budget`.
    pub fn new(budget: &IpcBudget) -> Arc<Self> {
        Arc::new(Self { id: budget.new_undo_list_id(), sets: Mutex::default() })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Remembers that it has adjustments in `set`.
    pub(super) fn remember(&self, set: &Arc<SemaphoreSet>) {
        let mut sets = self.sets.lock();
        // Before the list grows: those that have been removed are forgotten.
        if sets.len() == sets.capacity() {
            sets.retain(|set| set.strong_count() > 0);
        }
        sets.push(Arc::downgrade(set));
    }

    /// A task that shared the list, of `process`, has ended or left it. With the last one, everything is taken back.
    pub fn leave(self: Arc<Self>, process: &ProcessIdentity) {
        let Some(list) = Arc::into_inner(self) else { return };
        for set in list.sets.into_inner() {
            if let Some(set) = set.upgrade() {
                set.take_back(list.id, process);
            }
        }
    }
}

/// The adjustments in one set, by list.
#[derive(Default)]
pub(super) struct Adjustments(HashMap<u64, Entry>);

struct Entry {
    /// One for each semaphore.
    numbers: Vec<i16>,
    _charge: Charge,
}

impl Adjustments {
    /// Makes room for the adjustments of `list` in a set of `len` semaphores, charged to `budget`. Returns whether there was none.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn prepare(&mut self, list: u64, len: usize, budget: &Arc<IpcBudget>) -> Result<bool, Errno> {
        if self.0.contains_key(&list) {
            return Ok(false);
        }
        let charge = Charge::new(budget, len * size_of::<i16>() + ENTRY_BYTES)?;
        self.0.insert(list, Entry { numbers: vec![0; len], _charge: charge });
        Ok(true)
    }

    /// What `list` will add to the semaphore at `index`.
    pub(super) fn adjustment(&mut self, list: Option<u64>, index: usize) -> Option<&mut i16> {
        self.0.get_mut(&list?)?.numbers.get_mut(index)
    }

    /// Takes out what `list` will add to each semaphore.
    pub(super) fn take(&mut self, list: u64) -> Option<Vec<i16>> {
        self.0.remove(&list).map(|entry| entry.numbers)
    }

    /// Nothing is taken back from the semaphore at `index`, or from any, any more (SETVAL, SETALL).
    pub(super) fn clear(&mut self, index: Option<usize>) {
        for entry in self.0.values_mut() {
            match index {
                Some(index) => {
                    if let Some(number) = entry.numbers.get_mut(index) {
                        *number = 0;
                    }
                }
                None => entry.numbers.fill(0),
            }
        }
    }
}
