//! A task's keyrings (`man 7 keyrings`), and handing on the session's.

use std::sync::Arc;

use super::{CurrentTask, Task, TaskSet, ThreadGroup, Tid};
use crate::Errno;
use crate::cred::Credentials;
use crate::keys::{Caller, TaskKeyrings};

impl Task {
    /// Has the task do something with keys, as `credentials`.
    pub(crate) fn with_keys<R>(
        &self,
        credentials: &Credentials,
        action: impl FnOnce(&mut Caller<'_>) -> R,
    ) -> R {
        self.kernel.keys().with(&mut self.keyrings.lock(), credentials, action)
    }

    /// Lets the keyrings go: the task has exited.
    pub(super) fn release_keyrings(&self) {
        let none = TaskKeyrings::new(self.kernel.keys());
        let keyrings = std::mem::replace(&mut *self.keyrings.lock(), none);
        drop(keyrings);
    }
}

impl CurrentTask {
    /// Has the parent be in this task's session of keys (KEYCTL_SESSION_TO_PARENT).
    ///
    /// # Errors
    /// EPERM unless the parent is of the same user, has one thread, is not init, and both session keyrings are that user's.
    pub(crate) fn give_session_keyring_to_parent(&mut self) -> Result<(), Errno> {
        let own = self.credentials();
        let session = self.task.with_keys(&own, |caller| caller.hold_session())?;
        let parent = self.kernel().tasks().sole_task_of_parent(self.thread_group()).ok_or(Errno::EPERM)?;
        let theirs = parent.credentials();
        let has_ids = |of: &Credentials| {
            [of.real_uid, of.effective_uid, of.saved_uid] == [own.effective_uid; 3]
                && [of.real_gid, of.effective_gid, of.saved_gid] == [own.effective_gid; 3]
        };
        if !has_ids(&theirs) {
            return Err(Errno::EPERM);
        }
        parent.keyrings.lock().take_session(&session, own.effective_uid)
    }
}

impl TaskSet {
    /// The task of the parent process, if that has one only and is not init.
    fn sole_task_of_parent(&self, group: &ThreadGroup) -> Option<Arc<Task>> {
        let tree = self.tree.read();
        let parent = tree.groups.get(&tree.groups.get(&group.id())?.parent?)?;
        let task = &tree.tasks.get(parent.tasks.iter().next()?)?.task;
        let is_sole = parent.tasks.len() == 1 && task.group.tgid() != Tid::INIT.0;
        is_sole.then(|| task.clone())
    }
}
