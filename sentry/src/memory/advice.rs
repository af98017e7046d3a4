//! What user code tells and asks about pages: madvise(2), msync(2), mincore(2).

use std::ops::Range;
use std::sync::Arc;

use linux_raw_sys::general as uapi;

use super::fault::FaultError;
use super::huge_pages::HUGE_PAGES;
use super::manager::{Edit, MemoryManager};
use super::map::{checked_pages, wrapping_pages};
use super::mapping::{Contents, Mapping, MappingFlags, intersect};
use super::page_cache::PageCache;
use crate::Errno;
use crate::pace::Pace;
use crate::platform::{Access, PAGE_SHIFT, VirtualAddress};

/// Of Linux 6.13 and later (`asm-generic/mman-common.h`).
const MADV_GUARD_INSTALL: u32 = 102;
const MADV_GUARD_REMOVE: u32 = 103;
/// Pages that MADV_WILLNEED fetches at most.
const MAX_WILL_NEED_PAGES: u64 = 1024;

impl MemoryManager {
    /// Takes advice (an `MADV_*` value) about a range (`man 2 madvise`).
    ///
    /// # Errors
    /// EINVAL, EACCES, EFAULT; ENOMEM if something is not mapped, all else having been advised.
    pub fn madvise(
        &self,
        address: VirtualAddress,
        len_bytes: u64,
        advice: u32,
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        let action = Action::parse(advice)?;
        if !address.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let pages = wrapping_pages(address, len_bytes).ok_or(Errno::EINVAL)?;
        if len_bytes > 0 && pages.is_empty() {
            return Err(Errno::EINVAL);
        }
        if pages.is_empty() {
            return Ok(());
        }
        let pages = self.edit().whole_huge_pages(&action, pages)?;
        if action.throws_away() {
            self.edit().check_may_discard(&pages)?;
        }
        match action {
            Action::Populate(access) => self.populate_for_advice(pages, access, pace),
            Action::WillNeed => self.fetch_ahead(pages, pace),
            Action::Remove => self.punch(pages, pace),
            Action::Age => self.edit().check_may_age(&pages),
            Action::Forget { is_free, locked_too } => {
                let mut next = pages.start;
                while next < pages.end {
                    let mut edit = self.edit();
                    let step = edit.state.step_of(&(next..pages.end));
                    next = step.end;
                    edit.forget(step, is_free, locked_too)?;
                    drop(edit);
                    pace.keep_going()?;
                }
                self.edit().check_mapped(&pages)
            }
            Action::InstallGuards => self.install_guards(&pages, pace),
            Action::RemoveGuards => {
                self.edit().check_guardable(&pages, MappingFlags::empty())?;
                self.update_in_steps(pages.clone(), pace, |mapping| {
                    mapping.flags.remove(MappingFlags::GUARD);
                })?;
                self.edit().check_mapped(&pages)
            }
            Action::Flags { set, clear } => {
                self.edit().check_flags(&pages, set, clear)?;
                self.update_in_steps(pages.clone(), pace, |mapping| {
                    mapping.flags = (mapping.flags - clear) | set;
                })?;
                self.edit().check_mapped(&pages)
            }
        }
    }

    /// Checks what msync(2) checks, and writes back what has been changed of a file that is the host's; others agree with
    /// their mappings at all times.
    ///
    /// # Errors
    /// EINVAL, EBUSY, ENOMEM, as the manual page has them; EIO and the like from the host; EINTR from `pace`.
    pub fn msync(
        &self,
        address: VirtualAddress,
        len_bytes: u64,
        flags: u32,
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        let both = uapi::MS_ASYNC | uapi::MS_SYNC;
        if flags & !(both | uapi::MS_INVALIDATE) != 0 || flags & both == both || !address.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let pages = wrapping_pages(address, len_bytes).ok_or(Errno::ENOMEM)?;
        let shared: Vec<_> = {
            let edit = self.edit();
            let mut mappings = edit.state.mappings.overlapping(pages.clone());
            if flags & uapi::MS_INVALIDATE != 0
                && mappings.any(|mapping| mapping.flags.contains(MappingFlags::LOCKED))
            {
                return Err(Errno::EBUSY);
            }
            edit.check_mapped(&pages)?;
            edit.state.mappings.overlapping(pages.clone()).filter_map(host_part(&pages)).collect()
        };
        shared.into_iter().try_for_each(|(cache, bytes)| {
            pace.keep_going()?;
            cache.synchronise(bytes, pace)
        })
    }

    /// Which of `pages` pages are in memory, 1 or 0 each, up to the first that is not mapped (`man 2 mincore`). The caller
    /// bounds their number.
    ///
    /// # Errors
    /// EINVAL; ENOMEM if the first is not mapped.
    pub fn mincore(&self, address: VirtualAddress, pages: u64) -> Result<Vec<u8>, Errno> {
        if !address.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let len_bytes = pages.checked_mul(1 << PAGE_SHIFT).ok_or(Errno::ENOMEM)?;
        let pages = checked_pages(address, len_bytes).ok_or(Errno::ENOMEM)?;
        let state = self.state().read();
        let mut residency = Vec::new();
        let mut next = pages.start;
        for mapping in state.mappings.overlapping(pages.clone()) {
            let part = intersect(&mapping.pages, &pages);
            if part.start != next {
                break;
            }
            next = part.end;
            residency.extend(part.map(|page| {
                let is_cached =
                    || mapping.cached(page).is_some_and(|(cache, index)| cache.is_resident(index));
                u8::from(state.pages.get(page).is_some() || is_cached())
            }));
        }
        if residency.is_empty() && !pages.is_empty() { Err(Errno::ENOMEM) } else { Ok(residency) }
    }

    fn populate_for_advice(&self, pages: Range<u64>, access: Access, pace: &dyn Pace) -> Result<(), Errno> {
        {
            let edit = self.edit();
            if edit.state.absent_pages(&pages) > self.frames().available_frames() {
                return Err(Errno::ENOMEM);
            }
        }
        self.populate(pages, Some(access), pace).map_err(|error| match error {
            FaultError::Unmapped | FaultError::OutOfMemory => Errno::ENOMEM,
            FaultError::Denied => Errno::EINVAL,
            FaultError::Poisoned => Errno::EHWPOISON,
            FaultError::PastEnd | FaultError::Io(_) => Errno::EFAULT,
        })
    }

    /// MADV_GUARD_INSTALL: what the pages hold is lost, and no touch of them is served any more.
    fn install_guards(&self, pages: &Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        self.edit().check_guardable(pages, MappingFlags::LOCKED)?;
        let mut next = pages.start;
        while next < pages.end {
            let mut edit = self.edit();
            let step = edit.state.step_of(&(next..pages.end));
            edit.check_guardable(&step, MappingFlags::LOCKED)?;
            next = step.end;
            edit.state.mappings.update(step.clone(), |mapping| {
                mapping.flags.remove(MappingFlags::POISONED);
                mapping.flags.insert(MappingFlags::GUARD);
            });
            edit.discard(step, |_| true);
            drop(edit);
            pace.keep_going()?;
        }
        self.edit().check_mapped(pages)
    }

    fn fetch_ahead(&self, pages: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        let (wanted, outcome) = {
            let edit = self.edit();
            (edit.caches_of(&pages), edit.check_mapped(&pages))
        };
        for (cache, indexes) in wanted {
            pace.keep_going()?;
            let end = indexes.end.min(indexes.start.saturating_add(MAX_WILL_NEED_PAGES));
            // Only advice: what cannot be read now says so when it is touched.
            let _ = cache.populate(indexes.start, indexes.start..end, self.payer().as_deref());
        }
        outcome
    }

    /// MADV_REMOVE: frees what is behind the mappings too.
    fn punch(&self, pages: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        let (wanted, outcome) = {
            let edit = self.edit();
            for mapping in edit.state.mappings.overlapping(pages.clone()) {
                if mapping.flags.contains(MappingFlags::LOCKED)
                    || mapping.cached(mapping.pages.start).is_none()
                {
                    return Err(Errno::EINVAL);
                }
                if !mapping.may_share_writes() {
                    return Err(Errno::EACCES);
                }
            }
            (edit.caches_of(&pages), edit.check_mapped(&pages))
        };
        for (cache, indexes) in wanted {
            pace.keep_going()?;
            let (start, end) = (indexes.start << PAGE_SHIFT, indexes.end << PAGE_SHIFT);
            match cache.is_huge() {
                true => cache.punch_huge(start..end, pace)?,
                false => cache.punch_hole(start, end - start, pace)?,
            }
        }
        outcome
    }
}

impl Edit<'_> {
    fn check_mapped(&self, pages: &Range<u64>) -> Result<(), Errno> {
        if self.state.mappings.covers(pages.clone()) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Up to the first locked mapping or gap, there is nothing to do.
    fn check_may_age(&self, pages: &Range<u64>) -> Result<(), Errno> {
        let mut mappings = self.state.mappings.overlapping(pages.clone());
        if mappings.any(|mapping| mapping.flags.contains(MappingFlags::LOCKED)) {
            return Err(Errno::EINVAL);
        }
        self.check_mapped(pages)
    }

    /// Fails if the mappings of `pages` cannot have guards put up or removed: the kernel's own cannot, nor can those with one of
    /// `refused`.
    fn check_guardable(&self, pages: &Range<u64>, refused: MappingFlags) -> Result<(), Errno> {
        let mut mappings = self.state.mappings.overlapping(pages.clone());
        let is_refused = mappings.any(|mapping| {
            matches!(mapping.contents, Contents::Frames { .. }) || mapping.flags.intersects(refused)
        });
        if is_refused {
            return Err(Errno::EINVAL);
        }
        if self.state.mappings.has_room(pages.clone(), 0) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// `pages` without a last part of a huge page, which is not forgotten. Of these little else is possible.
    fn whole_huge_pages(&self, action: &Action, mut pages: Range<u64>) -> Result<Range<u64>, Errno> {
        let is_huge = |mapping: &&Mapping| mapping.is_huge();
        if self.state.mappings.overlapping(pages.clone()).find(is_huge).is_none() {
            return Ok(pages);
        }
        match action {
            Action::Forget { is_free: false, .. } => {
                self.check_divisible(&(pages.start..pages.start))?;
                let last = self.state.mappings.find(pages.end).filter(is_huge);
                if last.is_some_and(|mapping| mapping.pages.start < pages.end) {
                    pages.end = (pages.end - pages.end % HUGE_PAGES).max(pages.start);
                }
                Ok(pages)
            }
            Action::Forget { .. } | Action::Age | Action::InstallGuards => Err(Errno::EINVAL),
            Action::Flags { .. } => self.check_divisible(&pages).map(|()| pages),
            Action::Populate(_) | Action::WillNeed | Action::Remove | Action::RemoveGuards => Ok(pages),
        }
    }

    fn caches_of(&self, pages: &Range<u64>) -> Vec<(Arc<PageCache>, Range<u64>)> {
        let mappings = self.state.mappings.overlapping(pages.clone());
        mappings
            .filter_map(|mapping| {
                let part = intersect(&mapping.pages, pages);
                let (cache, first) = mapping.cached(part.start)?;
                Some((cache.clone(), first..first + (part.end - part.start)))
            })
            .collect()
    }

    fn forget(&mut self, pages: Range<u64>, is_free: bool, locked_too: bool) -> Result<(), Errno> {
        let parts: Vec<_> = self
            .state
            .mappings
            .overlapping(pages.clone())
            .map(|mapping| {
                let is_anonymous = matches!(mapping.contents, Contents::Anonymous);
                let is_locked = mapping.flags.contains(MappingFlags::LOCKED) && !locked_too;
                (intersect(&mapping.pages, &pages), !is_locked && (is_anonymous || !is_free))
            })
            .collect();
        for (part, is_possible) in parts {
            if !is_possible {
                return Err(Errno::EINVAL);
            }
            self.heal(&part);
            self.discard(part, |_| true);
        }
        Ok(())
    }

    /// Fails if the mappings of `pages` cannot be given the flags `set`, or lose `clear`.
    fn check_flags(&self, pages: &Range<u64>, set: MappingFlags, clear: MappingFlags) -> Result<(), Errno> {
        let is_private = |mapping: &Mapping| matches!(mapping.contents, Contents::Anonymous);
        let mut mappings = self.state.mappings.overlapping(pages.clone());
        if set.contains(MappingFlags::WIPEONFORK) && !mappings.all(is_private) {
            return Err(Errno::EINVAL);
        }
        drop(mappings);
        // What may be thrown away is in no dump, and in no child, whatever is wanted.
        let mut mappings = self.state.mappings.overlapping(pages.clone());
        if clear.intersects(MappingFlags::DONTDUMP | MappingFlags::WIPEONFORK)
            && mappings.any(|mapping| mapping.flags.contains(MappingFlags::DROPPABLE))
        {
            return Err(Errno::EINVAL);
        }
        if self.state.mappings.has_room(pages.clone(), 0) { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}

/// What a piece of advice comes to.
enum Action {
    Flags {
        set: MappingFlags,
        clear: MappingFlags,
    },
    Forget {
        is_free: bool,
        locked_too: bool,
    },
    Populate(Access),
    WillNeed,
    Remove,
    /// Pages are to be given up sooner: a hint, and no locked ones.
    Age,
    /// Pages lose what they hold, and cannot be touched.
    InstallGuards,
    /// They can be touched again.
    RemoveGuards,
}

/// The part of a mapping within `pages` that is of a file whose source takes changes back: the file's cache, and its bytes.
fn host_part(pages: &Range<u64>) -> impl Fn(&Mapping) -> Option<(Arc<PageCache>, Range<u64>)> + '_ {
    |mapping| {
        let part = intersect(&mapping.pages, pages);
        let (cache, first) = mapping.cached(part.start)?;
        let (start, len_bytes) = (first << PAGE_SHIFT, (part.end - part.start) << PAGE_SHIFT);
        (mapping.may_share_writes() && cache.has_source())
            .then(|| (cache.clone(), start..start.saturating_add(len_bytes)))
    }
}

impl Action {
    /// Whether what memory holds is lost, at once or in a child.
    fn throws_away(&self) -> bool {
        match self {
            Self::Forget { .. } | Self::Remove | Self::InstallGuards => true,
            Self::Flags { set, .. } => set.intersects(MappingFlags::DONTCOPY | MappingFlags::WIPEONFORK),
            Self::Populate(_) | Self::WillNeed | Self::Age | Self::RemoveGuards => false,
        }
    }

    fn parse(advice: u32) -> Result<Self, Errno> {
        let none = MappingFlags::empty();
        let order = MappingFlags::SEQ_READ | MappingFlags::RAND_READ;
        let flags = |set, clear| Self::Flags { set, clear };
        Ok(match advice {
            uapi::MADV_NORMAL => flags(none, order),
            uapi::MADV_SEQUENTIAL => flags(MappingFlags::SEQ_READ, order),
            uapi::MADV_RANDOM => flags(MappingFlags::RAND_READ, order),
            uapi::MADV_DONTFORK => flags(MappingFlags::DONTCOPY, none),
            uapi::MADV_DOFORK => flags(none, MappingFlags::DONTCOPY),
            uapi::MADV_WIPEONFORK => flags(MappingFlags::WIPEONFORK, none),
            uapi::MADV_KEEPONFORK => flags(none, MappingFlags::WIPEONFORK),
            uapi::MADV_DONTDUMP => flags(MappingFlags::DONTDUMP, none),
            uapi::MADV_DODUMP => flags(none, MappingFlags::DONTDUMP),
            uapi::MADV_MERGEABLE => flags(MappingFlags::MERGEABLE, none),
            uapi::MADV_UNMERGEABLE => flags(none, MappingFlags::MERGEABLE),
            uapi::MADV_HUGEPAGE => flags(MappingFlags::HUGEPAGE, MappingFlags::NOHUGEPAGE),
            uapi::MADV_NOHUGEPAGE => flags(MappingFlags::NOHUGEPAGE, MappingFlags::HUGEPAGE),
            uapi::MADV_DONTNEED => Self::Forget { is_free: false, locked_too: false },
            uapi::MADV_DONTNEED_LOCKED => Self::Forget { is_free: false, locked_too: true },
            // Freeing at once is one of the moments that Linux may choose.
            uapi::MADV_FREE => Self::Forget { is_free: true, locked_too: false },
            uapi::MADV_POPULATE_READ => Self::Populate(Access::READ),
            uapi::MADV_POPULATE_WRITE => Self::Populate(Access::WRITE),
            uapi::MADV_WILLNEED => Self::WillNeed,
            uapi::MADV_REMOVE => Self::Remove,
            uapi::MADV_COLD | uapi::MADV_PAGEOUT => Self::Age,
            MADV_GUARD_INSTALL => Self::InstallGuards,
            MADV_GUARD_REMOVE => Self::RemoveGuards,
            _ => return Err(Errno::EINVAL),
        })
    }
}
