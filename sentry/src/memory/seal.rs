//! Mappings that stay as they are (`man 2 mseal`).

use std::ops::Range;

use super::manager::{Edit, MemoryManager};
use super::map::wrapping_pages;
use super::mapping::{Contents, MappingFlags};
use crate::Errno;
use crate::pace::Pace;
use crate::platform::{Access, VirtualAddress};

impl MemoryManager {
    /// Seals the mappings of a range: nothing unmaps, moves or replaces them any more, nor changes their protection.
    /// `len_bytes` is rounded up to pages.
    ///
    /// # Errors
    /// EINVAL: not at a page, or past the end; ENOMEM: a part is not mapped, or too many mappings; EINTR from `pace`.
    pub fn mseal(&self, address: VirtualAddress, len_bytes: u64, pace: &dyn Pace) -> Result<(), Errno> {
        let pages = wrapping_pages(address, len_bytes).ok_or(Errno::EINVAL)?;
        if !address.is_page_aligned() || len_bytes > 0 && pages.is_empty() {
            return Err(Errno::EINVAL);
        }
        if pages.is_empty() {
            return Ok(());
        }
        {
            let edit = self.edit();
            let mappings = &edit.state.mappings;
            edit.check_divisible(&pages)?;
            if !mappings.covers(pages.clone()) || !mappings.has_room(pages.clone(), 0) {
                return Err(Errno::ENOMEM);
            }
        }
        self.update_in_steps(pages, pace, |mapping| mapping.flags |= MappingFlags::SEALED)
    }

    /// Fails with EPERM if a mapping of `pages` is sealed.
    pub(super) fn check_unsealed(&self, pages: &Range<u64>) -> Result<(), Errno> {
        self.edit().check_unsealed(pages)
    }
}

impl Edit<'_> {
    /// Fails with EPERM if a mapping of `pages` is sealed.
    pub(super) fn check_unsealed(&self, pages: &Range<u64>) -> Result<(), Errno> {
        let mut mappings = self.state.mappings.overlapping(pages.clone());
        let has_seal = mappings.any(|mapping| mapping.flags.contains(MappingFlags::SEALED));
        if has_seal { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Fails with EPERM if advice would throw away what `pages` hold where a sealed mapping may not be written.
    pub(super) fn check_may_discard(&self, pages: &Range<u64>) -> Result<(), Errno> {
        let mut mappings = self.state.mappings.overlapping(pages.clone());
        let is_kept = mappings.any(|mapping| {
            let is_anonymous = matches!(mapping.contents, Contents::Anonymous);
            mapping.flags.contains(MappingFlags::SEALED)
                && is_anonymous
                && !mapping.protection.contains(Access::WRITE)
        });
        if is_kept { Err(Errno::EPERM) } else { Ok(()) }
    }
}
