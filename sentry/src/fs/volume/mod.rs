//! Volumes: a directory or a file of the host, written in place and seen at once by everybody who shares it.
//!
//! A [`Node`] is a file that somebody here uses, known by its device and inode number on the host and held by a handle
//! (O_PATH), so that its number stays its own. Names are looked up on the host each time, one component beneath its
//! directory's handle and without following links: symbolic links and `..` are the sentry's to resolve, and whatever is
//! renamed on the host meanwhile, nothing outside of the volume is reached. Nothing is remembered of a file but what mappings
//! show of it.
//!
//! The host decides what its caller may do; what the guest's users may do among themselves is decided before, by the same
//! owners and modes. Devices are never opened, FIFOs and sockets connect processes of the sandbox alone, and of extended
//! attributes only `user.*` and access control lists are shared: what gives privileges on the host is not for a guest to set.
//!
//! Lock order: the table of nodes, then what a node locks; all are leaves of the locks of [`fs`](super).

mod contents;
mod directory;
mod handle;
mod host_locks;
mod inode;
mod node;
mod owners;
mod pages;
mod regular;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, OFlags, Statx, StatxFlags, fstatfs, statx};

use super::dentry::Dentry;
use super::file_systems::AnonymousDevices;
use super::host::{HostMounts, device_of};
use super::metadata::{DeviceNumber, FileKind};
use super::mount::{FileSystem, FileSystemInfo, Instance, Mount, MountFlags};
use super::special::SpecialFiles;
use super::tmpfs::MemoryResources;
use crate::Errno;
use crate::host::{HostCall, count_call};
use crate::memory::FrameAllocator;
use handle::Budget;
use node::{Identity, Node};
pub use owners::OwnerMap;

/// What the host tells of a file.
const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// A directory or regular file of the host that is to be a volume, opened before the jail is entered.
pub struct VolumeRoot {
    descriptor: OwnedFd,
    kind: FileKind,
}

impl VolumeRoot {
    /// `descriptor` is a directory, opened at least for O_PATH, or a regular file, opened as it will be used.
    ///
    /// # Errors
    /// EINVAL: it is something else. EACCES: it is an interface of the host's kernel. And the host's.
    pub fn new(descriptor: OwnedFd) -> Result<Self, Errno> {
        let status = status_of(&descriptor)?;
        let kind = FileKind::from_mode(u32::from(status.stx_mode)).ok_or(Errno::EINVAL)?;
        if !matches!(kind, FileKind::Directory | FileKind::Regular) {
            return Err(Errno::EINVAL);
        }
        if !HostMounts::read().allow_root(&descriptor, device_of(&status))? {
            return Err(Errno::EACCES);
        }
        Ok(Self { descriptor, kind })
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    /// The directory that it is.
    ///
    /// # Errors
    /// The root itself, if it is a file.
    pub fn into_directory(self) -> Result<OwnedFd, Self> {
        if self.is_directory() { Ok(self.descriptor) } else { Err(self) }
    }
}

/// What all nodes of one volume share.
struct Volume {
    mounts: HostMounts,
    owners: OwnerMap,
    /// Whether the host lets this process do everything, as it does root.
    is_privileged: bool,
    frames: Arc<FrameAllocator>,
    specials: Arc<SpecialFiles>,
    handles: Arc<Budget>,
    /// The largest file that the host lets this process write (RLIMIT_FSIZE).
    size_limit: Option<u64>,
    nodes: Mutex<HashMap<Identity, Weak<Node>>>,
    device_numbers: Arc<AnonymousDevices>,
    /// The guest's numbers for the host's file systems, in the order in which they were met.
    devices: Mutex<Vec<(u64, DeviceNumber)>>,
}

/// A mount of `root`, ready to be attached. `max_handles` files of it may be in use at a time.
///
/// # Errors
/// The host's.
pub fn new_mount(
    resources: &MemoryResources,
    root: VolumeRoot,
    owners: OwnerMap,
    max_handles: usize,
    flags: MountFlags,
) -> Result<Arc<Mount>, Errno> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    let volume = Arc::new(Volume {
        mounts: HostMounts::read(),
        owners,
        is_privileged: rustix::process::geteuid().is_root(),
        frames: resources.frames.clone(),
        specials: resources.specials.clone(),
        handles: Budget::new(max_handles),
        size_limit: limit.current,
        nodes: Mutex::default(),
        device_numbers: resources.devices.clone(),
        devices: Mutex::default(),
    });
    let root = Node::root(&volume, root)?;
    let dentry = Dentry::new_root(root.clone());
    let file_system = Arc::new(VolumeFileSystem { volume, root });
    let flags = flags | MountFlags::NODEV | MountFlags::RELATIME;
    let instance = Instance::new(file_system, dentry, resources.user_namespace.clone());
    Ok(Mount::of(&resources.mounts, instance, "volume", flags))
}

impl Volume {
    /// The guest's number for a file system of the host.
    fn device(&self, host: u64) -> DeviceNumber {
        let mut devices = self.devices.lock();
        if let Some((_, number)) = devices.iter().find(|(known, _)| *known == host) {
            return *number;
        }
        let number = self.device_numbers.take();
        devices.push((host, number));
        number
    }

    /// The nodes that are in use.
    fn live_nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.lock().values().filter_map(Weak::upgrade).collect()
    }
}

struct VolumeFileSystem {
    volume: Arc<Volume>,
    root: Arc<Node>,
}

impl FileSystem for VolumeFileSystem {
    /// That of Linux's own file system of the kind, which user-mode Linux has.
    fn type_name(&self) -> &'static str {
        "hostfs"
    }

    fn device(&self) -> DeviceNumber {
        self.volume.device(self.root.identity().0)
    }

    fn info(&self) -> FileSystemInfo {
        count_call(HostCall::StatFs);
        let Ok(figures) = fstatfs(self.root.handle()) else { return FileSystemInfo::default() };
        FileSystemInfo {
            magic: figures.f_type as u64,
            block_size_bytes: figures.f_bsize as u64,
            blocks: figures.f_blocks,
            free_blocks: if self.volume.is_privileged { figures.f_bfree } else { figures.f_bavail },
            reserved_blocks: if self.volume.is_privileged {
                figures.f_bfree.saturating_sub(figures.f_bavail)
            } else {
                0
            },
            inodes: figures.f_files,
            free_inodes: figures.f_ffree,
        }
    }

    fn write_back(&self) -> Result<(), Errno> {
        self.volume.live_nodes().iter().try_for_each(|node| node.contents().write_back(0..u64::MAX))
    }

    fn sync(&self) -> Result<(), Errno> {
        self.write_back()?;
        self.root.sync_file_system()
    }
}

fn status_of(file: impl AsFd) -> Result<Statx, Errno> {
    count_call(HostCall::Stat);
    Ok(statx(file, c"", AtFlags::EMPTY_PATH, WANTED)?)
}

/// The flags of a file that is opened to be read, written, or both.
fn access_mode(reads: bool, writes: bool) -> OFlags {
    match (reads, writes) {
        (_, false) => OFlags::RDONLY,
        (false, true) => OFlags::WRONLY,
        (true, true) => OFlags::RDWR,
    }
}

fn retry<T>(call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, Errno> {
    rustix::io::retry_on_intr(call).map_err(Errno::from)
}
