//! The journal of ext3 and ext4: what was written to it and not yet to its place is written there, before a mount
//! (`Documentation/filesystems/ext4`, "Journal (jbd2)"). Its fields are big-endian.
//!
//! Afterwards the journal is empty, and stays so: what is changed here is not written to it.

use std::collections::BTreeMap;

use super::checksum::{START, crc32c};
use super::map::FileMap;
use super::volume::ExtVolume;
use crate::Errno;

const MAGIC: u32 = 0xc03b_3998;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;
const HEADER_LEN: usize = 12;

bitflags::bitflags! {
    /// Features of a journal without which it cannot be read.
    #[derive(Clone, Copy)]
    struct Features: u32 {
        const REVOKE = 0x1;
        const WIDE = 0x2;
        const ASYNC_COMMIT = 0x4;
        const CSUM_V2 = 0x8;
        const CSUM_V3 = 0x10;
        const FAST_COMMIT = 0x20;
    }

    /// What a tag says of its block.
    #[derive(Clone, Copy)]
    struct TagFlags: u32 {
        /// The block begins with the journal's own magic number, which is not stored.
        const ESCAPE = 1;
        /// No identity follows.
        const SAME_UUID = 2;
        const LAST = 8;
    }
}

fn be32(bytes: &[u8], offset: usize) -> u32 {
    let field = bytes.get(offset..).and_then(<[u8]>::first_chunk::<4>);
    field.map_or(0, |field| u32::from_be_bytes(*field))
}

fn set_be32(bytes: &mut [u8], offset: usize, value: u32) {
    if let Some(field) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *field = value.to_be_bytes();
    }
}

/// A journal that is read.
struct Journal<'a> {
    volume: &'a ExtVolume,
    map: FileMap,
    features: Features,
    first: u32,
    end: u32,
}

/// A block that a transaction has for its place.
struct Tag {
    place: u64,
    flags: TagFlags,
}

/// Writes what the journal has to its places, and empties it.
///
/// # Errors
/// EINVAL: it has features that are not known. EUCLEAN: it makes no sense. The device's.
pub(super) fn play_back(volume: &ExtVolume) -> Result<(), Errno> {
    let inode = volume.read_inode(volume.superblock().journal_inode())?;
    let map = volume.read_map(&inode)?;
    let features = Features::empty();
    let mut journal = Journal { volume, map, features, first: 1, end: 0 };
    let mut head = journal.read(0)?;
    if be32(&head, 0) != MAGIC || u64::from(be32(&head, 0xc)) != volume.superblock().block_bytes {
        return Err(Errno::EUCLEAN);
    }
    journal.features = Features::from_bits(be32(&head, 0x28)).ok_or(Errno::EINVAL)?;
    (journal.first, journal.end) = (be32(&head, 0x14), be32(&head, 0x10));
    let (start, sequence) = (be32(&head, 0x1c), be32(&head, 0x18));
    let is_valid =
        journal.first >= 1 && start < journal.end && u64::from(journal.end) <= journal.map.blocks();
    if !is_valid {
        return Err(Errno::EUCLEAN);
    }
    let mut next = sequence;
    if start != 0 {
        let (revoked, end) = journal.scan(start, sequence)?;
        journal.replay(start, sequence, end, &revoked)?;
        next = end;
    }
    set_be32(&mut head, 0x1c, 0);
    set_be32(&mut head, 0x18, next);
    journal.seal(&mut head);
    let place = journal.place(0)?;
    volume.write_block(place, &head)
}

impl Journal<'_> {
    /// The block of the device that block `index` of the journal is.
    fn place(&self, index: u32) -> Result<u64, Errno> {
        let run = self.map.find(index.into()).ok_or(Errno::EUCLEAN)?;
        Ok(run.physical + (u64::from(index) - run.logical))
    }

    fn read(&self, index: u32) -> Result<Vec<u8>, Errno> {
        self.volume.read_block(self.place(index)?)
    }

    /// The block behind `index`, where it goes round.
    fn after(&self, index: u32) -> u32 {
        if index + 1 >= self.end { self.first } else { index + 1 }
    }

    fn seal(&self, head: &mut [u8]) {
        const LEN: usize = 1024;
        const FIELD: usize = 0xfc;
        if self.features.intersects(Features::CSUM_V2 | Features::CSUM_V3) {
            set_be32(head, FIELD, 0);
            let sum = crc32c(START, head.get(..LEN).unwrap_or_default());
            set_be32(head, FIELD, sum);
        }
    }

    /// Which blocks were revoked by which transaction at last, and the first transaction that is not whole.
    fn scan(&self, start: u32, first: u32) -> Result<(BTreeMap<u64, u32>, u32), Errno> {
        let (mut revoked, mut pending) = (BTreeMap::new(), Vec::new());
        let (mut index, mut sequence) = (start, first);
        // Each block is looked at once.
        for _ in self.first..self.end {
            let block = self.read(index)?;
            if be32(&block, 0) != MAGIC || be32(&block, 8) != sequence {
                break;
            }
            match be32(&block, 4) {
                DESCRIPTOR => {
                    for _ in self.tags(&block) {
                        index = self.after(index);
                    }
                }
                REVOKE => pending.extend(self.revoked_by(&block)),
                COMMIT => {
                    revoked.extend(pending.drain(..).map(|place| (place, sequence)));
                    sequence = sequence.wrapping_add(1);
                }
                _ => break,
            }
            index = self.after(index);
        }
        Ok((revoked, sequence))
    }

    /// Writes the blocks of the transactions from `first` to before `end`.
    fn replay(&self, start: u32, first: u32, end: u32, revoked: &BTreeMap<u64, u32>) -> Result<(), Errno> {
        let (mut index, mut sequence) = (start, first);
        while sequence != end {
            let block = self.read(index)?;
            match be32(&block, 4) {
                DESCRIPTOR => {
                    for tag in self.tags(&block) {
                        index = self.after(index);
                        let last = revoked.get(&tag.place);
                        let is_revoked = last.is_some_and(|last| last.wrapping_sub(sequence) < u32::MAX / 2);
                        if !is_revoked {
                            let mut bytes = self.read(index)?;
                            if tag.flags.contains(TagFlags::ESCAPE) {
                                set_be32(&mut bytes, 0, MAGIC);
                            }
                            self.volume.write_block(tag.place, &bytes)?;
                        }
                    }
                }
                COMMIT => sequence = sequence.wrapping_add(1),
                _ => {}
            }
            index = self.after(index);
        }
        Ok(())
    }

    /// The tags of a descriptor.
    fn tags(&self, block: &[u8]) -> Vec<Tag> {
        const UUID_LEN: usize = 16;
        let is_third = self.features.contains(Features::CSUM_V3);
        let is_wide = self.features.contains(Features::WIDE);
        let tag_len = if is_third { 16 } else { 8 + if is_wide { 4 } else { 0 } };
        let has_tail = self.features.intersects(Features::CSUM_V2 | Features::CSUM_V3);
        let end = block.len() - if has_tail { 4 } else { 0 };
        let (mut tags, mut at) = (Vec::new(), HEADER_LEN);
        while at + tag_len <= end {
            let flags = if is_third { be32(block, at + 4) } else { be32(block, at + 4) & 0xffff };
            let flags = TagFlags::from_bits_retain(flags);
            let upper = if is_wide { u64::from(be32(block, at + 8)) << 32 } else { 0 };
            tags.push(Tag { place: u64::from(be32(block, at)) | upper, flags });
            at += tag_len + if flags.contains(TagFlags::SAME_UUID) { 0 } else { UUID_LEN };
            if flags.contains(TagFlags::LAST) {
                break;
            }
        }
        tags
    }

    /// The blocks that a block revokes.
    fn revoked_by(&self, block: &[u8]) -> Vec<u64> {
        const START: usize = 16;
        let used = (be32(block, HEADER_LEN) as usize).min(block.len());
        let entries = block.get(START..used).unwrap_or_default();
        match self.features.contains(Features::WIDE) {
            true => {
                let entries = entries.chunks_exact(8);
                entries.map(|entry| u64::from(be32(entry, 0)) << 32 | u64::from(be32(entry, 4))).collect()
            }
            false => entries.chunks_exact(4).map(|entry| be32(entry, 0).into()).collect(),
        }
    }
}
