//! Atomic access to words of user memory, and what a futex word is known by.

use std::sync::atomic::{AtomicU32, Ordering};

use vm_memory::VolatileMemory;

use super::MappingFlags;
use super::fault::Touch;
use super::manager::MemoryManager;
use crate::Errno;
use crate::platform::{Access, PAGE_SHIFT, VirtualAddress};

/// How often an update is tried while user code changes the word under it.
const MAX_EXCHANGES: usize = 128;

/// What a futex word is known by (`man 2 futex`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FutexKey {
    /// A process-private futex.
    Private {
        /// [`MemoryManager::id`].
        memory: u64,
        /// The word.
        address: VirtualAddress,
    },
    /// A futex that could be shared, in memory that is not.
    Unshared {
        /// [`MemoryManager::id`].
        memory: u64,
        /// The word.
        address: VirtualAddress,
    },
    /// A futex in shared memory.
    Shared {
        /// [`PageCache::id`](super::PageCache::id).
        cache: u64,
        /// The word's place in it, in bytes.
        offset: u64,
    },
}

impl MemoryManager {
    /// What the futex word at `address` is known by. `is_private`: FUTEX_PRIVATE_FLAG.
    ///
    /// # Errors
    /// EINVAL if the address is not a multiple of 4; EFAULT.
    pub fn futex_key(&self, address: VirtualAddress, is_private: bool) -> Result<FutexKey, Errno> {
        if !address.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        super::copy::user_range(address, 4)?;
        if is_private {
            return Ok(FutexKey::Private { memory: self.id(), address });
        }
        let state = self.state().read();
        let page = address.0 >> PAGE_SHIFT;
        let mapping = state.mappings.find(page).ok_or(Errno::EFAULT)?;
        match mapping.cached(page) {
            Some((cache, index)) if mapping.flags.contains(MappingFlags::SHARED) => Ok(FutexKey::Shared {
                cache: cache.id(),
                offset: (index << PAGE_SHIFT) + address.page_offset(),
            }),
            // Nobody could ever change it.
            None if !mapping.protection.contains(Access::WRITE) => Err(Errno::EFAULT),
            _ => Ok(FutexKey::Unshared { memory: self.id(), address }),
        }
    }

    /// Reads a word atomically.
    ///
    /// # Errors
    /// EINVAL if the address is not a multiple of 4; EFAULT.
    pub fn load_u32(&self, address: VirtualAddress) -> Result<u32, Errno> {
        self.with_word(address, Access::READ, |word| word.load(Ordering::SeqCst))
    }

    /// Writes a word atomically.
    ///
    /// # Errors
    /// EINVAL if the address is not a multiple of 4; EFAULT.
    pub fn store_u32(&self, address: VirtualAddress, value: u32) -> Result<(), Errno> {
        self.with_word(address, Access::WRITE, |word| word.store(value, Ordering::SeqCst))
    }

    /// Replaces a word by `new` if it is `current`. Returns what it was (as `Err` if it was something else).
    ///
    /// # Errors
    /// EINVAL if the address is not a multiple of 4; EFAULT.
    pub fn compare_exchange_u32(
        &self,
        address: VirtualAddress,
        current: u32,
        new: u32,
    ) -> Result<Result<u32, u32>, Errno> {
        self.with_word(address, Access::WRITE, |word| {
            word.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
        })
    }

    /// Replaces a word by what `update` makes of it, atomically, unless that is `None`. Returns what it was.
    ///
    /// # Errors
    /// EINVAL if the address is not a multiple of 4; EFAULT; EAGAIN if user code keeps changing the word.
    pub fn update_u32(
        &self,
        address: VirtualAddress,
        mut update: impl FnMut(u32) -> Option<u32>,
    ) -> Result<u32, Errno> {
        self.with_word(address, Access::WRITE, |word| {
            let mut current = word.load(Ordering::SeqCst);
            for _ in 0..MAX_EXCHANGES {
                let Some(new) = update(current) else { return Ok(current) };
                match word.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(old) => return Ok(old),
                    Err(changed) => current = changed,
                }
            }
            Err(Errno::EAGAIN)
        })?
    }

    fn with_word<T>(
        &self,
        address: VirtualAddress,
        access: Access,
        mut operate: impl FnMut(&AtomicU32) -> T,
    ) -> Result<T, Errno> {
        if !address.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let mut result = None;
        self.walk(address, 4, &Touch::new(access), |_, slice| {
            result = slice.get_atomic_ref::<AtomicU32>(0).ok().map(&mut operate);
        });
        result.ok_or(Errno::EFAULT)
    }
}
