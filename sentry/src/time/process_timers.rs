//! The timers of one process: the interval timers of setitimer(2), and its POSIX timers.

use std::sync::{Arc, Weak};

use linux_raw_sys::general::{ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL};
use parking_lot::Mutex;

use super::posix_timer::PosixTimers;
use super::timer::{ExpirationListener, Timer, TimerSetting};
use crate::Errno;
use crate::signal::{Signal, SignalInfo, SignalTarget};

/// One of the three interval timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalTimer {
    /// Counts the host's time and sends SIGALRM.
    Real,
    /// Counts the process's user time and sends SIGVTALRM.
    Virtual,
    /// Counts all of the process's time and sends SIGPROF.
    Profiling,
}

impl IntervalTimer {
    /// The one of that number.
    ///
    /// # Errors
    /// EINVAL: there is none.
    pub fn from_raw(raw: i32) -> Result<Self, Errno> {
        match u32::try_from(raw).map_err(|_| Errno::EINVAL)? {
            ITIMER_REAL => Ok(Self::Real),
            ITIMER_VIRTUAL => Ok(Self::Virtual),
            ITIMER_PROF => Ok(Self::Profiling),
            _ => Err(Errno::EINVAL),
        }
    }

    fn signal(self) -> Signal {
        match self {
            Self::Real => Signal::SIGALRM,
            Self::Virtual => Signal::SIGVTALRM,
            Self::Profiling => Signal::SIGPROF,
        }
    }
}

/// What timer_create(2) and setitimer(2) made for one process.
#[derive(Default)]
pub struct ProcessTimers {
    intervals: Mutex<[Option<Arc<Timer>>; 3]>,
    /// Counts the process's CPU time towards RLIMIT_CPU.
    cpu_limit: Mutex<Option<Arc<Timer>>>,
    /// timer_create(2).
    pub posix: PosixTimers,
}

/// Sends a process its signal.
struct SignalSender {
    target: Weak<dyn SignalTarget>,
    signal: Signal,
}

impl ExpirationListener for SignalSender {
    fn expired(&self, _expirations: u64, _sequence: u32) {
        if let Some(target) = self.target.upgrade() {
            target.deliver(SignalInfo::from_kernel(self.signal));
        }
    }
}

impl ProcessTimers {
    /// What is set.
    pub fn interval(&self, which: IntervalTimer) -> TimerSetting {
        let timer = self.intervals.lock()[which as usize].clone();
        timer.map_or_else(TimerSetting::default, |timer| timer.get())
    }

    /// Sets a timer that signals `target`, and returns what was set. `new_timer` makes a timer on the right
    /// clock for a listener, when it is first needed.
    ///
    /// # Errors
    /// EAGAIN: the host is out of threads.
    pub fn set_interval(
        &self,
        which: IntervalTimer,
        setting: TimerSetting,
        target: Weak<dyn SignalTarget>,
        new_timer: impl FnOnce(Arc<dyn ExpirationListener>) -> Arc<Timer>,
    ) -> Result<TimerSetting, Errno> {
        let timer = {
            let mut intervals = self.intervals.lock();
            let signal = which.signal();
            intervals[which as usize]
                .get_or_insert_with(|| new_timer(Arc::new(SignalSender { target, signal })))
                .clone()
        };
        let replaced = timer.set(setting, false)?;
        // The signal of what was set before comes before the caller goes on, or not at all.
        timer.await_announcement();
        Ok(replaced)
    }

    /// Has the timer of RLIMIT_CPU expire at `setting.value` of the process's CPU time, and from then on every
    /// `setting.interval`. `new_timer` makes it when it is first needed.
    ///
    /// # Errors
    /// EAGAIN: the host is out of threads.
    pub fn set_cpu_limit(
        &self,
        setting: TimerSetting,
        new_timer: impl FnOnce() -> Arc<Timer>,
    ) -> Result<(), Errno> {
        let timer = self.cpu_limit.lock().get_or_insert_with(new_timer).clone();
        timer.set(setting, true).map(drop)
    }

    /// The process's CPU time is not limited any more.
    pub fn end_cpu_limit(&self) {
        let timer = self.cpu_limit.lock().take();
        drop(timer);
    }

    /// For the end of the process: no timer goes on.
    pub fn clear(&self) {
        let intervals = std::mem::take(&mut *self.intervals.lock());
        drop(intervals);
        self.end_cpu_limit();
        self.posix.clear();
    }
}
