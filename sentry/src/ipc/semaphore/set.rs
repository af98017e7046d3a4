//! One semaphore set, and those who wait for it.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::operation::{Attempt, Operator, SemaphoreOperations};
use super::undo::Adjustments;
use super::{MAX_SEMAPHORE_VALUE, UndoList};
use crate::Errno;
use crate::ipc::budget::Charge;
use crate::ipc::now_seconds;
use crate::ipc::permissions::Permissions;
use crate::ipc::registry::Object;
use crate::process_identity::ProcessIdentity;
use crate::wait::{Events, WaitQueue};

/// The largest adjustment (`SEMAEM`).
pub(super) const MAX_ADJUSTMENT: i32 = MAX_SEMAPHORE_VALUE as i32;

pub(super) struct SemaphoreSet {
    pub(super) id: i32,
    pub(super) len: usize,
    state: Mutex<State>,
    charge: Charge,
}

/// What a set's lock protects.
pub(super) struct State {
    pub(super) permissions: Permissions,
    pub(super) semaphores: Vec<Value>,
    pub(super) operated_seconds: i64,
    pub(super) changed_seconds: i64,
    pub(super) undo: Adjustments,
    /// Those who wait, in order of arrival.
    pending: VecDeque<Arc<Entry>>,
    pub(super) is_removed: bool,
}

/// One semaphore.
#[derive(Clone, Default)]
pub(super) struct Value {
    pub(super) value: u16,
    /// Who changed it last.
    pub(super) process: ProcessIdentity,
}

/// Operations that wait.
struct Entry {
    operations: SemaphoreOperations,
    operator: Operator,
    progress: Mutex<Progress>,
    queue: WaitQueue,
}

#[derive(Clone, Copy)]
struct Progress {
    /// The operation that cannot be done yet, by its place.
    blocking: usize,
    outcome: Option<Result<(), Errno>>,
}

/// Operations that wait in their set until they are done or dropped.
pub struct PendingOperation {
    set: Arc<SemaphoreSet>,
    entry: Arc<Entry>,
}

/// What came of semop(2).
pub enum SemaphoreOutcome {
    /// All operations are done.
    Done,
    /// They wait.
    Pending(PendingOperation),
}

impl PendingOperation {
    /// Announces that there is an outcome, by [`Events::IN`].
    pub fn queue(&self) -> &WaitQueue {
        &self.entry.queue
    }

    /// What came of the operations, once something has: EIDRM if the set is gone.
    pub fn outcome(&self) -> Option<Result<(), Errno>> {
        self.entry.progress.lock().outcome
    }

    /// Gives up, unless it is too late: then this is the outcome.
    pub fn cancel(self) -> Option<Result<(), Errno>> {
        self.leave();
        self.outcome()
    }

    fn leave(&self) {
        self.set.state.lock().pending.retain(|entry| !Arc::ptr_eq(entry, &self.entry));
    }
}

impl Drop for PendingOperation {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Entry {
    fn finish(&self, outcome: Result<(), Errno>) {
        self.progress.lock().outcome = Some(outcome);
        self.queue.notify(Events::IN);
    }
}

impl SemaphoreSet {
    pub(super) fn new(id: i32, len: usize, permissions: Permissions, charge: Charge) -> Self {
        let state = State {
            permissions,
            semaphores: vec![Value::default(); len],
            operated_seconds: 0,
            changed_seconds: now_seconds(),
            undo: Adjustments::default(),
            pending: VecDeque::new(),
            is_removed: false,
        };
        Self { id, len, state: Mutex::new(state), charge }
    }

    /// The set's state.
    ///
    /// # Errors
    /// EIDRM: the set has been removed.
    pub(super) fn state(&self) -> Result<MutexGuard<'_, State>, Errno> {
        let state = self.state.lock();
        if state.is_removed { Err(Errno::EIDRM) } else { Ok(state) }
    }

    /// The set's state, whether or not it has been removed.
    pub(super) fn any_state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Does `operations` in `state`, the set's own, or has them wait.
    ///
    /// # Errors
    /// EAGAIN, ERANGE, ENOMEM.
    pub(super) fn operate(
        self: &Arc<Self>,
        state: &mut State,
        operations: SemaphoreOperations,
        process: &ProcessIdentity,
        undo_list: Option<&UndoList>,
    ) -> Result<SemaphoreOutcome, Errno> {
        if let Some(list) = undo_list
            && state.undo.prepare(list.id(), self.len, self.charge.budget())?
        {
            list.remember(self);
        }
        let operator = Operator { process: process.clone(), undo_list: undo_list.map(UndoList::id) };
        match state.attempt(&operations, &operator)? {
            Attempt::Done => {
                if operations.iter().any(|operation| operation.change != 0) {
                    state.serve_pending();
                }
                Ok(SemaphoreOutcome::Done)
            }
            Attempt::MustWait(place) => {
                if operations.get(place).is_some_and(|operation| operation.is_nonblocking) {
                    return Err(Errno::EAGAIN);
                }
                let progress = Mutex::new(Progress { blocking: place, outcome: None });
                let entry = Arc::new(Entry { operations, operator, progress, queue: WaitQueue::default() });
                state.pending.push_back(entry.clone());
                Ok(SemaphoreOutcome::Pending(PendingOperation { set: self.clone(), entry }))
            }
        }
    }

    /// Applies the adjustments of `list`, as far as values can go (`man 2 semop`, "BUGS").
    pub(super) fn take_back(&self, list: u64, process: &ProcessIdentity) {
        let mut state = self.state.lock();
        let Some(adjustments) = state.undo.take(list) else { return };
        for (semaphore, adjustment) in state.semaphores.iter_mut().zip(adjustments) {
            if adjustment != 0 {
                let value = i32::from(semaphore.value) + i32::from(adjustment);
                semaphore.value = value.clamp(0, MAX_ADJUSTMENT).try_into().unwrap_or(0);
                semaphore.process = process.clone();
            }
        }
        state.operated_seconds = now_seconds();
        state.serve_pending();
    }

    /// Marks it as removed: who waits gets EIDRM.
    pub(super) fn close(state: &mut State) {
        state.is_removed = true;
        for entry in std::mem::take(&mut state.pending) {
            entry.finish(Err(Errno::EIDRM));
        }
    }
}

impl State {
    /// Does what has become possible for those who wait, in order of arrival, until nothing more is.
    pub(super) fn serve_pending(&mut self) {
        let mut has_changed = true;
        while std::mem::take(&mut has_changed) {
            for entry in std::mem::take(&mut self.pending) {
                match self.attempt(&entry.operations, &entry.operator) {
                    Ok(Attempt::MustWait(place)) => {
                        let is_nonblocking =
                            entry.operations.get(place).is_some_and(|operation| operation.is_nonblocking);
                        if is_nonblocking {
                            entry.finish(Err(Errno::EAGAIN));
                        } else {
                            entry.progress.lock().blocking = place;
                            self.pending.push_back(entry);
                        }
                    }
                    Ok(Attempt::Done) => {
                        has_changed |= entry.operations.iter().any(|operation| operation.change != 0);
                        entry.finish(Ok(()));
                    }
                    Err(error) => entry.finish(Err(error)),
                }
            }
        }
    }

    /// How many wait for the semaphore at `index` to become zero, or to grow.
    pub(super) fn waiters(&self, index: usize, for_zero: bool) -> usize {
        let blocking = self.pending.iter().filter_map(|entry| {
            let place = entry.progress.lock().blocking;
            entry.operations.get(place).copied()
        });
        blocking
            .filter(|operation| {
                usize::from(operation.semaphore) == index && (operation.change == 0) == for_zero
            })
            .count()
    }
}

impl Object for SemaphoreSet {
    fn id(&self) -> i32 {
        self.id
    }

    fn permissions(&self) -> Permissions {
        self.state.lock().permissions
    }
}
