//! Extended attributes as they are stored: behind the fields of an inode, or in a block.

use super::bytes::{set_u16, set_u32, u16_at, u32_at};
use super::checksum::crc32c;
use super::inode::RawInode;
use super::volume::{ExtVolume, State};
use crate::Errno;

const MAGIC: u32 = 0xea02_0000;
const BLOCK_HEADER_LEN: usize = 32;
const ENTRY_LEN: usize = 16;
/// What is left free at the end of the names.
const END_LEN: usize = 4;

/// The beginnings of names, and the numbers that stand for them.
const PREFIXES: &[(u8, &[u8])] = &[(1, b"user."), (4, b"trusted."), (6, b"security."), (7, b"system.")];

/// Names and values.
pub(super) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

impl ExtVolume {
    /// The extended attributes of `inode`. What makes no sense is left out.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn read_attributes(&self, inode: &RawInode) -> Result<Attributes, Errno> {
        let mut found = Vec::new();
        if let Some(start) = inode.attributes_start() {
            let area = inode.raw.get(start..).unwrap_or_default();
            if u32_at(area, 0) == MAGIC {
                let area = area.get(4..).unwrap_or_default();
                parse(area, area, &mut found);
            }
        }
        if inode.attribute_block() != 0 {
            let block = self.read_block(inode.attribute_block())?;
            if u32_at(&block, 0) == MAGIC {
                parse(block.get(BLOCK_HEADER_LEN..).unwrap_or_default(), &block, &mut found);
            }
        }
        Ok(found)
    }

    /// Replaces the extended attributes of `inode`.
    ///
    /// # Errors
    /// ENOSPC: they do not fit. The device's.
    pub(super) fn write_attributes(
        &self,
        state: &mut State,
        inode: &mut RawInode,
        attributes: &Attributes,
    ) -> Result<(), Errno> {
        let mut old = self.read_attributes(inode)?;
        old.sort();
        // Those in memory are in order.
        if old == *attributes {
            return Ok(());
        }
        self.release_attribute_block(state, inode)?;
        if let Some(start) = inode.attributes_start() {
            let area = inode.raw.get_mut(start..).unwrap_or_default();
            area.fill(0);
            if let Some((head, body)) = area.split_at_mut_checked(4)
                && build(body, 0, attributes)
            {
                if !attributes.is_empty() {
                    head.copy_from_slice(&MAGIC.to_le_bytes());
                }
                return Ok(());
            }
            inode.raw.get_mut(start..).unwrap_or_default().fill(0);
        }
        if attributes.is_empty() {
            return Ok(());
        }
        let mut block = vec![0; self.block_bytes()];
        if !build(&mut block, BLOCK_HEADER_LEN, attributes) {
            return Err(Errno::ENOSPC);
        }
        let place = self.take_block(state)?;
        set_u32(&mut block, 0, MAGIC);
        set_u32(&mut block, 4, 1);
        set_u32(&mut block, 8, 1);
        let hash = block_hash(&block);
        set_u32(&mut block, 12, hash);
        self.write_attribute_block(place, &mut block)?;
        inode.set_attribute_block(place);
        Ok(())
    }

    /// Lets go of the block of attributes, which several inodes may have.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn release_attribute_block(
        &self,
        state: &mut State,
        inode: &mut RawInode,
    ) -> Result<(), Errno> {
        let place = inode.attribute_block();
        if place == 0 {
            return Ok(());
        }
        inode.set_attribute_block(0);
        let mut block = self.read_block(place)?;
        let users = u32_at(&block, 4);
        if users <= 1 {
            return self.free_block(state, place);
        }
        set_u32(&mut block, 4, users - 1);
        self.write_attribute_block(place, &mut block)
    }

    fn write_attribute_block(&self, place: u64, block: &mut [u8]) -> Result<(), Errno> {
        if self.superblock().has_checksums() {
            set_u32(block, 16, 0);
            let sum = crc32c(self.superblock().checksum_seed, &place.to_le_bytes());
            let sum = crc32c(sum, block);
            set_u32(block, 16, sum);
        }
        self.write_block(place, block)
    }
}

/// Reads entries; the places of values count from the beginning of `values`.
fn parse(entries: &[u8], values: &[u8], found: &mut Attributes) {
    let mut rest = entries;
    while rest.len() >= ENTRY_LEN && u32_at(rest, 0) != 0 {
        let name_len = usize::from(u16_at(rest, 0) & 0xff);
        let prefix = (u16_at(rest, 0) >> 8) as u8;
        let (offset, size) = (usize::from(u16_at(rest, 2)), u32_at(rest, 8) as usize);
        let is_elsewhere = u32_at(rest, 4) != 0;
        let name = rest.get(ENTRY_LEN..ENTRY_LEN + name_len);
        let value = values.get(offset..offset.saturating_add(size));
        if let (Some(name), Some(value), false) = (name, value, is_elsewhere)
            && let Some(full) = full_name(prefix, name)
        {
            let value = if is_acl(&full) { super::acl::from_stored(value) } else { Some(value.to_vec()) };
            found.extend(value.map(|value| (full, value)));
        }
        rest = rest.get((ENTRY_LEN + name_len).next_multiple_of(4)..).unwrap_or_default();
    }
}

fn is_acl(name: &[u8]) -> bool {
    name.starts_with(b"system.posix_acl_")
}

fn full_name(prefix: u8, name: &[u8]) -> Option<Vec<u8>> {
    match prefix {
        2 => Some(b"system.posix_acl_access".to_vec()),
        3 => Some(b"system.posix_acl_default".to_vec()),
        _ => {
            let (_, text) = PREFIXES.iter().find(|(number, _)| *number == prefix)?;
            Some([text, name].concat())
        }
    }
}

/// The number and the rest of a name.
fn split_name(name: &[u8]) -> Option<(u8, &[u8])> {
    match name {
        b"system.posix_acl_access" => Some((2, &[])),
        b"system.posix_acl_default" => Some((3, &[])),
        _ => PREFIXES.iter().find_map(|(number, text)| Some((*number, name.strip_prefix(*text)?))),
    }
}

/// Writes `attributes` into `area`, the entries from `start` on and the values from its end back; whether they fit.
fn build(area: &mut [u8], start: usize, attributes: &Attributes) -> bool {
    let mut entries = Vec::new();
    for (name, value) in attributes {
        let value = if is_acl(name) { super::acl::to_stored(value) } else { Some(value.clone()) };
        let (Some((prefix, rest)), Some(value)) = (split_name(name), value) else { continue };
        entries.push((prefix, rest.len(), rest, value));
    }
    entries.sort();
    let (mut next, mut end) = (start, area.len());
    for (prefix, name_len, name, value) in entries {
        let len = (ENTRY_LEN + name_len).next_multiple_of(4);
        let value_len = value.len().next_multiple_of(4);
        if next + len + END_LEN + value_len > end {
            return false;
        }
        end -= value_len;
        if let Some(place) = area.get_mut(end..end + value.len()) {
            place.copy_from_slice(&value);
        }
        let Some(entry) = area.get_mut(next..next + len) else { return false };
        set_u16(entry, 0, name_len as u16 | u16::from(prefix) << 8);
        set_u16(entry, 2, if value.is_empty() { 0 } else { end as u16 });
        set_u32(entry, 8, value.len() as u32);
        set_u32(entry, 12, entry_hash(name, &value));
        if let Some(place) = entry.get_mut(ENTRY_LEN..ENTRY_LEN + name_len) {
            place.copy_from_slice(name);
        }
        next += len;
    }
    true
}

fn entry_hash(name: &[u8], value: &[u8]) -> u32 {
    let hash = name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
    value.chunks(4).fold(hash, |hash, chunk| {
        let mut word = [0; 4];
        word.iter_mut().zip(chunk).for_each(|(place, byte)| *place = *byte);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}

/// The hash of a block, by those of its entries.
fn block_hash(block: &[u8]) -> u32 {
    let (mut rest, mut hash) = (block.get(BLOCK_HEADER_LEN..).unwrap_or_default(), 0_u32);
    while rest.len() >= ENTRY_LEN && u32_at(rest, 0) != 0 {
        let own = u32_at(rest, 12);
        if own == 0 {
            return 0;
        }
        hash = hash.rotate_left(16) ^ own;
        let len = (ENTRY_LEN + usize::from(u16_at(rest, 0) & 0xff)).next_multiple_of(4);
        rest = rest.get(len..).unwrap_or_default();
    }
    hash
}
