//! The limits of an IPC namespace: /proc/sys/kernel and /proc/sys/fs/mqueue (`man 5 proc_sys_kernel`, `man 7 mq_overview`).

use super::registry::MAX_OBJECTS;
use crate::Errno;

/// Most that a number in /proc/sys can be.
const INT_MAX: u64 = i32::MAX as u64;
/// `HARD_MSGMAX` of POSIX message queues: what even the privileged may not exceed.
pub const HARD_MAX_MESSAGES: u64 = 65_536;
/// `HARD_MSGSIZEMAX` of POSIX message queues, in bytes.
pub const HARD_MAX_MESSAGE_BYTES: u64 = 16 << 20;
/// Most semaphores of a set: fewer than Linux allows, since a call may copy the values of all.
const MAX_SET_LEN: u32 = 65_536;
const MIN_MESSAGE_SIZE_LIMIT: u64 = 128;

/// A limit that is one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpcLimit {
    /// `shmmax`: bytes of one shared memory segment.
    SegmentBytes,
    /// `shmall`: pages of all segments.
    SegmentPages,
    /// `shmmni`: segments.
    Segments,
    /// `msgmax`: bytes of one System V message.
    MessageBytes,
    /// `msgmnb`: bytes that a new System V message queue can hold.
    QueueBytes,
    /// `msgmni`: System V message queues.
    Queues,
    /// `fs.mqueue.queues_max`: POSIX message queues.
    PosixQueues,
    /// `fs.mqueue.msg_max`: messages of a POSIX queue.
    PosixMessages,
    /// `fs.mqueue.msg_default`: messages of a POSIX queue, if its maker does not say.
    PosixMessagesDefault,
    /// `fs.mqueue.msgsize_max`: bytes of a POSIX message.
    PosixMessageBytes,
    /// `fs.mqueue.msgsize_default`: bytes of a POSIX message, if the queue's maker does not say.
    PosixMessageBytesDefault,
}

/// `kernel.sem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemaphoreLimits {
    /// `SEMMSL`: semaphores of a set.
    pub set_len: u32,
    /// `SEMMNS`: semaphores of all sets.
    pub total: u32,
    /// `SEMOPM`: operations of one semop(2).
    pub operations: u32,
    /// `SEMMNI`: sets.
    pub sets: u32,
}

/// The limits of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpcLimits {
    numbers: [u64; 11],
    /// `kernel.sem`.
    pub semaphores: SemaphoreLimits,
}

impl Default for IpcLimits {
    fn default() -> Self {
        let unlimited = u64::MAX - (1 << 24);
        Self {
            numbers: [unlimited, unlimited, 4096, 8192, 16_384, 32_000, 256, 10, 10, 8192, 8192],
            semaphores: SemaphoreLimits {
                set_len: 32_000,
                total: 1_024_000_000,
                operations: 500,
                sets: 32_000,
            },
        }
    }
}

impl IpcLimits {
    /// A limit's value now, in its own unit.
    pub fn get(&self, limit: IpcLimit) -> u64 {
        self.numbers[limit as usize]
    }

    /// Sets one limit.
    ///
    /// # Errors
    /// EINVAL if it cannot be that.
    pub fn set(&mut self, limit: IpcLimit, value: u64) -> Result<(), Errno> {
        let range = match limit {
            IpcLimit::SegmentBytes | IpcLimit::SegmentPages => 0..=u64::MAX,
            IpcLimit::Segments | IpcLimit::Queues => 0..=u64::from(MAX_OBJECTS),
            IpcLimit::MessageBytes | IpcLimit::QueueBytes | IpcLimit::PosixQueues => 0..=INT_MAX,
            IpcLimit::PosixMessages | IpcLimit::PosixMessagesDefault => 1..=HARD_MAX_MESSAGES,
            IpcLimit::PosixMessageBytes | IpcLimit::PosixMessageBytesDefault => {
                MIN_MESSAGE_SIZE_LIMIT..=HARD_MAX_MESSAGE_BYTES
            }
        };
        if !range.contains(&value) {
            return Err(Errno::EINVAL);
        }
        self.numbers[limit as usize] = value;
        Ok(())
    }

    /// Sets as many of the four numbers of `kernel.sem` as are given.
    ///
    /// # Errors
    /// EINVAL if one cannot be that.
    pub fn set_semaphores(&mut self, values: &[u64]) -> Result<(), Errno> {
        let mut limits = self.semaphores;
        let places = [&mut limits.set_len, &mut limits.total, &mut limits.operations, &mut limits.sets];
        if values.len() > places.len() {
            return Err(Errno::EINVAL);
        }
        for (place, value) in places.into_iter().zip(values) {
            *place = u32::try_from(*value)
                .ok()
                .filter(|value| u64::from(*value) <= INT_MAX)
                .ok_or(Errno::EINVAL)?;
        }
        if limits.sets > MAX_OBJECTS || limits.set_len > MAX_SET_LEN {
            return Err(Errno::EINVAL);
        }
        self.semaphores = limits;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
