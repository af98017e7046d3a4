//! An ext2, ext3 or ext4 file system on its device: blocks, groups, inodes as they are stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::bytes::{set_u16, set_u32, u16_at, u32_at};
use super::groups::Group;
use super::inode::RawInode;
use super::superblock::{self, Superblock, Version};
use crate::Errno;
use crate::fs::Timestamp;
use crate::fs::block::{BlockDevice, Claim};
use crate::heap::HeapCharge;

/// The file system on a device.
pub(super) struct ExtVolume {
    device: Arc<BlockDevice>,
    /// Nobody else has the device for himself.
    _claim: Claim,
    pub(super) is_read_only: bool,
    /// Of what never changes.
    fixed: Superblock,
    pub(super) state: Mutex<State>,
    /// Counts what was written: what is known of an inode's blocks is stale then.
    epoch: AtomicU64,
}

/// What changes, with one change at a time.
pub(super) struct State {
    pub(super) superblock: Superblock,
    /// The groups that have been looked at.
    pub(super) groups: BTreeMap<u64, Group>,
    /// The inodes of files that were made here, by the numbers that they have in memory.
    pub(super) numbers: BTreeMap<u64, u32>,
    /// What was stored of each inode: the versions of its contents, and its parent.
    pub(super) stored: BTreeMap<u32, (u64, u32)>,
    /// Where the search for free blocks goes on.
    pub(super) next_block: u64,
    /// For the groups, and for what is known of inodes.
    groups_charge: HeapCharge,
    inodes_charge: HeapCharge,
}

/// What is known of an inode takes so much.
const INODE_BYTES: usize = 96;

impl State {
    fn new(superblock: Superblock) -> Self {
        Self {
            next_block: superblock.first_block,
            superblock,
            groups: BTreeMap::new(),
            numbers: BTreeMap::new(),
            stored: BTreeMap::new(),
            groups_charge: HeapCharge::default(),
            inodes_charge: HeapCharge::default(),
        }
    }

    /// Charges for so many bytes more of groups.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn charge_for_group(&mut self, more: usize) -> Result<(), Errno> {
        self.groups_charge.resize(self.groups_charge.len_bytes() + more)
    }

    /// Charges for what is known of inodes by now.
    pub(super) fn charge_for_inodes(&mut self) {
        self.inodes_charge.force((self.numbers.len() + self.stored.len()) * INODE_BYTES);
    }
}

impl ExtVolume {
    /// Opens the file system on `device`; its journal is played back first.
    ///
    /// # Errors
    /// EINVAL: it is none, or has features that are not known. EBUSY: somebody else has the device. EACCES: the device cannot be
    /// written. EUCLEAN: it is damaged. The device's.
    pub(super) fn open(
        device: &Arc<BlockDevice>,
        version: Version,
        is_read_only: bool,
    ) -> Result<Arc<Self>, Errno> {
        if device.is_read_only() && !is_read_only {
            return Err(Errno::EACCES);
        }
        let claim = device.claim()?;
        let superblock = read_superblock(device)?;
        superblock.check_features(version, is_read_only)?;
        let mut volume = Self::new(device, claim, is_read_only, superblock);
        if volume.fixed.incompatible.contains(superblock::Incompatible::RECOVER) {
            if device.is_read_only() {
                return Err(Errno::EROFS);
            }
            super::journal::play_back(&volume)?;
            // What it says may have been in the journal, too.
            let mut superblock = read_superblock(device)?;
            superblock.set_recovered();
            superblock.seal();
            device.write_all(superblock.raw(), superblock::OFFSET)?;
            volume.fixed = superblock.clone();
            *volume.state.get_mut() = State::new(superblock);
        }
        if !is_read_only {
            volume.mark_mounted(true)?;
        }
        Ok(Arc::new(volume))
    }

    fn new(device: &Arc<BlockDevice>, claim: Claim, is_read_only: bool, superblock: Superblock) -> Self {
        device.opened();
        let state = State::new(superblock.clone());
        Self {
            device: device.clone(),
            _claim: claim,
            is_read_only,
            fixed: superblock,
            state: Mutex::new(state),
            epoch: AtomicU64::new(0),
        }
    }

    pub(super) fn device(&self) -> &Arc<BlockDevice> {
        &self.device
    }

    /// What the file system is like.
    pub(super) fn superblock(&self) -> &Superblock {
        &self.fixed
    }

    /// The length of blocks, in bytes.
    pub(super) fn block_bytes(&self) -> usize {
        self.fixed.block_bytes as usize
    }

    /// How often something was written.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn written(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Fails for a block that is not in the file system.
    pub(super) fn check_block(&self, block: u64) -> Result<(), Errno> {
        let is_inside = (self.fixed.first_block..self.fixed.blocks).contains(&block);
        if is_inside { Ok(()) } else { Err(Errno::EUCLEAN) }
    }

    /// The bytes of a block.
    ///
    /// # Errors
    /// EUCLEAN: there is no such block. The device's.
    pub(super) fn read_block(&self, block: u64) -> Result<Vec<u8>, Errno> {
        self.check_block(block)?;
        let mut bytes = vec![0; self.block_bytes()];
        self.device.read_exact(&mut bytes, block * self.fixed.block_bytes)?;
        Ok(bytes)
    }

    /// Writes a block, or its beginning.
    ///
    /// # Errors
    /// As [`Self::read_block`].
    pub(super) fn write_block(&self, block: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.check_block(block)?;
        if bytes.len() > self.block_bytes() {
            return Err(Errno::EUCLEAN);
        }
        self.device.write_all(bytes, block * self.fixed.block_bytes)
    }

    /// Where inode `number` is on the device.
    fn inode_offset(&self, state: &mut State, ino: u32) -> Result<u64, Errno> {
        if ino == 0 || ino > self.fixed.inodes {
            return Err(Errno::EUCLEAN);
        }
        let index = ino - 1;
        let group = u64::from(index / self.fixed.inodes_per_group);
        let table = self.group(state, group)?.inode_table();
        let offset = u64::from(index % self.fixed.inodes_per_group) * self.fixed.inode_bytes as u64;
        let block = table.saturating_add(offset / self.fixed.block_bytes);
        self.check_block(block)?;
        Ok(block * self.fixed.block_bytes + offset % self.fixed.block_bytes)
    }

    /// Inode `number`.
    ///
    /// # Errors
    /// EUCLEAN: there is no such inode. The device's.
    pub(super) fn read_inode(&self, ino: u32) -> Result<RawInode, Errno> {
        self.read_inode_in(&mut self.state.lock(), ino)
    }

    pub(super) fn read_inode_in(&self, state: &mut State, ino: u32) -> Result<RawInode, Errno> {
        let offset = self.inode_offset(state, ino)?;
        let mut raw = vec![0; self.fixed.inode_bytes];
        self.device.read_exact(&mut raw, offset)?;
        Ok(RawInode { ino, raw })
    }

    /// Writes an inode, with its checksum, unless it is as it was.
    ///
    /// # Errors
    /// As [`Self::read_inode`].
    pub(super) fn write_inode(&self, state: &mut State, mut inode: RawInode) -> Result<(), Errno> {
        inode.seal(&self.fixed);
        let offset = self.inode_offset(state, inode.ino)?;
        let mut old = vec![0; inode.raw.len()];
        self.device.read_exact(&mut old, offset)?;
        if old == inode.raw { Ok(()) } else { self.device.write_all(&inode.raw, offset) }
    }

    /// Where the descriptor of a group is on the device.
    pub(super) fn descriptor_offset(&self, group: u64) -> u64 {
        let table = (self.fixed.first_block + 1) * self.fixed.block_bytes;
        table + group * self.fixed.descriptor_bytes as u64
    }

    /// Says on the device that it is mounted, or no longer.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn mark_mounted(&self, is_mounted: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let now = u32::try_from(Timestamp::now().seconds).unwrap_or(u32::MAX);
        state.superblock.set_mounted(is_mounted, now);
        self.write_superblock(&mut state)
    }

    pub(super) fn write_superblock(&self, state: &mut State) -> Result<(), Errno> {
        state.superblock.seal();
        self.device.write_all(state.superblock.raw(), superblock::OFFSET)
    }
}

impl Drop for ExtVolume {
    fn drop(&mut self) {
        self.device.closed();
    }
}

fn read_superblock(device: &BlockDevice) -> Result<Superblock, Errno> {
    let mut raw = [0; superblock::LEN];
    if device.read_at(&mut raw, superblock::OFFSET)? < raw.len() {
        return Err(Errno::EINVAL);
    }
    Superblock::parse(&raw, device.size_bytes())
}

/// A field of which the upper half is elsewhere.
pub(super) fn split_at(raw: &[u8], lower: usize, upper: Option<usize>) -> u32 {
    u32::from(u16_at(raw, lower)) | upper.map_or(0, |upper| u32::from(u16_at(raw, upper)) << 16)
}

/// Sets such a field.
pub(super) fn set_split(raw: &mut [u8], lower: usize, upper: Option<usize>, value: u32) {
    set_u16(raw, lower, super::bytes::low(value));
    if let Some(upper) = upper {
        set_u16(raw, upper, super::bytes::high(value));
    }
}

/// A block number of which the upper half is elsewhere.
pub(super) fn wide_at(raw: &[u8], lower: usize, upper: Option<usize>) -> u64 {
    u64::from(u32_at(raw, lower)) | upper.map_or(0, |upper| u64::from(u32_at(raw, upper)) << 32)
}

/// The same, to be stored.
pub(super) fn set_u32_pair(raw: &mut [u8], lower: usize, upper: usize, value: u64) {
    set_u32(raw, lower, (value & 0xffff_ffff) as u32);
    set_u32(raw, upper, (value >> 32) as u32);
}
