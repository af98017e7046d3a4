//! What a file system tells of an inode (`man 7 inode`), and how it is asked to change it.

use crate::cred::{KernelGid, KernelUid};
use linux_raw_sys::general as uapi;
use rustix::time::{ClockId, clock_gettime};

/// The permission bits of a mode, with set-ID and sticky bits.
pub(crate) const PERMISSION_BITS: u32 = 0o7777;

/// A point in time, on the realtime clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds of the second, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// Now, at the resolution of the clock tick, as Linux stamps files.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        Self { seconds: now.tv_sec, nanoseconds: u32::try_from(now.tv_nsec).unwrap_or(0) }
    }
}

/// A device number (`man 3 makedev`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// The device `major:minor`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// As `stat` and `mknod` carry it: glibc's 64-bit encoding, of which Linux uses 32 bits.
    pub const fn as_u64(self) -> u64 {
        let (major, minor) = (self.major as u64, self.minor as u64);
        (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
    }

    /// The reverse of [`DeviceNumber::as_u64`].
    pub const fn from_u64(number: u64) -> Self {
        let major = (number >> 8 & 0xfff) | (number >> 32 & 0xffff_f000);
        let minor = (number & 0xff) | (number >> 12 & 0xffff_ff00);
        Self { major: major as u32, minor: minor as u32 }
    }
}

/// The type of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A FIFO or pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl FileKind {
    /// The `S_IF*` bits.
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Regular => uapi::S_IFREG,
            Self::Directory => uapi::S_IFDIR,
            Self::Symlink => uapi::S_IFLNK,
            Self::CharacterDevice => uapi::S_IFCHR,
            Self::BlockDevice => uapi::S_IFBLK,
            Self::Fifo => uapi::S_IFIFO,
            Self::Socket => uapi::S_IFSOCK,
        }
    }

    /// The kind that the `S_IF*` bits of `mode` name; `None` if they name none.
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & uapi::S_IFMT {
            uapi::S_IFREG => Self::Regular,
            uapi::S_IFDIR => Self::Directory,
            uapi::S_IFLNK => Self::Symlink,
            uapi::S_IFCHR => Self::CharacterDevice,
            uapi::S_IFBLK => Self::BlockDevice,
            uapi::S_IFIFO => Self::Fifo,
            uapi::S_IFSOCK => Self::Socket,
            _ => return None,
        })
    }

    /// The `DT_*` value that getdents64(2) reports: the `S_IF*` bits, shifted.
    pub const fn directory_entry_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// What stat(2) tells of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The file system.
    pub device: DeviceNumber,
    /// The inode number in it.
    pub inode: u64,
    /// Type and permission bits, as `st_mode`.
    pub mode: u32,
    /// Names that refer to it.
    pub links: u32,
    /// Owner.
    pub uid: KernelUid,
    /// Group.
    pub gid: KernelGid,
    /// Which device a device node is.
    pub special_device: DeviceNumber,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Preferred length of I/O.
    pub block_size_bytes: u32,
    /// Storage used, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the contents.
    pub modified: Timestamp,
    /// Last change of the inode.
    pub changed: Timestamp,
    /// Creation, where known.
    pub created: Option<Timestamp>,
}

impl Metadata {
    /// Of a fresh inode of `kind` with the given permission bits: one link, root's, empty, stamped now.
    pub fn new(kind: FileKind, permissions: u32, device: DeviceNumber, inode: u64) -> Self {
        let now = Timestamp::now();
        Self {
            device,
            inode,
            mode: kind.mode_bits() | permissions & PERMISSION_BITS,
            links: 1,
            uid: KernelUid::ROOT,
            gid: KernelGid::ROOT,
            special_device: DeviceNumber::default(),
            size_bytes: 0,
            block_size_bytes: 4096,
            blocks: 0,
            accessed: now,
            modified: now,
            changed: now,
            created: None,
        }
    }

    /// The type.
    pub fn kind(&self) -> FileKind {
        FileKind::from_mode(self.mode).unwrap_or(FileKind::Regular)
    }

    /// The permission, set-ID and sticky bits.
    pub fn permissions(&self) -> u32 {
        self.mode & PERMISSION_BITS
    }

    /// Whether a read now must move the access time (`relatime`, `man 8 mount`).
    pub fn needs_access_time(&self, now: Timestamp) -> bool {
        const DAY_SECONDS: i64 = 24 * 60 * 60;
        self.accessed <= self.modified
            || self.accessed <= self.changed
            || now.seconds.saturating_sub(self.accessed.seconds) >= DAY_SECONDS
    }
}

/// How a time stamp is to change (`man 2 utimensat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeChange {
    /// To the time of the change.
    Now,
    /// To this.
    To(Timestamp),
}

impl TimeChange {
    /// The stamp to set.
    pub fn timestamp(self) -> Timestamp {
        match self {
            Self::Now => Timestamp::now(),
            Self::To(timestamp) => timestamp,
        }
    }
}

/// Changes to an inode's attributes; what is `None` stays. The change time moves with any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeChanges {
    /// New permission, set-ID and sticky bits.
    pub permissions: Option<u32>,
    /// New owner.
    pub uid: Option<KernelUid>,
    /// New group.
    pub gid: Option<KernelGid>,
    /// New length in bytes (truncate); moves the modification time too.
    pub size_bytes: Option<u64>,
    /// New access time.
    pub accessed: Option<TimeChange>,
    /// New modification time.
    pub modified: Option<TimeChange>,
}

#[cfg(test)]
mod tests;
