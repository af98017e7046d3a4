//! The pages of one file.
//!
//! Reads, writes and mappings of a file all meet in its [`PageCache`], so they agree at once. A cache may have a
//! source (a host file): pages come from it at the first touch, in windows that grow while a file is read in
//! sequence; what the guest changes stays in memory and never goes back. Without a source (tmpfs, shared
//! anonymous memory) an absent page is a hole that reads as zero.
//!
//! A cache knows who maps it, and has its pages unmapped when the file shrinks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use vm_memory::VolatileSlice;

use super::allocator::{CacheKind, FrameAllocator, Reclaim, zero};
use super::frame::{Frame, FrameBatch, FrameNumber};
use super::table::{Entry, EntryFlags, FrameTable};
use crate::Errno;
use crate::platform::{PAGE_SHIFT, PAGE_SIZE};

/// Pages that a first read fetches, and that a sequential one reaches.
const READ_AHEAD_PAGES: Range<u64> = 16..128;
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

/// Who maps pages of caches.
pub(super) trait Mapper: Send + Sync {
    /// Unmaps `pages` of the cache with id `cache`; the private copies of them too if `including_private`.
    fn unmap_cached(&self, cache: u64, pages: Range<u64>, including_private: bool);

    /// Unmaps all pages of the cache, but no private copies, unless a lock is taken.
    fn try_unmap_cached(&self, cache: u64);
}

/// What a fault finds in a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
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
    state: RwLock<State>,
    mappers: Mutex<BTreeMap<u64, MapperEntry>>,
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
}

struct MapperEntry {
    mapper: Weak<dyn Mapper>,
    mappings: usize,
}

/// How far a copy under the lock got.
enum Progress {
    Bytes(usize),
    /// This page is needed first.
    Missing(u64),
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
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let size = size.min(MAX_SIZE);
        let cache = Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            frames: frames.clone(),
            budget,
            state: RwLock::new(State {
                size,
                source_end: if source.is_some() { size } else { 0 },
                generation: 0,
                pages: FrameTable::new(frames),
                next_read: 0,
                window: 0,
                hand: 0,
            }),
            source,
            mappers: Mutex::default(),
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

    /// Whether the file is mapped anywhere.
    pub fn is_mapped(&self) -> bool {
        !self.mappers.lock().is_empty()
    }

    /// How many pages are in memory.
    pub fn pages(&self) -> u64 {
        self.state.read().pages.len()
    }

    /// Reads from `offset` on, and returns how many bytes there were: fewer than asked for at the end of the file.
    ///
    /// # Errors
    /// The source's, or ENOMEM, if nothing was read before it.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.advance(buffer.len(), offset, |done, position| {
            Ok(self.read_present(&mut buffer[done..], position))
        })
    }

    /// Writes `data` at `offset`, and returns how much of it fit. The file grows as needed; a gap is a hole.
    ///
    /// # Errors
    /// EFBIG past the largest file; the source's, the budget's or ENOMEM, if nothing was written before it.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<usize, Errno> {
        if data.is_empty() {
            return Ok(0);
        }
        let room = MAX_SIZE.checked_sub(offset).filter(|&room| room > 0).ok_or(Errno::EFBIG)?;
        let data = &data[..data.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        self.advance(data.len(), offset, |done, position| self.write_present(&data[done..], position))
    }

    /// Changes the file's size. What is cut off is unmapped everywhere; what is added reads as zero
    /// (`man 2 truncate`).
    ///
    /// # Errors
    /// EFBIG past the largest file; the source's error or ENOMEM, if the last page is to be cut and cannot be had.
    pub fn resize(&self, size: u64) -> Result<(), Errno> {
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let removed = {
            let mut state = self.state.write();
            let old_size = std::mem::replace(&mut state.size, size);
            self.zero_tail(&state, old_size.min(size));
            if size >= old_size {
                return Ok(());
            }
            state.source_end = state.source_end.min(size);
            state.generation += 1;
            self.remove(&mut state, pages_of(size)..u64::MAX, |_, _| true)
        };
        self.unmap(pages_of(size)..u64::MAX, true);
        drop(removed);
        Ok(())
    }

    /// Makes the range read as zero, and frees its pages. The size stays (`man 2 fallocate`).
    ///
    /// # Errors
    /// The source's, the budget's or ENOMEM.
    pub fn punch_hole(&self, offset: u64, len_bytes: u64) -> Result<(), Errno> {
        let size = self.size();
        let mut end = offset.saturating_add(len_bytes);
        if end >= size {
            end = size.next_multiple_of(PAGE_SIZE);
        }
        if offset >= end {
            return Ok(());
        }
        let inner = pages_of(offset)..(end >> PAGE_SHIFT);
        let head = offset..end.min((offset | (PAGE_SIZE - 1)) + 1);
        let tail = (end & !(PAGE_SIZE - 1)).max(offset)..end;
        for edge in [head, tail] {
            if !edge.start.is_multiple_of(PAGE_SIZE) || !edge.end.is_multiple_of(PAGE_SIZE) {
                self.zero_edge(edge)?;
            }
        }
        if !inner.is_empty() {
            self.punch_pages(inner)?;
        }
        Ok(())
    }

    /// Makes sure that the range has pages, growing nothing (`man 2 fallocate`).
    ///
    /// # Errors
    /// The budget's or ENOMEM.
    pub fn allocate(&self, offset: u64, len_bytes: u64) -> Result<(), Errno> {
        let end = offset.checked_add(len_bytes).filter(|&end| end <= MAX_SIZE).ok_or(Errno::EFBIG)?;
        let mut next = offset >> PAGE_SHIFT;
        while next < pages_of(end) {
            let until = pages_of(end).min(next + WRITE_PAGES);
            let mut state = self.state.write();
            let first = next.max(pages_of(state.source_end)).min(until);
            self.insert_zeroes(&mut state, first..until)?;
            next = until;
        }
        Ok(())
    }

    /// The page with number `index`, fetched if need be.
    ///
    /// # Errors
    /// ENXIO past the end; the source's, the budget's or ENOMEM.
    pub fn page(&self, index: u64) -> Result<Frame, Errno> {
        for _ in 0..MAX_ATTEMPTS {
            match self.prepare(index, index..index + 1)? {
                Presence::PastEnd => return Err(Errno::ENXIO),
                Presence::InSource => self.populate(index, index..index + 1)?,
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

    /// The first byte at or after `offset` that is data (SEEK_DATA); `None` if only a hole follows.
    pub fn next_data(&self, offset: u64) -> Option<u64> {
        let state = self.state.read();
        if offset >= state.size {
            return None;
        }
        if offset < state.source_end {
            return Some(offset);
        }
        let (page, _) = state.pages.range(offset >> PAGE_SHIFT..u64::MAX >> PAGE_SHIFT).next()?;
        Some(offset.max(page << PAGE_SHIFT)).filter(|&data| data < state.size)
    }

    /// The first byte at or after `offset` that is a hole, the end of the file being one (SEEK_HOLE); `None` if
    /// `offset` is past the end.
    pub fn next_hole(&self, offset: u64) -> Option<u64> {
        let state = self.state.read();
        if offset >= state.size {
            return None;
        }
        let mut page = offset.max(state.source_end) >> PAGE_SHIFT;
        if offset < state.source_end {
            page = pages_of(state.source_end);
        }
        for (present, _) in state.pages.range(page..u64::MAX >> PAGE_SHIFT) {
            if present != page {
                break;
            }
            page += 1;
        }
        Some(offset.max(page << PAGE_SHIFT).min(state.size))
    }

    /// Finds out what must happen before page `index` can be mapped. Where no source is needed, the absent
    /// pages of `window` are made.
    pub(super) fn prepare(&self, index: u64, window: Range<u64>) -> Result<Presence, Errno> {
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
        let window = window.start.max(pages_of(state.source_end))..window.end.min(pages_of(state.size));
        if self.insert_zeroes(&mut state, window).is_err() {
            self.insert_zeroes(&mut state, index..index + 1)?;
        }
        Ok(Presence::Ready)
    }

    /// Fetches page `needed`, and what else is missing of `pages` around it, from the source. Called with no lock
    /// held. That the page is there afterwards is likely, not sure: it may have been removed again.
    pub(super) fn populate(&self, needed: u64, mut pages: Range<u64>) -> Result<(), Errno> {
        let Some(source) = &self.source else { return Ok(()) };
        if self.frames.free_frames() < pages.end.saturating_sub(pages.start) {
            // Making room for the neighbours could take the page itself away again.
            pages = needed..needed + 1;
        }
        let (gaps, generation) = {
            let state = self.state.read();
            let pages = pages.start..pages.end.min(pages_of(state.source_end));
            (state.pages.gaps(pages), state.generation)
        };
        for gap in gaps {
            let mut next = gap.start;
            while next < gap.end {
                let span = self.frames.allocate_span((gap.end - next) as usize)?;
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
    pub(super) fn share(
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
    pub(super) fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// Whether page `index` is in memory.
    pub(super) fn is_resident(&self, index: u64) -> bool {
        self.state.read().pages.get(index).is_some()
    }

    /// Counts one more mapping by `mapper`.
    pub(super) fn attach(self: &Arc<Self>, mapper_id: u64, mapper: Weak<dyn Mapper>) -> Attachment {
        let mut mappers = self.mappers.lock();
        mappers.entry(mapper_id).or_insert(MapperEntry { mapper, mappings: 0 }).mappings += 1;
        Attachment { cache: self.clone(), mapper_id }
    }

    /// Repeats `step`, which copies at (bytes done, position) what it can, until `len_bytes` are done or it
    /// does nothing more; fetches the pages that it misses.
    fn advance(
        &self,
        len_bytes: usize,
        offset: u64,
        mut step: impl FnMut(usize, u64) -> Result<Progress, Errno>,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        let mut attempts = 0;
        while done < len_bytes {
            let Some(position) = offset.checked_add(done as u64) else { break };
            let outcome = match step(done, position) {
                Ok(Progress::Bytes(0)) => break,
                Ok(Progress::Bytes(count)) => {
                    done += count;
                    attempts = 0;
                    Ok(())
                }
                Ok(Progress::Missing(_)) if attempts == MAX_ATTEMPTS => Err(Errno::ENOMEM),
                Ok(Progress::Missing(page)) => {
                    attempts += 1;
                    self.read_ahead(page, pages_of((len_bytes - done) as u64))
                }
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => {}
            }
        }
        Ok(done)
    }

    /// Fetches `page`, of `wanted` pages that will be read, and more if the file is being read in sequence.
    fn read_ahead(&self, page: u64, wanted: u64) -> Result<(), Errno> {
        let count = {
            let mut state = self.state.write();
            state.window = match state.next_read == page {
                true => (state.window * 2).clamp(READ_AHEAD_PAGES.start, READ_AHEAD_PAGES.end),
                false => READ_AHEAD_PAGES.start,
            };
            let count = state.window.max(wanted.min(READ_AHEAD_PAGES.end));
            state.next_read = page + count;
            count
        };
        match self.populate(page, page..page + count) {
            Err(_) if count > 1 => self.populate(page, page..page + 1),
            outcome => outcome,
        }
    }

    fn read_present(&self, buffer: &mut [u8], position: u64) -> Progress {
        let state = self.state.read();
        let left = state.size.saturating_sub(position);
        let len_bytes = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < len_bytes {
            let (page, within) = locate(position + done as u64);
            let count = (PAGE_SIZE as usize - within).min(len_bytes - done);
            let target = &mut buffer[done..done + count];
            match state.pages.get(page) {
                Some(entry) => copy_out(&self.frames, entry, within, target),
                None if page >= pages_of(state.source_end) => target.fill(0),
                None if done > 0 => break,
                None => return Progress::Missing(page),
            }
            done += count;
        }
        Progress::Bytes(done)
    }

    fn write_present(&self, data: &[u8], position: u64) -> Result<Progress, Errno> {
        let mut state = self.state.write();
        let has_mappers = !self.mappers.lock().is_empty();
        let mut done = 0;
        let portion = data.len().min((WRITE_PAGES << PAGE_SHIFT) as usize);
        while done < portion {
            let (page, within) = locate(position + done as u64);
            let count = (PAGE_SIZE as usize - within).min(portion - done);
            if state.pages.get(page).is_none() {
                let is_partial = count < PAGE_SIZE as usize;
                if is_partial && page < pages_of(state.source_end) {
                    match done {
                        0 => return Ok(Progress::Missing(page)),
                        _ => break,
                    }
                }
                let whole_pages = ((portion - done) as u64 >> PAGE_SHIFT).max(1);
                if let Err(error) = self.insert_zeroes(&mut state, page..page + whole_pages) {
                    // A smaller piece may fit still.
                    let single = self.insert_zeroes(&mut state, page..page + 1);
                    match (single, done) {
                        (Ok(()), _) => {}
                        (Err(_), 0) => return Err(error),
                        (Err(_), _) => break,
                    }
                }
            }
            let Some(entry) = state.pages.get(page) else { break };
            match self.mark_changed(&mut state, page, entry) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => copy_in(&self.frames, entry, within, &data[done..done + count]),
            }
            done += count;
        }
        let (end, old_size) = (position + done as u64, state.size);
        if end > old_size {
            // What a mapping left behind the end of the file must not appear as it grows.
            if has_mappers && position > old_size {
                self.zero_tail(&state, old_size);
            }
            state.size = end;
        }
        Ok(Progress::Bytes(done))
    }

    /// Makes the absent pages of `pages` with zeroes.
    fn insert_zeroes(&self, state: &mut State, pages: Range<u64>) -> Result<(), Errno> {
        let mut displaced = FrameBatch::new(&self.frames);
        for gap in state.pages.gaps(pages) {
            let mut next = gap.start;
            while next < gap.end {
                let span = self.frames.allocate_span((gap.end - next) as usize)?;
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
                state.pages.insert(page, Entry::new(number, EntryFlags::empty()), &mut displaced);
            }
        }
        true
    }

    /// Zeroes a part of one page.
    fn zero_edge(&self, edge: Range<u64>) -> Result<(), Errno> {
        let (page, within) = locate(edge.start);
        for _ in 0..MAX_ATTEMPTS {
            let mut state = self.state.write();
            if let Some(entry) = state.pages.get(page) {
                self.mark_changed(&mut state, page, entry)?;
                let len_bytes = (edge.end - edge.start) as usize;
                let slice = self.frames.slice(entry.number(), PAGE_SIZE as usize);
                if let Ok(part) = slice.subslice(within, len_bytes) {
                    zero(&part);
                }
                return Ok(());
            }
            if page >= pages_of(state.source_end) {
                return Ok(());
            }
            drop(state);
            self.populate(page, page..page + 1)?;
        }
        Err(Errno::ENOMEM)
    }

    fn punch_pages(&self, pages: Range<u64>) -> Result<(), Errno> {
        let removed = {
            let mut state = self.state.write();
            state.generation += 1;
            self.remove(&mut state, pages.clone(), |_, _| true)
        };
        self.unmap(pages.clone(), false);
        drop(removed);
        // Below the end of the source a hole must be a page of zeroes: an absent page would be fetched again.
        let source_pages = pages_of(self.state.read().source_end);
        for first in (pages.start..pages.end.min(source_pages)).step_by(WRITE_PAGES as usize) {
            let until = pages.end.min(source_pages).min(first + WRITE_PAGES);
            self.insert_zeroes(&mut self.state.write(), first..until)?;
        }
        Ok(())
    }

    /// Has all who map `pages` unmap them. Called with no lock held.
    fn unmap(&self, pages: Range<u64>, including_private: bool) {
        for mapper in self.live_mappers() {
            mapper.unmap_cached(self.id, pages.clone(), including_private);
        }
    }

    fn live_mappers(&self) -> Vec<Arc<dyn Mapper>> {
        self.mappers.lock().values().filter_map(|entry| entry.mapper.upgrade()).collect()
    }

    fn kind(&self) -> CacheKind {
        if self.source.is_some() { CacheKind::File } else { CacheKind::Shared }
    }

    /// Takes `pages` for which `wanted` holds out of the cache. The frames must stay until they are unmapped.
    fn remove(
        &self,
        state: &mut State,
        pages: Range<u64>,
        wanted: impl FnMut(u64, Entry) -> bool,
    ) -> FrameBatch {
        let mut removed = FrameBatch::new(&self.frames);
        let changed_before = state.pages.marked_len();
        state.pages.take(pages, &mut removed, wanted);
        self.uncharge(changed_before - state.pages.marked_len());
        self.frames.count_cached(self.kind(), -(removed.len() as i64));
        removed
    }

    /// Makes an entry count as changed, if it does not yet.
    fn mark_changed(&self, state: &mut State, page: u64, entry: Entry) -> Result<(), Errno> {
        if !entry.has(EntryFlags::DIRTY) {
            self.charge(1)?;
            state.pages.set_flags(page, EntryFlags::DIRTY);
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
        let pages = &self.state.get_mut().pages;
        let (all, changed) = (pages.len(), pages.marked_len());
        self.uncharge(changed);
        self.frames.count_cached(self.kind(), -(all as i64));
    }
}

impl Reclaim for PageCache {
    fn reclaim(&self, wanted: usize, including_mapped: bool) -> usize {
        if including_mapped && let Some(mappers) = self.mappers.try_lock() {
            let live: Vec<_> = mappers.values().filter_map(|entry| entry.mapper.upgrade()).collect();
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
                let is_wanted = left > 0 && is_clean && self.frames.is_exclusive(entry.number());
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

/// One mapping's place among the mappers of its cache; dropping it leaves.
pub(super) struct Attachment {
    cache: Arc<PageCache>,
    mapper_id: u64,
}

impl Attachment {
    /// The cache.
    pub(super) fn cache(&self) -> &Arc<PageCache> {
        &self.cache
    }
}

impl Clone for Attachment {
    fn clone(&self) -> Self {
        if let Some(entry) = self.cache.mappers.lock().get_mut(&self.mapper_id) {
            entry.mappings += 1;
        }
        Self { cache: self.cache.clone(), mapper_id: self.mapper_id }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut mappers = self.cache.mappers.lock();
        if let Some(entry) = mappers.get_mut(&self.mapper_id) {
            entry.mappings -= 1;
            if entry.mappings == 0 {
                mappers.remove(&self.mapper_id);
            }
        }
    }
}

/// How many pages `size` bytes take.
pub(super) fn pages_of(size: u64) -> u64 {
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

fn copy_out(frames: &FrameAllocator, entry: Entry, within: usize, target: &mut [u8]) {
    if let Ok(rest) = frames.slice(entry.number(), PAGE_SIZE as usize).offset(within) {
        rest.copy_to(target);
    }
}

fn copy_in(frames: &FrameAllocator, entry: Entry, within: usize, data: &[u8]) {
    if let Ok(rest) = frames.slice(entry.number(), PAGE_SIZE as usize).offset(within) {
        rest.copy_from(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Platform;
    use crate::platform::fake::FakePlatform;

    const PAGE: usize = PAGE_SIZE as usize;

    struct Pattern(u64);

    impl PageSource for Pattern {
        fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
            let len = self.0.saturating_sub(offset).min(destination.len() as u64);
            let bytes: Vec<u8> = (offset..offset + len).map(byte_at).collect();
            destination.copy_from(&bytes);
            Ok(())
        }
    }

    fn byte_at(position: u64) -> u8 {
        (position / 7 + position / PAGE_SIZE) as u8 | 1
    }

    fn frames(limit_bytes: u64) -> Arc<FrameAllocator> {
        let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
        FrameAllocator::new(&platform, limit_bytes)
    }

    fn sourced(limit_bytes: u64, size: u64) -> Arc<PageCache> {
        PageCache::new(&frames(limit_bytes), Some(Box::new(Pattern(size))), size)
    }

    fn contents(cache: &PageCache) -> Vec<u8> {
        let mut bytes = vec![0xee; cache.size() as usize + 10];
        let count = cache.read_at(&mut bytes, 0).unwrap();
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn a_file_reads_as_its_source_until_it_is_written() {
        let size = 40 * PAGE_SIZE + 100;
        let cache = sourced(16 << 20, size);
        let mut expected: Vec<u8> = (0..size).map(byte_at).collect();
        assert_eq!(contents(&cache), expected);
        assert_eq!(cache.write_at(&[0; 5000], 10_000), Ok(5000));
        expected[10_000..15_000].fill(0);
        assert_eq!(contents(&cache), expected);
    }

    #[test]
    fn partial_writes_to_absent_pages_keep_the_rest() {
        let size = 3 * PAGE_SIZE;
        let cache = sourced(16 << 20, size);
        let mut expected: Vec<u8> = (0..size).map(byte_at).collect();
        cache.write_at(&[1, 2, 3], PAGE_SIZE - 1).unwrap();
        expected[PAGE - 1..PAGE + 2].copy_from_slice(&[1, 2, 3]);
        assert_eq!(contents(&cache), expected);
    }

    #[test]
    fn what_was_cut_off_reads_as_zero_when_the_file_grows_again() {
        let cache = sourced(16 << 20, 3 * PAGE_SIZE);
        cache.resize(PAGE_SIZE + 10).unwrap();
        cache.resize(3 * PAGE_SIZE).unwrap();
        let mut expected: Vec<u8> = (0..PAGE_SIZE + 10).map(byte_at).collect();
        expected.resize(3 * PAGE, 0);
        assert_eq!(contents(&cache), expected);
    }

    #[test]
    fn holes_take_no_memory_and_are_found() {
        let cache = PageCache::new(&frames(16 << 20), None, 0);
        cache.write_at(b"x", 100 * PAGE_SIZE).unwrap();
        assert_eq!((cache.pages(), cache.size()), (1, 100 * PAGE_SIZE + 1));
        assert_eq!(cache.next_data(0), Some(100 * PAGE_SIZE));
        assert_eq!(cache.next_hole(0), Some(0));
        assert_eq!(cache.next_hole(100 * PAGE_SIZE), Some(100 * PAGE_SIZE + 1));
        assert_eq!(cache.next_data(100 * PAGE_SIZE + 1), None);
        cache.punch_hole(0, u64::MAX).unwrap();
        assert_eq!((cache.next_data(0), cache.next_hole(100 * PAGE_SIZE + 1)), (None, None));
    }

    #[test]
    fn punched_holes_of_a_source_are_zero() {
        let size = 6 * PAGE_SIZE;
        let cache = sourced(16 << 20, size);
        let mut expected: Vec<u8> = (0..size).map(byte_at).collect();
        for range in [100..PAGE + 7, 3 * PAGE..5 * PAGE, 5 * PAGE + 1..5 * PAGE + 2] {
            cache.punch_hole(range.start as u64, range.len() as u64).unwrap();
            expected[range].fill(0);
        }
        assert_eq!(contents(&cache), expected);
    }

    #[test]
    fn clean_pages_make_room_when_memory_is_short() {
        let frames = frames(2 << 20);
        let size = 8 << 20;
        let cache = PageCache::new(&frames, Some(Box::new(Pattern(size))), size);
        cache.write_at(&[0; 10], 5000).unwrap();
        let mut expected: Vec<u8> = (0..size).map(byte_at).collect();
        expected[5000..5010].fill(0);
        assert_eq!(contents(&cache), expected);
        assert_eq!(contents(&cache), expected);
    }

    #[test]
    fn memory_runs_out_as_a_short_write() {
        let cache = PageCache::new(&frames(2 << 20), None, 0);
        assert_eq!(cache.write_at(&vec![1; 3 << 20], 0), Ok(2 << 20));
        assert_eq!(cache.write_at(&[1], 3 << 20), Err(Errno::ENOMEM));
        assert_eq!(cache.write_at(&[1], u64::MAX), Err(Errno::EFBIG));
    }
}
