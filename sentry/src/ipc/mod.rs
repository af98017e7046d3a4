//! System V IPC (`man 7 sysvipc`) and POSIX message queues (`man 7 mq_overview`), as one IPC namespace has them.
//!
//! An [`IpcObjects`] is what a namespace owns. Each kind of System V object has a registry of identifiers and keys, and a
//! lock in each object; a segment that is attached, and a queue that is open, outlive the namespace.
//!
//! What would block leaves an entry in the object before it sleeps. Who makes room completes the sleeper's operation for
//! it, in order of arrival, so that nobody is overtaken for ever; the entry's own queue then wakes the sleeper.
//!
//! Locks: a registry, then an object's state, then an entry's outcome or a [`WaitQueue`](crate::wait::WaitQueue). The
//! limits and the undo lists of processes are leaves. Of the memory room only the locks of page caches are taken within these.

mod budget;
mod limits;
mod message_queue;
mod namespace;
mod permissions;
mod posix_queue;
mod registry;
mod semaphore;
mod shared_memory;

use std::sync::Arc;

use parking_lot::Mutex;

pub use budget::IpcBudget;
pub use limits::{HARD_MAX_MESSAGE_BYTES, HARD_MAX_MESSAGES, IpcLimit, IpcLimits, SemaphoreLimits};
pub use message_queue::{
    Message, MessageQueue, MessageQueueStatus, MessageQueues, MessageUsage, PendingReception, QueueChange,
    Received, Reception, Selection,
};
pub use namespace::IpcNamespace;
pub use permissions::{IpcAccess, PermissionChange, Permissions};
pub use posix_queue::{
    COOKIE_BYTES, Cookie, CookieReceiver, MAX_PRIORITIES, Notification, NotificationKind,
    PendingPosixReception, PosixQueue, PosixQueueStatus, PosixQueues, PosixReceived, QueueAttributes,
    QueueCreation, QueueNode,
};
pub use semaphore::{
    MAX_SEMAPHORE_VALUE, PendingOperation, Semaphore, SemaphoreOperation, SemaphoreOperations,
    SemaphoreOutcome, SemaphoreSetStatus, SemaphoreUsage, Semaphores, UndoList,
};
pub use shared_memory::{AttachFlags, SegmentStatus, SharedMemory, SharedMemoryUsage};

use crate::cred::{Capabilities, Credentials, UserNamespace};
use crate::process_identity::ProcessIdentity;

/// The key of objects that are found by identifier only.
pub const IPC_PRIVATE: i32 = 0;

/// Who makes a call.
#[derive(Clone, Copy)]
pub struct IpcCaller<'a> {
    /// What it may do.
    pub credentials: &'a Credentials,
    /// The user namespace that owns the IPC namespace: capabilities count there.
    pub owner: Option<&'a UserNamespace>,
    /// For `lspid`, `lrpid` and their kin.
    pub process: &'a ProcessIdentity,
    /// What new objects are charged to.
    pub budget: &'a Arc<IpcBudget>,
}

impl IpcCaller<'_> {
    /// Whether the caller has `capabilities` over the namespace.
    fn has(&self, capabilities: Capabilities) -> bool {
        self.owner.is_some_and(|owner| self.credentials.has_in(owner, capabilities))
    }
}

/// How a `*ctl` call names an object that it asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// By identifier (IPC_STAT).
    Id,
    /// By index (SHM_STAT and its like).
    Index,
    /// By index, whether or not the object may be read (SHM_STAT_ANY and its like).
    AnyIndex,
}

/// The objects of an IPC namespace, and their limits.
#[derive(Default)]
pub struct IpcObjects {
    /// Shared memory segments.
    pub shared_memory: Arc<SharedMemory>,
    /// Semaphore sets.
    pub semaphores: Semaphores,
    /// System V message queues.
    pub message_queues: MessageQueues,
    /// POSIX message queues.
    pub posix_queues: PosixQueues,
    limits: Mutex<IpcLimits>,
    budget: Arc<IpcBudget>,
}

impl IpcObjects {
    /// None yet, to be charged to `budget`.
    pub fn new(budget: Arc<IpcBudget>) -> Self {
        Self { budget, ..Self::default() }
    }

    /// What they are charged to, with those of all namespaces of the kernel.
    pub fn budget(&self) -> &Arc<IpcBudget> {
        &self.budget
    }

    /// The limits, as they are now.
    pub fn limits(&self) -> IpcLimits {
        *self.limits.lock()
    }

    /// Changes kernel.shmmax and its kin for the whole namespace.
    pub fn with_limits<T>(&self, change: impl FnOnce(&mut IpcLimits) -> T) -> T {
        change(&mut self.limits.lock())
    }
}

impl std::fmt::Debug for IpcObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IpcObjects").finish_non_exhaustive()
    }
}

/// Seconds since 1970, as the objects are stamped.
fn now_seconds() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse).tv_sec
}

/// Does `test` as process 1, of a user with these credentials, in a namespace of the initial user namespace.
#[cfg(test)]
fn with_caller<T>(credentials: &Credentials, test: impl FnOnce(&IpcCaller<'_>) -> T) -> T {
    let (owner, process) = (UserNamespace::initial(), ProcessIdentity::new([(0, 1)]));
    test(&IpcCaller { credentials, owner: Some(&owner), process: &process, budget: &Default::default() })
}
