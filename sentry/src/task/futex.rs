//! What a task's end tells through futexes (`man 2 set_tid_address`, `man 2 get_robust_list`), and words of
//! its memory as futexes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::CurrentTask;
use crate::Errno;
use crate::futex::{FutexTable, FutexWord, RobustMemory, release_robust_locks};
use crate::memory::{FutexKey, MemoryManager};
use crate::platform::VirtualAddress;

/// A word of a process's memory.
#[derive(Clone)]
pub(crate) struct UserWord {
    pub(crate) memory: Arc<MemoryManager>,
    pub(crate) address: VirtualAddress,
}

impl FutexWord for UserWord {
    fn load(&self) -> Result<u32, Errno> {
        self.memory.load_u32(self.address)
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<Result<u32, u32>, Errno> {
        self.memory.compare_exchange_u32(self.address, old, new)
    }
}

/// The memory of a task that ends.
struct EndingMemory<'a> {
    memory: &'a Arc<MemoryManager>,
    futexes: &'a FutexTable<FutexKey>,
}

impl EndingMemory<'_> {
    /// Wakes one who waits for the word; processes may share it.
    fn wake(&self, address: VirtualAddress) {
        for is_private in [true, false] {
            if let Ok(key) = self.memory.futex_key(address, is_private)
                && self.futexes.wake(&key, 1, u32::MAX) > 0
            {
                return;
            }
        }
    }
}

impl RobustMemory for EndingMemory<'_> {
    fn read_pointer(&self, address: VirtualAddress) -> Result<u64, Errno> {
        self.memory.read_object(address)
    }

    fn word(&self, address: VirtualAddress) -> Box<dyn FutexWord + '_> {
        Box::new(UserWord { memory: self.memory.clone(), address })
    }

    fn wake_one(&self, address: VirtualAddress) {
        self.wake(address);
    }
}

impl CurrentTask {
    /// Tells those who wait for locks that the task holds that it has ended. For exit and exec.
    pub(super) fn release_robust_futexes(&mut self) {
        let kernel = self.kernel().clone();
        let own = self.task.tid() as u32;
        let head = VirtualAddress(self.task.robust_list.swap(0, Ordering::Relaxed));
        if !head.is_null() {
            let memory = EndingMemory { memory: &self.memory, futexes: kernel.futexes() };
            // Locks behind a broken list cannot be found by anybody.
            let _ = release_robust_locks(&memory, head, own);
        }
        kernel.futexes().release_pi_locks(own);
    }

    /// Clears the word that CLONE_CHILD_CLEARTID or set_tid_address(2) named, and wakes who waits for that:
    /// pthread_join(3) does. For exit and exec.
    pub(super) fn clear_child_tid(&mut self) {
        let address = VirtualAddress(self.task.clear_child_tid.swap(0, Ordering::Relaxed));
        if address.is_null() || self.memory.write_object(address, &0_u32).is_err() {
            return;
        }
        let kernel = self.kernel().clone();
        EndingMemory { memory: &self.memory, futexes: kernel.futexes() }.wake(address);
    }
}
