//! Huge pages that are set aside (`Documentation/admin-guide/mm/hugetlbpage.rst`).
//!
//! The pool is a number of pages of 2 MiB that nobody else gets: the allocator keeps so many frames back. A page that is used
//! is 512 frames of the allocator's, each of which knows that it is of the pool; once they are free the page is in the pool again,
//! whoever shared them meanwhile. Mappings reserve what they will touch, those of files for the file, private ones for themselves;
//! a file system may bound its files ([`HugeQuota`]).
//!
//! The locks here are leaves, those of a quota and of a reservation before the pool's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::FrameAllocator;
use super::account::FrameUse;
use super::allocator::CHUNK_FRAMES;
use super::frame::FrameNumber;
use crate::Errno;
use crate::platform::{PAGE_SHIFT, PAGE_SIZE};

/// Small pages in a huge one.
pub(super) const HUGE_PAGES: u64 = CHUNK_FRAMES as u64;
/// Bytes of a huge page.
pub const HUGE_PAGE_BYTES: u64 = HUGE_PAGES * PAGE_SIZE;
/// The pool leaves this part of all memory to other things, but never more than so many frames.
const REST: u64 = 8;
const MAX_REST_FRAMES: u64 = (64 << 20) >> PAGE_SHIFT;

/// How many huge pages there are, as `/sys/kernel/mm/hugepages` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugePageCounts {
    /// All, with those beyond what was set aside.
    pub total: u64,
    /// Those that nobody uses.
    pub free: u64,
    /// Those that are free and promised.
    pub reserved: u64,
    /// Those that were made for want of others, and go when they are free.
    pub surplus: u64,
    /// How many of these there may be.
    pub overcommit: u64,
}

/// The pool.
#[derive(Default)]
pub(super) struct HugePool {
    state: Mutex<Pool>,
    /// Frames that are kept back.
    frames_set_aside: AtomicU64,
}

#[derive(Default)]
struct Pool {
    total: u64,
    reserved: u64,
    surplus: u64,
    overcommit: u64,
    /// Frames in use, of all pages.
    used_frames: u64,
}

impl Pool {
    fn used(&self) -> u64 {
        self.used_frames.div_ceil(HUGE_PAGES)
    }

    fn free(&self) -> u64 {
        self.total.saturating_sub(self.used())
    }

    fn persistent(&self) -> u64 {
        self.total.saturating_sub(self.surplus)
    }

    /// Pages more than there are that may be made now, if memory has `spare` of them.
    fn room_for_surplus(&self, spare: u64) -> u64 {
        self.overcommit.saturating_sub(self.surplus).min(spare)
    }

    fn add_surplus(&mut self, pages: u64) {
        self.total += pages;
        self.surplus += pages;
    }

    fn drop_surplus(&mut self, pages: u64) {
        let gone = pages.min(self.surplus).min(self.free());
        self.total -= gone;
        self.surplus -= gone;
    }

    fn set_persistent(&mut self, wanted: u64, spare: u64) {
        if wanted > self.persistent() {
            self.surplus -= self.surplus.min(wanted - self.persistent());
            self.total += (wanted - self.persistent()).min(spare);
            return;
        }
        let needed = wanted.max(self.reserved + self.used());
        let gone = self.persistent().saturating_sub(needed).min(self.free());
        self.total -= gone;
        // What is in use stays until it is free.
        self.surplus += self.persistent() - wanted.min(self.persistent());
    }
}

impl HugePool {
    /// Frames that only huge pages may take.
    pub(super) fn frames_set_aside(&self) -> u64 {
        self.frames_set_aside.load(Ordering::Relaxed)
    }

    /// Frames of huge pages are free.
    pub(super) fn note_freed(&self, frames: u64) {
        self.change(|pool| {
            let before = pool.used();
            pool.used_frames = pool.used_frames.saturating_sub(frames);
            pool.drop_surplus(before - pool.used());
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Pool) -> T) -> T {
        let mut pool = self.state.lock();
        let changed = change(&mut pool);
        self.frames_set_aside.store(pool.free() * HUGE_PAGES, Ordering::Relaxed);
        changed
    }
}

impl FrameAllocator {
    /// How many huge pages there are.
    pub fn huge_pages(&self) -> HugePageCounts {
        let pool = self.huge_pool().state.lock();
        let &Pool { total, reserved, surplus, overcommit, .. } = &*pool;
        HugePageCounts { total, free: pool.free(), reserved, surplus, overcommit }
    }

    /// Sets huge pages aside, as many of `wanted` as there is memory for (`vm.nr_hugepages`).
    pub fn set_huge_pages(&self, wanted: u64) {
        let spare = self.spare_huge_pages();
        self.huge_pool().change(|pool| pool.set_persistent(wanted, spare));
    }

    /// Sets how many more may be made when they are wanted (`vm.nr_overcommit_hugepages`).
    pub fn set_huge_page_overcommit(&self, pages: u64) {
        self.huge_pool().change(|pool| pool.overcommit = pages);
    }

    fn spare_huge_pages(&self) -> u64 {
        let rest = (self.limit_frames() / REST).min(MAX_REST_FRAMES);
        self.available_frames().saturating_sub(rest) / HUGE_PAGES
    }

    /// Promises `pages` huge pages.
    fn reserve_huge_pages(&self, pages: u64) -> Result<(), Errno> {
        if pages == 0 {
            return Ok(());
        }
        let spare = self.spare_huge_pages();
        self.huge_pool().change(|pool| {
            let missing = pool.reserved.saturating_add(pages).saturating_sub(pool.free());
            if missing > pool.room_for_surplus(spare) {
                return Err(Errno::ENOMEM);
            }
            pool.add_surplus(missing);
            pool.reserved += pages;
            Ok(())
        })
    }

    /// Takes a promise of `pages` huge pages back, with what was made for it.
    fn unreserve_huge_pages(&self, pages: u64) {
        self.huge_pool().change(|pool| {
            pool.reserved = pool.reserved.saturating_sub(pages);
            pool.drop_surplus(pages);
        });
    }

    /// Pages that are about to be free stay promised.
    fn restore_huge_pages(&self, pages: u64) {
        self.huge_pool().change(|pool| pool.reserved += pages);
    }

    /// The frames of one huge page, zeroed, which the caller owns.
    ///
    /// # Errors
    /// ENOSPC: it is not promised, and there is none.
    fn take_huge_page(&self, is_reserved: bool) -> Result<Vec<FrameNumber>, Errno> {
        let spare = self.spare_huge_pages();
        {
            let mut pool = self.huge_pool().state.lock();
            if is_reserved {
                pool.reserved = pool.reserved.saturating_sub(1);
            } else if pool.free() <= pool.reserved {
                if pool.room_for_surplus(spare) == 0 {
                    return Err(Errno::ENOSPC);
                }
                pool.add_surplus(1);
            }
            pool.used_frames += HUGE_PAGES;
        }
        let taken = self.allocate_huge_frames();
        // Only now are the frames no longer kept back.
        self.huge_pool().change(|_| ());
        taken
    }

    fn allocate_huge_frames(&self) -> Result<Vec<FrameNumber>, Errno> {
        let mut numbers = Vec::with_capacity(CHUNK_FRAMES);
        while numbers.len() < CHUNK_FRAMES {
            match self.allocate_span(FrameUse::Huge, CHUNK_FRAMES - numbers.len()) {
                Ok(span) => numbers.extend(span.numbers()),
                Err(_) => {
                    self.huge_pool().note_freed((CHUNK_FRAMES - numbers.len()) as u64);
                    self.release(&numbers);
                    return Err(Errno::ENOSPC);
                }
            }
        }
        Ok(numbers)
    }
}

/// What the files of one file system may have of the pool (`size=` and `min_size=` of hugetlbfs).
pub struct HugeQuota {
    frames: Arc<FrameAllocator>,
    state: Mutex<QuotaState>,
}

#[derive(Default)]
struct QuotaState {
    max: Option<u64>,
    min: u64,
    used: u64,
    /// Of `min`, what nobody uses: it is promised in the pool.
    kept: u64,
}

impl HugeQuota {
    /// At most `max` pages, of which `min` are promised now.
    ///
    /// # Errors
    /// ENOMEM: the pool has not so many.
    pub fn new(frames: &Arc<FrameAllocator>, max: Option<u64>, min: u64) -> Result<Arc<Self>, Errno> {
        frames.reserve_huge_pages(min)?;
        let state = Mutex::new(QuotaState { max, min, used: 0, kept: min });
        Ok(Arc::new(Self { frames: frames.clone(), state }))
    }

    /// The bound, what is used of it, and the minimum, in pages.
    pub fn figures(&self) -> (Option<u64>, u64, u64) {
        let state = self.state.lock();
        (state.max, state.used, state.min)
    }

    /// Counts `pages` more, and returns how many of them are not promised yet.
    fn charge(&self, pages: u64) -> Result<u64, Errno> {
        let mut state = self.state.lock();
        let used = state.used.checked_add(pages).ok_or(Errno::ENOMEM)?;
        if state.max.is_some_and(|max| used > max) {
            return Err(Errno::ENOMEM);
        }
        state.used = used;
        let promised = state.kept.min(pages);
        state.kept -= promised;
        Ok(pages - promised)
    }

    /// Counts `pages` less, and returns how many of them need not stay promised.
    fn uncharge(&self, pages: u64) -> u64 {
        let mut state = self.state.lock();
        state.used = state.used.saturating_sub(pages);
        let kept_again = match state.used < state.min {
            true => pages.min(state.min - state.kept),
            false => 0,
        };
        state.kept += kept_again;
        pages - kept_again
    }
}

impl Drop for HugeQuota {
    fn drop(&mut self) {
        self.frames.unreserve_huge_pages(self.state.get_mut().kept);
    }
}

/// Where the pages of a file come from.
#[derive(Clone)]
struct HugeSource {
    frames: Arc<FrameAllocator>,
    quota: Option<Arc<HugeQuota>>,
}

impl HugeSource {
    fn reserve(&self, pages: u64) -> Result<(), Errno> {
        let unpromised = self.quota.as_ref().map_or(Ok(pages), |quota| quota.charge(pages))?;
        self.frames.reserve_huge_pages(unpromised).inspect_err(|_| {
            let free = self.uncharge(pages);
            self.frames.unreserve_huge_pages(free.saturating_sub(unpromised));
        })
    }

    fn unreserve(&self, pages: u64) {
        let free = self.uncharge(pages);
        self.frames.unreserve_huge_pages(free);
    }

    /// `pages` that were taken are about to be free.
    fn give_back(&self, pages: u64) {
        let free = self.uncharge(pages);
        if free < pages {
            self.frames.restore_huge_pages(pages - free);
        }
    }

    fn uncharge(&self, pages: u64) -> u64 {
        self.quota.as_ref().map_or(pages, |quota| quota.uncharge(pages))
    }

    /// A page that is not reserved.
    fn take_unreserved(&self) -> Result<Vec<FrameNumber>, Errno> {
        let unpromised = self.quota.as_ref().map_or(Ok(1), |quota| quota.charge(1));
        let unpromised = unpromised.map_err(|_| Errno::ENOSPC)?;
        self.frames.take_huge_page(unpromised == 0).inspect_err(|_| self.give_back(1))
    }
}

/// The pool's part in a file: what is reserved for it.
pub(super) struct HugeStore {
    source: HugeSource,
    /// Huge pages of the file that are promised, and not there.
    reserved: Mutex<BTreeSet<u64>>,
}

impl HugeStore {
    pub(super) fn new(frames: &Arc<FrameAllocator>, quota: Option<Arc<HugeQuota>>) -> Self {
        Self { source: HugeSource { frames: frames.clone(), quota }, reserved: Mutex::default() }
    }

    /// Reserves the `pages` of the file that are neither reserved nor `present`.
    pub(super) fn reserve(&self, pages: Range<u64>, present: impl Fn(u64) -> bool) -> Result<(), Errno> {
        check_count(&self.source.frames, &pages)?;
        let mut reserved = self.reserved.lock();
        let missing: Vec<u64> = pages.filter(|page| !reserved.contains(page) && !present(*page)).collect();
        self.source.reserve(missing.len() as u64)?;
        reserved.extend(missing);
        Ok(())
    }

    /// The frames for `page` of the file.
    pub(super) fn take(&self, page: u64) -> Result<Vec<FrameNumber>, Errno> {
        if self.reserved.lock().remove(&page) {
            return self.source.frames.take_huge_page(true).inspect_err(|_| self.source.give_back(1));
        }
        self.source.take_unreserved()
    }

    /// Pages of the file are gone.
    pub(super) fn give_back(&self, pages: u64) {
        self.source.give_back(pages);
    }

    /// Nothing is reserved from `first` on any more.
    pub(super) fn cut(&self, first: u64) {
        let cut = self.reserved.lock().split_off(&first);
        self.source.unreserve(cut.len() as u64);
    }

    /// What a private mapping takes from here, with `pages` of the file reserved for it.
    pub(super) fn private(&self, pages: Range<u64>) -> Result<Arc<HugeReservation>, Errno> {
        check_count(&self.source.frames, &pages)?;
        self.source.reserve(pages.end - pages.start)?;
        let pages = pages.map(|page| (page, true)).collect();
        Ok(Arc::new(HugeReservation { source: self.source.clone(), pages: Mutex::new(pages) }))
    }
}

/// Refuses what could never be reserved, however it is counted.
fn check_count(frames: &FrameAllocator, pages: &Range<u64>) -> Result<(), Errno> {
    if pages.end - pages.start > frames.limit_frames() / HUGE_PAGES { Err(Errno::ENOMEM) } else { Ok(()) }
}

/// What a private mapping has of the pool. A child's begins with nothing.
pub(super) struct HugeReservation {
    source: HugeSource,
    /// Huge pages of the file behind that count for the mapping, and whether they are only promised.
    pages: Mutex<BTreeMap<u64, bool>>,
}

impl HugeReservation {
    /// That of a child.
    pub(super) fn inherited(&self) -> Arc<Self> {
        Arc::new(Self { source: self.source.clone(), pages: Mutex::default() })
    }

    /// The frames for `page`.
    pub(super) fn take(&self, page: u64) -> Result<Vec<FrameNumber>, Errno> {
        let mut pages = self.pages.lock();
        let taken = match pages.get(&page) {
            Some(&is_promised) => self.source.frames.take_huge_page(is_promised)?,
            None => self.source.take_unreserved()?,
        };
        pages.insert(page, false);
        Ok(taken)
    }

    /// The mapping of `released` is gone.
    pub(super) fn release(&self, released: Range<u64>) {
        let mut pages = self.pages.lock();
        let mut rest = pages.split_off(&released.start);
        pages.append(&mut rest.split_off(&released.end));
        drop(pages);
        let promised = rest.values().filter(|is_promised| **is_promised).count() as u64;
        self.source.unreserve(promised);
        self.source.give_back(rest.len() as u64 - promised);
    }
}

impl Drop for HugeReservation {
    fn drop(&mut self) {
        self.release(0..u64::MAX);
    }
}
