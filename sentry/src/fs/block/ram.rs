//! Ramdisks: disks of the guest's own memory.

use std::ops::Range;
use std::sync::Arc;

use super::device::Disk;
use crate::Errno;
use crate::fs::sleeper::ServedPace;
use crate::memory::{FrameAllocator, PageCache};

/// The size of a ramdisk (`CONFIG_BLK_DEV_RAM_SIZE`).
const SIZE_BYTES: u64 = 16 << 20;

/// A ramdisk, whose pages come to be when they are written.
pub(super) struct RamDisk {
    pages: Arc<PageCache>,
}

impl RamDisk {
    pub(super) fn new(frames: &Arc<FrameAllocator>) -> Arc<Self> {
        Arc::new(Self { pages: PageCache::new(frames, None, SIZE_BYTES) })
    }
}

impl Disk for RamDisk {
    fn size_bytes(&self) -> u64 {
        SIZE_BYTES
    }

    fn logical_block_bytes(&self) -> u32 {
        512
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.pages.read_at(buffer, offset, None)
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        self.pages.write_at(buffer, offset, None)
    }

    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn discard(&self, bytes: Range<u64>) -> Result<(), Errno> {
        self.pages.punch_hole(bytes.start, bytes.end.saturating_sub(bytes.start), &ServedPace)
    }
}
