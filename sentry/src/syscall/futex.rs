//! Futexes and robust lists.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers, unsigned};
use crate::Errno;
use crate::abi::{FutexWaitv, Timespec};
use crate::futex::{Acquisition, FutexWord, ROBUST_LIST_HEAD_BYTES, Requeue};
use crate::memory::FutexKey;
use crate::platform::VirtualAddress;
use crate::task::{Blocked, CurrentTask, RestartBlock, Tid, UserWord, check_access};
use crate::time::{SystemClock, duration_from_timespec};

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![futex, futex_waitv, futex_wait, futex_wake, futex_requeue, set_robust_list, get_robust_list];

const COMMAND_MASK: u32 = uapi::FUTEX_CMD_MASK.cast_unsigned();

fn futex(
    task: &mut CurrentTask,
    address: VirtualAddress,
    operation: u32,
    value: u32,
    timeout: u64,
    second_address: VirtualAddress,
    third_value: u32,
) -> Result<usize, Errno> {
    let is_private = operation & uapi::FUTEX_PRIVATE_FLAG != 0;
    let is_realtime = operation & uapi::FUTEX_CLOCK_REALTIME != 0;
    let word = Word::new(task, address, is_private);
    let command = operation & COMMAND_MASK;
    let clock = if is_realtime { SystemClock::Realtime } else { SystemClock::Monotonic };
    let takes_clock =
        matches!(command, uapi::FUTEX_WAIT_BITSET | uapi::FUTEX_LOCK_PI2 | uapi::FUTEX_WAIT_REQUEUE_PI);
    if is_realtime && !takes_clock {
        return Err(Errno::ENOSYS);
    }
    match command {
        uapi::FUTEX_WAIT => {
            let deadline = read_timeout(task, UserPointer::new(timeout))?
                .and_then(|wait| Instant::now().checked_add(wait));
            wait(task, &word, value, u32::MAX, deadline)
        }
        uapi::FUTEX_WAIT_BITSET => {
            let deadline = read_deadline(task, UserPointer::new(timeout), clock)?;
            wait(task, &word, value, check_bitset(third_value)?, deadline)
        }
        uapi::FUTEX_WAKE => wake(task, &word, value, u32::MAX),
        uapi::FUTEX_WAKE_BITSET => wake(task, &word, value, check_bitset(third_value)?),
        uapi::FUTEX_REQUEUE | uapi::FUTEX_CMP_REQUEUE => {
            let second = Word::new(task, second_address, is_private);
            let expected = (command == uapi::FUTEX_CMP_REQUEUE).then_some(third_value);
            requeue(task, &word, &second, value, unsigned(timeout), expected)
        }
        uapi::FUTEX_WAKE_OP => {
            let second = Word::new(task, second_address, is_private);
            wake_op(task, (&word, value), (&second, unsigned(timeout)), third_value)
        }
        uapi::FUTEX_LOCK_PI => {
            let deadline = read_deadline(task, UserPointer::new(timeout), SystemClock::Realtime)?;
            lock_pi(task, &word, deadline)
        }
        uapi::FUTEX_LOCK_PI2 => {
            let deadline = read_deadline(task, UserPointer::new(timeout), clock)?;
            lock_pi(task, &word, deadline)
        }
        uapi::FUTEX_WAIT_REQUEUE_PI => {
            let deadline = read_deadline(task, UserPointer::new(timeout), clock)?;
            let lock = Word::new(task, second_address, is_private);
            wait_for_lock(task, (&word, value), &lock, deadline)
        }
        uapi::FUTEX_CMP_REQUEUE_PI => {
            let lock = Word::new(task, second_address, is_private);
            requeue_to_lock(task, (&word, third_value), &lock, (value, unsigned(timeout)))
        }
        uapi::FUTEX_TRYLOCK_PI => try_lock_pi(task, &word),
        uapi::FUTEX_UNLOCK_PI => unlock_pi(task, &word, address),
        _ => Err(Errno::ENOSYS),
    }
}

/// FUTEX_UNLOCK_PI of the word at `address`.
fn unlock_pi(task: &CurrentTask, word: &Word, address: VirtualAddress) -> Result<usize, Errno> {
    let own = task.task().tid().cast_unsigned();
    // Whose it is is asked before where it is.
    let mut value = [0; size_of::<u32>()];
    task.memory().read_bytes(address, &mut value)?;
    if u32::from_ne_bytes(value) & uapi::FUTEX_TID_MASK != own {
        return Err(Errno::EPERM);
    }
    let key = word.key()?;
    task.kernel().futexes().unlock_pi(&key, &word.user, own).map(|()| 0)
}

/// The word that a call names.
pub(super) struct Word {
    user: UserWord,
    is_private: bool,
}

impl Word {
    pub(super) fn new(task: &CurrentTask, address: VirtualAddress, is_private: bool) -> Self {
        let user = UserWord { memory: task.memory().clone(), address };
        Self { user, is_private }
    }

    /// # Errors
    /// EINVAL: not aligned. EFAULT.
    fn key(&self) -> Result<FutexKey, Errno> {
        if !self.user.address.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        self.user.memory.futex_key(self.user.address, self.is_private)
    }
}

fn check_bitset(bitset: u32) -> Result<u32, Errno> {
    if bitset == 0 { Err(Errno::EINVAL) } else { Ok(bitset) }
}

fn read_timeout(task: &CurrentTask, timeout: UserPointer<Timespec>) -> Result<Option<Duration>, Errno> {
    timeout.read_unless_null(task)?.map(duration_from_timespec).transpose()
}

/// A time of `clock` as the host's; `None` for none, and for one that never comes.
fn read_deadline(
    task: &CurrentTask,
    timeout: UserPointer<Timespec>,
    clock: SystemClock,
) -> Result<Option<Instant>, Errno> {
    let time = read_timeout(task, timeout)?;
    let offset = task.task().time_namespace().offsets().of(clock);
    Ok(time.and_then(|time| task.kernel().timekeeper().deadline(clock, offset.machine(time))))
}

/// Numbers of tasks to wake or move: negative ones count as none, as far as Linux lets them pass.
fn count(value: u32) -> usize {
    usize::try_from(value.cast_signed()).unwrap_or(0)
}

pub(super) fn wait(
    task: &mut CurrentTask,
    word: &Word,
    expected: u32,
    bitset: u32,
    deadline: Option<Instant>,
) -> Result<usize, Errno> {
    let key = word.key()?;
    let kernel = task.kernel().clone();
    let waiter = task.task().waiter().clone();
    let place = kernel.futexes().enqueue(key, &word.user, expected, bitset, waiter)?;
    let result = task.block(&[], deadline, || place.is_woken().then_some(()));
    if place.give_up() {
        return Ok(0);
    }
    match result {
        Ok(()) => Ok(0),
        Err(Blocked::TimedOut) => Err(Errno::ETIMEDOUT),
        Err(Blocked::Interrupted) => match deadline {
            None => Err(Errno::ERESTARTSYS),
            Some(deadline) => {
                let (address, is_private) = (word.user.address, word.is_private);
                let until = task.kernel().timekeeper().moment(deadline);
                task.restart_with(RestartBlock::FutexWait { address, is_private, expected, bitset, until })
            }
        },
    }
}

fn wake(task: &CurrentTask, word: &Word, value: u32, bitset: u32) -> Result<usize, Errno> {
    let key = word.key()?;
    if task.kernel().futexes().has_pi_waiters(&key) {
        return Err(Errno::EINVAL);
    }
    // Linux wakes one where none is asked for.
    Ok(task.kernel().futexes().wake(&key, count(value).max(1), bitset))
}

fn requeue(
    task: &CurrentTask,
    from: &Word,
    to: &Word,
    wake: u32,
    requeue: u32,
    expected: Option<u32>,
) -> Result<usize, Errno> {
    if wake.cast_signed() < 0 || requeue.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let request = Requeue { wake: count(wake), requeue: count(requeue), expected };
    let (from_key, to_key) = (from.key()?, to.key()?);
    if task.kernel().futexes().has_pi_waiters(&from_key) {
        return Err(Errno::EINVAL);
    }
    let (woken, moved) = task.kernel().futexes().requeue(&from_key, &to_key, &from.user, request)?;
    Ok(woken + moved)
}

/// FUTEX_WAKE_OP: `encoded` has an operation, a comparison and an operand for each.
fn wake_op(
    task: &CurrentTask,
    first: (&Word, u32),
    second: (&Word, u32),
    encoded: u32,
) -> Result<usize, Errno> {
    let (first_key, second_key) = (first.0.key()?, second.0.key()?);
    let operation = WakeOperation::decode(encoded)?;
    let futexes = task.kernel().futexes();
    futexes.wake_after((&first_key, count(first.1).max(1)), (&second_key, count(second.1).max(1)), || {
        operation.apply(&second.0.user)
    })
}

/// What FUTEX_WAKE_OP does to its second word, and what it asks of the old value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WakeOperation {
    operation: u32,
    operand: u32,
    comparison: u32,
    compared: i32,
}

impl WakeOperation {
    /// How often a word that changes under our hands is tried again.
    const ATTEMPTS: usize = 1000;

    fn decode(encoded: u32) -> Result<Self, Errno> {
        let sign_extended = |value: u32| (value << 20).cast_signed() >> 20;
        let operation = encoded >> 28 & 7;
        let comparison = encoded >> 24 & 15;
        let operand = sign_extended(encoded >> 12 & 0xfff);
        let is_shift = encoded >> 28 & uapi::FUTEX_OP_OPARG_SHIFT != 0;
        if operation > uapi::FUTEX_OP_XOR || comparison > uapi::FUTEX_OP_CMP_GE {
            return Err(Errno::ENOSYS);
        }
        // Linux takes the operand modulo 32.
        let operand = if is_shift { 1 << (operand & 31) } else { operand.cast_unsigned() };
        Ok(Self { operation, operand, comparison, compared: sign_extended(encoded & 0xfff) })
    }

    fn changed(self, old: u32) -> u32 {
        match self.operation {
            uapi::FUTEX_OP_SET => self.operand,
            uapi::FUTEX_OP_ADD => old.wrapping_add(self.operand),
            uapi::FUTEX_OP_OR => old | self.operand,
            uapi::FUTEX_OP_ANDN => old & !self.operand,
            _ => old ^ self.operand,
        }
    }

    fn holds(self, old: u32) -> bool {
        let old = old.cast_signed();
        match self.comparison {
            uapi::FUTEX_OP_CMP_EQ => old == self.compared,
            uapi::FUTEX_OP_CMP_NE => old != self.compared,
            uapi::FUTEX_OP_CMP_LT => old < self.compared,
            uapi::FUTEX_OP_CMP_LE => old <= self.compared,
            uapi::FUTEX_OP_CMP_GT => old > self.compared,
            _ => old >= self.compared,
        }
    }

    /// Changes the word, and says whether its old value is as asked.
    fn apply(self, word: &dyn FutexWord) -> Result<bool, Errno> {
        for _ in 0..Self::ATTEMPTS {
            let old = word.load()?;
            if word.compare_exchange(old, self.changed(old))?.is_ok() {
                return Ok(self.holds(old));
            }
        }
        Err(Errno::EAGAIN)
    }
}

fn lock_pi(task: &mut CurrentTask, word: &Word, deadline: Option<Instant>) -> Result<usize, Errno> {
    let waiter = task.task().waiter().clone();
    let kernel = task.kernel().clone();
    match start_lock_pi(task, &kernel, word, Some(waiter))? {
        Acquisition::Acquired => Ok(0),
        Acquisition::Queued(place) => {
            let result = task.block(&[], deadline, || place.is_owner().then_some(()));
            match place.give_up() {
                // Handed over at the last moment.
                true => Ok(0),
                false => result.map(|()| 0).map_err(|blocked| match blocked {
                    Blocked::TimedOut => Errno::ETIMEDOUT,
                    Blocked::Interrupted => Errno::ERESTARTNOINTR,
                }),
            }
        }
    }
}

/// FUTEX_WAIT_REQUEUE_PI: waits at `word` until somebody queues the caller for `lock`, and there until it has that.
fn wait_for_lock(
    task: &mut CurrentTask,
    (word, expected): (&Word, u32),
    lock: &Word,
    deadline: Option<Instant>,
) -> Result<usize, Errno> {
    if word.user.address == lock.user.address {
        return Err(Errno::EINVAL);
    }
    let (lock_key, key) = (lock.key()?, word.key()?);
    let kernel = task.kernel().clone();
    let own = task.task().tid().cast_unsigned();
    let at = (key, &word.user as &dyn FutexWord, expected);
    let lock = (lock_key, Arc::new(lock.user.clone()) as Arc<dyn FutexWord>);
    let place = kernel.futexes().enqueue_for_lock(at, lock, own, task.task().waiter().clone())?;
    let result = task.block(&[], deadline, || place.is_owner().then_some(()));
    let was_moved = place.is_at_lock();
    match (place.give_up(), result) {
        (true, _) | (_, Ok(())) => Ok(0),
        (false, Err(Blocked::TimedOut)) => Err(Errno::ETIMEDOUT),
        // The word has changed by now: the caller has to look at it anew.
        (false, Err(Blocked::Interrupted)) if was_moved => Err(Errno::EAGAIN),
        (false, Err(Blocked::Interrupted)) => Err(Errno::ERESTARTNOINTR),
    }
}

/// FUTEX_CMP_REQUEUE_PI, with the numbers of those to wake, which is one, and to move.
fn requeue_to_lock(
    task: &CurrentTask,
    (word, expected): (&Word, u32),
    lock: &Word,
    (woken, moved): (u32, u32),
) -> Result<usize, Errno> {
    if moved.cast_signed() < 0 || woken != 1 || word.user.address == lock.user.address {
        return Err(Errno::EINVAL);
    }
    let (key, lock_key) = (word.key()?, lock.key()?);
    if key == lock_key {
        return Err(Errno::EINVAL);
    }
    let namespace = task.thread_group().pid_namespace();
    let tasks = task.kernel().tasks();
    let exists = |owner: u32| tasks.task(namespace, Tid(owner.cast_signed())).is_some();
    let futexes = task.kernel().futexes();
    futexes.requeue_to_lock((&key, &word.user, expected), (&lock_key, &lock.user), count(moved), exists)
}

fn try_lock_pi(task: &mut CurrentTask, word: &Word) -> Result<usize, Errno> {
    let kernel = task.kernel().clone();
    start_lock_pi(task, &kernel, word, None).map(|_| 0)
}

fn start_lock_pi<'a>(
    task: &CurrentTask,
    kernel: &'a crate::kernel::Kernel,
    word: &Word,
    waiter: Option<Arc<crate::wait::Waiter>>,
) -> Result<Acquisition<'a, FutexKey>, Errno> {
    let own = task.task().tid().cast_unsigned();
    let namespace = task.thread_group().pid_namespace();
    let exists = |owner: u32| kernel.tasks().task(namespace, Tid(owner.cast_signed())).is_some();
    kernel.futexes().lock_pi(word.key()?, Arc::new(word.user.clone()), own, waiter, exists)
}

fn futex_waitv(
    task: &mut CurrentTask,
    waiters: UserPointer<FutexWaitv>,
    count: u32,
    flags: u32,
    timeout: UserPointer<Timespec>,
    clock: u32,
) -> Result<usize, Errno> {
    if flags != 0 || count == 0 || count > uapi::FUTEX_WAITV_MAX || waiters.is_null() {
        return Err(Errno::EINVAL);
    }
    let deadline = read_deadline_of(task, timeout, clock)?;
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let words = (0..count)
        .map(|index| read_waitv(task, waiters.element(index)))
        .collect::<Result<Vec<_>, Errno>>()?;
    let kernel = task.kernel().clone();
    let waiter = task.task().waiter().clone();
    let mut places = Vec::with_capacity(words.len());
    let mut result = Ok(());
    for (word, expected) in &words {
        let place = word
            .key()
            .and_then(|key| kernel.futexes().enqueue(key, &word.user, *expected, u32::MAX, waiter.clone()));
        match place {
            Ok(place) => places.push(place),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    if result.is_ok() {
        let is_any_woken = || places.iter().any(|place| place.is_woken()).then_some(());
        result = task.block(&[], deadline, is_any_woken).map_err(|blocked| match blocked {
            Blocked::TimedOut => Errno::ETIMEDOUT,
            Blocked::Interrupted => Errno::ERESTARTSYS,
        });
    }
    // Whatever else happened, a wake-up has done the call's work. Every place is given up.
    let woken: Vec<bool> = places.into_iter().map(|place| place.give_up()).collect();
    match woken.iter().position(|is_woken| *is_woken) {
        Some(index) => Ok(index),
        None => result.map(|()| 0),
    }
}

/// A time of one of the clocks that futexes have; none where no time is given, whatever the clock.
fn read_deadline_of(
    task: &CurrentTask,
    timeout: UserPointer<Timespec>,
    clock: u32,
) -> Result<Option<Instant>, Errno> {
    match clock {
        _ if timeout.is_null() => Ok(None),
        uapi::CLOCK_REALTIME => read_deadline(task, timeout, SystemClock::Realtime),
        uapi::CLOCK_MONOTONIC => read_deadline(task, timeout, SystemClock::Monotonic),
        _ => Err(Errno::EINVAL),
    }
}

/// Whether `FUTEX2_*` flags say that the word is the process's own.
///
/// # Errors
/// EINVAL: unknown flags, or a word that has not 32 bits.
fn is_private(flags: u32) -> Result<bool, Errno> {
    if flags & !uapi::FUTEX2_PRIVATE != uapi::FUTEX2_SIZE_U32 {
        return Err(Errno::EINVAL);
    }
    Ok(flags & uapi::FUTEX2_PRIVATE != 0)
}

/// A value or mask of 32 bits, which comes as a `long`.
fn word_of(value: u64) -> Result<u32, Errno> {
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}

fn futex_wait(
    task: &mut CurrentTask,
    address: VirtualAddress,
    value: u64,
    mask: u64,
    flags: u32,
    timeout: UserPointer<Timespec>,
    clock: u32,
) -> Result<usize, Errno> {
    let word = Word::new(task, address, is_private(flags)?);
    let (expected, bitset) = (word_of(value)?, word_of(mask)?);
    let deadline = read_deadline_of(task, timeout, clock)?;
    wait(task, &word, expected, check_bitset(bitset)?, deadline)
}

fn futex_wake(
    task: &mut CurrentTask,
    address: VirtualAddress,
    mask: u64,
    wanted: u32,
    flags: u32,
) -> Result<usize, Errno> {
    let word = Word::new(task, address, is_private(flags)?);
    let bitset = check_bitset(word_of(mask)?)?;
    let key = word.key()?;
    // Unlike with futex(2), none is none.
    Ok(task.kernel().futexes().wake(&key, count(wanted), bitset))
}

fn futex_requeue(
    task: &mut CurrentTask,
    waiters: UserPointer<FutexWaitv>,
    flags: u32,
    wanted: u32,
    moved: u32,
) -> Result<usize, Errno> {
    if flags != 0 || waiters.is_null() {
        return Err(Errno::EINVAL);
    }
    let (from, expected) = read_waitv(task, waiters)?;
    let (to, _) = read_waitv(task, waiters.element(1))?;
    requeue(task, &from, &to, wanted, moved, Some(expected))
}

fn read_waitv(task: &CurrentTask, waiter: UserPointer<FutexWaitv>) -> Result<(Word, u32), Errno> {
    let FutexWaitv { val, uaddr, flags, reserved } = waiter.read(task)?;
    if reserved != 0 {
        return Err(Errno::EINVAL);
    }
    let is_private = is_private(flags)?;
    let value = u32::try_from(val).map_err(|_| Errno::EINVAL)?;
    Ok((Word::new(task, VirtualAddress(uaddr), is_private), value))
}

fn set_robust_list(task: &mut CurrentTask, head: u64, len: u64) -> Result<(), Errno> {
    if len != ROBUST_LIST_HEAD_BYTES {
        return Err(Errno::EINVAL);
    }
    task.task().robust_list.store(head, Ordering::Relaxed);
    Ok(())
}

fn get_robust_list(
    task: &mut CurrentTask,
    tid: Tid,
    head: UserPointer<u64>,
    len: UserPointer<u64>,
) -> Result<(), Errno> {
    let target = match tid.0 {
        0 => task.task().clone(),
        _ => {
            let namespace = task.thread_group().pid_namespace();
            task.kernel().tasks().task(namespace, tid).ok_or(Errno::ESRCH)?
        }
    };
    check_access(task.task(), &target)?;
    let address = target.robust_list.load(Ordering::Relaxed);
    len.write(task, &ROBUST_LIST_HEAD_BYTES)?;
    head.write(task, &address)
}

#[cfg(test)]
mod tests;
