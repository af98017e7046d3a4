//! /proc/PID/pagemap: what is behind each page, eight bytes a page (Documentation/admin-guide/mm/pagemap.rst).

use std::any::Any;
use std::sync::{Arc, Weak};

use crate::Errno;
use crate::fs::proc::About;
use crate::fs::{File, Metadata, Viewer};
use crate::memory::{MemoryManager, PageState};
use crate::platform::{PAGE_SHIFT, VirtualAddress};

/// Bytes of an entry.
const ENTRY_BYTES: usize = 8;
/// Entries that one call makes at most.
const MAX_ENTRIES: usize = 4096;
/// The page is in memory.
const PRESENT: u64 = 1 << 63;
/// It is a file's, or shared anonymous memory.
const FILE_OR_SHARED: u64 = 1 << 61;
/// Only this process has it.
const EXCLUSIVE: u64 = 1 << 56;

/// Whoever may look into the process may; frame numbers are shown to nobody.
pub(super) fn open(about: &About, viewer: &Viewer, metadata: Metadata) -> Result<Arc<dyn File>, Errno> {
    let memory = about.process()?.address_space();
    about.inspect(viewer)?;
    let memory = memory.map_or_else(Weak::new, |memory| Arc::downgrade(&memory));
    Ok(Arc::new(PageMap { memory, metadata }))
}

struct PageMap {
    memory: Weak<MemoryManager>,
    metadata: Metadata,
}

fn entry(state: PageState) -> u64 {
    match state {
        PageState::Absent => 0,
        PageState::Own { is_exclusive: false } => PRESENT,
        PageState::Own { is_exclusive: true } => PRESENT | EXCLUSIVE,
        PageState::Cached => PRESENT | FILE_OR_SHARED,
    }
}

impl File for PageMap {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let Some(memory) = self.memory.upgrade() else { return Ok(0) };
        if !offset.is_multiple_of(ENTRY_BYTES as u64) || !buffer.len().is_multiple_of(ENTRY_BYTES) {
            return Err(Errno::EINVAL);
        }
        let first = offset / ENTRY_BYTES as u64;
        let end = VirtualAddress::USER_END.0 >> PAGE_SHIFT;
        let wanted = (buffer.len() / ENTRY_BYTES).min(MAX_ENTRIES) as u64;
        let count = end.saturating_sub(first).min(wanted);
        let states = memory.page_states(first..first.saturating_add(count));
        let mut done = 0;
        for (place, state) in buffer.chunks_exact_mut(ENTRY_BYTES).zip(states) {
            place.copy_from_slice(&entry(state).to_ne_bytes());
            done += ENTRY_BYTES;
        }
        Ok(done)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seeks_from_end(&self) -> bool {
        false
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.metadata)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
