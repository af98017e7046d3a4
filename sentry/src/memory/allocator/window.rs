//! Frames that are pages of the host's cache: guest-physical addresses whose host memory is mapped from files.
//!
//! They take no memory of the sandbox, so nobody pays for them; what is bounded is their number, and that of the host's
//! mappings. They only ever read: whoever writes copies first. A chunk has such frames only, and becomes memory again when
//! all of them are free; until then, a free frame may still show a file.

use std::sync::atomic::Ordering;

use super::{CHUNK_BYTES, CHUNK_FRAMES, Chunk, FrameAllocator, State, account_of, longest_run};
use crate::Errno;
use crate::host::{HostCall, count_call};
use crate::memory::account::{FrameUse, OF_HOST};
use crate::memory::frame::{FrameNumber, FrameSpan};
use crate::memory::page_cache::HostExtent;
use crate::platform::{GuestAddress, PAGE_SHIFT};

/// The host's mappings at most, of the 65,530 that Linux gives a process (`vm.max_map_count`); what lies between two takes
/// another.
const MAX_MAPPINGS: usize = 8192;
/// Chunks that are looked at for room in a row, before one more is begun.
const LOOKED_AT: usize = 8;
/// What is given up when there is no room left.
const RECLAIMED_FRAMES: usize = 16 * CHUNK_FRAMES;

/// Chunks whose frames are the host's.
#[derive(Default)]
pub(super) struct Window {
    max_chunks: usize,
    chunks: usize,
    /// Those with some frames free.
    with_room: Vec<u32>,
    mappings: usize,
    /// There was no room, and giving up pages has made none.
    is_exhausted: bool,
}

impl Window {
    pub(super) fn new(max_chunks: usize) -> Self {
        Self { max_chunks, ..Self::default() }
    }

    /// A frame of `chunk` is free, of which so many are now. Returns whether it is to be given back.
    pub(super) fn note_free(&mut self, chunk: u32, free_frames: usize) -> bool {
        if free_frames == 1 {
            self.with_room.push(chunk);
        }
        let is_free = free_frames == CHUNK_FRAMES;
        if is_free {
            self.with_room.retain(|&other| other != chunk);
        }
        is_free
    }
}

/// What a search for room has found.
enum Room {
    Span(FrameSpan),
    /// One more chunk is to be begun.
    NeedsChunk,
    /// There is none.
    Full,
}

impl FrameAllocator {
    /// Whether a frame is a page of the host's cache.
    pub(in crate::memory) fn is_of_host(&self, number: FrameNumber) -> bool {
        self.payers.existing(number).is_some_and(|payer| account_of(payer.load(Ordering::Relaxed)) == OF_HOST)
    }

    /// Whether there can be frames that are pages of the host's cache.
    pub(in crate::memory) fn has_window(&self) -> bool {
        self.has_window
    }

    /// Whether the host cannot show a frame that is a page of its cache.
    pub(in crate::memory) fn is_lost(&self, number: FrameNumber) -> bool {
        self.memory.is_lost(self.address(number))
    }

    /// Up to `max_frames` frames in a row that show the file behind `extent` from its byte `offset` on, each with one
    /// reference, which the caller owns. Called with no memory lock held.
    ///
    /// # Errors
    /// ENOMEM: there is no room for more. And the host's.
    pub(in crate::memory) fn map_file(
        &self,
        extent: &HostExtent,
        offset: u64,
        max_frames: usize,
    ) -> Result<FrameSpan, Errno> {
        let span = self.take_of_host(max_frames.clamp(1, CHUNK_FRAMES))?;
        for number in span.numbers() {
            self.counts.word(number).store(1, Ordering::Relaxed);
            self.payers.word(number).store(super::paid_as(OF_HOST, FrameUse::File), Ordering::Relaxed);
        }
        count_call(HostCall::Memory);
        let start = extent.start.saturating_add(offset);
        let mapped =
            self.memory.map_file(self.address(span.first), span.count << PAGE_SHIFT, extent.as_fd(), start);
        mapped.map(|()| span).map_err(|error| {
            log::debug!("a file is read rather than mapped: {error}");
            self.release(&span.numbers().collect::<Vec<_>>());
            Errno::ENODEV
        })
    }

    fn take_of_host(&self, wanted: usize) -> Result<FrameSpan, Errno> {
        let mut has_reclaimed = false;
        loop {
            let (room, is_exhausted) = {
                let mut state = self.state.lock();
                let room = state.take_of_host(wanted);
                state.window.is_exhausted |= has_reclaimed && matches!(room, Room::Full);
                (room, state.window.is_exhausted)
            };
            match room {
                Room::Span(span) => return Ok(span),
                Room::NeedsChunk => self.begin_of_host()?,
                Room::Full if is_exhausted => return Err(Errno::ENOMEM),
                Room::Full => {
                    has_reclaimed = true;
                    // What is mapped stays: looking for it takes longer than reading other files.
                    self.reclaim_those(RECLAIMED_FRAMES, false, &|number| self.is_of_host(number));
                }
            }
        }
    }

    /// Has one more chunk be of the host's pages.
    fn begin_of_host(&self) -> Result<(), Errno> {
        let _growth = self.growth.lock();
        let chunk = {
            let mut state = self.state.lock();
            state.unbacked.pop().unwrap_or(state.chunks.len() as u32)
        };
        let end_bytes = (u64::from(chunk) + 1) * CHUNK_BYTES;
        let is_shown = self.platform.extend_memory(end_bytes).is_ok_and(|shown| shown >= end_bytes);
        let mut state = self.state.lock();
        if chunk as usize == state.chunks.len() && is_shown {
            state.chunks.push(Chunk::new());
        }
        match state.chunks.get_mut(chunk as usize) {
            Some(begun) if is_shown => {
                begun.host_mappings = Some(0);
                state.window.chunks += 1;
                state.window.with_room.push(chunk);
                Ok(())
            }
            Some(_) => {
                state.unbacked.push(chunk);
                Err(Errno::ENOMEM)
            }
            None => Err(Errno::ENOMEM),
        }
    }

    /// Makes a chunk that is in none of the lists memory again, if its frames were the host's. Returns whether they were.
    pub(super) fn give_back_of_host(&self, chunk: u32, address: GuestAddress) -> bool {
        if self.state.lock().chunks[chunk as usize].host_mappings.is_none() {
            return false;
        }
        count_call(HostCall::Memory);
        let unmapped = self.memory.unmap_files(address, CHUNK_BYTES as usize);
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(given) = state.chunks.get_mut(chunk as usize) else { return true };
        match unmapped {
            Ok(()) => {
                *given = Chunk { grain: given.grain, host_mappings: given.host_mappings, ..Chunk::new() };
                state.window.mappings -= given.host_mappings.take().unwrap_or_default();
                state.window.chunks -= 1;
                state.window.is_exhausted = false;
                state.unbacked.push(chunk);
            }
            Err(error) => {
                log::debug!("files stay mapped: {error}");
                state.window.with_room.push(chunk);
            }
        }
        true
    }
}

impl State {
    fn take_of_host(&mut self, wanted: usize) -> Room {
        if self.window.mappings >= MAX_MAPPINGS {
            return Room::Full;
        }
        let run_in = |chunk: u32| longest_run(&self.chunks[chunk as usize].free, wanted);
        let lately = self.window.with_room.iter().enumerate().rev().take(LOOKED_AT);
        let runs = lately.map(|(place, &chunk)| (place, chunk, run_in(chunk)));
        let best = runs.max_by_key(|(_, _, (_, length))| *length);
        let is_enough = best.is_some_and(|(_, _, (_, length))| length == wanted);
        if !is_enough && self.window.chunks < self.window.max_chunks {
            return Room::NeedsChunk;
        }
        match best {
            Some((place, chunk, run)) => Room::Span(self.take_run_of_host(place, chunk, run)),
            None => Room::Full,
        }
    }

    /// Takes a run of free frames (its start and its length) of `chunk`, which is at `place` among those with room.
    fn take_run_of_host(&mut self, place: usize, chunk: u32, (start, count): (usize, usize)) -> FrameSpan {
        let first = FrameNumber(chunk * CHUNK_FRAMES as u32 + start as u32);
        let chunk = &mut self.chunks[chunk as usize];
        for index in start..start + count {
            chunk.free[index / 64] &= !(1 << (index % 64));
        }
        chunk.free_frames -= count;
        if chunk.free_frames == 0 {
            self.window.with_room.swap_remove(place);
        }
        // No more than one for each frame.
        if let Some(mappings) = chunk.host_mappings.as_mut().filter(|mappings| **mappings < CHUNK_FRAMES) {
            *mappings += 1;
            self.window.mappings += 1;
        }
        FrameSpan { first, count }
    }
}
