//! Priority-inheriting locks (`man 2 futex`, "Priority-inheritance futexes").
//!
//! The word holds its owner's thread number. Who waits sets FUTEX_WAITERS, so that the owner's unlock asks
//! the kernel, and the kernel hands the lock to the first in the queue: whoever is woken owns it. Priorities
//! themselves are the host's business and are not inherited.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use linux_raw_sys::general::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};

use super::table::{Bucket, FutexTable, FutexWaiter, FutexWord, Queue, Sleeper};
use crate::Errno;
use crate::wait::Waiter;

/// How often a word that changes under our hands is tried again: who rewrites it without end does so to its
/// own harm.
const ATTEMPTS: usize = 1000;

/// What became of an attempt to lock.
pub enum Acquisition<'a, K: Eq + Hash + Clone> {
    /// The lock is held.
    Acquired,
    /// Another holds it: the caller waits to be given it.
    Queued(PiWaiter<'a, K>),
}

/// A place in the queue for a lock; dropping it leaves the queue.
pub struct PiWaiter<'a, K: Eq + Hash + Clone> {
    place: FutexWaiter<'a, K>,
    _count: WaiterCount<'a>,
}

/// One in the number of those who wait for PI locks.
struct WaiterCount<'a>(&'a AtomicUsize);

impl<K: Eq + Hash + Clone> PiWaiter<'_, K> {
    /// Whether the lock has been handed to this waiter.
    pub fn is_owner(&self) -> bool {
        self.place.is_woken()
    }

    /// Whether it is queued for the lock, not for being queued for it.
    pub fn is_at_lock(&self) -> bool {
        self.place.waits_for_lock()
    }

    /// Leaves the queue; returns whether the lock has been handed to this waiter before.
    pub fn give_up(self) -> bool {
        self.place.give_up()
    }
}

impl Drop for WaiterCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<K: Eq + Hash + Clone> FutexTable<K> {
    /// Takes the lock for thread `own`, or queues `waiter` for it unless `is_attempt` (FUTEX_TRYLOCK_PI).
    /// `exists` says whether a thread does.
    ///
    /// # Errors
    /// EDEADLK: `own` holds it already. ESRCH: its owner does not exist. EAGAIN: it is held, and this is an
    /// attempt; or its word does not stand still. EFAULT.
    pub fn lock_pi(
        &self,
        key: K,
        word: Arc<dyn FutexWord>,
        own: u32,
        waiter: Option<Arc<Waiter>>,
        exists: impl Fn(u32) -> bool,
    ) -> Result<Acquisition<'_, K>, Errno> {
        let mut bucket = self.bucket(&key);
        for _ in 0..ATTEMPTS {
            let value = word.load()?;
            let owner = value & FUTEX_TID_MASK;
            if owner == own {
                return Err(Errno::EDEADLK);
            }
            if owner == 0 {
                let waiters = if pi_waiter_count(&bucket, &key) > 0 { FUTEX_WAITERS } else { 0 };
                let taken = own | value & FUTEX_OWNER_DIED | waiters;
                if word.compare_exchange(value, taken)?.is_err() {
                    continue;
                }
                if let Some(queue) = bucket.queues.get_mut(&key) {
                    queue.pi_owner = own;
                }
                return Ok(Acquisition::Acquired);
            }
            if !exists(owner) {
                return Err(Errno::ESRCH);
            }
            let Some(waiter) = &waiter else { return Err(Errno::EAGAIN) };
            if value & FUTEX_WAITERS == 0 && word.compare_exchange(value, value | FUTEX_WAITERS)?.is_err() {
                continue;
            }
            self.pi_waiters.fetch_add(1, Ordering::SeqCst);
            let sleeper = Self::pi_sleeper(waiter.clone(), own, word, None);
            let place = self.push(&mut bucket, key.clone(), sleeper);
            bucket.queues.entry(key).or_default().pi_owner = owner;
            return Ok(Acquisition::Queued(PiWaiter { place, _count: WaiterCount(&self.pi_waiters) }));
        }
        Err(Errno::EAGAIN)
    }

    /// Gives up the lock that thread `own` holds; the first in the queue gets it.
    ///
    /// # Errors
    /// EPERM: `own` does not hold it. EFAULT.
    pub fn unlock_pi(&self, key: &K, word: &dyn FutexWord, own: u32) -> Result<(), Errno> {
        let mut bucket = self.bucket(key);
        for _ in 0..ATTEMPTS {
            let value = word.load()?;
            if value & FUTEX_TID_MASK != own {
                return Err(Errno::EPERM);
            }
            if hand_over(&mut bucket, key, value, 0, |old, new| word.compare_exchange(old, new))? {
                return Ok(());
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Queues thread `own` at `key`, if `word` is `expected`, until it is moved to the lock `lock` and given that
    /// (FUTEX_WAIT_REQUEUE_PI).
    ///
    /// # Errors
    /// EAGAIN: the word has another value. EINVAL: it is the lock itself. EFAULT.
    pub fn enqueue_for_lock(
        &self,
        (key, word, expected): (K, &dyn FutexWord, u32),
        (lock, lock_word): (K, Arc<dyn FutexWord>),
        own: u32,
        waiter: Arc<Waiter>,
    ) -> Result<PiWaiter<'_, K>, Errno> {
        let mut bucket = self.bucket(&key);
        if word.load()? != expected {
            return Err(Errno::EAGAIN);
        }
        if key == lock {
            return Err(Errno::EINVAL);
        }
        self.pi_waiters.fetch_add(1, Ordering::SeqCst);
        let sleeper = Self::pi_sleeper(waiter, own, lock_word, Some(lock));
        let place = self.push(&mut bucket, key, sleeper);
        Ok(PiWaiter { place, _count: WaiterCount(&self.pi_waiters) })
    }

    /// Gives the lock `lock` to the first of those who wait for it at `from`, if it is free, and queues at most `max_moved` others for
    /// it; one more if it is not free. Returns how many that were (FUTEX_CMP_REQUEUE_PI).
    ///
    /// # Errors
    /// EAGAIN: `word`, that at `from`, is not `expected`, or the lock's does not stand still. EINVAL: who waits there waits for
    /// something else. EDEADLK: it holds the lock. ESRCH: the lock's owner does not exist. EFAULT.
    pub fn requeue_to_lock(
        &self,
        (from, word, expected): (&K, &dyn FutexWord, u32),
        (lock, lock_word): (&K, &dyn FutexWord),
        max_moved: usize,
        exists: impl Fn(u32) -> bool,
    ) -> Result<usize, Errno> {
        let mut buckets = self.two_buckets(from, lock);
        if word.load()? != expected {
            return Err(Errno::EAGAIN);
        }
        let Some(queue) = buckets.first().queues.get(from) else { return Ok(0) };
        let own = queue.sleepers.front().map_or(Err(Errno::EINVAL), |first| waits_for(first, lock))?;
        let has_others = max_moved > 0 && queue.sleepers.len() > 1;
        let has_waiters = has_others || pi_waiter_count(buckets.second(), lock) > 0;
        let owner = take_or_mark(lock_word, own, has_waiters, exists)?;
        let mut moved = 0;
        if owner == own
            && let Some(first) = take_first(buckets.first(), from)
        {
            first.wake();
            moved = 1;
        }
        if let Some(queue) = buckets.second().queues.get_mut(lock) {
            queue.pi_owner = owner;
        }
        while moved <= max_moved {
            let next = buckets.first().queues.get(from).and_then(|queue| queue.sleepers.front());
            match next.map(|next| waits_for(next, lock)) {
                None => break,
                Some(Ok(number)) if number != owner => {}
                Some(_) if moved > 0 => break,
                Some(waits) => return waits.and(Err(Errno::EDEADLK)),
            }
            let Some(sleeper) = take_first(buckets.first(), from) else { break };
            sleeper.move_to(lock.clone());
            let queue = buckets.second().queues.entry(lock.clone()).or_default();
            queue.pi_owner = owner;
            queue.sleepers.push_back(sleeper);
            moved += 1;
        }
        Ok(moved)
    }

    /// Hands the locks that thread `own` holds while it ends to those who wait for them, marked
    /// FUTEX_OWNER_DIED.
    pub fn release_pi_locks(&self, own: u32) {
        if self.pi_waiters.load(Ordering::SeqCst) == 0 {
            return;
        }
        for bucket in self.buckets() {
            let mut bucket = bucket.lock();
            let held: Vec<K> = bucket
                .queues
                .iter()
                .filter(|(_, queue)| queue.pi_owner == own && first_pi(queue).is_some())
                .map(|(key, _)| key.clone())
                .collect();
            for key in held {
                release_held(&mut bucket, &key, own);
            }
        }
    }
}

/// The number of `sleeper`, who waits to be queued for `lock`.
///
/// # Errors
/// EINVAL: it waits for something else.
fn waits_for<K: Eq>(sleeper: &Sleeper<K>, lock: &K) -> Result<u32, Errno> {
    match &sleeper.pi {
        Some((number, _)) if sleeper.lock_key.as_ref() == Some(lock) => Ok(*number),
        _ => Err(Errno::EINVAL),
    }
}

fn take_first<K: Eq + Hash>(bucket: &mut Bucket<K>, key: &K) -> Option<Arc<Sleeper<K>>> {
    let queue = bucket.queues.get_mut(key)?;
    let first = queue.sleepers.pop_front();
    if queue.sleepers.is_empty() {
        bucket.queues.remove(key);
    }
    first
}

/// Takes a lock for thread `own` if it is free, or marks it as waited for. Returns who has it then.
fn take_or_mark(
    word: &dyn FutexWord,
    own: u32,
    has_waiters: bool,
    exists: impl Fn(u32) -> bool,
) -> Result<u32, Errno> {
    for _ in 0..ATTEMPTS {
        let value = word.load()?;
        let owner = value & FUTEX_TID_MASK;
        let (new, new_owner) = match owner {
            0 => (own | value & FUTEX_OWNER_DIED | if has_waiters { FUTEX_WAITERS } else { 0 }, own),
            owner if owner == own => return Err(Errno::EDEADLK),
            owner if !exists(owner) => return Err(Errno::ESRCH),
            owner => (value | FUTEX_WAITERS, owner),
        };
        if word.compare_exchange(value, new)?.is_ok() {
            return Ok(new_owner);
        }
    }
    Err(Errno::EAGAIN)
}

/// Hands over one lock of a thread that ends, unless its word says that it is another's by now.
fn release_held<K: Eq + Hash + Clone>(bucket: &mut Bucket<K>, key: &K, own: u32) {
    let word = bucket.queues.get(key).and_then(first_pi).map(|(_, _, word)| word);
    let Some(word) = word else { return };
    for _ in 0..ATTEMPTS {
        let Ok(value) = word.load() else { return };
        let owner = value & FUTEX_TID_MASK;
        if owner != own && owner != 0 {
            return;
        }
        match hand_over(bucket, key, value, FUTEX_OWNER_DIED, |old, new| word.compare_exchange(old, new)) {
            Ok(false) => (),
            Ok(true) | Err(_) => return,
        }
    }
}

/// Number and word of the first in the queue who waits for a PI lock, and its place.
fn first_pi<K: Eq>(queue: &Queue<K>) -> Option<(usize, u32, Arc<dyn FutexWord>)> {
    queue.sleepers.iter().enumerate().find_map(|(place, sleeper)| {
        let (number, word) = sleeper.pi.as_ref().filter(|_| sleeper.waits_for_lock())?;
        Some((place, *number, word.clone()))
    })
}

fn pi_waiter_count<K: Eq + Hash>(bucket: &Bucket<K>, key: &K) -> usize {
    bucket
        .queues
        .get(key)
        .map_or(0, |queue| queue.sleepers.iter().filter(|sleeper| sleeper.waits_for_lock()).count())
}

/// Sets the word, whose value is `value`, to its next owner's number and `flags`, or frees it. Returns false
/// if the word has changed meanwhile.
fn hand_over<K: Eq + Hash>(
    bucket: &mut Bucket<K>,
    key: &K,
    value: u32,
    flags: u32,
    compare_exchange: impl Fn(u32, u32) -> Result<Result<u32, u32>, Errno>,
) -> Result<bool, Errno> {
    let waiting = pi_waiter_count(bucket, key);
    let next = bucket.queues.get(key).and_then(first_pi);
    let Some((place, number, _)) = next else {
        return Ok(compare_exchange(value, flags)?.is_ok());
    };
    let waiters = if waiting > 1 { FUTEX_WAITERS } else { 0 };
    if compare_exchange(value, number | waiters | flags)?.is_err() {
        return Ok(false);
    }
    if let Some(queue) = bucket.queues.get_mut(key) {
        queue.pi_owner = number;
        if let Some(sleeper) = queue.sleepers.remove(place) {
            sleeper.wake();
        }
        if queue.sleepers.is_empty() {
            bucket.queues.remove(key);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
