//! What the open files of a kernel share: how many open file descriptions there are and may be (`man 5 proc_sys_fs`, file-max), how
//! long all tables are together, how much pipes hold, the ids by which locks know their owners, and the inode numbers of files
//! without a name.
//!
//! A setting bounds whoever lacks CAP_SYS_ADMIN, as Linux's does; since each description takes the sentry's memory, there is an
//! end for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::locks::LockWaits;
use super::pipe::PipeBudget;
use crate::Errno;
use crate::heap::{self, HeapCharge};
use crate::settings::{KernelNumber, KernelSettings};
use crate::time::{MonotonicTime, Timekeeper};
use crate::wait::WaitQueue;

/// More descriptions there cannot be, whatever the setting says.
const END: u64 = 1 << 20;
/// What Linux's setting says at first.
const NO_SETTING: u64 = i64::MAX.cast_unsigned();
/// What a description takes with the file that it opens: a socket, a pipe, a timer.
const DESCRIPTION_BYTES: usize = 2048;
/// Slots of all tables together: what a million descriptors take in each of many processes is bounded.
const MAX_TOTAL_SLOTS: usize = 1 << 24;

/// The open files of a kernel.
pub struct OpenFiles {
    used: AtomicU64,
    setting: AtomicU64,
    slots: AtomicUsize,
    next_id: AtomicU64,
    lock_waits: Arc<LockWaits>,
    epolls: Mutex<()>,
    next_inode_number: AtomicU64,
    pipes: PipeBudget,
    leases: WaitQueue,
    lease_break_seconds: AtomicU32,
    timekeeper: Arc<Timekeeper>,
    settings: Arc<KernelSettings>,
}

impl Default for OpenFiles {
    /// With a clock and settings of its own.
    fn default() -> Self {
        Self::new(&Arc::default(), &Arc::default())
    }
}

impl OpenFiles {
    /// None yet; what is remembered of them is told in `timekeeper`'s time, and `settings` bound them.
    pub fn new(timekeeper: &Arc<Timekeeper>, settings: &Arc<KernelSettings>) -> Self {
        Self {
            used: AtomicU64::new(0),
            setting: AtomicU64::new(NO_SETTING),
            slots: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            lock_waits: Arc::default(),
            epolls: Mutex::default(),
            next_inode_number: AtomicU64::new(1024),
            pipes: PipeBudget::new(settings),
            leases: WaitQueue::default(),
            lease_break_seconds: AtomicU32::new(45),
            timekeeper: timekeeper.clone(),
            settings: settings.clone(),
        }
    }

    /// How many descriptions there are that have had a descriptor.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The bound for the unprivileged.
    pub(super) fn setting(&self) -> u64 {
        self.setting.load(Ordering::Relaxed)
    }

    /// Changes the bound for the unprivileged; those that there are stay.
    pub fn set(&self, setting: u64) {
        self.setting.store(setting, Ordering::Relaxed);
    }

    /// Fails if there may not be one more.
    ///
    /// # Errors
    /// ENFILE.
    pub(super) fn check(&self, is_privileged: bool) -> Result<(), Errno> {
        let end = if is_privileged { END } else { END.min(self.setting()) };
        if self.used() >= end {
            return Err(Errno::ENFILE);
        }
        heap::check_room(DESCRIPTION_BYTES).map_err(|_| Errno::ENFILE)
    }

    /// Counts slots that a table grows by.
    ///
    /// # Errors
    /// ENOMEM if all tables together are too long.
    pub(super) fn add_slots(&self, slots: usize) -> Result<(), Errno> {
        let has_room = |total: usize| total.checked_add(slots).filter(|sum| *sum <= MAX_TOTAL_SLOTS);
        let added = self.slots.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room);
        added.map(drop).map_err(|_| Errno::ENOMEM)
    }

    /// Undoes [`OpenFiles::add_slots`].
    pub(super) fn remove_slots(&self, slots: usize) {
        self.slots.fetch_sub(slots, Ordering::Relaxed);
    }

    /// An id that no description and no table has had.
    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// An inode number that no file without a name has had.
    pub(super) fn new_inode_number(&self) -> u64 {
        self.next_inode_number.fetch_add(1, Ordering::Relaxed)
    }

    /// How many files an epoll may watch.
    pub(super) fn max_watches(&self) -> usize {
        self.settings.bound(KernelNumber::EpollMaxWatches)
    }

    /// How much all pipes may hold.
    pub(super) fn pipes(&self) -> &PipeBudget {
        &self.pipes
    }

    /// Held while an edge between two epolls is made or removed.
    pub(super) fn lock_epolls(&self) -> MutexGuard<'_, ()> {
        self.epolls.lock()
    }

    /// Where it is announced that a lease has been given up or changed.
    pub fn lease_queue(&self) -> &WaitQueue {
        &self.leases
    }

    /// The kernel's time now.
    pub(super) fn now(&self) -> MonotonicTime {
        self.timekeeper.monotonic()
    }

    /// How long the holder of a lease has to give it up; 0 for ever (`man 5 proc_sys_fs`, lease-break-time).
    pub fn lease_break_seconds(&self) -> u32 {
        self.lease_break_seconds.load(Ordering::Relaxed)
    }

    /// Says how long.
    pub fn set_lease_break_seconds(&self, seconds: u32) {
        self.lease_break_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Which process waits for which one's record lock.
    pub fn lock_waits(&self) -> &Arc<LockWaits> {
        &self.lock_waits
    }
}

/// A description's place among the open files of a kernel, for as long as it is kept.
pub(super) struct Registration {
    files: Arc<OpenFiles>,
    id: u64,
    _heap_charge: HeapCharge,
}

impl Registration {
    pub(super) fn new(files: &Arc<OpenFiles>) -> Self {
        files.used.fetch_add(1, Ordering::Relaxed);
        let _heap_charge = HeapCharge::forced(DESCRIPTION_BYTES);
        Self { files: files.clone(), id: files.new_id(), _heap_charge }
    }

    /// The description's id.
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.files.used.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
