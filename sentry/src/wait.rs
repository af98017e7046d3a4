//! Waiting: what can become ready owns a [`WaitQueue`], and who waits registers an [`Observer`] with it.
//!
//! A task sleeps on its own [`Waiter`]. Everything that may end a sleep (readiness, a signal, a stop) calls
//! [`Waiter::wake`]; the sleeper looks again at its condition and at its task's state each time. So a wake-up
//! is a hint that is never lost, and spurious ones are harmless.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

bitflags::bitflags! {
    /// Readiness, in the bits of poll(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Events: u32 {
        /// Data to read.
        const IN = 0x1;
        /// Urgent data.
        const PRI = 0x2;
        /// Room to write.
        const OUT = 0x4;
        /// An error is pending.
        const ERR = 0x8;
        /// The other side hung up.
        const HUP = 0x10;
        /// Not an open descriptor.
        const NVAL = 0x20;
        /// Same as IN.
        const RDNORM = 0x40;
        /// Band data to read.
        const RDBAND = 0x80;
        /// Same as OUT.
        const WRNORM = 0x100;
        /// Room to write band data.
        const WRBAND = 0x200;
        /// The peer shut down its writing half.
        const RDHUP = 0x2000;
    }
}

/// Something that wants to hear about events.
pub trait Observer: Send + Sync {
    /// `events` may have become true. Called with the queue's lock held: must not block, nor touch that queue.
    fn notify(&self, events: Events);

    /// As [`Observer::notify`], for an exclusive place in the queue: returns whether somebody waits behind this observer, so that
    /// no other exclusive one need hear.
    fn notify_exclusive(&self, events: Events) -> bool {
        self.notify(events);
        true
    }
}

/// How often something has changed, and who waits for the next time.
#[derive(Default)]
pub struct News {
    changes: AtomicU64,
    queue: WaitQueue,
}

impl News {
    /// Announces a change, as an exceptional condition.
    pub fn announce(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.queue.notify(Events::PRI | Events::ERR);
    }

    /// How many changes there have been.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Where changes are announced.
    pub fn queue(&self) -> &WaitQueue {
        &self.queue
    }
}

impl std::fmt::Debug for News {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("News").field("changes", &self.changes()).finish_non_exhaustive()
    }
}

/// A list of observers. Clones share the list.
#[derive(Clone, Default)]
pub struct WaitQueue(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    next_id: u64,
    /// By the order in which they came; each leaves in little time, however many there are.
    entries: BTreeMap<u64, Entry>,
}

struct Entry {
    interest: Events,
    is_exclusive: bool,
    observer: Arc<dyn Observer>,
}

/// An observer's place in a queue; dropping it leaves the queue.
#[must_use = "dropping a registration leaves the queue"]
pub struct Registration {
    queue: WaitQueue,
    id: u64,
}

impl WaitQueue {
    /// Has `observer` hear of `interest`, and of errors and hang-ups, from now on.
    pub fn register(&self, interest: Events, observer: Arc<dyn Observer>) -> Registration {
        self.enter(interest, observer, false)
    }

    /// As [`WaitQueue::register`], but of all that come by this method only the first behind which somebody waits hears
    /// (EPOLLEXCLUSIVE).
    pub fn register_exclusive(&self, interest: Events, observer: Arc<dyn Observer>) -> Registration {
        self.enter(interest, observer, true)
    }

    fn enter(&self, interest: Events, observer: Arc<dyn Observer>, is_exclusive: bool) -> Registration {
        let mut list = self.0.lock();
        let id = list.next_id;
        list.next_id += 1;
        let interest = interest | Events::ERR | Events::HUP;
        list.entries.insert(id, Entry { interest, is_exclusive, observer });
        Registration { queue: self.clone(), id }
    }

    /// Tells every observer that is interested in one of `events`; of the exclusive ones, the first that passes it on.
    pub fn notify(&self, events: Events) {
        let list = self.0.lock();
        let mut is_taken = false;
        for entry in list.entries.values().filter(|entry| entry.interest.intersects(events)) {
            match entry.is_exclusive {
                false => entry.observer.notify(events),
                true => is_taken = is_taken || entry.observer.notify_exclusive(events),
            }
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.lock().entries.is_empty()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let removed = self.queue.0.lock().entries.remove(&self.id);
        // The observer may hold the last reference to something that locks this queue: dropped unlocked.
        drop(removed);
    }
}

/// Where one thread sleeps.
#[derive(Default)]
pub struct Waiter {
    is_woken: Mutex<bool>,
    condition: Condvar,
}

impl Waiter {
    /// Ends the current sleep, or the next one at once.
    pub fn wake(&self) {
        let mut is_woken = self.is_woken.lock();
        if !*is_woken {
            *is_woken = true;
            self.condition.notify_one();
        }
    }

    /// Sleeps until woken or until `deadline`. Returns whether it was woken.
    pub fn sleep(&self, deadline: Option<Instant>) -> bool {
        let mut is_woken = self.is_woken.lock();
        while !*is_woken {
            match deadline {
                None => self.condition.wait(&mut is_woken),
                Some(deadline) => {
                    if self.condition.wait_until(&mut is_woken, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        std::mem::take(&mut *is_woken)
    }
}

impl Observer for Waiter {
    fn notify(&self, _events: Events) {
        self.wake();
    }
}

#[cfg(test)]
mod tests;
