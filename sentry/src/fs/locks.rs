//! Advisory locks: flock(2), POSIX record locks and open file description locks (fcntl(2)).
//!
//! One [`FileLocks`] belongs to an inode. flock locks and record locks do not see each other. A lock that is not
//! to be had is EAGAIN; who wants to wait registers with the wait queue, which hears of every release.
//!
//! A file that others share has [`OuterLocks`] as well: what anybody here holds is held there, on behalf of all. Nothing tells
//! of releases out there, so that who waits has to ask again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::FileDescription;
use super::leases::Leases;
use crate::Errno;
use crate::heap::HeapCharge;
use crate::wait::{Events, WaitQueue};

/// Record locks that one file may carry.
const MAX_RECORDS: usize = 64 * 1024;
/// What one takes, in a list that grows by doubling.
const RECORD_BYTES: usize = 2 * size_of::<RecordLock>();

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockOwner {
    /// A process, by its descriptor table's id (POSIX); with the process id that F_GETLK reports.
    Process {
        /// No other table of the kernel ever has it.
        table: u64,
        /// The thread group.
        process_id: i32,
    },
    /// An open file description, by its id (flock, OFD).
    Description(u64),
    /// Somebody outside of the sandbox.
    Outside,
}

impl LockOwner {
    /// The owner of the flock(2) and OFD locks that are taken through `description`; `None` if it never had a descriptor.
    pub fn of_description(description: &FileDescription) -> Option<Self> {
        description.id().map(Self::Description)
    }

    pub(super) fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Process { table: a, .. }, Self::Process { table: b, .. }) => a == b,
            (Self::Description(a), Self::Description(b)) => a == b,
            _ => false,
        }
    }
}

/// A record lock: bytes `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLock {
    /// First byte.
    pub start: u64,
    /// The byte after the last; `u64::MAX` for the end of the file, wherever that is.
    pub end: u64,
    /// Whether it excludes all others (F_WRLCK).
    pub is_exclusive: bool,
    /// Who holds it.
    pub owner: LockOwner,
}

impl RecordLock {
    fn conflicts_with(&self, other: &Self) -> bool {
        self.start < other.end
            && other.start < self.end
            && (self.is_exclusive || other.is_exclusive)
            && !self.owner.is_same(other.owner)
    }
}

/// Which process waits for which one's record lock, so that a circle is found (`man 2 fcntl`, F_SETLKW). Processes are named
/// by their tables.
#[derive(Default)]
pub struct LockWaits(Mutex<BTreeMap<u64, u64>>);

/// A process's place among those that wait; dropping it ends the wait.
pub struct LockWait {
    waits: Arc<LockWaits>,
    waiter: u64,
}

impl LockWait {
    /// Of `owner`, who waits for nobody yet, among `waits`. `None` for a description: nobody looks for circles of these.
    pub fn new(waits: &Arc<LockWaits>, owner: LockOwner) -> Option<Self> {
        match owner {
            LockOwner::Process { table, .. } => Some(Self { waits: waits.clone(), waiter: table }),
            LockOwner::Description(_) | LockOwner::Outside => None,
        }
    }

    /// Records that `holder` is waited for.
    ///
    /// # Errors
    /// EDEADLK if that closes a circle.
    pub fn wait_for(&self, holder: LockOwner) -> Result<(), Errno> {
        /// Longer chains are not followed; Linux stops at ten.
        const MAX_CHAIN_LEN: usize = 10;
        let LockOwner::Process { table: holder, .. } = holder else { return Ok(()) };
        let mut waits = self.waits.0.lock();
        let mut next = Some(holder);
        for _ in 0..MAX_CHAIN_LEN {
            let Some(current) = next else { break };
            if current == self.waiter {
                return Err(Errno::EDEADLK);
            }
            next = waits.get(&current).copied();
        }
        waits.insert(self.waiter, holder);
        Ok(())
    }
}

impl Drop for LockWait {
    fn drop(&mut self) {
        self.waits.0.lock().remove(&self.waiter);
    }
}

/// The advisory locks on one inode. Takes no memory until the first lock.
#[derive(Default)]
pub struct FileLocks {
    own: Mutex<Option<Box<Locks>>>,
    outer: Option<Box<dyn OuterLocks>>,
    leases: Leases,
    /// Descriptions that may only read.
    readers: AtomicI32,
    /// How long what is written is expected to live, an `RWH_*` number: kept here since it is the file's, too.
    write_hint: AtomicU8,
}

/// How strongly a file, or a range of it, is locked by anybody here: `None` for not at all, else whether exclusively.
pub type Hold = Option<bool>;

/// The locks of a file towards those who share it from outside of the sandbox, which is one holder among them. No method
/// waits.
pub trait OuterLocks: Send + Sync {
    /// Has the flock(2) lock be `hold`.
    ///
    /// # Errors
    /// EAGAIN: somebody else's is in the way, and the lock is as it was or released. ENOLCK, and those of opening the file.
    fn hold_whole(&self, hold: Hold) -> Result<(), Errno>;

    /// Has the record lock of `start..end` be `hold`.
    ///
    /// # Errors
    /// EAGAIN: somebody else's is in the way. ENOLCK, and those of opening the file.
    fn hold_range(&self, start: u64, end: u64, hold: Hold) -> Result<(), Errno>;

    /// Somebody else's record lock that stands in the way of one of `start..end`: its range, and whether it is exclusive.
    fn find_conflict(&self, start: u64, end: u64, is_exclusive: bool) -> Option<(u64, u64, bool)>;

    /// Nobody here holds any lock.
    fn release_all(&self);
}

/// The locks on files of one file system whose inodes come and go with each look, by the inode's number. Open files
/// keep them.
#[derive(Default)]
pub struct LockTable(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_inode: BTreeMap<u64, Weak<FileLocks>>,
    /// How many entries there may be before those of closed files are dropped.
    limit: usize,
}

impl LockTable {
    /// The locks on the file with this inode number.
    pub fn of_inode(&self, number: u64) -> Arc<FileLocks> {
        /// Entries that are kept at least.
        const LEAST_LIMIT: usize = 16;
        let mut table = self.0.lock();
        if let Some(locks) = table.by_inode.get(&number).and_then(Weak::upgrade) {
            return locks;
        }
        if table.by_inode.len() >= table.limit {
            table.by_inode.retain(|_, locks| locks.strong_count() > 0);
            table.limit = LEAST_LIMIT.max(2 * table.by_inode.len());
        }
        let locks = Arc::default();
        table.by_inode.insert(number, Arc::downgrade(&locks));
        locks
    }
}

#[derive(Default)]
struct Locks {
    whole_file: Vec<WholeFileLock>,
    records: Vec<RecordLock>,
    queue: WaitQueue,
    heap_charge: HeapCharge,
}

impl Locks {
    /// Has `records` record locks paid for.
    fn charge(&mut self, records: usize) -> Result<(), Errno> {
        self.heap_charge.resize(records * RECORD_BYTES)
    }
}

struct WholeFileLock {
    description: u64,
    is_exclusive: bool,
}

impl FileLocks {
    /// The file's `RWH_*` number (fcntl F_GET_RW_HINT).
    pub fn write_hint(&self) -> u64 {
        self.write_hint.load(Ordering::Relaxed).into()
    }

    /// Keeps an `RWH_*` number.
    pub fn set_write_hint(&self, hint: u64) {
        self.write_hint.store(hint as u8, Ordering::Relaxed);
    }

    /// Those of a file that others share, too.
    pub(super) fn with_outer(outer: Box<dyn OuterLocks>) -> Self {
        Self { outer: Some(outer), ..Self::default() }
    }

    /// The leases on the file.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// How many descriptions there are that may only read.
    pub(super) fn readers(&self) -> i32 {
        self.readers.load(Ordering::Acquire)
    }

    /// There is one more or less.
    pub(super) fn count_reader(&self, change: i32) {
        self.readers.fetch_add(change, Ordering::AcqRel);
    }

    /// Whether locks may be released that the wait queue does not hear of.
    pub fn has_outer(&self) -> bool {
        self.outer.is_some()
    }

    /// Takes, or converts, the flock(2) lock of a description.
    ///
    /// # Errors
    /// EAGAIN if another description's lock is in the way. A lock to be converted is lost even so (`man 2 flock`).
    pub fn lock_whole(&self, description: u64, is_exclusive: bool) -> Result<(), Errno> {
        self.change(|locks| {
            let old = locks.whole_file.iter().position(|lock| lock.description == description);
            if let Some(old) = old {
                let old = locks.whole_file.swap_remove(old);
                if old.is_exclusive && !is_exclusive {
                    locks.queue.notify(Events::IN);
                }
            }
            let is_refused = locks.whole_file.iter().any(|lock| is_exclusive || lock.is_exclusive);
            let wanted = if is_refused { locks.whole_hold() } else { Some(is_exclusive) };
            let outer = self.outer.as_ref().map_or(Ok(()), |outer| outer.hold_whole(wanted));
            if is_refused || outer.is_err() {
                locks.queue.notify(Events::IN);
                return Err(if is_refused { Errno::EAGAIN } else { outer.err().unwrap_or(Errno::EAGAIN) });
            }
            locks.whole_file.push(WholeFileLock { description, is_exclusive });
            Ok(())
        })
    }

    /// Whether the flock(2) lock of `owner`, a description, is exclusive, if it has one.
    pub(super) fn whole_lock_of(&self, owner: LockOwner) -> Option<bool> {
        let LockOwner::Description(description) = owner else { return None };
        let own = self.own.lock();
        let lock = own.as_ref()?.whole_file.iter().find(|lock| lock.description == description)?;
        Some(lock.is_exclusive)
    }

    /// Releases the flock(2) lock of a description, if it has one.
    pub fn unlock_whole(&self, description: u64) {
        self.change_if_any(|locks| {
            locks.whole_file.retain(|lock| lock.description != description);
            self.update_outer_whole(locks);
            locks.queue.notify(Events::IN);
        });
    }

    /// Takes a record lock, replacing what its owner held of the range.
    ///
    /// # Errors
    /// EAGAIN if a lock of somebody else is in the way, ENOLCK if there are too many.
    pub fn lock_record(&self, lock: RecordLock) -> Result<(), Errno> {
        self.change(|locks| {
            if locks.records.iter().any(|other| other.conflicts_with(&lock)) {
                return Err(Errno::EAGAIN);
            }
            if locks.records.len() >= MAX_RECORDS {
                return Err(Errno::ENOLCK);
            }
            // It may split one in two.
            locks.charge(locks.records.len() + 2).map_err(|_| Errno::ENOLCK)?;
            if let Some(outer) = &self.outer {
                outer.hold_range(lock.start, lock.end, Some(lock.is_exclusive))?;
            }
            let is_weaker = locks.cut(&lock);
            locks.records.push(lock);
            locks.merge_around(lock);
            if is_weaker {
                locks.queue.notify(Events::IN);
            }
            Ok(())
        })
    }

    /// Releases what `owner` holds of `start..end`.
    ///
    /// # Errors
    /// ENOLCK if that would split one lock too many.
    pub fn unlock_record(&self, owner: LockOwner, start: u64, end: u64) -> Result<(), Errno> {
        let mut result = Ok(());
        self.change_if_any(|locks| {
            if locks.records.len() >= MAX_RECORDS && !(start == 0 && end == u64::MAX) {
                result = Err(Errno::ENOLCK);
                return;
            }
            locks.cut(&RecordLock { start, end, is_exclusive: false, owner });
            self.update_outer_range(locks, start, end);
            locks.queue.notify(Events::IN);
        });
        result
    }

    /// The first lock that stands in the way of `lock` (F_GETLK).
    pub fn find_conflict(&self, lock: &RecordLock) -> Option<RecordLock> {
        let own = self.own.lock();
        let records = own.iter().flat_map(|locks| &locks.records);
        let found =
            records.filter(|other| other.conflicts_with(lock)).min_by_key(|other| other.start).copied();
        found.or_else(|| {
            let outer = self.outer.as_ref()?;
            let (start, end, is_exclusive) = outer.find_conflict(lock.start, lock.end, lock.is_exclusive)?;
            Some(RecordLock { start, end, is_exclusive, owner: LockOwner::Outside })
        })
    }

    /// The first lock that the owner of `lock` holds itself in its range (F_OFD_GETLK with F_UNLCK).
    pub fn find_own(&self, lock: &RecordLock) -> Option<RecordLock> {
        let locks = self.own.lock();
        let records = &locks.as_ref()?.records;
        let is_own = |other: &&RecordLock| {
            other.owner.is_same(lock.owner) && lock.start < other.end && other.start < lock.end
        };
        records.iter().filter(is_own).min_by_key(|other| other.start).copied()
    }

    /// Releases everything that `owner` holds.
    pub fn release(&self, owner: LockOwner) {
        self.change_if_any(|locks| {
            let before = locks.records.len() + locks.whole_file.len();
            let is_released = |lock: &RecordLock| lock.owner.is_same(owner);
            let released: Vec<_> = locks.records.extract_if(.., |lock| is_released(lock)).collect();
            if let LockOwner::Description(description) = owner {
                locks.whole_file.retain(|lock| lock.description != description);
            }
            if locks.records.len() + locks.whole_file.len() != before {
                self.update_outer_whole(locks);
                released.iter().for_each(|lock| self.update_outer_range(locks, lock.start, lock.end));
                locks.queue.notify(Events::IN);
            }
        });
    }

    /// Where releases are announced, with [`Events::IN`].
    pub fn wait_queue(&self) -> WaitQueue {
        self.own.lock().get_or_insert_default().queue.clone()
    }

    /// All record locks, for /proc/locks.
    pub fn records(&self) -> Vec<RecordLock> {
        self.own.lock().as_ref().map_or_else(Vec::new, |locks| locks.records.clone())
    }

    fn change<R>(&self, change: impl FnOnce(&mut Locks) -> R) -> R {
        change(self.own.lock().get_or_insert_default())
    }

    fn change_if_any(&self, change: impl FnOnce(&mut Locks)) {
        let mut slot = self.own.lock();
        if let Some(locks) = slot.as_mut() {
            change(locks);
            let is_held = !locks.records.is_empty() || !locks.whole_file.is_empty();
            if let Some(outer) = self.outer.as_ref().filter(|_| !is_held) {
                outer.release_all();
            }
            if !is_held && locks.queue.is_empty() {
                *slot = None;
            }
        }
    }

    /// Has no more be held outside than is held here.
    fn update_outer_whole(&self, locks: &Locks) {
        let Some(outer) = &self.outer else { return };
        if let Err(error) = outer.hold_whole(locks.whole_hold()) {
            log::debug!("a lock on the host's file stays: {error}");
        }
    }

    fn update_outer_range(&self, locks: &Locks, start: u64, end: u64) {
        let Some(outer) = &self.outer else { return };
        for (start, end, hold) in locks.holds(start, end) {
            if let Err(error) = outer.hold_range(start, end, hold) {
                log::debug!("a lock on the host's file stays: {error}");
            }
        }
    }
}

impl Locks {
    /// How strongly flock(2) locks the file.
    fn whole_hold(&self) -> Hold {
        let exclusive = self.whole_file.iter().map(|lock| lock.is_exclusive);
        exclusive.reduce(|a, b| a || b)
    }

    /// How strongly the parts of `start..end` are locked.
    fn holds(&self, start: u64, end: u64) -> Vec<(u64, u64, Hold)> {
        let inside: Vec<_> =
            self.records.iter().filter(|lock| lock.start < end && start < lock.end).collect();
        let mut edges: Vec<u64> = inside.iter().flat_map(|lock| [lock.start, lock.end]).collect();
        edges.retain(|edge| (start..end).contains(edge));
        edges.extend([start, end]);
        edges.sort_unstable();
        edges.dedup();
        let parts = edges.iter().zip(edges.iter().skip(1));
        parts
            .map(|(&from, &to)| {
                let covering = inside.iter().filter(|lock| lock.start <= from && to <= lock.end);
                (from, to, covering.map(|lock| lock.is_exclusive).reduce(|a, b| a || b))
            })
            .collect()
    }

    /// Removes the range of `hole` from its owner's locks. Whether something weaker than before is left.
    fn cut(&mut self, hole: &RecordLock) -> bool {
        let mut has_released = false;
        let mut rests = Vec::new();
        self.records.retain(|lock| {
            if !lock.owner.is_same(hole.owner) || lock.end <= hole.start || hole.end <= lock.start {
                return true;
            }
            has_released |= lock.is_exclusive && !hole.is_exclusive;
            if lock.start < hole.start {
                rests.push(RecordLock { end: hole.start, ..*lock });
            }
            if hole.end < lock.end {
                rests.push(RecordLock { start: hole.end, ..*lock });
            }
            false
        });
        self.records.append(&mut rests);
        has_released
    }

    /// Joins `lock`, which is in the list, with its owner's neighbours of the same kind.
    fn merge_around(&mut self, lock: RecordLock) {
        let mut joined = lock;
        self.records.retain(|other| {
            let is_neighbour = other.owner.is_same(lock.owner)
                && other.is_exclusive == lock.is_exclusive
                && other.start <= lock.end
                && lock.start <= other.end;
            if is_neighbour {
                joined.start = joined.start.min(other.start);
                joined.end = joined.end.max(other.end);
            }
            !is_neighbour
        });
        self.records.push(joined);
    }
}

#[cfg(test)]
mod tests;
