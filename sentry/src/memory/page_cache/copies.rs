//! Pages of which user code is shown copies (see [`MemoryManager::rewrite_call`](crate::memory::MemoryManager::rewrite_call)).
//!
//! A copy is right for as long as nobody writes to the file. So who is about to write has all of them taken back first, and
//! there are none meanwhile. So it is with [the host's own pages](super::host_pages).

use super::PageCache;

/// Who may show copies.
#[derive(Default)]
pub(super) struct Copies {
    /// How many are writing.
    writers: usize,
    /// Mappers show some.
    are_shown: bool,
}

/// Somebody writes to the file, for as long as this lives.
pub(super) struct Writing<'a>(&'a PageCache);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.copies.lock().writers -= 1;
    }
}

impl Copies {
    /// Mappers show something that they must not once somebody writes.
    pub(super) fn note_shown(&mut self) {
        self.are_shown = true;
    }

    /// Whether mappers may show such.
    pub(super) fn are_shown(&self) -> bool {
        self.are_shown
    }
}

impl PageCache {
    /// Whether copies of pages may be shown from now on. With the mapper's lock held, until they are.
    pub(in crate::memory) fn allows_copies(&self) -> bool {
        let mut copies = self.copies.lock();
        if copies.writers > 0 {
            return false;
        }
        // Whoever gets a mapping that may write asks afterwards whether there are copies.
        copies.are_shown = true;
        drop(copies);
        !self.has_writable_mappings()
    }

    /// Begins to write: no copies are shown until the value is dropped. With no lock of the memory room held.
    pub(super) fn begin_write(&self) -> Writing<'_> {
        self.copies.lock().writers += 1;
        self.keep_own_pages();
        self.take_back_copies();
        Writing(self)
    }

    /// Has all copies taken back. With no lock of the memory room held.
    pub(in crate::memory) fn take_back_copies(&self) {
        let were_shown = std::mem::take(&mut self.copies.lock().are_shown);
        if were_shown {
            self.unmap(0..u64::MAX, false);
        }
    }
}
