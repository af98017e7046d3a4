//! Directories as they are stored: entries one behind the other, none across the end of a block.

use super::bytes::{low, set_u16, set_u32, u16_at, u32_at};
use super::checksum::crc32c;
use super::inode::RawInode;
use super::superblock::{Incompatible, Superblock};
use crate::Errno;
use crate::fs::FileKind;

/// The part of an entry before the name.
const HEAD_LEN: usize = 8;
/// The place of a checksum, which looks like an entry without a name.
const TAIL_LEN: usize = 12;
const TAIL_KIND: u8 = 0xde;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) inode: u32,
    pub(super) kind: Option<FileKind>,
    pub(super) name: Box<[u8]>,
}

fn kind_of(byte: u8) -> Option<FileKind> {
    Some(match byte {
        1 => FileKind::Regular,
        2 => FileKind::Directory,
        3 => FileKind::CharacterDevice,
        4 => FileKind::BlockDevice,
        5 => FileKind::Fifo,
        6 => FileKind::Socket,
        7 => FileKind::Symlink,
        _ => return None,
    })
}

fn byte_of(kind: FileKind) -> u8 {
    match kind {
        FileKind::Regular => 1,
        FileKind::Directory => 2,
        FileKind::CharacterDevice => 3,
        FileKind::BlockDevice => 4,
        FileKind::Fifo => 5,
        FileKind::Socket => 6,
        FileKind::Symlink => 7,
    }
}

/// Reads the entries of a block, `.` and `..` among them.
///
/// # Errors
/// EUCLEAN: they overlap or lead out of the block.
pub(super) fn parse(superblock: &Superblock, block: &[u8], entries: &mut Vec<Entry>) -> Result<(), Errno> {
    let has_kinds = superblock.incompatible.contains(Incompatible::FILETYPE);
    let mut rest = block;
    while rest.len() >= HEAD_LEN {
        let (inode, len) = (u32_at(rest, 0), usize::from(u16_at(rest, 4)));
        let name_len = usize::from(if has_kinds { u16_at(rest, 6) & 0xff } else { u16_at(rest, 6) });
        if len < HEAD_LEN || !len.is_multiple_of(4) || name_len + HEAD_LEN > len {
            return Err(Errno::EUCLEAN);
        }
        let entry = rest.get(..len).ok_or(Errno::EUCLEAN)?;
        rest = rest.get(len..).unwrap_or_default();
        let name = entry.get(HEAD_LEN..HEAD_LEN + name_len).unwrap_or_default();
        if inode == 0 || name.is_empty() {
            continue;
        }
        if name.contains(&b'/') || name.contains(&0) {
            return Err(Errno::EUCLEAN);
        }
        let kind = entry.get(7).copied().filter(|_| has_kinds).and_then(kind_of);
        entries.push(Entry { inode, kind, name: name.into() });
    }
    Ok(())
}

/// Writes `entries`, the first of which are `.` and `..`, into as many blocks as they take.
pub(super) fn build(superblock: &Superblock, inode: &RawInode, entries: &[Entry]) -> Vec<u8> {
    let block_bytes = superblock.block_bytes as usize;
    let room = block_bytes - if superblock.has_checksums() { TAIL_LEN } else { 0 };
    let mut blocks: Vec<u8> = Vec::new();
    let mut block = Vec::with_capacity(block_bytes);
    let mut last = 0;
    for entry in entries {
        let len = (HEAD_LEN + entry.name.len()).next_multiple_of(4);
        if block.len() + len > room {
            finish(superblock, inode, &mut block, last, room);
            blocks.append(&mut block);
        }
        last = block.len();
        push(superblock, &mut block, entry, len);
    }
    finish(superblock, inode, &mut block, last, room);
    blocks.append(&mut block);
    blocks
}

fn push(superblock: &Superblock, block: &mut Vec<u8>, entry: &Entry, len: usize) {
    let mut bytes = vec![0; len];
    set_u32(&mut bytes, 0, entry.inode);
    set_u16(&mut bytes, 4, len as u16);
    let has_kinds = superblock.incompatible.contains(Incompatible::FILETYPE);
    let kind = entry.kind.filter(|_| has_kinds).map_or(0, byte_of);
    set_u16(&mut bytes, 6, low(entry.name.len() as u32) | u16::from(kind) << 8);
    if let Some(name) = bytes.get_mut(HEAD_LEN..HEAD_LEN + entry.name.len()) {
        name.copy_from_slice(&entry.name);
    }
    block.append(&mut bytes);
}

/// Has the last entry reach to the end of the block, or to the checksum.
fn finish(superblock: &Superblock, inode: &RawInode, block: &mut Vec<u8>, last: usize, room: usize) {
    if block.is_empty() {
        return;
    }
    set_u16(block, last + 4, (room - last) as u16);
    block.resize(superblock.block_bytes as usize, 0);
    if superblock.has_checksums() {
        let seed = superblock.inode_seed(inode.ino, inode.generation());
        let sum = crc32c(seed, block.get(..room).unwrap_or_default());
        set_u16(block, room + 4, TAIL_LEN as u16);
        set_u16(block, room + 6, u16::from(TAIL_KIND) << 8);
        set_u32(block, room + 8, sum);
    }
}
