//! The mappings of one address space: apart from each other, merged where they can be.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::FrameAllocator;
use super::commit::PromisedPages;
use super::gaps::{Gap, Gaps};
use super::mapping::{Mapping, MappingFlags, intersect};
use super::page_cache::pages_of;
use super::unmapped_area::{END_PAGE, STACK_GUARD_PAGES};
use crate::Errno;
use crate::heap::{self, HeapCharge};
use crate::settings::{KernelNumber, KernelSettings};

/// Most mappings that an address space may have, whatever `/proc/sys/vm/max_map_count` says.
const MAX_MAPPINGS: usize = 1 << 20;

/// What a mapping takes, with the gap beside it and its place among the mappers of its file.
const MAPPING_BYTES: usize = 448;

/// The mappings of one address space, by first page.
pub(super) struct Mappings {
    by_start: BTreeMap<u64, Mapping>,
    /// What lies between them.
    gaps: Gaps,
    total_pages: u64,
    /// The most that those ever were.
    peak_pages: u64,
    locked_pages: u64,
    promised: PromisedPages,
    heap_charge: HeapCharge,
    settings: Arc<KernelSettings>,
}

impl Default for Mappings {
    fn default() -> Self {
        let mut gaps = Gaps::default();
        gaps.insert(Gap { pages: 0..END_PAGE, guard: 0 });
        Self {
            by_start: BTreeMap::new(),
            gaps,
            total_pages: 0,
            peak_pages: 0,
            locked_pages: 0,
            promised: PromisedPages::default(),
            heap_charge: HeapCharge::default(),
            settings: Arc::default(),
        }
    }
}

impl Mappings {
    /// None yet; the settings of `frames` bound them, and what they promise is counted there.
    pub(super) fn bounded_by(frames: &FrameAllocator) -> Self {
        let promised = PromisedPages::counted_in(frames.promises());
        Self { settings: frames.settings().clone(), promised, ..Self::default() }
    }

    /// How many mappings there are.
    pub(super) fn len(&self) -> usize {
        self.by_start.len()
    }

    /// Pages in all mappings.
    pub(super) fn total_pages(&self) -> u64 {
        self.total_pages
    }

    /// The most pages that there ever were in all mappings.
    pub(super) fn peak_pages(&self) -> u64 {
        self.peak_pages
    }

    /// Pages in the locked mappings.
    pub(super) fn locked_pages(&self) -> u64 {
        self.locked_pages
    }

    /// Pages that may all come to be needed.
    pub(super) fn promised_pages(&self) -> u64 {
        self.promised.pages()
    }

    /// The free pages.
    pub(super) fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// All mappings, by address.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Mapping> {
        self.by_start.values()
    }

    /// The mapping that holds `page`.
    pub(super) fn find(&self, page: u64) -> Option<&Mapping> {
        let (_, mapping) = self.by_start.range(..=page).next_back()?;
        mapping.pages.contains(&page).then_some(mapping)
    }

    /// The first mapping that ends past `page`.
    pub(super) fn at_or_after(&self, page: u64) -> Option<&Mapping> {
        self.find(page).or_else(|| self.by_start.range(page..).next().map(|(_, mapping)| mapping))
    }

    /// The last mapping that begins before `page`.
    pub(super) fn before(&self, page: u64) -> Option<&Mapping> {
        self.by_start.range(..page).next_back().map(|(_, mapping)| mapping)
    }

    /// The mappings that share pages with `pages`.
    pub(super) fn overlapping(&self, pages: Range<u64>) -> impl DoubleEndedIterator<Item = &Mapping> {
        let first = self.find(pages.start).map_or(pages.start, |mapping| mapping.pages.start);
        // An empty range overlaps nothing, not even the mapping that it lies in.
        let last = if pages.is_empty() { first } else { pages.end };
        self.by_start.range(first..last).map(|(_, mapping)| mapping)
    }

    /// What is dealt with of `pages` in one step: some mappings of it.
    pub(super) fn step_of(&self, pages: &Range<u64>) -> Range<u64> {
        const STEP_MAPPINGS: usize = 1024;
        let next = self.overlapping(pages.clone()).nth(STEP_MAPPINGS);
        pages.start..next.map_or(pages.end, |next| next.pages.start)
    }

    /// The parts that are left of the segment that was attached at page `start`: mappings of one segment, each where the
    /// attachment put it.
    pub(super) fn segment_attached_at(&self, start: u64) -> Vec<Range<u64>> {
        let is_in_place = |mapping: &&Mapping| {
            let is_segment = mapping.file().is_some_and(|file| file.is_segment());
            let offset = mapping.cached(mapping.pages.start).map(|(_, first)| first);
            is_segment && offset.and_then(|offset| start.checked_add(offset)) == Some(mapping.pages.start)
        };
        let cache_of =
            |mapping: &Mapping| mapping.cached(mapping.pages.start).map(|(cache, _)| cache.clone());
        let Some(first) = self.overlapping(start..u64::MAX).find(is_in_place) else { return Vec::new() };
        let Some(cache) = cache_of(first) else { return Vec::new() };
        let end = start.saturating_add(pages_of(cache.size()));
        let is_rest = |mapping: &&Mapping| {
            let is_same = cache_of(mapping).is_some_and(|other| Arc::ptr_eq(&other, &cache));
            is_same && mapping.pages.end <= end
        };
        let rest = self.overlapping(first.pages.end..end).filter(is_in_place).filter(is_rest);
        std::iter::once(first).chain(rest).map(|mapping| mapping.pages.clone()).collect()
    }

    /// Takes all mappings out.
    pub(super) fn take_all(&mut self) -> Vec<Mapping> {
        let mappings = std::mem::take(self);
        mappings.by_start.into_values().collect()
    }

    /// Whether every page of `pages` is mapped.
    pub(super) fn covers(&self, pages: Range<u64>) -> bool {
        self.covered_until(pages.clone()) == pages.end
    }

    /// The first page of `pages` that is not mapped, or their end.
    pub(super) fn covered_until(&self, pages: Range<u64>) -> u64 {
        let mut next = pages.start;
        for mapping in self.overlapping(pages.clone()) {
            if mapping.pages.start > next {
                break;
            }
            next = mapping.pages.end;
        }
        next.min(pages.end)
    }

    /// How many pages of `pages` are mapped.
    pub(super) fn pages_in(&self, pages: Range<u64>) -> u64 {
        self.overlapping(pages.clone())
            .map(|mapping| intersect(&mapping.pages, &pages))
            .map(|shared| shared.end - shared.start)
            .sum()
    }

    /// Whether there is room for `more` mappings beside those that cutting `pages` out of the others makes.
    pub(super) fn has_room(&self, pages: Range<u64>, more: usize) -> bool {
        let is_split = |page| self.find(page).is_some_and(|mapping| mapping.pages.start != page);
        let splits = usize::from(is_split(pages.start)) + usize::from(is_split(pages.end));
        let added = splits + more;
        // What splits nothing needs nothing.
        let is_paid = added == 0 || heap::check_room(added * MAPPING_BYTES).is_ok();
        let most = self.settings.bound(KernelNumber::MaxMapCount).min(MAX_MAPPINGS);
        self.len() + added <= most && is_paid
    }

    /// Fails if the calling process may not have as many mappings once more.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn check_copy(&self) -> Result<(), Errno> {
        heap::check_room(self.len() * MAPPING_BYTES)
    }

    /// Charges for what there is now.
    fn charge(&mut self) {
        self.heap_charge.force(self.by_start.len() * MAPPING_BYTES);
    }

    /// Adds `mapping`, whose pages are free, and merges it with its neighbours if it can be.
    pub(super) fn insert(&mut self, mapping: Mapping) {
        self.fill_gap(&mapping);
        self.link(mapping);
    }

    /// Removes `pages` from all mappings, and returns what was there.
    pub(super) fn take(&mut self, pages: Range<u64>) -> Vec<Mapping> {
        let taken = self.cut(pages.clone());
        if !taken.is_empty() {
            self.open_gap(pages);
        }
        taken
    }

    /// Changes every mapping of `pages`, cut to them. `change` leaves each where it is, and what grows down a stack.
    pub(super) fn update(&mut self, pages: Range<u64>, mut change: impl FnMut(&mut Mapping)) {
        for mut mapping in self.cut(pages) {
            change(&mut mapping);
            self.link(mapping);
        }
    }

    fn link(&mut self, mut mapping: Mapping) {
        self.count(&mapping, true);
        if let Some(previous) = self.before(mapping.pages.start)
            && previous.continues_in(&mapping)
            && let Some(mut previous) = self.by_start.remove(&previous.pages.start.clone())
        {
            previous.pages.end = mapping.pages.end;
            mapping = previous;
        }
        if let Some(next) = self.by_start.get(&mapping.pages.end)
            && mapping.continues_in(next)
            && let Some(next) = self.by_start.remove(&mapping.pages.end)
        {
            mapping.pages.end = next.pages.end;
        }
        self.by_start.insert(mapping.pages.start, mapping);
        self.charge();
    }

    fn cut(&mut self, pages: Range<u64>) -> Vec<Mapping> {
        self.split_at(pages.start);
        self.split_at(pages.end);
        let starts: Vec<u64> = self.by_start.range(pages).map(|(&start, _)| start).collect();
        let taken: Vec<_> = starts.into_iter().filter_map(|start| self.by_start.remove(&start)).collect();
        taken.iter().for_each(|mapping| self.count(mapping, false));
        self.charge();
        taken
    }

    fn split_at(&mut self, page: u64) {
        if let Some((_, mapping)) = self.by_start.range_mut(..page).next_back()
            && mapping.pages.contains(&page)
        {
            let tail = mapping.split_off(page);
            self.by_start.insert(page, tail);
        }
    }

    /// The pages of `mapping` are no longer free.
    fn fill_gap(&mut self, mapping: &Mapping) {
        let Range { start, end } = mapping.pages;
        let Some(gap) = self.gaps.at_or_before(start).cloned() else { return };
        self.gaps.remove(gap.pages.start..gap.pages.start + 1);
        self.add_gap(gap.pages.start..start, Some(mapping.flags));
        if end < gap.pages.end {
            self.gaps.insert(Gap { pages: end..gap.pages.end, guard: gap.guard });
        }
    }

    /// Nothing is mapped at `pages` any more.
    fn open_gap(&mut self, pages: Range<u64>) {
        let start = self.before(pages.start).map_or(0, |mapping| mapping.pages.end);
        let above = self.by_start.range(pages.end..).next().map(|(&start, mapping)| (start, mapping.flags));
        let end = above.map_or(END_PAGE, |(start, _)| start);
        self.gaps.remove(start..end);
        self.add_gap(start..end, above.map(|(_, flags)| flags));
    }

    /// Adds the gap `pages`, below a mapping that has the flags `above`.
    fn add_gap(&mut self, pages: Range<u64>, above: Option<MappingFlags>) {
        let is_below_stack = above.is_some_and(|flags| flags.contains(MappingFlags::GROWSDOWN));
        let guard = if is_below_stack { STACK_GUARD_PAGES } else { 0 };
        if !pages.is_empty() {
            self.gaps.insert(Gap { pages, guard });
        }
    }

    fn count(&mut self, mapping: &Mapping, is_added: bool) {
        let locked = if mapping.flags.contains(MappingFlags::LOCKED) { mapping.len() } else { 0 };
        let promised = if mapping.is_promised() { mapping.len() } else { 0 };
        if is_added {
            self.total_pages += mapping.len();
            self.peak_pages = self.peak_pages.max(self.total_pages);
            self.locked_pages += locked;
            self.promised.add(promised);
        } else {
            self.total_pages -= mapping.len();
            self.locked_pages -= locked;
            self.promised.remove(promised);
        }
    }
}

#[cfg(test)]
mod tests;
