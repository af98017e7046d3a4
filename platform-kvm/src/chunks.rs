//! The memory that page tables are made of.
//!
//! A shadow MMU keeps what it learnt from a page table for as long as the memory slot of that table lives
//! (KVM `mmu.rst`, "Synchronized and unsynchronized pages": the host's writes are not tracked). So tables
//! have slots of their own, and a chunk that goes from one address space to another loses its slot between.
//!
//! The slots are writable although the guest never writes there: with two-dimensional paging its walks of the tables
//! count as writes (SDM 3C, "Accessed and Dirty Flags for EPT"; APM 2 15.25.6), and KVM_MEM_READONLY would refuse them.

use parking_lot::Mutex;
use sentry::platform::{GuestAddress, GuestMemory, GuestMemoryError, PAGE_SIZE, PlatformError};

/// Length of a chunk.
pub(crate) const CHUNK_LEN: u64 = 256 << 10;
/// Tables in a chunk.
pub(crate) const CHUNK_PAGES: u64 = CHUNK_LEN / PAGE_SIZE;

/// A piece of table memory, owned by one address space.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk(u32);

/// All table memory, and which of it is free.
#[derive(Debug)]
pub(crate) struct Chunks {
    memory: GuestMemory,
    first_slot: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Zeroed, and without a slot.
    free: Vec<u32>,
    /// The first that was never used.
    next: u32,
    limit: u32,
}

impl Chunks {
    /// Reserves address space for `limit` chunks, from guest-physical `start` on.
    pub(crate) fn new(start: GuestAddress, first_slot: u32, limit: u32) -> Result<Self, GuestMemoryError> {
        let len_bytes = (u64::from(limit) * CHUNK_LEN).next_multiple_of(2 << 20);
        let memory = GuestMemory::new(start, len_bytes)?;
        Ok(Self { memory, first_slot, state: Mutex::new(State { free: Vec::new(), next: 0, limit }) })
    }

    /// The memory.
    pub(crate) fn memory(&self) -> &GuestMemory {
        &self.memory
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

    /// Takes back a chunk, of which `used_pages` may hold something and which has no slot any more.
    pub(crate) fn give_back(&self, chunk: Chunk, used_pages: u64) {
        if self.zero(&chunk, used_pages).is_ok() {
            self.state.lock().free.push(chunk.0);
        }
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
