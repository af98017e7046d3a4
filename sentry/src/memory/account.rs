//! Who pays for frames: accounts in a tree, each with a limit (`Documentation/admin-guide/cgroup-v2.rst`, Memory).
//!
//! A frame is charged once, when it is allocated for somebody, to that account and all above it; the allocator
//! remembers the account and the use beside the frame and takes the charge back when the frame is free again, whoever shared
//! it meanwhile. So a charge can neither be lost nor taken back twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::heap::{HeapPayer, Refusal};
use crate::platform::PAGE_SHIFT;

/// An account's place in the allocator's memory of who pays; 0 is nobody.
pub(super) type AccountNumber = u32;

/// Numbers of accounts have this many bits: the allocator keeps a use beside them.
pub(super) const ACCOUNT_NUMBER_BITS: u32 = 29;
/// No account's number: frames that are pages of the host's cache have it.
pub(super) const OF_HOST: AccountNumber = (1 << ACCOUNT_NUMBER_BITS) - 1;

/// What a frame is paid for as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUse {
    /// A process's own memory.
    Anonymous = 0,
    /// A page of a host file: it can be given up.
    File = 1,
    /// tmpfs and shared anonymous memory.
    Shared = 2,
    /// What the sentry's heap holds for processes.
    Heap = 3,
    /// A huge page of the pool, which is paid for by nobody.
    Huge = 4,
}

impl FrameUse {
    const COUNT: usize = 5;

    /// The use with that number.
    pub(super) fn from_number(number: u32) -> Self {
        match number {
            1 => Self::File,
            2 => Self::Shared,
            3 => Self::Heap,
            4 => Self::Huge,
            _ => Self::Anonymous,
        }
    }
}

/// Every account of an allocator for which a frame may be charged.
#[derive(Default)]
pub(super) struct Accounts {
    ledgers: RwLock<HashMap<AccountNumber, Arc<Ledger>>>,
    last_number: AtomicU32,
}

/// What happened to an account, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryEvents {
    /// Times that the limit kept a frame from being charged.
    pub max: u64,
    /// Times that nothing but the end of a process could help.
    pub out_of_memory: u64,
    /// Processes that were killed, for want of memory here or further above.
    pub kills: u64,
    /// Times that all of the group was killed (memory.oom.group).
    pub group_kills: u64,
    /// Times that tasks were held up for being above what the group should have.
    pub high: u64,
}

/// Somebody who pays for frames. Once the last handle is gone, only frames that are charged already remember it.
pub struct MemoryAccount {
    ledger: Arc<Ledger>,
    accounts: Arc<Accounts>,
}

struct Ledger {
    number: AccountNumber,
    parent: Option<Arc<MemoryAccount>>,
    /// Frames that name this account itself, and one for the handles together.
    holders: AtomicU64,
    /// Frames of this account and of those below it.
    frames: AtomicU64,
    /// The same, by use.
    frames_by_use: [AtomicU64; FrameUse::COUNT],
    peak_frames: AtomicU64,
    max_frames: AtomicU64,
    high_frames: AtomicU64,
    /// What happened to it and to those below it, and to it alone.
    events: EventCounters,
    own_events: EventCounters,
}

/// Counts what [`MemoryEvents`] tell.
#[derive(Default)]
struct EventCounters {
    highs: AtomicU64,
    refusals: AtomicU64,
    shortages: AtomicU64,
    kills: AtomicU64,
    group_kills: AtomicU64,
}

impl EventCounters {
    fn told(&self) -> MemoryEvents {
        MemoryEvents {
            max: self.refusals.load(Ordering::Relaxed),
            out_of_memory: self.shortages.load(Ordering::Relaxed),
            kills: self.kills.load(Ordering::Relaxed),
            group_kills: self.group_kills.load(Ordering::Relaxed),
            high: self.highs.load(Ordering::Relaxed),
        }
    }
}

impl MemoryAccount {
    pub(super) fn new(accounts: &Arc<Accounts>, parent: Option<Arc<MemoryAccount>>) -> Arc<Self> {
        let mut ledgers = accounts.ledgers.write();
        // Numbers come again after 2^29 accounts; those still in use are skipped.
        let number = loop {
            let number = accounts.last_number.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            let number = number & ((1 << ACCOUNT_NUMBER_BITS) - 1);
            if number != 0 && number != OF_HOST && !ledgers.contains_key(&number) {
                break number;
            }
        };
        let ledger = Arc::new(Ledger {
            number,
            parent,
            holders: AtomicU64::new(1),
            frames: AtomicU64::new(0),
            frames_by_use: Default::default(),
            peak_frames: AtomicU64::new(0),
            max_frames: AtomicU64::new(u64::MAX),
            high_frames: AtomicU64::new(u64::MAX),
            events: EventCounters::default(),
            own_events: EventCounters::default(),
        });
        ledgers.insert(number, ledger.clone());
        drop(ledgers);
        Arc::new(Self { ledger, accounts: accounts.clone() })
    }

    pub(super) fn number(&self) -> AccountNumber {
        self.ledger.number
    }

    /// Bytes charged now, to this account and those below it.
    pub fn current_bytes(&self) -> u64 {
        self.ledger.frames.load(Ordering::Relaxed) << PAGE_SHIFT
    }

    /// Bytes charged now for `frame_use`.
    pub fn bytes_of(&self, frame_use: FrameUse) -> u64 {
        self.ledger.frames_by_use[frame_use as usize].load(Ordering::Relaxed) << PAGE_SHIFT
    }

    /// Most bytes that were ever charged.
    pub fn peak_bytes(&self) -> u64 {
        self.ledger.peak_frames.load(Ordering::Relaxed) << PAGE_SHIFT
    }

    /// The limit; `None` if there is none.
    pub fn max_bytes(&self) -> Option<u64> {
        let max = self.ledger.max_frames.load(Ordering::Relaxed);
        (max != u64::MAX).then_some(max << PAGE_SHIFT)
    }

    /// Sets the limit, in whole pages. What is charged already stays.
    pub fn set_max_bytes(&self, max_bytes: Option<u64>) {
        let frames = max_bytes.map_or(u64::MAX, |bytes| bytes >> PAGE_SHIFT);
        self.ledger.max_frames.store(frames, Ordering::Relaxed);
    }

    /// Above how many bytes tasks are held up; `None` if never.
    pub fn high_bytes(&self) -> Option<u64> {
        let high = self.ledger.high_frames.load(Ordering::Relaxed);
        (high != u64::MAX).then_some(high << PAGE_SHIFT)
    }

    /// Sets above how many bytes tasks are held up, in whole pages.
    pub fn set_high_bytes(&self, high_bytes: Option<u64>) {
        let frames = high_bytes.map_or(u64::MAX, |bytes| bytes >> PAGE_SHIFT);
        self.ledger.high_frames.store(frames, Ordering::Relaxed);
    }

    /// The nearest of this account and those above it that has more than it should.
    pub fn above_high(self: &Arc<Self>) -> Option<&Arc<MemoryAccount>> {
        std::iter::successors(Some(self), |account| account.ledger.parent.as_ref())
            .find(|account| account.current_bytes() > account.high_bytes().unwrap_or(u64::MAX))
    }

    /// Counts that a task is held up, here and above.
    pub fn count_high(&self) {
        self.ledger.count(|counters| &counters.highs);
    }

    /// The numbers of this account and of those below it.
    pub(super) fn family(&self) -> HashSet<AccountNumber> {
        let ledgers = self.accounts.ledgers.read();
        let is_within =
            |ledger: &&Arc<Ledger>| ledger.with_ancestors().any(|level| level.number == self.number());
        ledgers.values().filter(is_within).map(|ledger| ledger.number).collect()
    }

    /// What happened to this account and those below it.
    pub fn events(&self) -> MemoryEvents {
        self.ledger.events.told()
    }

    /// What happened to this account itself.
    pub fn own_events(&self) -> MemoryEvents {
        self.ledger.own_events.told()
    }

    /// Counts that only the end of a process can help this account.
    pub fn count_shortage(&self) {
        self.ledger.count(|counters| &counters.shortages);
    }

    /// Counts that a process which this account pays for has been killed for want of memory.
    pub fn count_kill(&self) {
        self.ledger.count(|counters| &counters.kills);
    }

    /// Counts that all whom this account pays for have been killed together.
    pub fn count_group_kill(&self) {
        self.ledger.count(|counters| &counters.group_kills);
    }

    /// Whether `other` is this account.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ledger, &other.ledger)
    }

    /// The nearest of this account and those above it that has less than `pages` left.
    pub fn exhausted(self: &Arc<Self>, pages: u64) -> Option<&Arc<MemoryAccount>> {
        std::iter::successors(Some(self), |account| account.ledger.parent.as_ref())
            .find(|account| account.ledger.left() < pages)
    }

    /// Charges up to `wanted` frames, and returns how many: 0 if a limit is reached.
    pub(super) fn charge(&self, wanted: u64, frame_use: FrameUse) -> u64 {
        let mut granted = wanted;
        for ledger in self.ledger.with_ancestors() {
            let given = ledger.charge(granted);
            if given < granted {
                for below in self.ledger.with_ancestors().take_while(|below| below.number != ledger.number) {
                    below.frames.fetch_sub(granted - given, Ordering::Relaxed);
                }
                granted = given;
            }
            if granted == 0 {
                self.ledger.count_refusal(ledger);
                return 0;
            }
        }
        for ledger in self.ledger.with_ancestors() {
            ledger.frames_by_use[frame_use as usize].fetch_add(granted, Ordering::Relaxed);
            ledger.peak_frames.fetch_max(ledger.frames.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.ledger.holders.fetch_add(granted, Ordering::Relaxed);
        granted
    }

    /// Charges `frames` frames whatever the limits are.
    fn force(&self, frames: u64, frame_use: FrameUse) {
        for ledger in self.ledger.with_ancestors() {
            let charged = ledger.frames.fetch_add(frames, Ordering::Relaxed) + frames;
            ledger.frames_by_use[frame_use as usize].fetch_add(frames, Ordering::Relaxed);
            ledger.peak_frames.fetch_max(charged, Ordering::Relaxed);
        }
        self.ledger.holders.fetch_add(frames, Ordering::Relaxed);
    }

    /// Takes back what was charged for frames that were not allocated after all.
    pub(super) fn uncharge(&self, frames: u64, frame_use: FrameUse) {
        self.accounts.uncharge(self.ledger.number, frames, frame_use);
    }
}

impl HeapPayer for MemoryAccount {
    fn charge_heap(&self, pages: u64) -> Result<(), Refusal> {
        let charged = self.charge(pages, FrameUse::Heap);
        if charged == pages {
            return Ok(());
        }
        if charged > 0 {
            self.uncharge(charged, FrameUse::Heap);
            let limiting = self.ledger.with_ancestors().find(|ledger| ledger.left() < pages);
            limiting.into_iter().for_each(|limiting| self.ledger.count_refusal(limiting));
        }
        let max = self.ledger.with_ancestors().map(|ledger| ledger.max_frames.load(Ordering::Relaxed)).min();
        Err(if max.is_some_and(|max| max < pages) { Refusal::Limit } else { Refusal::Shortage })
    }

    fn force_heap(&self, pages: u64) {
        self.force(pages, FrameUse::Heap);
    }

    fn uncharge_heap(&self, pages: u64) {
        self.uncharge(pages, FrameUse::Heap);
    }
}

impl Drop for MemoryAccount {
    fn drop(&mut self) {
        self.accounts.let_go(&self.ledger, 1);
    }
}

impl std::fmt::Debug for MemoryAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryAccount({})", self.ledger.number)
    }
}

impl Ledger {
    fn with_ancestors(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |ledger| ledger.parent.as_ref().map(|parent| &*parent.ledger))
    }

    /// Counts one more, here and above.
    fn count(&self, counter: impl Fn(&EventCounters) -> &AtomicU64) {
        counter(&self.own_events).fetch_add(1, Ordering::Relaxed);
        for ledger in self.with_ancestors() {
            counter(&ledger.events).fetch_add(1, Ordering::Relaxed);
        }
    }

    fn left(&self) -> u64 {
        let max = self.max_frames.load(Ordering::Relaxed);
        max.saturating_sub(self.frames.load(Ordering::Relaxed))
    }

    fn charge(&self, wanted: u64) -> u64 {
        let max = self.max_frames.load(Ordering::Relaxed);
        let mut given = 0;
        // Fails only where the closure says that there is nothing to change.
        let _ = self.frames.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |frames| {
            given = wanted.min(max.saturating_sub(frames));
            (given > 0).then_some(frames + given)
        });
        given
    }

    /// Counts a refusal by `limiting`, there and above.
    fn count_refusal(&self, limiting: &Self) {
        let mut levels = self.with_ancestors().skip_while(|ledger| ledger.number != limiting.number);
        if let Some(limiting) = levels.next() {
            limiting.count(|counters| &counters.refusals);
        }
    }
}

impl Accounts {
    /// Takes back the charge for `frames` frames of account `number`.
    pub(super) fn uncharge(&self, number: AccountNumber, frames: u64, frame_use: FrameUse) {
        let Some(ledger) = self.ledgers.read().get(&number).cloned() else { return };
        for level in ledger.with_ancestors() {
            level.frames.fetch_sub(frames, Ordering::Relaxed);
            level.frames_by_use[frame_use as usize].fetch_sub(frames, Ordering::Relaxed);
        }
        self.let_go(&ledger, frames);
    }

    fn let_go(&self, ledger: &Arc<Ledger>, holders: u64) {
        if ledger.holders.fetch_sub(holders, Ordering::AcqRel) == holders {
            let gone = self.ledgers.write().remove(&ledger.number);
            // Outside the lock: its parent may go with it.
            drop(gone);
        }
    }
}

#[cfg(test)]
mod tests;
