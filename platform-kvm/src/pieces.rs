//! A change of mappings, cut at the boundaries of the entries of page directories.

use sentry::platform::{FrameRun, PAGE_SIZE, VirtualAddress};

use crate::tables::{ENTRIES, LARGE_PAGE, next_boundary};

/// A change cut at the boundaries of page directories' entries.
pub(crate) struct Pieces<'a> {
    start: VirtualAddress,
    end: u64,
    runs: &'a [FrameRun],
    /// Pages of the first run that are done.
    done: usize,
}

/// What lies within one entry of a page directory.
pub(crate) struct Piece<'a> {
    pub(crate) start: VirtualAddress,
    pub(crate) pages: u64,
    runs: &'a [FrameRun],
    done: usize,
}

impl<'a> Pieces<'a> {
    /// Cuts `len_bytes` from `start` on. `runs` is what is to be mapped, or empty.
    pub(crate) fn new(start: VirtualAddress, len_bytes: u64, runs: &'a [FrameRun]) -> Self {
        Self { start, end: start.0.saturating_add(len_bytes).min(VirtualAddress::USER_END.0), runs, done: 0 }
    }

    /// The last piece of a change without runs.
    pub(crate) fn last_piece(mut self) -> Option<Piece<'a>> {
        let last = self.end.checked_sub(1)? & !(LARGE_PAGE - 1);
        self.start = VirtualAddress(self.start.0.max(last));
        self.next()
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.start.0 >= self.end {
            return None;
        }
        let end = next_boundary(self.start, LARGE_PAGE).min(self.end);
        let pages = (end - self.start.0).div_ceil(PAGE_SIZE);
        let piece = Piece { start: self.start, pages, runs: self.runs, done: self.done };
        self.start = VirtualAddress(end);
        let mut left = pages as usize;
        while let Some((run, later_runs)) = self.runs.split_first() {
            let rest = run.pages.saturating_sub(self.done);
            if rest > left {
                self.done += left;
                break;
            }
            left -= rest;
            self.done = 0;
            self.runs = later_runs;
        }
        Some(piece)
    }
}

impl Piece<'_> {
    /// The frame of a large page, if one can map this piece.
    pub(crate) fn large_frame(&self) -> Option<u64> {
        let run = self.runs.first()?;
        let frame = run.start.0 + self.done as u64 * PAGE_SIZE;
        let is_contiguous = run.pages.saturating_sub(self.done) as u64 >= ENTRIES;
        (self.pages == ENTRIES && is_contiguous && frame.is_multiple_of(LARGE_PAGE)).then_some(frame)
    }

    /// The frames, page by page.
    pub(crate) fn frames(&self) -> impl Iterator<Item = u64> {
        let pages = |run: &FrameRun, skip: usize| {
            let start = run.start.0;
            (skip..run.pages).map(move |page| start + page as u64 * PAGE_SIZE)
        };
        self.runs
            .iter()
            .enumerate()
            .flat_map(move |(index, run)| pages(run, if index == 0 { self.done } else { 0 }))
            .take(self.pages as usize)
    }
}
