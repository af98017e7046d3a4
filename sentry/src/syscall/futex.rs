//! Futexes and robust lists.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::futex::{Acquisition, FutexWord, ROBUST_LIST_HEAD_BYTES, Requeue};
use crate::memory::FutexKey;
use crate::platform::VirtualAddress;
use crate::task::{Blocked, CurrentTask, RestartBlock, Tid, UserWord, check_access};
use crate::time::{SystemClock, duration_from_timespec};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::futex, futex),
    (Sysno::futex_waitv, futex_waitv),
    (Sysno::set_robust_list, set_robust_list),
    (Sysno::get_robust_list, get_robust_list),
];

const COMMAND_MASK: u32 = uapi::FUTEX_CMD_MASK as u32;

fn futex(
    task: &mut CurrentTask,
    [address, operation, value, timeout, second_address, third_value]: [u64; 6],
) -> Result<usize, Errno> {
    let operation = operation as u32;
    let is_private = operation & uapi::FUTEX_PRIVATE_FLAG != 0;
    let is_realtime = operation & uapi::FUTEX_CLOCK_REALTIME != 0;
    let word = Word::new(task, address, is_private);
    let (value, third_value) = (value as u32, third_value as u32);
    let command = operation & COMMAND_MASK;
    let clock = if is_realtime { SystemClock::Realtime } else { SystemClock::Monotonic };
    let takes_clock = matches!(
        command,
        uapi::FUTEX_WAIT | uapi::FUTEX_WAIT_BITSET | uapi::FUTEX_LOCK_PI2 | uapi::FUTEX_WAIT_REQUEUE_PI
    );
    if is_realtime && !takes_clock {
        return Err(Errno::ENOSYS);
    }
    match command {
        uapi::FUTEX_WAIT => {
            let deadline = read_timeout(task, timeout)?.and_then(|wait| Instant::now().checked_add(wait));
            wait(task, &word, value, u32::MAX, deadline)
        }
        uapi::FUTEX_WAIT_BITSET => {
            let deadline = read_deadline(task, timeout, clock)?;
            wait(task, &word, value, check_bitset(third_value)?, deadline)
        }
        uapi::FUTEX_WAKE => wake(task, &word, value, u32::MAX),
        uapi::FUTEX_WAKE_BITSET => wake(task, &word, value, check_bitset(third_value)?),
        uapi::FUTEX_REQUEUE | uapi::FUTEX_CMP_REQUEUE => {
            let second = Word::new(task, second_address, is_private);
            let expected = (command == uapi::FUTEX_CMP_REQUEUE).then_some(third_value);
            requeue(task, &word, &second, value, timeout as u32, expected)
        }
        uapi::FUTEX_WAKE_OP => {
            let second = Word::new(task, second_address, is_private);
            wake_op(task, (&word, value), (&second, timeout as u32), third_value)
        }
        uapi::FUTEX_LOCK_PI => {
            let deadline = read_deadline(task, timeout, SystemClock::Realtime)?;
            lock_pi(task, &word, deadline)
        }
        uapi::FUTEX_LOCK_PI2 => {
            let deadline = read_deadline(task, timeout, clock)?;
            lock_pi(task, &word, deadline)
        }
        uapi::FUTEX_TRYLOCK_PI => try_lock_pi(task, &word),
        uapi::FUTEX_UNLOCK_PI => {
            let key = word.key()?;
            let own = task.task().number() as u32;
            task.kernel().futexes().unlock_pi(&key, &word.user, own).map(|()| 0)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// The word that a call names.
pub(super) struct Word {
    user: UserWord,
    is_private: bool,
}

impl Word {
    pub(super) fn new(task: &CurrentTask, address: u64, is_private: bool) -> Self {
        let user = UserWord { memory: task.memory().clone(), address: VirtualAddress(address) };
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

fn read_timeout(task: &CurrentTask, address: u64) -> Result<Option<Duration>, Errno> {
    match address {
        0 => Ok(None),
        _ => duration_from_timespec(task.memory().read_object(VirtualAddress(address))?).map(Some),
    }
}

/// A time of `clock` as the host's; `None` for none, and for one that never comes.
fn read_deadline(task: &CurrentTask, address: u64, clock: SystemClock) -> Result<Option<Instant>, Errno> {
    let time = read_timeout(task, address)?;
    let offset = task.task().time_namespace().offsets().of(clock);
    Ok(time.and_then(|time| task.kernel().timekeeper().deadline(clock, offset.machine(time))))
}

/// Numbers of tasks to wake or move: negative ones count as none, as far as Linux lets them pass.
fn count(value: u32) -> usize {
    usize::try_from(value as i32).unwrap_or(0)
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
                let (address, is_private) = (word.user.address.0, word.is_private);
                let until = task.kernel().timekeeper().moment(deadline);
                task.restart_with(RestartBlock::FutexWait { address, is_private, expected, bitset, until })
            }
        },
    }
}

fn wake(task: &CurrentTask, word: &Word, value: u32, bitset: u32) -> Result<usize, Errno> {
    let key = word.key()?;
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
    if (wake as i32) < 0 || (requeue as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let request = Requeue { wake: count(wake), requeue: count(requeue), expected };
    let (from_key, to_key) = (from.key()?, to.key()?);
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
    let operation = WakeOperation::decode(encoded)?;
    let (first_key, second_key) = (first.0.key()?, second.0.key()?);
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
        let sign_extended = |value: u32| (value << 20) as i32 >> 20;
        let operation = encoded >> 28 & 7;
        let comparison = encoded >> 24 & 15;
        let operand = sign_extended(encoded >> 12 & 0xfff);
        let is_shift = encoded >> 28 & uapi::FUTEX_OP_OPARG_SHIFT != 0;
        if operation > uapi::FUTEX_OP_XOR || comparison > uapi::FUTEX_OP_CMP_GE {
            return Err(Errno::ENOSYS);
        }
        // Linux takes the operand modulo 32.
        let operand = if is_shift { 1 << (operand & 31) } else { operand as u32 };
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
        let old = old as i32;
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
    let own = task.task().number() as u32;
    let namespace = task.thread_group().pid_namespace();
    let exists = |owner: u32| kernel.tasks().task(namespace, Tid(owner as i32)).is_some();
    kernel.futexes().lock_pi(word.key()?, Arc::new(word.user.clone()), own, waiter, exists)
}

/// `struct futex_waitv` as words: the value, the address, and flags with a reserved half.
const WAITV_WORDS: usize = 3;

fn futex_waitv(
    task: &mut CurrentTask,
    [waiters, count, flags, timeout, clock, _]: [u64; 6],
) -> Result<usize, Errno> {
    if flags as u32 != 0 || count as u32 == 0 || count as u32 > uapi::FUTEX_WAITV_MAX {
        return Err(Errno::EINVAL);
    }
    let deadline = match (timeout, clock as u32) {
        (0, _) => None,
        (_, uapi::CLOCK_REALTIME) => read_deadline(task, timeout, SystemClock::Realtime)?,
        (_, uapi::CLOCK_MONOTONIC) => read_deadline(task, timeout, SystemClock::Monotonic)?,
        _ => return Err(Errno::EINVAL),
    };
    let words = (0..u64::from(count as u32))
        .map(|index| read_waitv(task, waiters.wrapping_add(index * 8 * WAITV_WORDS as u64)))
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

fn read_waitv(task: &CurrentTask, address: u64) -> Result<(Word, u32), Errno> {
    let [value, word_address, flags]: [u64; WAITV_WORDS] =
        task.memory().read_object(VirtualAddress(address))?;
    let is_private = flags & u64::from(uapi::FUTEX2_PRIVATE) != 0;
    // The reserved half is zero, and words have 32 bits.
    if flags & !u64::from(uapi::FUTEX2_PRIVATE) != u64::from(uapi::FUTEX2_SIZE_U32) {
        return Err(Errno::EINVAL);
    }
    let value = u32::try_from(value).map_err(|_| Errno::EINVAL)?;
    Ok((Word::new(task, word_address, is_private), value))
}

fn set_robust_list(task: &mut CurrentTask, [head, len, ..]: [u64; 6]) -> Result<usize, Errno> {
    if len != ROBUST_LIST_HEAD_BYTES {
        return Err(Errno::EINVAL);
    }
    task.task().robust_list.store(head, Ordering::Relaxed);
    Ok(0)
}

fn get_robust_list(task: &mut CurrentTask, [tid, head, len, ..]: [u64; 6]) -> Result<usize, Errno> {
    let target = match tid as i32 {
        0 => task.task().clone(),
        tid => {
            let namespace = task.thread_group().pid_namespace();
            task.kernel().tasks().task(namespace, Tid(tid)).ok_or(Errno::ESRCH)?
        }
    };
    check_access(task.task(), &target)?;
    let address = target.robust_list.load(Ordering::Relaxed);
    task.memory().write_object(VirtualAddress(len), &ROBUST_LIST_HEAD_BYTES)?;
    task.memory().write_object(VirtualAddress(head), &address)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_operations_are_those_of_the_manual() {
        let encode = |operation: u32, comparison: u32, operand: u32, compared: u32| {
            operation << 28 | comparison << 24 | (operand & 0xfff) << 12 | compared & 0xfff
        };
        for (encoded, old, new, holds) in [
            (encode(0, 0, 5, 3), 3, 5, true),
            (encode(1, 1, 2, 3), 3, 5, false),
            (encode(2, 2, 0b100, 9), 0b001, 0b101, true),
            (encode(3, 3, 0b011, 7), 0b111, 0b100, true),
            (encode(4, 4, 0b110, 2), 0b011, 0b101, true),
            // 1 << 4, and a comparison with -1.
            (encode(8 | 1, 5, 4, 0xfff), 1, 17, true),
            (encode(1, 4, 0xfff, 0), 5, 4, true),
        ] {
            let operation = WakeOperation::decode(encoded).unwrap();
            assert_eq!((operation.changed(old), operation.holds(old)), (new, holds), "{operation:?}");
        }
        assert_eq!(WakeOperation::decode(encode(5, 0, 0, 0)), Err(Errno::ENOSYS));
        assert_eq!(WakeOperation::decode(encode(0, 6, 0, 0)), Err(Errno::ENOSYS));
    }
}
