//! A sparse table from page numbers to frames, which owns a reference to each frame in it.
//!
//! Leaves of 64 pages, so that a small file or a lone page costs little, and a bit per page says what is there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::FrameAllocator;
use super::allocator::FRAME_NUMBER_BITS;
use super::frame::{FrameBatch, FrameNumber};
use crate::heap::HeapCharge;

const LEAF_PAGES: u64 = 64;
/// What a leaf takes with its place in the table.
const LEAF_BYTES: usize = size_of::<Leaf>() + 64;

bitflags::bitflags! {
    /// What is known of a frame in a table.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct EntryFlags: u32 {
        /// In an address space: the page is the process's own (anonymous, or copied from a file), not the cache's.
        const PRIVATE = 1 << 31;
        /// In an address space, for private pages: no one else has the frame, so it may be written in place. For a cache's
        /// pages whose writes are noted: it has been noted, so that they may be written.
        const EXCLUSIVE = 1 << 30;
        /// In a cache: the frame is a page of the host's.
        const OF_HOST = 1 << 30;
        /// In a cache: the contents are not what the file's source would give.
        const DIRTY = 1 << 29;
        /// In an address space, for private pages: who writes is told of (`man 2 userfaultfd`), whoever has the frame.
        const WRITE_PROTECTED = 1 << 29;
        /// Tables count the entries that have one of these.
        const MARKED = Self::PRIVATE.bits() | Self::DIRTY.bits();
    }
}

/// A frame and its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    /// An entry for `number`.
    pub(super) fn new(number: FrameNumber, flags: EntryFlags) -> Self {
        Self(number.0 | flags.bits())
    }

    pub(super) fn number(self) -> FrameNumber {
        FrameNumber(self.0 & ((1 << FRAME_NUMBER_BITS) - 1))
    }

    /// The same frame with other flags.
    pub(super) fn with(self, flags: EntryFlags) -> Self {
        Self::new(self.number(), flags)
    }

    /// The same without some flags.
    pub(super) fn without(self, flags: EntryFlags) -> Self {
        Self(self.0 & !flags.bits())
    }

    /// Whether all of `flags` are set.
    pub(super) fn has_all(self, flags: EntryFlags) -> bool {
        self.0 & flags.bits() == flags.bits()
    }

    /// Whether one of `flags` is set.
    pub(super) fn has(self, flags: EntryFlags) -> bool {
        self.0 & flags.bits() != 0
    }
}

/// A sparse table of frames.
pub(super) struct FrameTable {
    frames: Arc<FrameAllocator>,
    leaves: BTreeMap<u64, Box<Leaf>>,
    len: u64,
    marked_len: u64,
    host_len: u64,
    heap_charge: HeapCharge,
}

struct Leaf {
    present: u64,
    /// Those of them that are marked.
    marked: u64,
    /// Those whose frames are the host's own pages.
    of_host: u64,
    entries: [Entry; LEAF_PAGES as usize],
}

impl FrameTable {
    /// An empty table.
    pub(super) fn new(frames: &Arc<FrameAllocator>) -> Self {
        Self {
            frames: frames.clone(),
            leaves: BTreeMap::new(),
            len: 0,
            marked_len: 0,
            host_len: 0,
            heap_charge: HeapCharge::default(),
        }
    }

    /// Pages in the table.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Pages in the table that are [`EntryFlags::MARKED`]: private ones in an address space, changed ones in a cache.
    pub(super) fn marked_len(&self) -> u64 {
        self.marked_len
    }

    /// Pages in the table that are the host's own, of an image's files.
    pub(super) fn host_len(&self) -> u64 {
        self.host_len
    }

    /// About how many pages of page tables show what is here: of the last level, and one of each level above it.
    pub(super) fn translation_pages(&self) -> u64 {
        const LEAVES_OF_TABLE: usize = 512 / LEAF_PAGES as usize;
        const UPPER_LEVELS: u64 = 3;
        self.leaves.len().div_ceil(LEAVES_OF_TABLE) as u64 + UPPER_LEVELS
    }

    pub(super) fn get(&self, page: u64) -> Option<Entry> {
        let leaf = self.leaves.get(&(page / LEAF_PAGES))?;
        let index = page % LEAF_PAGES;
        (leaf.present & (1 << index) != 0).then(|| leaf.entries[index as usize])
    }

    /// Enters `entry`, whose reference the table takes over. The reference that it displaces goes to `displaced`.
    pub(super) fn insert(&mut self, page: u64, entry: Entry, displaced: &mut FrameBatch) {
        if !self.leaves.contains_key(&(page / LEAF_PAGES)) {
            self.heap_charge.force((self.leaves.len() + 1) * LEAF_BYTES);
        }
        let is_of_host = !entry.has(EntryFlags::MARKED) && self.frames.is_of_host(entry.number());
        let leaf = self.leaves.entry(page / LEAF_PAGES).or_insert_with(|| Box::new(Leaf::new()));
        self.host_len -= leaf.set_of_host(page % LEAF_PAGES, is_of_host);
        self.host_len += u64::from(is_of_host);
        match leaf.set(page % LEAF_PAGES, entry) {
            Some(old) => {
                self.marked_len -= u64::from(old.has(EntryFlags::MARKED));
                displaced.push(old.number());
            }
            None => self.len += 1,
        }
        self.marked_len += u64::from(entry.has(EntryFlags::MARKED));
    }

    /// Changes the flags of `page`, if it is there.
    pub(super) fn set_flags(&mut self, page: u64, flags: EntryFlags) {
        let Some(leaf) = self.leaves.get_mut(&(page / LEAF_PAGES)) else { return };
        let index = page % LEAF_PAGES;
        if leaf.present & (1 << index) != 0 {
            let entry = leaf.entries[index as usize];
            self.marked_len -= u64::from(entry.has(EntryFlags::MARKED));
            let changed = entry.with(flags);
            leaf.set(index, changed);
            self.marked_len += u64::from(changed.has(EntryFlags::MARKED));
        }
    }

    /// Gives `page`, if it is there, the flags of `entry`.
    pub(super) fn replace_flags(&mut self, page: u64, entry: Entry) {
        self.set_flags(page, EntryFlags::from_bits_truncate(entry.0));
    }

    /// The entries of `pages`, in order.
    pub(super) fn range(&self, pages: Range<u64>) -> impl Iterator<Item = (u64, Entry)> + '_ {
        let first = pages.start / LEAF_PAGES;
        let leaves = first..pages.end.div_ceil(LEAF_PAGES).max(first);
        self.leaves.range(leaves).flat_map(move |(&number, leaf)| {
            let present = leaf.present & mask(number, &pages);
            bits(present).map(move |index| (number * LEAF_PAGES + index, leaf.entries[index as usize]))
        })
    }

    /// The smallest range that holds all entries of `pages`; `None` if there are none.
    pub(super) fn span(&self, pages: Range<u64>) -> Option<Range<u64>> {
        let mut entries = self.range(pages);
        let (first, _) = entries.next()?;
        let last = entries.last().map_or(first, |(page, _)| page);
        Some(first..last + 1)
    }

    /// The runs of `pages` that have no entry.
    pub(super) fn gaps(&self, pages: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut next = pages.start;
        for (page, _) in self.range(pages.clone()) {
            if page > next {
                gaps.push(next..page);
            }
            next = page + 1;
        }
        if next < pages.end {
            gaps.push(next..pages.end);
        }
        gaps
    }

    /// Moves the entries of `pages` for which `wanted` holds to `taken`. Returns the span that they covered.
    pub(super) fn take(
        &mut self,
        pages: Range<u64>,
        taken: &mut FrameBatch,
        mut wanted: impl FnMut(u64, Entry) -> bool,
    ) -> Option<Range<u64>> {
        let mut span: Option<Range<u64>> = None;
        self.extract(pages, |page, entry| {
            let is_wanted = wanted(page, entry);
            if is_wanted {
                taken.push(entry.number());
                span = Some(span.as_ref().map_or(page, |span| span.start)..page + 1);
            }
            is_wanted
        });
        span
    }

    /// Moves the entries of `pages` to where they begin at `target`, which must be empty and apart from them.
    /// Returns whether there were any.
    pub(super) fn shift(&mut self, pages: Range<u64>, target: u64) -> bool {
        let start = pages.start;
        let mut moved = Vec::new();
        self.extract(pages, |page, entry| {
            moved.push((target + (page - start), entry));
            true
        });
        let mut displaced = FrameBatch::new(&self.frames);
        let is_empty = moved.is_empty();
        for (page, entry) in moved {
            self.insert(page, entry, &mut displaced);
        }
        !is_empty
    }

    /// Moves the entries from page `first` on to a table of their own, in less time than a look at each would take.
    pub(super) fn split_off(&mut self, first: u64) -> Self {
        let mut rest = Self::new(&self.frames);
        let boundary = first.div_ceil(LEAF_PAGES);
        let mut moved = Vec::new();
        self.extract(first..boundary * LEAF_PAGES, |page, entry| {
            moved.push((page, entry));
            true
        });
        rest.leaves = self.leaves.split_off(&boundary);
        for leaf in rest.leaves.values() {
            rest.len += u64::from(leaf.present.count_ones());
            rest.marked_len += u64::from(leaf.marked.count_ones());
            rest.host_len += u64::from(leaf.of_host.count_ones());
        }
        self.len -= rest.len;
        self.marked_len -= rest.marked_len;
        self.host_len -= rest.host_len;
        self.heap_charge.force(self.leaves.len() * LEAF_BYTES);
        rest.heap_charge.force(rest.leaves.len() * LEAF_BYTES);
        let mut displaced = FrameBatch::new(&self.frames);
        for (page, entry) in moved {
            rest.insert(page, entry, &mut displaced);
        }
        rest
    }

    /// What is left of it, for who lets go of it some at a time.
    pub(super) fn into_leftover(mut self) -> Leftover {
        Leftover(std::mem::take(&mut self.leaves))
    }

    /// Removes the entries of `pages` for which `remove` says so; it then owns their references.
    fn extract(&mut self, pages: Range<u64>, mut remove: impl FnMut(u64, Entry) -> bool) {
        if pages.is_empty() {
            return;
        }
        let mut emptied = Vec::new();
        let leaves = pages.start / LEAF_PAGES..pages.end.div_ceil(LEAF_PAGES);
        for (&number, leaf) in self.leaves.range_mut(leaves) {
            for index in bits(leaf.present & mask(number, &pages)) {
                let entry = leaf.entries[index as usize];
                if remove(number * LEAF_PAGES + index, entry) {
                    leaf.present &= !(1 << index);
                    leaf.marked &= !(1 << index);
                    self.host_len -= leaf.set_of_host(index, false);
                    self.len -= 1;
                    self.marked_len -= u64::from(entry.has(EntryFlags::MARKED));
                }
            }
            if leaf.present == 0 {
                emptied.push(number);
            }
        }
        for number in emptied {
            self.leaves.remove(&number);
        }
        self.heap_charge.force(self.leaves.len() * LEAF_BYTES);
    }
}

/// Frames of a table that nobody looks into any more, with a reference to each. Dropping it keeps the references.
#[derive(Default)]
pub(super) struct Leftover(BTreeMap<u64, Box<Leaf>>);

impl Leftover {
    /// Whether it has no frames.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out some frames, whose references the caller owns; none if none are left.
    pub(super) fn take_some(&mut self, about: usize) -> Vec<FrameNumber> {
        let mut numbers = Vec::new();
        while numbers.len() < about
            && let Some((_, leaf)) = self.0.pop_first()
        {
            numbers.extend(bits(leaf.present).map(|index| leaf.entries[index as usize].number()));
        }
        numbers
    }
}

impl Drop for FrameTable {
    fn drop(&mut self) {
        let mut all = FrameBatch::new(&self.frames);
        for leaf in self.leaves.values() {
            bits(leaf.present).for_each(|index| all.push(leaf.entries[index as usize].number()));
        }
    }
}

impl Leaf {
    fn new() -> Self {
        Self { present: 0, marked: 0, of_host: 0, entries: [Entry(0); LEAF_PAGES as usize] }
    }

    /// Says whether the frame of an entry is a page of the host's; returns 1 if the one that was there is.
    fn set_of_host(&mut self, index: u64, is_of_host: bool) -> u64 {
        let was = self.of_host >> index & 1;
        self.of_host = self.of_host & !(1 << index) | u64::from(is_of_host) << index;
        was
    }

    /// Enters `entry`. Returns the one that was there.
    fn set(&mut self, index: u64, entry: Entry) -> Option<Entry> {
        let (bit, was) = (1 << index, self.present & 1 << index != 0);
        let old = std::mem::replace(&mut self.entries[index as usize], entry);
        self.present |= bit;
        self.marked &= !bit;
        self.marked |= u64::from(entry.has(EntryFlags::MARKED)) << index;
        was.then_some(old)
    }
}

/// The bits of leaf `number` that stand for `pages`.
fn mask(number: u64, pages: &Range<u64>) -> u64 {
    let first = number * LEAF_PAGES;
    let start = pages.start.saturating_sub(first).min(LEAF_PAGES);
    let end = pages.end.saturating_sub(first).min(LEAF_PAGES);
    if start >= end {
        return 0;
    }
    (u64::MAX >> (LEAF_PAGES - (end - start))) << start
}

/// The numbers of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let index = u64::from(word.trailing_zeros());
            word &= word - 1;
            index
        })
    })
}

#[cfg(test)]
mod tests;
