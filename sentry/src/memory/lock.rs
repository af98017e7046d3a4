//! Memory that stays in memory: mlock(2) and its kin.
//!
//! Nothing is ever swapped out, so a lock brings pages in, keeps madvise(2) from dropping them, and counts.

use std::ops::Range;

use super::fault::FaultError;
use super::manager::MemoryManager;
use super::map::wrapping_pages;
use super::mapping::{MappingFlags, intersect};
use super::unmapped_area::END_PAGE;
use crate::Errno;
use crate::pace::Pace;
use crate::platform::{PAGE_SHIFT, PAGE_SIZE, VirtualAddress};

impl MemoryManager {
    /// Locks a range, which need not begin at a page. `on_fault`: pages come in when touched (`man 2 mlock2`).
    ///
    /// # Errors
    /// ENOMEM: over RLIMIT_MEMLOCK, or something is not mapped or may not be touched; EAGAIN: there is not so much memory;
    /// EPERM: the limit is 0; EINVAL.
    pub fn mlock(
        &self,
        address: VirtualAddress,
        len_bytes: u64,
        on_fault: bool,
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        let set = lock_flags(on_fault);
        let (pages, covered) = {
            let edit = self.edit();
            check_permitted(edit.state.limits.locked_bytes)?;
            let pages = edit.with_whole_huge_pages(enclosing_pages(address, len_bytes)?);
            let mappings = &edit.state.mappings;
            let already: u64 = mappings
                .overlapping(pages.clone())
                .filter(|mapping| mapping.flags.contains(MappingFlags::LOCKED))
                .map(|mapping| intersect(&mapping.pages, &pages))
                .map(|part| part.end - part.start)
                .sum();
            let total = mappings.locked_pages() + (pages.end - pages.start) - already;
            let covered = mappings.covered_until(pages.clone());
            let has_room = mappings.has_room(pages.clone(), 0);
            if total.saturating_mul(PAGE_SIZE) > edit.state.limits.locked_bytes || !has_room {
                return Err(Errno::ENOMEM);
            }
            if !on_fault && edit.state.absent_pages(&pages) > self.frames().available_frames() {
                return Err(Errno::EAGAIN);
            }
            (pages, covered)
        };
        self.update_in_steps(pages.start..covered, pace, |mapping| change(&mut mapping.flags, set))?;
        if covered < pages.end {
            return Err(Errno::ENOMEM);
        }
        if on_fault {
            return Ok(());
        }
        self.populate(pages, None, pace).map_err(|error| match error {
            FaultError::OutOfMemory => Errno::EAGAIN,
            _ => Errno::ENOMEM,
        })
    }

    /// Unlocks a range (`man 2 munlock`).
    ///
    /// # Errors
    /// ENOMEM if something is not mapped; EINVAL; EINTR from `pace`.
    pub fn munlock(&self, address: VirtualAddress, len_bytes: u64, pace: &dyn Pace) -> Result<(), Errno> {
        let (pages, covered) = {
            let edit = self.edit();
            let pages = edit.with_whole_huge_pages(enclosing_pages(address, len_bytes)?);
            if !edit.state.mappings.has_room(pages.clone(), 0) {
                return Err(Errno::ENOMEM);
            }
            let covered = edit.state.mappings.covered_until(pages.clone());
            (pages, covered)
        };
        let none = MappingFlags::empty();
        self.update_in_steps(pages.start..covered, pace, |mapping| change(&mut mapping.flags, none))?;
        if covered < pages.end { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Locks all that is mapped now (`current`), and what will be (`future`) (`man 2 mlockall`).
    ///
    /// # Errors
    /// ENOMEM: over RLIMIT_MEMLOCK; EPERM: the limit is 0.
    pub fn mlockall(
        &self,
        current: bool,
        future: bool,
        on_fault: bool,
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        let set = lock_flags(on_fault);
        {
            let mut edit = self.edit();
            check_permitted(edit.state.limits.locked_bytes)?;
            let total_bytes = edit.state.mappings.total_pages() << PAGE_SHIFT;
            if current && total_bytes > edit.state.limits.locked_bytes {
                return Err(Errno::ENOMEM);
            }
            edit.state.future_locks = if future { set } else { MappingFlags::empty() };
        }
        if !current {
            return Ok(());
        }
        self.update_in_steps(0..END_PAGE, pace, |mapping| change(&mut mapping.flags, set))?;
        if on_fault { Ok(()) } else { self.populate_all(pace) }
    }

    /// Brings in what there is room for of all that is mapped. What cannot be had now is no error (`man 2 mlockall` names none
    /// for it).
    fn populate_all(&self, pace: &dyn Pace) -> Result<(), Errno> {
        let mut next = 0;
        loop {
            let found = self.state().read().mappings.at_or_after(next).map(|mapping| mapping.pages.clone());
            let Some(pages) = found else { return Ok(()) };
            next = pages.end;
            self.populate_if_there_is_room(pages, pace);
            pace.keep_going()?;
        }
    }

    /// Unlocks everything, and what will be mapped (`man 2 munlockall`).
    ///
    /// # Errors
    /// ENOMEM: a thread has meanwhile made so many mappings that none can be cut; EINTR from `pace`.
    pub fn munlockall(&self, pace: &dyn Pace) -> Result<(), Errno> {
        let none = MappingFlags::empty();
        self.edit().state.future_locks = none;
        self.update_in_steps(0..END_PAGE, pace, |mapping| change(&mut mapping.flags, none))
    }
}

fn lock_flags(on_fault: bool) -> MappingFlags {
    let mut flags = MappingFlags::LOCKED;
    flags.set(MappingFlags::LOCKONFAULT, on_fault);
    flags
}

fn change(flags: &mut MappingFlags, set: MappingFlags) {
    if flags.contains(MappingFlags::DROPPABLE) {
        // Never kept in memory: it is no error to ask.
        return;
    }
    *flags = (*flags - (MappingFlags::LOCKED | MappingFlags::LOCKONFAULT)) | set;
}

fn check_permitted(locked_bytes: u64) -> Result<(), Errno> {
    if locked_bytes == 0 { Err(Errno::EPERM) } else { Ok(()) }
}

/// All pages that a range touches. As on Linux a length that is too large to be rounded up is 0.
fn enclosing_pages(address: VirtualAddress, len_bytes: u64) -> Result<Range<u64>, Errno> {
    wrapping_pages(address.page_down(), len_bytes.wrapping_add(address.page_offset())).ok_or(Errno::EINVAL)
}
