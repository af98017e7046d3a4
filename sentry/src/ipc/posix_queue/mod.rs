//! POSIX message queues (`man 7 mq_overview`): the queues of a namespace, by name.
//!
//! Their file system, through which they are opened and named, is [`fs::mqueue`](crate::fs::mqueue).

mod notification;
mod queue;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::budget::{Charge, OBJECT_BYTES};
use super::{HARD_MAX_MESSAGE_BYTES, HARD_MAX_MESSAGES, IpcBudget, IpcLimit, IpcLimits};
use crate::Errno;
use crate::limits::MessageQueueCharge;

pub use self::notification::{COOKIE_BYTES, Cookie, CookieReceiver, Notification, NotificationKind};
pub use self::queue::{PendingPosixReception, PosixQueue, PosixQueueStatus, PosixReceived};

/// Priorities are below this (`MQ_PRIO_MAX`).
pub const MAX_PRIORITIES: u32 = 32_768;
/// What a user is charged for each message beside its text, and for each priority (Linux: `struct msg_msg`,
/// `struct posix_msg_tree_node`).
const MESSAGE_HEAD_BYTES: u64 = 48;

/// How much a queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueAttributes {
    /// Messages (`mq_maxmsg`).
    pub max_messages: usize,
    /// Bytes of one message (`mq_msgsize`).
    pub message_bytes: usize,
}

impl QueueAttributes {
    /// Those of a queue whose maker gives none.
    pub fn default_of(limits: &IpcLimits) -> Self {
        let lower =
            |default, max| usize::try_from(limits.get(default).min(limits.get(max))).unwrap_or(usize::MAX);
        Self {
            max_messages: lower(IpcLimit::PosixMessagesDefault, IpcLimit::PosixMessages),
            message_bytes: lower(IpcLimit::PosixMessageBytesDefault, IpcLimit::PosixMessageBytes),
        }
    }

    /// Those that are asked for, within `limits` unless the maker is privileged.
    ///
    /// # Errors
    /// EINVAL.
    pub fn checked(
        max_messages: i64,
        message_bytes: i64,
        limits: &IpcLimits,
        is_privileged: bool,
    ) -> Result<Self, Errno> {
        let (most_messages, most_bytes) = if is_privileged {
            (HARD_MAX_MESSAGES, HARD_MAX_MESSAGE_BYTES)
        } else {
            (limits.get(IpcLimit::PosixMessages), limits.get(IpcLimit::PosixMessageBytes))
        };
        let check = |value: i64, most: u64| {
            let value = u64::try_from(value).ok().filter(|value| (1..=most).contains(value));
            value.and_then(|value| usize::try_from(value).ok()).ok_or(Errno::EINVAL)
        };
        Ok(Self {
            max_messages: check(max_messages, most_messages)?,
            message_bytes: check(message_bytes, most_bytes)?,
        })
    }

    /// What the maker's user is charged for such a queue (`man 2 getrlimit`, RLIMIT_MSGQUEUE).
    pub fn charged_bytes(&self) -> u64 {
        let messages = self.max_messages as u64;
        let priorities = messages.min(MAX_PRIORITIES.into());
        let heads = (messages + priorities).saturating_mul(MESSAGE_HEAD_BYTES);
        messages.saturating_mul(self.message_bytes as u64).saturating_add(heads)
    }
}

/// A queue's file, which its file system keeps with the queue and which hears of what happens to it, under the queue's lock.
pub trait QueueNode: Any + Send + Sync {
    /// Its inode number: queues are listed in this order.
    fn ino(&self) -> u64;

    /// A message has been sent or received, or somebody wants to be told of one.
    fn touched(&self);

    /// The queue has lost its name.
    fn unlinked(&self);
}

/// A queue to be made.
pub struct QueueCreation {
    /// How much it may hold.
    pub attributes: QueueAttributes,
    /// Its file.
    pub node: Arc<dyn QueueNode>,
    /// What its maker's user is charged with while it exists.
    pub user_charge: Option<MessageQueueCharge>,
    /// The limit of `queues_max` does not count.
    pub is_privileged: bool,
}

/// The named queues of a namespace.
#[derive(Default)]
pub struct PosixQueues {
    queues: Mutex<BTreeMap<Vec<u8>, Arc<PosixQueue>>>,
}

impl PosixQueues {
    /// Makes the queue `name`, charged to `budget`.
    ///
    /// # Errors
    /// EEXIST, ENOSPC, ENOMEM.
    pub fn create(
        &self,
        name: &[u8],
        creation: QueueCreation,
        limits: &IpcLimits,
        budget: &Arc<IpcBudget>,
    ) -> Result<Arc<PosixQueue>, Errno> {
        let QueueCreation { attributes, node, user_charge, is_privileged } = creation;
        let mut queues = self.queues.lock();
        if queues.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if queues.len() as u64 >= limits.get(IpcLimit::PosixQueues) && !is_privileged {
            return Err(Errno::ENOSPC);
        }
        let charge = Charge::new(budget, OBJECT_BYTES)?;
        let queue = PosixQueue::new(attributes, node, charge, user_charge);
        queues.insert(name.to_vec(), queue.clone());
        Ok(queue)
    }

    /// The queue `name`.
    ///
    /// # Errors
    /// ENOENT.
    pub fn find(&self, name: &[u8]) -> Result<Arc<PosixQueue>, Errno> {
        self.queues.lock().get(name).cloned().ok_or(Errno::ENOENT)
    }

    /// Takes the name away. The queue goes when nobody has it open.
    ///
    /// # Errors
    /// ENOENT.
    pub fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        let queue = self.queues.lock().remove(name).ok_or(Errno::ENOENT)?;
        queue.node().unlinked();
        Ok(())
    }

    /// All queues, by inode number, which tells in which order they were made.
    pub fn list(&self) -> Vec<(u64, Vec<u8>)> {
        let queues = self.queues.lock();
        let mut list: Vec<_> =
            queues.iter().map(|(name, queue)| (queue.node().ino(), name.clone())).collect();
        drop(queues);
        list.sort_unstable();
        list
    }
}
