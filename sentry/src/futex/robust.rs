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
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;

    use parking_lot::Mutex;

    use super::*;

    const HEAD: u64 = 0x1000;
    const OFFSET: u64 = 8;
    const OWN: u32 = 7;

    /// Memory of words at addresses.
    #[derive(Default)]
    struct Memory {
        pointers: HashMap<u64, u64>,
        words: Mutex<HashMap<u64, u32>>,
        woken: RefCell<Vec<u64>>,
        reads: Cell<usize>,
    }

    struct Word<'a>(&'a Mutex<HashMap<u64, u32>>, u64);

    impl FutexWord for Word<'_> {
        fn load(&self) -> Result<u32, Errno> {
            self.0.lock().get(&self.1).copied().ok_or(Errno::EFAULT)
        }

        fn compare_exchange(&self, old: u32, new: u32) -> Result<Result<u32, u32>, Errno> {
            let mut words = self.0.lock();
            let word = words.get_mut(&self.1).ok_or(Errno::EFAULT)?;
            if *word != old {
                return Ok(Err(*word));
            }
            *word = new;
            Ok(Ok(old))
        }
    }

    impl RobustMemory for Memory {
        fn read_pointer(&self, address: VirtualAddress) -> Result<u64, Errno> {
            self.reads.set(self.reads.get() + 1);
            self.pointers.get(&address.0).copied().ok_or(Errno::EFAULT)
        }

        fn word(&self, address: VirtualAddress) -> Box<dyn FutexWord + '_> {
            Box::new(Word(&self.words, address.0))
        }

        fn wake_one(&self, address: VirtualAddress) {
            self.woken.borrow_mut().push(address.0);
        }
    }

    /// A list of these entries with the words that their locks hold.
    fn memory(entries: &[(u64, u32)], pending: u64) -> Memory {
        let mut memory = Memory::default();
        memory.pointers.extend([(HEAD + 8, OFFSET), (HEAD + 16, pending)]);
        let mut previous = HEAD;
        for (entry, word) in entries {
            memory.pointers.insert(previous, *entry);
            memory.words.lock().insert((entry & !1) + OFFSET, *word);
            previous = entry & !1;
        }
        memory.pointers.insert(previous, HEAD);
        memory
    }

    #[test]
    fn locks_of_the_dead_are_marked_and_waiters_woken() {
        let memory = memory(&[(0x2000, OWN | FUTEX_WAITERS), (0x3000, OWN), (0x4000, 8), (0x5001, OWN)], 0);
        let _ = release_robust_locks(&memory, VirtualAddress(HEAD), OWN);
        let word = |entry: u64| memory.words.lock()[&(entry + OFFSET)];
        assert_eq!(word(0x2000), FUTEX_OWNER_DIED | FUTEX_WAITERS);
        assert_eq!(word(0x3000), FUTEX_OWNER_DIED);
        assert_eq!(word(0x4000), 8);
        assert_eq!(word(0x5000), FUTEX_OWNER_DIED);
        assert_eq!(*memory.woken.borrow(), [0x2008]);
    }

    #[test]
    fn a_pending_unlock_wakes_who_waits() {
        let memory = memory(&[], 0x6000);
        memory.words.lock().insert(0x6008, 0);
        let _ = release_robust_locks(&memory, VirtualAddress(HEAD), OWN);
        assert_eq!(*memory.woken.borrow(), [0x6008]);
    }

    #[test]
    fn endless_and_torn_lists_end() {
        let mut endless = memory(&[(0x2000, 0)], 0);
        endless.pointers.insert(0x2000, 0x2000);
        let _ = release_robust_locks(&endless, VirtualAddress(HEAD), OWN);
        assert!(endless.reads.get() <= 3 + 2048);
        let mut torn = memory(&[(0x2000, OWN), (0x3000, OWN)], 0);
        torn.pointers.remove(&0x2000);
        let _ = release_robust_locks(&torn, VirtualAddress(HEAD), OWN);
        assert_eq!(torn.words.lock()[&0x2008], FUTEX_OWNER_DIED);
        assert_eq!(torn.words.lock()[&0x3008], OWN);
        let wild = VirtualAddress(u64::MAX - 4);
        assert_eq!(release_robust_locks(&Memory::default(), wild, OWN), Err(Errno::EFAULT));
    }

    #[test]
    fn a_lock_that_is_not_aligned_is_left_alone() {
        let memory = memory(&[(0x2002, OWN)], 0);
        let _ = release_robust_locks(&memory, VirtualAddress(HEAD), OWN);
        assert_eq!(memory.words.lock()[&0x200a], OWN);
    }
}
