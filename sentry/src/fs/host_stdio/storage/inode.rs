//! The inode of a stream, by which it is opened again.

use std::any::Any;
use std::sync::Arc;

use super::{Contents, DirectoryStream, Handle, RegularStream};
use crate::Errno;
use crate::cred::Credentials;
use crate::fs::locks::FileLocks;
use crate::fs::{Access, AttributeChanges, File, FileKind, Inode, Metadata, OpenFlags, Viewer};

/// The caller's description as the guest may open it.
pub(super) struct StreamInode {
    contents: Arc<Contents>,
    handle: Arc<Handle>,
}

impl StreamInode {
    pub(super) fn new(contents: Arc<Contents>, handle: Arc<Handle>) -> Arc<Self> {
        Arc::new(Self { contents, handle })
    }
}

impl Inode for StreamInode {
    fn kind(&self) -> FileKind {
        self.contents.kind()
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.contents.metadata(&self.handle)
    }

    fn permits(&self, access: Access, _credentials: &Credentials) -> Option<Result<bool, Errno>> {
        let is_beyond = access.contains(Access::READ) && !self.handle.is_readable
            || access.contains(Access::WRITE) && !self.handle.is_writable;
        is_beyond.then_some(Ok(false))
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        match changes {
            AttributeChanges {
                permissions: None,
                uid: None,
                gid: None,
                size_bytes: Some(size_bytes),
                accessed: None,
                modified: None,
            } => RegularStream::reopened(self.contents.clone(), self.handle.clone()).truncate(*size_bytes),
            _ => Err(Errno::EPERM),
        }
    }

    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        match self.contents.kind() {
            // What lies in the directory has not been handed over.
            FileKind::Directory => Err(Errno::EACCES),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn open(self: Arc<Self>, flags: OpenFlags, _viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        if !self.handle.allows(flags) {
            return Err(Errno::EACCES);
        }
        let (contents, handle) = (self.contents.clone(), self.handle.clone());
        Ok(match self.contents.kind() {
            FileKind::Directory => Arc::new(DirectoryStream::reopened(contents, handle)),
            _ => Arc::new(RegularStream::reopened(contents, handle)),
        })
    }

    fn get_xattr(&self, _name: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENODATA)
    }

    fn set_xattr(&self, _name: &[u8], _value: &[u8], _must_exist: Option<bool>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        Ok(Vec::new())
    }

    fn remove_xattr(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn locks(&self) -> Option<&FileLocks> {
        Some(self.contents.locks())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
