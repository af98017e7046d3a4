//! The pages of one file.
//!
//! Reads, writes and mappings of a file all meet in its [`PageCache`], so they agree at once. A cache may have a
//! source (a host file): pages come from it at the first touch, in windows that grow while a file is read in
//! sequence; what the guest changes stays in memory, unless the source [takes it back](write_back). Without a source (tmpfs, shared
//! anonymous memory) an absent page is a hole that reads as zero.
//!
//! A cache knows who maps it, and has its pages unmapped when the file shrinks.

mod copies;
mod holes;
mod host_pages;
mod huge;
mod io;
mod mappers;
#[cfg(test)]
mod tests;
mod write_back;

use std::ops::Range;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use vm_memory::VolatileSlice;

use crate::memory::allocator::{CacheKind, FrameAllocator, Reclaim, zero};
use crate::memory::frame::{Frame, FrameBatch, FrameNumber};
use crate::memory::huge_pages::{HugeQuota, HugeStore};
use crate::memory::table::{Entry, EntryFlags, FrameTable};
use crate::memory::{FrameUse, MemoryAccount};
use copies::Copies;
pub use host_pages::HostExtent;
use mappers::Mappers;
pub(in crate::memory) use mappers::{Attachment, Mapper};

use crate::Errno;
use crate::pace::{Pace, Unhurried};
use crate::platform::{PAGE_SHIFT, PAGE_SIZE};
use crate::slices;

/// Pages that are written with the lock held once.
const WRITE_PAGES: u64 = 64;
/// How often an operation fetches the same page anew, when memory is so short that it is gone each time.
const MAX_ATTEMPTS: usize = 16;
/// The largest file, Linux's `MAX_LFS_FILESIZE`.
const MAX_SIZE: u64 = i64::MAX as u64;

/// Where the pages of a file come from.
pub trait PageSource: Send + Sync {
    /// Reads the file from `offset` (bytes, page-aligned) into `destination`, which holds zeroes. Where the file
    /// ends early the zeroes stay.
    ///
    /// # Errors
    /// The file could not be read.
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno>;

    /// Where the host has the file's bytes, if its own pages of them may be shown: who may change them means to.
    fn host_extent(&self) -> Option<HostExtent> {
        None
    }

    /// Whether what mappings change is to go back there. If so the file is read and written there, not in the cache.
    fn takes_changes(&self) -> bool {
        false
    }

    /// Takes `changed`, the file's bytes from `offset` on.
    ///
    /// # Errors
    /// The file could not be written.
    fn take_back(&self, _offset: u64, _changed: VolatileSlice<'_>) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    /// The file's size in bytes, if others may change the file.
    fn current_size(&self) -> Option<u64> {
        None
    }
}

/// Fills `destination` with what `read` finds from an offset in bytes on, up to where it finds nothing more
/// ([`PageSource::fill`]). Returns how many bytes there were.
///
/// # Errors
/// EFBIG: past the last offset; those of `read`.
pub fn fill_by_reads(
    offset: u64,
    destination: VolatileSlice<'_>,
    mut read: impl FnMut(&mut [u8], u64) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    /// Bytes that are copied at a time.
    const COPY_LEN: usize = 64 * 1024;
    let mut buffer = vec![0; COPY_LEN.min(destination.len())];
    let mut done = 0;
    while done < destination.len() {
        let len = buffer.len().min(destination.len() - done);
        let portion = slices::first_mut(&mut buffer, len)?;
        let found = read(portion, offset.checked_add(done as u64).ok_or(Errno::EFBIG)?)?;
        if found == 0 {
            break;
        }
        let target = destination.subslice(done, found).map_err(|_| Errno::EIO)?;
        target.copy_from(slices::first(&buffer, found)?);
        done += found;
    }
    Ok(done)
}

/// Bounds the pages of caches: the size of a tmpfs.
pub trait PageBudget: Send + Sync {
    /// Counts `pages` more.
    ///
    /// # Errors
    /// They would be too many (ENOSPC).
    fn charge(&self, pages: u64) -> Result<(), Errno>;

    /// Counts `pages` less.
    fn uncharge(&self, pages: u64);
}

/// What a fault finds in a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::memory) enum Presence {
    /// The page is there.
    Ready,
    /// The page is to be [populated](PageCache::populate) first, with no lock held.
    InSource,
    /// The file ends before the page.
    PastEnd,
}

/// The pages of one file.
pub struct PageCache {
    id: u64,
    frames: Arc<FrameAllocator>,
    source: Option<Box<dyn PageSource>>,
    budget: Option<Arc<dyn PageBudget>>,
    /// Its pages are of the pool of huge ones.
    huge: Option<HugeStore>,
    state: RwLock<State>,
    mappers: Mutex<Mappers>,
    copies: Mutex<Copies>,
}

struct State {
    size: u64,
    /// Bytes from here on never come from the source.
    source_end: u64,
    /// Changes when pages are removed: what was read from the source before is then stale.
    generation: u64,
    pages: FrameTable,
    /// The page that a sequential reader wants next, and the window of its last fetch.
    next_read: u64,
    window: u64,
    /// Where reclaiming goes on, so that the pages fetched last go last.
    hand: u64,
    /// The host's own pages are shown: nobody has begun to write.
    shows_host: bool,
    /// How many of the pages are the host's.
    host_pages: u64,
}

impl PageCache {
    /// The cache of a file of `size` bytes, whose pages come from `source` if there is one.
    pub fn new(frames: &Arc<FrameAllocator>, source: Option<Box<dyn PageSource>>, size: u64) -> Arc<Self> {
        Self::with_budget(frames, source, size, None)
    }

    /// As [`PageCache::new`], with each page counted by `budget`.
    pub fn with_budget(
        frames: &Arc<FrameAllocator>,
        source: Option<Box<dyn PageSource>>,
        size: u64,
        budget: Option<Arc<dyn PageBudget>>,
    ) -> Arc<Self> {
        Self::with_store(frames, source, size, budget, None)
    }

    /// The cache of a file of huge pages, which `quota` counts. Its size is a multiple of theirs.
    pub fn new_huge(frames: &Arc<FrameAllocator>, size: u64, quota: Option<Arc<HugeQuota>>) -> Arc<Self> {
        Self::with_store(frames, None, size, None, Some(HugeStore::new(frames, quota)))
    }

    fn with_store(
        frames: &Arc<FrameAllocator>,
        source: Option<Box<dyn PageSource>>,
        size: u64,
        budget: Option<Arc<dyn PageBudget>>,
        huge: Option<HugeStore>,
    ) -> Arc<Self> {
        let size = size.min(MAX_SIZE);
        let cache = Arc::new(Self {
            id: frames.new_id(),
            frames: frames.clone(),
            budget,
            huge,
            state: RwLock::new(State {
                size,
                source_end: if source.is_some() { size } else { 0 },
                generation: 0,
                pages: FrameTable::new(frames),
                next_read: 0,
                window: 0,
                hand: 0,
                shows_host: source.as_ref().is_some_and(|source| !source.takes_changes()),
                host_pages: 0,
            }),
            source,
            mappers: Mutex::default(),
            copies: Mutex::default(),
        });
        if cache.source.is_some() {
            let weak: Weak<dyn Reclaim> = Arc::<Self>::downgrade(&cache);
            frames.register(weak);
        }
        cache
    }

    /// A number that no other cache has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.state.read().size
    }

    /// How many pages are in memory.
    pub fn pages(&self) -> u64 {
        self.state.read().pages.len()
    }

    /// Changes the file's size. What is cut off is unmapped everywhere, at `pace`, but to the end; what is added reads as zero
    /// (`man 2 truncate`).
    ///
    /// # Errors
    /// EFBIG past the largest file; the source's error or ENOMEM, if the last page is to be cut and cannot be had.
    pub fn resize(&self, size: u64, pace: &dyn Pace) -> Result<(), Errno> {
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let _writing = self.begin_write();
        let removed = {
            let mut state = self.state.write();
            let old_size = std::mem::replace(&mut state.size, size);
            self.zero_tail(&state, old_size.min(size));
            if size >= old_size {
                return Ok(());
            }
            state.source_end = state.source_end.min(size);
            state.generation += 1;
            self.cut(&mut state, pages_of(size))
        };
        self.cut_reservation(size);
        self.unmap_at_pace(pages_of(size)..u64::MAX, true, pace);
        self.frames.leave(removed);
        Ok(())
    }

    /// The page with number `index`, fetched if need be.
    ///
    /// # Errors
    /// ENXIO past the end; the source's, the budget's or ENOMEM.
    pub fn page(&self, index: u64) -> Result<Frame, Errno> {
        for _ in 0..MAX_ATTEMPTS {
            match self.prepare(index, index..index + 1, None)? {
                Presence::PastEnd => return Err(Errno::ENXIO),
                Presence::InSource => self.populate(index, index..index + 1, None)?,
                Presence::Ready => {
                    let state = self.state.read();
                    if let Some(entry) = state.pages.get(index) {
                        self.frames.retain(entry.number());
                        return Ok(Frame::adopt(self.frames.clone(), entry.number()));
                    }
                }
            }
        }
        Err(Errno::ENOMEM)
    }

    /// Finds out what must happen before page `index` can be mapped. Where no source is needed, the absent
    /// pages of `window` are made, and `payer` pays for them.
    pub(in crate::memory) fn prepare(
        &self,
        index: u64,
        window: Range<u64>,
        payer: Option<&MemoryAccount>,
    ) -> Result<Presence, Errno> {
        {
            let state = self.state.read();
            if index >= pages_of(state.size) {
                return Ok(Presence::PastEnd);
            }
            if state.pages.get(index).is_some() {
                return Ok(Presence::Ready);
            }
            if index < pages_of(state.source_end) {
                return Ok(Presence::InSource);
            }
        }
        let mut state = self.state.write();
        if index >= pages_of(state.size) {
            return Ok(Presence::PastEnd);
        }
        if let Some(store) = &self.huge {
            self.insert_huge(store, &mut state, index)?;
            return Ok(Presence::Ready);
        }
        let window = window.start.max(pages_of(state.source_end))..window.end.min(pages_of(state.size));
        if self.insert_zeroes(&mut state, window, payer).is_err() {
            self.insert_zeroes(&mut state, index..index + 1, payer)?;
        }
        Ok(Presence::Ready)
    }

    /// The parts of `pages` that the source has and the cache lacks, and the generation that they are of.
    fn missing_from_source(&self, pages: &Range<u64>) -> (Vec<Range<u64>>, u64) {
        let state = self.state.read();
        let pages = pages.start..pages.end.min(pages_of(state.source_end));
        (state.pages.gaps(pages), state.generation)
    }

    /// Fetches page `needed`, and what else is missing of `pages` around it, from the source; `payer` pays. Called with no
    /// lock held. That the page is there afterwards is likely, not sure: it may have been removed again.
    pub(in crate::memory) fn populate(
        &self,
        needed: u64,
        mut pages: Range<u64>,
        payer: Option<&MemoryAccount>,
    ) -> Result<(), Errno> {
        let Some(source) = &self.source else { return Ok(()) };
        if self.take_over_from_host(needed, &pages) {
            return Ok(());
        }
        if self.frames.free_frames() < pages.end.saturating_sub(pages.start) {
            // Making room for the neighbours could take the page itself away again.
            pages = needed..needed + 1;
        }
        let (gaps, generation) = self.missing_from_source(&pages);
        for gap in gaps {
            let mut next = gap.start;
            while next < gap.end {
                let span = self.frames.allocate_span_for(payer, FrameUse::File, (gap.end - next) as usize)?;
                let mut loaded = FrameBatch::new(&self.frames);
                span.numbers().for_each(|number| loaded.push(number));
                let len_bytes = span.count << PAGE_SHIFT;
                source.fill(next << PAGE_SHIFT, self.frames.slice(span.first, len_bytes))?;
                if !self.insert_loaded(next, span.numbers(), generation) {
                    return Ok(());
                }
                next += span.count as u64;
            }
        }
        Ok(())
    }

    /// Hands the pages of `pages` that are there, with one more reference each, to `receive`. If they may be
    /// written through the mapping, they count as changed from now on.
    ///
    /// # Errors
    /// The budget's, for pages that would change; those before them have been handed over.
    pub(in crate::memory) fn share(
        &self,
        pages: Range<u64>,
        may_write: bool,
        mut receive: impl FnMut(u64, FrameNumber),
    ) -> Result<(), Errno> {
        let mut give = |index, entry: Entry| {
            self.frames.retain(entry.number());
            receive(index, entry.number());
        };
        if !may_write || self.source.is_none() {
            let state = self.state.read();
            let pages = pages.start..pages.end.min(pages_of(state.size));
            state.pages.range(pages).for_each(|(index, entry)| give(index, entry));
            return Ok(());
        }
        let mut state = self.state.write();
        let pages = pages.start..pages.end.min(pages_of(state.size));
        let entries: Vec<_> = state.pages.range(pages).collect();
        for (index, entry) in entries {
            self.mark_changed(&mut state, index, entry)?;
            give(index, entry);
        }
        Ok(())
    }

    /// Whether pages may come from a source.
    pub(in crate::memory) fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// Whether page `index` is in memory.
    pub(in crate::memory) fn is_resident(&self, index: u64) -> bool {
        self.state.read().pages.get(index).is_some()
    }

    /// How many of `pages` are in memory.
    pub fn resident_pages(&self, pages: Range<u64>) -> u64 {
        self.state.read().pages.range(pages).count() as u64
    }

    /// Whether page `index` comes from the source, and is not in memory.
    pub(in crate::memory) fn is_to_be_fetched(&self, index: u64) -> bool {
        let state = self.state.read();
        index < pages_of(state.source_end) && state.pages.get(index).is_none()
    }

    /// Makes the absent pages of `pages` with zeroes.
    fn insert_zeroes(
        &self,
        state: &mut State,
        pages: Range<u64>,
        payer: Option<&MemoryAccount>,
    ) -> Result<(), Errno> {
        let mut displaced = FrameBatch::new(&self.frames);
        let frame_use = if self.source.is_some() { FrameUse::File } else { FrameUse::Shared };
        for gap in state.pages.gaps(pages) {
            let mut next = gap.start;
            while next < gap.end {
                let span = self.frames.allocate_span_for(payer, frame_use, (gap.end - next) as usize)?;
                if let Err(error) = self.charge(span.count as u64) {
                    self.frames.release(&span.numbers().collect::<Vec<_>>());
                    return Err(error);
                }
                self.frames.count_cached(self.kind(), span.count as i64);
                for number in span.numbers() {
                    state.pages.insert(next, Entry::new(number, EntryFlags::DIRTY), &mut displaced);
                    next += 1;
                }
            }
        }
        Ok(())
    }

    /// Enters pages that were read from the source, where nothing else has come in between. Returns false if
    /// they are stale.
    fn insert_loaded(
        &self,
        first: u64,
        numbers: impl ExactSizeIterator<Item = FrameNumber>,
        generation: u64,
    ) -> bool {
        let mut displaced = FrameBatch::new(&self.frames);
        let mut state = self.state.write();
        if state.generation != generation {
            return false;
        }
        for (page, number) in (first..).zip(numbers) {
            if state.pages.get(page).is_none() {
                // The source may be longer than what the file still has of it.
                let end = state.source_end.saturating_sub(page << PAGE_SHIFT).min(PAGE_SIZE) as usize;
                zero_from(&self.frames, number, end);
                self.frames.retain(number);
                self.frames.count_cached(self.kind(), 1);
                self.frames.count_clean(1);
                state.pages.insert(page, Entry::new(number, EntryFlags::empty()), &mut displaced);
            }
        }
        true
    }

    /// Has all who map `pages` unmap them. Called with no lock held.
    fn unmap(&self, pages: Range<u64>, including_private: bool) {
        self.unmap_at_pace(pages, including_private, &Unhurried);
    }

    fn unmap_at_pace(&self, pages: Range<u64>, including_private: bool, pace: &dyn Pace) {
        let mappers = self.mappers.lock().live();
        for mapper in mappers {
            mapper.unmap_cached(self.id, pages.clone(), including_private, pace);
        }
    }

    fn kind(&self) -> CacheKind {
        match (&self.source, &self.huge) {
            (Some(_), _) => CacheKind::File,
            (None, Some(_)) => CacheKind::Huge,
            (None, None) => CacheKind::Shared,
        }
    }

    /// Takes `pages` for which `wanted` holds out of the cache. The frames must stay until they are unmapped.
    fn remove(
        &self,
        state: &mut State,
        pages: Range<u64>,
        mut wanted: impl FnMut(u64, Entry) -> bool,
    ) -> FrameBatch {
        let mut removed = FrameBatch::new(&self.frames);
        let (changed_before, mut of_host) = (state.pages.marked_len(), 0);
        state.pages.take(pages, &mut removed, |page, entry| {
            let is_taken = wanted(page, entry);
            of_host += u64::from(is_taken && entry.has(EntryFlags::OF_HOST));
            is_taken
        });
        state.host_pages -= of_host;
        let changed = changed_before - state.pages.marked_len();
        self.count_removed(removed.len() as u64 - of_host, changed);
        removed
    }

    /// Takes all pages from `first` on out of the cache, however many they are. None is the host's. The frames must stay until
    /// they are unmapped.
    fn cut(&self, state: &mut State, first: u64) -> FrameTable {
        let removed = state.pages.split_off(first);
        self.count_removed(removed.len(), removed.marked_len());
        removed
    }

    /// Counts pages that have left the cache and were not the host's, of which `changed` were not as in the source.
    fn count_removed(&self, pages: u64, changed: u64) {
        self.uncharge(changed);
        self.give_back_huge(pages);
        self.frames.count_cached(self.kind(), -(pages as i64));
        self.frames.count_clean(changed as i64 - pages as i64);
    }

    /// Makes an entry count as changed, if it does not yet.
    fn mark_changed(&self, state: &mut State, page: u64, entry: Entry) -> Result<(), Errno> {
        if !entry.has(EntryFlags::DIRTY) {
            self.charge(1)?;
            state.pages.set_flags(page, EntryFlags::DIRTY);
            self.frames.count_clean(-1);
        }
        Ok(())
    }

    /// Zeroes what follows byte `end` in its page, if that is in memory.
    fn zero_tail(&self, state: &State, end: u64) {
        let (page, within) = locate(end);
        if within > 0
            && let Some(entry) = state.pages.get(page)
        {
            zero_from(&self.frames, entry.number(), within);
        }
    }

    /// Pages of a host file that are as they were cost its file system nothing.
    fn charge(&self, pages: u64) -> Result<(), Errno> {
        self.budget.as_ref().map_or(Ok(()), |budget| budget.charge(pages))
    }

    fn uncharge(&self, pages: u64) {
        if let Some(budget) = &self.budget {
            budget.uncharge(pages);
        }
    }
}

impl Drop for PageCache {
    fn drop(&mut self) {
        let none = FrameTable::new(&self.frames);
        let state = self.state.get_mut();
        let pages = std::mem::replace(&mut state.pages, none);
        let own = pages.len() - state.host_pages;
        self.count_removed(own, pages.marked_len());
        self.cut_reservation(0);
        self.frames.leave(pages);
    }
}

impl Reclaim for PageCache {
    fn reclaim(
        &self,
        wanted: usize,
        including_mapped: bool,
        is_meant: &dyn Fn(FrameNumber) -> bool,
    ) -> usize {
        let has_any = |state: &State| {
            let mut pages = state.pages.range(0..pages_of(state.source_end));
            pages.any(|(_, entry)| !entry.has(EntryFlags::DIRTY) && is_meant(entry.number()))
        };
        if !self.state.try_read().is_some_and(|state| has_any(&state)) {
            return 0;
        }
        if including_mapped && let Some(mappers) = self.mappers.try_lock() {
            let live = mappers.live();
            drop(mappers);
            live.iter().for_each(|mapper| mapper.try_unmap_cached(self.id));
        }
        let Some(mut state) = self.state.try_write() else { return 0 };
        let mut left = wanted;
        let (source_pages, mut hand) = (pages_of(state.source_end), state.hand);
        let mut freed = 0;
        for pages in [hand..source_pages, 0..hand.min(source_pages)] {
            let removed = self.remove(&mut state, pages, |page, entry| {
                let is_clean = !entry.has(EntryFlags::DIRTY);
                let is_wanted = left > 0
                    && is_clean
                    && is_meant(entry.number())
                    && self.frames.is_exclusive(entry.number());
                if is_wanted {
                    left -= 1;
                    hand = page + 1;
                }
                is_wanted
            });
            freed += removed.len();
        }
        state.hand = hand;
        freed
    }
}

/// How many pages `size` bytes take.
pub(in crate::memory) fn pages_of(size: u64) -> u64 {
    size.div_ceil(PAGE_SIZE)
}

/// The page that holds the byte at `position`, and the byte's place in it.
fn locate(position: u64) -> (u64, usize) {
    (position >> PAGE_SHIFT, (position & (PAGE_SIZE - 1)) as usize)
}

fn zero_from(frames: &FrameAllocator, number: FrameNumber, start: usize) {
    if let Ok(rest) = frames.slice(number, PAGE_SIZE as usize).offset(start) {
        zero(&rest);
    }
}
