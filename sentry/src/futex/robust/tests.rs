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
