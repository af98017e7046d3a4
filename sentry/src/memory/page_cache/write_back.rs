//! Caches whose source takes changes back: a host file that the guest maps shared and writes.
//!
//! Such a file is read and written on the host, past the cache; the cache holds what is mapped. So what a mapping has
//! changed is written back before somebody else looks, and what somebody else has changed is fetched anew.

use std::ops::Range;

use super::{PageCache, locate, pages_of};
use crate::Errno;
use crate::memory::frame::{Frame, FrameNumber};
use crate::memory::table::EntryFlags;
use crate::pace::{Pace, Unhurried};
use crate::platform::{PAGE_SHIFT, PAGE_SIZE};

/// Pages that are written back in one step.
const BATCH_PAGES: usize = 64;

impl PageCache {
    /// Whether there may be something to write back.
    pub fn has_changes(&self) -> bool {
        self.state.read().pages.marked_len() > 0
    }

    /// Whether what mappings change goes back to the source.
    pub(in crate::memory) fn takes_changes(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.takes_changes())
    }

    /// A mapping is about to write page `index`, which is in `frame` to its knowledge. Returns whether it is, and counts it as
    /// changed then.
    ///
    /// # Errors
    /// The budget's.
    pub(in crate::memory) fn note_write(&self, index: u64, frame: FrameNumber) -> Result<bool, Errno> {
        let mut state = self.state.write();
        match state.pages.get(index) {
            Some(entry) if entry.number() == frame => {
                self.mark_changed(&mut state, index, entry)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Writes back what mappings have changed of `bytes`, and has them show what others have changed (msync(2)). Called with no
    /// lock held.
    ///
    /// # Errors
    /// As [`Self::write_back`]; EINTR from `pace`: not all has been written back.
    pub fn synchronise(&self, bytes: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        self.write_changed(bytes.clone(), true, pace)?;
        if let Some(size) = self.source.as_ref().and_then(|source| source.current_size()) {
            self.source_changed(bytes, size);
        }
        Ok(())
    }

    /// Writes what mappings have changed of `bytes` back to the source, some pages at a time, and goes on until all is written. Called
    /// with no lock held.
    ///
    /// # Errors
    /// The source's first; what could not be written is lost, as on Linux. EINTR from `pace`: what is left still counts as changed.
    pub fn write_back(&self, bytes: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        self.write_changed(bytes, true, pace)
    }

    /// The last mapping that could write is gone: nobody has the pages mapped for writing.
    pub(super) fn write_back_unmapped(&self) {
        if let Some(source) = &self.source
            && source.takes_changes()
            && let Err(error) = self.write_changed(0..u64::MAX, false, &Unhurried)
        {
            log::warn!("what a mapping changed could not be written to the host: {error}");
        }
    }

    fn write_changed(&self, bytes: Range<u64>, may_be_mapped: bool, pace: &dyn Pace) -> Result<(), Errno> {
        let Some(source) = self.source.as_ref().filter(|source| source.takes_changes()) else {
            return Ok(());
        };
        let mut pages = bytes.start >> PAGE_SHIFT..pages_of(bytes.end);
        let mut result = Ok(());
        loop {
            let (changed, size) = self.take_changed(pages.clone());
            let (Some(&(first, _)), Some(&(last, _))) = (changed.first(), changed.last()) else {
                return result;
            };
            if may_be_mapped {
                // From here on a write through a mapping faults, and counts the page as changed again.
                self.unmap(first..last + 1, false);
            }
            for (page, frame) in &changed {
                let start = page << PAGE_SHIFT;
                let len = size.saturating_sub(start).min(PAGE_SIZE) as usize;
                let slice = frame.slice();
                let written = slice.subslice(0, len).map_err(|_| Errno::EIO);
                result = result.and(written.and_then(|slice| source.take_back(start, slice)));
            }
            pages.start = last + 1;
            pace.keep_going()?;
        }
    }

    /// The first changed pages of `pages`, which count as unchanged now, and the size of the file.
    fn take_changed(&self, pages: Range<u64>) -> (Vec<(u64, Frame)>, u64) {
        let mut state = self.state.write();
        let changed: Vec<_> = state
            .pages
            .range(pages)
            .filter(|(_, entry)| entry.has(EntryFlags::DIRTY))
            .take(BATCH_PAGES)
            .map(|(page, entry)| {
                self.frames.retain(entry.number());
                (page, Frame::adopt(self.frames.clone(), entry.number()))
            })
            .collect();
        for (page, _) in &changed {
            state.pages.set_flags(*page, EntryFlags::empty());
        }
        self.uncharge(changed.len() as u64);
        (changed, state.size)
    }

    /// Somebody has changed `bytes` of the source, which has `size` bytes now: what the cache knows of them is forgotten.
    /// What mappings have changed there is to be written back before.
    pub fn source_changed(&self, bytes: Range<u64>, size: u64) {
        let (removed, cut, forgotten) = {
            let mut state = self.state.write();
            let old_size = std::mem::replace(&mut state.size, size);
            state.source_end = size;
            state.generation += 1;
            // The page in which the file ended has more to tell, or less.
            let (edge, _) = locate(old_size.min(size));
            let mut forgotten = bytes.start >> PAGE_SHIFT..pages_of(bytes.end);
            if old_size != size {
                forgotten = forgotten.start.min(edge)..forgotten.end.max(edge + 1);
            }
            let cut = if size < old_size { pages_of(size)..u64::MAX } else { 0..0 };
            let removed = [&forgotten, &cut].map(|pages| self.remove(&mut state, pages.clone(), |_, _| true));
            (removed, cut, forgotten)
        };
        self.unmap(forgotten, false);
        if !cut.is_empty() {
            self.unmap(cut, true);
        }
        drop(removed);
    }
}
