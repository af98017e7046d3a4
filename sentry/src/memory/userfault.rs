//! Pages that another thread brings in: what userfaultfd(2) does to an address space.
//!
//! A mapping may be registered with a [`FaultHandler`]. A touch of a page that is not there, or that is protected, is then
//! handed to it with no lock held, as fetching a page of a file is; it returns once the touch is worth another try.

use std::ops::Range;
use std::sync::Arc;

use super::account::FrameUse;
use super::fault::FaultError;
use super::manager::{Edit, MemoryManager};
use super::map::checked_pages;
use super::mapping::{Contents, Mapping, MappingFlags, virtual_range};
use super::table::{Entry, EntryFlags};
use crate::Errno;
use crate::pace::Pace;
use crate::platform::{Access, PAGE_SHIFT, PAGE_SIZE, VirtualAddress};

bitflags::bitflags! {
    /// What is to be told of (`UFFDIO_REGISTER_MODE_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct UserfaultModes: u64 {
        /// Touches of pages that are not there.
        const MISSING = 1 << 0;
        /// Writes to pages that are protected.
        const WP = 1 << 1;
        /// Touches of pages that are there, but not in the address space.
        const MINOR = 1 << 2;
    }
}

/// A touch that somebody else is to see to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserFault {
    /// The page.
    pub address: VirtualAddress,
    /// Which of the modes it is: one.
    pub mode: UserfaultModes,
    /// Whether it writes.
    pub is_write: bool,
    /// Whether user code does it, not a system call.
    pub is_user: bool,
}

/// Whoever brings in pages.
pub trait FaultHandler: Send + Sync {
    /// Tells of `fault`, and waits until it is worth another try. Called with no lock of the memory room held.
    ///
    /// # Errors
    /// The touch is not possible.
    fn serve(&self, fault: UserFault) -> Result<(), FaultError>;

    /// Whether anybody listens.
    fn is_open(&self) -> bool;

    /// A number that no other has.
    fn id(&self) -> u64;
}

/// Who hears of touches of a mapping, and of which.
#[derive(Clone)]
pub(super) struct Registration {
    handler: Arc<dyn FaultHandler>,
    modes: UserfaultModes,
}

impl PartialEq for Registration {
    fn eq(&self, other: &Self) -> bool {
        (self.handler.id(), self.modes) == (other.handler.id(), other.modes)
    }
}

impl Registration {
    /// Who is to hear of a touch of `page` of `mapping`, whose table has `entry`; `None` if it is served as any other.
    pub(super) fn fault(
        &self,
        mapping: &Mapping,
        page: u64,
        entry: Option<Entry>,
        (is_write, is_user): (bool, bool),
    ) -> Option<(Arc<dyn FaultHandler>, UserFault)> {
        let mode = match (entry, mapping.cached(page)) {
            (Some(entry), _) if is_write && entry.has(EntryFlags::WRITE_PROTECTED) => UserfaultModes::WP,
            (Some(_), _) => return None,
            (None, Some((cache, index))) if cache.is_resident(index) => UserfaultModes::MINOR,
            (None, _) => UserfaultModes::MISSING,
        };
        if !self.modes.contains(mode) || !self.handler.is_open() {
            return None;
        }
        let address = VirtualAddress(page << PAGE_SHIFT);
        Some((self.handler.clone(), UserFault { address, mode, is_write, is_user }))
    }
}

impl MemoryManager {
    /// Has `handler` hear of touches in a range. Pages of zeroes that only stand ready count as not there.
    ///
    /// # Errors
    /// EINVAL: the range, or one of its mappings, is not fit for it; ENOMEM: nothing is mapped there; EBUSY: another hears of it
    /// already; EINTR from `pace`.
    pub fn register_userfaults(
        &self,
        (address, len_bytes): (VirtualAddress, u64),
        handler: &Arc<dyn FaultHandler>,
        modes: UserfaultModes,
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        let pages = whole_pages(address, len_bytes)?;
        self.edit().check_registrable(&pages, handler.id(), modes)?;
        let mut rest = pages;
        while !rest.is_empty() {
            let mut edit = self.edit();
            let step = edit.state.step_of(&rest);
            edit.check_registrable(&step, handler.id(), modes).or_else(|error| match error {
                Errno::ENOMEM => Ok(()),
                error => Err(error),
            })?;
            rest.start = step.end;
            let registration = Registration { handler: handler.clone(), modes };
            edit.state.mappings.update(step.clone(), |mapping| {
                mapping.userfaults = Some(registration.clone());
            });
            if modes.contains(UserfaultModes::MISSING) {
                edit.discard_zeroes(&step);
            }
            // What only stands ready of a cache is to be told of as well.
            edit.discard(step, |entry| !entry.has(EntryFlags::PRIVATE));
            drop(edit);
            pace.keep_going()?;
        }
        Ok(())
    }

    /// Has nobody hear of touches in a range any more.
    ///
    /// # Errors
    /// EINVAL, ENOMEM, as for [`Self::register_userfaults`]; EINTR from `pace`.
    pub fn unregister_userfaults(
        &self,
        (address, len_bytes): (VirtualAddress, u64),
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        let pages = whole_pages(address, len_bytes)?;
        {
            let edit = self.edit();
            let mut mappings = edit.state.mappings.overlapping(pages.clone()).peekable();
            mappings.peek().ok_or(Errno::EINVAL)?;
            if !mappings.all(is_fit) {
                return Err(Errno::EINVAL);
            }
        }
        self.forget_userfaults(pages, |_| true, pace)
    }

    /// Ends all that `id` has been registered for.
    ///
    /// # Errors
    /// EINTR from `pace`.
    pub fn end_userfaults(&self, id: u64, pace: &dyn Pace) -> Result<(), Errno> {
        let all = 0..VirtualAddress::USER_END.0 >> PAGE_SHIFT;
        self.forget_userfaults(all, |registration| registration.handler.id() == id, pace)
    }

    fn forget_userfaults(
        &self,
        mut pages: Range<u64>,
        is_meant: impl Fn(&Registration) -> bool,
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        // Let go after the lock: they may be the last.
        let mut ended = Vec::new();
        while !pages.is_empty() {
            let mut edit = self.edit();
            let step = edit.state.step_of(&pages);
            pages.start = step.end;
            let is_registered = |mapping: &Mapping| mapping.userfaults.as_ref().is_some_and(&is_meant);
            if edit.state.mappings.overlapping(step.clone()).any(is_registered) {
                edit.state.mappings.update(step.clone(), |mapping| {
                    ended.extend(mapping.userfaults.take_if(|registration| is_meant(registration)));
                });
                edit.set_protected(&step, false);
            }
            drop(edit);
            pace.keep_going()?;
        }
        Ok(())
    }

    /// Puts a page with `bytes`, or of zeroes, where there is none (UFFDIO_COPY, UFFDIO_ZEROPAGE).
    ///
    /// # Errors
    /// ENOENT: the range is not registered with `id`, or not for that. EEXIST: there is a page. ENOMEM; EFAULT.
    pub fn install_page(
        &self,
        address: VirtualAddress,
        bytes: Option<&[u8]>,
        (id, is_protected): (u64, bool),
    ) -> Result<(), Errno> {
        let page = address.0 >> PAGE_SHIFT;
        let mut edit = self.edit();
        let mapping = edit.registered(page, id)?;
        if is_protected
            && !mapping.userfaults.as_ref().is_some_and(|own| own.modes.contains(UserfaultModes::WP))
        {
            return Err(Errno::EINVAL);
        }
        if mapping.is_poisoned() || edit.state.pages.get(page).is_some() {
            return Err(Errno::EEXIST);
        }
        if let Some((cache, index)) = mapping.cached(page) {
            let (cache, offset, payer) = (cache.clone(), index << PAGE_SHIFT, edit.state.payer.clone());
            drop(edit);
            if cache.is_resident(index) {
                return Err(Errno::EEXIST);
            }
            if offset >= cache.size() {
                return Err(Errno::EFAULT);
            }
            let zeroes = [0; PAGE_SIZE as usize];
            let len = usize::try_from((cache.size() - offset).min(PAGE_SIZE)).unwrap_or(0);
            let bytes = bytes.unwrap_or(&zeroes).get(..len).ok_or(Errno::EFAULT)?;
            return cache.write_at(bytes, offset, payer.as_ref()).map(drop);
        }
        let payer = edit.state.payer.clone();
        let span = self.frames().allocate_span_for(payer.as_deref(), FrameUse::Anonymous, 1)?;
        let frame = self.frames().slice(span.first, PAGE_SIZE as usize);
        if let Some(bytes) = bytes {
            frame.copy_from(bytes);
        }
        let mut flags = EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE;
        flags.set(EntryFlags::WRITE_PROTECTED, is_protected);
        let Edit { state, removed, .. } = &mut edit;
        state.pages.insert(page, Entry::new(span.first, flags), removed);
        Ok(())
    }

    /// Takes over the page that the file behind a mapping has (UFFDIO_CONTINUE).
    ///
    /// # Errors
    /// ENOENT: the range is not registered with `id`. EFAULT: there is no page. EEXIST: it has been taken over.
    pub fn continue_page(&self, address: VirtualAddress, id: u64) -> Result<(), Errno> {
        let page = address.0 >> PAGE_SHIFT;
        let mut edit = self.edit();
        let mapping = edit.registered(page, id)?;
        let (cache, index) = mapping.cached(page).ok_or(Errno::EINVAL)?;
        let (cache, may_write) = (cache.clone(), mapping.may_share_writes());
        if mapping.is_poisoned() || edit.state.pages.get(page).is_some() {
            return Err(Errno::EEXIST);
        }
        let mut found = None;
        cache.share(index..index + 1, may_write, |_, number| found = Some(number))?;
        let number = found.ok_or(Errno::EFAULT)?;
        let Edit { state, removed, .. } = &mut edit;
        state.pages.insert(page, Entry::new(number, EntryFlags::empty()), removed);
        Ok(())
    }

    /// Has touches of a page that is not there fail from now on (UFFDIO_POISON).
    ///
    /// # Errors
    /// ENOENT: the range is not registered with `id`. EEXIST: there is a page. ENOMEM: too many mappings.
    pub fn poison_page(&self, address: VirtualAddress, id: u64) -> Result<(), Errno> {
        let page = address.0 >> PAGE_SHIFT;
        let mut edit = self.edit();
        let mapping = edit.registered(page, id)?;
        if mapping.is_poisoned() || edit.state.pages.get(page).is_some() {
            return Err(Errno::EEXIST);
        }
        if !edit.state.mappings.has_room(page..page + 1, 0) {
            return Err(Errno::ENOMEM);
        }
        let Edit { state, .. } = &mut edit;
        state.mappings.update(page..page + 1, |mapping| mapping.flags.insert(MappingFlags::POISONED));
        Ok(())
    }

    /// Moves the page at `source` to where there is none (UFFDIO_MOVE). Returns whether there was one.
    ///
    /// # Errors
    /// ENOENT: the target is not registered with `id`, or nothing is mapped at the source. EINVAL: their mappings do not fit
    /// each other. EEXIST: there is a page at the target. EBUSY: others share the one at the source.
    pub fn move_page(&self, source: VirtualAddress, target: VirtualAddress, id: u64) -> Result<bool, Errno> {
        let (from, to) = (source.0 >> PAGE_SHIFT, target.0 >> PAGE_SHIFT);
        let mut edit = self.edit();
        let (old, new) = (edit.state.mappings.find(from).ok_or(Errno::ENOENT)?, edit.registered(to, id)?);
        if !is_movable(old, new) {
            return Err(Errno::EINVAL);
        }
        if new.is_poisoned() || edit.state.pages.get(to).is_some() {
            return Err(Errno::EEXIST);
        }
        if old.is_poisoned() {
            return Err(Errno::EFAULT);
        }
        match edit.state.pages.get(from) {
            None => return Ok(false),
            Some(entry) if !entry.has_all(EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE) => {
                return Err(Errno::EBUSY);
            }
            Some(_) => {}
        }
        edit.state.pages.shift(from..from + 1, to);
        edit.space().unmap(virtual_range(&(from..from + 1)));
        Ok(true)
    }

    /// Protects the pages that are there in a range from writes, or no longer (UFFDIO_WRITEPROTECT).
    ///
    /// # Errors
    /// EINVAL; ENOENT: the range is not registered with `id` for that; EINTR from `pace`.
    pub fn protect_pages(
        &self,
        (address, len_bytes): (VirtualAddress, u64),
        (id, is_protected): (u64, bool),
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        let pages = whole_pages(address, len_bytes)?;
        {
            let edit = self.edit();
            let is_registered = |mapping: &Mapping| {
                mapping
                    .userfaults
                    .as_ref()
                    .is_some_and(|own| own.handler.id() == id && own.modes.contains(UserfaultModes::WP))
            };
            if !edit.state.mappings.covers(pages.clone())
                || !edit.state.mappings.overlapping(pages.clone()).all(is_registered)
            {
                return Err(Errno::ENOENT);
            }
        }
        let mut rest = pages;
        while !rest.is_empty() {
            let mut edit = self.edit();
            let step = edit.state.step_of(&rest);
            rest.start = step.end;
            edit.set_protected(&step, is_protected);
            drop(edit);
            pace.keep_going()?;
        }
        Ok(())
    }
}

impl Edit<'_> {
    /// Fails if the mappings of `pages` cannot be registered.
    fn check_registrable(&self, pages: &Range<u64>, id: u64, modes: UserfaultModes) -> Result<(), Errno> {
        let mut is_any = false;
        for mapping in self.state.mappings.overlapping(pages.clone()) {
            is_any = true;
            let is_anonymous = matches!(mapping.contents, Contents::Anonymous);
            let is_served = match is_anonymous {
                true => !modes.contains(UserfaultModes::MINOR),
                false => !modes.contains(UserfaultModes::WP),
            };
            if !is_fit(mapping) || !is_served || mapping.is_huge() {
                return Err(Errno::EINVAL);
            }
            if !mapping.max_protection.contains(Access::WRITE) {
                return Err(Errno::EPERM);
            }
            if mapping.userfaults.as_ref().is_some_and(|own| own.handler.id() != id && own.handler.is_open())
            {
                return Err(Errno::EBUSY);
            }
        }
        if !self.state.mappings.has_room(pages.clone(), 0) || !is_any {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// The mapping of `page`, which is registered with `id`.
    fn registered(&self, page: u64, id: u64) -> Result<&Mapping, Errno> {
        let mapping = self.state.mappings.find(page).ok_or(Errno::ENOENT)?;
        let is_own = mapping.userfaults.as_ref().is_some_and(|own| own.handler.id() == id);
        if is_own { Ok(mapping) } else { Err(Errno::ENOENT) }
    }

    /// Pages that were poisoned can be touched again, for what they held is lost.
    pub(super) fn heal(&mut self, pages: &Range<u64>) {
        if self.state.mappings.overlapping(pages.clone()).any(Mapping::is_poisoned) {
            self.state.mappings.update(pages.clone(), |mapping| mapping.flags.remove(MappingFlags::POISONED));
        }
    }

    /// Gives up pages of the process's own that hold nothing.
    fn discard_zeroes(&mut self, pages: &Range<u64>) {
        let frames = self.manager.frames().clone();
        self.discard(pages.clone(), |entry| {
            let mut words = [0u64; PAGE_SIZE as usize / size_of::<u64>()];
            frames.slice(entry.number(), PAGE_SIZE as usize).copy_to(&mut words);
            entry.has(EntryFlags::EXCLUSIVE) && words == [0; PAGE_SIZE as usize / size_of::<u64>()]
        });
    }

    /// Protects the pages of the process's own from writes, or no longer.
    fn set_protected(&mut self, pages: &Range<u64>, is_protected: bool) {
        let entries: Vec<_> = self.state.pages.range(pages.clone()).collect();
        for (page, entry) in entries {
            if entry.has(EntryFlags::PRIVATE) {
                let both = EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE;
                let mut flags = if entry.has(EntryFlags::EXCLUSIVE) { both } else { EntryFlags::PRIVATE };
                flags.set(EntryFlags::WRITE_PROTECTED, is_protected);
                self.state.pages.set_flags(page, flags);
            }
        }
        // Faults show what is there, as it may be touched now.
        self.space().unmap(virtual_range(pages));
    }
}

/// Whether somebody else may bring in the pages of `mapping`: anonymous memory, and files that are only in memory.
fn is_fit(mapping: &Mapping) -> bool {
    match &mapping.contents {
        Contents::Anonymous => true,
        Contents::Cache { attachment, .. } => !attachment.cache().has_source(),
        Contents::Frames { .. } => false,
    }
}

/// Whether pages of `old` may become those of `new`: private anonymous ones that the program may write, and locked alike.
fn is_movable(old: &Mapping, new: &Mapping) -> bool {
    let is_private = |mapping: &Mapping| matches!(mapping.contents, Contents::Anonymous);
    is_private(old)
        && is_private(new)
        && old.protection == new.protection
        && old.protection.contains(Access::WRITE)
        && (old.flags ^ new.flags) & MappingFlags::LOCKED == MappingFlags::empty()
}

fn whole_pages(address: VirtualAddress, len_bytes: u64) -> Result<Range<u64>, Errno> {
    let is_whole = address.is_page_aligned() && len_bytes.is_multiple_of(PAGE_SIZE) && len_bytes > 0;
    checked_pages(address, len_bytes).filter(|_| is_whole).ok_or(Errno::EINVAL)
}
