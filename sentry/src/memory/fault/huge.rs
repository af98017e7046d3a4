//! Faults in mappings of huge pages: the whole page comes in, and from the pool.

use std::ops::Range;

use super::{FaultError, FaultKind, Filler, Outcome, Presence, Touch};
use crate::Errno;
use crate::memory::frame::FrameNumber;
use crate::memory::huge_pages::HUGE_PAGES;
use crate::memory::mapping::intersect;
use crate::memory::table::{Entry, EntryFlags};

impl Filler<'_> {
    /// Brings in the huge page of `page`, and maps it. That there is none is no want of memory: who touches it gets SIGBUS.
    pub(super) fn bring_in_huge(&mut self, page: u64, touch: &Touch) -> Result<Outcome, FaultError> {
        let start = page - page % HUGE_PAGES;
        let block = intersect(&(start..start + HUGE_PAGES), &self.mapping.pages);
        let mut kind = FaultKind::Resident;
        if self.pages.get(page).is_none() {
            kind = self.fill_huge(page, &block)?;
        }
        if let Some(entry) = self.pages.get(page)
            && !touch.is_served_by(self.mapping, entry)
            && !self.mapping.is_shared()
        {
            self.own_huge(page, &block)?;
            kind = FaultKind::Copied;
        }
        self.map(block)?;
        Ok(Outcome::Mapped(kind))
    }

    fn fill_huge(&mut self, page: u64, block: &Range<u64>) -> Result<FaultKind, FaultError> {
        let Some((cache, index)) = self.mapping.cached(page) else { return Err(FaultError::Unmapped) };
        if cache.ends_before(index) {
            return Err(FaultError::PastEnd);
        }
        if !self.mapping.is_shared() && !cache.is_resident(index) {
            let numbers = self.take_huge(index)?;
            self.own(block, numbers);
            return Ok(FaultKind::Zeroed);
        }
        match cache.prepare(index, index..index + 1, None).map_err(FaultError::Io)? {
            Presence::PastEnd => return Err(FaultError::PastEnd),
            Presence::Ready | Presence::InSource => {}
        }
        self.install_cached(block).map_err(FaultError::Io)?;
        Ok(FaultKind::Shared)
    }

    /// Makes the huge page of `page` the mapping's own.
    fn own_huge(&mut self, page: u64, block: &Range<u64>) -> Result<(), FaultError> {
        let entries: Vec<_> = self.pages.range(block.clone()).collect();
        let is_own =
            |entry: &Entry| entry.has(EntryFlags::PRIVATE) && self.frames.is_exclusive(entry.number());
        if entries.iter().all(|(_, entry)| is_own(entry)) {
            for (number, _) in entries {
                self.pages.set_flags(number, EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE);
            }
            return Ok(());
        }
        let Some((_, index)) = self.mapping.cached(page) else { return Err(FaultError::Unmapped) };
        let numbers = self.take_huge(index)?;
        let start = block.start - block.start % HUGE_PAGES;
        for (number, entry) in entries {
            if let Some(copy) = numbers.get((number - start) as usize) {
                self.frames.copy(entry.number(), *copy);
            }
        }
        self.own(block, numbers);
        Ok(())
    }

    fn take_huge(&self, index: u64) -> Result<Vec<FrameNumber>, FaultError> {
        let reservation = self.mapping.reservation.as_ref().ok_or(FaultError::Io(Errno::ENOSPC))?;
        reservation.take(index / HUGE_PAGES).map_err(FaultError::Io)
    }

    /// Has `block` show the frames of a huge page, which are the mapping's own.
    fn own(&mut self, block: &Range<u64>, numbers: Vec<FrameNumber>) {
        let start = block.start - block.start % HUGE_PAGES;
        for (page, number) in (start..).zip(numbers) {
            if block.contains(&page) {
                let entry = Entry::new(number, EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE);
                self.pages.insert(page, entry, self.displaced);
            } else {
                self.displaced.push(number);
            }
        }
    }
}
