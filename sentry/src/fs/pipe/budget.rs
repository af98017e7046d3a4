//! How much all pipes of a kernel may hold.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Errno;

/// Segments of a new pipe: 64 KiB.
const DEFAULT_SEGMENTS: usize = 16;
/// Segments of a new pipe once [`PAGES_SOFT_LIMIT`] is reached.
const SCARCE_SEGMENTS: usize = 2;
/// /proc/sys/fs/pipe-user-pages-soft: beyond it new pipes are small and none grows.
pub const PAGES_SOFT_LIMIT: usize = 16384;

/// Beyond it there are no new pipes (/proc/sys/fs/pipe-user-pages-hard, which Linux leaves open): 256 MiB.
const PAGES_HARD_LIMIT: usize = 65536;

/// Segments that all pipes may fill.
#[derive(Debug, Default)]
pub(in crate::fs) struct PipeBudget(AtomicUsize);

impl PipeBudget {
    /// Reserves the segments of a new pipe, and says how many these are.
    pub(super) fn reserve(&self) -> usize {
        let is_scarce = self.0.load(Ordering::Relaxed) >= PAGES_SOFT_LIMIT;
        let segments = if is_scarce { SCARCE_SEGMENTS } else { DEFAULT_SEGMENTS };
        self.0.fetch_add(segments, Ordering::Relaxed);
        segments
    }

    /// Gives back the segments of a pipe.
    pub(super) fn release(&self, segments: usize) {
        self.0.fetch_sub(segments, Ordering::Relaxed);
    }

    /// Whether a pipe may grow to `segments`.
    pub(super) fn has_room(&self, segments: usize) -> bool {
        self.0.load(Ordering::Relaxed) + segments <= PAGES_SOFT_LIMIT
    }

    /// A pipe has `new` segments instead of `old`.
    pub(super) fn replace(&self, old: usize, new: usize) {
        self.0.fetch_add(new, Ordering::Relaxed);
        self.0.fetch_sub(old, Ordering::Relaxed);
    }

    /// Fails if there may not be one more pipe.
    ///
    /// # Errors
    /// ENFILE (`man 2 pipe`).
    pub(super) fn check(&self) -> Result<(), Errno> {
        if self.0.load(Ordering::Relaxed) >= PAGES_HARD_LIMIT { Err(Errno::ENFILE) } else { Ok(()) }
    }
}
