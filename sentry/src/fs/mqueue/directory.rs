//! The directory of queues.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::QueueRequest;
use super::file::{QueueInode, QueueMetadata};
use crate::Errno;
use crate::cred::{Credentials, KernelGid, KernelUid};
use crate::fs::listing::{Listed, ListedDirectory, OpenDirectory};
use crate::fs::{
    AttributeChanges, DeviceNumber, File, FileKind, Inode, Metadata, NewNode, NodeCreation, OpenFlags, Viewer,
};
use crate::ipc::{IpcNamespace, PosixQueue, QueueAttributes, QueueCreation};

const ROOT_NUMBER: u64 = 1;
/// Permission bits of the directory: anybody makes queues, and only their owners remove them.
const PERMISSIONS: u32 = 0o1777;
/// The size that Linux gives its queues: that of the text in them (`FILENT_SIZE`).
const FILE_BYTES: u64 = 80;

pub(super) struct QueueDirectory {
    namespace: Weak<IpcNamespace>,
    device: DeviceNumber,
    metadata: Mutex<Metadata>,
    next_number: AtomicU64,
}

impl QueueDirectory {
    pub(super) fn new(namespace: Weak<IpcNamespace>, device: DeviceNumber) -> Self {
        let mut metadata = Metadata::new(FileKind::Directory, PERMISSIONS, device, ROOT_NUMBER);
        metadata.links = 2;
        let next_number = AtomicU64::new(ROOT_NUMBER + 1);
        Self { namespace, device, metadata: Mutex::new(metadata), next_number }
    }

    /// Makes the queue `name`, owned as `credentials` say.
    ///
    /// # Errors
    /// EACCES if the namespace has ended; EMFILE over the user's limit; EEXIST, ENOSPC, ENOMEM.
    pub(super) fn create_queue(
        &self,
        name: &[u8],
        request: QueueRequest,
        credentials: &Credentials,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let metadata = self.new_metadata(request.permissions, credentials.fs_uid, credentials.fs_gid);
        let (user, limit) = request.user;
        let creation = QueueCreation {
            attributes: request.attributes,
            node: QueueMetadata::new(metadata),
            user_charge: Some(user.charge_message_queue(request.attributes.charged_bytes(), limit)?),
            is_privileged: request.is_privileged,
        };
        self.make(name, creation)
    }

    fn new_metadata(&self, permissions: u32, uid: KernelUid, gid: KernelGid) -> Metadata {
        let ino = self.next_number.fetch_add(1, Ordering::Relaxed);
        let mut metadata = Metadata::new(FileKind::Regular, permissions, self.device, ino);
        (metadata.uid, metadata.gid, metadata.size_bytes) = (uid, gid, FILE_BYTES);
        metadata
    }

    fn make(&self, name: &[u8], creation: QueueCreation) -> Result<Arc<dyn Inode>, Errno> {
        let namespace = self.namespace.upgrade().ok_or(Errno::EACCES)?;
        let objects = namespace.objects();
        let queue = objects.posix_queues.create(name, creation, &objects.limits(), objects.budget())?;
        Ok(inode_of(queue))
    }
}

fn inode_of(queue: Arc<PosixQueue>) -> Arc<dyn Inode> {
    Arc::new(QueueInode::new(queue))
}

impl Inode for QueueDirectory {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(*self.metadata.lock())
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        super::file::apply(&mut self.metadata.lock(), changes);
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let namespace = self.namespace.upgrade().ok_or(Errno::ENOENT)?;
        namespace.objects().posix_queues.find(name).map(inode_of)
    }

    fn create(&self, name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<dyn Inode>, Errno> {
        if creation.node != NewNode::Regular {
            return Err(Errno::EPERM);
        }
        let namespace = self.namespace.upgrade().ok_or(Errno::EACCES)?;
        let attributes = QueueAttributes::default_of(&namespace.objects().limits());
        let node = QueueMetadata::new(self.new_metadata(creation.permissions, creation.uid, creation.gid));
        // Whom to charge is not known here; `queues_max` counts for everybody then.
        let creation = QueueCreation { attributes, node, user_charge: None, is_privileged: false };
        self.make(name, creation)
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        self.namespace.upgrade().ok_or(Errno::ENOENT)?.objects().posix_queues.remove(name)
    }

    fn open(self: Arc<Self>, _flags: OpenFlags, _viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(OpenDirectory(self)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl ListedDirectory for QueueDirectory {
    fn entries(&self) -> Vec<Listed> {
        let queues = self.namespace.upgrade().map(|namespace| namespace.objects().posix_queues.list());
        let queues = queues.unwrap_or_default().into_iter();
        let own = [".", ".."].into_iter().zip(0..);
        let own = own.map(|(name, place)| Listed::new(place, ROOT_NUMBER, FileKind::Directory, name));
        own.chain(queues.map(|(ino, name)| Listed::new(ino, ino, FileKind::Regular, name))).collect()
    }
}
