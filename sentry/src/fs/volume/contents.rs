//! The contents of a regular file: the host's descriptors by which they are read and written, and its mapped pages.

use std::ops::Range;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::handle::Handle;
use super::pages::{MappedHandles, VolumePages, size_of};
use super::status_of;
use crate::Errno;
use crate::fs::metadata::Timestamp;
use crate::fs::sleeper::UntilKilled;
use crate::memory::{FrameAllocator, PageCache};
use crate::pace::Unhurried;

/// How old a change must be for a later one to have another time stamp, on any of the host's file systems, in nanoseconds.
const STAMP_GRAIN_NS: i128 = 50_000_000;

/// What a node knows of its contents.
pub(super) struct Contents {
    frames: Arc<FrameAllocator>,
    open: Mutex<OpenHandles>,
    mapped: Arc<MappedHandles>,
    /// Once it has been mapped.
    cache: OnceLock<Arc<PageCache>>,
    /// What the file was like when the pages in the cache were fetched, if that can be told.
    stamp: Mutex<Option<Stamp>>,
}

/// The host's descriptors that are in use. Reads and writes name their positions, so that all who open the file here share them.
#[derive(Default)]
struct OpenHandles {
    readable: Weak<Handle>,
    writable: Weak<Handle>,
    /// One that is kept: of a file that cannot be opened again, or that was made just now.
    kept: Option<Arc<Handle>>,
}

/// Descriptors to read and to write with, as far as they were asked for.
#[derive(Clone, Default)]
pub(super) struct Opened {
    pub(super) readable: Option<Arc<Handle>>,
    pub(super) writable: Option<Arc<Handle>>,
}

/// When a file was last changed, and how long it was.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: (i64, u32),
    changed: (i64, u32),
}

impl Contents {
    pub(super) fn new(frames: &Arc<FrameAllocator>) -> Self {
        Self {
            frames: frames.clone(),
            open: Mutex::default(),
            mapped: Arc::default(),
            cache: OnceLock::new(),
            stamp: Mutex::default(),
        }
    }

    /// Keeps `handle`, which can be read, and written if `is_writable`.
    pub(super) fn keep(&self, handle: &Arc<Handle>, is_writable: bool) {
        let mut open = self.open.lock();
        open.kept = Some(handle.clone());
        open.readable = Arc::downgrade(handle);
        if is_writable {
            open.writable = Arc::downgrade(handle);
        }
    }

    /// No longer keeps what was kept of a new file.
    pub(super) fn let_go(&self) {
        let kept = self.open.lock().kept.take();
        drop(kept);
    }

    /// Descriptors to read and write with: those in use, else what `open` yields.
    ///
    /// # Errors
    /// Those of `open`.
    pub(super) fn open(
        &self,
        (reads, writes): (bool, bool),
        open: impl FnOnce() -> Result<Arc<Handle>, Errno>,
    ) -> Result<Opened, Errno> {
        let known = {
            let open = self.open.lock();
            Opened { readable: open.readable.upgrade(), writable: open.writable.upgrade() }
        };
        let opened = if reads && known.readable.is_none() || writes && known.writable.is_none() {
            let handle = open()?;
            let mut open = self.open.lock();
            if reads {
                open.readable = Arc::downgrade(&handle);
            }
            if writes {
                open.writable = Arc::downgrade(&handle);
            }
            Opened { readable: Some(handle.clone()), writable: Some(handle) }
        } else {
            known
        };
        let (readable, writable) = (opened.readable.filter(|_| reads), opened.writable.filter(|_| writes));
        Ok(Opened { readable, writable })
    }

    /// Any descriptor that is in use.
    pub(super) fn any_open(&self) -> Option<Arc<Handle>> {
        let open = self.open.lock();
        open.readable.upgrade().or_else(|| open.writable.upgrade())
    }

    /// Writes what mappings have changed of `bytes` to the host.
    pub(super) fn write_back(&self, bytes: Range<u64>) -> Result<(), Errno> {
        match self.cache.get() {
            Some(cache) if cache.has_changes() => cache.write_back(bytes, &UntilKilled),
            _ => Ok(()),
        }
    }

    /// Has mappings show what has become of `bytes`, which somebody here has written or cut off.
    pub(super) fn changed(&self, bytes: Range<u64>, handle: &Handle) {
        let Some(cache) = self.cache.get() else { return };
        if let Ok(size) = size_of(handle) {
            cache.source_changed(bytes, size);
        }
    }

    /// The host says that the file has `size` bytes: what is mapped beyond is gone.
    pub(super) fn notice_size(&self, size: u64) {
        if let Some(cache) = self.cache.get().filter(|cache| cache.size() != size) {
            cache.source_changed(0..0, size);
        }
    }

    /// Whether it has ever been mapped.
    pub(super) fn is_mapped(&self) -> bool {
        self.cache.get().is_some()
    }

    /// The pages for mappings, as the host's file is now unless somebody maps it already.
    pub(super) fn page_cache(&self, opened: &Opened) -> Result<Arc<PageCache>, Errno> {
        let readable = opened.readable.as_ref().ok_or(Errno::EACCES)?;
        let readable = self.mapped.readable.get_or_init(|| readable.clone());
        if let Some(writable) = &opened.writable {
            self.mapped.writable.get_or_init(|| writable.clone());
        }
        let (stamp, is_telling) = Stamp::of(readable)?;
        let make =
            || PageCache::new(&self.frames, Some(Box::new(VolumePages(self.mapped.clone()))), stamp.size);
        let cache = self.cache.get_or_init(make);
        let mut known = self.stamp.lock();
        if cache.mapping_count() == 0 && *known != Some(stamp) {
            cache.write_back(0..u64::MAX, &Unhurried)?;
            cache.source_changed(0..u64::MAX, stamp.size);
        } else if cache.size() != stamp.size {
            cache.source_changed(0..0, stamp.size);
        }
        *known = is_telling.then_some(stamp);
        Ok(cache.clone())
    }
}

impl Stamp {
    /// That of now, and whether each later change will show in it.
    fn of(handle: &Handle) -> Result<(Self, bool), Errno> {
        let status = status_of(handle)?;
        let modified = (status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec);
        let changed = (status.stx_ctime.tv_sec, status.stx_ctime.tv_nsec);
        let now = Timestamp::now();
        let ns = |(seconds, nanoseconds): (i64, u32)| {
            i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
        };
        let age_ns = ns((now.seconds, now.nanoseconds)) - ns(changed);
        Ok((Self { size: status.stx_size, modified, changed }, age_ns > STAMP_GRAIN_NS))
    }
}
