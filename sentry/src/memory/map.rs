//! Making, changing and removing mappings: mmap(2), munmap(2), mprotect(2), brk(2).

use std::ops::Range;
use std::sync::Arc;

use super::Frame;
use super::commit::Overcommit;
use super::fault::{Touch, map_resident};
use super::huge_pages::HUGE_PAGES;
use super::manager::{Edit, MemoryManager};
use super::mapping::{Contents, Mapping, MappingFlags, intersect, virtual_range};
use super::mm_flags::MmFlags;
use super::page_cache::PageCache;
use super::policy::MemoryPolicy;
use super::request::{Backing, MapFlags, MapRequest, Protection};
use super::table::EntryFlags;
use super::unmapped_area::{self, END_PAGE, MIN_PAGE};
use crate::Errno;
use crate::pace::{Pace, Unhurried};
use crate::platform::{Access, PAGE_SHIFT, PAGE_SIZE, VirtualAddress};

/// New mappings up to this size are filled at once: the faults would cost more. Files are fetched for it.
const EAGER_PAGES: u64 = 64;
/// The same for code, of which more is used.
const EAGER_CODE_PAGES: u64 = 512;
/// Private writable mappings of files up to this size are copied at once.
const EAGER_COPY_PAGES: u64 = 16;

/// Parts of a segment that are detached in one step.
const STEP_PARTS: usize = 1024;

/// A mapping is refused if not even this part of all memory is left for it.
const BEGINNING: u64 = 32;
/// No file is larger (Linux's `MAX_LFS_FILESIZE`).
const MAX_FILE_BYTES: u64 = i64::MAX as u64;

impl MemoryManager {
    /// Makes a mapping, and returns where it is (`man 2 mmap`).
    ///
    /// # Errors
    /// EINVAL, ENOMEM, EEXIST, EPERM, EAGAIN (over RLIMIT_MEMLOCK), EOVERFLOW, as the manual page has them.
    pub fn mmap(&self, request: MapRequest, pace: &dyn Pace) -> Result<VirtualAddress, Errno> {
        let flags = request.flags;
        let (pages, is_locked, written) = {
            let mut edit = self.edit();
            let mapping = edit.new_mapping(request)?;
            let pages = mapping.pages.clone();
            let mut edit = edit.put_in_place(mapping, pace)?;
            let written = edit.cache_to_be_written(pages.start);
            (pages.clone(), edit.fill_new(pages), written)
        };
        if let Some(cache) = written {
            cache.take_back_copies();
        }
        let is_huge = self.state().read().mappings.find(pages.start).is_some_and(Mapping::is_huge);
        let is_populated = flags.contains(MapFlags::POPULATE) && !flags.contains(MapFlags::NONBLOCK);
        if is_populated || is_locked {
            // What cannot be had now is no error (`man 2 mmap`, MAP_POPULATE).
            self.populate_if_there_is_room(pages.clone(), pace);
        } else if !is_huge {
            self.fetch_soon_used(&pages);
        }
        Ok(virtual_range(&pages).start)
    }

    /// Maps given frames, each with its protection: the vDSO and its data. `name` is shown in `/proc/PID/maps`.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn map_special(
        &self,
        frames: &Arc<[Frame]>,
        protections: &[Protection],
        name: &'static str,
    ) -> Result<VirtualAddress, Errno> {
        let mut edit = self.edit();
        let len = frames.len() as u64;
        let pages = edit.place(VirtualAddress::NULL, len, MapFlags::PRIVATE)?;
        edit.check_room(&pages, len)?;
        for (page, (first, protection)) in pages.clone().zip((0..).zip(protections)) {
            edit.state.mappings.insert(Mapping {
                pages: page..page + 1,
                protection: *protection,
                max_protection: Protection::all(),
                flags: MappingFlags::empty(),
                contents: Contents::Frames { frames: frames.clone(), first, name },
                policy: MemoryPolicy::default(),
                name: None,
                userfaults: None,
                reservation: None,
            });
            edit.fill_new(page..page + 1);
        }
        Ok(virtual_range(&pages).start)
    }

    /// Has what was mapped as `name` by [`MemoryManager::map_special`], wherever it is by now, show `frames` in the place of
    /// those before; pages that user code has changed stay its own.
    pub fn replace_special(&self, frames: &Arc<[Frame]>, name: &'static str) {
        let mut edit = self.edit();
        let is_meant = |mapping: &&Mapping| match &mapping.contents {
            Contents::Frames { name: other, .. } => *other == name,
            _ => false,
        };
        let ranges: Vec<_> =
            edit.state.mappings.iter().filter(is_meant).map(|mapping| mapping.pages.clone()).collect();
        for pages in ranges {
            edit.state.mappings.update(pages.clone(), |mapping| {
                if let Contents::Frames { frames: shown, .. } = &mut mapping.contents {
                    *shown = frames.clone();
                }
            });
            edit.discard(pages.clone(), |entry| !entry.has(EntryFlags::PRIVATE));
            edit.fill_new(pages);
        }
    }

    /// Removes what is mapped in a range (`man 2 munmap`).
    ///
    /// # Errors
    /// EINVAL; ENOMEM if a mapping would be split and there are too many.
    pub fn munmap(&self, address: VirtualAddress, len_bytes: u64, pace: &dyn Pace) -> Result<(), Errno> {
        let pages = checked_pages(address, len_bytes).ok_or(Errno::EINVAL)?;
        if pages.is_empty() {
            return Err(Errno::EINVAL);
        }
        {
            let edit = self.edit();
            edit.check_unsealed(&pages)?;
            edit.check_divisible(&pages)?;
            if !edit.state.mappings.has_room(pages.clone(), 0) {
                return Err(Errno::ENOMEM);
            }
        }
        self.unmap_in_steps(pages, pace)
    }

    /// Unmaps all of an address space that nobody uses any more.
    ///
    /// # Errors
    /// EINTR, from `pace`.
    pub(crate) fn unmap_all(&self, pace: &dyn Pace) -> Result<(), Errno> {
        // First: what is unmapped piece by piece is taken from the vCPUs of all who share its frames.
        self.address_space().abandon();
        self.unmap_each_step(0..END_PAGE, pace, |_, _| Ok(()))
    }

    /// Unmaps `pages` from their start on. What has been unmapped may be mapped anew before the rest is.
    ///
    /// # Errors
    /// EPERM: what is left has been sealed meanwhile; EINTR from `pace`.
    pub(super) fn unmap_in_steps(&self, pages: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        self.unmap_each_step(pages, pace, |edit, step| edit.check_unsealed(step))
    }

    fn unmap_each_step(
        &self,
        mut pages: Range<u64>,
        pace: &dyn Pace,
        check: impl Fn(&Edit<'_>, &Range<u64>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        while !pages.is_empty() {
            let mut edit = self.edit();
            let step = edit.state.step_of(&pages);
            check(&edit, &step)?;
            pages.start = step.end;
            edit.unmap(step);
            drop(edit);
            pace.keep_going()?;
        }
        Ok(())
    }

    /// Changes the mappings of `pages`, some at a time, from their start on.
    ///
    /// # Errors
    /// ENOMEM: there would be too many; EINTR from `pace`. What lies before has changed.
    pub(super) fn update_in_steps(
        &self,
        mut pages: Range<u64>,
        pace: &dyn Pace,
        change: impl Fn(&mut Mapping),
    ) -> Result<(), Errno> {
        while !pages.is_empty() {
            let mut edit = self.edit();
            let step = edit.state.mappings.step_of(&pages);
            if !edit.state.mappings.has_room(step.clone(), 0) {
                return Err(Errno::ENOMEM);
            }
            pages.start = step.end;
            edit.state.mappings.update(step, &change);
            drop(edit);
            pace.keep_going()?;
        }
        Ok(())
    }

    /// Frees most of what `pages` hold, which are going to be unmapped, so that this is done in little time. A few are left.
    fn empty(&self, mut pages: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        loop {
            {
                let mut edit = self.edit();
                let Some(end) = edit.state.end_of_step(&pages) else { return Ok(()) };
                if !edit.state.mappings.has_room(pages.clone(), 0) {
                    return Ok(());
                }
                edit.discard(pages.start..end, |_| true);
                pages.start = end;
            }
            pace.keep_going()?;
        }
    }

    /// Removes what is left of the System V segment that was attached at `address` (`man 2 shmdt`).
    ///
    /// # Errors
    /// EINVAL if there is none; EINTR from `pace`.
    pub fn detach_segment(&self, address: VirtualAddress, pace: &dyn Pace) -> Result<(), Errno> {
        if !address.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let start = address.0 >> PAGE_SHIFT;
        let mut is_found = false;
        loop {
            let mut edit = self.edit();
            let mut parts = edit.state.mappings.segment_attached_at(start);
            is_found |= !parts.is_empty();
            parts.retain(|pages| edit.check_unsealed(pages).is_ok());
            if parts.is_empty() {
                return if is_found { Ok(()) } else { Err(Errno::EINVAL) };
            }
            for pages in parts.into_iter().take(STEP_PARTS) {
                edit.unmap(pages);
            }
            drop(edit);
            pace.keep_going()?;
        }
    }

    /// Changes the protection of a range (`man 2 mprotect`).
    ///
    /// # Errors
    /// As [`Self::mprotect_growing`].
    pub fn mprotect(
        &self,
        address: VirtualAddress,
        len_bytes: u64,
        protection: Protection,
    ) -> Result<(), Errno> {
        self.mprotect_growing(address, len_bytes, Some(protection), Growth::None, &Unhurried)
    }

    /// As [`Self::mprotect`], with more than the range if `grows` says so; no protection stands for bits that are not known.
    ///
    /// # Errors
    /// EINVAL; ENOMEM if something is not mapped, or if there are too many mappings; EACCES; EINTR from `pace`. What lies before
    /// the place of the error has changed.
    pub fn mprotect_growing(
        &self,
        address: VirtualAddress,
        len_bytes: u64,
        protection: Option<Protection>,
        grows: Growth,
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        if !address.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if len_bytes == 0 {
            return Ok(());
        }
        let mut pages =
            wrapping_pages(address, len_bytes).filter(|pages| !pages.is_empty()).ok_or(Errno::ENOMEM)?;
        let protection = protection.ok_or(Errno::EINVAL)?;
        let mut edit = self.edit();
        if grows == Growth::Up {
            // No stack grows upward here.
            edit.state.mappings.find(pages.start).ok_or(Errno::ENOMEM)?;
            return Err(Errno::EINVAL);
        }
        if grows == Growth::Down {
            let first = edit.state.mappings.overlapping(pages.clone()).next().ok_or(Errno::ENOMEM)?;
            if !first.flags.contains(MappingFlags::GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
            pages.start = first.pages.start;
        }
        edit.check_unsealed(&pages)?;
        edit.check_divisible(&pages)?;
        loop {
            let step = edit.state.mappings.step_of(&pages);
            edit.protect(step.clone(), protection)?;
            drop(edit);
            pages.start = step.end;
            if pages.is_empty() {
                return Ok(());
            }
            pace.keep_going()?;
            edit = self.edit();
        }
    }

    /// Moves the end of the heap, and returns where it is then: where it was, if that cannot be (`man 2 brk`).
    pub fn brk(&self, address: VirtualAddress, pace: &dyn Pace) -> VirtualAddress {
        let above = self.state().read().layout.heap_above(address);
        let empty = |pages| self.check_unsealed(&pages).and_then(|()| self.empty(pages, pace));
        if above.is_some_and(|pages| empty(pages).is_err()) {
            return self.state().read().layout.brk;
        }
        let mut edit = self.edit();
        let layout = &edit.state.layout;
        let (start, old) = (layout.brk_start, layout.brk);
        let (Some(old_end), Some(new_end)) = (old.page_up(), address.page_up()) else { return old };
        if address < start || address > VirtualAddress::USER_END {
            return old;
        }
        let (old_page, new_page) = (old_end.0 >> PAGE_SHIFT, new_end.0 >> PAGE_SHIFT);
        if new_page > old_page {
            if edit.grow_heap(old_page..new_page, address.0 - start.0).is_err() {
                return old;
            }
        } else if new_page < old_page {
            edit.unmap(new_page..old_page);
        }
        edit.state.layout.brk = address;
        address
    }

    /// Says where the heap begins: at the first page boundary from `end`, the end of the program, on.
    ///
    /// # Errors
    /// ENOMEM: the program ends at the end of the address space.
    pub fn set_brk_start(&self, end: VirtualAddress) -> Result<(), Errno> {
        let start = end.page_up().filter(|start| *start < VirtualAddress::USER_END).ok_or(Errno::ENOMEM)?;
        let mut edit = self.edit();
        edit.state.layout.brk_start = start;
        edit.state.layout.brk = start;
        Ok(())
    }

    /// The data of a program is written soon, and what is small of a file is read: fetch it now, and copy data.
    fn fetch_soon_used(&self, pages: &Range<u64>) {
        let access = {
            let state = self.state().read();
            let Some(mapping) = state.mappings.find(pages.start) else { return };
            if mapping.is_small_data(pages) {
                Access::WRITE
            } else if mapping.is_small_part_of_file(pages) && mapping.is_to_be_fetched(pages.start) {
                Access::READ
            } else {
                return;
            }
        };
        let touch = Touch { window: Some(pages.clone()), ..Touch::new(access) };
        // What cannot be had now fails again at the touch.
        let _ = self.fault_in(pages.start, &touch);
    }
}

impl Edit<'_> {
    /// The mapping that is asked for, which is not in its place yet.
    fn new_mapping(&mut self, request: MapRequest) -> Result<Mapping, Errno> {
        let MapRequest { address, len_bytes, protection, flags, backing } = request;
        if len_bytes == 0 {
            return Err(Errno::EINVAL);
        }
        let alignment = backing.alignment();
        let len_bytes = len_bytes.checked_next_multiple_of(alignment << PAGE_SHIFT).ok_or(Errno::ENOMEM)?;
        let len = pages_in(len_bytes).filter(|&len| len <= END_PAGE).ok_or(Errno::ENOMEM)?;
        let mut mapping_flags = self.mapping_flags(flags);
        mapping_flags.set(MappingFlags::HUGETLB, alignment > 1);
        if !self.state.mappings.has_room(0..0, 0) {
            return Err(Errno::ENOMEM);
        }
        let pages = self.place_aligned(address, len, flags, alignment)?;
        self.check_divisible(&pages)?;
        if flags.contains(MapFlags::LOCKED) && self.state.limits.locked_bytes == 0 {
            return Err(Errno::EPERM);
        }
        self.check_lockable(mapping_flags, len)?;
        let (contents, max_protection) = match backing {
            Backing::Refused(error) => return Err(error),
            Backing::Anonymous if flags.contains(MapFlags::SHARED) => {
                let cache = PageCache::new(self.manager.frames(), None, len << PAGE_SHIFT);
                (self.cache_contents(&cache, 0, None, true)?, Protection::all())
            }
            Backing::Anonymous => (Contents::Anonymous, Protection::all()),
            Backing::File { .. } => {
                self.file_contents(backing, len, protection, flags.contains(MapFlags::SHARED))?
            }
        };
        if !max_protection.contains(protection) || self.manager.denies(protection, protection) {
            return Err(Errno::EACCES);
        }
        let policy = MemoryPolicy::default();
        let mut mapping = Mapping {
            pages: pages.clone(),
            protection,
            max_protection,
            flags: mapping_flags,
            contents,
            policy,
            name: None,
            userfaults: None,
            reservation: None,
        };
        self.check_room(&pages, len - self.state.mappings.pages_in(pages.clone()))?;
        self.check_commit(&mapping, len)?;
        self.check_data(&mapping, len)?;
        self.check_unsealed(&pages)?;
        if mapping.is_huge() {
            mapping.reserve_huge()?;
        }
        Ok(mapping)
    }

    /// `pages` with all of the huge pages that they begin and end in.
    pub(super) fn with_whole_huge_pages(&self, pages: Range<u64>) -> Range<u64> {
        let is_cut = |page| {
            let mapping = self.state.mappings.find(page);
            mapping.is_some_and(|mapping| mapping.pages.start != page && mapping.is_indivisible_at(page))
        };
        let start = if is_cut(pages.start) { pages.start - pages.start % HUGE_PAGES } else { pages.start };
        let end = if is_cut(pages.end) { pages.end.next_multiple_of(HUGE_PAGES) } else { pages.end };
        start..end
    }

    /// Fails with EINVAL if a huge page would be cut.
    pub(super) fn check_divisible(&self, pages: &Range<u64>) -> Result<(), Errno> {
        if self.with_whole_huge_pages(pages.clone()) == *pages { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Replaces what is mapped where `mapping` is to be. If that is much it is done in steps from the start on, and the lock let go
    /// between them: at no time is anything free there that was not before.
    ///
    /// # Errors
    /// EINTR from `pace`; ENOMEM, EPERM: meanwhile there are too many mappings, or one has been sealed.
    pub(super) fn put_in_place(self, mut mapping: Mapping, pace: &dyn Pace) -> Result<Self, Errno> {
        let manager = self.manager;
        let mut edit = self;
        loop {
            let step = edit.state.step_of(&mapping.pages);
            let rest = (step.end < mapping.pages.end).then(|| mapping.split_off(step.end));
            edit.unmap(step);
            edit.state.mappings.insert(mapping);
            let Some(next) = rest else { return Ok(edit) };
            drop(edit);
            pace.keep_going()?;
            edit = manager.edit();
            edit.check_room(&next.pages, 0)?;
            edit.check_unsealed(&next.pages)?;
            mapping = next;
        }
    }

    fn mapping_flags(&self, flags: MapFlags) -> MappingFlags {
        let mut mapping_flags = self.state.future_locks;
        if flags.contains(MapFlags::DROPPABLE) {
            // It is nobody else's, and nothing to be kept (`man 2 mmap`).
            let implied = MappingFlags::NORESERVE | MappingFlags::WIPEONFORK | MappingFlags::DONTDUMP;
            return MappingFlags::DROPPABLE | implied;
        }
        let merges = self.manager.mm_flags().contains(MmFlags::VM_MERGE_ANY);
        mapping_flags.set(MappingFlags::MERGEABLE, merges && !flags.contains(MapFlags::SHARED));
        if flags.contains(MapFlags::SECRET) {
            mapping_flags |= MappingFlags::SECRET | MappingFlags::LOCKED | MappingFlags::DONTDUMP;
        }
        for (flag, mapping_flag) in [
            (MapFlags::SHARED, MappingFlags::SHARED),
            (MapFlags::GROWSDOWN, MappingFlags::GROWSDOWN),
            (MapFlags::NORESERVE, MappingFlags::NORESERVE),
            (MapFlags::LOCKED, MappingFlags::LOCKED),
        ] {
            mapping_flags.set(mapping_flag, flags.contains(flag) || mapping_flags.contains(mapping_flag));
        }
        if self.manager.frames().overcommit() == Overcommit::Never {
            mapping_flags.remove(MappingFlags::NORESERVE);
        }
        mapping_flags
    }

    /// What is behind a mapping of `len` pages of a file, and what mprotect may ever allow.
    fn file_contents(
        &self,
        backing: Backing,
        len: u64,
        protection: Protection,
        is_shared: bool,
    ) -> Result<(Contents, Protection), Errno> {
        let Backing::File { cache, offset, file, mut max_protection } = backing else {
            return Err(Errno::EINVAL);
        };
        if !offset.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        let end = offset.checked_add(len << PAGE_SHIFT).filter(|&end| end <= MAX_FILE_BYTES);
        end.ok_or(Errno::EOVERFLOW)?;
        let first = offset >> PAGE_SHIFT;
        let is_writable = is_shared && max_protection.contains(Protection::WRITE);
        let contents = match self.cache_contents(&cache, first, file.clone(), is_writable) {
            // A sealed file may still be looked at.
            Err(Errno::EPERM) if !protection.contains(Protection::WRITE) => {
                max_protection.remove(Protection::WRITE);
                self.cache_contents(&cache, first, file, false)?
            }
            outcome => outcome?,
        };
        Ok((contents, max_protection))
    }

    /// The cache that the mapping of `page` may write to.
    fn cache_to_be_written(&self, page: u64) -> Option<Arc<PageCache>> {
        let mapping = self.state.mappings.find(page).filter(|mapping| mapping.may_share_writes())?;
        Some(mapping.cached(page)?.0.clone())
    }

    /// A place among the mappers of `cache`.
    fn cache_contents(
        &self,
        cache: &Arc<PageCache>,
        first: u64,
        file: Option<Arc<dyn super::MappedFile>>,
        is_writable: bool,
    ) -> Result<Contents, Errno> {
        let (id, mapper) = (self.manager.id(), self.manager.as_mapper());
        Ok(Contents::Cache { attachment: cache.attach(id, mapper, is_writable)?, first, file })
    }

    /// Finds the pages for a mapping of `len` pages.
    pub(super) fn place(
        &self,
        address: VirtualAddress,
        len: u64,
        flags: MapFlags,
    ) -> Result<Range<u64>, Errno> {
        self.place_aligned(address, len, flags, 1)
    }

    /// As [`Self::place`], beginning at a multiple of `alignment`, a power of two.
    fn place_aligned(
        &self,
        address: VirtualAddress,
        len: u64,
        flags: MapFlags,
        alignment: u64,
    ) -> Result<Range<u64>, Errno> {
        let mappings = &self.state.mappings;
        if flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE) {
            if address.0 > VirtualAddress::USER_END.0 - (len << PAGE_SHIFT) {
                return Err(Errno::ENOMEM);
            }
            let pages = checked_pages(address, len << PAGE_SHIFT).ok_or(Errno::EINVAL)?;
            if !pages.start.is_multiple_of(alignment) {
                return Err(Errno::EINVAL);
            }
            if address.0 < self.state.limits.lowest_address {
                return Err(Errno::EPERM);
            }
            let is_taken = mappings.overlapping(pages.clone()).next().is_some();
            if flags.contains(MapFlags::FIXED_NOREPLACE) && is_taken {
                return Err(Errno::EEXIST);
            }
            return Ok(pages);
        }
        let hint = address.page_up().map_or(END_PAGE, |address| address.0 >> PAGE_SHIFT);
        if !address.is_null() {
            let hint = hint.max(MIN_PAGE).next_multiple_of(alignment);
            let is_inside = hint.checked_add(len).is_some_and(|end| end <= END_PAGE);
            let is_low = !flags.contains(MapFlags::LOW_32BIT) || hint + len <= unmapped_area::LOW_PAGES.end;
            if is_inside && is_low && unmapped_area::is_free(mappings, hint..hint + len) {
                return Ok(hint..hint + len);
            }
        }
        let base = unmapped_area::base_page(self.state.limits.stack_bytes);
        let start = if flags.contains(MapFlags::LOW_32BIT) {
            unmapped_area::find_lowest_aligned(mappings, unmapped_area::LOW_PAGES, len, alignment)
        } else {
            unmapped_area::find_highest_aligned(mappings, MIN_PAGE..base, len, alignment)
                .or_else(|| unmapped_area::find_lowest_aligned(mappings, base..END_PAGE, len, alignment))
        };
        start.map(|start| start..start + len).ok_or(Errno::ENOMEM)
    }

    /// Checks that `added` pages more, and the mapping of `pages`, are not too much.
    pub(super) fn check_room(&self, pages: &Range<u64>, added: u64) -> Result<(), Errno> {
        let mappings = &self.state.mappings;
        let total_bytes = (mappings.total_pages() + added) << PAGE_SHIFT;
        let is_within = total_bytes <= self.state.limits.address_space_bytes;
        if is_within && mappings.has_room(pages.clone(), 1) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Refuses `added` pages more like `mapping` if they may not be promised. Where that is guessed, as Linux does unless told
    /// otherwise: if they can never be in memory at once, and if there is hardly a beginning for them: better an error now than a
    /// fault that kills.
    pub(super) fn check_commit(&self, mapping: &Mapping, added: u64) -> Result<(), Errno> {
        let is_charged = match &mapping.contents {
            // The pool has what was promised.
            Contents::Cache { attachment, .. } if attachment.cache().is_huge() => false,
            Contents::Cache { attachment, file: None, .. } => !attachment.cache().has_source(),
            _ => mapping.is_private_writable(),
        };
        let frames = self.manager.frames();
        match frames.overcommit() {
            _ if !is_charged => return Ok(()),
            Overcommit::Never => return frames.check_promise(added),
            Overcommit::Always => return Ok(()),
            Overcommit::Guess if mapping.flags.contains(MappingFlags::NORESERVE) => return Ok(()),
            Overcommit::Guess => {}
        }
        let limit = frames.limit_frames();
        let beginning = added.min(limit / BEGINNING);
        if added > limit || frames.available_frames() < beginning {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Checks RLIMIT_DATA, if `added` pages more are to be like `mapping`.
    pub(super) fn check_data(&self, mapping: &Mapping, added: u64) -> Result<(), Errno> {
        let limit = self.state.limits.data_bytes;
        if limit == u64::MAX || !is_data(mapping) {
            return Ok(());
        }
        let data = self.state.mappings.iter().filter(|mapping| is_data(mapping));
        let total = data.map(Mapping::len).sum::<u64>() + added;
        if total << PAGE_SHIFT > limit { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Checks RLIMIT_MEMLOCK, if `added` pages more are to be like `mapping`.
    pub(super) fn check_locked(&self, mapping: &Mapping, added: u64) -> Result<(), Errno> {
        self.check_lockable(mapping.flags, added)
    }

    /// Checks RLIMIT_MEMLOCK for `added` pages more with `flags`.
    fn check_lockable(&self, flags: MappingFlags, added: u64) -> Result<(), Errno> {
        let total = self.state.mappings.locked_pages() + added;
        let is_locked = flags.contains(MappingFlags::LOCKED);
        if is_locked && total.saturating_mul(PAGE_SIZE) > self.state.limits.locked_bytes {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// Fills a small new mapping, or the head of a file's, with what needs no I/O. Returns whether the mapping is locked in memory.
    fn fill_new(&mut self, pages: Range<u64>) -> bool {
        self.with_filler(pages.start, |filler| {
            let mapping = filler.mapping;
            let is_small = pages.end - pages.start <= EAGER_PAGES || mapping.is_small_part_of_file(&pages);
            // A dynamic linker maps all of a library first, and other parts over all but its tables.
            let head = pages.start..pages.end.min(pages.start + EAGER_PAGES);
            let is_wanted = is_small || mapping.is_small_part_of_file(&head);
            let pages = if is_small { pages } else { head };
            let is_useful = match mapping.contents {
                Contents::Anonymous => mapping.protection.contains(Access::WRITE),
                // Shared writable pages count as changed once they are mapped: not before they are touched. Small data is going
                // to be copied.
                Contents::Cache { .. } => !mapping.may_share_writes() && !mapping.is_small_data(&pages),
                Contents::Frames { .. } => true,
            };
            let is_reserved = !mapping.flags.contains(MappingFlags::NORESERVE);
            if is_wanted && is_useful && is_reserved && !mapping.is_huge() && !mapping.protection.is_empty() {
                let touch = Touch { window: Some(pages.clone()), ..Touch::new(Access::READ) };
                filler.fill_eagerly(pages, &touch);
            }
            let lock = MappingFlags::LOCKED | MappingFlags::LOCKONFAULT;
            mapping.flags & lock == MappingFlags::LOCKED
        })
        .unwrap_or(false)
    }

    fn grow_heap(&mut self, pages: Range<u64>, heap_bytes: u64) -> Result<(), Errno> {
        let (data_start, data_end) = self.state.layout.data;
        let data_bytes = heap_bytes.saturating_add(data_end.0.saturating_sub(data_start.0));
        let len = pages.end - pages.start;
        if data_bytes > self.state.limits.data_bytes
            || !unmapped_area::is_free(&self.state.mappings, pages.clone())
        {
            return Err(Errno::ENOMEM);
        }
        let heap = Mapping {
            pages: pages.clone(),
            protection: Access::READ | Access::WRITE,
            max_protection: Protection::all(),
            flags: self.state.future_locks,
            contents: Contents::Anonymous,
            policy: MemoryPolicy::default(),
            name: None,
            userfaults: None,
            reservation: None,
        };
        self.check_room(&pages, len)?;
        self.check_commit(&heap, len)?;
        self.check_locked(&heap, len)?;
        self.state.mappings.insert(heap);
        self.fill_new(pages);
        Ok(())
    }

    /// Changes the protection of `pages`, up to the first place where that is not possible.
    fn protect(&mut self, pages: Range<u64>, protection: Protection) -> Result<(), Errno> {
        if !self.state.mappings.has_room(pages.clone(), 0) {
            return Err(Errno::ENOMEM);
        }
        self.check_unsealed(&pages)?;
        let mut end = self.state.mappings.covered_until(pages.clone());
        let mut outcome = if end < pages.end { Err(Errno::ENOMEM) } else { Ok(()) };
        for mapping in self.state.mappings.overlapping(pages.start..end) {
            let refusal = if !mapping.max_protection.contains(protection)
                || self.manager.denies(protection, mapping.protection)
            {
                Err(Errno::EACCES)
            } else if protection.contains(Access::WRITE) && !mapping.protection.contains(Access::WRITE) {
                let mut changed = mapping.clone();
                changed.protection = protection;
                let part = intersect(&mapping.pages, &pages);
                let added = part.end - part.start;
                self.check_data(&changed, added).and_then(|()| self.check_commit(&changed, added))
            } else {
                Ok(())
            };
            if refusal.is_err() {
                end = mapping.pages.start.max(pages.start);
                outcome = refusal;
                break;
            }
        }
        if pages.start < end {
            self.apply_protection(pages.start..end, protection);
        }
        outcome
    }

    fn apply_protection(&mut self, pages: Range<u64>, protection: Protection) {
        let changing: Vec<_> = self
            .state
            .mappings
            .overlapping(pages.clone())
            .filter(|mapping| mapping.protection != protection)
            .map(|mapping| {
                let was_reserved =
                    mapping.protection.is_empty() && matches!(mapping.contents, Contents::Anonymous);
                (intersect(&mapping.pages, &pages), was_reserved)
            })
            .collect();
        self.state.mappings.update(pages, |mapping| mapping.protection = protection);
        for (pages, was_reserved) in changing {
            self.reflect_protection(pages, protection, was_reserved);
        }
    }

    /// Brings the page tables in line with the protection that `pages` have now.
    fn reflect_protection(&mut self, pages: Range<u64>, protection: Protection, was_reserved: bool) {
        let is_small = |pages: &Range<u64>| pages.end - pages.start <= EAGER_PAGES;
        if let Some(resident) = self.state.pages.span(pages.clone()) {
            // Nothing keeps more than the new protection; what gains something gets it just below, or at the touch.
            let range = virtual_range(&resident);
            match protection.is_empty() {
                true => self.space().unmap(range),
                false => self.space().protect(range, (protection | Access::READ) - Access::WRITE),
            }
            if protection.contains(Access::WRITE) && is_small(&resident) {
                self.map_present(resident);
            }
        } else if was_reserved && protection.contains(Access::WRITE) && is_small(&pages) {
            // A heap that grows within its reservation.
            self.with_filler(pages.start, |filler| {
                let touch = Touch { window: Some(pages.clone()), ..Touch::new(Access::READ) };
                filler.fill_eagerly(pages, &touch);
            });
        }
    }

    /// Enters what is in memory of `pages` into the page tables.
    pub(super) fn map_present(&self, pages: Range<u64>) {
        for mapping in self.state.mappings.overlapping(pages.clone()) {
            let part = intersect(&mapping.pages, &pages);
            // What fails here is mapped at the touch.
            let _ = map_resident(self.space(), self.manager.frames(), mapping, &self.state.pages, part);
        }
    }
}

impl Mapping {
    /// Promises the huge pages of a new mapping, and has the file be as long as what may be written of it
    /// (`hugetlbfs_file_mmap`).
    ///
    /// # Errors
    /// ENOMEM: there are not so many. EINVAL: it does not begin with a whole one.
    fn reserve_huge(&mut self) -> Result<(), Errno> {
        let Some((cache, first)) = self.cached(self.pages.start) else { return Ok(()) };
        if !first.is_multiple_of(HUGE_PAGES) {
            return Err(Errno::EINVAL);
        }
        let cache = cache.clone();
        let end = first + self.len();
        let is_promised = !self.flags.contains(MappingFlags::NORESERVE);
        let promised = first..if is_promised { end } else { first };
        if self.is_shared() {
            cache.reserve_huge(promised)?;
        } else {
            self.reservation = cache.reserve_privately(promised)?;
        }
        if self.protection.contains(Access::WRITE) {
            cache.grow_to(end << PAGE_SHIFT);
        }
        Ok(())
    }

    /// Whether `pages` are private data of a file that is copied at once.
    fn is_small_data(&self, pages: &Range<u64>) -> bool {
        self.is_private_writable()
            && matches!(self.contents, Contents::Cache { .. })
            && pages.end - pages.start <= EAGER_COPY_PAGES
    }

    /// Whether `pages` show a part of a file that is wanted at once.
    fn is_small_part_of_file(&self, pages: &Range<u64>) -> bool {
        let is_code = self.protection.contains(Access::EXECUTE);
        let most = if is_code { EAGER_CODE_PAGES } else { EAGER_PAGES };
        self.protection.contains(Access::READ)
            && !self.is_shared()
            && matches!(&self.contents, Contents::Cache { file: Some(_), .. })
            && pages.end - pages.start <= most
    }

    /// Whether `page` comes from where its file is, and is not in memory.
    fn is_to_be_fetched(&self, page: u64) -> bool {
        self.cached(page).is_some_and(|(cache, index)| cache.is_to_be_fetched(index))
    }
}

fn is_data(mapping: &Mapping) -> bool {
    mapping.is_private_writable() && !mapping.flags.contains(MappingFlags::GROWSDOWN)
}

/// What mprotect(2) changes beyond its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Nothing.
    None,
    /// From the start of the stack on (PROT_GROWSDOWN).
    Down,
    /// To the end of a stack that grows upward (PROT_GROWSUP).
    Up,
}

/// The pages of a range that begins at a page boundary, wherever it lies. As on Linux a length that is too large to be rounded
/// up is 0; `None`: the range ends beyond all addresses.
pub(super) fn wrapping_pages(address: VirtualAddress, len_bytes: u64) -> Option<Range<u64>> {
    let len_bytes = len_bytes.checked_next_multiple_of(PAGE_SIZE).unwrap_or(0);
    let end = address.0.checked_add(len_bytes)?;
    Some(address.0 >> PAGE_SHIFT..end >> PAGE_SHIFT)
}

/// How many pages `len_bytes` take, if their end can be counted in bytes at all.
pub(super) fn pages_in(len_bytes: u64) -> Option<u64> {
    len_bytes.checked_next_multiple_of(PAGE_SIZE).map(|len_bytes| len_bytes >> PAGE_SHIFT)
}

/// The pages of a range that begins at a page boundary and lies in user memory.
pub(super) fn checked_pages(address: VirtualAddress, len_bytes: u64) -> Option<Range<u64>> {
    let start = address.0 >> PAGE_SHIFT;
    let end = start.checked_add(pages_in(len_bytes)?)?;
    (address.is_page_aligned() && end <= END_PAGE).then_some(start..end)
}
