//! The files of a group.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::directory::{NUMBER_SHIFT, changed};
use super::options::RootFlags;
use super::table::{self, ControlFile, Subject};
use super::{CgroupFileSystem, Viewer, check_xattr};
use crate::Errno;
use crate::cgroup::{Cgroup, CgroupNamespace};
use crate::cred::Namespace;
use crate::fs::pressure::Trigger;
use crate::fs::{AttributeChanges, Caller, File, FileKind, Inode, Metadata, OpenFlags};
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

    /// Whether its group has been removed, or has lost the controller that it is a file of.
    fn is_gone(&self) -> bool {
        let controllers = self.file_system.hierarchy.controllers(&self.cgroup);
        self.cgroup.is_removed() || !self.file.is_in(self.cgroup.is_root(), controllers)
    }

    fn ino(&self) -> u64 {
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
            Metadata::new(FileKind::Regular, owner.permissions, self.file_system.device, self.ino());
        (metadata.uid, metadata.gid) = (owner.uid, owner.gid);
        Ok(metadata)
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        let owner = self.cgroup.owner(Some(self.file.name), self.file.permissions);
        self.cgroup.set_owner(Some(self.file.name), changed(owner, changes));
        Ok(())
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        check_xattr(name)?;
        self.cgroup.xattr(Some(self.file.name), name)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], must_exist: Option<bool>) -> Result<(), Errno> {
        check_xattr(name)?;
        self.cgroup.set_xattr(Some(self.file.name), name, value, must_exist)
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        Ok(self.cgroup.xattr_names(Some(self.file.name)))
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        check_xattr(name)?;
        self.cgroup.remove_xattr(Some(self.file.name), name)
    }

    fn open(self: Arc<Self>, _flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        if self.is_gone() {
            return Err(Errno::ENODEV);
        }
        Ok(Arc::new(OpenControl {
            seen: AtomicU64::new(0),
            trigger: Trigger::default(),
            silence: WaitQueue::default(),
            kept: Mutex::default(),
            viewer: viewer.clone(),
            namespace: self.file_system.tasks.namespace_of(viewer),
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
    /// Who opened it, and in which cgroup namespace: what may be done depends on that, not on who writes.
    viewer: Viewer,
    namespace: Option<Arc<CgroupNamespace>>,
    kept: Mutex<Option<String>>,
    /// Changes that there had been at the last read.
    seen: AtomicU64,
    /// That of a file of pressure stall information.
    trigger: Trigger,
    /// Where nothing is ever announced.
    silence: WaitQueue,
}

impl OpenControl {
    fn subject<'a>(&'a self, user: &'a Viewer) -> Result<Subject<'a>, Errno> {
        if self.inode.is_gone() {
            return Err(Errno::ENODEV);
        }
        let ControlInode { file_system, cgroup, .. } = &*self.inode;
        Ok(Subject {
            file_system,
            hierarchy: &file_system.hierarchy,
            cgroup,
            opener: &self.viewer,
            namespace: self.namespace.as_deref(),
            user,
        })
    }

    fn make_text(&self) -> Result<String, Errno> {
        let read = self.inode.file.read.ok_or(Errno::EINVAL)?;
        if let Some(events) = self.inode.file.events {
            self.seen.store(events(&self.inode.cgroup).changes(), Ordering::Relaxed);
        }
        read(&self.subject(&self.viewer)?)
    }

    /// Whether the group is the root of the namespace that it was opened in: what its files set is for who is outside.
    fn is_root_of_delegation(&self) -> bool {
        let is_boundary = self.inode.file_system.flags().contains(RootFlags::NSDELEGATE);
        let namespace = self.namespace.as_ref().filter(|namespace| !namespace.identity().is_initial());
        is_boundary && namespace.is_some_and(|namespace| Arc::ptr_eq(namespace.root(), &self.inode.cgroup))
    }

    fn write_as(&self, buffer: &[u8], user: &Viewer) -> Result<usize, Errno> {
        if self.inode.file.is_pressure {
            self.trigger.set(buffer, &self.viewer.credentials)?;
            return Ok(buffer.len());
        }
        let write = self.inode.file.write.ok_or(Errno::EINVAL)?;
        if buffer.len() > MAX_WRITE_BYTES {
            return Err(Errno::E2BIG);
        }
        let text = std::str::from_utf8(buffer).map_err(|_| Errno::EINVAL)?;
        let subject = self.subject(user)?;
        if !self.inode.file.is_delegated && self.is_root_of_delegation() {
            return Err(Errno::EPERM);
        }
        write(&subject, text.trim())?;
        Ok(buffer.len())
    }
}

impl File for OpenControl {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut kept = self.kept.lock();
        if self.inode.is_gone() {
            return Err(Errno::ENODEV);
        }
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
        self.write_as(buffer, &self.viewer)
    }

    fn write_by(&self, buffer: &[u8], _offset: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        // Who writes is who "0" means, and whose numbers count.
        self.write_as(buffer, &Viewer { thread_id: caller.thread_id(), ..self.viewer.clone() })
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn readiness(&self) -> Events {
        let always = Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM;
        match self.inode.file.events {
            _ if self.inode.is_gone() => always | Events::PRI | Events::ERR,
            None if self.inode.file.is_pressure => self.trigger.readiness(),
            Some(events) if events(&self.inode.cgroup).changes() != self.seen.load(Ordering::Relaxed) => {
                always | Events::PRI | Events::ERR
            }
            _ => always,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        let events = self.inode.file.events.map(|events| events(&self.inode.cgroup).queue());
        events.or_else(|| self.inode.file.is_pressure.then_some(&self.silence))
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
