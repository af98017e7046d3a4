//! What ties a task to the objects of its IPC namespace.

use std::sync::Arc;

use super::Task;
use crate::ipc::UndoList;

impl Task {
    /// Its list of what semaphore operations are to take back, made if it has none.
    pub(crate) fn undo_list(&self) -> Arc<UndoList> {
        let namespace = self.ipc_namespace();
        let new = || UndoList::new(namespace.objects().budget());
        self.undo_list.lock().get_or_insert_with(new).clone()
    }

    /// Whether it has one list with `other`, or neither has any.
    pub(crate) fn shares_undo_list(&self, other: &Self) -> bool {
        let list = |task: &Self| task.undo_list.lock().as_ref().map(Arc::as_ptr);
        list(self) == list(other)
    }

    /// Leaves the list: what is on it is taken back, unless other tasks share it (`man 2 unshare`, CLONE_SYSVSEM).
    pub(super) fn leave_undo_list(&self) {
        let list = self.undo_list.lock().take();
        if let Some(list) = list {
            list.leave(&self.group.identity());
        }
    }

    /// Leaves its IPC namespace, to end or to enter another (`man 7 ipc_namespaces`).
    pub(super) fn leave_ipc_namespace(&self) {
        self.leave_undo_list();
        self.ipc_namespace().objects().shared_memory.creator_left(self.id.0);
    }

    /// A number that no other task ever has.
    pub(crate) fn serial(&self) -> u64 {
        self.id.0
    }
}
