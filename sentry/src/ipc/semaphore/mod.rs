//! System V semaphores (`man 2 semget`, `man 2 semop`, `man 2 semctl`).

mod operation;
mod set;
#[cfg(test)]
mod tests;
mod undo;

use std::sync::Arc;

use parking_lot::Mutex;

use self::set::SemaphoreSet;
use super::budget::{Charge, OBJECT_BYTES};
use super::registry::{Found, Object, Registry};
use super::{IpcAccess, IpcCaller, IpcLimits, Lookup, PermissionChange, Permissions, now_seconds};
use crate::Errno;
use crate::process_identity::ProcessIdentity;

pub use self::operation::{SemaphoreOperation, SemaphoreOperations};
pub use self::set::{PendingOperation, SemaphoreOutcome};
pub use self::undo::UndoList;

/// The largest value of a semaphore (`SEMVMX`).
pub const MAX_SEMAPHORE_VALUE: u16 = 32_767;

/// The semaphore sets of a namespace.
#[derive(Default)]
pub struct Semaphores {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sets: Registry<SemaphoreSet>,
    /// Semaphores in all sets.
    total: usize,
}

/// What semctl(2) tells of a set.
#[derive(Clone, Copy, Debug)]
pub struct SemaphoreSetStatus {
    /// Its identifier.
    pub id: i32,
    /// Who may do what.
    pub permissions: Permissions,
    /// Last semop(2), seconds since 1970; 0 for never.
    pub operated_seconds: i64,
    /// Creation, or last change by semctl(2).
    pub changed_seconds: i64,
    /// Semaphores in the set.
    pub len: usize,
}

/// What semctl(2) tells of one semaphore.
#[derive(Clone, Debug)]
pub struct Semaphore {
    /// GETVAL.
    pub value: u16,
    /// GETPID: who changed it last.
    pub process: ProcessIdentity,
    /// GETNCNT: how many wait for it to grow.
    pub waiting_for_more: usize,
    /// GETZCNT: how many wait for it to become zero.
    pub waiting_for_zero: usize,
}

/// What all sets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemaphoreUsage {
    /// How many there are.
    pub sets: usize,
    /// Semaphores in all of them.
    pub semaphores: usize,
    /// The highest index in use, which SEM_INFO returns.
    pub highest_index: usize,
}

impl Semaphores {
    /// The identifier that the next set is to have, or one near it; `None`: as the kernel chooses.
    pub fn next_id(&self) -> Option<i32> {
        self.table.lock().sets.next_id()
    }

    /// Sets that, for one set (`/proc/sys/kernel/*_next_id`).
    pub fn set_next_id(&self, id: Option<i32>) {
        self.table.lock().sets.set_next_id(id);
    }

    /// semget(2): the identifier of the set of `key`, made with `len` semaphores if `flags` say so.
    ///
    /// # Errors
    /// EINVAL, ENOENT, EEXIST, EACCES, ENOSPC, ENOMEM, as the manual page has them.
    pub fn get(
        &self,
        (key, len, flags): (i32, i32, u32),
        limits: &IpcLimits,
        caller: &IpcCaller<'_>,
    ) -> Result<i32, Errno> {
        let limits = limits.semaphores;
        let len =
            usize::try_from(len).ok().filter(|len| *len <= limits.set_len as usize).ok_or(Errno::EINVAL)?;
        let mut table = self.table.lock();
        let is_large_enough = |set: &SemaphoreSet| if len > set.len { Err(Errno::EINVAL) } else { Ok(()) };
        if let Found::Existing(set) = table.sets.open(key, flags, caller, is_large_enough)? {
            return Ok(set.id);
        }
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        if table.total.saturating_add(len) > limits.total as usize {
            return Err(Errno::ENOSPC);
        }
        let charge = Charge::new(caller.budget, OBJECT_BYTES + len * size_of::<set::Value>())?;
        let place = table.sets.place(limits.sets)?;
        let permissions = Permissions::new(key, flags, place.sequence, caller);
        table.sets.insert(place, Arc::new(SemaphoreSet::new(place.id(), len, permissions, charge)));
        table.total += len;
        Ok(place.id())
    }

    /// semop(2): does all operations, or has them wait.
    ///
    /// # Errors
    /// EINVAL, EFBIG, EACCES, EIDRM, EAGAIN, ERANGE, ENOMEM, as the manual page has them.
    pub fn operate(
        &self,
        id: i32,
        operations: SemaphoreOperations,
        undo_list: Option<&UndoList>,
        caller: &IpcCaller<'_>,
    ) -> Result<SemaphoreOutcome, Errno> {
        let set = self.find(id)?;
        if operations.iter().any(|operation| usize::from(operation.semaphore) >= set.len) {
            return Err(Errno::EFBIG);
        }
        let is_altering = operations.iter().any(|operation| operation.change != 0);
        let mut state = set.state()?;
        let access = if is_altering { IpcAccess::WRITE } else { IpcAccess::READ };
        state.permissions.check(access, caller)?;
        set.operate(&mut state, operations, caller.process, undo_list)
    }

    /// semctl(2) with IPC_STAT, SEM_STAT or SEM_STAT_ANY.
    ///
    /// # Errors
    /// EINVAL, EACCES.
    pub fn status(
        &self,
        id: i32,
        lookup: Lookup,
        caller: &IpcCaller<'_>,
    ) -> Result<SemaphoreSetStatus, Errno> {
        let set = {
            let table = self.table.lock();
            if lookup == Lookup::Id { table.sets.get(id)? } else { table.sets.at_index(id)? }
        };
        if lookup != Lookup::AnyIndex {
            set.permissions().check(IpcAccess::READ, caller)?;
        }
        Ok(status_of(&set))
    }

    /// Every set, by index: /proc/sysvipc/sem.
    pub fn statuses(&self) -> Vec<SemaphoreSetStatus> {
        let sets: Vec<_> = self.table.lock().sets.iter().cloned().collect();
        sets.iter().map(|set| status_of(set)).collect()
    }

    /// What all sets are.
    pub fn usage(&self) -> SemaphoreUsage {
        let table = self.table.lock();
        SemaphoreUsage {
            sets: table.sets.len(),
            semaphores: table.total,
            highest_index: table.sets.highest_index(),
        }
    }

    /// semctl(2) with IPC_SET.
    ///
    /// # Errors
    /// EINVAL, EPERM, EIDRM.
    pub fn change(&self, id: i32, change: PermissionChange, caller: &IpcCaller<'_>) -> Result<(), Errno> {
        let set = self.find(id)?;
        let mut state = set.state()?;
        state.permissions.check_owner(caller)?;
        state.permissions.change(change)?;
        state.changed_seconds = now_seconds();
        Ok(())
    }

    /// semctl(2) with IPC_RMID. Who waits gets EIDRM.
    ///
    /// # Errors
    /// EINVAL, EPERM.
    pub fn remove(&self, id: i32, caller: &IpcCaller<'_>) -> Result<(), Errno> {
        let mut table = self.table.lock();
        let set = table.sets.get(id)?;
        set.permissions().check_owner(caller)?;
        table.sets.remove(id);
        table.total = table.total.saturating_sub(set.len);
        drop(table);
        SemaphoreSet::close(&mut set.any_state());
        Ok(())
    }

    /// semctl(2) with GETVAL, GETPID, GETNCNT and GETZCNT.
    ///
    /// # Errors
    /// EINVAL, EACCES, EIDRM.
    pub fn semaphore(&self, id: i32, number: i32, caller: &IpcCaller<'_>) -> Result<Semaphore, Errno> {
        let set = self.find(id)?;
        let state = set.state()?;
        state.permissions.check(IpcAccess::READ, caller)?;
        let index = usize::try_from(number).map_err(|_| Errno::EINVAL)?;
        let semaphore = state.semaphores.get(index).ok_or(Errno::EINVAL)?;
        Ok(Semaphore {
            value: semaphore.value,
            process: semaphore.process.clone(),
            waiting_for_more: state.waiters(index, false),
            waiting_for_zero: state.waiters(index, true),
        })
    }

    /// semctl(2) with SETVAL.
    ///
    /// # Errors
    /// ERANGE, EINVAL, EACCES, EIDRM.
    pub fn set_value(&self, id: i32, number: i32, value: i32, caller: &IpcCaller<'_>) -> Result<(), Errno> {
        let value =
            u16::try_from(value).ok().filter(|value| *value <= MAX_SEMAPHORE_VALUE).ok_or(Errno::ERANGE)?;
        let set = self.find(id)?;
        let mut state = set.state()?;
        let index = usize::try_from(number).ok().filter(|index| *index < set.len).ok_or(Errno::EINVAL)?;
        state.permissions.check(IpcAccess::WRITE, caller)?;
        state.undo.clear(Some(index));
        if let Some(semaphore) = state.semaphores.get_mut(index) {
            *semaphore = set::Value { value, process: caller.process.clone() };
        }
        state.changed_seconds = now_seconds();
        state.serve_pending();
        Ok(())
    }

    /// semctl(2) with GETALL.
    ///
    /// # Errors
    /// EINVAL, EACCES, EIDRM.
    pub fn values(&self, id: i32, caller: &IpcCaller<'_>) -> Result<Vec<u16>, Errno> {
        let set = self.find(id)?;
        let state = set.state()?;
        state.permissions.check(IpcAccess::READ, caller)?;
        Ok(state.semaphores.iter().map(|semaphore| semaphore.value).collect())
    }

    /// How many values SETALL takes, for a caller who may set them.
    ///
    /// # Errors
    /// EINVAL, EACCES, EIDRM.
    pub fn settable_len(&self, id: i32, caller: &IpcCaller<'_>) -> Result<usize, Errno> {
        let set = self.find(id)?;
        set.state()?.permissions.check(IpcAccess::WRITE, caller)?;
        Ok(set.len)
    }

    /// semctl(2) with SETALL.
    ///
    /// # Errors
    /// EINVAL, EACCES, EIDRM, ERANGE.
    pub fn set_values(&self, id: i32, values: &[u16], caller: &IpcCaller<'_>) -> Result<(), Errno> {
        if values.iter().any(|value| *value > MAX_SEMAPHORE_VALUE) {
            return Err(Errno::ERANGE);
        }
        let set = self.find(id)?;
        let mut state = set.state()?;
        state.permissions.check(IpcAccess::WRITE, caller)?;
        for (semaphore, value) in state.semaphores.iter_mut().zip(values) {
            *semaphore = set::Value { value: *value, process: caller.process.clone() };
        }
        state.undo.clear(None);
        state.changed_seconds = now_seconds();
        state.serve_pending();
        Ok(())
    }

    fn find(&self, id: i32) -> Result<Arc<SemaphoreSet>, Errno> {
        self.table.lock().sets.get(id)
    }
}

fn status_of(set: &SemaphoreSet) -> SemaphoreSetStatus {
    let state = set.any_state();
    SemaphoreSetStatus {
        id: set.id,
        permissions: state.permissions,
        operated_seconds: state.operated_seconds,
        changed_seconds: state.changed_seconds,
        len: set.len,
    }
}
