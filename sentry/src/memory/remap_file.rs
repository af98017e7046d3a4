//! remap_file_pages(2): other pages of a file at the place of a shared mapping, as one mapping more.

use super::manager::{MemoryManager, State};
use super::mapping::{Contents, MappingFlags};
use super::request::{Backing, MapFlags, MapRequest};
use crate::Errno;
use crate::pace::Pace;
use crate::platform::{PAGE_SHIFT, PAGE_SIZE, VirtualAddress};

impl MemoryManager {
    /// Maps the pages of a file from number `first` on where others of the same file are mapped, shared, now. The range is
    /// rounded down to pages.
    ///
    /// # Errors
    /// EINVAL: no shared mapping of one file there; those of mmap(2).
    pub fn remap_file_pages(
        &self,
        address: VirtualAddress,
        len_bytes: u64,
        first: u64,
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        let (start, len_bytes) = (address.page_down(), len_bytes & !(PAGE_SIZE - 1));
        let pages = len_bytes >> PAGE_SHIFT;
        let end = start.checked_add(len_bytes).ok_or(Errno::EINVAL)?;
        if pages == 0 || first.checked_add(pages).is_none() {
            return Err(Errno::EINVAL);
        }
        let offset = first.checked_mul(PAGE_SIZE).ok_or(Errno::EOVERFLOW)?;
        let request = self.state().read().request_of(start, end, offset).ok_or(Errno::EINVAL)?;
        self.mmap(request, pace).map(|_| ())
    }
}

impl State {
    /// What maps another part of the file that is mapped from `start` to `end`; `None` if that is not one file.
    fn request_of(&self, start: VirtualAddress, end: VirtualAddress, offset: u64) -> Option<MapRequest> {
        let (first_page, end_page) = (start.0 >> PAGE_SHIFT, end.0 >> PAGE_SHIFT);
        let first = self.mappings.find(first_page)?;
        let Contents::Cache { attachment, file, .. } = &first.contents else { return None };
        let is_same = |cache: u64| cache == attachment.cache().id();
        let mut parts = self.mappings.overlapping(first_page..end_page);
        let is_one = parts.all(|part| {
            part.flags == first.flags
                && part.cached(part.pages.start).is_some_and(|(cache, _)| is_same(cache.id()))
        });
        if !first.is_shared() || !is_one || !self.mappings.covers(first_page..end_page) {
            return None;
        }
        let is_locked = first.flags.contains(MappingFlags::LOCKED);
        let mut flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::POPULATE;
        flags.set(MapFlags::LOCKED, is_locked);
        Some(MapRequest {
            address: start,
            len_bytes: end.0 - start.0,
            protection: first.protection,
            flags,
            backing: Backing::File {
                cache: attachment.cache().clone(),
                offset,
                file: file.clone(),
                max_protection: first.max_protection,
            },
        })
    }
}
