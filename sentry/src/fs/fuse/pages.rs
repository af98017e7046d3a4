//! What mappings show of a file: read from the server, and written back to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use vm_memory::VolatileSlice;

use super::file::Handle;
use crate::Errno;
use crate::memory::{PageSource, fill_by_reads};
use crate::slices;

/// By what pages are read, and by what they are written.
#[derive(Default)]
struct Handles {
    reader: Option<Arc<Handle>>,
    writer: Option<Arc<Handle>>,
}

/// The pages of a file.
pub(super) struct Pages {
    handles: Mutex<Handles>,
    size: AtomicU64,
}

impl Pages {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { handles: Mutex::default(), size: AtomicU64::new(0) })
    }

    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    pub(super) fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Relaxed);
    }

    /// Uses `handle` for what it is good for from now on.
    pub(super) fn use_handle(&self, handle: &Arc<Handle>) {
        let mut handles = self.handles.lock();
        let (mut old_reader, mut old_writer) = (None, None);
        if handle.reads() {
            old_reader = handles.reader.replace(handle.clone());
        }
        if handle.writes() {
            old_writer = handles.writer.replace(handle.clone());
        }
        drop(handles);
        drop((old_reader, old_writer));
    }
}

impl Pages {
    /// No longer uses any.
    pub(super) fn let_go(&self) {
        let handles = std::mem::take(&mut *self.handles.lock());
        drop(handles);
    }
}

impl PageSource for Arc<Pages> {
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
        let handle = self.handles.lock().reader.clone().ok_or(Errno::EIO)?;
        fill_by_reads(offset, destination, |portion, offset| handle.read_at(portion, offset)).map(drop)
    }

    fn takes_changes(&self) -> bool {
        self.handles.lock().writer.is_some()
    }

    /// What lies behind the end of the file by now is lost: a mapping never lets a file grow.
    fn take_back(&self, offset: u64, changed: VolatileSlice<'_>) -> Result<(), Errno> {
        let handle = self.handles.lock().writer.clone().ok_or(Errno::EROFS)?;
        let left = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; changed.len()];
        changed.copy_to(&mut bytes);
        bytes.truncate(left);
        let mut done = 0;
        while done < bytes.len() {
            match handle.write_at(slices::rest(&bytes, done)?, offset.saturating_add(done as u64), true)? {
                0 => return Err(Errno::EIO),
                written => done += written,
            }
        }
        Ok(())
    }

    fn current_size(&self) -> Option<u64> {
        Some(self.size())
    }
}
