//! Mounts: which file system is seen where (`man 7 mount_namespaces`).
//!
//! A [`Mount`] shows an [`Instance`] of a file system, from some dentry on. It is attached to a dentry of its parent,
//! which owns it; a [`MountNamespace`] owns its root, and a [`DetachedTree`] a tree that is not attached yet. A child
//! refers to its parent weakly, so nothing here forms a cycle.
//!
//! Every change of the trees is a [`Change`](topology::Change), one at a time for all namespaces, since it may
//! [propagate](propagation) from one to another. Lookups take only the lock of the mount that they pass through.
//!
//! The namespaces of a kernel share a [`MountTable`], which holds the lock of changes and gives out ids.
//!
//! Lock order: the lock of changes, then a mount's links or the lists of a peer group, then the mounts that a dentry knows
//! of, which are a leaf. What a change lets go of is dropped after it: that may be the end of whole file systems, or of other
//! namespaces.

mod copy;
mod detached;
mod id_mapping;
mod instance;
mod namespace;
mod propagation;
mod settings;
mod shown;
mod table;
#[cfg(test)]
mod tests;
mod topology;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use super::Viewer;
use super::anonymous::NamelessFileSystem;
use super::dentry::Dentry;
use super::disk_control::DiskControl;
use super::fanotify::MarkList;
use super::inode::Inode;
use super::metadata::DeviceNumber;
use super::path::Path;
use crate::Errno;
use crate::cred::UserNamespace;
use crate::heap::HeapCharge;
pub use detached::DetachedTree;
pub use id_mapping::IdMapping;
pub use instance::{Instance, SuperFlags};
pub use namespace::MountNamespace;
use namespace::NamespaceCore;
use propagation::PeerGroup;
pub use propagation::Propagation;
pub use settings::Settings;
pub use table::MountTable;
pub(crate) use topology::detach_from;

bitflags::bitflags! {
    /// What a mount forbids, or does not record. The values are `MS_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MountFlags: u32 {
        /// Nothing may be changed through it.
        const RDONLY = uapi::MS_RDONLY;
        /// Set-ID bits have no effect.
        const NOSUID = uapi::MS_NOSUID;
        /// Device nodes cannot be opened.
        const NODEV = uapi::MS_NODEV;
        /// Nothing can be executed.
        const NOEXEC = uapi::MS_NOEXEC;
        /// Symbolic links are not followed.
        const NOSYMFOLLOW = uapi::MS_NOSYMFOLLOW;
        /// Access times never move.
        const NOATIME = uapi::MS_NOATIME;
        /// Access times of directories never move.
        const NODIRATIME = uapi::MS_NODIRATIME;
        /// Access times move as little as tells reads from writes.
        const RELATIME = uapi::MS_RELATIME;
    }
}

impl MountFlags {
    /// How access times move.
    pub const ACCESS_TIMES: Self = Self::NOATIME.union(Self::NODIRATIME).union(Self::RELATIME);

    /// What the mounts of a less privileged namespace cannot be rid of.
    const LOCKABLE: Self = Self::RDONLY.union(Self::NOSUID).union(Self::NODEV).union(Self::NOEXEC);
}

/// What statfs(2) tells of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSystemInfo {
    /// The `*_SUPER_MAGIC` number.
    pub magic: u64,
    /// f_bsize, in bytes: what reading and writing is best done in.
    pub block_size_bytes: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// f_bfree, in blocks.
    pub free_blocks: u64,
    /// How many of these are only for the privileged: f_bavail is so much less.
    pub reserved_blocks: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// f_ffree: how many more files there may be.
    pub free_inodes: u64,
}

/// What is the same for all inodes of an instance (`struct super_operations`).
pub trait FileSystem: Send + Sync {
    /// The name of its type, as in /proc/filesystems.
    fn type_name(&self) -> &'static str;

    /// Who serves it, if its type says that.
    fn subtype(&self) -> Option<&str> {
        None
    }

    /// The device number of its inodes.
    fn device(&self) -> DeviceNumber;

    /// What statfs(2) tells.
    fn info(&self) -> FileSystemInfo;

    /// What tells it from all others, where it has that.
    fn uuid(&self) -> Option<[u8; 16]> {
        None
    }

    /// What tells its file handles from those of others, where files have such.
    fn handle_generation(&self) -> Option<u32> {
        None
    }

    /// What mountinfo shows `viewer` as the root of a mount whose root is `root`, if that is not its path.
    fn shown_root(&self, _root: &dyn Inode, _viewer: &Viewer) -> Option<Vec<u8>> {
        None
    }

    /// Has what mappings have changed reach the files that it shows.
    ///
    /// # Errors
    /// The storage's.
    fn write_back(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Has what was changed reach storage (syncfs(2)).
    ///
    /// # Errors
    /// The storage's.
    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Whether nothing can ever be changed in it, so that all its mounts are read-only.
    fn is_never_writable(&self) -> bool {
        false
    }

    /// What can be asked of it, if it is on a block device.
    fn disk_control(&self) -> Option<&dyn DiskControl> {
        None
    }

    /// How many overlays lie on each other, this one included.
    fn stack_depth(&self) -> usize {
        0
    }

    /// How many disks lie below it: one more than below its block device.
    fn disk_depth(&self) -> usize {
        0
    }

    /// The options of /proc/mounts beside the mount's own, with a comma before each.
    fn options(&self) -> String {
        String::new()
    }

    /// Takes the options of a remount by `_viewer`.
    ///
    /// # Errors
    /// EINVAL for options that it does not know, and others of mount(2).
    fn reconfigure(&self, _options: &str, _viewer: &Viewer) -> Result<(), Errno> {
        Ok(())
    }
}

/// A tree, attached somewhere.
pub struct Mount {
    id: u64,
    instance: Arc<Instance>,
    root: Arc<Dentry>,
    source: Arc<str>,
    flags: AtomicU32,
    /// Those who may write through it.
    writers: AtomicUsize,
    /// Uses that are still allowed before an expiry mark is void.
    expiry: AtomicU8,
    /// Who counts it; `None` if it is never attached.
    table: Option<Arc<MountTable>>,
    links: Mutex<Links>,
    /// The namespace by whose numbers it takes owners, if that is not the file system's.
    id_mapping: OnceLock<Arc<UserNamespace>>,
    marks: MarkList,
    _heap_charge: HeapCharge,
}

/// Keeps a mount from becoming read-only.
pub(super) struct WriteAccess(Arc<Mount>);

impl Drop for WriteAccess {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, Ordering::SeqCst);
        self.0.instance.writers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How a mount hangs together with others. Changed only by a [`topology::Change`].
#[derive(Default)]
struct Links {
    /// Where it is attached.
    place: Option<MountPoint>,
    /// What is attached to it, by the id of the dentry, which the child's place keeps.
    children: HashMap<u64, Arc<Mount>>,
    home: Home,
    /// Those that it receives mounts from and gives them to (MS_SHARED).
    group: Option<Arc<PeerGroup>>,
    /// Those that it only receives mounts from (MS_SLAVE).
    master: Option<Arc<PeerGroup>>,
    /// It cannot be bind-mounted (MS_UNBINDABLE).
    is_unbindable: bool,
    /// It can be unmounted only together with its parent, for it came from a more privileged namespace.
    is_locked: bool,
    /// Flags that cannot be taken back, for the same reason.
    locked_flags: MountFlags,
}

/// What a mount is part of.
#[derive(Clone, Default)]
enum Home {
    /// Nothing: it is new, or has been unmounted, or is never attached.
    #[default]
    Nowhere,
    /// A tree that only a descriptor refers to.
    Detached,
    Namespace(Arc<NamespaceCore>),
}

struct MountPoint {
    mount: Weak<Mount>,
    dentry: Arc<Dentry>,
}

impl Mount {
    /// The id of all mounts that are never attached.
    pub(super) const INTERNAL_ID: u64 = 1;

    /// A mount of `instance`, ready to be attached in a namespace of `table`. `source` is the first field in /proc/mounts.
    pub fn of(
        table: &Arc<MountTable>,
        instance: Arc<Instance>,
        source: &str,
        flags: MountFlags,
    ) -> Arc<Self> {
        let root = instance.root.clone();
        Self::make(Some(table), instance, root, source.into(), flags, Links::default())
    }

    /// A mount of what is at `path` that is never attached: who has it uses the file system, but keeps nobody from unmounting
    /// the path.
    pub(super) fn private(path: &Path) -> Arc<Self> {
        let (instance, source) = (path.mount.instance.clone(), path.mount.source.clone());
        Self::make(None, instance, path.dentry.clone(), source, path.mount.flags(), Links::default())
    }

    /// A mount that is never attached, for inodes without names.
    pub(crate) fn internal(root: Arc<Dentry>) -> Arc<Self> {
        let file_system = NamelessFileSystem::of(root.inode().kind());
        Self::internal_of(Arc::new(file_system), root, "none", None)
    }

    /// A mount of `file_system` that is never attached; `owner` as in [`Instance::owner`].
    pub(crate) fn internal_of(
        file_system: Arc<dyn FileSystem>,
        root: Arc<Dentry>,
        source: &str,
        owner: Option<Arc<UserNamespace>>,
    ) -> Arc<Self> {
        Self::never_attached(Instance::of(file_system, root, owner), source)
    }

    /// A mount of `instance` that is never attached.
    pub(super) fn never_attached(instance: Arc<Instance>, source: &str) -> Arc<Self> {
        let root = instance.root.clone();
        Self::make(None, instance, root, source.into(), MountFlags::empty(), Links::default())
    }

    /// Whether it is never attached, so that nobody can name what is in it.
    pub fn is_internal(&self) -> bool {
        self.table.is_none()
    }

    fn make(
        table: Option<&Arc<MountTable>>,
        instance: Arc<Instance>,
        root: Arc<Dentry>,
        source: Arc<str>,
        flags: MountFlags,
        links: Links,
    ) -> Arc<Self> {
        root.file_system_mounted(&*instance.file_system);
        let _heap_charge = HeapCharge::forced(table::MOUNT_BYTES + source.len());
        Arc::new(Self {
            id: table.map_or(Self::INTERNAL_ID, |table| table.mount_added()),
            instance,
            root,
            source,
            flags: AtomicU32::new(flags.bits()),
            writers: AtomicUsize::new(0),
            expiry: AtomicU8::new(0),
            table: table.cloned(),
            links: Mutex::new(links),
            id_mapping: OnceLock::new(),
            marks: MarkList::default(),
            _heap_charge,
        })
    }

    /// Its number, as in /proc/PID/mountinfo. No two mounts that can be attached ever have the same.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The dentry that is seen at the mount point.
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// The place of that dentry.
    pub fn root_path(self: &Arc<Self>) -> Path {
        Path::new(self.clone(), self.root.clone())
    }

    /// The marks of fanotify on it.
    pub(super) fn marks(&self) -> &MarkList {
        &self.marks
    }

    /// What it shows.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// What is mounted here.
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.instance.file_system
    }

    /// The first field in /proc/mounts.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it forbids.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::SeqCst))
    }

    /// Whether access times of directories, or of other files, move with uses through this mount.
    pub(super) fn moves_access_times(&self, of_directories: bool) -> bool {
        let mut still = MountFlags::NOATIME;
        still.set(MountFlags::NODIRATIME, of_directories);
        !self.flags().intersects(still) && self.check_writable().is_ok()
    }

    /// Has the mount, and its file system, stay writable for as long as the result is kept.
    ///
    /// # Errors
    /// EROFS.
    pub(super) fn begin_writing(self: &Arc<Self>) -> Result<WriteAccess, Errno> {
        self.writers.fetch_add(1, Ordering::SeqCst);
        self.instance.writers.fetch_add(1, Ordering::SeqCst);
        let access = WriteAccess(self.clone());
        self.check_writable()?;
        Ok(access)
    }

    /// Fails with EROFS if nothing may be changed through this mount.
    ///
    /// # Errors
    /// EROFS.
    pub fn check_writable(&self) -> Result<(), Errno> {
        let is_read_only = self.flags().contains(MountFlags::RDONLY) || self.instance.is_read_only();
        if is_read_only { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// Where it is attached.
    pub fn mount_point(&self) -> Option<Path> {
        let links = self.links.lock();
        let place = links.place.as_ref()?;
        Some(Path::new(place.mount.upgrade()?, place.dentry.clone()))
    }

    /// Whether it is attached somewhere.
    pub fn is_attached(&self) -> bool {
        self.links.lock().place.is_some()
    }

    /// What is mounted on `dentry`, as seen through this mount.
    pub(super) fn mounted_on(&self, dentry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        self.links.lock().children.get(&dentry.id()).cloned()
    }

    fn children(&self) -> Vec<Arc<Mount>> {
        let mut children: Vec<_> = self.links.lock().children.values().cloned().collect();
        children.sort_by_key(|child| child.id);
        children
    }

    fn group(&self) -> Option<Arc<PeerGroup>> {
        self.links.lock().group.clone()
    }

    /// The groups of those that it gives mounts to, and that it receives them from.
    pub fn group_ids(&self) -> (Option<u64>, Option<u64>) {
        let links = self.links.lock();
        let id = |group: &Option<Arc<PeerGroup>>| group.as_ref().map(|group| group.id() as u64);
        (id(&links.group), id(&links.master))
    }

    /// Whether it cannot be bind-mounted.
    pub fn is_unbindable(&self) -> bool {
        self.links.lock().is_unbindable
    }

    fn is_locked(&self) -> bool {
        self.links.lock().is_locked
    }

    fn namespace(&self) -> Option<Arc<NamespaceCore>> {
        match &self.links.lock().home {
            Home::Namespace(core) => Some(core.clone()),
            Home::Nowhere | Home::Detached => None,
        }
    }

    /// Whether it is part of a tree that only a descriptor refers to.
    pub fn is_detached(&self) -> bool {
        matches!(self.links.lock().home, Home::Detached)
    }

    /// Has remounts never take back `flags`, as if it came from a more privileged namespace.
    pub fn lock_flags(&self, flags: MountFlags) {
        self.links.lock().locked_flags |= flags;
    }

    /// Whether somebody besides the caller, who has one reference, uses it.
    pub fn is_busy(self: &Arc<Self>) -> bool {
        // Its parent's reference, and the caller's.
        Arc::strong_count(self) > 2 || !self.children().is_empty()
    }

    /// Marks it as unused (MNT_EXPIRE); whether it was so marked, and not used since.
    pub fn mark_expired(&self) -> bool {
        // The path that leads here uses it, too.
        const USES_OF_THE_CALLER: u8 = 2;
        self.expiry.swap(USES_OF_THE_CALLER, Ordering::Relaxed) == USES_OF_THE_CALLER - 1
    }

    /// A path has been followed into it.
    pub(super) fn entered(&self) {
        let left = self.expiry.load(Ordering::Relaxed);
        if left != 0 {
            self.expiry.store(left - 1, Ordering::Relaxed);
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(table) = &self.table {
            table.mount_removed();
        }
        self.root.file_system_unmounted();
        let links = self.links.get_mut();
        if let Some(place) = &links.place {
            place.dentry.mount_removed();
        }
        // Not by recursion: a guest decides how deep its mounts are.
        let mut rest: Vec<_> = links.children.drain().map(|(_, child)| child).collect();
        while let Some(child) = rest.pop() {
            if let Some(mut child) = Arc::into_inner(child) {
                rest.extend(child.links.get_mut().children.drain().map(|(_, child)| child));
            }
        }
    }
}

impl FileSystem for NamelessFileSystem {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn info(&self) -> FileSystemInfo {
        FileSystemInfo { magic: self.magic, block_size_bytes: 4096, ..FileSystemInfo::default() }
    }
}
