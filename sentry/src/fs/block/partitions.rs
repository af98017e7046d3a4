//! Partition tables: the four entries of the first sector with the logical partitions behind them, or a GUID table.

use super::{BlockDevice, SECTOR_BYTES};
use crate::Errno;

/// Entries of a GUID table that are looked at.
const MAX_ENTRIES: u32 = 128;
/// Logical partitions that are looked at: the chain may lead in circles.
const MAX_LOGICAL: u32 = 100;

/// A partition of the table: bytes of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) index: u32,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// An entry of the first sector, in sectors.
struct Entry {
    kind: u8,
    start: u64,
    len: u64,
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let field = bytes.get(offset..).and_then(<[u8]>::first_chunk::<4>);
    field.map_or(0, |field| u32::from_le_bytes(*field))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset.saturating_add(4))) << 32
}

/// The partitions that the table on `disk` names; none if there is no table.
///
/// # Errors
/// The storage's.
pub(super) fn read_table(disk: &BlockDevice) -> Result<Vec<Found>, Errno> {
    /// The type of the entry that stands for a GUID table.
    const PROTECTIVE: u8 = 0xee;
    let Some(entries) = read_sector(disk, 0)? else { return Ok(Vec::new()) };
    if entries.iter().any(|entry| entry.kind == PROTECTIVE) {
        return read_guid_table(disk);
    }
    let mut found = Vec::new();
    for (index, entry) in (1..).zip(&entries) {
        if entry.len == 0 {
            continue;
        }
        if is_extended(entry.kind) {
            found.extend(read_logical(disk, entry.start)?);
        } else {
            found.push(partition(index, entry.start, entry.len));
        }
    }
    Ok(found)
}

fn partition(index: u32, start: u64, len: u64) -> Found {
    let bytes = |sectors: u64| sectors.saturating_mul(SECTOR_BYTES);
    Found { index, start: bytes(start), end: bytes(start.saturating_add(len)) }
}

fn is_extended(kind: u8) -> bool {
    matches!(kind, 0x05 | 0x0f | 0x85)
}

/// The four entries of a sector that has the signature of a table.
fn read_sector(disk: &BlockDevice, sector: u64) -> Result<Option<Vec<Entry>>, Errno> {
    const ENTRIES: std::ops::Range<usize> = 446..510;
    let mut bytes = [0; 512];
    let offset = sector.saturating_mul(SECTOR_BYTES);
    if disk.read_at(&mut bytes, offset)? < bytes.len() || !bytes.ends_with(&[0x55, 0xaa]) {
        return Ok(None);
    }
    let entries = bytes.get(ENTRIES).unwrap_or_default().chunks_exact(16).map(|entry| Entry {
        kind: entry.get(4).copied().unwrap_or(0),
        start: u32_at(entry, 8).into(),
        len: u32_at(entry, 12).into(),
    });
    Ok(Some(entries.collect()))
}

/// The logical partitions of the extended one at `first`.
fn read_logical(disk: &BlockDevice, first: u64) -> Result<Vec<Found>, Errno> {
    const FIRST_INDEX: u32 = 5;
    let (mut found, mut next) = (Vec::new(), first);
    for index in FIRST_INDEX..FIRST_INDEX + MAX_LOGICAL {
        let Some(entries) = read_sector(disk, next)? else { break };
        let mut entries = entries.into_iter();
        if let Some(own) = entries.next().filter(|own| own.len != 0 && !is_extended(own.kind)) {
            found.push(partition(index, next.saturating_add(own.start), own.len));
        }
        match entries.next().filter(|link| link.len != 0 && is_extended(link.kind)) {
            Some(link) => next = first.saturating_add(link.start),
            None => break,
        }
    }
    Ok(found)
}

/// The partitions of a GUID table (UEFI specification, 5.3).
fn read_guid_table(disk: &BlockDevice) -> Result<Vec<Found>, Errno> {
    const MIN_ENTRY_BYTES: u32 = 128;
    const MAX_ENTRY_BYTES: u32 = 4096;
    let block = u64::from(disk.logical_block_bytes());
    let mut header = [0; 92];
    if disk.read_at(&mut header, block)? < header.len() || !header.starts_with(b"EFI PART") {
        return Ok(Vec::new());
    }
    let (table, count, entry_bytes) = (u64_at(&header, 72), u32_at(&header, 80), u32_at(&header, 84));
    if !(MIN_ENTRY_BYTES..=MAX_ENTRY_BYTES).contains(&entry_bytes) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for index in 0..count.min(MAX_ENTRIES) {
        let mut entry = [0; MIN_ENTRY_BYTES as usize];
        let offset = table.saturating_mul(block).saturating_add(u64::from(index) * u64::from(entry_bytes));
        if disk.read_at(&mut entry, offset)? < entry.len() {
            break;
        }
        let is_used = entry.first_chunk::<16>().is_some_and(|kind| *kind != [0; 16]);
        let (first, last) = (u64_at(&entry, 32), u64_at(&entry, 40));
        if is_used && first <= last {
            let end = last.saturating_add(1).saturating_mul(block);
            found.push(Found { index: index + 1, start: first.saturating_mul(block), end });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
