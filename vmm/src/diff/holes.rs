//! Which parts of a file are no holes.

use sentry::Errno;
use sentry::fs::{File, Metadata};

use crate::image::tar::{Extent, MAX_EXTENTS};

const BLOCK_LEN: usize = 4096;
const BUFFER_LEN: usize = 64 * BLOCK_LEN;
/// The unit of what stat(2) tells of storage.
const SECTOR_LEN: u64 = 512;

/// The parts of `file` that are no holes; `None` for all of it.
///
/// # Errors
/// Those of reading it.
pub(super) fn extents(file: &dyn File, metadata: &Metadata) -> Result<Option<Vec<Extent>>, Errno> {
    let size = metadata.size_bytes;
    if metadata.blocks.saturating_mul(SECTOR_LEN) >= size {
        return Ok(None);
    }
    let mut parts = Parts { found: Vec::new(), size };
    let mut offset = 0;
    while let Some((start, end)) = next_part(file, offset)? {
        // A layer does not tell of holes.
        match end - start == size {
            true => find_zeros(file, size, &mut parts)?,
            false => parts.add(start, end),
        }
        offset = end;
    }
    Ok(Some(parts.found))
}

/// The first part with data from `offset` on.
fn next_part(file: &dyn File, offset: u64) -> Result<Option<(u64, u64)>, Errno> {
    match file.seek_data_or_hole(offset, true) {
        Ok(start) => Ok(Some((start, file.seek_data_or_hole(start, false)?))),
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes blocks of zeros for holes.
fn find_zeros(file: &dyn File, size: u64, parts: &mut Parts) -> Result<(), Errno> {
    let mut buffer = vec![0; BUFFER_LEN];
    let mut offset = 0;
    while offset < size {
        let len = read_full(file, &mut buffer, offset)?;
        if len == 0 {
            break;
        }
        for block in buffer.get(..len).unwrap_or_default().chunks(BLOCK_LEN) {
            let end = offset + block.len() as u64;
            if block.iter().any(|byte| *byte != 0) {
                parts.add(offset, end);
            }
            offset = end;
        }
    }
    Ok(())
}

/// Fills `buffer` as far as the file goes.
fn read_full(file: &dyn File, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

struct Parts {
    found: Vec<Extent>,
    size: u64,
}

impl Parts {
    /// Adds a part behind the others. Past as many as an archive may have, all the rest is one.
    fn add(&mut self, start: u64, end: u64) {
        let is_last = self.found.len() + 1 == MAX_EXTENTS - 1;
        match self.found.last_mut() {
            Some(last) if last.offset + last.len >= start => {
                last.len = (last.offset + last.len).max(end) - last.offset;
            }
            _ => {
                self.found.push(Extent { offset: start, len: if is_last { self.size } else { end } - start })
            }
        }
    }
}
