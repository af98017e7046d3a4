//! How much all pipes of a kernel may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Errno;
use crate::settings::{KernelNumber, KernelSettings};

/// Segments of a new pipe: 64 KiB.
const DEFAULT_SEGMENTS: usize = 16;
/// Segments of a new pipe once /proc/sys/fs/pipe-user-pages-soft is reached.
const SCARCE_SEGMENTS: usize = 2;

/// Beyond it there are no new pipes and none grows, whatever the settings say: 256 MiB.
const PAGES_END: usize = 65536;

/// Segments that all pipes may fill.
#[derive(Debug)]
pub(in crate::fs) struct PipeBudget {
    used: AtomicUsize,
    settings: Arc<KernelSettings>,
}

impl PipeBudget {
    /// No pipe yet; `settings` bound them.
    pub(in crate::fs) fn new(settings: &Arc<KernelSettings>) -> Self {
        Self { used: AtomicUsize::new(0), settings: settings.clone() }
    }

    /// A bound in pages, of which 0 means none.
    fn limit(&self, number: KernelNumber) -> usize {
        match self.settings.bound(number) {
            0 => PAGES_END,
            pages => pages.min(PAGES_END),
        }
    }

    /// Reserves the segments of a new pipe, and says how many these are.
    pub(super) fn reserve(&self) -> usize {
        let is_scarce = self.used.load(Ordering::Relaxed) >= self.limit(KernelNumber::PipePagesSoft);
        let most = self.settings.bound(KernelNumber::PipeMaxBytes) / super::SEGMENT_BYTES;
        let segments = if is_scarce { SCARCE_SEGMENTS } else { DEFAULT_SEGMENTS.min(most.max(1)) };
        self.used.fetch_add(segments, Ordering::Relaxed);
        segments
    }

    /// Gives back the segments of a pipe.
    pub(super) fn release(&self, segments: usize) {
        self.used.fetch_sub(segments, Ordering::Relaxed);
    }

    /// Fails if a pipe may not grow from `old` to `new` segments.
    ///
    /// # Errors
    /// EPERM: it is beyond what the unprivileged may have. ENOMEM: it is beyond what there is for everybody.
    pub(super) fn check_growth(&self, old: usize, new: usize, is_privileged: bool) -> Result<(), Errno> {
        let total = self.used.load(Ordering::Relaxed).saturating_sub(old).saturating_add(new);
        let soft = self.limit(KernelNumber::PipePagesSoft).min(self.limit(KernelNumber::PipePagesHard));
        let is_beyond =
            new.saturating_mul(super::SEGMENT_BYTES) > self.settings.bound(KernelNumber::PipeMaxBytes);
        match () {
            () if !is_privileged && (is_beyond || total > soft) => Err(Errno::EPERM),
            () if total > PAGES_END => Err(Errno::ENOMEM),
            () => Ok(()),
        }
    }

    /// A pipe has `new` segments instead of `old`.
    pub(super) fn replace(&self, old: usize, new: usize) {
        self.used.fetch_add(new, Ordering::Relaxed);
        self.used.fetch_sub(old, Ordering::Relaxed);
    }

    /// Fails if there may not be one more pipe.
    ///
    /// # Errors
    /// ENFILE (`man 2 pipe`).
    pub(super) fn check(&self) -> Result<(), Errno> {
        let is_full = self.used.load(Ordering::Relaxed) >= self.limit(KernelNumber::PipePagesHard);
        if is_full { Err(Errno::ENFILE) } else { Ok(()) }
    }
}
