//! Futexes (`man 2 futex`, `man 7 futex`): waiting for a word of user memory to change.
//!
//! A waiter looks at the word and queues itself with its queue locked; a waker locks the queue after the
//! word has changed. So no wake-up falls between the look and the queueing. Queues are found by the
//! word's [`FutexKey`](crate::memory::FutexKey), which is the same for all mappings of a shared word.
//!
//! Locks: two buckets are locked in the order of their places. With a bucket locked the word may be faulted in,
//! which takes the locks of the memory room; none of those is held while a bucket is locked.

mod pi;
mod robust;
mod table;

pub use pi::{Acquisition, PiWaiter};
pub use robust::{ROBUST_LIST_HEAD_BYTES, RobustMemory, release_robust_locks};
pub use table::{FutexTable, FutexWaiter, FutexWord, Requeue};
