//! What the calls of System V IPC show of objects and limits, and take for changes.

use super::Context;
use crate::abi::{IpcPerm, MsgInfo, MsqidDs, SemInfo, SemidDs, ShmInfo, ShmLimits, ShmidDs};
use crate::cred::{Gid, Uid};
use crate::ipc::{
    IpcLimit, IpcLimits, MAX_SEMAPHORE_VALUE, MessageQueueStatus, MessageUsage, PermissionChange,
    Permissions, SegmentStatus, SemaphoreSetStatus, SemaphoreUsage, SharedMemoryUsage,
};
use crate::task::CurrentTask;
use crate::width::u64_from;

/// What Linux calls the size of an undo structure (`SEMUSZ`).
const UNDO_BYTES: u64 = 20;
/// What Linux calls a message segment (`MSGSSZ`).
const MESSAGE_SEGMENT_BYTES: u32 = 16;

fn int(number: u64) -> u32 {
    u32::try_from(number.min(i32::MAX.cast_unsigned().into())).unwrap_or(0)
}

fn permissions(permissions: &Permissions, context: &Context) -> IpcPerm {
    let shown = permissions.shown_in(&context.credentials.user_namespace);
    IpcPerm {
        key: shown.key,
        uid: shown.uid.0,
        gid: shown.gid.0,
        cuid: shown.creator_uid.0,
        cgid: shown.creator_gid.0,
        mode: shown.mode,
        seq: shown.sequence,
        ..IpcPerm::default()
    }
}

/// What shmctl(2) shows of a segment.
pub(super) fn segment(status: &SegmentStatus, context: &Context) -> ShmidDs {
    ShmidDs {
        shm_perm: permissions(&status.permissions, context),
        shm_segsz: status.size_bytes,
        shm_atime: status.attached_seconds,
        shm_dtime: status.detached_seconds,
        shm_ctime: status.changed_seconds,
        shm_cpid: context.number_of(&status.creator),
        shm_lpid: context.number_of(&status.last_process),
        shm_nattch: status.attachments,
        ..ShmidDs::default()
    }
}

/// What semctl(2) shows of a set.
pub(super) fn semaphore_set(status: &SemaphoreSetStatus, context: &Context) -> SemidDs {
    SemidDs {
        sem_perm: permissions(&status.permissions, context),
        sem_otime: status.operated_seconds,
        sem_ctime: status.changed_seconds,
        sem_nsems: u64_from(status.len),
        ..SemidDs::default()
    }
}

/// What msgctl(2) shows of a queue.
pub(super) fn queue(status: &MessageQueueStatus, context: &Context) -> MsqidDs {
    MsqidDs {
        msg_perm: permissions(&status.permissions, context),
        msg_stime: status.sent_seconds,
        msg_rtime: status.received_seconds,
        msg_ctime: status.changed_seconds,
        msg_cbytes: status.bytes,
        msg_qnum: status.messages,
        msg_qbytes: status.max_bytes,
        msg_lspid: context.number_of(&status.last_sender),
        msg_lrpid: context.number_of(&status.last_receiver),
        ..MsqidDs::default()
    }
}

/// What IPC_SET changes, as the structure's permissions say.
pub(super) fn change_of(task: &CurrentTask, wanted: &IpcPerm) -> PermissionChange {
    let credentials = task.credentials();
    let namespace = &credentials.user_namespace;
    PermissionChange {
        uid: namespace.to_kernel_uid(Uid(wanted.uid)),
        gid: namespace.to_kernel_gid(Gid(wanted.gid)),
        mode: wanted.mode,
    }
}

/// The limits of shared memory.
pub(super) fn segment_limits(limits: &IpcLimits) -> ShmLimits {
    const MIN_BYTES: u64 = 1;
    let segments = limits.get(IpcLimit::Segments);
    ShmLimits {
        shmmax: limits.get(IpcLimit::SegmentBytes),
        shmmin: MIN_BYTES,
        shmmni: segments,
        shmseg: segments,
        shmall: limits.get(IpcLimit::SegmentPages),
        ..ShmLimits::default()
    }
}

/// What there is of shared memory. Nothing is ever swapped.
pub(super) fn segment_usage(usage: &SharedMemoryUsage) -> ShmInfo {
    ShmInfo {
        used_ids: int(u64_from(usage.segments)),
        shm_tot: usage.total_pages,
        shm_rss: usage.resident_pages,
        ..ShmInfo::default()
    }
}

/// The limits of semaphores, or with what there is in the places that Linux puts that.
pub(super) fn semaphore_limits(limits: &IpcLimits, usage: Option<&SemaphoreUsage>) -> SemInfo {
    let limits = limits.semaphores;
    let (undo_bytes, largest_adjustment) = match usage {
        None => (UNDO_BYTES, u64::from(MAX_SEMAPHORE_VALUE)),
        Some(usage) => (u64_from(usage.sets), u64_from(usage.semaphores)),
    };
    SemInfo {
        semmap: limits.total,
        semmni: limits.sets,
        semmns: limits.total,
        semmnu: limits.total,
        semmsl: limits.set_len,
        semopm: limits.operations,
        semume: limits.operations,
        semusz: int(undo_bytes),
        semvmx: MAX_SEMAPHORE_VALUE.into(),
        semaem: int(largest_adjustment),
    }
}

/// The limits of message queues, or with what there is in the places that Linux puts that.
pub(super) fn queue_limits(limits: &IpcLimits, usage: Option<&MessageUsage>) -> MsgInfo {
    let number = |limit| int(limits.get(limit));
    let default = |limit| int(IpcLimits::default().get(limit));
    let (queues, queue_bytes) = (default(IpcLimit::Queues), default(IpcLimit::QueueBytes));
    let (msgpool, msgmap, msgtql) = match usage {
        // In KiB, as Linux reckons it from its defaults.
        None => (queues.saturating_mul(queue_bytes / 1024), queue_bytes, queue_bytes),
        Some(usage) => {
            (int(u64_from(usage.queues)), int(u64_from(usage.messages)), int(u64_from(usage.bytes)))
        }
    };
    MsgInfo {
        msgpool,
        msgmap,
        msgmax: number(IpcLimit::MessageBytes),
        msgmnb: number(IpcLimit::QueueBytes),
        msgmni: number(IpcLimit::Queues),
        msgssz: MESSAGE_SEGMENT_BYTES,
        msgtql,
        msgseg: u16::MAX,
        padding: 0,
    }
}
