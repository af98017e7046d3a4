//! Page faults: bring in what was touched, and map all around it.
//!
//! An exit costs as much as a few hundred frames, so a fault never brings in one page where the neighbours are
//! likely to be wanted too: see [`Streams`] for how many.

mod huge;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::account::FrameUse;
use super::allocator::CHUNK_FRAMES;
use super::frame::{Frame, FrameBatch};
use super::manager::{Edit, MemoryManager, State};
use super::mapping::{Contents, Mapping, MappingFlags, intersect, virtual_range};
use super::page_cache::{PageCache, Presence};
use super::stream::{MAX_WINDOW, Streams};
use super::table::{Entry, EntryFlags, FrameTable};
use super::unmapped_area::{MIN_PAGE, STACK_GUARD_PAGES};
use super::userfault::{FaultHandler, UserFault};
use super::{FrameAllocator, MemoryAccount};
use crate::Errno;
use crate::heap;
use crate::pace::Pace;
use crate::platform::{Access, AddressSpace, FrameRun, GuestAddress, PAGE_SHIFT, VirtualAddress, losses};

/// Pages that an isolated fault brings in.
const GROUP_PAGES: u64 = 16;
/// Most pages that a write to a shared page copies.
const MAX_COPY_PAGES: u64 = 128;
/// Pages of a file that a fault fetches.
const FETCH_PAGES: u64 = 64;
/// A stack grows by so much at a time, if it may.
const STACK_STEP_PAGES: u64 = 16;
/// Pages in memory that are changed with the lock held once.
pub(super) const STEP_PAGES: usize = 8192;
/// How often a fault begins anew because what it fetched was gone again.
pub(super) const MAX_ATTEMPTS: usize = 16;

/// Why a touch is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Nothing is mapped there (SIGSEGV, SEGV_MAPERR).
    #[error("nothing is mapped at the address")]
    Unmapped,
    /// The protection forbids it (SIGSEGV, SEGV_ACCERR).
    #[error("the protection forbids the access")]
    Denied,
    /// The file ends before the page (SIGBUS, BUS_ADRERR).
    #[error("the file ends before the address")]
    PastEnd,
    /// The page is as broken memory (SIGBUS, BUS_ADRERR, as of a kernel without `CONFIG_MEMORY_FAILURE`).
    #[error("the page has been poisoned")]
    Poisoned,
    /// Guest memory is exhausted.
    #[error("guest memory is exhausted")]
    OutOfMemory,
    /// The file could not be read (SIGBUS).
    #[error("the file could not be read: {0}")]
    Io(Errno),
}

impl From<FaultError> for Errno {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::OutOfMemory => Self::ENOMEM,
            _ => Self::EFAULT,
        }
    }
}

/// What a fault of user code took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// New memory, of zeroes.
    Zeroed = 0,
    /// Pages of a file that were in memory.
    Shared = 1,
    /// Pages of a file that had to be read.
    Fetched = 2,
    /// A copy of what is shared with others.
    Copied = 3,
    /// Nothing but its translation was missing.
    Resident = 4,
    /// It was not possible.
    Refused = 5,
}

impl FaultKind {
    /// All of them, by their numbers.
    pub const ALL: [Self; 6] =
        [Self::Zeroed, Self::Shared, Self::Fetched, Self::Copied, Self::Resident, Self::Refused];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zeroed => "new memory",
            Self::Shared => "file in memory",
            Self::Fetched => "file to be read",
            Self::Copied => "copy on write",
            Self::Resident => "translation only",
            Self::Refused => "refused",
        }
    }
}

/// How a fault was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// What it took.
    pub kind: FaultKind,
    /// Pages of files had to be given up for it.
    pub has_reclaimed: bool,
}

/// How a page is touched.
#[derive(Clone, Debug)]
pub(super) struct Touch {
    /// What is done: one of READ, WRITE, EXECUTE.
    pub(super) access: Access,
    /// Whether the protection is ignored, as ptrace does; what is private stays so.
    pub(super) is_forced: bool,
    /// Whether another process does it, or the sentry keeps the page.
    pub(super) is_foreign: bool,
    /// Whether user code does it, not a system call.
    pub(super) is_user: bool,
    /// The pages to bring in if that is known; otherwise experience decides.
    pub(super) window: Option<Range<u64>>,
}

impl Touch {
    /// A touch as user code does it.
    pub(super) fn new(access: Access) -> Self {
        Self { access, is_forced: false, is_foreign: false, is_user: false, window: None }
    }

    /// Whether `mapping` allows it.
    pub(super) fn is_allowed(&self, mapping: &Mapping) -> bool {
        let protection = mapping.protection;
        let is_foreign = self.is_forced || self.is_foreign;
        if mapping.flags.intersects(MappingFlags::OF_PAGES)
            || is_foreign && mapping.flags.contains(MappingFlags::SECRET)
        {
            return false;
        }
        if self.access.contains(Access::WRITE) {
            let is_private = self.is_forced && !mapping.is_shared();
            protection.contains(Access::WRITE) || is_private && mapping.max_protection.contains(Access::WRITE)
        } else if self.access.contains(Access::EXECUTE) {
            protection.contains(Access::EXECUTE)
        } else {
            self.is_forced || !protection.is_empty()
        }
    }

    /// Whether `entry` of `mapping` needs nothing more for it.
    pub(super) fn is_served_by(&self, mapping: &Mapping, entry: Entry) -> bool {
        let is_writable_at_once = mapping.is_shared() && !mapping.notes_writes();
        let is_protected = entry.has(EntryFlags::WRITE_PROTECTED) && entry.has(EntryFlags::PRIVATE);
        if is_protected && self.access.contains(Access::WRITE) {
            return false;
        }
        !self.access.contains(Access::WRITE) || is_writable_at_once || entry.has(EntryFlags::EXCLUSIVE)
    }
}

/// What became of a fault.
pub(super) enum Outcome {
    /// The page is mapped, and this is what it took.
    Mapped(FaultKind),
    /// Pages are to be fetched with no lock held; then the fault is to be tried again.
    Fetch { cache: Arc<PageCache>, index: u64, window: Range<u64> },
    /// Somebody else is to see to it, with no lock held; then the fault is to be tried again.
    Handle { handler: Arc<dyn FaultHandler>, fault: UserFault },
}

impl MemoryManager {
    /// Serves a fault of user code at `address`, which did exactly one of READ, WRITE and EXECUTE.
    ///
    /// # Errors
    /// The touch is not possible: the task gets a signal.
    pub fn handle_fault(&self, address: VirtualAddress, access: Access) -> Result<Served, FaultError> {
        self.count_fault();
        // What tables take is charged by force, so that who cannot pay for them gets no more.
        if heap::check_room(0).is_err() {
            self.note_shortage();
            return Err(FaultError::OutOfMemory);
        }
        self.fault_in(address.0 >> PAGE_SHIFT, &Touch { is_user: true, ..Touch::new(access) })
    }

    /// Finds out which of the mapped files the host cannot show any more to their ends: they end before that from now on. Returns
    /// whether there were any. Called with no lock held.
    pub fn cut_off_lost(&self) -> bool {
        let caches: BTreeMap<_, _> = {
            let state = self.state().read();
            let mappings = state.mappings.overlapping(0..u64::MAX);
            let caches = mappings.filter_map(|mapping| mapping.cached(mapping.pages.start));
            caches.map(|(cache, _)| (cache.id(), cache.clone())).collect()
        };
        caches.values().filter(|cache| cache.cut_off_lost()).count() > 0
    }

    /// Brings in `page`, and what belongs to it. That it is still there afterwards is likely, not sure.
    pub(super) fn fault_in(&self, page: u64, touch: &Touch) -> Result<Served, FaultError> {
        let mut has_reclaimed = false;
        let mut has_fetched = false;
        for _ in 0..MAX_ATTEMPTS {
            let outcome = self.edit().fault(page, touch);
            let frame_use = match &outcome {
                Ok(Outcome::Fetch { .. }) => FrameUse::File,
                _ => FrameUse::Anonymous,
            };
            let outcome = match outcome {
                Ok(Outcome::Mapped(kind)) => {
                    let kind = if has_fetched { FaultKind::Fetched } else { kind };
                    return Ok(Served { kind, has_reclaimed });
                }
                Ok(Outcome::Handle { handler, fault }) => handler.serve(fault),
                Ok(Outcome::Fetch { cache, index, window }) => {
                    has_fetched = true;
                    fetch(&cache, index, window, self.payer().as_ref())
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => {}
                Err(FaultError::OutOfMemory) if !has_reclaimed => {
                    has_reclaimed = true;
                    if self.frames().relieve(self.payer().as_ref(), frame_use, FETCH_PAGES as usize) == 0 {
                        self.note_shortage();
                        return Err(FaultError::OutOfMemory);
                    }
                }
                Err(error) => {
                    match error {
                        FaultError::OutOfMemory => self.note_shortage(),
                        FaultError::Io(_) => _ = self.cut_off_lost(),
                        _ => {}
                    }
                    return Err(error);
                }
            }
        }
        Ok(Served { kind: FaultKind::Fetched, has_reclaimed })
    }

    /// Brings in all of `pages` (mlock, MAP_POPULATE), as `access` would touch them; if there is none, as a
    /// write where that makes a page private, else as a read.
    pub(super) fn populate(
        &self,
        pages: Range<u64>,
        access: Option<Access>,
        pace: &dyn Pace,
    ) -> Result<(), FaultError> {
        let mut last = None;
        let mut next = pages.start;
        while next < pages.end {
            pace.keep_going().map_err(FaultError::Io)?;
            let (page, touch) = {
                let state = self.state().read();
                let Some(mapping) = state.mappings.find(next) else { return Err(FaultError::Unmapped) };
                let default = if mapping.is_private_writable() { Access::WRITE } else { Access::READ };
                let window = next..mapping.pages.end.min(pages.end).min(next + CHUNK_FRAMES as u64);
                let mut touch = Touch::new(access.unwrap_or(default));
                if mapping.is_guard() {
                    return Err(FaultError::Io(Errno::EFAULT));
                }
                if mapping.is_poisoned() {
                    return Err(FaultError::Poisoned);
                }
                if !touch.is_allowed(mapping) {
                    return Err(FaultError::Denied);
                }
                let is_served =
                    |page| state.pages.get(page).is_some_and(|entry| touch.is_served_by(mapping, entry));
                let Some(page) = window.clone().find(|&page| !is_served(page)) else {
                    next = window.end;
                    continue;
                };
                touch.window = Some(page..window.end);
                (page, touch)
            };
            if last.replace(page) == Some(page) {
                return Err(FaultError::OutOfMemory);
            }
            self.fault_in(page, &touch)?;
            next = page;
        }
        Ok(())
    }
}

impl MemoryManager {
    /// As [`Self::populate`], but what is more than there can be is left to the touches, and what fails, too.
    pub(super) fn populate_if_there_is_room(&self, pages: Range<u64>, pace: &dyn Pace) {
        if self.state().read().absent_pages(&pages) <= self.frames().available_frames() {
            let _ = self.populate(pages, None, pace);
        }
    }
}

impl State {
    /// The first part of `pages` that is unmapped or replaced in one step: some mappings with some pages in memory.
    pub(super) fn step_of(&self, pages: &Range<u64>) -> Range<u64> {
        let step = self.mappings.step_of(pages);
        let end = self.end_of_step(&step).unwrap_or(step.end);
        step.start..end
    }

    /// Where the first part of `pages` ends, if what they hold is too much to be changed in one step.
    pub(super) fn end_of_step(&self, pages: &Range<u64>) -> Option<u64> {
        self.pages.range(pages.clone()).nth(STEP_PAGES).map(|(page, _)| page)
    }

    /// Pages of `pages` that may be touched and are not in the table. Huge ones have a pool of their own.
    pub(super) fn absent_pages(&self, pages: &Range<u64>) -> u64 {
        let accessible = self
            .mappings
            .overlapping(pages.clone())
            .filter(|mapping| !mapping.protection.is_empty() && !mapping.is_huge());
        let absent = accessible.map(|mapping| {
            let part = intersect(&mapping.pages, pages);
            (part.end - part.start).saturating_sub(self.pages.range(part).count() as u64)
        });
        absent.sum()
    }
}

fn fetch(
    cache: &PageCache,
    index: u64,
    window: Range<u64>,
    payer: Option<&Arc<MemoryAccount>>,
) -> Result<(), FaultError> {
    let payer = payer.map(|payer| &**payer);
    let outcome = match cache.populate(index, window, payer) {
        Err(_) => cache.populate(index, index..index + 1, payer),
        Ok(()) => Ok(()),
    };
    outcome.map_err(|error| match error {
        Errno::ENOMEM => FaultError::OutOfMemory,
        error => FaultError::Io(error),
    })
}

impl Edit<'_> {
    /// Serves one fault, as far as that goes with the lock held.
    pub(super) fn fault(&mut self, page: u64, touch: &Touch) -> Result<Outcome, FaultError> {
        if self.state.mappings.find(page).is_none() {
            self.grow_stack(page)?;
        }
        self.with_filler(page, |filler| {
            if filler.mapping.is_guard() {
                return Err(FaultError::Unmapped);
            }
            if filler.mapping.is_poisoned() {
                return Err(FaultError::Poisoned);
            }
            if !touch.is_allowed(filler.mapping) {
                return Err(FaultError::Denied);
            }
            filler.serve(page, touch)
        })
        .unwrap_or(Err(FaultError::Unmapped))
    }

    /// Runs `body` on the mapping of `page`, if there is one.
    pub(super) fn with_filler<T>(&mut self, page: u64, body: impl FnOnce(&mut Filler<'_>) -> T) -> Option<T> {
        let state = &mut *self.state;
        let mut filler = Filler {
            mapping: state.mappings.find(page)?,
            pages: &mut state.pages,
            streams: &mut state.streams,
            displaced: &mut self.removed,
            frames: self.manager.frames(),
            payer: state.payer.as_deref(),
            space: &**self.manager.address_space(),
        };
        Some(body(&mut filler))
    }

    /// Extends the stack that begins above `page` so that it holds it.
    fn grow_stack(&mut self, page: u64) -> Result<(), FaultError> {
        let mappings = &self.state.mappings;
        let stack = mappings.at_or_after(page).ok_or(FaultError::Unmapped)?;
        let limit_pages = self.state.limits.stack_bytes >> PAGE_SHIFT;
        let lowest = stack.pages.end.saturating_sub(limit_pages).max(MIN_PAGE);
        // Others keep their distance, except guard pages and other stacks.
        let lowest = match mappings.before(stack.pages.start) {
            Some(other) if other.protection.is_empty() || other.flags.contains(MappingFlags::GROWSDOWN) => {
                lowest.max(other.pages.end)
            }
            Some(other) => lowest.max(other.pages.end + STACK_GUARD_PAGES),
            None => lowest,
        };
        if !stack.flags.contains(MappingFlags::GROWSDOWN) || page < lowest {
            return Err(FaultError::Unmapped);
        }
        let start = page.saturating_sub(STACK_STEP_PAGES - 1).max(lowest);
        let grown = stack.pages.start - start;
        let total_bytes = (mappings.total_pages() + grown) << PAGE_SHIFT;
        if total_bytes > self.state.limits.address_space_bytes {
            return Err(FaultError::Unmapped);
        }
        let old = stack.pages.clone();
        for mut stack in self.state.mappings.take(old) {
            stack.move_start(start);
            self.state.mappings.insert(stack);
        }
        Ok(())
    }
}

/// Brings pages of one mapping into memory.
pub(super) struct Filler<'a> {
    pub(super) mapping: &'a Mapping,
    pages: &'a mut FrameTable,
    streams: &'a mut Streams,
    displaced: &'a mut FrameBatch,
    frames: &'a Arc<FrameAllocator>,
    payer: Option<&'a MemoryAccount>,
    space: &'a dyn AddressSpace,
}

impl Filler<'_> {
    /// Brings in `page` for `touch`, and maps it and its neighbours.
    fn serve(&mut self, page: u64, touch: &Touch) -> Result<Outcome, FaultError> {
        let entry = self.pages.get(page);
        let Some(registration) = &self.mapping.userfaults else { return self.bring_in(page, touch) };
        let manner = (touch.access.contains(Access::WRITE), touch.is_user);
        if let Some((handler, fault)) = registration.fault(self.mapping, page, entry, manner) {
            return Ok(Outcome::Handle { handler, fault });
        }
        // Of the neighbours somebody else is to hear.
        self.bring_in(page, &Touch { window: Some(page..page + 1), ..touch.clone() })
    }

    /// Brings in `page` without asking anybody.
    fn bring_in(&mut self, page: u64, touch: &Touch) -> Result<Outcome, FaultError> {
        if self.mapping.is_huge() {
            return self.bring_in_huge(page, touch);
        }
        let bounds = &self.mapping.pages;
        let block_start = page - page % CHUNK_FRAMES as u64;
        let block = match self.mapping.userfaults {
            Some(_) => page..page + 1,
            None => intersect(&(block_start..block_start + CHUNK_FRAMES as u64), bounds),
        };
        let mut changed = block.clone();
        let mut kind = FaultKind::Resident;
        if self.pages.get(page).is_none() {
            kind = match &self.mapping.contents {
                Contents::Anonymous => FaultKind::Zeroed,
                Contents::Frames { .. } | Contents::Cache { .. } => FaultKind::Shared,
            };
            changed = match &self.mapping.contents {
                Contents::Anonymous => self.fill_with_zeroes(page, touch)?,
                Contents::Frames { frames, first, .. } => self.share_given(frames, *first),
                Contents::Cache { .. } => match self.share_cached(page, touch, block)? {
                    Some(changed) => changed,
                    None => return Ok(self.fetch_for(page, touch)),
                },
            };
        }
        let Some(mut entry) = self.pages.get(page) else { return Ok(self.fetch_for(page, touch)) };
        if entry.has(EntryFlags::WRITE_PROTECTED)
            && entry.has(EntryFlags::PRIVATE)
            && touch.access.contains(Access::WRITE)
        {
            // Nobody is there any more who would hear of it.
            entry = entry.without(EntryFlags::WRITE_PROTECTED);
            self.pages.replace_flags(page, entry);
        }
        if !touch.is_served_by(self.mapping, entry) {
            kind = if self.mapping.is_shared() { kind } else { FaultKind::Copied };
            let owned = match self.mapping.is_shared() {
                true => self.note_write(page)?,
                false => self.make_exclusive(page, touch)?,
            };
            changed = changed.start.min(owned.start)..changed.end.max(owned.end);
        }
        self.map(changed)?;
        Ok(Outcome::Mapped(kind))
    }

    /// Fills all that is absent of the mapping's `pages` with what needs no I/O, and maps it. For small new mappings.
    pub(super) fn fill_eagerly(&mut self, pages: Range<u64>, touch: &Touch) {
        let outcome = match &self.mapping.contents {
            Contents::Anonymous => self.fill_with_zeroes(pages.start, touch).map(drop),
            Contents::Frames { frames, first, .. } => {
                self.share_given(frames, *first);
                Ok(())
            }
            Contents::Cache { .. } => self.install_cached(&pages).map_err(FaultError::Io),
        };
        // What fails here fails again at the touch, which is then the place to say so.
        if outcome.is_ok() {
            let _ = self.map(pages);
        }
    }

    /// Enters what is in memory of `pages` into the page tables.
    pub(super) fn map(&mut self, pages: Range<u64>) -> Result<(), FaultError> {
        map_resident(self.space, self.frames, self.mapping, self.pages, pages)
    }

    /// Copies what `mapping` shares with other address spaces or with a cache, around `page`, so that it may be
    /// written. Returns what has to be mapped anew.
    fn make_exclusive(&mut self, page: u64, touch: &Touch) -> Result<Range<u64>, FaultError> {
        let window = match &touch.window {
            Some(window) => intersect(window, &self.mapping.pages),
            None if touch.is_forced => page..page + 1,
            None => {
                let max = self.window_limit().min(MAX_COPY_PAGES);
                self.streams.window(page, &self.mapping.pages, GROUP_PAGES.min(max), max)
            }
        };
        let mut to_copy = Vec::new();
        for (number, entry) in self.pages.range(window.clone()).collect::<Vec<_>>() {
            if entry.has(EntryFlags::EXCLUSIVE) {
                continue;
            }
            if entry.has(EntryFlags::PRIVATE) && self.frames.is_exclusive(entry.number()) {
                self.pages.set_flags(number, EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE);
            } else {
                to_copy.push((number, entry));
            }
        }
        if self.copy(&to_copy).is_err() {
            // Not all that was wished for, but what is needed.
            match self.pages.get(page) {
                Some(entry) if !entry.has(EntryFlags::EXCLUSIVE) => self.copy(&[(page, entry)])?,
                _ => {}
            }
        }
        Ok(window)
    }

    /// Has the cache know that `page` is written from now on. If the cache has another page there by now, that is for the next
    /// touch to find.
    fn note_write(&mut self, page: u64) -> Result<Range<u64>, FaultError> {
        let page_alone = page..page + 1;
        let (Some((cache, index)), Some(entry)) = (self.mapping.cached(page), self.pages.get(page)) else {
            return Ok(page_alone);
        };
        if cache.note_write(index, entry.number()).map_err(FaultError::Io)? {
            self.pages.set_flags(page, EntryFlags::EXCLUSIVE);
        } else {
            self.pages.take(page_alone.clone(), self.displaced, |_, _| true);
            self.space.unmap(virtual_range(&page_alone));
        }
        Ok(page_alone)
    }

    fn copy(&mut self, entries: &[(u64, Entry)]) -> Result<(), FaultError> {
        let mut rest = entries;
        while !rest.is_empty() {
            let span = self
                .frames
                .allocate_span_for(self.payer, FrameUse::Anonymous, rest.len())
                .map_err(|_| FaultError::OutOfMemory)?;
            let (now, later) = rest.split_at(span.count);
            let losses_before = losses();
            for (&(_, entry), copy) in now.iter().zip(span.numbers()) {
                self.frames.copy(entry.number(), copy);
            }
            if losses() != losses_before {
                span.numbers().for_each(|copy| self.displaced.push(copy));
                return Err(FaultError::Io(Errno::EIO));
            }
            for (&(page, _), copy) in now.iter().zip(span.numbers()) {
                let entry = Entry::new(copy, EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE);
                self.pages.insert(page, entry, self.displaced);
            }
            rest = later;
        }
        Ok(())
    }

    /// Anonymous memory: new frames around `page`.
    fn fill_with_zeroes(&mut self, page: u64, touch: &Touch) -> Result<Range<u64>, FaultError> {
        let window = match &touch.window {
            Some(window) => intersect(window, &self.mapping.pages),
            None if touch.is_forced => page..page + 1,
            None => {
                let max = self.window_limit();
                self.streams.window(page, &self.mapping.pages, GROUP_PAGES.min(max), max)
            }
        };
        for gap in self.pages.gaps(window.clone()) {
            if self.fill_gap(gap).is_err() {
                break;
            }
        }
        if self.pages.get(page).is_none() {
            self.fill_gap(page..page + 1)?;
        }
        Ok(window)
    }

    fn fill_gap(&mut self, gap: Range<u64>) -> Result<(), FaultError> {
        let large = CHUNK_FRAMES as u64;
        let mut next = gap.start;
        while next < gap.end {
            // Whole chunks come where large pages can map them.
            let until = if next.is_multiple_of(large) { next + large } else { next.next_multiple_of(large) };
            let wanted = until.min(gap.end) - next;
            let span = self
                .frames
                .allocate_span_for(self.payer, FrameUse::Anonymous, wanted as usize)
                .map_err(|_| FaultError::OutOfMemory)?;
            for number in span.numbers() {
                let entry = Entry::new(number, EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE);
                self.pages.insert(next, entry, self.displaced);
                next += 1;
            }
        }
        Ok(())
    }

    /// Takes over what the cache has of the block of `page`. `None`: the page itself must be fetched first.
    fn share_cached(
        &mut self,
        page: u64,
        touch: &Touch,
        block: Range<u64>,
    ) -> Result<Option<Range<u64>>, FaultError> {
        let Some((cache, index)) = self.mapping.cached(page) else { return Ok(None) };
        let window = match &touch.window {
            Some(window) => intersect(window, &self.mapping.pages),
            None if touch.is_forced => page..page + 1,
            None => {
                // A hole in a file stays a hole where nobody has been; shared memory is all there to be used.
                let is_file = matches!(&self.mapping.contents, Contents::Cache { file: Some(_), .. });
                let (first, max) = (if is_file { 1 } else { GROUP_PAGES }, self.window_limit());
                self.streams.window(page, &self.mapping.pages, first.min(max), max)
            }
        };
        let first = index - (page - window.start);
        let indexes = first..first + (window.end - window.start);
        match cache.prepare(index, indexes, self.payer) {
            Ok(Presence::Ready) => {}
            Ok(Presence::InSource) => return Ok(None),
            Ok(Presence::PastEnd) => return Err(FaultError::PastEnd),
            Err(Errno::ENOMEM) => return Err(FaultError::OutOfMemory),
            Err(error) => return Err(FaultError::Io(error)),
        }
        let is_costly = self.counts_as_written(cache) && cache.has_source();
        let all = match is_costly {
            true => window,
            false => window.start.min(block.start)..window.end.max(block.end),
        };
        let outcome = self.install_cached(&all);
        if self.pages.get(page).is_none() {
            outcome.map_err(FaultError::Io)?;
        }
        Ok(Some(all))
    }

    /// Takes over the pages of `pages` that the cache has and the mapping has not.
    fn install_cached(&mut self, pages: &Range<u64>) -> Result<(), Errno> {
        for gap in self.pages.gaps(pages.clone()) {
            let Some((cache, first)) = self.mapping.cached(gap.start) else { break };
            let indexes = first..first + (gap.end - gap.start);
            let may_write = self.counts_as_written(cache);
            cache.share(indexes, may_write, |index, number| {
                let entry = Entry::new(number, EntryFlags::empty());
                self.pages.insert(gap.start + (index - first), entry, self.displaced);
            })?;
        }
        Ok(())
    }

    /// Whether what the mapping takes over from `cache` counts as changed, since it may be written unnoticed: only what is wanted
    /// is taken then.
    fn counts_as_written(&self, cache: &PageCache) -> bool {
        self.mapping.may_share_writes() && !cache.takes_changes()
    }

    /// Takes over all the given frames that the mapping shows.
    fn share_given(&mut self, given: &[Frame], first: u64) -> Range<u64> {
        let pages = self.mapping.pages.clone();
        for gap in self.pages.gaps(pages.clone()) {
            for page in gap {
                let Some(frame) = given.get((first + (page - pages.start)) as usize) else { break };
                self.frames.retain(frame.number());
                self.pages.insert(page, Entry::new(frame.number(), EntryFlags::empty()), self.displaced);
            }
        }
        pages
    }

    fn fetch_for(&self, page: u64, touch: &Touch) -> Outcome {
        let Some((cache, index)) = self.mapping.cached(page) else {
            return Outcome::Mapped(FaultKind::Resident);
        };
        let window = match &touch.window {
            Some(window) => {
                let window = intersect(window, &self.mapping.pages);
                let first = index - (page - window.start);
                first..first + (window.end - window.start)
            }
            None => {
                let is_random = self.mapping.flags.contains(MappingFlags::RAND_READ);
                let count = if is_random { GROUP_PAGES } else { FETCH_PAGES };
                let first = index - index % count;
                first..first + count
            }
        };
        Outcome::Fetch { cache: cache.clone(), index, window }
    }

    /// Most pages that one fault may bring in: less when memory gets short.
    fn window_limit(&self) -> u64 {
        (self.frames.free_frames() / 16).clamp(1, MAX_WINDOW)
    }
}

/// Enters what `table` has of `pages`, which lie in `mapping`, into the page tables.
pub(super) fn map_resident(
    space: &dyn AddressSpace,
    frames: &FrameAllocator,
    mapping: &Mapping,
    table: &FrameTable,
    pages: Range<u64>,
) -> Result<(), FaultError> {
    if mapping.protection.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::default();
    let mut outcome = Ok(());
    for (page, entry) in table.range(pages.clone()) {
        let is_exclusive = entry.has(EntryFlags::EXCLUSIVE) && !entry.has(EntryFlags::WRITE_PROTECTED);
        let access = mapping.access(is_exclusive);
        let is_text = !entry.has(EntryFlags::PRIVATE) && mapping.is_text();
        if page != batch.pages.end || access != batch.access || is_text != batch.text_of.is_some() {
            outcome = outcome.and_then(|()| batch.flush(space));
            let text_of = mapping.cached(page).filter(|_| is_text).map(|(cache, _)| &**cache);
            batch = Batch { pages: page..page, access, text_of, runs: Vec::new() };
        }
        batch.push(frames.address(entry.number()));
    }
    outcome = outcome.and_then(|()| batch.flush(space));
    if outcome.is_err() {
        // An old translation may be left: none is right, a wrong one is not.
        space.unmap(virtual_range(&pages));
    }
    outcome
}

/// Pages that follow each other and have the same access.
#[derive(Default)]
struct Batch<'a> {
    pages: Range<u64>,
    access: Access,
    /// The pages of this cache are text.
    text_of: Option<&'a PageCache>,
    runs: Vec<FrameRun>,
}

impl Batch<'_> {
    fn push(&mut self, address: GuestAddress) {
        match self.runs.last_mut() {
            Some(run) if run.start.0 + ((run.pages as u64) << PAGE_SHIFT) == address.0 => run.pages += 1,
            _ => self.runs.push(FrameRun { start: address, pages: 1 }),
        }
        self.pages.end += 1;
    }

    fn flush(&self, space: &dyn AddressSpace) -> Result<(), FaultError> {
        if self.runs.is_empty() {
            return Ok(());
        }
        let start = virtual_range(&self.pages).start;
        let may_be_rewritten = |cache: &PageCache| space.knows_text(&self.runs) && cache.allows_copies();
        let mapped = match self.text_of {
            Some(cache) if may_be_rewritten(cache) => space.map_text(start, &self.runs),
            _ => space.map(start, &self.runs, self.access),
        };
        mapped.map_err(|error| {
            log::debug!("a page is not mapped: {error}");
            FaultError::OutOfMemory
        })
    }
}
