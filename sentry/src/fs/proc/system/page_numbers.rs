//! /proc/kpagecount, kpageflags and kpagecgroup: what is known of each frame by its number, eight bytes each
//! (`Documentation/admin-guide/mm/pagemap.rst`). Numbers of frames are shown to nobody, so that there is none to ask about.

use std::any::Any;
use std::sync::Arc;

use crate::Errno;
use crate::fs::proc::About;
use crate::fs::{File, Metadata, Viewer};
use crate::platform::PAGE_SIZE;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 8;
/// Of kpageflags: there is no such frame (`KPF_NOPAGE`).
const NO_PAGE: u64 = 1 << 20;

/// Opens a file that tells this of every frame.
fn open(about: &About, metadata: Metadata, entry: u64) -> Arc<dyn File> {
    let frames = about.source().system().memory_bytes / PAGE_SIZE;
    Arc::new(PageNumbers { frames, entry, metadata })
}

/// How often each is mapped.
pub(super) fn counts(about: &About, _viewer: &Viewer, metadata: Metadata) -> Result<Arc<dyn File>, Errno> {
    Ok(open(about, metadata, 0))
}

/// What each is.
pub(super) fn flags(about: &About, _viewer: &Viewer, metadata: Metadata) -> Result<Arc<dyn File>, Errno> {
    Ok(open(about, metadata, NO_PAGE))
}

struct PageNumbers {
    frames: u64,
    entry: u64,
    metadata: Metadata,
}

impl File for PageNumbers {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if !offset.is_multiple_of(ENTRY_BYTES as u64) || !buffer.len().is_multiple_of(ENTRY_BYTES) {
            return Err(Errno::EINVAL);
        }
        let left = self.frames.saturating_sub(offset / ENTRY_BYTES as u64);
        let count = usize::try_from(left).unwrap_or(usize::MAX);
        let mut done = 0;
        for place in buffer.chunks_exact_mut(ENTRY_BYTES).take(count) {
            place.copy_from_slice(&self.entry.to_ne_bytes());
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
