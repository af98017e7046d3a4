//! System V message queues (`man 2 msgget`, `man 2 msgop`, `man 2 msgctl`).

mod message;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;

use super::budget::{Charge, OBJECT_BYTES};
use super::registry::{Found, Object, Registry};
use super::{IpcAccess, IpcCaller, IpcLimit, IpcLimits, Lookup, PermissionChange, Permissions, now_seconds};
use crate::Errno;
use crate::cred::Capabilities;
use crate::process_identity::ProcessIdentity;

pub use self::message::{Message, Selection};
pub use self::queue::{MessageQueue, PendingReception, Received, Reception};

/// The message queues of a namespace.
#[derive(Default)]
pub struct MessageQueues {
    queues: Mutex<Registry<MessageQueue>>,
}

/// What msgctl(2) tells of a queue.
#[derive(Clone, Debug)]
pub struct MessageQueueStatus {
    /// Its identifier.
    pub id: i32,
    /// Who may do what.
    pub permissions: Permissions,
    /// Last msgsnd(2), seconds since 1970; 0 for never.
    pub sent_seconds: i64,
    /// Last msgrcv(2).
    pub received_seconds: i64,
    /// Creation, or last change by msgctl(2).
    pub changed_seconds: i64,
    /// Bytes in the queue.
    pub bytes: u64,
    /// Messages in the queue.
    pub messages: u64,
    /// Bytes that it may hold.
    pub max_bytes: u64,
    /// Who sent last.
    pub last_sender: ProcessIdentity,
    /// Who received last.
    pub last_receiver: ProcessIdentity,
}

/// What IPC_SET may change of a queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueChange {
    /// Owner and mode.
    pub permissions: PermissionChange,
    /// Bytes that it may hold.
    pub max_bytes: u64,
}

/// What all queues hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageUsage {
    /// How many queues there are.
    pub queues: usize,
    /// Messages in them.
    pub messages: usize,
    /// Bytes in those.
    pub bytes: usize,
    /// The highest index in use, which MSG_INFO returns.
    pub highest_index: usize,
}

impl MessageQueues {
    /// The identifier that the next queue is to have, or one near it; `None`: as the kernel chooses.
    pub fn next_id(&self) -> Option<i32> {
        self.queues.lock().next_id()
    }

    /// Sets that, for one queue (`/proc/sys/kernel/*_next_id`).
    pub fn set_next_id(&self, id: Option<i32>) {
        self.queues.lock().set_next_id(id);
    }

    /// msgget(2): the identifier of the queue of `key`, made if `flags` say so.
    ///
    /// # Errors
    /// ENOENT, EEXIST, EACCES, ENOSPC, ENOMEM, as the manual page has them.
    pub fn get(
        &self,
        (key, flags): (i32, u32),
        limits: &IpcLimits,
        caller: &IpcCaller<'_>,
    ) -> Result<i32, Errno> {
        let mut queues = self.queues.lock();
        if let Found::Existing(queue) = queues.open(key, flags, caller, |_| Ok(()))? {
            return Ok(queue.id);
        }
        let charge = Charge::new(caller.budget, OBJECT_BYTES)?;
        let place = queues.place(limits.get(IpcLimit::Queues).try_into().unwrap_or(u32::MAX))?;
        let permissions = Permissions::new(key, flags, place.sequence, caller);
        let max_bytes = limits.get(IpcLimit::QueueBytes);
        queues.insert(place, Arc::new(MessageQueue::new(place.id(), max_bytes, permissions, charge)));
        Ok(place.id())
    }

    /// The queue with this identifier.
    ///
    /// # Errors
    /// EINVAL.
    pub fn find(&self, id: i32) -> Result<Arc<MessageQueue>, Errno> {
        self.queues.lock().get(id)
    }

    /// msgctl(2) with IPC_STAT, MSG_STAT or MSG_STAT_ANY.
    ///
    /// # Errors
    /// EINVAL, EACCES.
    pub fn status(
        &self,
        id: i32,
        lookup: Lookup,
        caller: &IpcCaller<'_>,
    ) -> Result<MessageQueueStatus, Errno> {
        let queue = {
            let queues = self.queues.lock();
            if lookup == Lookup::Id { queues.get(id)? } else { queues.at_index(id)? }
        };
        if lookup != Lookup::AnyIndex {
            queue.permissions().check(IpcAccess::READ, caller)?;
        }
        Ok(status_of(&queue))
    }

    /// Every queue, by index: /proc/sysvipc/msg.
    pub fn statuses(&self) -> Vec<MessageQueueStatus> {
        let queues: Vec<_> = self.queues.lock().iter().cloned().collect();
        queues.iter().map(|queue| status_of(queue)).collect()
    }

    /// What all queues hold.
    pub fn usage(&self) -> MessageUsage {
        let queues = self.queues.lock();
        let mut usage = MessageUsage {
            queues: queues.len(),
            messages: 0,
            bytes: 0,
            highest_index: queues.highest_index(),
        };
        for queue in queues.iter() {
            let state = queue.state();
            usage.messages += state.messages.len();
            usage.bytes += state.bytes;
        }
        usage
    }

    /// msgctl(2) with IPC_SET. Who waits looks again.
    ///
    /// # Errors
    /// EINVAL; EPERM, also for more bytes than `kernel.msgmnb` without CAP_SYS_RESOURCE.
    pub fn change(
        &self,
        id: i32,
        change: QueueChange,
        limits: &IpcLimits,
        caller: &IpcCaller<'_>,
    ) -> Result<(), Errno> {
        let queue = self.find(id)?;
        let mut state = queue.state();
        state.permissions.check_owner(caller)?;
        let is_beyond = change.max_bytes > limits.get(IpcLimit::QueueBytes);
        if is_beyond && !caller.has(Capabilities::SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
        state.permissions.change(change.permissions)?;
        state.max_bytes = change.max_bytes;
        state.changed_seconds = now_seconds();
        queue.reconsider(&mut state);
        Ok(())
    }

    /// msgctl(2) with IPC_RMID. Who waits gets EIDRM.
    ///
    /// # Errors
    /// EINVAL, EPERM.
    pub fn remove(&self, id: i32, caller: &IpcCaller<'_>) -> Result<(), Errno> {
        let queue = {
            let mut queues = self.queues.lock();
            let queue = queues.get(id)?;
            queue.permissions().check_owner(caller)?;
            queues.remove(id);
            queue
        };
        queue.close();
        Ok(())
    }
}

fn status_of(queue: &MessageQueue) -> MessageQueueStatus {
    let state = queue.state();
    MessageQueueStatus {
        id: queue.id,
        permissions: state.permissions,
        sent_seconds: state.sent_seconds,
        received_seconds: state.received_seconds,
        changed_seconds: state.changed_seconds,
        bytes: state.bytes as u64,
        messages: state.messages.len() as u64,
        max_bytes: state.max_bytes,
        last_sender: state.last_sender.clone(),
        last_receiver: state.last_receiver.clone(),
    }
}
