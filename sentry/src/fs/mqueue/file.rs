//! A queue as a file.

use std::any::Any;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Errno;
use crate::fs::locks::LockOwner;
use crate::fs::{AttributeChanges, File, FileKind, Inode, Metadata, OpenFlags, Splicing, Timestamp, Viewer};
use crate::ipc::{NotificationKind, PosixQueue, QueueNode};
use crate::wait::{Events, WaitQueue};

/// The permission bits of a mode.
const PERMISSION_BITS: u32 = 0o7777;

/// What the file system keeps of a queue.
pub(super) struct QueueMetadata(Mutex<Metadata>);

impl QueueMetadata {
    pub(super) fn new(metadata: Metadata) -> Arc<Self> {
        Arc::new(Self(Mutex::new(metadata)))
    }

    /// That of `queue`.
    ///
    /// # Errors
    /// EIO: the queue is none of this file system's.
    fn of(queue: &PosixQueue) -> Result<&Self, Errno> {
        let node: &dyn Any = &**queue.node();
        node.downcast_ref().ok_or(Errno::EIO)
    }
}

impl QueueNode for QueueMetadata {
    fn ino(&self) -> u64 {
        self.0.lock().inode
    }

    fn touched(&self) {
        let (mut metadata, now) = (self.0.lock(), Timestamp::now());
        (metadata.accessed, metadata.modified, metadata.changed) = (now, now, now);
    }

    fn unlinked(&self) {
        self.0.lock().links = 0;
    }
}

pub(super) struct QueueInode {
    queue: Arc<PosixQueue>,
}

impl QueueInode {
    pub(super) fn new(queue: Arc<PosixQueue>) -> Self {
        Self { queue }
    }
}

/// Makes `changes`; the length of these files never changes.
pub(super) fn apply(metadata: &mut Metadata, changes: &AttributeChanges) {
    metadata.uid = changes.uid.unwrap_or(metadata.uid);
    metadata.gid = changes.gid.unwrap_or(metadata.gid);
    if let Some(permissions) = changes.permissions {
        metadata.mode = metadata.mode & !PERMISSION_BITS | permissions & PERMISSION_BITS;
    }
    if let Some(accessed) = changes.accessed {
        metadata.accessed = accessed.timestamp();
    }
    if let Some(modified) = changes.modified {
        metadata.modified = modified.timestamp();
    }
    metadata.changed = Timestamp::now();
}

impl Inode for QueueInode {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(*QueueMetadata::of(&self.queue)?.0.lock())
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        apply(&mut QueueMetadata::of(&self.queue)?.0.lock(), changes);
        Ok(())
    }

    fn open(self: Arc<Self>, _flags: OpenFlags, _viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(QueueFile { queue: self.queue.clone() }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open queue.
pub struct QueueFile {
    queue: Arc<PosixQueue>,
}

impl QueueFile {
    /// What mq_send(3) puts into and mq_receive(3) takes from.
    pub fn queue(&self) -> &Arc<PosixQueue> {
        &self.queue
    }
}

impl File for QueueFile {
    /// What is in the queue, and who is told of messages (`man 7 mq_overview`).
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        use linux_raw_sys::general::SIGEV_NONE;
        use linux_raw_sys::general::SIGEV_SIGNAL;
        use linux_raw_sys::general::SIGEV_THREAD;
        let status = self.queue.status();
        let (kind, signal, process) = match status.notification {
            None => (0, 0, 0),
            Some((NotificationKind::Silent, process)) => (SIGEV_NONE, 0, process),
            Some((NotificationKind::Thread, process)) => (SIGEV_THREAD, 0, process),
            Some((NotificationKind::Signal(signal, _), process)) => {
                (SIGEV_SIGNAL, signal.map_or(0, |signal| signal.number()), process)
            }
        };
        let text = format!(
            "QSIZE:{:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{process:<6}\n",
            status.bytes
        );
        let rest = usize::try_from(offset).ok().and_then(|start| text.as_bytes().get(start..));
        let rest = rest.unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn readiness(&self) -> Events {
        self.queue.readiness()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.queue.events())
    }

    fn descriptor_closed(&self, owner: LockOwner) {
        if let LockOwner::Process { table, .. } = owner {
            self.queue.closed_through(table);
        }
    }

    fn truncate(&self, _len_bytes: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(*QueueMetadata::of(&self.queue)?.0.lock())
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
