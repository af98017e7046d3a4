//! Block groups: which blocks and inodes are in use.

use super::bytes::{high, low, set_u16, u16_at};
use super::checksum::crc32c;
use super::superblock::{Superblock, descriptor_checksum};
use super::volume::{ExtVolume, State, set_split, split_at, wide_at};
use crate::Errno;
use crate::fs::disk_control::TrimRange;

/// The inode table and bitmap of inodes were never written.
const INODE_UNINIT: u16 = 1;
/// The bitmap of blocks was never written.
const BLOCK_UNINIT: u16 = 2;

/// A group that has been looked at.
pub(super) struct Group {
    raw: Vec<u8>,
    is_changed: bool,
    block_bitmap: Option<Bitmap>,
    inode_bitmap: Option<Bitmap>,
    /// The device knows what is free.
    is_trimmed: bool,
}

/// Which of something are in use.
struct Bitmap {
    bytes: Vec<u8>,
    is_changed: bool,
}

impl Bitmap {
    fn is_set(&self, index: u64) -> bool {
        let byte = usize::try_from(index / 8).ok().and_then(|byte| self.bytes.get(byte));
        byte.is_none_or(|byte| byte & 1 << (index % 8) != 0)
    }

    fn set(&mut self, index: u64, is_used: bool) {
        if let Some(byte) = usize::try_from(index / 8).ok().and_then(|byte| self.bytes.get_mut(byte)) {
            let bit = 1 << (index % 8);
            *byte = if is_used { *byte | bit } else { *byte & !bit };
            self.is_changed = true;
        }
    }

    /// The free ones from the first in `range` on, up to the next that is in use.
    fn first_free_run(&self, range: std::ops::Range<u64>) -> Option<std::ops::Range<u64>> {
        let start = self.first_free(range.clone())?;
        let end = (start..range.end).find(|index| self.is_set(*index)).unwrap_or(range.end);
        Some(start..end)
    }

    fn first_free(&self, range: std::ops::Range<u64>) -> Option<u64> {
        let mut index = range.start;
        while index < range.end {
            let byte = usize::try_from(index / 8).ok().and_then(|byte| self.bytes.get(byte)).copied()?;
            if byte == u8::MAX && index.is_multiple_of(8) {
                index += 8;
            } else if byte & 1 << (index % 8) == 0 {
                return Some(index);
            } else {
                index += 1;
            }
        }
        None
    }
}

impl Group {
    fn upper(&self, offset: usize) -> Option<usize> {
        (self.raw.len() >= 64).then_some(offset)
    }

    /// The first block of the inode table.
    pub(super) fn inode_table(&self) -> u64 {
        wide_at(&self.raw, 0x8, self.upper(0x28))
    }

    fn block_bitmap_block(&self) -> u64 {
        wide_at(&self.raw, 0x0, self.upper(0x20))
    }

    fn inode_bitmap_block(&self) -> u64 {
        wide_at(&self.raw, 0x4, self.upper(0x24))
    }

    fn free_blocks(&self) -> u32 {
        split_at(&self.raw, 0xc, self.upper(0x2c))
    }

    fn free_inodes(&self) -> u32 {
        split_at(&self.raw, 0xe, self.upper(0x2e))
    }

    fn flags(&self) -> u16 {
        u16_at(&self.raw, 0x12)
    }

    fn add_free_blocks(&mut self, change: i32) {
        let (upper, new) = (self.upper(0x2c), self.free_blocks().saturating_add_signed(change));
        set_split(&mut self.raw, 0xc, upper, new);
        self.is_changed = true;
    }

    fn add_free_inodes(&mut self, change: i32) {
        let (upper, new) = (self.upper(0x2e), self.free_inodes().saturating_add_signed(change));
        set_split(&mut self.raw, 0xe, upper, new);
        self.is_changed = true;
    }

    fn add_directories(&mut self, change: i32) {
        let upper = self.upper(0x30);
        let new = split_at(&self.raw, 0x10, upper).saturating_add_signed(change);
        set_split(&mut self.raw, 0x10, upper, new);
        self.is_changed = true;
    }

    /// Inode `index` of the group is in use: the table has been written up to there.
    fn note_inode(&mut self, superblock: &Superblock, index: u32) {
        let upper = self.upper(0x32);
        let unused = superblock.inodes_per_group.saturating_sub(index + 1);
        if unused < split_at(&self.raw, 0x1c, upper) {
            set_split(&mut self.raw, 0x1c, upper, unused);
        }
        let flags = self.flags() & !INODE_UNINIT;
        set_u16(&mut self.raw, 0x12, flags);
        self.is_changed = true;
    }

    /// Stores the checksums of the bitmaps.
    fn sum_bitmaps(&mut self, superblock: &Superblock) {
        let is_wide = self.raw.len() >= 64;
        let counted = [superblock.blocks_per_group / 8, u64::from(superblock.inodes_per_group) / 8];
        let bitmaps = [&self.block_bitmap, &self.inode_bitmap];
        let sums = [(bitmaps[0], counted[0], 0x18, 0x38), (bitmaps[1], counted[1], 0x1a, 0x3a)];
        let sums = sums.map(|(bitmap, len, lower, upper)| {
            let bytes = bitmap.as_ref().and_then(|bitmap| bitmap.bytes.get(..len as usize));
            (bytes.map(|bytes| crc32c(superblock.checksum_seed, bytes)), lower, upper)
        });
        for (sum, lower, upper) in sums {
            if let Some(sum) = sum {
                set_u16(&mut self.raw, lower, low(sum));
                if is_wide {
                    set_u16(&mut self.raw, upper, high(sum));
                }
            }
        }
    }
}

impl ExtVolume {
    /// The descriptor of a group.
    ///
    /// # Errors
    /// EUCLEAN: there is no such group. The device's.
    pub(super) fn group<'a>(&self, state: &'a mut State, group: u64) -> Result<&'a mut Group, Errno> {
        if group >= self.superblock().groups {
            return Err(Errno::EUCLEAN);
        }
        if !state.groups.contains_key(&group) {
            let mut raw = vec![0; self.superblock().descriptor_bytes];
            self.device().read_exact(&mut raw, self.descriptor_offset(group))?;
            state.charge_for_group(2 * size_of::<Group>() + raw.len())?;
            let read =
                Group { raw, is_changed: false, block_bitmap: None, inode_bitmap: None, is_trimmed: false };
            state.groups.insert(group, read);
        }
        state.groups.get_mut(&group).ok_or(Errno::EUCLEAN)
    }

    fn with_block_bitmap<'a>(&self, state: &'a mut State, group: u64) -> Result<&'a mut Group, Errno> {
        let known = self.group(state, group)?;
        if known.block_bitmap.is_none() {
            let is_unwritten = self.superblock().has_unused_groups() && known.flags() & BLOCK_UNINIT != 0;
            let block = known.block_bitmap_block();
            state.charge_for_group(self.block_bytes())?;
            let bytes = match is_unwritten {
                true => self.first_block_bitmap(state, group)?,
                false => self.read_block(block)?,
            };
            let known = self.group(state, group)?;
            known.block_bitmap = Some(Bitmap { bytes, is_changed: is_unwritten });
            if is_unwritten {
                let flags = known.flags() & !BLOCK_UNINIT;
                set_u16(&mut known.raw, 0x12, flags);
                known.is_changed = true;
            }
        }
        self.group(state, group)
    }

    /// The bitmap of a group in which nothing but metadata is in use.
    fn first_block_bitmap(&self, state: &mut State, group: u64) -> Result<Vec<u8>, Errno> {
        let superblock = self.superblock();
        let mut bitmap = Bitmap { bytes: vec![0; self.block_bytes()], is_changed: true };
        let start = superblock.start_of(group);
        let blocks = superblock.blocks_in(group);
        if superblock.has_copy(group) {
            let len = 1 + superblock.descriptor_blocks() + superblock.reserved_descriptor_blocks();
            (0..len.min(blocks)).for_each(|index| bitmap.set(index, true));
        }
        let inode_bytes = u64::from(superblock.inodes_per_group) * superblock.inode_bytes as u64;
        let table_blocks = inode_bytes.div_ceil(superblock.block_bytes);
        for other in 0..superblock.groups {
            let other = self.group(state, other)?;
            let parts = [
                (other.block_bitmap_block(), 1),
                (other.inode_bitmap_block(), 1),
                (other.inode_table(), table_blocks),
            ];
            for (first, len) in parts {
                let end = first.saturating_add(len).min(start + blocks);
                (first.max(start)..end).for_each(|block| bitmap.set(block - start, true));
            }
        }
        (blocks..superblock.block_bytes * 8).for_each(|index| bitmap.set(index, true));
        Ok(bitmap.bytes)
    }

    fn with_inode_bitmap<'a>(&self, state: &'a mut State, group: u64) -> Result<&'a mut Group, Errno> {
        let known = self.group(state, group)?;
        if known.inode_bitmap.is_none() {
            let is_unwritten = self.superblock().has_unused_groups() && known.flags() & INODE_UNINIT != 0;
            let block = known.inode_bitmap_block();
            state.charge_for_group(self.block_bytes())?;
            let mut bitmap = Bitmap { bytes: vec![0; self.block_bytes()], is_changed: is_unwritten };
            if is_unwritten {
                let inodes = u64::from(self.superblock().inodes_per_group);
                (inodes..self.superblock().block_bytes * 8).for_each(|index| bitmap.set(index, true));
            } else {
                bitmap.bytes = self.read_block(block)?;
            }
            self.group(state, group)?.inode_bitmap = Some(bitmap);
        }
        self.group(state, group)
    }

    /// Takes a free block.
    ///
    /// # Errors
    /// ENOSPC. The device's.
    pub(super) fn take_block(&self, state: &mut State) -> Result<u64, Errno> {
        let superblock = self.superblock();
        let first = (state.next_block - superblock.first_block) / superblock.blocks_per_group;
        for step in 0..=superblock.groups {
            let group = (first + step) % superblock.groups;
            if self.group(state, group)?.free_blocks() == 0 {
                continue;
            }
            let start = superblock.start_of(group);
            let from = if step == 0 { state.next_block - start } else { 0 };
            let blocks = superblock.blocks_in(group);
            let known = self.with_block_bitmap(state, group)?;
            let Some(bitmap) = &mut known.block_bitmap else { continue };
            let Some(index) = bitmap.first_free(from..blocks) else { continue };
            bitmap.set(index, true);
            known.add_free_blocks(-1);
            let next = start + index + 1;
            state.next_block = if next < superblock.blocks { next } else { superblock.first_block };
            let free = state.superblock.free_blocks().saturating_sub(1);
            let inodes = state.superblock.free_inodes();
            state.superblock.set_free(free, inodes);
            return Ok(start + index);
        }
        Err(Errno::ENOSPC)
    }

    /// Gives a block back.
    ///
    /// # Errors
    /// EUCLEAN: there is no such block. The device's.
    pub(super) fn free_block(&self, state: &mut State, block: u64) -> Result<(), Errno> {
        self.check_block(block)?;
        let superblock = self.superblock();
        let group = (block - superblock.first_block) / superblock.blocks_per_group;
        let index = block - superblock.start_of(group);
        let known = self.with_block_bitmap(state, group)?;
        let Some(bitmap) = known.block_bitmap.as_mut().filter(|bitmap| bitmap.is_set(index)) else {
            return Ok(());
        };
        bitmap.set(index, false);
        known.is_trimmed = false;
        known.add_free_blocks(1);
        let (free, inodes) = (state.superblock.free_blocks() + 1, state.superblock.free_inodes());
        state.superblock.set_free(free, inodes);
        Ok(())
    }

    /// Tells the device of the free blocks in `range`, and returns how many bytes these are.
    ///
    /// # Errors
    /// EINVAL: there is no such range, or not a block in it. EOPNOTSUPP; the device's.
    pub(super) fn trim(&self, state: &mut State, range: TrimRange) -> Result<u64, Errno> {
        let superblock = self.superblock();
        let block_bytes = superblock.block_bytes;
        let start = range.start / block_bytes;
        let min_len = range.min_len_bytes.div_ceil(block_bytes).max(1);
        if start >= superblock.blocks
            || range.len_bytes < block_bytes
            || min_len > superblock.blocks_per_group
        {
            return Err(Errno::EINVAL);
        }
        let end = start.saturating_add(range.len_bytes / block_bytes).min(superblock.blocks);
        let start = start.max(superblock.first_block);
        let mut trimmed = 0;
        for group in 0..superblock.groups {
            let first = superblock.start_of(group);
            let blocks = superblock.blocks_in(group);
            let wanted = start.saturating_sub(first).min(blocks)..end.saturating_sub(first).min(blocks);
            if !wanted.is_empty() {
                trimmed += self.trim_group(state, group, (wanted, blocks), min_len)?;
            }
        }
        Ok(trimmed * block_bytes)
    }

    /// The same for the blocks `wanted` of a group of so many.
    fn trim_group(
        &self,
        state: &mut State,
        group: u64,
        (wanted, blocks): (std::ops::Range<u64>, u64),
        min_len: u64,
    ) -> Result<u64, Errno> {
        let first = self.superblock().start_of(group);
        let block_bytes = self.superblock().block_bytes;
        let known = self.with_block_bitmap(state, group)?;
        let (Some(bitmap), false) = (&known.block_bitmap, known.is_trimmed) else { return Ok(0) };
        let is_whole = wanted == (0..blocks);
        let (mut next, mut trimmed) = (wanted.start, 0);
        while let Some(run) = bitmap.first_free_run(next..wanted.end) {
            next = run.end;
            let len = run.end - run.start;
            if len >= min_len {
                self.device().discard((first + run.start) * block_bytes..(first + run.end) * block_bytes)?;
                trimmed += len;
            }
        }
        known.is_trimmed = is_whole && min_len == 1;
        Ok(trimmed)
    }

    /// Takes a free inode, in a group with many if it is to be a directory.
    ///
    /// # Errors
    /// ENOSPC. The device's.
    pub(super) fn take_inode(&self, state: &mut State, is_directory: bool) -> Result<u32, Errno> {
        let superblock = self.superblock();
        for group in 0..superblock.groups {
            if self.group(state, group)?.free_inodes() == 0 {
                continue;
            }
            let known = self.with_inode_bitmap(state, group)?;
            let first = if group == 0 { u64::from(superblock.first_inode - 1) } else { 0 };
            let Some(bitmap) = &mut known.inode_bitmap else { continue };
            let Some(index) = bitmap.first_free(first..u64::from(superblock.inodes_per_group)) else {
                continue;
            };
            bitmap.set(index, true);
            let index = index as u32;
            known.add_free_inodes(-1);
            known.add_directories(i32::from(is_directory));
            known.note_inode(superblock, index);
            let (blocks, free) = (state.superblock.free_blocks(), state.superblock.free_inodes());
            state.superblock.set_free(blocks, free.saturating_sub(1));
            let before =
                u32::try_from(group).map_err(|_| Errno::EUCLEAN)?.checked_mul(superblock.inodes_per_group);
            return before.and_then(|before| before.checked_add(index + 1)).ok_or(Errno::EUCLEAN);
        }
        Err(Errno::ENOSPC)
    }

    /// Gives an inode back.
    ///
    /// # Errors
    /// EUCLEAN: there is no such inode. The device's.
    pub(super) fn free_inode(&self, state: &mut State, ino: u32, is_directory: bool) -> Result<(), Errno> {
        let index = ino.checked_sub(1).ok_or(Errno::EUCLEAN)?;
        let superblock = self.superblock();
        let known = self.with_inode_bitmap(state, u64::from(index / superblock.inodes_per_group))?;
        let index = u64::from(index % superblock.inodes_per_group);
        let Some(bitmap) = known.inode_bitmap.as_mut().filter(|bitmap| bitmap.is_set(index)) else {
            return Ok(());
        };
        bitmap.set(index, false);
        known.add_free_inodes(1);
        known.add_directories(-i32::from(is_directory));
        let (blocks, free) = (state.superblock.free_blocks(), state.superblock.free_inodes());
        state.superblock.set_free(blocks, free.saturating_add(1));
        Ok(())
    }

    /// Writes the bitmaps and descriptors that have changed, and the superblock.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn write_groups(&self, state: &mut State) -> Result<(), Errno> {
        let superblock = self.superblock();
        for (&number, group) in &mut state.groups {
            if !group.is_changed {
                continue;
            }
            if superblock.has_checksums() {
                group.sum_bitmaps(superblock);
            }
            let places = [group.block_bitmap_block(), group.inode_bitmap_block()];
            for (bitmap, block) in [&mut group.block_bitmap, &mut group.inode_bitmap].into_iter().zip(places)
            {
                if let Some(bitmap) = bitmap.as_mut().filter(|bitmap| bitmap.is_changed) {
                    self.write_block(block, &bitmap.bytes)?;
                    bitmap.is_changed = false;
                }
            }
            let short = u32::try_from(number).map_err(|_| Errno::EUCLEAN)?;
            if let Some(sum) = descriptor_checksum(superblock, short, &group.raw) {
                set_u16(&mut group.raw, 0x1e, sum);
            }
            self.device().write_all(&group.raw, self.descriptor_offset(number))?;
            group.is_changed = false;
        }
        self.write_superblock(state)
    }
}
