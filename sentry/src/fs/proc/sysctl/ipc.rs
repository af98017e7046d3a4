//! The limits of the viewer's IPC namespace: part of /proc/sys/kernel, and /proc/sys/fs/mqueue.

use std::sync::Arc;

use super::About;
use crate::Errno;
use crate::cred::{Capabilities, Namespace};
use crate::fs::Viewer;
use crate::fs::pseudo::{Directory, Entry, setting};
use crate::ipc::{IpcLimit, IpcLimits, IpcNamespace};

/// A limit that is one number.
macro_rules! limit {
    ($name:literal, $limit:ident) => {
        setting(
            $name,
            |about, viewer| number(about, viewer, IpcLimit::$limit),
            |about, viewer, text| set_number(about, viewer, IpcLimit::$limit, text),
        )
    };
}

pub(super) const MESSAGE_BYTES: Entry<About> = limit!("msgmax", MessageBytes);
pub(super) const QUEUE_BYTES: Entry<About> = limit!("msgmnb", QueueBytes);
pub(super) const QUEUES: Entry<About> = limit!("msgmni", Queues);
pub(super) const SEGMENT_PAGES: Entry<About> = limit!("shmall", SegmentPages);
pub(super) const SEGMENT_BYTES: Entry<About> = limit!("shmmax", SegmentBytes);
pub(super) const SEGMENTS: Entry<About> = limit!("shmmni", Segments);
pub(super) const SEMAPHORES: Entry<About> = setting("sem", semaphores, set_semaphores);
pub(super) const FORCED_REMOVAL: Entry<About> =
    setting("shm_rmid_forced", forced_removal, set_forced_removal);

/// The identifier that the next object of a kind is to have (CONFIG_CHECKPOINT_RESTORE); -1 for whatever comes.
macro_rules! next_id {
    ($name:literal, $objects:ident) => {
        setting(
            $name,
            |about, viewer| {
                let id = namespace(about, viewer)?.objects().$objects.next_id();
                Ok(format!("{}\n", id.unwrap_or(-1)).into_bytes())
            },
            |about, viewer, text| {
                let namespace = changeable_namespace(about, viewer)?;
                let id = i32::try_from(one(&numbers(text)?)?).map_err(|_| Errno::EINVAL)?;
                namespace.objects().$objects.set_next_id(Some(id));
                Ok(())
            },
        )
    };
}

pub(super) const NEXT_QUEUE: Entry<About> = next_id!("msg_next_id", message_queues);
pub(super) const NEXT_SET: Entry<About> = next_id!("sem_next_id", semaphores);
pub(super) const NEXT_SEGMENT: Entry<About> = next_id!("shm_next_id", shared_memory);

/// /proc/sys/fs/mqueue.
pub(super) static MQUEUE: Directory<About> = Directory {
    entries: &[
        limit!("msg_default", PosixMessagesDefault),
        limit!("msg_max", PosixMessages),
        limit!("msgsize_default", PosixMessageBytesDefault),
        limit!("msgsize_max", PosixMessageBytes),
        limit!("queues_max", PosixQueues),
    ],
    children: None,
};

fn namespace(about: &About, viewer: &Viewer) -> Result<Arc<IpcNamespace>, Errno> {
    about.source().ipc_namespace(viewer).ok_or(Errno::ESRCH)
}

/// The namespace, if the viewer may change its limits.
fn changeable_namespace(about: &About, viewer: &Viewer) -> Result<Arc<IpcNamespace>, Errno> {
    let namespace = namespace(about, viewer)?;
    let owner = namespace.identity().owner();
    let is_allowed = owner.is_some_and(|owner| viewer.credentials.has_in(owner, Capabilities::SYS_ADMIN));
    if is_allowed { Ok(namespace) } else { Err(Errno::EPERM) }
}

fn number(about: &About, viewer: &Viewer, limit: IpcLimit) -> Result<Vec<u8>, Errno> {
    let limits = namespace(about, viewer)?.objects().limits();
    Ok(format!("{}\n", limits.get(limit)).into_bytes())
}

fn set_number(about: &About, viewer: &Viewer, limit: IpcLimit, text: &[u8]) -> Result<(), Errno> {
    change(about, viewer, text, |limits, numbers| limits.set(limit, one(numbers)?))
}

fn semaphores(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let limits = namespace(about, viewer)?.objects().limits().semaphores;
    let line = format!("{}\t{}\t{}\t{}\n", limits.set_len, limits.total, limits.operations, limits.sets);
    Ok(line.into_bytes())
}

fn set_semaphores(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    change(about, viewer, text, IpcLimits::set_semaphores)
}

fn forced_removal(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let is_forced = namespace(about, viewer)?.objects().shared_memory.forces_removal();
    Ok(format!("{}\n", u8::from(is_forced)).into_bytes())
}

fn set_forced_removal(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let namespace = changeable_namespace(about, viewer)?;
    let is_forced = match one(&numbers(text)?)? {
        0 => false,
        1 => true,
        _ => return Err(Errno::EINVAL),
    };
    namespace.objects().shared_memory.set_forces_removal(is_forced);
    Ok(())
}

fn change(
    about: &About,
    viewer: &Viewer,
    text: &[u8],
    set: impl FnOnce(&mut IpcLimits, &[u64]) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let namespace = changeable_namespace(about, viewer)?;
    let numbers = numbers(text)?;
    namespace.objects().with_limits(|limits| set(limits, &numbers))
}

/// The numbers that were written.
fn numbers(text: &[u8]) -> Result<Vec<u64>, Errno> {
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    text.split_whitespace().map(|number| number.parse().map_err(|_| Errno::EINVAL)).collect()
}

fn one(numbers: &[u64]) -> Result<u64, Errno> {
    match numbers {
        [number] => Ok(*number),
        _ => Err(Errno::EINVAL),
    }
}
