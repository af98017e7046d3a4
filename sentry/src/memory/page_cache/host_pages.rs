//! Pages of the host's own cache, shown as they are: all who run one program hold one copy of it.
//!
//! For as long as nobody writes, a page of a host file need not be read into memory of the sandbox: its frame shows the
//! file. Who is about to write, or to map so that it could, has the cache keep its own pages first, and for good. So has who
//! maps what many others have mapped: KVM maps several pages at once of memory that may be written, but the host's one by one,
//! and where it shadows page tables it does so for each address space.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::fstat;

use super::{PageCache, PageSource, pages_of};
use crate::host::{HostCall, count_call};
use crate::memory::frame::{Frame, FrameBatch, FrameSpan};
use crate::memory::table::{Entry, EntryFlags};
use crate::platform::PAGE_SHIFT;

/// Where the host has the bytes of a file.
#[derive(Clone, Debug)]
pub struct HostExtent {
    /// What holds them.
    pub file: Arc<OwnedFd>,
    /// Offset of the first there, in bytes, page-aligned. What follows the last in its page is zeroes.
    pub start: u64,
}

impl HostExtent {
    /// What holds the bytes.
    pub(in crate::memory) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// How many bytes there are now behind the start.
    fn len_bytes(&self) -> Option<u64> {
        count_call(HostCall::Stat);
        let status = fstat(&self.file).ok()?;
        Some(u64::try_from(status.st_size).ok()?.saturating_sub(self.start))
    }
}

impl PageCache {
    /// Whether the host's own pages may be shown.
    fn shows_host(&self) -> bool {
        self.frames.has_window() && self.state.read().shows_host
    }

    /// Takes what is missing of `pages` over from the host. Returns whether page `needed` is there now; if not, it is to be
    /// read. Called with no lock held.
    pub(super) fn take_over_from_host(&self, needed: u64, pages: &Range<u64>) -> bool {
        if !self.shows_host() {
            return false;
        }
        let Some(extent) = self.source.as_ref().and_then(|source| source.host_extent()) else {
            self.keep_own_pages();
            return false;
        };
        let (gaps, generation) = self.missing_from_source(pages);
        for gap in gaps {
            let mut next = gap.start;
            while next < gap.end {
                let count = usize::try_from(gap.end - next).unwrap_or(usize::MAX);
                let Ok(span) = self.frames.map_file(&extent, next << PAGE_SHIFT, count) else {
                    return self.is_resident(needed);
                };
                self.insert_of_host(next, span, generation);
                next += span.count as u64;
            }
        }
        self.is_resident(needed)
    }

    /// Enters frames that show the file from page `first` on, where nothing else has come in between. Takes their references
    /// over.
    fn insert_of_host(&self, first: u64, span: FrameSpan, generation: u64) {
        let mut unused = FrameBatch::new(&self.frames);
        self.copies.lock().note_shown();
        let mut state = self.state.write();
        let is_stale = state.generation != generation || !state.shows_host;
        for (page, number) in (first..).zip(span.numbers()) {
            if is_stale || state.pages.get(page).is_some() {
                unused.push(number);
            } else {
                state.pages.insert(page, Entry::new(number, EntryFlags::OF_HOST), &mut unused);
                state.host_pages += 1;
            }
        }
    }

    /// Has the cache keep its own pages from now on: somebody is about to write. Mappings that show the host's until then are
    /// reached by [`PageCache::take_back_copies`].
    pub(super) fn keep_own_pages(&self) {
        if !self.state.read().shows_host {
            return;
        }
        let mut state = self.state.write();
        state.shows_host = false;
        state.generation += 1;
        let removed = self.remove(&mut state, 0..u64::MAX, |_, entry| entry.has(EntryFlags::OF_HOST));
        drop(state);
        drop(removed);
    }

    /// Finds out what the host's file has no longer, or cannot show: the file ends before that from now on. Returns whether
    /// there was anything. Called with no lock held.
    pub(in crate::memory) fn cut_off_lost(&self) -> bool {
        let Some(source) = self.source.as_deref().filter(|_| self.copies.lock().are_shown()) else {
            return false;
        };
        let Some(size) = self.size_left(source) else { return false };
        let removed = {
            let mut state = self.state.write();
            let is_changed = state.pages.marked_len() > 0 || state.size != state.source_end;
            if is_changed || size >= state.source_end {
                return false;
            }
            (state.size, state.source_end) = (size, size);
            state.generation += 1;
            self.remove(&mut state, pages_of(size)..u64::MAX, |_, _| true)
        };
        self.unmap(pages_of(size)..u64::MAX, true);
        drop(removed);
        true
    }

    /// How many bytes the host's file has left, if they are fewer than there were.
    fn size_left(&self, source: &dyn PageSource) -> Option<u64> {
        let end = self.state.read().source_end;
        let told = source.host_extent().and_then(|extent| extent.len_bytes()).filter(|&told| told < end);
        told.or_else(|| Some(self.first_lost()? << PAGE_SHIFT))
    }

    /// The first of the host's pages that cannot be shown.
    fn first_lost(&self) -> Option<u64> {
        let shown: Vec<_> = {
            let state = self.state.read();
            let of_host = state.pages.range(0..u64::MAX).filter(|(_, entry)| entry.has(EntryFlags::OF_HOST));
            let hold = |(page, entry): (u64, Entry)| {
                self.frames.retain(entry.number());
                (page, Frame::adopt(self.frames.clone(), entry.number()))
            };
            of_host.map(hold).collect()
        };
        let is_there = |(_, frame): &(u64, Frame)| !self.frames.is_lost(frame.number());
        let lost = shown.partition_point(is_there);
        shown.get(lost).map(|(page, _)| *page)
    }
}
