//! Taking a range out of a file, or putting one in (FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE).
//!
//! What lies behind the range is moved, some at a time; holes stay holes.

use std::ops::Range;

use crate::Errno;
use crate::fs::Caller;
use crate::memory::PageCache;

/// Bytes that are moved at a time.
const STEP_BYTES: u64 = 64 * 1024;

/// Takes `range` out: what lies behind it comes to lie at its beginning.
///
/// # Errors
/// Those of reading and writing pages.
pub(super) fn collapse(cache: &PageCache, range: Range<u64>, caller: &dyn Caller) -> Result<(), Errno> {
    let (size, len_bytes) = (cache.size(), range.end - range.start);
    let mut source = range.end;
    while source < size {
        let end = source.saturating_add(STEP_BYTES).min(size);
        move_bytes(cache, source..end, source - len_bytes, caller)?;
        source = end;
        caller.keep_going()?;
    }
    cache.resize(size - len_bytes, caller)
}

/// Puts a hole in at `range`: what lies there comes to lie behind it.
///
/// # Errors
/// As [`collapse`].
pub(super) fn insert(cache: &PageCache, range: Range<u64>, caller: &dyn Caller) -> Result<(), Errno> {
    let (size, len_bytes) = (cache.size(), range.end - range.start);
    cache.resize(size + len_bytes, caller)?;
    let mut end = size;
    while end > range.start {
        let start = end.saturating_sub(STEP_BYTES).max(range.start);
        move_bytes(cache, start..end, start + len_bytes, caller)?;
        end = start;
        caller.keep_going()?;
    }
    cache.punch_hole(range.start, len_bytes, caller)
}

/// Has the bytes of `source` at `target`, too.
fn move_bytes(cache: &PageCache, source: Range<u64>, target: u64, caller: &dyn Caller) -> Result<(), Errno> {
    let len_bytes = source.end - source.start;
    if cache.next_data(source.start).is_none_or(|data| data >= source.end) {
        return cache.punch_hole(target, len_bytes, caller);
    }
    let mut buffer = vec![0; usize::try_from(len_bytes).map_err(|_| Errno::EFBIG)?];
    let payer = caller.memory().payer();
    let read = cache.read_at(&mut buffer, source.start, payer.as_ref())?;
    let mut done = 0;
    while let Some(rest) = buffer.get(done..read).filter(|rest| !rest.is_empty()) {
        match cache.write_at(rest, target + done as u64, payer.as_ref())? {
            0 => return Err(Errno::ENOSPC),
            written => done += written,
        }
    }
    Ok(())
}
