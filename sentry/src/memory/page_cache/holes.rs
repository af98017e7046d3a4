//! Holes in a file: making them, filling them, finding them.

use std::ops::Range;

use super::{MAX_ATTEMPTS, MAX_SIZE, PageCache, WRITE_PAGES, locate, pages_of};
use crate::Errno;
use crate::memory::MemoryAccount;
use crate::memory::allocator::zero;
use crate::memory::frame::FrameBatch;
use crate::pace::Pace;
use crate::platform::{PAGE_SHIFT, PAGE_SIZE};

/// Pages that are removed in one step.
const PUNCH_PAGES: usize = 4096;

impl PageCache {
    /// Makes the range read as zero, and frees its pages, some at a time. The size stays (`man 2 fallocate`).
    ///
    /// # Errors
    /// The source's, the budget's or ENOMEM; EINTR from `pace`, with the beginning of the range done.
    pub fn punch_hole(&self, offset: u64, len_bytes: u64, pace: &dyn Pace) -> Result<(), Errno> {
        let _writing = self.begin_write();
        let size = self.size();
        let mut end = offset.saturating_add(len_bytes);
        if end >= size {
            end = size.next_multiple_of(PAGE_SIZE);
        }
        if offset >= end {
            return Ok(());
        }
        let inner = pages_of(offset)..(end >> PAGE_SHIFT);
        let head = offset..end.min((offset | (PAGE_SIZE - 1)) + 1);
        let tail = (end & !(PAGE_SIZE - 1)).max(offset)..end;
        for edge in [head, tail] {
            if !edge.start.is_multiple_of(PAGE_SIZE) || !edge.end.is_multiple_of(PAGE_SIZE) {
                self.zero_edge(edge)?;
            }
        }
        if !inner.is_empty() {
            self.punch_pages(inner, pace)?;
        }
        Ok(())
    }

    /// Makes sure that the range has pages, for which `payer` pays, growing nothing (`man 2 fallocate`). What cannot
    /// fit is refused at once.
    ///
    /// # Errors
    /// ENOSPC: there is not so much memory, or the budget's. ENOMEM: `payer`'s. EINTR: `is_interrupted` says so.
    pub fn allocate(
        &self,
        offset: u64,
        len_bytes: u64,
        payer: Option<&MemoryAccount>,
        is_interrupted: &dyn Fn() -> bool,
    ) -> Result<(), Errno> {
        let end = offset.checked_add(len_bytes).filter(|&end| end <= MAX_SIZE).ok_or(Errno::EFBIG)?;
        let mut next = offset >> PAGE_SHIFT;
        self.check_room(next..pages_of(end))?;
        while next < pages_of(end) {
            if is_interrupted() {
                return Err(Errno::EINTR);
            }
            let until = pages_of(end).min(next + WRITE_PAGES);
            let mut state = self.state.write();
            let first = next.max(pages_of(state.source_end)).min(until);
            self.insert_zeroes(&mut state, first..until, payer)?;
            next = until;
        }
        Ok(())
    }

    /// Fails if the pages that `pages` lacks are more than there can be now.
    fn check_room(&self, pages: Range<u64>) -> Result<(), Errno> {
        let state = self.state.read();
        let own = pages.start.max(pages_of(state.source_end)).min(pages.end)..pages.end;
        let present = state.pages.range(own.clone()).count() as u64;
        let absent = own.end.saturating_sub(own.start + present);
        if absent > self.frames.available_frames() {
            return Err(Errno::ENOSPC);
        }
        self.charge(absent)?;
        self.uncharge(absent);
        Ok(())
    }

    /// The first byte at or after `offset` that is data (SEEK_DATA); `None` if only a hole follows.
    pub fn next_data(&self, offset: u64) -> Option<u64> {
        let state = self.state.read();
        if offset >= state.size {
            return None;
        }
        if offset < state.source_end {
            return Some(offset);
        }
        let (page, _) = state.pages.range(offset >> PAGE_SHIFT..u64::MAX >> PAGE_SHIFT).next()?;
        Some(offset.max(page << PAGE_SHIFT)).filter(|&data| data < state.size)
    }

    /// The first byte at or after `offset` that is a hole, the end of the file being one (SEEK_HOLE); `None` if
    /// `offset` is past the end.
    pub fn next_hole(&self, offset: u64) -> Option<u64> {
        let state = self.state.read();
        if offset >= state.size {
            return None;
        }
        let mut page = offset.max(state.source_end) >> PAGE_SHIFT;
        if offset < state.source_end {
            page = pages_of(state.source_end);
        }
        for (present, _) in state.pages.range(page..u64::MAX >> PAGE_SHIFT) {
            if present != page {
                break;
            }
            page += 1;
        }
        Some(offset.max(page << PAGE_SHIFT).min(state.size))
    }

    /// Zeroes a part of one page.
    pub(super) fn zero_edge(&self, edge: Range<u64>) -> Result<(), Errno> {
        let (page, within) = locate(edge.start);
        for _ in 0..MAX_ATTEMPTS {
            let mut state = self.state.write();
            if let Some(entry) = state.pages.get(page) {
                self.mark_changed(&mut state, page, entry)?;
                let len_bytes = (edge.end - edge.start) as usize;
                let slice = self.frames.slice(entry.number(), PAGE_SIZE as usize);
                if let Ok(part) = slice.subslice(within, len_bytes) {
                    zero(&part);
                }
                return Ok(());
            }
            if page >= pages_of(state.source_end) {
                return Ok(());
            }
            drop(state);
            self.populate(page, page..page + 1, None)?;
        }
        Err(Errno::ENOMEM)
    }

    fn punch_pages(&self, pages: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        let mut next = pages.start;
        while next < pages.end {
            let (removed, end) = self.punch_step(next..pages.end)?;
            self.unmap_at_pace(next..end, false, pace);
            drop(removed);
            next = end;
            pace.keep_going()?;
        }
        Ok(())
    }

    /// Takes out the first of `pages`. Returns them, and where they end.
    fn punch_step(&self, pages: Range<u64>) -> Result<(FrameBatch, u64), Errno> {
        let mut state = self.state.write();
        let source_pages = pages_of(state.source_end);
        let end = if pages.start < source_pages {
            pages.end.min(source_pages).min(pages.start + WRITE_PAGES)
        } else {
            let beyond = state.pages.range(pages.clone()).nth(PUNCH_PAGES);
            beyond.map_or(pages.end, |(page, _)| page)
        };
        state.generation += 1;
        let removed = self.remove(&mut state, pages.start..end, |_, _| true);
        if pages.start < source_pages {
            // There a hole must be a page of zeroes: an absent page would be fetched again.
            self.insert_zeroes(&mut state, pages.start..end, None)?;
        }
        Ok((removed, end))
    }
}
