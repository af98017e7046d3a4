//! POSIX timers (`man 2 timer_create`) of one process.
//!
//! A timer's signal is in a queue at most once; expirations until it is taken from there are its overruns. One that waits there
//! when its timer is deleted or set anew stays pending, and whoever takes it drops it, as Linux does since 6.13.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::timer::{ExpirationListener, Timer, TimerSetting};
use crate::Errno;
use crate::heap::HeapCharge;
use crate::signal::{Signal, SignalInfo, SignalTarget, TimerExpiration};

/// How a timer tells of its expirations.
#[derive(Clone)]
pub struct PosixTimerNotification {
    /// What is sent when it expires.
    pub signal: Signal,
    /// `si_value`; the timer's number if `None`.
    pub value: Option<u64>,
    /// The process or the task that gets the signal.
    pub target: Weak<dyn SignalTarget>,
}

/// The POSIX timers of one process.
#[derive(Default)]
pub struct PosixTimers {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Numbers go up, as Linux's do, so that a late signal of a deleted timer is not taken for a new one's.
    next_id: i32,
    timers: BTreeMap<i32, Arc<PosixTimer>>,
}

/// What a timer takes, with its places in the process's table and in the queue of all timers.
const TIMER_BYTES: usize = 640;

/// How timer_create(2) was asked for a timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PosixTimerOrigin {
    /// `CLOCK_*`.
    pub clock: i32,
    /// `SIGEV_*`.
    pub notify: u32,
    /// The signal's number.
    pub signal: i32,
    /// `si_value`; the timer's number if `None`.
    pub value: Option<u64>,
    /// Which thread gets the signal; 0 for the process.
    pub thread_id: i32,
}

/// One that timer_create(2) made.
pub struct PosixTimer {
    timer: Arc<Timer>,
    origin: PosixTimerOrigin,
    /// Overruns of the signal that was last taken.
    overrun: AtomicI32,
    _heap_charge: HeapCharge,
}

impl PosixTimer {
    /// timer_settime(2): see [`Timer::set`].
    ///
    /// # Errors
    /// EAGAIN: the host is out of threads.
    pub fn set(&self, setting: TimerSetting, is_absolute: bool) -> Result<TimerSetting, Errno> {
        let replaced = self.timer.set(setting, is_absolute)?;
        self.overrun.store(0, Ordering::Relaxed);
        Ok(replaced)
    }

    /// What timer_settime(2) sets.
    pub fn timer(&self) -> &Arc<Timer> {
        &self.timer
    }

    /// timer_getoverrun(2).
    pub fn overrun(&self) -> i32 {
        self.overrun.load(Ordering::Relaxed)
    }
}

/// Sends a timer's signal, if it has one.
struct Notifier {
    id: i32,
    notification: Option<PosixTimerNotification>,
}

impl ExpirationListener for Notifier {
    fn expired(&self, expirations: u64, sequence: u32) {
        let Some(notification) = &self.notification else { return };
        let Some(target) = notification.target.upgrade() else { return };
        let overrun = i32::try_from(expirations - 1).unwrap_or(i32::MAX);
        // As Linux does: the union's low half.
        let value = notification.value.unwrap_or(self.id as u64);
        let signal = notification.signal;
        target.deliver(SignalInfo::from_timer(
            signal,
            TimerExpiration { id: self.id, sequence, overrun, value },
        ));
    }
}

impl PosixTimers {
    /// Adds a disarmed timer, which `new_timer` makes for a listener, and returns its number. There may be
    /// `limit` (RLIMIT_SIGPENDING).
    ///
    /// # Errors
    /// EAGAIN: there are as many already, or the process may have no more of the heap.
    pub fn create(
        &self,
        notification: Option<PosixTimerNotification>,
        origin: PosixTimerOrigin,
        limit: u64,
        new_timer: impl FnOnce(Arc<dyn ExpirationListener>) -> Arc<Timer>,
    ) -> Result<i32, Errno> {
        let mut table = self.table.lock();
        if table.timers.len() as u64 >= limit {
            return Err(Errno::EAGAIN);
        }
        let id = table.next_id;
        if table.timers.contains_key(&id) {
            return Err(Errno::EAGAIN);
        }
        let _heap_charge = HeapCharge::new(TIMER_BYTES).map_err(|_| Errno::EAGAIN)?;
        table.next_id = id.checked_add(1).unwrap_or(0);
        let timer = new_timer(Arc::new(Notifier { id, notification }));
        table
            .timers
            .insert(id, Arc::new(PosixTimer { timer, origin, overrun: AtomicI32::new(0), _heap_charge }));
        Ok(id)
    }

    /// The timer numbered `id`.
    ///
    /// # Errors
    /// EINVAL: there is none.
    pub fn get(&self, id: i32) -> Result<Arc<PosixTimer>, Errno> {
        self.table.lock().timers.get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// All timers, by number.
    pub fn origins(&self) -> Vec<(i32, PosixTimerOrigin)> {
        self.table.lock().timers.iter().map(|(id, timer)| (*id, timer.origin)).collect()
    }

    /// Removes a timer.
    ///
    /// # Errors
    /// EINVAL: there is none.
    pub fn delete(&self, id: i32) -> Result<(), Errno> {
        let timer = self.table.lock().timers.remove(&id);
        timer.map(drop).ok_or(Errno::EINVAL)
    }

    /// Removes all timers: exec and the end of the process do.
    pub fn clear(&self) {
        let timers = std::mem::take(&mut self.table.lock().timers);
        drop(timers);
    }

    /// A task has taken a timer's signal. Returns whether it is to be delivered: its timer is there and was not set anew.
    pub fn signal_was_taken(&self, expiration: &TimerExpiration) -> bool {
        let timer = self.get(expiration.id).ok();
        let timer = timer.filter(|timer| timer.timer.sequence() == expiration.sequence);
        if let Some(timer) = &timer {
            timer.overrun.store(expiration.overrun, Ordering::Relaxed);
        }
        timer.is_some()
    }
}

#[cfg(test)]
mod tests;
