//! Robust lists (`man 2 get_robust_list`): the locks that a thread holds, listed in user memory, so that its
//! end can be told to those who wait for them.
//!
//! The list is the program's: it may be torn, endless, or name memory that is no lock of the thread's. So the
//! walk is bounded, stops at the first thing that cannot be read, and changes only words that hold the
//! thread's number.

use linux_raw_sys::general::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, ROBUST_LIST_LIMIT};

use super::table::FutexWord;
use crate::Errno;
use crate::platform::VirtualAddress;

/// How often a word that changes under our hands is tried again: who rewrites it without end does so to its
/// own harm.
const ATTEMPTS: usize = 1000;
/// Size of `struct robust_list_head`: the length that set_robust_list(2) demands.
pub const ROBUST_LIST_HEAD_BYTES: u64 = 24;

/// What a walk needs of the thread's memory.
pub trait RobustMemory {
    /// A word of 64 bits.
    ///
    /// # Errors
    /// EFAULT.
    fn read_pointer(&self, address: VirtualAddress) -> Result<u64, Errno>;

    /// The lock at `address`.
    fn word(&self, address: VirtualAddress) -> Box<dyn FutexWord + '_>;

    /// Wakes one who waits for the lock at `address`.
    fn wake_one(&self, address: VirtualAddress);
}

/// Tells of the end of thread `own` to those who wait for locks in the list at `head`.
///
/// # Errors
/// EFAULT: the rest of the list cannot be read. Nobody can be told of what is in it.
pub fn release_robust_locks(memory: &impl RobustMemory, head: VirtualAddress, own: u32) -> Result<(), Errno> {
    let field = |index: u64| memory.read_pointer(VirtualAddress(head.0.wrapping_add(index * 8)));
    let (mut entry, offset, pending) = (field(0)?, field(1)?, field(2)?);
    // Bit 0 of an entry says that it is a PI lock.
    let lock = |entry: u64| VirtualAddress((entry & !1).wrapping_add(offset));
    for _ in 0..ROBUST_LIST_LIMIT {
        if entry & !1 == head.0 {
            break;
        }
        // Read before the lock is released: its memory may then go away.
        let next = memory.read_pointer(VirtualAddress(entry & !1));
        if entry & !1 != pending & !1 {
            release(memory, lock(entry), own, entry & 1 != 0, false)?;
        }
        entry = next?;
    }
    if pending & !1 != 0 {
        release(memory, lock(pending), own, pending & 1 != 0, true)?;
    }
    Ok(())
}

/// Marks one lock as its dead owner's, if it is, and wakes one who waits for it. A PI lock is handed over
/// otherwise ([`FutexTable::release_pi_locks`](super::FutexTable::release_pi_locks)).
fn release(
    memory: &impl RobustMemory,
    address: VirtualAddress,
    own: u32,
    is_pi: bool,
    is_pending: bool,
) -> Result<(), Errno> {
    if !address.0.is_multiple_of(4) {
        return Err(Errno::EFAULT);
    }
    let word = memory.word(address);
    for _ in 0..ATTEMPTS {
        let value = word.load()?;
        if value & FUTEX_TID_MASK != own {
            // Between the unlock in user code and the wake-up that was to follow.
            if is_pending && !is_pi && value == 0 {
                memory.wake_one(address);
            }
            return Ok(());
        }
        if word.compare_exchange(value, value & FUTEX_WAITERS | FUTEX_OWNER_DIED)?.is_ok() {
            if !is_pi && value & FUTEX_WAITERS != 0 {
                memory.wake_one(address);
            }
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
