//! System V IPC (`man 7 sysvipc`), one file a kind of object.

mod message_queue;
mod semaphore;
mod shared_memory;
mod structures;

use std::sync::Arc;

use crate::Errno;
use crate::cred::{Capabilities, Credentials, Namespace};
use crate::ipc::{IpcCaller, IpcNamespace, IpcObjects, Lookup};
use crate::process_identity::ProcessIdentity;
use crate::task::CurrentTask;

pub(super) use message_queue::HANDLERS as MESSAGE_QUEUE_HANDLERS;
pub(super) use semaphore::HANDLERS as SEMAPHORE_HANDLERS;
pub(super) use shared_memory::HANDLERS as SHARED_MEMORY_HANDLERS;

// Commands of all `*ctl` calls.
const IPC_RMID: u32 = 0;
const IPC_SET: u32 = 1;
const IPC_STAT: u32 = 2;
const IPC_INFO: u32 = 3;

/// Of the calls that may wait: fail instead.
const IPC_NOWAIT: u32 = 0o4000;

/// The calling task as its IPC namespace sees it.
pub(super) struct Context {
    namespace: Arc<IpcNamespace>,
    credentials: Arc<Credentials>,
    process: ProcessIdentity,
    /// By which processes are numbered for the caller.
    pid_namespace: u64,
}

impl Context {
    pub(super) fn of(task: &CurrentTask) -> Self {
        let group = task.thread_group();
        Self {
            namespace: task.task().ipc_namespace(),
            credentials: task.credentials(),
            process: group.identity(),
            pid_namespace: group.pid_namespace().serial(),
        }
    }

    pub(super) fn namespace(&self) -> &Arc<IpcNamespace> {
        &self.namespace
    }

    /// Whether the caller has `capabilities` over the namespace.
    pub(super) fn has(&self, capabilities: Capabilities) -> bool {
        let owner = self.namespace.identity().owner();
        owner.is_some_and(|owner| self.credentials.has_in(owner, capabilities))
    }

    pub(super) fn objects(&self) -> &IpcObjects {
        self.namespace.objects()
    }

    pub(super) fn caller(&self) -> IpcCaller<'_> {
        let owner = self.namespace.identity().owner().map(|owner| &**owner);
        IpcCaller {
            credentials: &self.credentials,
            owner,
            process: &self.process,
            budget: self.objects().budget(),
        }
    }

    /// What the caller's PID namespace calls `process`.
    fn number_of(&self, process: &ProcessIdentity) -> i32 {
        process.number_in(self.pid_namespace)
    }
}

/// What a `*_STAT` call returns: nothing if it was asked by identifier, else the identifier.
fn stat_result(lookup: Lookup, id: i32) -> usize {
    if lookup == Lookup::Id { 0 } else { usize::try_from(id).unwrap_or(0) }
}

/// An identifier or a number of things as a result.
fn result_of(number: i32) -> Result<usize, Errno> {
    usize::try_from(number).map_err(|_| Errno::EINVAL)
}
