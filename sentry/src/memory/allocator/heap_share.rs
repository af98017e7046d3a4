//! The part of all memory that the sentry's heap has for processes: frames that nobody uses and the host does not back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{CHUNK_FRAMES, Chunk, FrameAllocator};
use crate::Errno;
use crate::heap::{HeapAccount, HeapPool, Refusal};
use crate::host::{HostCall, count_call};
use crate::memory::FrameUse;
use crate::memory::frame::FrameSpan;

/// The heap may have all but this part of memory: user code needs some for what the heap is for.
const PART_FOR_USERS: u64 = 4;
/// What a buyer leaves to others is no more than this part of the heap's share.
const PART_FOR_OTHERS: u64 = 8;
/// Frames are taken out by this part of all of them, but no more than a chunk.
const STEPS: u64 = 128;
const LEAST_STEP: u64 = 16;
/// The heap is trimmed when this part of memory has been let go of, and at least so many frames.
const PART_UNTRIMMED: u64 = 32;
const LEAST_UNTRIMMED: u64 = 1024;

/// Frames that are taken out for the heap.
#[derive(Default)]
pub(super) struct HeapShare {
    /// Those that are taken out, who came first at the start.
    spans: Vec<FrameSpan>,
    held_frames: u64,
    /// How many of them are sold.
    used_frames: u64,
    /// How many have been bought back since the heap was trimmed last.
    returned_frames: u64,
}

impl HeapShare {
    /// How many are sold.
    pub(super) fn used_frames(&self) -> u64 {
        self.used_frames
    }

    /// Frames without which there still are `kept_frames`.
    fn take_spare(&mut self, kept_frames: u64) -> Option<FrameSpan> {
        let last_frames = self.spans.last()?.count as u64;
        let rest_frames = self.held_frames.checked_sub(last_frames).filter(|rest| *rest >= kept_frames)?;
        self.held_frames = rest_frames;
        self.spans.pop()
    }
}

impl FrameAllocator {
    /// An account for what the heap holds for a process.
    pub fn new_heap_account(self: &Arc<Self>) -> Arc<HeapAccount> {
        HeapAccount::new(self.clone())
    }

    /// Whether so much has been let go of that the heap should give its memory back to the host, where it can be in use as
    /// guest memory by now. Says so once.
    pub fn take_trim_due(&self) -> bool {
        self.is_trim_due.load(Ordering::Relaxed) && self.is_trim_due.swap(false, Ordering::Relaxed)
    }

    /// Most frames that the heap may have.
    fn heap_limit_frames(&self) -> u64 {
        self.limit_frames - self.limit_frames / PART_FOR_USERS
    }

    fn heap_step_frames(&self) -> u64 {
        (self.limit_frames / STEPS).clamp(LEAST_STEP, CHUNK_FRAMES as u64)
    }

    /// Takes frames out of use, which the host then does not back: a whole chunk if there is one.
    fn take_out(&self) -> Result<FrameSpan, Errno> {
        let step = self.heap_step_frames();
        if step >= CHUNK_FRAMES as u64
            && let Some(chunk) = self.take_out_chunk()
        {
            return Ok(chunk);
        }
        let span = self.allocate_span(FrameUse::Anonymous, step as usize)?;
        count_call(HostCall::Memory);
        // A host that keeps the pages has them for nothing; they are not used meanwhile.
        let _ = self.memory.discard(self.address(span.first), span.count << crate::platform::PAGE_SHIFT);
        Ok(span)
    }

    /// A chunk that the host does not back.
    fn take_out_chunk(&self) -> Option<FrameSpan> {
        let _growth = self.growth.lock();
        let mut state = self.state.lock();
        if self.limit_frames.saturating_sub(state.used_frames) < CHUNK_FRAMES as u64 {
            return None;
        }
        let number = match state.unbacked.pop() {
            Some(number) => number,
            None if state.chunks.len() < self.max_chunks => {
                state.chunks.push(Chunk::new());
                (state.chunks.len() - 1) as u32
            }
            None => return None,
        };
        let chunk = state.chunks.get_mut(number as usize)?;
        (chunk.free, chunk.free_frames) = (Default::default(), 0);
        state.used_frames += CHUNK_FRAMES as u64;
        Some(FrameSpan { first: super::FrameNumber(number * CHUNK_FRAMES as u32), count: CHUNK_FRAMES })
    }

    /// Makes frames that were taken out free again.
    fn put_back(&self, span: FrameSpan) {
        if span.count < CHUNK_FRAMES {
            let numbers: Vec<_> = span.numbers().collect();
            return self.release(&numbers);
        }
        let number = span.first.0 / CHUNK_FRAMES as u32;
        let mut state = self.state.lock();
        if let Some(chunk) = state.chunks.get_mut(number as usize) {
            *chunk = Chunk { grain: chunk.grain, ..Chunk::new() };
            state.unbacked.push(number);
            state.used_frames -= CHUNK_FRAMES as u64;
        }
    }
}

impl HeapPool for FrameAllocator {
    fn sell(&self, pages: u64, bought_pages: u64) -> Result<(), Refusal> {
        let limit = self.heap_limit_frames();
        // Whoever buys leaves as much as it then has to those who have less.
        let own = bought_pages.saturating_add(pages).min(limit / PART_FOR_OTHERS);
        let limit = limit - own;
        let mut share = self.heap.lock();
        let wanted = share.used_frames.saturating_add(pages);
        if wanted > limit {
            return Err(Refusal::Limit);
        }
        while share.held_frames < wanted {
            let span = self.take_out().map_err(|_| Refusal::Shortage)?;
            share.held_frames += span.count as u64;
            share.spans.push(span);
        }
        share.used_frames = wanted;
        Ok(())
    }

    fn buy_back(&self, pages: u64) {
        let mut share = self.heap.lock();
        share.used_frames -= pages;
        share.returned_frames += pages;
        if share.returned_frames >= (self.limit_frames / PART_UNTRIMMED).max(LEAST_UNTRIMMED) {
            share.returned_frames = 0;
            self.is_trim_due.store(true, Ordering::Relaxed);
        }
        // Some are kept, so that who lets go of a page and wants it again does not ask the host each time.
        let kept = share.used_frames + self.heap_step_frames();
        while let Some(span) = share.take_spare(kept) {
            self.put_back(span);
        }
    }
}

#[cfg(test)]
mod tests;
