//! How much a fault brings in: little where touches are scattered, more and more where they go on in sequence.

use std::ops::Range;

use super::allocator::CHUNK_FRAMES;
use super::mapping::intersect;

/// Sequences that are followed at the same time.
const STREAMS: usize = 8;
/// Most pages that one fault brings in.
pub(super) const MAX_WINDOW: u64 = 1024;

/// The sequences of touches that an address space has seen lately.
#[derive(Default)]
pub(super) struct Streams {
    recent: [Stream; STREAMS],
    oldest: usize,
}

#[derive(Clone, Default)]
struct Stream {
    /// What was brought in last.
    pages: Range<u64>,
    window: u64,
}

impl Streams {
    /// The pages to bring in for a fault at `page`, within `bounds`: the aligned group of `first` pages around it,
    /// or up to `max` more if it goes on where an earlier fault stopped. The page itself is always among them.
    pub(super) fn window(&mut self, page: u64, bounds: &Range<u64>, first: u64, max: u64) -> Range<u64> {
        let is_next = |stream: &Stream| stream.window > 0 && stream.pages.end == page;
        let is_previous = |stream: &Stream| stream.window > 0 && stream.pages.start == page + 1;
        let (index, pages) = if let Some(index) = self.recent.iter().position(is_next) {
            let window = self.widen(index, first, max);
            (index, page..upward_end(page, window))
        } else if let Some(index) = self.recent.iter().position(is_previous) {
            let window = self.widen(index, first, max);
            (index, downward_start(page, window)..page + 1)
        } else {
            let index = self.oldest;
            self.oldest = (index + 1) % STREAMS;
            self.recent[index].window = first;
            let start = page - page % first;
            (index, start..start + first)
        };
        let pages = intersect(&pages, bounds);
        self.recent[index].pages = pages.clone();
        pages
    }

    fn widen(&mut self, index: usize, first: u64, max: u64) -> u64 {
        let window = (self.recent[index].window * 2).clamp(first, max.max(first));
        self.recent[index].window = window;
        window
    }
}

/// Wide windows end where a large page begins.
fn upward_end(page: u64, window: u64) -> u64 {
    let large = CHUNK_FRAMES as u64;
    let end = page + window;
    if window >= large { end - end % large } else { end }
}

fn downward_start(page: u64, window: u64) -> u64 {
    let large = CHUNK_FRAMES as u64;
    let start = (page + 1).saturating_sub(window);
    if window >= large { start.next_multiple_of(large).min(page) } else { start }
}

#[cfg(test)]
mod tests;
