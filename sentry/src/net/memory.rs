//! What the bytes that wait in sockets may take of the sentry's memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Errno;
use crate::heap::HeapCharge;

/// Bytes that may be queued at all sockets of a kernel together, overhead included.
const MAX_QUEUED_BYTES: usize = 128 << 20;

/// The memory that the sockets of a kernel share.
#[derive(Default)]
pub struct SocketMemory {
    queued_bytes: AtomicUsize,
}

impl SocketMemory {
    /// Takes `len_bytes`, until the charge is dropped.
    ///
    /// # Errors
    /// ENOBUFS if too much is queued at all sockets together, or the sender may have no more of the heap.
    pub fn charge(self: &Arc<Self>, len_bytes: usize) -> Result<SocketMemoryCharge, Errno> {
        let has_room = |queued: usize| queued.checked_add(len_bytes).filter(|sum| *sum <= MAX_QUEUED_BYTES);
        let charged = self.queued_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room);
        charged.map_err(|_| Errno::ENOBUFS)?;
        let mut charge =
            SocketMemoryCharge { memory: self.clone(), len_bytes, heap_charge: HeapCharge::default() };
        charge.heap_charge.resize(len_bytes).map_err(|_| Errno::ENOBUFS)?;
        Ok(charge)
    }

    /// Whether so much is queued that each socket should have little.
    pub fn is_under_pressure(&self) -> bool {
        self.queued_bytes() > MAX_QUEUED_BYTES / 2
    }

    /// What is queued at all sockets, in bytes.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }
}

/// A part of a [`SocketMemory`]; dropping it gives it back.
pub struct SocketMemoryCharge {
    memory: Arc<SocketMemory>,
    len_bytes: usize,
    heap_charge: HeapCharge,
}

impl SocketMemoryCharge {
    /// How much it is, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

impl Drop for SocketMemoryCharge {
    fn drop(&mut self) {
        self.memory.queued_bytes.fetch_sub(self.len_bytes, Ordering::Relaxed);
    }
}
