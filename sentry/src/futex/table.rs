//! The table of queues, and waiting, waking and requeueing.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::{Mutex, MutexGuard};

use crate::Errno;
use crate::wait::Waiter;

const BUCKETS: usize = 64;

/// A word of user memory.
pub trait FutexWord: Send + Sync {
    /// Its value.
    ///
    /// # Errors
    /// EFAULT: it is not readable.
    fn load(&self) -> Result<u32, Errno>;

    /// Sets it to `new` if it is `old`; `Err` inside has what it is.
    ///
    /// # Errors
    /// EFAULT: it is not writable.
    fn compare_exchange(&self, old: u32, new: u32) -> Result<Result<u32, u32>, Errno>;
}

/// Who waits for which word.
pub struct FutexTable<K> {
    hasher: RandomState,
    buckets: Box<[Mutex<Bucket<K>>]>,
    /// Waiters for PI locks: while there are none, a task's end need not look for locks that it holds.
    pub(super) pi_waiters: AtomicUsize,
}

/// The queues of the keys that share a hash.
pub(super) struct Bucket<K> {
    pub(super) queues: HashMap<K, Queue<K>>,
}

/// Who waits for one word, in order.
pub(super) struct Queue<K> {
    pub(super) sleepers: VecDeque<Arc<Sleeper<K>>>,
    /// Who holds the PI lock that the word is, if somebody waits for it.
    pub(super) pi_owner: u32,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self { sleepers: VecDeque::new(), pi_owner: 0 }
    }
}

/// One who waits.
pub(super) struct Sleeper<K> {
    waiter: Arc<Waiter>,
    bitset: u32,
    /// For one who waits for a PI lock: its number and the word.
    pub(super) pi: Option<(u32, Arc<dyn FutexWord>)>,
    /// For one who waits to be queued for a PI lock (FUTEX_WAIT_REQUEUE_PI): where that is.
    pub(super) lock_key: Option<K>,
    /// Where it is queued; `None` once it has been woken.
    key: Mutex<Option<K>>,
}

impl<K: Eq> Sleeper<K> {
    /// Whether it waits for a PI lock now.
    pub(super) fn waits_for_lock(&self) -> bool {
        self.pi.is_some() && (self.lock_key.is_none() || *self.key.lock() == self.lock_key)
    }
}

impl<K> Sleeper<K> {
    /// Says where it is queued from now on.
    pub(super) fn move_to(&self, key: K) {
        *self.key.lock() = Some(key);
    }

    /// Ends its wait. It has been taken from its queue.
    pub(super) fn wake(&self) {
        *self.key.lock() = None;
        self.waiter.wake();
    }
}

/// A place in a queue; dropping it leaves the queue.
#[must_use = "dropping a place leaves the queue"]
pub struct FutexWaiter<'a, K: Eq + Hash + Clone> {
    table: &'a FutexTable<K>,
    sleeper: Arc<Sleeper<K>>,
}

impl<K: Eq + Hash + Clone> FutexWaiter<'_, K> {
    /// Whether somebody has woken this waiter.
    pub fn is_woken(&self) -> bool {
        self.sleeper.key.lock().is_none()
    }

    /// Whether it is queued for a PI lock.
    pub(super) fn waits_for_lock(&self) -> bool {
        self.sleeper.waits_for_lock()
    }

    /// Leaves the queue; returns whether somebody had woken this waiter before. That wake-up counts: it
    /// was taken from another's.
    pub fn give_up(self) -> bool {
        !self.table.remove(&self.sleeper)
    }
}

impl<K: Eq + Hash + Clone> Drop for FutexWaiter<'_, K> {
    fn drop(&mut self) {
        self.table.remove(&self.sleeper);
    }
}

/// What FUTEX_REQUEUE does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requeue {
    /// Wake at most so many.
    pub wake: usize,
    /// Move at most so many of the others.
    pub requeue: usize,
    /// Do nothing if the word has another value (FUTEX_CMP_REQUEUE).
    pub expected: Option<u32>,
}

impl<K: Eq + Hash + Clone> Default for FutexTable<K> {
    fn default() -> Self {
        let bucket = || Mutex::new(Bucket { queues: HashMap::new() });
        Self {
            hasher: RandomState::new(),
            buckets: std::iter::repeat_with(bucket).take(BUCKETS).collect(),
            pi_waiters: AtomicUsize::new(0),
        }
    }
}

impl<K: Eq + Hash + Clone> FutexTable<K> {
    /// Queues `waiter` at `key`, if `word` is `expected`, for wake-ups that share a bit with `bitset`.
    ///
    /// # Errors
    /// EAGAIN: it has another value. EFAULT: it is not readable.
    pub fn enqueue(
        &self,
        key: K,
        word: &dyn FutexWord,
        expected: u32,
        bitset: u32,
        waiter: Arc<Waiter>,
    ) -> Result<FutexWaiter<'_, K>, Errno> {
        let mut bucket = self.bucket(&key);
        if word.load()? != expected {
            return Err(Errno::EAGAIN);
        }
        Ok(self.push(
            &mut bucket,
            key,
            Sleeper { waiter, bitset, pi: None, lock_key: None, key: Mutex::new(None) },
        ))
    }

    /// Adds a sleeper to the end of its queue.
    pub(super) fn push(&self, bucket: &mut Bucket<K>, key: K, sleeper: Sleeper<K>) -> FutexWaiter<'_, K> {
        *sleeper.key.lock() = Some(key.clone());
        let sleeper = Arc::new(sleeper);
        bucket.queues.entry(key).or_default().sleepers.push_back(sleeper.clone());
        FutexWaiter { table: self, sleeper }
    }

    /// One who waits for a PI lock, or, with a key, to be queued for the one there.
    pub(super) fn pi_sleeper(
        waiter: Arc<Waiter>,
        own: u32,
        word: Arc<dyn FutexWord>,
        lock_key: Option<K>,
    ) -> Sleeper<K> {
        Sleeper { waiter, bitset: 0, pi: Some((own, word)), lock_key, key: Mutex::new(None) }
    }

    /// Whether one waits at `key` whom only an unlock, or a requeueing to a lock, may end: waking and moving others is refused there.
    pub fn has_pi_waiters(&self, key: &K) -> bool {
        let bucket = self.bucket(key);
        bucket.queues.get(key).is_some_and(|queue| queue.sleepers.iter().any(|sleeper| sleeper.pi.is_some()))
    }

    /// Wakes at most `count` of those at `key` who wait for a bit of `bitset`, and returns how many.
    pub fn wake(&self, key: &K, count: usize, bitset: u32) -> usize {
        let woken = Self::take_from(&mut self.bucket(key), key, count, bitset);
        // Many take long: others may use the bucket meanwhile.
        woken.iter().for_each(|sleeper| sleeper.wake());
        woken.len()
    }

    fn wake_in(bucket: &mut Bucket<K>, key: &K, count: usize, bitset: u32) -> usize {
        let woken = Self::take_from(bucket, key, count, bitset);
        woken.iter().for_each(|sleeper| sleeper.wake());
        woken.len()
    }

    /// Takes those who are to be woken from their queue; they have been woken, as far as they can tell. Looks at no more of
    /// the queue than it must.
    fn take_from(bucket: &mut Bucket<K>, key: &K, count: usize, bitset: u32) -> Vec<Arc<Sleeper<K>>> {
        let Some(queue) = bucket.queues.get_mut(key) else { return Vec::new() };
        let mut woken = Vec::new();
        let mut index = 0;
        while woken.len() < count
            && let Some(sleeper) = queue.sleepers.get(index)
        {
            if sleeper.bitset & bitset == 0 {
                index += 1;
            } else if let Some(sleeper) = queue.sleepers.remove(index) {
                *sleeper.key.lock() = None;
                woken.push(sleeper);
            }
        }
        if queue.sleepers.is_empty() {
            bucket.queues.remove(key);
        }
        woken
    }

    /// Wakes some of those at `from` and has others wait at `to` instead, in their order. Returns how many
    /// were woken and how many moved.
    ///
    /// # Errors
    /// EAGAIN: `word`, that at `from`, has not the value that is expected. EFAULT: it is not readable.
    pub fn requeue(
        &self,
        from: &K,
        to: &K,
        word: &dyn FutexWord,
        request: Requeue,
    ) -> Result<(usize, usize), Errno> {
        let mut buckets = self.two_buckets(from, to);
        if let Some(expected) = request.expected
            && word.load()? != expected
        {
            return Err(Errno::EAGAIN);
        }
        let woken = Self::wake_in(buckets.first(), from, request.wake, u32::MAX);
        if from == to {
            let waiting = buckets.first().queues.get(from).map_or(0, |queue| queue.sleepers.len());
            return Ok((woken, waiting.min(request.requeue)));
        }
        let Some(queue) = buckets.first().queues.get_mut(from) else { return Ok((woken, 0)) };
        let (mut moved, mut kept) = (VecDeque::new(), VecDeque::new());
        for sleeper in queue.sleepers.drain(..) {
            let moves = moved.len() < request.requeue && sleeper.pi.is_none();
            if moves { &mut moved } else { &mut kept }.push_back(sleeper);
        }
        queue.sleepers = kept;
        if queue.sleepers.is_empty() {
            buckets.first().queues.remove(from);
        }
        let count = moved.len();
        if count > 0 {
            for sleeper in &moved {
                *sleeper.key.lock() = Some(to.clone());
            }
            buckets.second().queues.entry(to.clone()).or_default().sleepers.append(&mut moved);
        }
        Ok((woken, count))
    }

    /// Changes the word at `second` with `operation`, wakes at most `first_count` of those at `first`, and,
    /// if the operation says so, at most `second_count` of those at `second` (FUTEX_WAKE_OP).
    ///
    /// # Errors
    /// The operation's.
    pub fn wake_after(
        &self,
        first: (&K, usize),
        second: (&K, usize),
        operation: impl FnOnce() -> Result<bool, Errno>,
    ) -> Result<usize, Errno> {
        let mut buckets = self.two_buckets(first.0, second.0);
        let wakes_second = operation()?;
        let mut woken = Self::wake_in(buckets.first(), first.0, first.1, u32::MAX);
        if wakes_second {
            woken += Self::wake_in(buckets.second(), second.0, second.1, u32::MAX);
        }
        Ok(woken)
    }

    /// Takes a sleeper that gives up from its queue; returns false if it has been woken. It may be moved to
    /// another queue meanwhile.
    fn remove(&self, sleeper: &Arc<Sleeper<K>>) -> bool {
        loop {
            let Some(key) = sleeper.key.lock().clone() else { return false };
            let mut bucket = self.bucket(&key);
            if sleeper.key.lock().as_ref() != Some(&key) {
                continue;
            }
            if let Entry::Occupied(mut entry) = bucket.queues.entry(key) {
                entry.get_mut().sleepers.retain(|other| !Arc::ptr_eq(other, sleeper));
                if entry.get().sleepers.is_empty() {
                    entry.remove();
                }
            }
            *sleeper.key.lock() = None;
            return true;
        }
    }

    fn index(&self, key: &K) -> usize {
        self.hasher.hash_one(key) as usize % BUCKETS
    }

    pub(super) fn bucket(&self, key: &K) -> MutexGuard<'_, Bucket<K>> {
        self.buckets[self.index(key)].lock()
    }

    /// Every bucket, for what concerns all of them.
    pub(super) fn buckets(&self) -> impl Iterator<Item = &Mutex<Bucket<K>>> {
        self.buckets.iter()
    }

    pub(super) fn two_buckets(&self, first: &K, second: &K) -> TwoBuckets<'_, K> {
        let (first, second) = (self.index(first), self.index(second));
        if first == second {
            return TwoBuckets { first: self.buckets[first].lock(), second: None };
        }
        let low = self.buckets[first.min(second)].lock();
        let high = self.buckets[first.max(second)].lock();
        let (first, second) = if first < second { (low, high) } else { (high, low) };
        TwoBuckets { first, second: Some(second) }
    }
}

/// The locked buckets of two keys, which may be one.
pub(super) struct TwoBuckets<'a, K> {
    first: MutexGuard<'a, Bucket<K>>,
    second: Option<MutexGuard<'a, Bucket<K>>>,
}

impl<K> TwoBuckets<'_, K> {
    pub(super) fn first(&mut self) -> &mut Bucket<K> {
        &mut self.first
    }

    pub(super) fn second(&mut self) -> &mut Bucket<K> {
        self.second.as_mut().unwrap_or(&mut self.first)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[derive(Default)]
    pub(in crate::futex) struct Word(pub(in crate::futex) AtomicU32);

    impl FutexWord for Word {
        fn load(&self) -> Result<u32, Errno> {
            Ok(self.0.load(Ordering::SeqCst))
        }

        fn compare_exchange(&self, old: u32, new: u32) -> Result<Result<u32, u32>, Errno> {
            Ok(self.0.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst))
        }
    }

    fn queue(table: &FutexTable<u32>, key: u32, bitset: u32) -> FutexWaiter<'_, u32> {
        table.enqueue(key, &Word::default(), 0, bitset, Arc::default()).unwrap()
    }

    fn woken(waiters: &[FutexWaiter<'_, u32>]) -> Vec<bool> {
        waiters.iter().map(FutexWaiter::is_woken).collect()
    }

    #[test]
    fn a_changed_word_is_eagain() {
        let table = FutexTable::<u32>::default();
        let result = table.enqueue(1, &Word(AtomicU32::new(5)), 4, u32::MAX, Arc::default());
        assert_eq!(result.err(), Some(Errno::EAGAIN));
    }

    #[test]
    fn the_first_to_wait_is_the_first_to_wake() {
        let table = FutexTable::default();
        let waiters: Vec<_> = (0..3).map(|_| queue(&table, 1, u32::MAX)).collect();
        assert_eq!(table.wake(&1, 2, u32::MAX), 2);
        assert_eq!(woken(&waiters), [true, true, false]);
        assert_eq!(table.wake(&2, 1, u32::MAX), 0);
    }

    #[test]
    fn a_bitset_selects_who_wakes() {
        let table = FutexTable::default();
        let waiters = [queue(&table, 1, 0b01), queue(&table, 1, 0b10)];
        assert_eq!(table.wake(&1, 5, 0b10), 1);
        assert_eq!(woken(&waiters), [false, true]);
    }

    #[test]
    fn one_who_gives_up_leaves_no_trace() {
        let table = FutexTable::default();
        drop(queue(&table, 1, u32::MAX));
        assert_eq!(table.wake(&1, 1, u32::MAX), 0);
        assert!(table.buckets().all(|bucket| bucket.lock().queues.is_empty()));
    }

    #[test]
    fn a_wake_up_that_meets_a_time_out_counts() {
        let table = FutexTable::default();
        let (first, second) = (queue(&table, 1, u32::MAX), queue(&table, 1, u32::MAX));
        table.wake(&1, 1, u32::MAX);
        assert!(first.give_up());
        assert!(!second.give_up());
    }

    #[test]
    fn requeue_wakes_some_and_moves_others_in_order() {
        let table = FutexTable::default();
        let waiters: Vec<_> = (0..4).map(|_| queue(&table, 1, u32::MAX)).collect();
        let request = Requeue { wake: 1, requeue: 2, expected: None };
        assert_eq!(table.requeue(&1, &2, &Word::default(), request), Ok((1, 2)));
        assert_eq!(table.wake(&2, 1, u32::MAX), 1);
        assert_eq!(woken(&waiters), [true, true, false, false]);
        assert_eq!(table.wake(&1, 5, u32::MAX), 1);
        assert_eq!(woken(&waiters), [true, true, false, true]);
        drop(waiters);
        assert_eq!(table.wake(&2, 5, u32::MAX), 0);
    }

    #[test]
    fn a_compared_requeue_of_a_changed_word_is_eagain() {
        let table = FutexTable::default();
        let waiters = [queue(&table, 1, u32::MAX)];
        let request = Requeue { wake: 1, requeue: 1, expected: Some(7) };
        assert_eq!(table.requeue(&1, &2, &Word::default(), request), Err(Errno::EAGAIN));
        assert_eq!(woken(&waiters), [false]);
    }

    #[test]
    fn wake_op_wakes_the_second_queue_only_if_the_old_value_says_so() {
        let table = FutexTable::default();
        for (wakes_second, expected) in [(false, vec![true, false]), (true, vec![true, true])] {
            let waiters = [queue(&table, 1, u32::MAX), queue(&table, 2, u32::MAX)];
            let count = table.wake_after((&1, 1), (&2, 1), || Ok(wakes_second));
            assert_eq!(count, Ok(expected.iter().filter(|is_woken| **is_woken).count()));
            assert_eq!(woken(&waiters), expected);
        }
    }

    #[test]
    fn no_wake_up_is_lost_between_threads() {
        let (table, word) = (FutexTable::<u32>::default(), Word::default());
        let deadline = Instant::now() + Duration::from_secs(20);
        const ROUNDS: u32 = 2_000;
        let run = |own: u32| {
            // Each thread waits for its turn, then passes it on.
            for _ in 0..ROUNDS {
                loop {
                    let value = word.load().unwrap();
                    if value % 2 == own {
                        break;
                    }
                    let waiter = Arc::new(Waiter::default());
                    if let Ok(place) = table.enqueue(1, &word, value, u32::MAX, waiter.clone()) {
                        while !place.is_woken() {
                            assert!(waiter.sleep(Some(deadline)), "a wake-up was lost");
                        }
                    }
                }
                word.0.fetch_add(1, Ordering::SeqCst);
                table.wake(&1, 1, u32::MAX);
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| run(0));
            scope.spawn(|| run(1));
        });
        assert_eq!(word.load(), Ok(2 * ROUNDS));
    }
}
