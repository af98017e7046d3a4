//! An inode for open files that no file system names, so that they can be reached through /proc/PID/fd as others.

use std::any::Any;
use std::sync::Arc;

use super::inode::{Inode, Viewer};
use super::metadata::{AttributeChanges, FileKind, Metadata};
use super::{File, FileDescription, OpenFlags};
use crate::Errno;

/// The extended attribute that tells a socket's protocol.
const PROTOCOL_NAME: &[u8] = b"system.sockprotoname";

/// What stands for an open file without a path.
pub(super) struct DescriptionInode {
    description: Arc<FileDescription>,
    kind: FileKind,
}

impl DescriptionInode {
    pub(super) fn new(description: &Arc<FileDescription>) -> Arc<Self> {
        let metadata = description.file().metadata();
        let kind = metadata.map_or(FileKind::Regular, |metadata| metadata.kind());
        Arc::new(Self { description: description.clone(), kind })
    }
}

impl Inode for DescriptionInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.description.file().metadata()
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        // What has no length is not truncated by its name in /proc/PID/fd either.
        if changes.size_bytes.is_some() {
            return Err(Errno::EINVAL);
        }
        self.description.file().set_attributes(changes)
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let protocol = self.description.file().protocol_name().filter(|_| name == PROTOCOL_NAME);
        let text = protocol.ok_or(Errno::EOPNOTSUPP)?;
        Ok([text.as_bytes(), b"\0"].concat())
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let protocol = self.description.file().protocol_name();
        Ok(protocol.into_iter().map(|_| PROTOCOL_NAME.to_vec()).collect())
    }

    fn open(self: Arc<Self>, _flags: OpenFlags, _viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        // A socket, or an object that has no inode to open: as on Linux.
        Err(Errno::ENXIO)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
