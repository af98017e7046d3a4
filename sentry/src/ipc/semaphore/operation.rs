//! What semop(2) does to the values of a set: all of its operations, or none.

use std::sync::Arc;

use super::MAX_SEMAPHORE_VALUE;
use super::set::{MAX_ADJUSTMENT, State};
use crate::Errno;
use crate::ipc::IpcBudget;
use crate::ipc::budget::Charge;
use crate::process_identity::ProcessIdentity;

/// `struct sembuf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemaphoreOperation {
    /// Which semaphore of the set.
    pub semaphore: u16,
    /// What is added to it; 0 waits until it is 0.
    pub change: i16,
    /// Fail with EAGAIN instead of waiting (IPC_NOWAIT).
    pub is_nonblocking: bool,
    /// Take it back when the process ends (SEM_UNDO).
    pub has_undo: bool,
}

impl SemaphoreOperation {
    const NO_WAIT: u16 = 0o4000;
    const UNDO: u16 = 0x1000;

    /// The operation that user memory holds: number, change and flags.
    pub fn from_user([semaphore, change, flags]: [u16; 3]) -> Self {
        Self {
            semaphore,
            change: change.cast_signed(),
            is_nonblocking: flags & Self::NO_WAIT != 0,
            has_undo: flags & Self::UNDO != 0,
        }
    }
}

/// The operations of one semop(2), charged for as long as they wait.
pub struct SemaphoreOperations {
    operations: Vec<SemaphoreOperation>,
    _charge: Charge,
}

impl SemaphoreOperations {
    /// `count` operations, which `read` fetches, charged to `budget`.
    ///
    /// # Errors
    /// ENOMEM; those of `read`.
    pub fn new(
        budget: &Arc<IpcBudget>,
        count: usize,
        read: impl FnOnce() -> Result<Vec<[u16; 3]>, Errno>,
    ) -> Result<Self, Errno> {
        const BYTES: usize = size_of::<[u16; 3]>() + size_of::<SemaphoreOperation>();
        let charge = Charge::new(budget, count.saturating_mul(BYTES))?;
        let operations = read()?.into_iter().map(SemaphoreOperation::from_user).collect();
        Ok(Self { operations, _charge: charge })
    }
}

impl std::ops::Deref for SemaphoreOperations {
    type Target = [SemaphoreOperation];

    fn deref(&self) -> &Self::Target {
        &self.operations
    }
}

/// Whose operations they are.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) process: ProcessIdentity,
    /// The undo list that takes what has SEM_UNDO.
    pub(super) undo_list: Option<u64>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// All is done.
    Done,
    /// Nothing is; this operation, by its place, has to wait.
    MustWait(usize),
}

impl State {
    /// Does all `operations` if they can be done now, and stamps the set.
    ///
    /// # Errors
    /// ERANGE: a value or an adjustment would be out of range.
    pub(super) fn attempt(
        &mut self,
        operations: &[SemaphoreOperation],
        operator: &Operator,
    ) -> Result<Attempt, Errno> {
        for (place, operation) in operations.iter().enumerate() {
            let step = self.step(operation, operator);
            if step != Ok(true) {
                for done in operations.iter().take(place).rev() {
                    self.step_back(done, operator);
                }
                return step.map(|_| Attempt::MustWait(place));
            }
        }
        for operation in operations {
            if let Some(semaphore) = self.semaphores.get_mut(usize::from(operation.semaphore)) {
                semaphore.process = operator.process.clone();
            }
        }
        self.operated_seconds = crate::ipc::now_seconds();
        Ok(Attempt::Done)
    }

    /// Does one operation. Returns false if it has to wait.
    fn step(&mut self, operation: &SemaphoreOperation, operator: &Operator) -> Result<bool, Errno> {
        let index = usize::from(operation.semaphore);
        let semaphore = self.semaphores.get_mut(index).ok_or(Errno::EFBIG)?;
        let value = i32::from(semaphore.value) + i32::from(operation.change);
        if operation.change == 0 && value != 0 || value < 0 {
            return Ok(false);
        }
        let value = u16::try_from(value).ok().filter(|value| *value <= MAX_SEMAPHORE_VALUE);
        let value = value.ok_or(Errno::ERANGE)?;
        if operation.has_undo
            && let Some(adjustment) = self.undo.adjustment(operator.undo_list, index)
        {
            let adjusted = i32::from(*adjustment) - i32::from(operation.change);
            if !(-MAX_ADJUSTMENT - 1..=MAX_ADJUSTMENT).contains(&adjusted) {
                return Err(Errno::ERANGE);
            }
            *adjustment = i16::try_from(adjusted).map_err(|_| Errno::ERANGE)?;
        }
        semaphore.value = value;
        Ok(true)
    }

    /// Takes back what [`State::step`] has done.
    fn step_back(&mut self, operation: &SemaphoreOperation, operator: &Operator) {
        let index = usize::from(operation.semaphore);
        if let Some(semaphore) = self.semaphores.get_mut(index) {
            semaphore.value = semaphore.value.wrapping_sub(operation.change.cast_unsigned());
        }
        if operation.has_undo
            && let Some(adjustment) = self.undo.adjustment(operator.undo_list, index)
        {
            *adjustment = adjustment.wrapping_add(operation.change);
        }
    }
}
