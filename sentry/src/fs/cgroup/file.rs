//! The files of a group.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::directory::{NUMBER_SHIFT, changed};
use super::table::{self, ControlFile, Subject};
use super::{CgroupFileSystem, Viewer};
use crate::Errno;
use crate::cgroup::Cgroup;
use crate::fs::{AttributeChanges, File, FileKind, Inode, Metadata, OpenFlags};
use crate::wait::{Events, WaitQueue};

/// The longest write: one page, as on Linux.
const MAX_WRITE_BYTES: usize = 4096;

/// A file of a group.
pub(super) struct ControlInode {
    file_system: Arc<CgroupFileSystem>,
    cgroup: Arc<Cgroup>,
    file: &'static ControlFile,
}

impl ControlInode {
    pub(super) fn new(
        file_system: Arc<CgroupFileSystem>,
        cgroup: Arc<Cgroup>,
        file: &'static ControlFile,
    ) -> Self {
        Self { file_system, cgroup, file }
    }

    fn number(&self) -> u64 {
        let place = table::FILES.iter().position(|file| file.name == self.file.name).unwrap_or(0);
        (self.cgroup.id() << NUMBER_SHIFT) + place as u64 + 1
    }
}

impl Inode for ControlInode {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let owner = self.cgroup.owner(Some(self.file.name), self.file.permissions);
        let mut metadata =
            Metadata::new(FileKind::Regular, owner.permissions, self.file_system.device, self.number());
        (metadata.uid, metadata.gid) = (owner.uid, owner.gid);
        Ok(metadata)
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        let owner = self.cgroup.owner(Some(self.file.name), self.file.permissions);
        self.cgroup.set_owner(Some(self.file.name), changed(owner, changes));
        Ok(())
    }

    fn open(self: Arc<Self>, _flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        if self.cgroup.is_removed() {
            return Err(Errno::ENODEV);
        }
        Ok(Arc::new(OpenControl {
            seen: AtomicU64::new(0),
            kept: Mutex::default(),
            viewer: viewer.clone(),
            inode: self,
        }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open file. Its text is made up when a read begins at offset 0.
struct OpenControl {
    inode: Arc<ControlInode>,
    viewer: Viewer,
    kept: Mutex<Option<String>>,
    /// Changes that there had been at the last read.
    seen: AtomicU64,
}

impl OpenControl {
    fn subject(&self) -> Result<Subject<'_>, Errno> {
        if self.inode.cgroup.is_removed() {
            return Err(Errno::ENODEV);
        }
        let ControlInode { file_system, cgroup, .. } = &*self.inode;
        Ok(Subject { file_system, hierarchy: &file_system.hierarchy, cgroup, viewer: &self.viewer })
    }

    fn make_text(&self) -> Result<String, Errno> {
        let read = self.inode.file.read.ok_or(Errno::EINVAL)?;
        if let Some(events) = self.inode.file.events {
            self.seen.store(events(&self.inode.cgroup).changes(), Ordering::Relaxed);
        }
        read(&self.subject()?)
    }
}

impl File for OpenControl {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut kept = self.kept.lock();
        if offset == 0 || kept.is_none() {
            *kept = Some(self.make_text()?);
        }
        let text = kept.as_ref().map_or(&b""[..], |text| text.as_bytes());
        let rest = usize::try_from(offset).ok().and_then(|start| text.get(start..)).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        if read == 0 {
            *kept = None;
        }
        Ok(read)
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        let write = self.inode.file.write.ok_or(Errno::EINVAL)?;
        let text = buffer.get(..buffer.len().min(MAX_WRITE_BYTES)).unwrap_or_default();
        if text.len() < buffer.len() {
            return Err(Errno::E2BIG);
        }
        let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        write(&self.subject()?, text.trim())?;
        Ok(buffer.len())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn readiness(&self) -> Events {
        let always = Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM;
        match self.inode.file.events {
            Some(events) if events(&self.inode.cgroup).changes() != self.seen.load(Ordering::Relaxed) => {
                always | Events::PRI | Events::ERR
            }
            _ => always,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        self.inode.file.events.map(|events| events(&self.inode.cgroup).queue())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn truncate(&self, _len_bytes: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
