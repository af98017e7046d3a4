//! Files of huge pages (hugetlbfs; MFD_HUGETLB, `man 2 memfd_create`). Of 1 GiB none are ever set aside: such files have a size, and
//! nothing in them.

use std::any::Any;
use std::sync::Arc;

use linux_raw_sys::general as uapi;

use super::{Caller, File, Metadata, Splicing};
use crate::Errno;
use crate::memory::{HUGE_PAGE_BYTES, PageCache};

/// What fallocate(2) knows of them.
const KNOWN_MODES: u32 = uapi::FALLOC_FL_KEEP_SIZE | uapi::FALLOC_FL_PUNCH_HOLE;

/// An open file of huge pages. Its size and its seals are those of a file in memory.
pub struct HugeFile {
    inner: Arc<dyn File>,
    page_bytes: u64,
}

impl HugeFile {
    /// With pages of `page_bytes`; size and seals are those of `inner`.
    pub(super) fn new(inner: Arc<dyn File>, page_bytes: u64) -> Arc<Self> {
        Arc::new(Self { inner, page_bytes })
    }

    /// Whether pages of its size can be set aside.
    fn has_pool(&self) -> bool {
        self.page_bytes == HUGE_PAGE_BYTES
    }
}

impl File for HugeFile {
    fn has_write(&self) -> bool {
        false
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.inner.read_at(buffer, offset)
    }

    fn seek_data_or_hole(&self, offset: u64, find_data: bool) -> Result<u64, Errno> {
        // To Linux all of such a file is data.
        let size = self.metadata()?.size_bytes;
        match offset < size {
            true => Ok(if find_data { offset } else { size }),
            false => Err(Errno::ENXIO),
        }
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        if self.has_pool() { self.inner.page_cache() } else { Err(Errno::ENOMEM) }
    }

    fn check_writable_mapping(&self) -> Result<(), Errno> {
        self.inner.check_writable_mapping()
    }

    fn mapped_offset(&self, offset: u64) -> Result<u64, Errno> {
        if offset.is_multiple_of(self.page_bytes) { Ok(offset) } else { Err(Errno::EINVAL) }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inner.metadata()
    }

    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), Errno> {
        match len_bytes.is_multiple_of(self.page_bytes) {
            true => self.inner.truncate(len_bytes),
            false => Err(Errno::EINVAL),
        }
    }

    fn allocate(&self, mode: u32, offset: u64, len_bytes: u64, caller: &dyn Caller) -> Result<(), Errno> {
        match mode {
            mode if mode & !KNOWN_MODES != 0 => Err(Errno::EOPNOTSUPP),
            _ if self.has_pool() => self.inner.allocate(mode, offset, len_bytes, caller),
            mode if mode & uapi::FALLOC_FL_PUNCH_HOLE != 0 => Ok(()),
            _ => Err(Errno::ENOSPC),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
