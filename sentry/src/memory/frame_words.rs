//! A word for each frame of guest memory, of which only those are made that somebody has asked for.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

use super::allocator::CHUNK_FRAMES;
use super::frame::FrameNumber;

/// Chunks in a group: a machine has thousands of chunks, and a small program uses one or two.
const GROUP_CHUNKS: usize = 64;

type Chunk = [AtomicU32; CHUNK_FRAMES];
type Group = [OnceLock<Box<Chunk>>; GROUP_CHUNKS];

/// A word for each frame, zero at first.
pub(super) struct FrameWords {
    groups: Box<[OnceLock<Box<Group>>]>,
}

impl FrameWords {
    /// Words for the frames of so many chunks.
    pub(super) fn new(chunks: usize) -> Self {
        Self { groups: std::iter::repeat_with(OnceLock::new).take(chunks.div_ceil(GROUP_CHUNKS)).collect() }
    }

    /// The word of a frame, if any of its chunk has been asked for by [`FrameWords::word`].
    pub(super) fn existing(&self, number: FrameNumber) -> Option<&AtomicU32> {
        let (group, chunk, frame) = place(number);
        Some(&self.groups.get(group)?.get()?.get(chunk)?.get()?[frame])
    }

    pub(super) fn word(&self, number: FrameNumber) -> &AtomicU32 {
        let (group, chunk, frame) = place(number);
        let group = self.groups[group].get_or_init(|| Box::new([const { OnceLock::new() }; GROUP_CHUNKS]));
        &group[chunk].get_or_init(|| Box::new([const { AtomicU32::new(0) }; CHUNK_FRAMES]))[frame]
    }
}

fn place(number: FrameNumber) -> (usize, usize, usize) {
    let (chunk, frame) = (number.0 as usize / CHUNK_FRAMES, number.0 as usize % CHUNK_FRAMES);
    (chunk / GROUP_CHUNKS, chunk % GROUP_CHUNKS, frame)
}
