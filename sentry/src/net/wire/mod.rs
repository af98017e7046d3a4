//! The ways between the network namespaces of a kernel: cables whose ends are veth links, and bridges that join links.
//!
//! No packet is made: who sends asks where what it sends arrives ([`send`]), and hands it to the sockets there. The question is answered
//! as the links, addresses and routes of all namespaces on the way say, each asked under its own lock, one at a time.
//!
//! Changes that concern several namespaces follow one another under [`Topology`]'s lock, which comes before all
//! configurations'; a namespace that ends takes the other ends of its cables with it.

mod links;
mod path;
mod segment;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

pub use links::NamespaceNumbers;
pub use path::{Landing, Outcome, Packet, Refusal, count, send};
pub use segment::Passage;
pub(in crate::net) use segment::hearers;

/// What the namespaces of a kernel have in common.
#[derive(Debug, Default)]
pub struct Topology {
    generation: AtomicU64,
    changes: Mutex<()>,
}

impl Topology {
    /// A number that is another after every change of a configuration.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A configuration has changed: ways that were found may be others now.
    pub fn has_changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Has changes that concern several namespaces wait for each other.
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changes.lock()
    }
}
