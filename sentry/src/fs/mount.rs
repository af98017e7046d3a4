//! Mounts: which file system is seen where (`man 7 mount_namespaces`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use linux_raw_sys::general as uapi;
use parking_lot::RwLock;

use super::dentry::Dentry;
use super::memory_files::MemoryFiles;
use super::metadata::DeviceNumber;
use super::path::Path;
use crate::Errno;
use crate::namespace::{Identity, Namespace, NamespaceKind};

/// Mounts that one namespace may hold: fewer than Linux's 100,000, for each takes memory of the sentry.
const MAX_MOUNTS: usize = 10_000;

bitflags::bitflags! {
    /// What a mount forbids, or does not record. The values are `MS_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MountFlags: u32 {
        /// Nothing may be changed through it.
        const READ_ONLY = uapi::MS_RDONLY;
        /// Set-ID bits have no effect.
        const NO_SUID = uapi::MS_NOSUID;
        /// Device nodes cannot be opened.
        const NO_DEVICES = uapi::MS_NODEV;
        /// Nothing can be executed.
        const NO_EXEC = uapi::MS_NOEXEC;
        /// Access times never move.
        const NO_ACCESS_TIME = uapi::MS_NOATIME;
        /// Access times of directories never move.
        const NO_DIRECTORY_ACCESS_TIME = uapi::MS_NODIRATIME;
        /// Access times move as little as tells reads from writes.
        const RELATIVE_ACCESS_TIME = uapi::MS_RELATIME;
    }
}

/// What statfs(2) tells of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSystemInfo {
    /// The `*_SUPER_MAGIC` number.
    pub magic: u64,
    /// Block size in bytes.
    pub block_size_bytes: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks free.
    pub free_blocks: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes free.
    pub free_inodes: u64,
}

/// One instance of a file system.
pub trait FileSystem: Send + Sync {
    /// The name of its type, as in /proc/filesystems.
    fn type_name(&self) -> &'static str;

    /// The device number of its inodes.
    fn device(&self) -> DeviceNumber;

    /// What statfs(2) tells.
    fn info(&self) -> FileSystemInfo;

    /// The options of /proc/mounts beside the mount's own, with a comma before each.
    fn options(&self) -> String {
        String::new()
    }
}

/// A tree, attached somewhere.
pub struct Mount {
    id: u64,
    file_system: Arc<dyn FileSystem>,
    root: Arc<Dentry>,
    source: String,
    flags: AtomicU32,
    /// Where it is attached; `None` for the root of a namespace and for what has been detached.
    place: RwLock<Option<MountPoint>>,
}

struct MountPoint {
    mount: Arc<Mount>,
    dentry: Arc<Dentry>,
}

impl Mount {
    /// `root`, a dentry of `file_system`, ready to be attached. `source` is the first field in /proc/mounts.
    pub fn new(
        file_system: Arc<dyn FileSystem>,
        root: Arc<Dentry>,
        source: &str,
        flags: MountFlags,
    ) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        root.file_system_mounted();
        Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            file_system,
            root,
            source: source.to_owned(),
            flags: AtomicU32::new(flags.bits()),
            place: RwLock::new(None),
        })
    }

    /// A mount that is never attached, for inodes without names.
    pub(crate) fn internal(root: Arc<Dentry>) -> Arc<Self> {
        Self::new(Arc::new(AnonymousFileSystem), root, "none", MountFlags::empty())
    }

    /// Its number, as in /proc/PID/mountinfo.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The dentry that is seen at the mount point.
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// The file system.
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.file_system
    }

    /// The first field in /proc/mounts.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it forbids.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Acquire))
    }

    /// Replaces what it forbids (remount).
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Release);
    }

    /// Fails with EROFS if nothing may be changed through this mount.
    ///
    /// # Errors
    /// EROFS.
    pub fn check_writable(&self) -> Result<(), Errno> {
        if self.flags().contains(MountFlags::READ_ONLY) { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// Where it is attached.
    pub fn mount_point(&self) -> Option<Path> {
        let place = self.place.read();
        place.as_ref().map(|place| Path::new(place.mount.clone(), place.dentry.clone()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.root.file_system_unmounted();
        // Not by recursion: a guest decides how deep its mounts are.
        let mut place = self.place.get_mut().take();
        while let Some(mut last) = place.and_then(|place| Arc::into_inner(place.mount)) {
            place = last.place.get_mut().take();
        }
    }
}

/// The tree of mounts that some tasks see.
pub struct MountNamespace {
    identity: Identity,
    table: RwLock<Table>,
    memory_files: OnceLock<Arc<MemoryFiles>>,
}

struct Table {
    root: Arc<Mount>,
    /// By the mount point: the mount below and the dentry's address, which its entry keeps alive.
    by_place: HashMap<(u64, usize), Arc<Mount>>,
    /// In the order of mounting.
    all: Vec<Arc<Mount>>,
}

fn key(path: &Path) -> (u64, usize) {
    (path.mount.id, Arc::as_ptr(&path.dentry).addr())
}

impl MountNamespace {
    /// The first namespace, with one mount.
    pub fn new(root: Arc<Mount>) -> Arc<Self> {
        let table = Table { all: vec![root.clone()], root, by_place: HashMap::new() };
        let identity = Identity::initial(NamespaceKind::Mount);
        Arc::new(Self { identity, table: RwLock::new(table), memory_files: OnceLock::new() })
    }

    /// Where files without a mount point are made, once it has been set.
    pub fn memory_files(&self) -> Option<&Arc<MemoryFiles>> {
        self.memory_files.get()
    }

    /// Sets where files without a mount point are made. Only the first call has an effect.
    pub fn set_memory_files(&self, files: Arc<MemoryFiles>) {
        self.memory_files.get_or_init(|| files);
    }

    /// The top of the tree: the root directory, with what is mounted on it.
    pub fn root(&self) -> Path {
        let root = self.table.read().root.clone();
        let dentry = root.root.clone();
        self.cross(Path::new(root, dentry))
    }

    /// The root of what is mounted on `path`, or `path` itself if nothing is.
    pub fn cross(&self, mut path: Path) -> Path {
        while path.dentry.is_mount_point() {
            let Some(mount) = self.table.read().by_place.get(&key(&path)).cloned() else { break };
            let dentry = mount.root.clone();
            path = Path::new(mount, dentry);
        }
        path
    }

    /// Attaches `mount` at `place`, on top of what is mounted there.
    ///
    /// # Errors
    /// ENOSPC if there are too many mounts, ENOENT if the directory has been removed.
    pub fn attach(&self, mount: &Arc<Mount>, place: Path) -> Result<(), Errno> {
        let place = self.cross(place);
        let mut table = self.table.write();
        if table.all.len() >= MAX_MOUNTS {
            return Err(Errno::ENOSPC);
        }
        if place.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        if table.by_place.contains_key(&key(&place)) {
            return Err(Errno::EBUSY);
        }
        table.all.push(mount.clone());
        table.put(mount, place);
        Ok(())
    }

    /// Detaches `mount`, and with `is_lazy` all mounts below it.
    ///
    /// # Errors
    /// EINVAL if it is not attached here or is the root, EBUSY if there are mounts below it.
    pub fn detach(&self, mount: &Arc<Mount>, is_lazy: bool) -> Result<(), Errno> {
        let mut dropped = Vec::new();
        let mut table = self.table.write();
        if Arc::ptr_eq(&table.root, mount) || !table.all.iter().any(|other| Arc::ptr_eq(other, mount)) {
            return Err(Errno::EINVAL);
        }
        let tree = table.tree_below(mount);
        if tree.len() > 1 && !is_lazy {
            return Err(Errno::EBUSY);
        }
        for gone in tree.iter().rev() {
            let place = gone.place.write().take();
            if let Some(place) = place {
                table.by_place.remove(&(place.mount.id, Arc::as_ptr(&place.dentry).addr()));
                place.dentry.mount_removed();
                dropped.push(place);
            }
        }
        table.all.retain(|other| !tree.iter().any(|gone| Arc::ptr_eq(gone, other)));
        drop(table);
        // Outside the lock: this may be the end of whole file systems.
        drop((tree, dropped));
        Ok(())
    }

    /// Moves `mount` to `place` (MS_MOVE).
    ///
    /// # Errors
    /// EINVAL if it is not attached below another mount, ELOOP if `place` lies within it.
    pub fn move_mount(&self, mount: &Arc<Mount>, place: Path) -> Result<(), Errno> {
        let place = self.cross(place);
        let mut table = self.table.write();
        if table.tree_below(mount).iter().any(|inner| Arc::ptr_eq(inner, &place.mount)) {
            return Err(Errno::ELOOP);
        }
        let old = mount.place.write().take().ok_or(Errno::EINVAL)?;
        table.by_place.remove(&(old.mount.id, Arc::as_ptr(&old.dentry).addr()));
        old.dentry.mount_removed();
        table.put(mount, place);
        drop(table);
        drop(old);
        Ok(())
    }

    /// Makes the mount at `new_root` the root, and puts the one that was there, `old_root`, at `put_old`
    /// (`man 2 pivot_root`).
    ///
    /// # Errors
    /// EINVAL if one of them is not attached as that asks for.
    pub fn pivot(&self, old_root: &Arc<Mount>, new_root: &Path, put_old: Path) -> Result<(), Errno> {
        let put_old = self.cross(put_old);
        let mut table = self.table.write();
        let new_place = new_root.mount.place.write().take().ok_or(Errno::EINVAL)?;
        table.by_place.remove(&(new_place.mount.id, Arc::as_ptr(&new_place.dentry).addr()));
        new_place.dentry.mount_removed();
        let old_place = old_root.place.write().take();
        if let Some(place) = &old_place {
            table.by_place.remove(&(place.mount.id, Arc::as_ptr(&place.dentry).addr()));
            place.dentry.mount_removed();
            table.put(&new_root.mount, Path::new(place.mount.clone(), place.dentry.clone()));
        } else {
            table.root = new_root.mount.clone();
        }
        table.put(old_root, put_old);
        drop(table);
        drop((new_place, old_place));
        Ok(())
    }

    /// The mounts below `place`, parents first, without the one that it is in.
    pub fn mounts_below(&self, place: &Path) -> Vec<Arc<Mount>> {
        let tree = self.table.read().tree_below(&place.mount);
        let is_inside = |mount: &Arc<Mount>| mount.mount_point().is_some_and(|point| point.is_below(place));
        tree.into_iter().skip(1).filter(is_inside).collect()
    }

    /// All mounts, in the order of mounting.
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        self.table.read().all.clone()
    }

    /// Whether somebody besides the namespace uses `mount` (umount2's EBUSY): an open file, a working directory.
    pub fn is_busy(&self, mount: &Arc<Mount>) -> bool {
        // One reference each: the list, the place, and the caller's own (the path that named it).
        let children = self.table.read().tree_below(mount).len() - 1;
        Arc::strong_count(mount) > 3 + children
    }

    /// A copy with mounts of its own (CLONE_NEWNS), and a function that finds a place of the old one in it.
    pub fn duplicate(&self, identity: Identity) -> (Arc<Self>, impl Fn(&Path) -> Path + use<>) {
        let table = self.table.read();
        let copies: HashMap<u64, Arc<Mount>> = table
            .all
            .iter()
            .map(|old| {
                (old.id, Mount::new(old.file_system.clone(), old.root.clone(), &old.source, old.flags()))
            })
            .collect();
        let translate = move |path: &Path| match copies.get(&path.mount.id) {
            Some(mount) => Path::new(mount.clone(), path.dentry.clone()),
            None => path.clone(),
        };
        let copy_of = |mount: &Arc<Mount>| translate(&Path::new(mount.clone(), mount.root.clone())).mount;
        let mut by_place = HashMap::new();
        for old in &table.all {
            if let Some(place) = old.mount_point().map(|place| translate(&place)) {
                let copy = copy_of(old);
                place.dentry.mount_added();
                by_place.insert(key(&place), copy.clone());
                *copy.place.write() = Some(MountPoint { mount: place.mount, dentry: place.dentry });
            }
        }
        let all = table.all.iter().map(copy_of).collect();
        let copy = Table { root: copy_of(&table.root), by_place, all };
        let memory_files = self.memory_files.clone();
        (Arc::new(Self { identity, table: RwLock::new(copy), memory_files }), translate)
    }
}

impl Table {
    /// Records that `mount`, which is attached nowhere, is at `place` now.
    fn put(&mut self, mount: &Arc<Mount>, place: Path) {
        place.dentry.mount_added();
        self.by_place.insert(key(&place), mount.clone());
        *mount.place.write() = Some(MountPoint { mount: place.mount, dentry: place.dentry });
    }

    /// `mount` and everything mounted below it, parents first.
    fn tree_below(&self, mount: &Arc<Mount>) -> Vec<Arc<Mount>> {
        let mut tree = vec![mount.clone()];
        let mut next = 0;
        while let Some(parent) = tree.get(next).cloned() {
            let is_child = |other: &&Arc<Mount>| {
                other.place.read().as_ref().is_some_and(|place| Arc::ptr_eq(&place.mount, &parent))
            };
            tree.extend(self.all.iter().filter(is_child).cloned());
            next += 1;
        }
        tree
    }
}

impl Namespace for MountNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Drop for MountNamespace {
    fn drop(&mut self) {
        let table = self.table.get_mut();
        for mount in &table.all {
            // Parents and children refer to each other through the table only; what tasks still hold stays usable.
            if let Some(place) = &*mount.place.read() {
                place.dentry.mount_removed();
            }
        }
    }
}

/// What inodes without names belong to.
struct AnonymousFileSystem;

impl FileSystem for AnonymousFileSystem {
    fn type_name(&self) -> &'static str {
        "anon_inodefs"
    }

    fn device(&self) -> DeviceNumber {
        DeviceNumber::new(0, 15)
    }

    fn info(&self) -> FileSystemInfo {
        const ANON_INODE_FS_MAGIC: u64 = 0x0904_1934;
        FileSystemInfo { magic: ANON_INODE_FS_MAGIC, block_size_bytes: 4096, ..FileSystemInfo::default() }
    }
}
