//! What a file system in memory uses, and may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::TmpfsOptions;
use crate::Errno;
use crate::fs::mount::FileSystemInfo;
use crate::memory::{FrameAllocator, PageBudget};
use crate::platform::{PAGE_SHIFT, PAGE_SIZE};

/// What a node takes of the sentry's own memory, about.
const NODE_LEN: u64 = 512;

/// The sentry's own memory that the files of all file systems in memory may take: names, link texts, extended
/// attributes, and nodes. Without it a guest could fill the host with empty files.
pub(super) struct KeptMemory {
    frames: Arc<FrameAllocator>,
    max_bytes: u64,
    bytes: AtomicU64,
}

impl KeptMemory {
    /// A sixteenth of the guest's memory, and at least 32 MiB.
    pub(super) fn new(frames: &Arc<FrameAllocator>) -> Arc<Self> {
        let max_bytes = (frames.statistics().total_bytes / 16).max(32 << 20);
        Arc::new(Self { frames: frames.clone(), max_bytes, bytes: AtomicU64::new(0) })
    }

    /// Fails if `pages` more would leave programs too little to run with: an eighth of the guest's memory, 64 MiB at
    /// most. Linux keeps such a rest by limiting each tmpfs to half of the memory.
    fn check_room(&self, pages: u64) -> Result<(), Errno> {
        const MAX_REST_BYTES: u64 = 64 << 20;
        let memory = self.frames.statistics();
        let rest_bytes = (memory.total_bytes / 8).min(MAX_REST_BYTES);
        let available_bytes = memory.free_bytes.saturating_add(memory.cached_bytes);
        let needed_bytes = pages.saturating_mul(PAGE_SIZE).saturating_add(rest_bytes);
        if available_bytes < needed_bytes { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    fn add(&self, len_bytes: u64) -> Result<(), Errno> {
        add_up_to(&self.bytes, len_bytes, self.max_bytes)
    }

    fn remove(&self, len_bytes: u64) {
        let subtract = |kept: u64| Some(kept.saturating_sub(len_bytes));
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract);
    }
}

fn add_up_to(counter: &AtomicU64, count: u64, max: u64) -> Result<(), Errno> {
    let add = |used: u64| used.checked_add(count).filter(|&sum| sum <= max);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map(drop).map_err(|_| Errno::ENOSPC)
}

/// Pages of a symbolic link whose text has this length.
pub(super) fn link_pages(len_bytes: usize) -> u64 {
    /// Longest text in an inode, with its NUL (`SHORT_SYMLINK_LEN`).
    const MAX_SHORT_BYTES: usize = 128;
    u64::from(len_bytes >= MAX_SHORT_BYTES)
}

/// Pages and inodes in use, against their limits.
pub(super) struct Usage {
    max_pages: AtomicU64,
    max_inodes: AtomicU64,
    pages: AtomicU64,
    inodes: AtomicU64,
    kept: Arc<KeptMemory>,
}

impl Usage {
    pub(super) fn new(max_bytes: u64, max_inodes: u64, kept: Arc<KeptMemory>) -> Self {
        Self {
            max_pages: AtomicU64::new(max_bytes.div_ceil(PAGE_SIZE)),
            max_inodes: AtomicU64::new(max_inodes),
            pages: AtomicU64::new(0),
            inodes: AtomicU64::new(0),
            kept,
        }
    }

    /// The most bytes and inodes.
    pub(super) fn limits(&self) -> (u64, u64) {
        (self.max_pages().saturating_mul(PAGE_SIZE), self.max_inodes())
    }

    /// Replaces the limits.
    ///
    /// # Errors
    /// EINVAL if there is more already.
    pub(super) fn set_limits(&self, max_bytes: u64, max_inodes: u64) -> Result<(), Errno> {
        let max_pages = max_bytes.div_ceil(PAGE_SIZE);
        let (pages, inodes) = (self.pages.load(Ordering::Relaxed), self.inodes.load(Ordering::Relaxed));
        if max_pages < pages || max_inodes < inodes {
            return Err(Errno::EINVAL);
        }
        self.max_pages.store(max_pages, Ordering::Relaxed);
        self.max_inodes.store(max_inodes, Ordering::Relaxed);
        Ok(())
    }

    /// There is room for `sectors` of 512 bytes more, which a deleted file of the layer below had.
    pub(super) fn add_room(&self, sectors: u64) {
        const SECTOR_SHIFT: u32 = 9;
        let pages = sectors >> (PAGE_SHIFT - SECTOR_SHIFT);
        let add = |max: u64| Some(max.saturating_add(pages));
        let _ = self.max_pages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.max_inodes.fetch_add(1, Ordering::Relaxed);
    }

    fn max_pages(&self) -> u64 {
        self.max_pages.load(Ordering::Relaxed)
    }

    fn max_inodes(&self) -> u64 {
        self.max_inodes.load(Ordering::Relaxed)
    }

    /// Counts an inode.
    pub(super) fn add_inode(&self) -> Result<(), Errno> {
        add_up_to(&self.inodes, 1, self.max_inodes())?;
        self.kept.add(NODE_LEN).inspect_err(|_| {
            self.inodes.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// Counts an inode less.
    pub(super) fn remove_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::Relaxed);
        self.kept.remove(NODE_LEN);
    }

    /// Counts bytes that the sentry keeps.
    pub(super) fn keep_bytes(&self, len_bytes: usize) -> Result<(), Errno> {
        self.kept.add(len_bytes as u64)
    }

    /// Counts bytes that the sentry keeps, whether there is room or not: a layer below has them.
    pub(super) fn keep_bytes_anyway(&self, len_bytes: usize) {
        self.kept.bytes.fetch_add(len_bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that are no longer kept.
    pub(super) fn release_bytes(&self, len_bytes: usize) {
        self.kept.remove(len_bytes as u64);
    }

    /// Counts the text of a symbolic link: one that does not fit into its inode takes a page, as on Linux.
    pub(super) fn keep_link(&self, len_bytes: usize) -> Result<(), Errno> {
        self.keep_bytes(len_bytes)?;
        self.charge(link_pages(len_bytes)).inspect_err(|_| self.release_bytes(len_bytes))
    }

    /// Counts the text of a symbolic link no longer.
    pub(super) fn release_link(&self, len_bytes: usize) {
        self.uncharge(link_pages(len_bytes));
        self.release_bytes(len_bytes);
    }

    /// What statfs(2) tells.
    pub(super) fn info(&self, magic: u64, frames: &FrameAllocator) -> FileSystemInfo {
        let memory = frames.statistics();
        let used = self.pages.load(Ordering::Relaxed);
        // A limit is told as it was set, even if there is less memory.
        let (blocks, most_free) = match self.max_pages() {
            max_pages if max_pages < u64::MAX >> PAGE_SHIFT => (max_pages, max_pages),
            _ => (memory.total_bytes >> PAGE_SHIFT, memory.free_bytes >> PAGE_SHIFT),
        };
        let used_inodes = self.inodes.load(Ordering::Relaxed);
        let max_inodes = self.max_inodes().min(self.kept.max_bytes / NODE_LEN);
        FileSystemInfo {
            magic,
            block_size_bytes: PAGE_SIZE,
            blocks,
            free_blocks: blocks.saturating_sub(used).min(most_free),
            reserved_blocks: 0,
            inodes: max_inodes,
            free_inodes: max_inodes.saturating_sub(used_inodes),
        }
    }

    /// The options of /proc/mounts; those of bytes and of inodes as 0 if it was said that there is no such limit.
    pub(super) fn options(&self, (has_no_size, has_no_inodes): (bool, bool)) -> String {
        let mut options = String::new();
        if self.max_pages() < u64::MAX >> PAGE_SHIFT {
            options += &format!(",size={}k", self.max_pages().saturating_mul(PAGE_SIZE / 1024));
        } else if has_no_size {
            options += ",size=0k";
        }
        if has_no_inodes {
            options += ",nr_inodes=0";
        } else if self.max_inodes() != TmpfsOptions::default().max_inodes {
            options += &format!(",nr_inodes={}", self.max_inodes());
        }
        options
    }
}

impl PageBudget for Usage {
    fn charge(&self, pages: u64) -> Result<(), Errno> {
        self.kept.check_room(pages)?;
        add_up_to(&self.pages, pages, self.max_pages())
    }

    fn uncharge(&self, pages: u64) {
        self.pages.fetch_sub(pages, Ordering::Relaxed);
    }
}
