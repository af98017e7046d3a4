//! Inodes as they are stored.

use super::bytes::{high, low, set_u16, set_u32, u16_at, u32_at};
use super::checksum::crc32c;
use super::superblock::{ReadOnlyCompatible, Superblock};
use super::volume::{set_split, split_at};
use crate::fs::{DeviceNumber, FileFlags, FileKind, Timestamp};

/// Where the block map, or a short link's text, is.
pub(super) const MAP: std::ops::Range<usize> = 0x28..0x64;
/// The length of the part that all inodes have.
const OLD_LEN: usize = 128;
/// How long that part is with the fields for all that is stored here, beside the old one.
const EXTRA_LEN: u16 = 32;

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct InodeFlags: u32 {
        /// A directory has a tree of hashes.
        const INDEX = 0x1000;
        /// The length in blocks counts blocks of the file system.
        const HUGE_FILE = 0x4_0000;
        /// The map is a tree of extents.
        const EXTENTS = 0x8_0000;
        /// Contents are in the inode.
        const INLINE_DATA = 0x1000_0000;
    }
}

/// Where a time stamp is: its seconds, and the field with the rest of it.
#[derive(Clone, Copy)]
pub(super) enum Stamp {
    Accessed,
    Changed,
    Modified,
    Created,
}

impl Stamp {
    fn fields(self) -> (usize, usize) {
        match self {
            Self::Accessed => (0x8, 0x8c),
            Self::Changed => (0xc, 0x84),
            Self::Modified => (0x10, 0x88),
            Self::Created => (0x90, 0x94),
        }
    }
}

/// An inode with its number.
#[derive(Clone)]
pub(super) struct RawInode {
    pub(super) ino: u32,
    pub(super) raw: Vec<u8>,
}

impl RawInode {
    /// A new one, all of whose fields are zero.
    pub(super) fn new(superblock: &Superblock, ino: u32) -> Self {
        let mut raw = vec![0; superblock.inode_bytes];
        if raw.len() > OLD_LEN {
            set_u16(&mut raw, 0x80, EXTRA_LEN);
        }
        Self { ino, raw }
    }

    pub(super) fn mode(&self) -> u32 {
        u16_at(&self.raw, 0).into()
    }

    pub(super) fn kind(&self) -> Option<FileKind> {
        FileKind::from_mode(self.mode())
    }

    pub(super) fn set_mode(&mut self, mode: u32) {
        set_u16(&mut self.raw, 0, low(mode));
    }

    pub(super) fn owner(&self) -> (u32, u32) {
        (split_at(&self.raw, 0x2, Some(0x78)), split_at(&self.raw, 0x18, Some(0x7a)))
    }

    pub(super) fn set_owner(&mut self, uid: u32, gid: u32) {
        set_split(&mut self.raw, 0x2, Some(0x78), uid);
        set_split(&mut self.raw, 0x18, Some(0x7a), gid);
    }

    pub(super) fn links(&self) -> u32 {
        u16_at(&self.raw, 0x1a).into()
    }

    pub(super) fn set_links(&mut self, links: u32) {
        // A directory with more says that it is not counted.
        set_u16(&mut self.raw, 0x1a, u16::try_from(links).unwrap_or(1));
    }

    pub(super) fn size(&self) -> u64 {
        u64::from(u32_at(&self.raw, 0x4)) | u64::from(u32_at(&self.raw, 0x6c)) << 32
    }

    pub(super) fn set_size(&mut self, size: u64) {
        super::volume::set_u32_pair(&mut self.raw, 0x4, 0x6c, size);
    }

    /// Storage in units of 512 bytes.
    pub(super) fn sectors(&self, superblock: &Superblock) -> u64 {
        let count = u64::from(u32_at(&self.raw, 0x1c)) | u64::from(u16_at(&self.raw, 0x74)) << 32;
        match self.flags().contains(InodeFlags::HUGE_FILE) {
            true => count.saturating_mul(superblock.block_bytes / 512),
            false => count,
        }
    }

    pub(super) fn set_sectors(&mut self, superblock: &Superblock, sectors: u64) {
        let limit = match superblock.read_only_compatible.contains(ReadOnlyCompatible::HUGE_FILE) {
            true => (1 << 48) - 1,
            false => u64::from(u32::MAX),
        };
        let is_huge = sectors > limit;
        let count = if is_huge { sectors / (superblock.block_bytes / 512) } else { sectors };
        let mut flags = self.flags();
        flags.set(InodeFlags::HUGE_FILE, is_huge);
        self.set_flags(flags);
        set_u32(&mut self.raw, 0x1c, (count & 0xffff_ffff) as u32);
        set_u16(&mut self.raw, 0x74, (count >> 32 & 0xffff) as u16);
    }

    pub(super) fn flags(&self) -> InodeFlags {
        InodeFlags::from_bits_retain(u32_at(&self.raw, 0x20))
    }

    pub(super) fn set_flags(&mut self, flags: InodeFlags) {
        set_u32(&mut self.raw, 0x20, flags.bits());
    }

    /// The flags that programs see.
    pub(super) fn file_flags(&self) -> FileFlags {
        FileFlags::from_bits_truncate(u32_at(&self.raw, 0x20)) & (FileFlags::OF_EXT | FileFlags::EXTENT)
    }

    /// Replaces those of them that programs change.
    pub(super) fn set_file_flags(&mut self, flags: FileFlags) {
        let kept = FileFlags::OF_EXT;
        let others = u32_at(&self.raw, 0x20) & !kept.bits();
        set_u32(&mut self.raw, 0x20, others | (flags & kept).bits());
    }

    pub(super) fn generation(&self) -> u32 {
        u32_at(&self.raw, 0x64)
    }

    /// The block of extended attributes; 0 if there is none.
    pub(super) fn attribute_block(&self) -> u64 {
        u64::from(u32_at(&self.raw, 0x68)) | u64::from(u16_at(&self.raw, 0x76)) << 32
    }

    pub(super) fn set_attribute_block(&mut self, block: u64) {
        set_u32(&mut self.raw, 0x68, (block & 0xffff_ffff) as u32);
        set_u16(&mut self.raw, 0x76, (block >> 32 & 0xffff) as u16);
    }

    /// The bytes of the map.
    pub(super) fn map(&self) -> &[u8] {
        self.raw.get(MAP).unwrap_or_default()
    }

    pub(super) fn map_mut(&mut self) -> &mut [u8] {
        self.raw.get_mut(MAP).unwrap_or_default()
    }

    /// Where extended attributes in the inode begin, if it has room for any.
    pub(super) fn attributes_start(&self) -> Option<usize> {
        let extra = usize::from(u16_at(&self.raw, 0x80));
        let start = OLD_LEN + extra;
        (self.raw.len() > OLD_LEN && extra >= 4 && start + 8 <= self.raw.len()).then_some(start)
    }

    /// Whether a field in the part behind the old one is there.
    fn has_field(&self, offset: usize, len: usize) -> bool {
        self.raw.len() > OLD_LEN && offset + len <= OLD_LEN + usize::from(u16_at(&self.raw, 0x80))
    }

    pub(super) fn stamp(&self, which: Stamp) -> Timestamp {
        let (seconds, extra) = which.fields();
        let low_seconds = i64::from(u32_at(&self.raw, seconds).cast_signed());
        if !self.has_field(extra, 4) {
            return Timestamp { seconds: low_seconds, nanoseconds: 0 };
        }
        let extra = u32_at(&self.raw, extra);
        Timestamp {
            seconds: low_seconds + (i64::from(extra & 3) << 32),
            nanoseconds: (extra >> 2).min(999_999_999),
        }
    }

    pub(super) fn has_stamp(&self, which: Stamp) -> bool {
        self.has_field(which.fields().0, 4)
    }

    pub(super) fn set_stamp(&mut self, which: Stamp, at: Timestamp) {
        let (seconds, extra) = which.fields();
        let is_old = seconds < OLD_LEN;
        if !is_old && !self.has_field(seconds, 4) {
            return;
        }
        if self.has_field(extra, 4) {
            let low_seconds = (at.seconds & 0xffff_ffff) as u32;
            let epoch = ((at.seconds - i64::from(low_seconds.cast_signed())) >> 32 & 3) as u32;
            set_u32(&mut self.raw, seconds, low_seconds);
            set_u32(&mut self.raw, extra, epoch | at.nanoseconds << 2);
        } else {
            let clamped = at.seconds.clamp(i32::MIN.into(), i32::MAX.into());
            set_u32(&mut self.raw, seconds, (clamped & 0xffff_ffff) as u32);
        }
    }

    /// When the inode was given back.
    pub(super) fn set_deleted(&mut self, seconds: u32) {
        set_u32(&mut self.raw, 0x14, seconds);
    }

    /// Which device a node is.
    pub(super) fn device(&self) -> DeviceNumber {
        let (old, new) = (u32_at(self.map(), 0), u32_at(self.map(), 4));
        if old != 0 {
            return DeviceNumber::new(old >> 8 & 0xff, old & 0xff);
        }
        DeviceNumber::new(new >> 8 & 0xfff, (new & 0xff) | (new >> 12 & 0xf_ff00))
    }

    pub(super) fn set_device(&mut self, device: DeviceNumber) {
        let DeviceNumber { major, minor } = device;
        let map = self.map_mut();
        map.fill(0);
        if major < 256 && minor < 256 {
            set_u32(map, 0, major << 8 | minor);
        } else {
            set_u32(map, 4, (minor & 0xff) | major << 8 | (minor & !0xff) << 12);
        }
    }

    /// Gives it its checksum.
    pub(super) fn seal(&mut self, superblock: &Superblock) {
        if !superblock.has_checksums() {
            return;
        }
        let has_upper = self.has_field(0x82, 2);
        set_u16(&mut self.raw, 0x7c, 0);
        if has_upper {
            set_u16(&mut self.raw, 0x82, 0);
        }
        let sum = crc32c(superblock.inode_seed(self.ino, self.generation()), &self.raw);
        set_u16(&mut self.raw, 0x7c, low(sum));
        if has_upper {
            set_u16(&mut self.raw, 0x82, high(sum));
        }
    }
}
