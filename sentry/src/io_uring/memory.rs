//! What a ring shares with user code: `struct io_rings`, and the array of submissions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use vm_memory::{Bytes, VolatileMemory};
use zerocopy::{FromZeros, IntoBytes};

use crate::Errno;
use crate::abi::{IoCqringOffsets, IoSqringOffsets, IoUringCqe, IoUringSqe};
use crate::memory::{Frame, FrameAllocator, PageCache};
use crate::platform::PAGE_SIZE;

/// Where the words of `struct io_rings` are, in bytes.
pub(crate) mod word {
    pub(crate) const SQ_HEAD: usize = 0;
    pub(crate) const SQ_TAIL: usize = 64;
    pub(crate) const CQ_HEAD: usize = 128;
    pub(crate) const CQ_TAIL: usize = 192;
    pub(crate) const SQ_RING_MASK: usize = 256;
    pub(crate) const CQ_RING_MASK: usize = 260;
    pub(crate) const SQ_RING_ENTRIES: usize = 264;
    pub(crate) const CQ_RING_ENTRIES: usize = 268;
    pub(crate) const SQ_DROPPED: usize = 272;
    pub(crate) const SQ_FLAGS: usize = 276;
    pub(crate) const CQ_FLAGS: usize = 280;
    pub(crate) const CQ_OVERFLOW: usize = 284;
}

/// Where the completions begin.
const CQES: usize = 320;
/// What mmap(2) is told to map the rings, and where they are in the cache.
const OFFSET_OF_RINGS: u64 = 0;
/// What it is told to map the completions, which are in the same place.
const OFFSET_OF_CQ_RING: u64 = 0x800_0000;
/// What it is told to map the submissions, and where they are in the cache.
const OFFSET_OF_SQES: u64 = 0x1000_0000;

/// The bits of the offset that say what is meant (`IORING_OFF_MMAP_MASK`).
const OFFSET_MASK: u64 = 0xf800_0000;

/// How a ring is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Submissions, a power of two.
    pub(crate) sq_entries: u32,
    /// Completions, a power of two.
    pub(crate) cq_entries: u32,
    /// Whether submissions take twice the room (IORING_SETUP_SQE128).
    pub(crate) has_large_sqes: bool,
    /// Whether completions do (IORING_SETUP_CQE32).
    pub(crate) has_large_cqes: bool,
    /// Whether submissions are found by an array of indices (not IORING_SETUP_NO_SQARRAY).
    pub(crate) has_array: bool,
}

impl Layout {
    pub(crate) fn sqe_bytes(self) -> usize {
        size_of::<IoUringSqe>() << usize::from(self.has_large_sqes)
    }

    fn cqe_bytes(self) -> usize {
        size_of::<IoUringCqe>() << usize::from(self.has_large_cqes)
    }

    fn array(self) -> usize {
        CQES + (self.cq_entries as usize * self.cqe_bytes()).next_multiple_of(64)
    }

    fn rings_bytes(self) -> usize {
        self.array() + if self.has_array { self.sq_entries as usize * size_of::<u32>() } else { 0 }
    }

    fn sqes_bytes(self) -> usize {
        self.sq_entries as usize * self.sqe_bytes()
    }

    /// All that it takes.
    pub(crate) fn len_bytes(self) -> usize {
        self.rings_bytes().next_multiple_of(PAGE_SIZE as usize)
            + self.sqes_bytes().next_multiple_of(PAGE_SIZE as usize)
    }

    /// What io_uring_setup(2) tells of the submissions.
    pub(crate) fn sq_offsets(self) -> IoSqringOffsets {
        IoSqringOffsets {
            head: word::SQ_HEAD as u32,
            tail: word::SQ_TAIL as u32,
            ring_mask: word::SQ_RING_MASK as u32,
            ring_entries: word::SQ_RING_ENTRIES as u32,
            flags: word::SQ_FLAGS as u32,
            dropped: word::SQ_DROPPED as u32,
            array: if self.has_array { self.array() as u32 } else { 0 },
            ..IoSqringOffsets::default()
        }
    }

    /// What it tells of the completions.
    pub(crate) fn cq_offsets(self) -> IoCqringOffsets {
        IoCqringOffsets {
            head: word::CQ_HEAD as u32,
            tail: word::CQ_TAIL as u32,
            ring_mask: word::CQ_RING_MASK as u32,
            ring_entries: word::CQ_RING_ENTRIES as u32,
            overflow: word::CQ_OVERFLOW as u32,
            cqes: CQES as u32,
            flags: word::CQ_FLAGS as u32,
            ..IoCqringOffsets::default()
        }
    }
}

/// The memory of a ring. User code may change it at any time.
pub(crate) struct RingMemory {
    layout: Layout,
    cache: Arc<PageCache>,
    rings: Vec<Frame>,
    sqes: Vec<Frame>,
}

impl RingMemory {
    /// Of an empty ring.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn new(frames: &Arc<FrameAllocator>, layout: Layout) -> Result<Self, Errno> {
        let size = OFFSET_OF_SQES + layout.sqes_bytes() as u64;
        let cache = PageCache::new(frames, None, size.next_multiple_of(PAGE_SIZE));
        let pages = |start: u64, len_bytes: usize| -> Result<Vec<Frame>, Errno> {
            let first = start / PAGE_SIZE;
            (first..first + (len_bytes as u64).div_ceil(PAGE_SIZE)).map(|index| cache.page(index)).collect()
        };
        let rings = pages(OFFSET_OF_RINGS, layout.rings_bytes())?;
        let sqes = pages(OFFSET_OF_SQES, layout.sqes_bytes())?;
        let memory = Self { layout, rings, sqes, cache };
        memory.store(word::SQ_RING_MASK, layout.sq_entries - 1);
        memory.store(word::CQ_RING_MASK, layout.cq_entries - 1);
        memory.store(word::SQ_RING_ENTRIES, layout.sq_entries);
        memory.store(word::CQ_RING_ENTRIES, layout.cq_entries);
        for index in (0..layout.sq_entries).filter(|_| layout.has_array) {
            memory.store(layout.array() + index as usize * size_of::<u32>(), index);
        }
        Ok(memory)
    }

    /// How it is laid out.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// What mappings show.
    pub(crate) fn cache(&self) -> &Arc<PageCache> {
        &self.cache
    }

    /// Where in the cache is what mmap(2) wants at `offset`.
    ///
    /// # Errors
    /// EINVAL.
    pub(crate) fn mapped_offset(offset: u64) -> Result<u64, Errno> {
        match offset & OFFSET_MASK {
            OFFSET_OF_RINGS | OFFSET_OF_CQ_RING => Ok(OFFSET_OF_RINGS),
            OFFSET_OF_SQES => Ok(OFFSET_OF_SQES),
            _ => Err(Errno::EINVAL),
        }
    }

    fn with_word<T>(&self, offset: usize, operate: impl FnOnce(&AtomicU32) -> T) -> Option<T> {
        let slice = self.rings.get(offset / PAGE_SIZE as usize)?.slice();
        slice.get_atomic_ref::<AtomicU32>(offset % PAGE_SIZE as usize).ok().map(operate)
    }

    /// The word at `offset`.
    pub(crate) fn load(&self, offset: usize) -> u32 {
        self.with_word(offset, |word| word.load(Ordering::SeqCst)).unwrap_or(0)
    }

    /// Sets the word at `offset`.
    pub(crate) fn store(&self, offset: usize, value: u32) {
        self.with_word(offset, |word| word.store(value, Ordering::SeqCst));
    }

    /// Sets or clears bits of the word at `offset`.
    pub(crate) fn set_bits(&self, offset: usize, bits: u32, is_set: bool) {
        self.with_word(offset, |word| match is_set {
            true => word.fetch_or(bits, Ordering::SeqCst),
            false => word.fetch_and(!bits, Ordering::SeqCst),
        });
    }

    /// Adds one to the word at `offset`.
    pub(crate) fn increment(&self, offset: usize) {
        self.with_word(offset, |word| word.fetch_add(1, Ordering::SeqCst));
    }

    /// The submission that is `position`th since the beginning; `None`: the array names none.
    pub(crate) fn submission(&self, position: u32) -> Option<IoUringSqe> {
        let slot = position & (self.layout.sq_entries - 1);
        let index = match self.layout.has_array {
            true => self.load(self.layout.array() + slot as usize * size_of::<u32>()),
            false => slot,
        };
        if index >= self.layout.sq_entries {
            return None;
        }
        let offset = index as usize * self.layout.sqe_bytes();
        let mut sqe = IoUringSqe::new_zeroed();
        let slice = self.sqes.get(offset / PAGE_SIZE as usize)?.slice();
        slice.read_slice(sqe.as_mut_bytes(), offset % PAGE_SIZE as usize).ok()?;
        Some(sqe)
    }

    /// Writes the completion that is `position`th since the beginning. User code sees it once the tail has moved.
    pub(crate) fn write_completion(&self, position: u32, cqe: &IoUringCqe, extra: [u64; 2]) {
        let slot = position & (self.layout.cq_entries - 1);
        let offset = CQES + slot as usize * self.layout.cqe_bytes();
        let Some(frame) = self.rings.get(offset / PAGE_SIZE as usize) else { return };
        let (slice, within) = (frame.slice(), offset % PAGE_SIZE as usize);
        let written = slice.write_slice(cqe.as_bytes(), within);
        debug_assert!(written.is_ok());
        if self.layout.has_large_cqes {
            let written = slice.write_slice(extra.as_bytes(), within + size_of::<IoUringCqe>());
            debug_assert!(written.is_ok());
        }
    }
}
