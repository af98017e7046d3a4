//! What went through a link.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a link, counted without a lock.
#[derive(Debug, Default)]
pub struct LinkStatistics {
    received: Counters,
    sent: Counters,
    /// What was sent and received at once, counted once.
    looped: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    packets: AtomicU64,
    bytes: AtomicU64,
}

/// Traffic in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets, or what would be one each on a wire.
    pub packets: u64,
    /// Bytes, without what a wire would add.
    pub bytes: u64,
}

impl Traffic {
    fn and(self, other: Self) -> Self {
        Self { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }
}

impl Counters {
    fn add(&self, traffic: Traffic) {
        self.packets.fetch_add(traffic.packets, Ordering::Relaxed);
        self.bytes.fetch_add(traffic.bytes, Ordering::Relaxed);
    }

    fn total(&self) -> Traffic {
        Traffic { packets: self.packets.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

impl LinkStatistics {
    /// Counts what was sent.
    pub fn count_sent(&self, traffic: Traffic) {
        self.sent.add(traffic);
    }

    /// Counts what was received.
    pub fn count_received(&self, traffic: Traffic) {
        self.received.add(traffic);
    }

    /// Counts what was sent and comes in again.
    pub fn count_looped(&self, traffic: Traffic) {
        self.looped.add(traffic);
    }

    /// What was sent so far.
    pub fn sent(&self) -> Traffic {
        self.sent.total().and(self.looped.total())
    }

    /// What was received so far.
    pub fn received(&self) -> Traffic {
        self.received.total().and(self.looped.total())
    }
}
