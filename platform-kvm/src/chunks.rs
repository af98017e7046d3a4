//! The memory that page tables are made of.
//!
//! A shadow MMU keeps what it learnt from a page table for as long as the memory slot of that table lives
//! (KVM `mmu.rst`, "Synchronized and unsynchronized pages": the host's writes are not tracked). So tables
//! have slots of their own, and a chunk that goes from one address space to another loses its slot between. A change of slots
//! waits for every vCPU, tens of microseconds to milliseconds. So a few chunks are made ready ahead, of those that were given
//! up or of fresh ones, by a thread of the machine's (see [`Chunks::await_work`]), and no process that starts or ends waits
//! for it.
//!
//! The slots are writable although the guest never writes there: with two-dimensional paging its walks of the tables
//! count as writes (SDM 3C, "Accessed and Dirty Flags for EPT"; APM 2 15.25.6), and KVM_MEM_READONLY would refuse them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};
use sentry::platform::{GuestAddress, GuestMemory, GuestMemoryError, PAGE_SIZE, PlatformError};

/// Length of a chunk.
pub(crate) const CHUNK_LEN: u64 = 256 << 10;
/// Chunks that wait for an address space with their slots: a fork and an exec take one each.
const READY_MAX: usize = 8;
/// Chunks that wait to be made ready, with all that KVM has learnt from them.
const RETIRED_MAX: usize = 16;
/// Tables in a chunk.
pub(crate) const CHUNK_PAGES: u64 = CHUNK_LEN / PAGE_SIZE;

/// Chunks beyond the first of each address space take at most this part of what guest memory takes, or the least that they may take.
const PART_FOR_FURTHER: u64 = 8;
const LEAST_FURTHER: u64 = 128;

/// The right to have one chunk beyond the first, until it is dropped.
#[derive(Debug)]
pub(crate) struct FurtherChunk(Arc<AtomicU64>);

impl Drop for FurtherChunk {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A piece of table memory, owned by one address space.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk(u32);

/// All table memory, and which of it is free.
#[derive(Debug)]
pub(crate) struct Chunks {
    memory: GuestMemory,
    first_slot: u32,
    state: Mutex<State>,
    /// How many address spaces have beyond their first, and how many they may have.
    further: Arc<AtomicU64>,
    further_max: u64,
    /// There is [work](State::has_work), or there will be no more.
    work: Condvar,
}

#[derive(Debug)]
struct State {
    /// Zeroed, and without a slot.
    free: Vec<u32>,
    /// Zeroed, and with a slot of which KVM knows nothing.
    ready: Vec<u32>,
    /// Given up as they are, with the pages used of each.
    retired: VecDeque<(u32, u64)>,
    /// No more will be retired.
    is_closed: bool,
    /// The first that was never used.
    next: u32,
    limit: u32,
}

impl State {
    /// Whether more chunks should be ready and can be, or too many hold what nobody needs.
    fn has_work(&self) -> bool {
        let has_source = !self.retired.is_empty() || !self.free.is_empty() || self.next < self.limit;
        has_source && self.ready.len() < READY_MAX || self.retired.len() > RETIRED_MAX
    }
}

impl Chunks {
    /// Reserves address space for `limit` chunks, from guest-physical `start` on.
    pub(crate) fn new(start: GuestAddress, first_slot: u32, limit: u32) -> Result<Self, GuestMemoryError> {
        let len_bytes = (u64::from(limit) * CHUNK_LEN).next_multiple_of(2 << 20);
        let memory = GuestMemory::new(start, len_bytes)?;
        let state = State {
            free: Vec::new(),
            ready: Vec::new(),
            retired: VecDeque::new(),
            is_closed: false,
            next: 0,
            limit,
        };
        let (further, further_max) = (Arc::default(), limit.into());
        let (state, work) = (Mutex::new(state), Condvar::new());
        Ok(Self { memory, first_slot, state, further, further_max, work })
    }

    /// The same, with as much for large tables as suits a guest with `memory_bytes`.
    pub(crate) fn for_memory(self, memory_bytes: u64) -> Self {
        let further_max = (memory_bytes / PART_FOR_FURTHER / CHUNK_LEN).max(LEAST_FURTHER);
        Self { further_max, ..self }
    }

    /// Allows an address space that has a chunk another one. All of them together have no more than suits the guest's memory: one
    /// that is refused starts afresh with its first, in which there is room for what an instruction touches.
    ///
    /// # Errors
    /// [`PlatformError::TablesFull`].
    pub(crate) fn allow_further(&self) -> Result<FurtherChunk, PlatformError> {
        let add = |count: u64| (count < self.further_max).then_some(count + 1);
        let added = self.further.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.map(|_| FurtherChunk(self.further.clone())).map_err(|_| PlatformError::TablesFull)
    }

    pub(crate) fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    /// Takes a zeroed chunk that has its slot, if one is there.
    pub(crate) fn take_ready(&self) -> Option<Chunk> {
        let mut state = self.state.lock();
        let ready = state.ready.pop().map(Chunk);
        self.tell_of_work(&state);
        ready
    }

    /// Whether fewer chunks are ready than should be.
    pub(crate) fn wants_ready(&self) -> bool {
        self.state.lock().ready.len() < READY_MAX
    }

    /// Puts a zeroed chunk with its slot aside for the next address space.
    pub(crate) fn make_ready(&self, chunk: Chunk) {
        self.state.lock().ready.push(chunk.0);
    }

    /// Gives a chunk up, of which `used_pages` may hold something and whose slot KVM knows.
    pub(crate) fn retire(&self, chunk: Chunk, used_pages: u64) {
        let mut state = self.state.lock();
        state.retired.push_back((chunk.0, used_pages));
        self.tell_of_work(&state);
    }

    /// Takes a chunk that was given up, with the pages used of it.
    pub(crate) fn take_retired(&self) -> Option<(Chunk, u64)> {
        let (index, used_pages) = self.state.lock().retired.pop_front()?;
        Some((Chunk(index), used_pages))
    }

    /// Waits until chunks are to be made ready, or emptied; `false` if there will be none.
    pub(crate) fn await_work(&self) -> bool {
        let mut state = self.state.lock();
        while !state.has_work() && !state.is_closed {
            self.work.wait(&mut state);
        }
        !state.is_closed
    }

    /// Lets [`Chunks::await_work`] return.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.work.notify_all();
    }

    fn tell_of_work(&self, state: &State) {
        if state.has_work() {
            self.work.notify_one();
        }
    }

    /// Takes a zeroed chunk, which has no slot yet.
    pub(crate) fn take(&self) -> Result<Chunk, PlatformError> {
        let mut state = self.state.lock();
        if let Some(index) = state.free.pop() {
            return Ok(Chunk(index));
        }
        if state.next == state.limit {
            return Err(PlatformError::TablesFull);
        }
        state.next += 1;
        Ok(Chunk(state.next - 1))
    }

    /// Takes back a zeroed chunk that has no slot any more.
    pub(crate) fn give_back(&self, chunk: Chunk) {
        self.state.lock().free.push(chunk.0);
    }

    /// Zeroes the first pages of a chunk.
    pub(crate) fn zero(&self, chunk: &Chunk, pages: u64) -> Result<(), GuestMemoryError> {
        const ZEROES: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];
        let start = self.start(chunk).0;
        for page in 0..pages {
            self.memory.slice(GuestAddress(start + page * PAGE_SIZE), ZEROES.len())?.copy_from(&ZEROES);
        }
        Ok(())
    }

    /// Guest-physical start of a chunk.
    pub(crate) fn start(&self, chunk: &Chunk) -> GuestAddress {
        GuestAddress(self.memory.start().0 + u64::from(chunk.0) * CHUNK_LEN)
    }

    /// The memory slot of a chunk.
    pub(crate) fn slot(&self, chunk: &Chunk) -> u32 {
        self.first_slot + chunk.0
    }
}
