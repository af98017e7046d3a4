//! The directory of a group.

use std::any::Any;
use std::sync::Arc;

use super::file::ControlInode;
use super::table::{self, ControlFile};
use super::{CgroupFileSystem, Viewer, check_xattr};
use crate::Errno;
use crate::cgroup::{Cgroup, FileOwner};
use crate::fs::listing::{Listed, ListedDirectory, OpenDirectory};
use crate::fs::{
    Access, AttributeChanges, File, FileKind, Inode, Metadata, NewNode, NodeCreation, OpenFlags, check_access,
};

/// A group's inode number is its id with room for its files below.
pub(super) const NUMBER_SHIFT: u32 = 8;
/// Positions from here on are ids of groups; below, places in the table.
const CHILDREN_START: u64 = 1 << 32;

/// The directory of a group.
pub struct CgroupDirectory {
    file_system: Arc<CgroupFileSystem>,
    cgroup: Arc<Cgroup>,
}

impl CgroupDirectory {
    pub(super) fn new(file_system: Arc<CgroupFileSystem>, cgroup: Arc<Cgroup>) -> Self {
        Self { file_system, cgroup }
    }

    /// The group.
    pub fn cgroup(&self) -> &Arc<Cgroup> {
        &self.cgroup
    }

    /// Fails unless `viewer` may have a task made here by one in `source` (CLONE_INTO_CGROUP).
    ///
    /// # Errors
    /// EACCES.
    pub fn check_may_enter(&self, viewer: &Viewer, source: &Arc<Cgroup>) -> Result<(), Errno> {
        let procs = ControlInode::new(self.file_system.clone(), self.cgroup.clone(), &table::PROCESSES);
        check_access(&procs, Access::WRITE, &viewer.credentials)?;
        let namespace = self.file_system.tasks.namespace_of(viewer);
        self.file_system.check_may_move(viewer, namespace.as_deref(), source, &self.cgroup)
    }

    /// The files that there are, with their places in the table.
    fn files(&self) -> impl Iterator<Item = (u64, &'static ControlFile)> {
        let controllers = self.file_system.hierarchy.controllers(&self.cgroup);
        let is_root = self.cgroup.is_root();
        (0..).zip(table::FILES.iter()).filter(move |(_, file)| file.is_in(is_root, controllers))
    }

    /// Fails if the group has been removed: nothing is found or made in its directory any more.
    fn check_alive(&self) -> Result<(), Errno> {
        if self.cgroup.is_removed() { Err(Errno::ENOENT) } else { Ok(()) }
    }

    fn child(&self, cgroup: Arc<Cgroup>) -> Arc<dyn Inode> {
        Arc::new(Self::new(self.file_system.clone(), cgroup))
    }
}

impl Inode for CgroupDirectory {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let owner = self.cgroup.owner(None, 0);
        let number = self.cgroup.id() << NUMBER_SHIFT;
        let mut metadata =
            Metadata::new(FileKind::Directory, owner.permissions, self.file_system.device, number);
        (metadata.uid, metadata.gid) = (owner.uid, owner.gid);
        let children = self.file_system.hierarchy.children(&self.cgroup).len();
        metadata.links = u32::try_from(children).unwrap_or(0).saturating_add(2);
        Ok(metadata)
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        let owner = self.cgroup.owner(None, 0);
        self.cgroup.set_owner(None, changed(owner, changes));
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        self.check_alive()?;
        if let Some((_, file)) = self.files().find(|(_, file)| file.name.as_bytes() == name) {
            return Ok(Arc::new(ControlInode::new(self.file_system.clone(), self.cgroup.clone(), file)));
        }
        let child = self.file_system.hierarchy.child(&self.cgroup, name).map_err(|_| Errno::ENOENT)?;
        Ok(self.child(child))
    }

    fn has_stable_names(&self) -> bool {
        // Files come and go with controllers.
        false
    }

    fn create(&self, name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<dyn Inode>, Errno> {
        self.check_alive()?;
        match creation.node {
            NewNode::Directory => {
                let (uid, gid, permissions) = (creation.uid, creation.gid, creation.permissions);
                let owner = FileOwner { uid, gid, permissions };
                self.file_system.hierarchy.create(&self.cgroup, name, owner).map(|child| self.child(child))
            }
            NewNode::Regular => Err(Errno::EACCES),
            _ => Err(Errno::EPERM),
        }
    }

    fn rmdir(&self, name: &[u8]) -> Result<(), Errno> {
        self.file_system.hierarchy.remove(&self.cgroup, name)
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        check_xattr(name)?;
        self.cgroup.xattr(None, name)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], must_exist: Option<bool>) -> Result<(), Errno> {
        check_xattr(name)?;
        self.cgroup.set_xattr(None, name, value, must_exist)
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        Ok(self.cgroup.xattr_names(None))
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        check_xattr(name)?;
        self.cgroup.remove_xattr(None, name)
    }

    fn open(self: Arc<Self>, _flags: OpenFlags, _viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(OpenDirectory(self)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `owner` with the changes that concern it.
pub(super) fn changed(owner: FileOwner, changes: &AttributeChanges) -> FileOwner {
    FileOwner {
        uid: changes.uid.unwrap_or(owner.uid),
        gid: changes.gid.unwrap_or(owner.gid),
        permissions: changes.permissions.unwrap_or(owner.permissions),
    }
}

impl ListedDirectory for CgroupDirectory {
    fn check_listed(&self) -> Result<(), Errno> {
        self.check_alive()
    }

    fn entries(&self) -> Vec<Listed> {
        let own = self.cgroup.id() << NUMBER_SHIFT;
        let parent = self.cgroup.parent().map_or(own, |parent| parent.id() << NUMBER_SHIFT);
        let mut entries = vec![
            Listed::new(0, own, FileKind::Directory, "."),
            Listed::new(1, parent, FileKind::Directory, ".."),
        ];
        for (place, file) in self.files() {
            entries.push(Listed::new(place + 2, own + place + 1, FileKind::Regular, file.name));
        }
        for child in self.file_system.hierarchy.children(&self.cgroup) {
            let number = child.id() << NUMBER_SHIFT;
            entries.push(Listed::new(CHILDREN_START + child.id(), number, FileKind::Directory, child.name()));
        }
        entries
    }
}
