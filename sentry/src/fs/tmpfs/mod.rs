//! Files in memory.
//!
//! A tree of [`Node`]s. It may begin empty (tmpfs), or as a view of a lower layer, whose files it takes over one
//! by one as they are changed: that is the [`overlay`](super::overlay). Either way there is one node for a file
//! from its first use to its end, so numbers, links, locks and pages stay the same when a file is taken over.
//!
//! Regular files are page caches. Everything is counted: pages and inodes against the file system's limits, and
//! what the sentry keeps for names, links and attributes as if it were pages.

mod changes;
mod directory;
mod file;
mod huge;
mod lower;
mod node;
mod options;
mod shift;
mod usage;
mod write_back;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::block::{self, BlockDevices};
use super::dentry::Dentry;
use super::dev::{Devtmpfs, KernelLog, MiscDevices};
use super::disk_control::DiskControl;
use super::file_flags::FileFlags;
use super::file_system_type::{FileSystemType, MountRequest, Mounter, TypeFlags};
use super::file_systems::AnonymousDevices;
use super::inode::Viewer;
use super::lower::{LowerFile, LowerStatus, LowerStore};
use super::metadata::{DeviceNumber, FileKind};
use super::mount::{FileSystem, FileSystemInfo, Instance, Mount, MountFlags, MountTable};
use super::open_files::OpenFiles;
use super::path::Path;
use super::special::SpecialFiles;
use crate::Errno;
use crate::cred::UserNamespace;
use crate::memory::{FrameAllocator, HUGE_PAGE_BYTES};
use crate::platform::PAGE_SIZE;
use huge::HugeVolume;
use lower::LowerTable;
use parking_lot::Mutex;
use usage::{KeptMemory, Usage};
use write_back::Stored;

pub use changes::{Change, ChangeKind, changes};
pub(super) use huge::HUGETLBFS;
pub(crate) use node::Node;
pub use options::TmpfsOptions;

const HUGETLBFS_MAGIC: u64 = linux_raw_sys::general::HUGETLBFS_MAGIC as u64;
const RAMFS_MAGIC: u64 = 0x8584_58f6;
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
const TMPFS_MAGIC: u64 = linux_raw_sys::general::TMPFS_MAGIC as u64;
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;

/// Permission bits of the root directory of what has no limit.
const RAMFS_PERMISSIONS: u32 = 0o755;

/// Files in memory.
pub(super) const TMPFS: FileSystemType = FileSystemType {
    name: "tmpfs",
    flags: TypeFlags::USERNS_MOUNT.union(TypeFlags::ALLOW_IDMAP),
    shows: None,
    check_options: |mounter, options| TmpfsOptions::of_mounter(mounter, options).map(drop),
    make: |mounter, owner, request| make_instance(mounter, owner, request, "tmpfs"),
};

/// The same without a limit. It ignores what it does not know.
pub(super) const RAMFS: FileSystemType = FileSystemType {
    name: "ramfs",
    check_options: |_, _| Ok(()),
    make: |mounter, owner, request| {
        let options = format!("mode=755,{}", only(&["mode="], request.options));
        make_instance(mounter, owner, &MountRequest { options: &options, ..*request }, "ramfs")
    },
    ..TMPFS
};

/// Where programs for the kernel would be kept by name: directories and links, for nobody can load one here.
pub(super) const BPF: FileSystemType = FileSystemType {
    name: "bpf",
    check_options: |_, _| Ok(()),
    make: |mounter, owner, request| {
        let options = only(&["mode=", "uid=", "gid="], request.options);
        make_instance(mounter, owner, &MountRequest { options: &options, ..*request }, BPF.name)
    },
    ..TMPFS
};

/// Those of the options that begin so.
fn only(names: &[&str], options: &str) -> String {
    let is_one = |option: &&str| names.iter().any(|name| option.starts_with(name));
    options.split(',').filter(is_one).collect::<Vec<_>>().join(",")
}

/// One instance: what all its nodes share.
pub(crate) struct Volume {
    device: DeviceNumber,
    frames: Arc<FrameAllocator>,
    usage: Arc<Usage>,
    next_number: AtomicU64,
    specials: Arc<SpecialFiles>,
    user_namespace: Arc<UserNamespace>,
    lower: Option<LowerTable>,
    /// There are directories and symbolic links, and nothing else.
    only_has_names: AtomicBool,
    /// Its files are of huge pages.
    huge: Option<HugeVolume>,
    uuid: [u8; 16],
    /// Where changes go, and what it has to know.
    store: Option<Stored>,
}

/// What the kernel gives to each file system that keeps files in memory.
#[derive(Clone)]
pub struct MemoryResources {
    /// Where pages come from.
    pub frames: Arc<FrameAllocator>,
    /// What devices and FIFOs open.
    pub specials: Arc<SpecialFiles>,
    kept: Arc<KeptMemory>,
    /// Who counts the mounts.
    pub mounts: Arc<MountTable>,
    /// Device numbers.
    pub devices: Arc<AnonymousDevices>,
    /// The initial user namespace, which owns what the kernel mounts.
    pub user_namespace: Arc<UserNamespace>,
    /// Where device nodes of block devices lead.
    pub block: Arc<BlockDevices>,
    /// What /dev/kmsg is.
    pub log: Arc<KernelLog>,
    /// The tree of /dev, once somebody has asked for it.
    devtmpfs: Arc<OnceLock<Arc<Devtmpfs>>>,
}

impl MemoryResources {
    /// Pages from `frames`, and no device yet. FIFOs are pipes among `open_files`.
    pub fn new(
        frames: Arc<FrameAllocator>,
        open_files: &Arc<OpenFiles>,
        user_namespace: &Arc<UserNamespace>,
    ) -> Self {
        let (kept, specials) = (KeptMemory::new(&frames), SpecialFiles::new(open_files));
        let block = BlockDevices::new(&frames);
        block::register(&specials, &block);
        let mounts = MountTable::bounded_by(frames.settings());
        let log = KernelLog::new(open_files, frames.settings());
        specials.register(FileKind::CharacterDevice, MiscDevices::MAJOR, MiscDevices::new(&block));
        Self {
            frames,
            specials,
            kept,
            mounts,
            devices: Arc::default(),
            user_namespace: user_namespace.clone(),
            block,
            log,
            devtmpfs: Arc::default(),
        }
    }

    /// The tree of /dev.
    ///
    /// # Errors
    /// ENOSPC: there is no room for it.
    pub fn devtmpfs(&self) -> Result<&Arc<Devtmpfs>, Errno> {
        if self.devtmpfs.get().is_none() {
            let made = Devtmpfs::new(self)?;
            return Ok(self.devtmpfs.get_or_init(|| made));
        }
        self.devtmpfs.get().ok_or(Errno::ENOSPC)
    }
}

fn make_instance(
    mounter: &dyn Mounter,
    owner: Arc<UserNamespace>,
    request: &MountRequest<'_>,
    type_name: &'static str,
) -> Result<Arc<Instance>, Errno> {
    let mut options = TmpfsOptions::of_mounter(mounter, request.options)?;
    if type_name == BPF.name {
        // Whatever else is asked for.
        options.permissions |= 0o1000;
    }
    new_instance(&mounter.file_systems().memory, &options, type_name, owner)
}

/// An empty tmpfs, ready to be attached.
///
/// # Errors
/// ENOSPC if it has no room for its root directory.
pub fn new_mount(
    resources: &MemoryResources,
    options: &TmpfsOptions,
    source: &str,
    flags: MountFlags,
) -> Result<Arc<Mount>, Errno> {
    let instance = new_instance(resources, options, "tmpfs", resources.user_namespace.clone())?;
    Ok(Mount::of(&resources.mounts, instance, source, flags))
}

/// An empty tmpfs without limits, for files that have no path.
///
/// # Errors
/// ENOSPC if it has no room for its root directory.
pub(super) fn new_nameless_mount(resources: &MemoryResources) -> Result<Arc<Mount>, Errno> {
    let owner = resources.user_namespace.clone();
    let instance = new_instance(resources, &TmpfsOptions::default(), "tmpfs", owner)?;
    Ok(Mount::never_attached(instance, "none"))
}

/// An empty hugetlbfs without limits, for files that have no path.
///
/// # Errors
/// ENOSPC if it has no room for its root directory.
pub(super) fn new_nameless_huge_mount(resources: &MemoryResources) -> Result<Arc<Mount>, Errno> {
    let (options, owner) = (TmpfsOptions::default(), resources.user_namespace.clone());
    let volume = Some(HugeVolume::default());
    let instance = new_instance_of(resources, &options, HUGETLBFS.name, owner, volume)?;
    Ok(Mount::never_attached(instance, "none"))
}

/// An empty tmpfs, whose type is called `type_name` (ramfs is one without a limit, hugetlbfs one of huge pages).
///
/// # Errors
/// ENOSPC if it has no room for its root directory.
pub(super) fn new_instance(
    resources: &MemoryResources,
    options: &TmpfsOptions,
    type_name: &'static str,
    owner: Arc<UserNamespace>,
) -> Result<Arc<Instance>, Errno> {
    new_instance_of(resources, options, type_name, owner, None)
}

fn new_instance_of(
    resources: &MemoryResources,
    options: &TmpfsOptions,
    type_name: &'static str,
    owner: Arc<UserNamespace>,
    huge: Option<HugeVolume>,
) -> Result<Arc<Instance>, Errno> {
    let volume = Volume::new(resources, options, None, 1, None, huge);
    volume.only_has_names.store(type_name == BPF.name, Ordering::Relaxed);
    let root = Node::new_root(&volume, options)?;
    let options = Mutex::new(*options);
    let magic = match type_name {
        "ramfs" => RAMFS_MAGIC,
        "bpf" => BPF_FS_MAGIC,
        "hugetlbfs" => HUGETLBFS_MAGIC,
        _ => TMPFS_MAGIC,
    };
    let file_system = Arc::new(MemoryFileSystem { volume, type_name, magic, options });
    Ok(Instance::new(file_system, Dentry::new_root(root), owner))
}

/// A tmpfs whose files begin as those below `root`, a directory, ready to be attached.
///
/// # Errors
/// ENOSPC if it has no room for its root directory.
pub(super) fn new_mount_over(
    resources: &MemoryResources,
    options: &TmpfsOptions,
    (root, status): (Arc<dyn LowerFile>, &LowerStatus),
    flags: MountFlags,
) -> Result<Arc<Mount>, Errno> {
    let volume =
        Volume::new(resources, options, Some(LowerTable::default()), lower::FIRST_OWN_NUMBER, None, None);
    let root = volume.node_of_lower(root, status)?;
    let file_system = Arc::new(MemoryFileSystem {
        volume,
        type_name: "overlay",
        magic: OVERLAYFS_MAGIC,
        options: Mutex::default(),
    });
    let owner = resources.user_namespace.clone();
    let instance = Instance::new(file_system, Dentry::new_root(root), owner);
    Ok(Mount::of(&resources.mounts, instance, "overlay", flags))
}

/// Files over those below `root`, a directory, whose changes go to `store`: a file system of type `type_name` on the block device
/// numbered `device`.
///
/// # Errors
/// ENOSPC: there is no room for the root directory.
pub(super) fn new_stored_instance(
    resources: &MemoryResources,
    (root, status): (Arc<dyn LowerFile>, &LowerStatus),
    store: Arc<dyn LowerStore>,
    (type_name, device): (&'static str, DeviceNumber),
    owner: Arc<UserNamespace>,
) -> Result<Arc<Instance>, Errno> {
    let info = store.info();
    let options = TmpfsOptions {
        max_bytes: info.free_blocks.saturating_mul(info.block_size_bytes),
        max_inodes: info.free_inodes,
        ..TmpfsOptions::default()
    };
    let store = Some((Stored::new(store), device));
    let lower = Some(LowerTable::default());
    let volume = Volume::new(resources, &options, lower, lower::FIRST_OWN_NUMBER, store, None);
    let root = volume.node_of_lower(root, status)?;
    let (magic, options) = (info.magic, Mutex::default());
    let file_system = Arc::new(MemoryFileSystem { volume, type_name, magic, options });
    Ok(Instance::new(file_system, Dentry::new_root(root), owner))
}

/// The seals (`F_SEAL_*`) of the regular file at `path` (fcntl F_GET_SEALS).
///
/// # Errors
/// EINVAL if it cannot have any.
pub fn seals(path: &Path) -> Result<u32, Errno> {
    regular_node(path)?.seals()
}

/// Adds seals to the regular file at `path` (fcntl F_ADD_SEALS).
///
/// # Errors
/// EPERM if it is sealed against that, EINVAL if it cannot have any.
pub fn add_seals(path: &Path, seals: u32) -> Result<(), Errno> {
    regular_node(path)?.add_seals(seals)
}

/// Replaces the seals of a file that nobody else knows yet.
pub(super) fn set_seals(path: &Path, seals: u32) -> Result<(), Errno> {
    regular_node(path)?.set_seals(seals)
}

fn regular_node(path: &Path) -> Result<&Node, Errno> {
    path.inode().as_any().downcast_ref::<Node>().ok_or(Errno::EINVAL)
}

impl Volume {
    fn new(
        resources: &MemoryResources,
        options: &TmpfsOptions,
        lower: Option<LowerTable>,
        first_number: u64,
        store: Option<(Stored, DeviceNumber)>,
        huge: Option<HugeVolume>,
    ) -> Arc<Self> {
        let (store, device) = store.unzip();
        let uuid = store.as_ref().and_then(Stored::uuid).unwrap_or_else(random_uuid);
        Arc::new(Self {
            device: device.unwrap_or_else(|| resources.devices.take()),
            frames: resources.frames.clone(),
            usage: Arc::new(Usage::new(options.max_bytes, options.max_inodes, resources.kept.clone())),
            next_number: AtomicU64::new(first_number),
            specials: resources.specials.clone(),
            user_namespace: resources.user_namespace.clone(),
            lower,
            only_has_names: AtomicBool::new(false),
            huge,
            uuid,
            store,
        })
    }

    /// The flags that files can have: those of tmpfs or, over a layer, of ext4.
    fn file_flags(&self) -> FileFlags {
        if self.lower.is_some() { FileFlags::OF_EXT } else { FileFlags::OF_TMPFS }
    }

    /// What its files are best read in, in bytes.
    fn block_size_bytes(&self) -> u32 {
        let bytes = if self.huge.is_some() { HUGE_PAGE_BYTES } else { PAGE_SIZE };
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// Whether it is on a block device.
    fn is_stored(&self) -> bool {
        self.store.is_some()
    }

    /// Whether it is on a block device, with files in extents.
    fn has_extents(&self) -> bool {
        self.store.as_ref().is_some_and(Stored::has_extents)
    }

    /// Whether a range of a file can be made zeroes (FALLOC_FL_ZERO_RANGE): not in tmpfs.
    fn zeroes_ranges(&self) -> bool {
        if self.is_stored() { self.has_extents() } else { self.lower.is_some() }
    }

    fn take_ino(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }
}

/// Bytes that tell a file system from all others (RFC 9562, version 4).
fn random_uuid() -> [u8; 16] {
    let mut uuid = [0; 16];
    crate::host::fill_random(&mut uuid);
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

struct MemoryFileSystem {
    volume: Arc<Volume>,
    type_name: &'static str,
    magic: u64,
    /// What it was asked for.
    options: Mutex<TmpfsOptions>,
}

impl MemoryFileSystem {
    /// What is not limited is not counted either.
    fn without_lacking_limits(&self, info: FileSystemInfo) -> FileSystemInfo {
        let (has_no_size, has_no_inodes) = match self.type_name {
            "ramfs" | "bpf" => (true, true),
            _ => self.options.lock().extras.without_limits(),
        };
        let (blocks, free_blocks) = if has_no_size { (0, 0) } else { (info.blocks, info.free_blocks) };
        let (inodes, free_inodes) = if has_no_inodes { (0, 0) } else { (info.inodes, info.free_inodes) };
        FileSystemInfo { blocks, free_blocks, inodes, free_inodes, ..info }
    }
}

impl FileSystem for MemoryFileSystem {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn device(&self) -> DeviceNumber {
        self.volume.device
    }

    fn handle_generation(&self) -> Option<u32> {
        self.volume.uuid.first_chunk().copied().map(u32::from_le_bytes)
    }

    fn uuid(&self) -> Option<[u8; 16]> {
        Some(self.volume.uuid)
    }

    fn info(&self) -> FileSystemInfo {
        let own = self.volume.usage.info(self.magic, &self.volume.frames);
        if let Some(huge) = &self.volume.huge {
            return huge.info(own);
        }
        match &self.volume.store {
            Some(store) => store.info(own),
            None => self.without_lacking_limits(own),
        }
    }

    fn sync(&self) -> Result<(), Errno> {
        self.volume.write_back()
    }

    fn disk_control(&self) -> Option<&dyn DiskControl> {
        self.volume.store.as_ref().map(|_| &*self.volume as &dyn DiskControl)
    }

    fn disk_depth(&self) -> usize {
        self.volume.store.as_ref().map_or(0, Stored::disk_depth)
    }

    fn options(&self) -> String {
        if self.volume.store.is_some() {
            return String::new();
        }
        let options = *self.options.lock();
        if let Some(huge) = &self.volume.huge {
            return huge.options(&options);
        }
        let limits = self.volume.usage.options(options.extras.without_limits());
        match self.magic {
            OVERLAYFS_MAGIC => limits,
            BPF_FS_MAGIC => options.owner_options(),
            RAMFS_MAGIC => options.other_options(RAMFS_PERMISSIONS),
            _ => limits + &options.other_options(TmpfsOptions::default().permissions),
        }
    }

    fn reconfigure(&self, options: &str, _viewer: &Viewer) -> Result<(), Errno> {
        if self.volume.store.is_some() {
            return self.volume.write_back();
        }
        if self.volume.huge.is_some() {
            return Ok(());
        }
        let (max_bytes, max_inodes) = self.volume.usage.limits();
        let mut kept = self.options.lock();
        let old = TmpfsOptions { max_bytes, max_inodes, ..*kept };
        let total_bytes = self.volume.frames.statistics().total_bytes;
        let options = options::with_plain_sizes(options, total_bytes);
        let new = old.with(&options, &self.volume.user_namespace)?;
        self.volume.usage.set_limits(new.max_bytes, new.max_inodes)?;
        // Its root directory is there already.
        kept.extras = new.extras;
        Ok(())
    }
}

impl Drop for MemoryFileSystem {
    fn drop(&mut self) {
        if let Err(error) = self.volume.unmounted() {
            log::warn!("what was changed in a file system could not be written to its device: {error}");
        }
        // The changed files of a lower layer are kept by the volume, which they keep.
        if let Some(lower) = &self.volume.lower {
            lower.release_all();
        }
    }
}

#[cfg(test)]
mod tests;
