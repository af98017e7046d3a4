//! The types of file systems (Linux's `file_system_type`).
//!
//! mount(2), fsopen(2), booting and /proc/filesystems read one table, [`TYPES`]. A new type is a folder that says how an instance is
//! made, and a row.

use std::sync::Arc;

use super::block::BlockDevice;
use super::file_systems::FileSystems;
use super::proc::ProcessSource;
use super::{
    Fd, FileDescription, FileKind, Instance, MountFlags, Network, Path, Viewer, binfmt_misc, cgroup, dev,
    ext, fuse, mqueue, overlayfs, proc, pts, single, sys, tmpfs,
};
use crate::Errno;
use crate::cred::{Capabilities, Namespace, NamespaceKind, UserNamespace};
use crate::ipc::IpcNamespace;

bitflags::bitflags! {
    /// What is special about a type.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TypeFlags: u8 {
        /// It lies on a block device (`FS_REQUIRES_DEV`): /proc/filesystems does not call it `nodev`.
        const REQUIRES_DEV = 1 << 0;
        /// Those who administer only the user namespace of an instance may mount it (`FS_USERNS_MOUNT`).
        const USERNS_MOUNT = 1 << 1;
        /// A less privileged namespace may have one only if it sees the whole of one already (`SB_I_USERNS_VISIBLE`).
        const USERNS_VISIBLE = 1 << 2;
        /// All mounts show the one instance of a kernel, or of a namespace (`get_tree_single`, `get_tree_keyed`).
        const SINGLE = 1 << 3;
        /// Only the kernel itself mounts it (`SB_NOUSER`).
        const NOUSER = 1 << 4;
        /// A name behind a dot says who serves it (`FS_HAS_SUBTYPE`).
        const HAS_SUBTYPE = 1 << 5;
        /// Its mounts can show other owners than it keeps (`FS_ALLOW_IDMAP`).
        const ALLOW_IDMAP = 1 << 6;
    }
}

/// What an instance is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountRequest<'a> {
    /// Where it comes from, as the caller says: the path of a block device.
    pub source: Option<&'a str>,
    /// Who serves it, if it is of a type that says so.
    pub subtype: Option<&'a str>,
    /// The options that the type itself knows, with commas between.
    pub options: &'a str,
    /// Whether nothing is to be changed in it.
    pub is_read_only: bool,
}

/// Makes an instance, or finds the one that there is, with this owner.
type MakeInstance = fn(&dyn Mounter, Arc<UserNamespace>, &MountRequest<'_>) -> Result<Arc<Instance>, Errno>;

/// A row of the table of file systems (`struct file_system_type`).
pub struct FileSystemType {
    /// As in /proc/filesystems.
    pub name: &'static str,
    /// What is special about it.
    pub flags: TypeFlags,
    /// What kind of namespace an instance shows: whoever owns that namespace owns the instance. Of others, the user namespace of
    /// whoever mounts it.
    pub shows: Option<NamespaceKind>,
    /// Fails with EINVAL for options that it does not know.
    pub check_options: fn(&dyn Mounter, &str) -> Result<(), Errno>,
    /// Makes an instance of what an `FsContext` says.
    pub make: MakeInstance,
}

/// Every type that there is, in the order of /proc/filesystems.
static TYPES: &[&FileSystemType] = &[
    &sys::SYSFS,
    &tmpfs::TMPFS,
    &proc::PROC,
    &cgroup::CGROUP2,
    &dev::DEVTMPFS,
    &FileSystemType::internal("sockfs"),
    &FileSystemType::internal("pipefs"),
    &tmpfs::BPF,
    &tmpfs::RAMFS,
    &tmpfs::HUGETLBFS,
    &mqueue::MQUEUE,
    &pts::DEVPTS,
    &ext::EXT3,
    &ext::EXT2,
    &ext::EXT4,
    &single::SECURITYFS,
    &single::DEBUGFS,
    &single::TRACEFS,
    &single::PSTORE,
    &binfmt_misc::BINFMT_MISC,
    &fuse::FUSEBLK,
    &fuse::FUSE,
    &fuse::FUSECTL,
    &overlayfs::OVERLAY,
];

/// Who mounts a file system, and what of the kernel it sees: a task, or the kernel itself as it boots.
pub trait Mounter {
    /// Who it is, for permissions.
    fn viewer(&self) -> Viewer;
    /// The file systems of which the kernel has one instance, and what the others are made from.
    fn file_systems(&self) -> &FileSystems;
    /// For instances that belong to one: proc to a PID namespace, sysfs to a network namespace.
    fn namespace(&self, kind: NamespaceKind) -> Option<Arc<dyn Namespace>>;
    /// Whose queues an mqueue instance shows.
    fn ipc_namespace(&self) -> Arc<IpcNamespace>;
    /// The network namespace that it is in.
    fn network(&self) -> Arc<dyn Network>;
    /// The processes that its PID namespace numbers.
    fn processes(&self) -> Arc<dyn ProcessSource>;
    /// What `path` names to it.
    ///
    /// # Errors
    /// Those of path resolution.
    fn find(&self, path: &[u8]) -> Result<Path, Errno>;
    /// The file that its descriptor `fd` refers to.
    ///
    /// # Errors
    /// EBADF.
    fn descriptor(&self, _fd: Fd) -> Result<Arc<FileDescription>, Errno> {
        Err(Errno::EBADF)
    }
}

impl FileSystemType {
    /// One that only the kernel mounts: its inodes have no names.
    const fn internal(name: &'static str) -> Self {
        Self {
            name,
            flags: TypeFlags::NOUSER,
            shows: None,
            check_options: |_, options| check_options(options, &[], &[]),
            make: |_, _, _| Err(Errno::EINVAL),
        }
    }

    /// The type called `name`, without the name of who serves it.
    ///
    /// # Errors
    /// ENODEV.
    pub fn find(name: &str) -> Result<&'static Self, Errno> {
        let (first, subtype) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let is_it = |kind: &&&Self| {
            kind.name == first && (subtype.is_none() || kind.flags.contains(TypeFlags::HAS_SUBTYPE))
        };
        TYPES.iter().find(is_it).copied().ok_or(Errno::ENODEV)
    }

    /// Fails for options that the type does not know.
    ///
    /// # Errors
    /// EINVAL.
    pub fn check(&self, mounter: &dyn Mounter, options: &str) -> Result<(), Errno> {
        (self.check_options)(mounter, options)
    }

    /// The name of the type that has this place in /proc/filesystems.
    pub fn name_at(index: usize) -> Option<&'static str> {
        TYPES.get(index).map(|kind| kind.name)
    }

    /// The place in /proc/filesystems of the type called `name`.
    pub fn index_of(name: &[u8]) -> Option<usize> {
        TYPES.iter().position(|kind| kind.name.as_bytes() == name)
    }

    /// How many types there are.
    pub fn count() -> usize {
        TYPES.len()
    }

    /// Whether each mount makes an instance of its own.
    pub fn is_new_each_time(&self) -> bool {
        !self.flags.contains(TypeFlags::SINGLE)
    }

    /// The instance that `mounter` gets.
    ///
    /// # Errors
    /// EPERM; EINVAL for options that the type does not know, or if nobody may mount it; ENOSPC.
    pub fn instance(
        &self,
        mounter: &dyn Mounter,
        request: &MountRequest<'_>,
    ) -> Result<Arc<Instance>, Errno> {
        self.check(mounter, request.options)?;
        let credentials = mounter.viewer().credentials;
        let shown = self.shows.and_then(|kind| mounter.namespace(kind));
        let owner = shown.and_then(|namespace| namespace.identity().owner().cloned());
        let owner = owner.unwrap_or_else(|| credentials.user_namespace.clone());
        let may_mount = match self.flags.contains(TypeFlags::USERNS_MOUNT) {
            true => credentials.has_in(&owner, Capabilities::SYS_ADMIN),
            false => credentials.has(Capabilities::SYS_ADMIN),
        };
        if may_mount { (self.make)(mounter, owner, request) } else { Err(Errno::EPERM) }
    }
}

/// The block device that `request` names as its source.
///
/// # Errors
/// EINVAL: it names nothing. ENOTBLK: it is none. EACCES: its mount has no devices. ENXIO: there is no such device.
pub(super) fn block_device(
    mounter: &dyn Mounter,
    request: &MountRequest<'_>,
) -> Result<Arc<BlockDevice>, Errno> {
    let source = request.source.filter(|source| !source.is_empty()).ok_or(Errno::EINVAL)?;
    let path = mounter.find(source.as_bytes())?;
    if path.kind() != FileKind::BlockDevice {
        return Err(Errno::ENOTBLK);
    }
    if path.mount.flags().contains(MountFlags::NODEV) {
        return Err(Errno::EACCES);
    }
    mounter.file_systems().memory.block.find(path.inode().metadata()?.special_device)
}

/// What /proc/filesystems tells.
pub(super) fn listing() -> String {
    let line = |kind: &&FileSystemType| {
        let nodev = if kind.flags.contains(TypeFlags::REQUIRES_DEV) { "" } else { "nodev" };
        format!("{nodev}\t{}\n", kind.name)
    };
    TYPES.iter().map(line).collect()
}

/// Fails with EINVAL if `options` has one that is neither in `flags` nor has a name in `with_numbers` and a number.
pub(super) fn check_options(options: &str, flags: &[&str], with_numbers: &[&str]) -> Result<(), Errno> {
    let is_known = |option: &str| match option.split_once('=') {
        _ if flags.contains(&option) => true,
        Some((name, value)) => with_numbers.contains(&name) && value.parse::<u32>().is_ok(),
        None => false,
    };
    let is_valid = options.split(',').filter(|option| !option.is_empty()).all(is_known);
    if is_valid { Ok(()) } else { Err(Errno::EINVAL) }
}
