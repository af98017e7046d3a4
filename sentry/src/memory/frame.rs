//! Handles to frames: whoever owns one keeps the frame.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use vm_memory::VolatileSlice;

use super::FrameAllocator;
use crate::platform::{GuestAddress, PAGE_SIZE};

/// A frame's place in guest memory, counted in pages from its start. Owns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FrameNumber(pub(super) u32);

/// Frames that follow each other in guest memory. Owns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameSpan {
    pub(super) first: FrameNumber,
    /// How many, at least one.
    pub(super) count: usize,
}

impl FrameSpan {
    /// The frames one by one.
    pub(super) fn numbers(self) -> impl ExactSizeIterator<Item = FrameNumber> {
        (0..self.count).map(move |index| FrameNumber(self.first.0 + index as u32))
    }
}

/// One 4 KiB frame of guest memory. A clone is another reference to the same frame, which is free again when
/// the last one is dropped.
pub struct Frame {
    frames: Arc<FrameAllocator>,
    number: FrameNumber,
}

impl Frame {
    /// Takes over a reference that the caller owned.
    pub(super) fn adopt(frames: Arc<FrameAllocator>, number: FrameNumber) -> Self {
        Self { frames, number }
    }

    /// The frame's place in guest memory.
    pub(super) fn number(&self) -> FrameNumber {
        self.number
    }

    /// Guest-physical address of the first byte.
    pub fn address(&self) -> GuestAddress {
        self.frames.address(self.number)
    }

    /// The frame's bytes. The guest may change them at any time.
    pub fn slice(&self) -> VolatileSlice<'_> {
        self.frames.slice(self.number, PAGE_SIZE as usize)
    }
}

impl Clone for Frame {
    fn clone(&self) -> Self {
        self.frames.retain(self.number);
        Self { frames: self.frames.clone(), number: self.number }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.frames.release(&[self.number]);
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:#x})", self.address().0)
    }
}

/// Some bytes of a page of user memory, which stays as long as this does.
#[derive(Clone, Debug)]
pub struct PagePart {
    /// The page.
    pub frame: Frame,
    /// Which bytes of it.
    pub range: Range<usize>,
}

/// Owned references to many frames, released together.
pub(super) struct FrameBatch {
    frames: Arc<FrameAllocator>,
    numbers: Vec<FrameNumber>,
}

impl FrameBatch {
    /// No frames yet.
    pub(super) fn new(frames: &Arc<FrameAllocator>) -> Self {
        Self { frames: frames.clone(), numbers: Vec::new() }
    }

    /// Takes over a reference that the caller owned.
    pub(super) fn push(&mut self, number: FrameNumber) {
        self.numbers.push(number);
    }

    /// How many references it owns.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}

impl Drop for FrameBatch {
    fn drop(&mut self) {
        self.frames.release(&self.numbers);
    }
}
