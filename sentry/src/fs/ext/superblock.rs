//! The superblock: what the file system is like, and where its parts are.

use super::bytes::{low, set_u16, set_u32, u16_at, u32_at};
use super::checksum::{START, crc32c};
use crate::Errno;
use crate::fs::disk_control::LABEL_BYTES;

/// Where it is on the device, and how long it is.
pub(super) const OFFSET: u64 = 1024;
pub(super) const LEN: usize = 1024;
/// What tells that it is one.
const MAGIC: u16 = 0xef53;
/// Where its name is.
const LABEL: usize = 0x78;
/// Inode size before there was a field for it.
const OLD_INODE_BYTES: u16 = 128;
/// More groups than a mount takes memory for: what 128 TiB have.
const MAX_GROUPS: u64 = 1 << 20;

bitflags::bitflags! {
    /// Features that one need not know.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Compatible: u32 {
        const HAS_JOURNAL = 0x4;
    }

    /// Features without which nothing can be read.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Incompatible: u32 {
        const FILETYPE = 0x2;
        const RECOVER = 0x4;
        const EXTENTS = 0x40;
        const WIDE = 0x80;
        const FLEX_BG = 0x200;
        const CSUM_SEED = 0x2000;
        const LARGEDIR = 0x4000;
    }

    /// Features without which nothing can be written.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct ReadOnlyCompatible: u32 {
        const SPARSE_SUPER = 0x1;
        const LARGE_FILE = 0x2;
        const BTREE_DIR = 0x4;
        const HUGE_FILE = 0x8;
        const GDT_CSUM = 0x10;
        const DIR_NLINK = 0x20;
        const EXTRA_ISIZE = 0x40;
        const METADATA_CSUM = 0x400;
        const PROJECT = 0x2000;
    }
}

/// Which of the three file systems is asked for: the older ones know fewer features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Ext2,
    Ext3,
    Ext4,
}

/// The superblock, as it is on the device, with its fields.
#[derive(Clone)]
pub(super) struct Superblock {
    raw: Box<[u8]>,
    pub(super) block_bytes: u64,
    pub(super) first_block: u64,
    pub(super) blocks: u64,
    pub(super) blocks_per_group: u64,
    pub(super) inodes: u32,
    pub(super) inodes_per_group: u32,
    pub(super) inode_bytes: usize,
    pub(super) first_inode: u32,
    pub(super) descriptor_bytes: usize,
    pub(super) groups: u64,
    pub(super) compatible: Compatible,
    pub(super) incompatible: Incompatible,
    pub(super) read_only_compatible: ReadOnlyCompatible,
    pub(super) checksum_seed: u32,
}

impl Superblock {
    /// Reads the fields of `raw`, on a device of so many bytes.
    ///
    /// # Errors
    /// EINVAL: it is none, or makes no sense.
    pub(super) fn parse(raw: &[u8], device_bytes: u64) -> Result<Self, Errno> {
        if raw.len() != LEN || u16_at(raw, 0x38) != MAGIC {
            return Err(Errno::EINVAL);
        }
        let shift = u32_at(raw, 0x18);
        // No block is larger than a page.
        if shift > 2 {
            return Err(Errno::EINVAL);
        }
        let block_bytes = 1024_u64 << shift;
        let has_features = u32_at(raw, 0x4c) != 0;
        let feature = |offset| if has_features { u32_at(raw, offset) } else { 0 };
        let incompatible = Incompatible::from_bits_retain(feature(0x60));
        let is_wide = incompatible.contains(Incompatible::WIDE);
        let wide = |lower, upper| {
            u64::from(u32_at(raw, lower)) | if is_wide { u64::from(u32_at(raw, upper)) << 32 } else { 0 }
        };
        let blocks = wide(0x4, 0x150);
        let first_block = u64::from(u32_at(raw, 0x14));
        let blocks_per_group = u64::from(u32_at(raw, 0x20));
        let descriptor_bytes = if is_wide { usize::from(u16_at(raw, 0xfe)) } else { 32 };
        let groups = blocks.saturating_sub(first_block).div_ceil(blocks_per_group.max(1));
        let seed = match incompatible.contains(Incompatible::CSUM_SEED) {
            true => u32_at(raw, 0x270),
            false => crc32c(START, raw.get(0x68..0x78).unwrap_or_default()),
        };
        let superblock = Self {
            block_bytes,
            first_block,
            blocks,
            blocks_per_group,
            inodes: u32_at(raw, 0),
            inodes_per_group: u32_at(raw, 0x28),
            inode_bytes: usize::from(if has_features { u16_at(raw, 0x58) } else { OLD_INODE_BYTES }),
            first_inode: if has_features { u32_at(raw, 0x54) } else { 11 },
            descriptor_bytes,
            groups,
            compatible: Compatible::from_bits_retain(feature(0x5c)),
            incompatible,
            read_only_compatible: ReadOnlyCompatible::from_bits_retain(feature(0x64)),
            checksum_seed: seed,
            raw: raw.into(),
        };
        superblock.check(device_bytes)?;
        Ok(superblock)
    }

    /// Fails unless the fields agree.
    fn check(&self, device_bytes: u64) -> Result<(), Errno> {
        let bits = self.block_bytes * 8;
        let inodes_in_all = self.groups.saturating_mul(u64::from(self.inodes_per_group));
        let is_valid = self.first_block == u64::from(self.block_bytes == 1024)
            && (8..=bits).contains(&self.blocks_per_group)
            && self.blocks_per_group.is_multiple_of(8)
            && (8..=bits).contains(&u64::from(self.inodes_per_group))
            && self.inodes_per_group.is_multiple_of(8)
            && self.inode_bytes.is_power_of_two()
            && (128..=self.block_bytes as usize).contains(&self.inode_bytes)
            && self.descriptor_bytes.is_power_of_two()
            && (32..=1024).contains(&self.descriptor_bytes)
            && (1..=MAX_GROUPS).contains(&self.groups)
            && u64::from(self.inodes) <= inodes_in_all
            && self.first_inode >= 11
            && self.blocks > self.first_block
            && self.blocks <= device_bytes / self.block_bytes;
        if is_valid { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Fails if it cannot be mounted as `version`, to be changed or not, for a feature that is not known.
    ///
    /// # Errors
    /// EINVAL.
    pub(super) fn check_features(&self, version: Version, is_read_only: bool) -> Result<(), Errno> {
        let old_incompatible = Incompatible::FILETYPE;
        let old_compatible = ReadOnlyCompatible::SPARSE_SUPER
            .union(ReadOnlyCompatible::LARGE_FILE)
            .union(ReadOnlyCompatible::BTREE_DIR);
        let (incompatible, compatible) = match version {
            Version::Ext2 => (old_incompatible, old_compatible),
            Version::Ext3 => (old_incompatible | Incompatible::RECOVER, old_compatible),
            Version::Ext4 => (Incompatible::all(), ReadOnlyCompatible::all()),
        };
        let has_journal = self.compatible.contains(Compatible::HAS_JOURNAL);
        let is_known = incompatible.contains(self.incompatible)
            && (is_read_only || compatible.contains(self.read_only_compatible))
            && (version != Version::Ext3 || has_journal);
        if is_known { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// As it is on the device.
    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Whether metadata bears checksums.
    pub(super) fn has_checksums(&self) -> bool {
        self.read_only_compatible.contains(ReadOnlyCompatible::METADATA_CSUM)
    }

    /// Whether group descriptors say that parts of a group were never written.
    pub(super) fn has_unused_groups(&self) -> bool {
        self.read_only_compatible.intersects(ReadOnlyCompatible::METADATA_CSUM | ReadOnlyCompatible::GDT_CSUM)
    }

    pub(super) fn journal_inode(&self) -> u32 {
        u32_at(&self.raw, 0xe0)
    }

    /// Which blocks behind the first superblock are kept for more descriptors.
    pub(super) fn reserved_descriptor_blocks(&self) -> u64 {
        u64::from(u16_at(&self.raw, 0xce))
    }

    /// The identity of the file system.
    pub(super) fn uuid(&self) -> &[u8] {
        self.raw.get(0x68..0x78).unwrap_or_default()
    }

    /// The name of the file system, padded with zeroes.
    pub(super) fn label(&self) -> [u8; LABEL_BYTES] {
        self.raw.get(LABEL..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
    }

    pub(super) fn set_label(&mut self, label: [u8; LABEL_BYTES]) {
        if let Some(place) = self.raw.get_mut(LABEL..LABEL + LABEL_BYTES) {
            place.copy_from_slice(&label);
        }
    }

    pub(super) fn free_blocks(&self) -> u64 {
        self.wide(0xc, 0x158)
    }

    /// Blocks that only the privileged may take.
    pub(super) fn reserved_blocks(&self) -> u64 {
        self.wide(0x8, 0x154)
    }

    /// Blocks of metadata, as whoever made the file system has counted them.
    pub(super) fn overhead_blocks(&self) -> u64 {
        Some(u64::from(u32_at(&self.raw, 0x248))).filter(|blocks| *blocks < self.blocks).unwrap_or(0)
    }

    /// A number of blocks, of which the upper half counts in some file systems.
    fn wide(&self, lower: usize, upper: usize) -> u64 {
        let is_wide = self.incompatible.contains(Incompatible::WIDE);
        let upper = if is_wide { u64::from(u32_at(&self.raw, upper)) << 32 } else { 0 };
        u64::from(u32_at(&self.raw, lower)) | upper
    }

    pub(super) fn free_inodes(&self) -> u32 {
        u32_at(&self.raw, 0x10)
    }

    /// Sets what is free.
    pub(super) fn set_free(&mut self, blocks: u64, inodes: u32) {
        set_u32(&mut self.raw, 0xc, (blocks & 0xffff_ffff) as u32);
        if self.incompatible.contains(Incompatible::WIDE) {
            set_u32(&mut self.raw, 0x158, (blocks >> 32) as u32);
        }
        set_u32(&mut self.raw, 0x10, inodes);
    }

    /// Says that it is mounted, at so many seconds since 1970, or no longer.
    pub(super) fn set_mounted(&mut self, is_mounted: bool, now_seconds: u32) {
        const VALID: u16 = 1;
        let state = u16_at(&self.raw, 0x3a);
        if is_mounted {
            let count = u16_at(&self.raw, 0x34);
            set_u16(&mut self.raw, 0x34, count.saturating_add(1));
            set_u32(&mut self.raw, 0x2c, now_seconds);
            set_u16(&mut self.raw, 0x3a, state & !VALID);
        } else {
            set_u16(&mut self.raw, 0x3a, state | VALID);
        }
        set_u32(&mut self.raw, 0x30, now_seconds);
    }

    /// Says that the journal has been played back.
    pub(super) fn set_recovered(&mut self) {
        self.incompatible.remove(Incompatible::RECOVER);
        set_u32(&mut self.raw, 0x60, self.incompatible.bits());
    }

    /// Says that there is a file that takes more than 2 GiB.
    pub(super) fn set_has_large_file(&mut self) {
        self.read_only_compatible.insert(ReadOnlyCompatible::LARGE_FILE);
        set_u32(&mut self.raw, 0x64, self.read_only_compatible.bits());
    }

    /// Gives it its checksum.
    pub(super) fn seal(&mut self) {
        if self.has_checksums() {
            let sum = crc32c(START, self.raw.get(..0x3fc).unwrap_or_default());
            set_u32(&mut self.raw, 0x3fc, sum);
        }
    }

    /// The checksum that begins those of what belongs to an inode.
    pub(super) fn inode_seed(&self, ino: u32, generation: u32) -> u32 {
        let seed = crc32c(self.checksum_seed, &ino.to_le_bytes());
        crc32c(seed, &generation.to_le_bytes())
    }

    /// Whether group `group` begins with a copy of the superblock and of the descriptors.
    pub(super) fn has_copy(&self, group: u64) -> bool {
        if !self.read_only_compatible.contains(ReadOnlyCompatible::SPARSE_SUPER) || group <= 1 {
            return true;
        }
        [3, 5, 7].into_iter().any(|base: u64| {
            let mut power = base;
            while power < group {
                power *= base;
            }
            power == group
        })
    }

    /// The first block of a group.
    pub(super) fn start_of(&self, group: u64) -> u64 {
        self.first_block + group * self.blocks_per_group
    }

    /// How many blocks a group has; the last may be shorter.
    pub(super) fn blocks_in(&self, group: u64) -> u64 {
        self.blocks.saturating_sub(self.start_of(group)).min(self.blocks_per_group)
    }

    /// How many blocks the group descriptors take.
    pub(super) fn descriptor_blocks(&self) -> u64 {
        (self.groups * self.descriptor_bytes as u64).div_ceil(self.block_bytes)
    }
}

/// The checksum of a group's descriptor, where descriptors have any.
pub(super) fn descriptor_checksum(superblock: &Superblock, group: u32, raw: &[u8]) -> Option<u16> {
    const FIELD: usize = 0x1e;
    let (before, after) = (raw.get(..FIELD).unwrap_or_default(), raw.get(FIELD + 2..).unwrap_or_default());
    if superblock.has_checksums() {
        let sum = crc32c(superblock.checksum_seed, &group.to_le_bytes());
        let sum = crc32c(crc32c(crc32c(sum, before), &[0, 0]), after);
        return Some(low(sum));
    }
    superblock.has_unused_groups().then(|| {
        let sum = super::checksum::crc16(!0, superblock.uuid());
        let sum = super::checksum::crc16(sum, &group.to_le_bytes());
        super::checksum::crc16(super::checksum::crc16(sum, before), after)
    })
}
