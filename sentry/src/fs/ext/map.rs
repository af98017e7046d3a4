//! Which blocks a file has: a tree of extents, or the blocks that ext2 lists in up to three steps.

use super::bytes::{set_u16, set_u32, u16_at, u32_at};
use super::checksum::crc32c;
use super::inode::{InodeFlags, RawInode};
use super::superblock::Incompatible;
use super::volume::{ExtVolume, State};
use crate::Errno;
use crate::heap::HeapCharge;

/// More runs than are kept of a file.
const MAX_RUNS: usize = 1 << 20;
/// More blocks than a map may have itself.
const MAX_MAP_BLOCKS: usize = 1 << 16;
/// Blocks that an inode names itself.
const DIRECT: u64 = 12;
const EXTENT_MAGIC: u16 = 0xf30a;
const HEADER_LEN: usize = 12;
const ENTRY_LEN: usize = 12;
/// The deepest tree.
const MAX_DEPTH: u16 = 5;
/// Blocks of one extent.
const MAX_EXTENT: u64 = 32768;

/// Blocks that follow each other in the file and on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) logical: u64,
    pub(super) physical: u64,
    pub(super) len: u64,
    /// They were never written, and read as zeroes.
    pub(super) is_unwritten: bool,
}

/// The blocks of a file.
#[derive(Default)]
pub(super) struct FileMap {
    /// By ascending place in the file.
    pub(super) runs: Vec<Run>,
    /// The blocks of the map itself.
    pub(super) own: Vec<u64>,
    heap_charge: HeapCharge,
}

impl FileMap {
    /// The run with block `logical` of the file.
    pub(super) fn find(&self, logical: u64) -> Option<Run> {
        let after = self.runs.partition_point(|run| run.logical <= logical);
        let run = after.checked_sub(1).and_then(|index| self.runs.get(index)).copied()?;
        (logical - run.logical < run.len).then_some(run)
    }

    /// Charges for so many runs and own blocks more, once what it has room for is not enough.
    ///
    /// # Errors
    /// ENOMEM.
    fn make_room(&mut self, runs: usize, own: usize) -> Result<(), Errno> {
        let has_room = self.runs.len() + runs <= self.runs.capacity();
        if has_room && self.own.len() + own <= self.own.capacity() {
            return Ok(());
        }
        let (runs, own) = (self.runs.capacity() + runs, self.own.capacity() + own);
        // What is full becomes twice as large.
        self.heap_charge.resize(2 * (runs * size_of::<Run>() + own * size_of::<u64>()))
    }

    /// Adds block `physical` at `logical`, behind all others.
    pub(super) fn push(&mut self, logical: u64, physical: u64) -> Result<(), Errno> {
        self.push_run(Run { logical, physical, len: 1, is_unwritten: false })
    }

    fn push_run(&mut self, run: Run) -> Result<(), Errno> {
        if let Some(last) = self.runs.last_mut() {
            let end = last.logical + last.len;
            if run.logical < end {
                return Err(Errno::EUCLEAN);
            }
            let follows = run.logical == end && run.physical == last.physical + last.len;
            if follows && run.is_unwritten == last.is_unwritten {
                last.len += run.len;
                return Ok(());
            }
        }
        if self.runs.len() >= MAX_RUNS {
            return Err(Errno::EFBIG);
        }
        self.make_room(1, 0)?;
        self.runs.push(run);
        Ok(())
    }

    fn push_own(&mut self, block: u64) -> Result<(), Errno> {
        if self.own.len() >= MAX_MAP_BLOCKS {
            return Err(Errno::EFBIG);
        }
        self.make_room(0, 1)?;
        self.own.push(block);
        Ok(())
    }

    /// How many blocks of the file there are.
    pub(super) fn blocks(&self) -> u64 {
        self.runs.iter().map(|run| run.len).sum()
    }
}

impl ExtVolume {
    /// The blocks of `inode`.
    ///
    /// # Errors
    /// EUCLEAN: the map makes no sense. EFBIG: it is too large. The device's.
    pub(super) fn read_map(&self, inode: &RawInode) -> Result<FileMap, Errno> {
        let mut map = FileMap::default();
        if inode.flags().contains(InodeFlags::EXTENTS) {
            self.read_extents(inode.map(), None, &mut map)?;
        } else {
            let mut next = 0;
            for index in 0..DIRECT {
                let block = u32_at(inode.map(), index as usize * 4);
                self.read_listed(block.into(), 0, &mut next, &mut map)?;
            }
            for level in 1..=3 {
                let block = u32_at(inode.map(), (DIRECT as usize + level - 1) * 4);
                self.read_listed(block.into(), level as u32, &mut next, &mut map)?;
            }
        }
        Ok(map)
    }

    /// A node of a tree of extents, of depth less than `above`.
    fn read_extents(&self, node: &[u8], above: Option<u16>, map: &mut FileMap) -> Result<(), Errno> {
        let (count, depth) = (u16_at(node, 2), u16_at(node, 6));
        let is_valid = u16_at(node, 0) == EXTENT_MAGIC
            && depth <= MAX_DEPTH
            && above.is_none_or(|above| depth + 1 == above)
            && HEADER_LEN + usize::from(count) * ENTRY_LEN <= node.len();
        if !is_valid {
            return Err(Errno::EUCLEAN);
        }
        for entry in node.get(HEADER_LEN..).unwrap_or_default().chunks_exact(ENTRY_LEN).take(count.into()) {
            let logical = u64::from(u32_at(entry, 0));
            if depth != 0 {
                let block = u64::from(u32_at(entry, 4)) | u64::from(u16_at(entry, 8)) << 32;
                map.push_own(block)?;
                self.read_extents(&self.read_block(block)?, Some(depth), map)?;
                continue;
            }
            let len = u64::from(u16_at(entry, 4));
            let physical = u64::from(u32_at(entry, 8)) | u64::from(u16_at(entry, 6)) << 32;
            let is_unwritten = len > MAX_EXTENT;
            let len = if is_unwritten { len - MAX_EXTENT } else { len };
            if len == 0 {
                return Err(Errno::EUCLEAN);
            }
            self.check_block(physical)?;
            self.check_block(physical + len - 1)?;
            map.push_run(Run { logical, physical, len, is_unwritten })?;
        }
        Ok(())
    }

    /// What `block` lists, `level` steps from the file's own blocks; 0 is a hole.
    fn read_listed(&self, block: u64, level: u32, next: &mut u64, map: &mut FileMap) -> Result<(), Errno> {
        let per_block = self.superblock().block_bytes / 4;
        if block == 0 {
            *next = next.saturating_add(per_block.saturating_pow(level));
            return Ok(());
        }
        if level == 0 {
            self.check_block(block)?;
            map.push(*next, block)?;
            *next += 1;
            return Ok(());
        }
        map.push_own(block)?;
        let listed = self.read_block(block)?;
        for entry in listed.chunks_exact(4) {
            self.read_listed(u32_at(entry, 0).into(), level - 1, next, map)?;
        }
        Ok(())
    }

    /// Gives `inode` the blocks of `runs` instead of those that it has; the blocks of the old map are given back.
    ///
    /// # Errors
    /// ENOSPC; EFBIG: the map has no room. The device's.
    pub(super) fn write_map(
        &self,
        state: &mut State,
        inode: &mut RawInode,
        new: &mut FileMap,
        old_own: &[u64],
    ) -> Result<(), Errno> {
        for &block in old_own {
            self.free_block(state, block)?;
        }
        inode.map_mut().fill(0);
        new.own.clear();
        let with_extents = self.superblock().incompatible.contains(Incompatible::EXTENTS);
        let mut flags = inode.flags();
        flags.set(InodeFlags::EXTENTS, with_extents);
        flags.remove(InodeFlags::INLINE_DATA);
        inode.set_flags(flags);
        if with_extents { self.write_extents(state, inode, new) } else { self.write_list(state, inode, new) }
    }

    fn write_extents(&self, state: &mut State, inode: &mut RawInode, new: &mut FileMap) -> Result<(), Errno> {
        const IN_INODE: usize = 4;
        let mut entries = Vec::new();
        for run in &new.runs {
            let mut done = 0;
            while done < run.len {
                let len = (run.len - done).min(MAX_EXTENT);
                entries.push(extent(run.logical + done, run.physical + done, len)?);
                done += len;
            }
        }
        let per_block = (self.block_bytes() - HEADER_LEN) / ENTRY_LEN;
        let mut depth = 0;
        while entries.len() > IN_INODE {
            let mut above = Vec::new();
            for node in entries.chunks(per_block) {
                let block = self.take_block(state)?;
                new.push_own(block)?;
                let mut bytes = vec![0; self.block_bytes()];
                fill_node(&mut bytes, node, per_block, depth);
                self.sum_extents(inode, per_block, &mut bytes);
                self.write_block(block, &bytes)?;
                let logical = node.first().map_or(0, |first| u32_at(first, 0));
                above.push(index(logical, block));
            }
            entries = above;
            depth += 1;
        }
        fill_node(inode.map_mut(), &entries, IN_INODE, depth);
        Ok(())
    }

    /// Stores the checksum of a block of extents behind the room for them.
    fn sum_extents(&self, inode: &RawInode, per_block: usize, bytes: &mut [u8]) {
        if self.superblock().has_checksums() {
            let tail = HEADER_LEN + per_block * ENTRY_LEN;
            let seed = self.superblock().inode_seed(inode.ino, inode.generation());
            let sum = crc32c(seed, bytes.get(..tail).unwrap_or_default());
            set_u32(bytes, tail, sum);
        }
    }

    fn write_list(&self, state: &mut State, inode: &mut RawInode, new: &mut FileMap) -> Result<(), Errno> {
        let per_block = self.superblock().block_bytes / 4;
        let block_at = |runs: &FileMap, logical| {
            let run = runs.find(logical);
            u32::try_from(run.map_or(0, |run| run.physical + (logical - run.logical)))
        };
        for logical in 0..DIRECT {
            let block = block_at(new, logical).map_err(|_| Errno::EFBIG)?;
            set_u32(inode.map_mut(), logical as usize * 4, block);
        }
        let mut first = DIRECT;
        for level in 1..=3_u32 {
            let block = self.write_listed(state, new, first, level)?;
            set_u32(inode.map_mut(), (DIRECT as usize + level as usize - 1) * 4, block);
            first += per_block.saturating_pow(level);
        }
        let is_too_long = new.runs.last().is_some_and(|last| last.logical + last.len > first);
        if is_too_long { Err(Errno::EFBIG) } else { Ok(()) }
    }

    /// Writes the list of the blocks from `first` on, in so many steps; 0 if there are none.
    fn write_listed(
        &self,
        state: &mut State,
        new: &mut FileMap,
        first: u64,
        level: u32,
    ) -> Result<u32, Errno> {
        let per_block = self.superblock().block_bytes / 4;
        let len = per_block.saturating_pow(level);
        let from = new.runs.partition_point(|run| run.logical + run.len <= first);
        let is_empty = new.runs.get(from).is_none_or(|run| run.logical >= first.saturating_add(len));
        if is_empty {
            return Ok(0);
        }
        if level == 0 {
            let run = new.find(first).ok_or(Errno::EUCLEAN)?;
            return u32::try_from(run.physical + (first - run.logical)).map_err(|_| Errno::EFBIG);
        }
        let block = self.take_block(state)?;
        new.push_own(block)?;
        let mut bytes = vec![0; self.block_bytes()];
        for index in 0..per_block {
            let part = first + index * per_block.saturating_pow(level - 1);
            let listed = self.write_listed(state, new, part, level - 1)?;
            set_u32(&mut bytes, index as usize * 4, listed);
        }
        self.write_block(block, &bytes)?;
        u32::try_from(block).map_err(|_| Errno::EFBIG)
    }
}

/// An entry of a leaf.
fn extent(logical: u64, physical: u64, len: u64) -> Result<[u8; ENTRY_LEN], Errno> {
    let mut entry = [0; ENTRY_LEN];
    set_u32(&mut entry, 0, u32::try_from(logical).map_err(|_| Errno::EFBIG)?);
    set_u16(&mut entry, 4, u16::try_from(len).map_err(|_| Errno::EFBIG)?);
    set_u16(&mut entry, 6, (physical >> 32 & 0xffff) as u16);
    set_u32(&mut entry, 8, (physical & 0xffff_ffff) as u32);
    Ok(entry)
}

/// An entry of a node that is no leaf.
fn index(logical: u32, block: u64) -> [u8; ENTRY_LEN] {
    let mut entry = [0; ENTRY_LEN];
    set_u32(&mut entry, 0, logical);
    set_u32(&mut entry, 4, (block & 0xffff_ffff) as u32);
    set_u16(&mut entry, 8, (block >> 32 & 0xffff) as u16);
    entry
}

/// Writes a node with these entries, and room for `max`.
fn fill_node(bytes: &mut [u8], entries: &[[u8; ENTRY_LEN]], max: usize, depth: u16) {
    set_u16(bytes, 0, EXTENT_MAGIC);
    set_u16(bytes, 2, entries.len() as u16);
    set_u16(bytes, 4, max as u16);
    set_u16(bytes, 6, depth);
    let places = bytes.get_mut(HEADER_LEN..).unwrap_or_default().chunks_exact_mut(ENTRY_LEN);
    for (place, entry) in places.zip(entries) {
        place.copy_from_slice(entry);
    }
}
