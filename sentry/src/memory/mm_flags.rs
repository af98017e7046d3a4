//! What holds for an address space as a whole, by prctl(2): `mm->flags`.

use std::sync::atomic::Ordering;

use super::manager::MemoryManager;
use super::mapping::MappingFlags;
use super::unmapped_area::END_PAGE;
use crate::Errno;
use crate::platform::Access;

bitflags::bitflags! {
    /// Linux's `MMF_*`, as far as programs set them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MmFlags: u32 {
        /// Transparent huge pages are not wanted (PR_SET_THP_DISABLE).
        const DISABLE_THP = 1 << 0;
        /// Nothing becomes executable that was not, and nothing is both writable and executable (PR_MDWE_REFUSE_EXEC_GAIN).
        const HAS_MDWE = 1 << 1;
        /// Children and new programs are free of that (PR_MDWE_NO_INHERIT).
        const HAS_MDWE_NO_INHERIT = 1 << 2;
        /// All anonymous memory may be merged with equal pages (PR_SET_MEMORY_MERGE).
        const VM_MERGE_ANY = 1 << 3;
    }
}

impl MmFlags {
    /// Both that PR_SET_MDWE sets.
    pub const MDWE: Self = Self::HAS_MDWE.union(Self::HAS_MDWE_NO_INHERIT);

    /// What a child has of them, and a new program.
    fn inherited(self) -> Self {
        if self.contains(Self::HAS_MDWE_NO_INHERIT) { self.difference(Self::MDWE) } else { self }
    }
}

impl MemoryManager {
    /// What holds for all of it.
    pub fn mm_flags(&self) -> MmFlags {
        MmFlags::from_bits_truncate(self.mm_flag_bits().load(Ordering::Relaxed))
    }

    /// Sets or clears flags.
    pub fn set_mm_flags(&self, flags: MmFlags, is_set: bool) {
        match is_set {
            true => self.mm_flag_bits().fetch_or(flags.bits(), Ordering::Relaxed),
            false => self.mm_flag_bits().fetch_and(!flags.bits(), Ordering::Relaxed),
        };
    }

    /// Takes over what a copy, or the memory of a new program, has of `old`'s.
    pub fn inherit_mm_flags(&self, old: &Self) {
        self.set_mm_flags(old.mm_flags().inherited(), true);
    }

    /// Denies memory that is written and executed, for good (`man 2 PR_SET_MDWE`). `flags` are of [`MmFlags::MDWE`].
    ///
    /// # Errors
    /// EPERM: it was denied in another way.
    pub fn deny_write_execute(&self, flags: MmFlags) -> Result<(), Errno> {
        let _edit = self.edit();
        let now = self.mm_flags() & MmFlags::MDWE;
        if !now.is_empty() && now != flags {
            return Err(Errno::EPERM);
        }
        self.set_mm_flags(flags, true);
        Ok(())
    }

    /// Whether pages of protection `old` must not get the protection `new`; new ones have both alike.
    pub(super) fn denies(&self, new: Access, old: Access) -> bool {
        self.mm_flags().contains(MmFlags::HAS_MDWE)
            && new.contains(Access::EXECUTE)
            && (new.contains(Access::WRITE) || !old.contains(Access::EXECUTE))
    }

    /// Has all anonymous memory, and what comes, counted as mergeable, or none (`man 2 PR_SET_MEMORY_MERGE`).
    pub fn set_merges_any(&self, is_set: bool) {
        let mut edit = self.edit();
        self.set_mm_flags(MmFlags::VM_MERGE_ANY, is_set);
        edit.state.mappings.update(0..END_PAGE, |mapping| {
            let is_meant = !mapping.is_shared() && !mapping.flags.contains(MappingFlags::DROPPABLE);
            mapping.flags.set(MappingFlags::MERGEABLE, is_set && is_meant);
        });
    }
}
