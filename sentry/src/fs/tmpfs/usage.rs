//! What a file system in memory uses, and may use.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Errno;
use crate::fs::mount::FileSystemInfo;
use crate::memory::{FrameAllocator, PageBudget};
use crate::platform::{PAGE_SHIFT, PAGE_SIZE};

/// Pages and inodes in use, against their limits.
pub(super) struct Usage {
    max_pages: u64,
    max_inodes: u64,
    pages: AtomicU64,
    inodes: AtomicU64,
    /// Bytes of the sentry's own memory: names, link texts, extended attributes.
    kept_bytes: AtomicU64,
}

impl Usage {
    pub(super) fn new(max_bytes: u64, max_inodes: u64) -> Self {
        Self {
            max_pages: max_bytes.div_ceil(PAGE_SIZE),
            max_inodes,
            pages: AtomicU64::new(0),
            inodes: AtomicU64::new(0),
            kept_bytes: AtomicU64::new(0),
        }
    }

    /// Counts an inode.
    pub(super) fn add_inode(&self) -> Result<(), Errno> {
        let add = |used: u64| (used < self.max_inodes).then_some(used + 1);
        self.inodes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .map(drop)
            .map_err(|_| Errno::ENOSPC)
    }

    /// Counts an inode less.
    pub(super) fn remove_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts bytes that the sentry keeps: at most as many as the inodes may take, at a page each.
    pub(super) fn keep_bytes(&self, len_bytes: usize) -> Result<(), Errno> {
        let limit = self.max_inodes.saturating_mul(512).min(self.max_pages.saturating_mul(PAGE_SIZE));
        let add = |used: u64| used.checked_add(len_bytes as u64).filter(|&sum| sum <= limit);
        self.kept_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .map(drop)
            .map_err(|_| Errno::ENOSPC)
    }

    /// Counts bytes that are no longer kept.
    pub(super) fn release_bytes(&self, len_bytes: usize) {
        // What came from a lower layer was never counted.
        let subtract = |kept: u64| Some(kept.saturating_sub(len_bytes as u64));
        let _ = self.kept_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
    }

    /// What statfs(2) tells.
    pub(super) fn info(&self, magic: u64, frames: &FrameAllocator) -> FileSystemInfo {
        let memory = frames.statistics();
        let blocks = self.max_pages.min(memory.total_bytes >> PAGE_SHIFT);
        let used = self.pages.load(Ordering::Relaxed);
        let free_memory = memory.free_bytes >> PAGE_SHIFT;
        FileSystemInfo {
            magic,
            block_size_bytes: PAGE_SIZE,
            blocks,
            free_blocks: blocks.saturating_sub(used).min(free_memory),
            inodes: self.max_inodes,
            free_inodes: self.max_inodes.saturating_sub(self.inodes.load(Ordering::Relaxed)),
        }
    }

    /// The options of /proc/mounts.
    pub(super) fn options(&self) -> String {
        if self.max_pages >= u64::MAX >> PAGE_SHIFT {
            return String::new();
        }
        format!(",size={}k,nr_inodes={}", self.max_pages.saturating_mul(PAGE_SIZE / 1024), self.max_inodes)
    }
}

impl PageBudget for Usage {
    fn charge(&self, pages: u64) -> Result<(), Errno> {
        let add = |used: u64| used.checked_add(pages).filter(|&sum| sum <= self.max_pages);
        self.pages
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .map(drop)
            .map_err(|_| Errno::ENOSPC)
    }

    fn uncharge(&self, pages: u64) {
        self.pages.fetch_sub(pages, Ordering::Relaxed);
    }
}
