//! Files of huge pages: their pages come from the pool, and whole ones at a time.

use std::ops::Range;
use std::sync::Arc;

use super::{PageCache, State, pages_of};
use crate::Errno;
use crate::memory::frame::FrameBatch;
use crate::memory::huge_pages::{HUGE_PAGE_BYTES, HUGE_PAGES, HugeReservation, HugeStore};
use crate::memory::table::{Entry, EntryFlags};
use crate::pace::Pace;
use crate::platform::PAGE_SIZE;

impl PageCache {
    /// Whether its pages are huge ones.
    pub fn is_huge(&self) -> bool {
        self.huge.is_some()
    }

    /// Whether the file ends before page `index`.
    pub(in crate::memory) fn ends_before(&self, index: u64) -> bool {
        index >= pages_of(self.state.read().size)
    }

    /// Promises the huge pages of `pages` to the file, if it is of these.
    ///
    /// # Errors
    /// ENOMEM: there are not so many.
    pub fn reserve_huge(&self, pages: Range<u64>) -> Result<(), Errno> {
        let Some(store) = &self.huge else { return Ok(()) };
        let state = self.state.read();
        store.reserve(huge_pages_of(&pages), |page| state.pages.get(page * HUGE_PAGES).is_some())
    }

    /// Promises `promised` to a private mapping. What it needs beside is taken as it is needed.
    ///
    /// # Errors
    /// ENOMEM: there are not so many.
    pub(in crate::memory) fn reserve_privately(
        &self,
        promised: Range<u64>,
    ) -> Result<Option<Arc<HugeReservation>>, Errno> {
        self.huge.as_ref().map(|store| store.private(huge_pages_of(&promised))).transpose()
    }

    /// Has the file be `size` bytes long at least.
    pub(in crate::memory) fn grow_to(&self, size: u64) {
        let mut state = self.state.write();
        state.size = state.size.max(size);
    }

    /// Makes sure that a range of a file of huge pages has them, growing nothing (`man 2 fallocate`).
    ///
    /// # Errors
    /// ENOSPC: there are not so many; EINTR from `pace`.
    pub fn allocate_huge(&self, bytes: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        let Some(store) = &self.huge else { return Err(Errno::EOPNOTSUPP) };
        for page in bytes.start / HUGE_PAGE_BYTES..bytes.end.div_ceil(HUGE_PAGE_BYTES) {
            pace.keep_going()?;
            self.insert_huge(store, &mut self.state.write(), page * HUGE_PAGES)?;
        }
        Ok(())
    }

    /// Frees the huge pages that lie within `bytes`, and makes zeroes of the rest.
    ///
    /// # Errors
    /// EINTR from `pace`.
    pub fn punch_huge(&self, bytes: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        let inner =
            bytes.start.next_multiple_of(HUGE_PAGE_BYTES)..bytes.end / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
        if inner.start >= inner.end {
            return self.zero_range(bytes, pace);
        }
        self.zero_range(bytes.start..inner.start, pace)?;
        self.zero_range(inner.end..bytes.end, pace)?;
        self.punch_hole(inner.start, inner.end - inner.start, pace)
    }

    /// Zeroes what is there of less than two huge pages, or within one.
    fn zero_range(&self, bytes: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        let mut next = bytes.start;
        while next < bytes.end.min(self.size()) {
            pace.keep_going()?;
            let end = bytes.end.min((next | (PAGE_SIZE - 1)) + 1);
            self.zero_edge(next..end)?;
            next = end;
        }
        Ok(())
    }

    /// Brings the huge page of page `index` in, if it is absent.
    pub(super) fn insert_huge(&self, store: &HugeStore, state: &mut State, index: u64) -> Result<(), Errno> {
        if state.pages.get(index).is_some() {
            return Ok(());
        }
        let (first, mut displaced) = (index - index % HUGE_PAGES, FrameBatch::new(&self.frames));
        for (page, number) in (first..).zip(store.take(index / HUGE_PAGES)?) {
            state.pages.insert(page, Entry::new(number, EntryFlags::DIRTY), &mut displaced);
        }
        Ok(())
    }

    /// Small pages have left the cache.
    pub(super) fn give_back_huge(&self, pages: u64) {
        if let Some(store) = &self.huge {
            store.give_back(pages / HUGE_PAGES);
        }
    }

    /// Nothing is promised to the file beyond `size` bytes any more.
    pub(super) fn cut_reservation(&self, size: u64) {
        if let Some(store) = &self.huge {
            store.cut(size.div_ceil(HUGE_PAGE_BYTES));
        }
    }
}

/// The huge pages that `pages` are of.
fn huge_pages_of(pages: &Range<u64>) -> Range<u64> {
    pages.start / HUGE_PAGES..pages.end.div_ceil(HUGE_PAGES)
}
