//! Inodes of files that no file system names: pipes, sockets, event counters and the like.

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use super::{AttributeChanges, DeviceNumber, FileKind, Metadata, OpenFiles, Timestamp};
use crate::cred::{KernelGid, KernelUid};

/// The file system that a nameless inode is on, whose device number is below those of
/// [`AnonymousDevices`](super::AnonymousDevices).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamelessFileSystem {
    pub(super) type_name: &'static str,
    pub(super) device: DeviceNumber,
    /// The `*_MAGIC` number.
    pub(super) magic: u64,
}

impl NamelessFileSystem {
    /// That of processes' descriptors.
    pub const OF_PROCESSES: Self =
        Self { type_name: "pidfs", device: DeviceNumber::new(0, 5), magic: uapi::PID_FS_MAGIC as u64 };

    /// That of the inodes of `kind`.
    pub(super) fn of(kind: FileKind) -> Self {
        let (type_name, minor, magic) = match kind {
            FileKind::Socket => ("sockfs", 8, uapi::SOCKFS_MAGIC),
            FileKind::Fifo => ("pipefs", 14, uapi::PIPEFS_MAGIC),
            _ => ("anon_inodefs", 15, uapi::ANON_INODE_FS_MAGIC),
        };
        Self { type_name, device: DeviceNumber::new(0, minor), magic: magic.into() }
    }
}

/// The attributes of a file without a name.
pub struct AnonymousInode {
    ino: u64,
    metadata: Mutex<Metadata>,
}

impl AnonymousInode {
    /// A fresh one among `files`, of no type, as the `anon_inode` files have; owned by root.
    pub fn new(files: &OpenFiles) -> Self {
        Self::of_mode(files, (FileKind::Regular, 0), 0o600)
    }

    /// A fresh one among `files`, with the `S_IF*` bits of `kind`.
    pub fn of_kind(files: &OpenFiles, kind: FileKind, permissions: u32) -> Self {
        Self::of_mode(files, (kind, kind.mode_bits()), permissions)
    }

    /// That of a process or thread with this number, which is like no other's.
    pub fn of_process(ino: u64) -> Self {
        let mut metadata = Metadata::new(FileKind::Regular, 0, NamelessFileSystem::OF_PROCESSES.device, ino);
        metadata.mode = 0o700;
        Self { ino, metadata: Mutex::new(metadata) }
    }

    fn of_mode(files: &OpenFiles, (kind, kind_bits): (FileKind, u32), permissions: u32) -> Self {
        let ino = files.new_inode_number();
        let device = NamelessFileSystem::of(kind).device;
        let mut metadata = Metadata::new(FileKind::Regular, 0, device, ino);
        metadata.mode = kind_bits | permissions;
        Self { ino, metadata: Mutex::new(metadata) }
    }

    /// The same, owned by `uid` and `gid`.
    pub fn owned_by(mut self, uid: KernelUid, gid: KernelGid) -> Self {
        let metadata = self.metadata.get_mut();
        (metadata.uid, metadata.gid) = (uid, gid);
        self
    }

    /// The inode number, as in `pipe:[N]`.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// What fstat(2) tells.
    pub fn metadata(&self) -> Metadata {
        *self.metadata.lock()
    }

    /// Changes owner, mode and times, as fchown(2), fchmod(2) and futimens(3) do to pipes and sockets.
    pub fn change(&self, changes: &AttributeChanges) {
        let mut metadata = self.metadata.lock();
        if let Some(permissions) = changes.permissions {
            metadata.mode = metadata.mode & !0o7777 | permissions & 0o7777;
        }
        metadata.uid = changes.uid.unwrap_or(metadata.uid);
        metadata.gid = changes.gid.unwrap_or(metadata.gid);
        if let Some(accessed) = changes.accessed {
            metadata.accessed = accessed.timestamp();
        }
        if let Some(modified) = changes.modified {
            metadata.modified = modified.timestamp();
        }
        metadata.changed = Timestamp::now();
    }
}
