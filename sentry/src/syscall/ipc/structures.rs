//! The structures of System V IPC in user memory, as words of eight bytes (`asm/shmbuf.h`, `asm/sembuf.h`,
//! `asm/msgbuf.h` of x86-64).

use super::Context;
use crate::Errno;
use crate::cred::{Gid, Uid};
use crate::ipc::{
    IpcLimit, IpcLimits, MAX_SEMAPHORE_VALUE, MessageQueueStatus, MessageUsage, PermissionChange,
    Permissions, QueueChange, SegmentStatus, SemaphoreSetStatus, SemaphoreUsage, SharedMemoryUsage,
};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

/// Words of `struct ipc64_perm`.
const PERMISSIONS_WORDS: usize = 6;
/// Words of `struct shmid64_ds`.
const SEGMENT_WORDS: usize = 14;
/// Words of `struct semid64_ds`.
const SEMAPHORE_SET_WORDS: usize = 13;
/// Words of `struct msqid64_ds`.
const QUEUE_WORDS: usize = 15;
/// What Linux calls the size of an undo structure (`SEMUSZ`).
const UNDO_BYTES: u64 = 20;
/// What Linux calls a message segment (`MSGSSZ`).
const MESSAGE_SEGMENT_BYTES: u64 = 16;

/// Two words of four bytes as one of eight.
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn int(number: u64) -> u32 {
    u32::try_from(number.min(i32::MAX as u64)).unwrap_or(0)
}

/// `head` and, from word `start` on, `tail`.
fn with_tail<const N: usize>(permissions: &Permissions, context: &Context, tail: &[u64]) -> [u64; N] {
    let mut words = [0; N];
    let head = permission_words(&permissions.shown_in(&context.credentials.user_namespace));
    for (place, word) in words.iter_mut().zip(head.iter().chain(tail)) {
        *place = *word;
    }
    words
}

fn permission_words(permissions: &Permissions<Uid, Gid>) -> [u64; PERMISSIONS_WORDS] {
    [
        pair(permissions.key.cast_unsigned(), permissions.uid.0),
        pair(permissions.gid.0, permissions.creator_uid.0),
        pair(permissions.creator_gid.0, permissions.mode),
        permissions.sequence.into(),
        0,
        0,
    ]
}

/// `struct shmid64_ds`.
pub(super) fn segment(status: &SegmentStatus, context: &Context) -> [u64; SEGMENT_WORDS] {
    let number = |process| context.number_of(process).cast_unsigned();
    with_tail(
        &status.permissions,
        context,
        &[
            status.size_bytes,
            status.attached_seconds.cast_unsigned(),
            status.detached_seconds.cast_unsigned(),
            status.changed_seconds.cast_unsigned(),
            pair(number(&status.creator), number(&status.last_process)),
            status.attachments,
        ],
    )
}

/// `struct semid64_ds`.
pub(super) fn semaphore_set(status: &SemaphoreSetStatus, context: &Context) -> [u64; SEMAPHORE_SET_WORDS] {
    let operated = status.operated_seconds.cast_unsigned();
    let changed = status.changed_seconds.cast_unsigned();
    with_tail(&status.permissions, context, &[operated, 0, changed, 0, status.len as u64])
}

/// `struct msqid64_ds`.
pub(super) fn queue(status: &MessageQueueStatus, context: &Context) -> [u64; QUEUE_WORDS] {
    let number = |process| context.number_of(process).cast_unsigned();
    with_tail(
        &status.permissions,
        context,
        &[
            status.sent_seconds.cast_unsigned(),
            status.received_seconds.cast_unsigned(),
            status.changed_seconds.cast_unsigned(),
            status.bytes,
            status.messages,
            status.max_bytes,
            pair(number(&status.last_sender), number(&status.last_receiver)),
        ],
    )
}

/// What IPC_SET changes, of the structure at `address`.
pub(super) fn read_change(task: &CurrentTask, address: u64) -> Result<PermissionChange, Errno> {
    let words: [u64; PERMISSIONS_WORDS] = task.memory().read_object(VirtualAddress(address))?;
    Ok(change_of(task, &words))
}

/// What IPC_SET changes of a message queue.
pub(super) fn read_queue_change(task: &CurrentTask, address: u64) -> Result<QueueChange, Errno> {
    let words: [u64; QUEUE_WORDS] = task.memory().read_object(VirtualAddress(address))?;
    Ok(QueueChange { permissions: change_of(task, &words), max_bytes: words[11] })
}

fn change_of(task: &CurrentTask, words: &[u64]) -> PermissionChange {
    let half = |index: usize| {
        let word = words.get(index / 2).copied().unwrap_or(0);
        (word >> (index % 2 * 32)) as u32
    };
    let credentials = task.credentials();
    let namespace = &credentials.user_namespace;
    PermissionChange {
        uid: namespace.to_kernel_uid(Uid(half(1))),
        gid: namespace.to_kernel_gid(Gid(half(2))),
        mode: half(5),
    }
}

/// `struct shminfo64`.
pub(super) fn segment_limits(limits: &IpcLimits) -> [u64; 9] {
    const MIN_BYTES: u64 = 1;
    let segments = limits.get(IpcLimit::Segments);
    let (bytes, pages) = (limits.get(IpcLimit::SegmentBytes), limits.get(IpcLimit::SegmentPages));
    [bytes, MIN_BYTES, segments, segments, pages, 0, 0, 0, 0]
}

/// `struct shm_info`. Nothing is ever swapped.
pub(super) fn segment_usage(usage: &SharedMemoryUsage) -> [u64; 6] {
    [usage.segments as u64, usage.total_pages, usage.resident_pages, 0, 0, 0]
}

/// `struct seminfo`, of the limits, or with what there is in the places that Linux puts that.
pub(super) fn semaphore_limits(limits: &IpcLimits, usage: Option<&SemaphoreUsage>) -> [u64; 5] {
    let limits = limits.semaphores;
    let (undo_bytes, largest_adjustment) = match usage {
        None => (UNDO_BYTES, u64::from(MAX_SEMAPHORE_VALUE)),
        Some(usage) => (usage.sets as u64, usage.semaphores as u64),
    };
    [
        pair(limits.total, limits.sets),
        pair(limits.total, limits.total),
        pair(limits.set_len, limits.operations),
        pair(limits.operations, int(undo_bytes)),
        pair(MAX_SEMAPHORE_VALUE.into(), int(largest_adjustment)),
    ]
}

/// `struct msginfo`, of the limits, or with what there is in the places that Linux puts that.
pub(super) fn queue_limits(limits: &IpcLimits, usage: Option<&MessageUsage>) -> [u64; 4] {
    let number = |limit| int(limits.get(limit));
    let default = |limit| int(IpcLimits::default().get(limit));
    let (queues, queue_bytes) = (default(IpcLimit::Queues), default(IpcLimit::QueueBytes));
    let (pool, map, headers) = match usage {
        // In KiB, as Linux reckons it from its defaults.
        None => (queues.saturating_mul(queue_bytes / 1024), queue_bytes, queue_bytes),
        Some(usage) => (int(usage.queues as u64), int(usage.messages as u64), int(usage.bytes as u64)),
    };
    let segments = u64::from(u16::MAX);
    [
        pair(pool, map),
        pair(number(IpcLimit::MessageBytes), number(IpcLimit::QueueBytes)),
        pair(number(IpcLimit::Queues), int(MESSAGE_SEGMENT_BYTES)),
        u64::from(headers) | segments << 32,
    ]
}
