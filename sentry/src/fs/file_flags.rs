//! Flags of files that are no part of the mode (`man 2 ioctl_iflags`, `man 2 ioctl_xfs_fsgetxattr`): a file that nobody may
//! change, one that only grows, and more that is kept and told.

use linux_raw_sys::general as uapi;

use super::inode::Inode;
use super::metadata::FileKind;
use crate::Errno;
use crate::abi::Fsxattr;

bitflags::bitflags! {
    /// `FS_*_FL`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct FileFlags: u32 {
        /// Wipe when deleted (kept only).
        const SECRM = uapi::FS_SECRM_FL;
        /// Undelete (kept only).
        const UNRM = uapi::FS_UNRM_FL;
        /// Compress (kept only).
        const COMPR = uapi::FS_COMPR_FL;
        /// Write at once.
        const SYNC = uapi::FS_SYNC_FL;
        /// Nobody may change it.
        const IMMUTABLE = uapi::FS_IMMUTABLE_FL;
        /// Nobody may do more than append.
        const APPEND = uapi::FS_APPEND_FL;
        /// No backup (kept only).
        const NODUMP = uapi::FS_NODUMP_FL;
        /// Its access time stays.
        const NOATIME = uapi::FS_NOATIME_FL;
        /// The contents go through the journal.
        const JOURNAL_DATA = uapi::FS_JOURNAL_DATA_FL;
        /// No merging of tails (kept only).
        const NOTAIL = uapi::FS_NOTAIL_FL;
        /// Changes of the directory are written at once.
        const DIRSYNC = uapi::FS_DIRSYNC_FL;
        /// Its directories belong to different groups of blocks (kept only).
        const TOPDIR = uapi::FS_TOPDIR_FL;
        /// The contents are in extents.
        const EXTENT = uapi::FS_EXTENT_FL;
        /// Memory is mapped to storage (kept only).
        const DAX = uapi::FS_DAX_FL;
        /// New files belong to the directory's project.
        const PROJINHERIT = uapi::FS_PROJINHERIT_FL;
    }
}

impl FileFlags {
    /// Those that tmpfs keeps.
    pub const OF_TMPFS: Self = Self::PROTECTING.union(Self::NODUMP).union(Self::NOATIME);
    /// Those that ext4 keeps.
    pub const OF_EXT: Self = Self::OF_TMPFS
        .union(Self::SECRM)
        .union(Self::UNRM)
        .union(Self::COMPR)
        .union(Self::SYNC)
        .union(Self::NOTAIL)
        .union(Self::DIRSYNC)
        .union(Self::TOPDIR);
    /// Those that take a privilege, since they forbid things to everybody.
    pub const PROTECTING: Self = Self::IMMUTABLE.union(Self::APPEND);
    /// Those that mean something for directories alone.
    const OF_DIRECTORIES: Self = Self::DIRSYNC.union(Self::TOPDIR);
    /// Bits that ext4 takes and leaves as they are.
    const IGNORED_BY_EXT: u32 = 0x1010_1f00 | uapi::FS_EXTENT_FL;

    /// What the file system keeps that keeps `kept` at most, if somebody asks for `self` for a file of `kind` that has `old`.
    ///
    /// # Errors
    /// EOPNOTSUPP for a flag that it does not know. EPERM for one that nobody here may set.
    pub fn to_keep(self, kind: FileKind, kept: Self, old: Self) -> Result<Self, Errno> {
        let is_ext = kept.contains(Self::SECRM);
        let ignored = Self::from_bits_retain(if is_ext { Self::IGNORED_BY_EXT } else { 0 });
        // It takes CAP_SYS_RESOURCE, which nobody has, to have it journalled.
        if is_ext && self.contains(Self::JOURNAL_DATA) {
            return Err(Errno::EPERM);
        }
        let mut known = kept;
        if kind != FileKind::Directory {
            known.remove(Self::OF_DIRECTORIES);
        }
        let asked = self.difference(ignored);
        if !known.contains(asked) { Err(Errno::EOPNOTSUPP) } else { Ok(asked | old.difference(kept)) }
    }

    /// What a file of `kind` gets that is made in a directory with these flags.
    pub fn inherited_by(self, kind: FileKind) -> Self {
        let inherited = self & (Self::OF_EXT.difference(Self::PROTECTING) | Self::PROJINHERIT);
        match kind {
            FileKind::Directory => inherited.difference(Self::TOPDIR),
            FileKind::Regular => inherited.difference(Self::OF_DIRECTORIES | Self::PROJINHERIT),
            _ => inherited & (Self::NODUMP | Self::NOATIME),
        }
    }

    /// What statx(2) tells of them: the bits are the same.
    pub fn statx_attributes(self) -> u64 {
        let told = Self::PROTECTING | Self::NODUMP | Self::COMPR;
        u64::from((self & told).bits())
    }

    /// Those that have an `FS_XFLAG_*` bit.
    pub fn with_extended() -> Self {
        EXTENDED.iter().fold(Self::empty(), |all, (flag, _)| all | *flag)
    }

    /// The `FS_XFLAG_*` bits.
    pub fn extended(self) -> u32 {
        let has = |(flag, bit): &(Self, u32)| if self.contains(*flag) { *bit } else { 0 };
        EXTENDED.iter().map(has).sum()
    }

    /// The flags that a `struct fsxattr` asks for a file of `kind`.
    ///
    /// # Errors
    /// EINVAL, EOPNOTSUPP: bits or fields that nothing here can have.
    pub(crate) fn from_extended(asked: &Fsxattr, kind: FileKind, is_ext: bool) -> Result<Self, Errno> {
        const READ_ONLY: u32 = uapi::FS_XFLAG_PREALLOC | uapi::FS_XFLAG_HASATTR;
        const SIZES: u32 = uapi::FS_XFLAG_EXTSIZE | uapi::FS_XFLAG_EXTSZINHERIT | uapi::FS_XFLAG_COWEXTSIZE;
        if asked.fsx_xflags & !KNOWN_EXTENDED != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let has = |bit| asked.fsx_xflags & bit != 0;
        if has(uapi::FS_XFLAG_EXTSZINHERIT) && kind != FileKind::Directory
            || has(uapi::FS_XFLAG_EXTSIZE) && kind != FileKind::Regular
        {
            return Err(Errno::EINVAL);
        }
        let common: u32 = EXTENDED.iter().map(|(_, bit)| bit).sum();
        let mut rest = asked.fsx_xflags & !(READ_ONLY | common);
        // Without a size they mean nothing.
        if asked.fsx_extsize == 0 && asked.fsx_cowextsize == 0 {
            rest &= !SIZES;
        }
        let has_sizes = asked.fsx_extsize != 0 || asked.fsx_cowextsize != 0;
        if asked.fsx_projid != 0 || !is_ext && (rest != 0 || has_sizes) {
            return Err(Errno::EOPNOTSUPP);
        }
        let flags = EXTENDED.iter().filter(|(_, bit)| has(*bit)).map(|(flag, _)| *flag);
        Ok(flags.fold(Self::empty(), Self::union))
    }
}

/// What both say, each in its own way.
const EXTENDED: &[(FileFlags, u32)] = &[
    (FileFlags::SYNC, uapi::FS_XFLAG_SYNC),
    (FileFlags::IMMUTABLE, uapi::FS_XFLAG_IMMUTABLE),
    (FileFlags::APPEND, uapi::FS_XFLAG_APPEND),
    (FileFlags::NODUMP, uapi::FS_XFLAG_NODUMP),
    (FileFlags::NOATIME, uapi::FS_XFLAG_NOATIME),
    (FileFlags::DAX, uapi::FS_XFLAG_DAX),
    (FileFlags::PROJINHERIT, uapi::FS_XFLAG_PROJINHERIT),
];

/// All `FS_XFLAG_*` bits that Linux knows.
pub const KNOWN_EXTENDED: u32 = uapi::FS_XFLAG_REALTIME
    | uapi::FS_XFLAG_PREALLOC
    | uapi::FS_XFLAG_IMMUTABLE
    | uapi::FS_XFLAG_APPEND
    | uapi::FS_XFLAG_SYNC
    | uapi::FS_XFLAG_NOATIME
    | uapi::FS_XFLAG_NODUMP
    | uapi::FS_XFLAG_RTINHERIT
    | uapi::FS_XFLAG_PROJINHERIT
    | uapi::FS_XFLAG_NOSYMLINKS
    | uapi::FS_XFLAG_EXTSIZE
    | uapi::FS_XFLAG_EXTSZINHERIT
    | uapi::FS_XFLAG_NODEFRAG
    | uapi::FS_XFLAG_FILESTREAM
    | uapi::FS_XFLAG_DAX
    | uapi::FS_XFLAG_COWEXTSIZE
    | uapi::FS_XFLAG_HASATTR;

/// Fails with EPERM if `inode` has one of `flags`.
///
/// # Errors
/// EPERM.
pub fn check_without(inode: &dyn Inode, flags: FileFlags) -> Result<(), Errno> {
    if inode.protecting_flags().intersects(flags) { Err(Errno::EPERM) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
