//! Where a file's data is (FS_IOC_FIEMAP; the kernel's `filesystems/fiemap.rst`).
//!
//! What is told is what SEEK_DATA and SEEK_HOLE tell. No file here lies on a disk, so that physical addresses are those in the file.

use crate::Errno;
use crate::fs::FileDescription;
use crate::pace::Pace;
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

/// `struct fiemap` without its extents: start, length; flags, extents mapped, extents wanted, reserved.
type Header = ([u64; 2], [u32; 4]);
const HEADER_BYTES: u64 = 32;
/// `struct fiemap_extent`: logical, physical, length, two reserved; flags and three reserved as pairs of words.
type Extent = [u64; 7];
const EXTENT_BYTES: u64 = 56;
/// More cannot be asked for (`FIEMAP_MAX_EXTENTS`).
const MAX_EXTENTS: u64 = (u32::MAX as u64 - HEADER_BYTES) / EXTENT_BYTES;
/// `FIEMAP_FLAG_*`: write the file back first; the only one that is served by all file systems.
const FLAG_SYNC: u32 = 1 << 0;
/// The file ends with it (`FIEMAP_EXTENT_LAST`).
const EXTENT_LAST: u64 = 1 << 0;
/// Files are told of in blocks.
const BLOCK_BYTES: u64 = 4096;
/// File systems whose files have extents.
const WITH_EXTENTS: [&str; 4] = ["overlay", "ext2", "ext3", "ext4"];

/// Tells of `description` at `place`.
///
/// # Errors
/// EOPNOTSUPP: the file system has none. EINVAL, EFAULT; EBADR: unknown flags, which are written back.
pub(super) fn tell(
    task: &mut CurrentTask,
    description: &FileDescription,
    place: VirtualAddress,
) -> Result<usize, Errno> {
    let has_extents = description.is_regular()
        && description
            .path()
            .is_some_and(|path| WITH_EXTENTS.contains(&path.mount.file_system().type_name()));
    if !has_extents {
        return Err(Errno::EOPNOTSUPP);
    }
    let ([start, len_bytes], [flags, _, wanted, reserved]) = read_header(task, place)?;
    if u64::from(wanted) > MAX_EXTENTS {
        return Err(Errno::EINVAL);
    }
    if len_bytes == 0 || start > i64::MAX.cast_unsigned() {
        return Err(if len_bytes == 0 { Errno::EINVAL } else { Errno::EFBIG });
    }
    if flags & !FLAG_SYNC != 0 {
        let unknown = ([start, len_bytes], [flags & !FLAG_SYNC, 0, wanted, reserved]);
        write_header(task, place, unknown)?;
        return Err(Errno::EBADR);
    }
    if flags & FLAG_SYNC != 0 {
        description.file().sync()?;
    }
    let range = start..start.saturating_add(len_bytes);
    let mapped = tell_extents(task, description, range, (place, wanted))?;
    write_header(task, place, ([start, len_bytes], [flags, mapped, wanted, reserved]))?;
    Ok(0)
}

fn read_header(task: &CurrentTask, place: VirtualAddress) -> Result<Header, Errno> {
    let words = task.memory().read_object(place)?;
    let numbers = task.memory().read_object(place.checked_add(16).ok_or(Errno::EFAULT)?)?;
    Ok((words, numbers))
}

fn write_header(task: &CurrentTask, place: VirtualAddress, (words, numbers): Header) -> Result<(), Errno> {
    task.memory().write_object(place, &words)?;
    task.memory().write_object(place.checked_add(16).ok_or(Errno::EFAULT)?, &numbers)
}

/// Writes the extents of `range`, up to as many as are wanted; none is written if none is. Returns how many there are.
fn tell_extents(
    task: &mut CurrentTask,
    description: &FileDescription,
    range: std::ops::Range<u64>,
    (place, wanted): (VirtualAddress, u32),
) -> Result<u32, Errno> {
    let size = description.metadata()?.size_bytes;
    let mut told = 0;
    let mut next = next_data(description, range.start - range.start % BLOCK_BYTES)?;
    while let Some(start) = next
        && start < range.end
        && (wanted == 0 || told < wanted)
    {
        let end = description.file().seek_data_or_hole(start, false).unwrap_or(size).max(start + 1);
        next = next_data(description, end)?;
        let len_bytes = end.div_ceil(BLOCK_BYTES) * BLOCK_BYTES - start;
        let flags = if next.is_none() { EXTENT_LAST } else { 0 };
        let extent: Extent = [start, start, len_bytes, 0, 0, flags, 0];
        if wanted > 0 {
            let offset = HEADER_BYTES + u64::from(told) * EXTENT_BYTES;
            let target = place.checked_add(offset).ok_or(Errno::EFAULT)?;
            task.memory().write_object(target, &extent)?;
        }
        told += 1;
        task.keep_going()?;
    }
    Ok(told)
}

/// Where the first data from `offset` on is.
fn next_data(description: &FileDescription, offset: u64) -> Result<Option<u64>, Errno> {
    match description.file().seek_data_or_hole(offset, true) {
        Ok(start) => Ok(Some(start - start % BLOCK_BYTES)),
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error),
    }
}
