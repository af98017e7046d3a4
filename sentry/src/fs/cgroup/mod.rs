//! The cgroup2 file system (`man 7 cgroups`): a directory a group, with a file for each thing to read or set.
//!
//! What the files are called and do is in one table, [`table::FILES`]; the groups themselves are in
//! [`crate::cgroup`].

mod directory;
mod file;
mod options;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::file_system_type::{FileSystemType, TypeFlags};
use super::{
    Access, Dentry, DeviceNumber, FileSystem, FileSystemInfo, Inode, Instance, Viewer, check_access,
};
use crate::Errno;
use crate::cgroup::{Cgroup, CgroupNamespace, Hierarchy, MemberKey, Moved};
use crate::cred::{Namespace, NamespaceKind};
pub use directory::CgroupDirectory;
use file::ControlInode;
use options::RootFlags;
use parking_lot::Mutex;

/// `CGROUP2_SUPER_MAGIC`.
const MAGIC: u64 = 0x6367_7270;

/// All mounts show the groups of the kernel, each from the root of a cgroup namespace on.
pub(super) const CGROUP2: FileSystemType = FileSystemType {
    name: "cgroup2",
    flags: TypeFlags::USERNS_MOUNT.union(TypeFlags::SINGLE),
    shows: Some(NamespaceKind::Cgroup),
    check_options: |_, options| RootFlags::parse(options).map(drop),
    make: |mounter, owner, request| {
        let cgroups = mounter.file_systems().cgroups.clone();
        cgroups.set_flags(request.options, &mounter.viewer())?;
        let root = Dentry::new_root(cgroups.root_for(&mounter.viewer()));
        Ok(Instance::new(cgroups, root, owner))
    },
};

/// What the file system asks of the room of tasks.
pub trait TaskDirectory: Send + Sync {
    /// The task that `viewer`'s PID namespace calls `number`; the viewer itself for 0.
    fn find(&self, viewer: &Viewer, number: i32) -> Option<MemberKey>;
    /// What `viewer`'s PID namespace calls each of `keys`, or its process; 0 for what it does not see.
    fn numbers(&self, viewer: &Viewer, keys: &[MemberKey], of_processes: bool) -> Vec<i32>;
    /// The cgroup namespace that the viewer is in; `None` for the kernel itself.
    fn namespace_of(&self, viewer: &Viewer) -> Option<Arc<CgroupNamespace>>;
}

/// The cgroup2 file system. There is one, however often it is mounted.
pub struct CgroupFileSystem {
    device: DeviceNumber,
    hierarchy: Arc<Hierarchy>,
    tasks: Arc<dyn TaskDirectory>,
    flags: Mutex<RootFlags>,
}

impl CgroupFileSystem {
    /// Shows the groups of `hierarchy`, with the numbers that `tasks` tells.
    pub fn new(hierarchy: &Arc<Hierarchy>, tasks: Arc<dyn TaskDirectory>, device: DeviceNumber) -> Arc<Self> {
        let flags = Mutex::new(RootFlags::NSDELEGATE);
        Arc::new(Self { device, hierarchy: hierarchy.clone(), tasks, flags })
    }

    /// An inode that shows `cgroup`.
    pub fn directory(self: &Arc<Self>, cgroup: &Arc<Cgroup>) -> Arc<dyn Inode> {
        Arc::new(CgroupDirectory::new(self.clone(), cgroup.clone()))
    }

    /// The directory of the group that `viewer`'s cgroup namespace takes for the root: what a mount shows.
    pub fn root_for(self: &Arc<Self>, viewer: &Viewer) -> Arc<dyn Inode> {
        let namespace = self.tasks.namespace_of(viewer);
        self.directory(namespace.as_ref().map_or(self.hierarchy.root(), |namespace| namespace.root()))
    }

    fn flags(&self) -> RootFlags {
        *self.flags.lock()
    }

    /// Takes the options that `viewer` mounts with, in place of all that were set: only whoever is in the initial cgroup namespace
    /// sets any. The kernel itself, as it boots, leaves them as they are.
    fn set_flags(&self, options: &str, viewer: &Viewer) -> Result<(), Errno> {
        let flags = RootFlags::parse(options)?;
        if self.tasks.namespace_of(viewer).is_some_and(|namespace| namespace.identity().is_initial()) {
            *self.flags.lock() = flags;
        }
        Ok(())
    }

    /// The path of `directory`, if it is that of a group, from the root of the viewer's cgroup namespace.
    fn shown_path(&self, directory: &dyn Inode, viewer: &Viewer) -> Option<Vec<u8>> {
        let directory = directory.as_any().downcast_ref::<CgroupDirectory>()?;
        let namespace = self.tasks.namespace_of(viewer);
        let root = namespace.as_ref().map_or(self.hierarchy.root(), |namespace| namespace.root());
        Some(directory.cgroup().path_from(root))
    }

    /// Moves what `key` stands for from its group to `target`, if `viewer`, who was in `namespace`, may: it must be allowed to
    /// write cgroup.procs of the nearest group that both are in, and both must lie in the namespace (`cgroup-v2.rst`,
    /// "Delegation Containment").
    fn migrate(
        self: &Arc<Self>,
        viewer: &Viewer,
        namespace: Option<&CgroupNamespace>,
        key: MemberKey,
        is_thread: bool,
        target: &Arc<Cgroup>,
    ) -> Result<(), Errno> {
        // A zombie is nowhere; to move it changes nothing, and is no error.
        let Some(source) = self.hierarchy.find(key) else { return Ok(()) };
        self.check_may_move(viewer, namespace, &source, target)?;
        let moved = if is_thread { Moved::Thread(key) } else { Moved::Process(key.process) };
        self.hierarchy.migrate(moved, target)
    }

    fn check_may_move(
        self: &Arc<Self>,
        viewer: &Viewer,
        namespace: Option<&CgroupNamespace>,
        source: &Arc<Cgroup>,
        target: &Arc<Cgroup>,
    ) -> Result<(), Errno> {
        let common = source.with_ancestors().find(|ancestor| target.is_within(ancestor));
        let common = common.ok_or(Errno::ENOENT)?;
        let procs = ControlInode::new(self.clone(), common.clone(), &table::PROCESSES);
        check_access(&procs, Access::WRITE, &viewer.credentials)?;
        let boundary = namespace.filter(|_| self.flags().contains(RootFlags::NSDELEGATE));
        match boundary.map(CgroupNamespace::root) {
            Some(root) if !source.is_within(root) || !target.is_within(root) => Err(Errno::ENOENT),
            _ => Ok(()),
        }
    }
}

/// Fails for an extended attribute of a kind that groups do not have.
///
/// # Errors
/// EOPNOTSUPP.
fn check_xattr(name: &[u8]) -> Result<(), Errno> {
    let has_one = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if has_one(&[b"security.", b"trusted.", b"user."]) { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

impl FileSystem for CgroupFileSystem {
    fn type_name(&self) -> &'static str {
        "cgroup2"
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn shown_root(&self, root: &dyn Inode, viewer: &Viewer) -> Option<Vec<u8>> {
        self.shown_path(root, viewer)
    }

    fn options(&self) -> String {
        self.flags().shown()
    }

    fn reconfigure(&self, options: &str, viewer: &Viewer) -> Result<(), Errno> {
        self.set_flags(options, viewer)
    }

    fn info(&self) -> FileSystemInfo {
        FileSystemInfo { magic: MAGIC, block_size_bytes: 4096, ..FileSystemInfo::default() }
    }
}
