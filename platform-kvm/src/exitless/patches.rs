//! Rewritten pages of text: made once, for all address spaces that execute them.
//!
//! A *patch* belongs to a frame. It is a copy of that, in table memory of its own, with jumps in place of call sites; and it
//! tells the sites as they lie in the page. A jump leads by a record, which has the same number in all address spaces. What a
//! record says is an address space's own, since each may have the text at another address.
//!
//! A patch is never changed, since others may be running in it: a further site makes a further patch of the frame. Who shows
//! one keeps it, and it is there for the next who maps the frame for as long as there is room. Frames are used again for
//! something else: so before it is shown, its frame is looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use sentry::platform::{FrameRun, GuestAddress, GuestMemory, PAGE_SIZE, PlatformError};

use super::sites::{RECORDS_MAX, Site};
use crate::chunks::{CHUNK_PAGES, Chunk};
use crate::ioctl::in_bounds;
use crate::tables::Grow;

/// Patches at most: 4 MiB of copies, and as much for what they are copies of.
const PATCHES_MAX: usize = 1024;

/// How often a site traps, in all address spaces, before it is rewritten: what runs seldom is not worth the change.
const TRAPS_BEFORE_REWRITING: u8 = 8;
/// How many traps there are before any site is rewritten: the first takes memory for copies, of which a program that ends at
/// once has nothing.
const TRAPS_BEFORE_FIRST: u8 = 64;
/// Sites that are counted at a time.
const COUNTED_MAX: usize = 1024;

/// All patches of a machine.
#[derive(Debug, Default)]
pub(crate) struct Patches {
    state: Mutex<State>,
    free: Arc<Free>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest of each frame, by its guest-physical address.
    by_frame: BTreeMap<u64, Arc<Patch>>,
    /// What copies lie in.
    chunks: Vec<Chunk>,
    /// Pages used of the last.
    used_pages: u64,
    /// How often other sites trapped, by their guest-physical addresses.
    traps: HashMap<u64, u8>,
    /// How often any did, up to [`TRAPS_BEFORE_FIRST`].
    all_traps: u8,
}

/// What patches that are gone have left.
#[derive(Debug, Default)]
struct Free {
    pages: Mutex<Vec<u64>>,
    /// Numbers of records, and the first that was never used.
    records: Mutex<(BTreeSet<usize>, usize)>,
}

/// The number of a record, for as long as a patch leads there.
#[derive(Debug)]
struct RecordNumber {
    number: usize,
    free: Arc<Free>,
}

impl Drop for RecordNumber {
    fn drop(&mut self) {
        self.free.records.lock().0.insert(self.number);
    }
}

/// A page's copy, for as long as it is shown or may be.
#[derive(Debug)]
struct Copy {
    page: u64,
    free: Arc<Free>,
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.free.pages.lock().push(self.page);
    }
}

/// A rewritten page.
#[derive(Debug)]
pub(crate) struct Patch {
    copy: Copy,
    /// What the frame held.
    original: Vec<u8>,
    /// The sites, by their places in the page.
    sites: Vec<(Arc<RecordNumber>, Site)>,
}

impl Patch {
    /// Guest-physical address of the copy.
    pub(crate) fn copy(&self) -> u64 {
        self.copy.page
    }

    /// The numbers of the records, and their sites where the page is at `page`.
    pub(crate) fn sites_at(&self, page: u64) -> impl Iterator<Item = (usize, Site)> {
        self.sites.iter().map(move |(record, site)| (record.number, site.at(page)))
    }

    fn has(&self, site: &Site) -> bool {
        self.sites.iter().any(|(_, other)| other == site)
    }
}

impl Patches {
    /// Counts a trap of the SYSCALL at guest-physical `syscall`. Returns whether it is to be rewritten.
    pub(crate) fn count(&self, syscall: u64) -> bool {
        let State { traps, all_traps, .. } = &mut *self.state.lock();
        if traps.len() == COUNTED_MAX {
            traps.clear();
        }
        let count = traps.entry(syscall).or_insert(0);
        *count = count.saturating_add(1);
        *all_traps = all_traps.saturating_add(1).min(TRAPS_BEFORE_FIRST);
        let is_due = *count >= TRAPS_BEFORE_REWRITING && *all_traps == TRAPS_BEFORE_FIRST;
        if is_due {
            traps.remove(&syscall);
        }
        is_due
    }

    /// Whether there is a patch of a frame of `runs`.
    pub(crate) fn has_any(&self, runs: &[FrameRun]) -> bool {
        let state = self.state.lock();
        let end = |run: &FrameRun| run.start.0.saturating_add((run.pages as u64).saturating_mul(PAGE_SIZE));
        runs.iter().any(|run| state.by_frame.range(run.start.0..end(run)).next().is_some())
    }

    /// The patch of `frame`, which lies in `memory`, if there is one of what it holds now.
    pub(crate) fn find(&self, memory: &GuestMemory, frame: u64) -> Result<Option<Arc<Patch>>, PlatformError> {
        let mut state = self.state.lock();
        if !state.by_frame.contains_key(&frame) {
            return Ok(None);
        }
        let bytes = read_page(memory, frame)?;
        Ok(state.current(frame, &bytes))
    }

    /// The patch of `frame`, which holds `bytes`, with `site`, whose addresses are places in the page. `None`: it does not go
    /// with the others, or there is no room.
    pub(crate) fn with_site(
        &self,
        source: &impl Grow,
        frame: u64,
        bytes: &[u8],
        site: Site,
    ) -> Result<Option<Arc<Patch>>, PlatformError> {
        let mut state = self.state.lock();
        let former = state.current(frame, bytes);
        if let Some(patch) = former.as_ref().filter(|patch| patch.has(&site)) {
            return Ok(Some(patch.clone()));
        }
        let mut sites = former.map(|patch| patch.sites.clone()).unwrap_or_default();
        if sites.iter().any(|(_, other)| other.overlaps(&site)) || !state.has_room() {
            return Ok(None);
        }
        let Some(record) = self.take_record() else { return Ok(None) };
        sites.push((Arc::new(record), site));
        let mut text = bytes.to_vec();
        for (record, site) in &sites {
            let (at, jump) = (site.start as usize, site.jump(record.number));
            text[at..at + jump.len()].copy_from_slice(&jump);
        }
        let copy = self.take_page(&mut state, source)?;
        write(source.chunks().memory(), copy.page, &text)?;
        let patch = Arc::new(Patch { copy, original: bytes.to_vec(), sites });
        state.by_frame.insert(frame, patch.clone());
        Ok(Some(patch))
    }

    fn take_record(&self) -> Option<RecordNumber> {
        let (free, next) = &mut *self.free.records.lock();
        let number = free.pop_first().or_else(|| {
            let number = *next;
            *next += usize::from(number < RECORDS_MAX);
            (number < RECORDS_MAX).then_some(number)
        })?;
        Some(RecordNumber { number, free: self.free.clone() })
    }

    fn take_page(&self, state: &mut State, source: &impl Grow) -> Result<Copy, PlatformError> {
        let free = self.free.pages.lock().pop();
        let page = match free {
            Some(page) => page,
            None => state.new_page(source)?,
        };
        Ok(Copy { page, free: self.free.clone() })
    }
}

impl State {
    /// The patch of `frame`, if it is one of `bytes`; else it is forgotten.
    fn current(&mut self, frame: u64, bytes: &[u8]) -> Option<Arc<Patch>> {
        let patch = self.by_frame.get(&frame)?;
        if patch.original == bytes {
            return Some(patch.clone());
        }
        self.by_frame.remove(&frame);
        None
    }

    /// Whether there may be one more patch. Those that nobody shows go first.
    fn has_room(&mut self) -> bool {
        if self.by_frame.len() >= PATCHES_MAX {
            self.by_frame.retain(|_, patch| Arc::strong_count(patch) > 1);
        }
        self.by_frame.len() < PATCHES_MAX
    }

    fn new_page(&mut self, source: &impl Grow) -> Result<u64, PlatformError> {
        if self.chunks.is_empty() || self.used_pages == CHUNK_PAGES {
            self.chunks.push(source.grow()?);
            self.used_pages = 0;
        }
        let chunk = self.chunks.last().ok_or(PlatformError::TablesFull)?;
        let page = source.chunks().start(chunk).0 + self.used_pages * PAGE_SIZE;
        self.used_pages += 1;
        Ok(page)
    }
}

/// The page at guest-physical `start`.
pub(crate) fn read_page(memory: &GuestMemory, start: u64) -> Result<Vec<u8>, PlatformError> {
    let mut bytes = vec![0; PAGE_SIZE as usize];
    in_bounds(memory.slice(GuestAddress(start), bytes.len()))?.copy_to(&mut bytes[..]);
    Ok(bytes)
}

/// Writes `bytes` at guest-physical `start`.
pub(crate) fn write(memory: &GuestMemory, start: u64, bytes: &[u8]) -> Result<(), PlatformError> {
    in_bounds(memory.slice(GuestAddress(start), bytes.len()))?.copy_from(bytes);
    Ok(())
}

#[cfg(test)]
mod tests;
