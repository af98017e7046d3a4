//! A timer that expires once or again and again: what setitimer(2), timer_settime(2) and timerfd_settime(2)
//! set.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::clock::SystemClock;
use super::queue::{Expire, TimerHandle, TimerQueue};
use crate::Errno;

/// Expirations that follow each other faster are announced together: no guest keeps the host busy with a
/// short interval.
const SHORTEST_PERIOD: Duration = Duration::from_micros(100);
/// How long at least until a CPU clock is looked at again, and how long at most while it stands still.
const SHORTEST_SAMPLE: Duration = Duration::from_millis(1);
const LONGEST_SAMPLE: Duration = Duration::from_millis(100);

/// The clock of a timer.
pub trait TimeSource: Send + Sync {
    /// The time now.
    fn now(&self) -> Duration;

    /// The clock that all tasks share and that it is; `None` for a CPU clock.
    fn system_clock(&self) -> Option<SystemClock> {
        None
    }

    /// Whether it advances as the host's time does; a CPU clock does not.
    fn is_steady(&self) -> bool {
        true
    }
}

/// Who hears of expirations.
pub trait ExpirationListener: Send + Sync {
    /// The timer has expired `expirations` times, at least once, since it was last announced, by what it was set to the
    /// `sequence`-th time: it may have been set anew meanwhile. Called without locks of the timer's state; must not set it.
    fn expired(&self, expirations: u64, sequence: u32);
}

/// A timer's setting, as `struct itimerspec` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerSetting {
    /// Time until the next expiration; zero if it is disarmed.
    pub value: Duration,
    /// Time from one expiration to the next; zero for none.
    pub interval: Duration,
}

impl TimerSetting {
    /// As timers keep it that forget their interval when they are disarmed: those of timer_settime(2) and ITIMER_REAL.
    pub fn without_idle_interval(self) -> Self {
        if self.value.is_zero() { Self::default() } else { self }
    }
}

/// An armed or idle entry of a [`TimerQueue`], which calls back when it expires.
pub struct Timer {
    queue: Arc<TimerQueue>,
    source: Arc<dyn TimeSource>,
    listener: Arc<dyn ExpirationListener>,
    state: Mutex<State>,
    /// Held while expirations are announced. Before the state.
    announcing: Mutex<()>,
    own: Weak<Self>,
}

#[derive(Default)]
struct State {
    /// When it expires next, on its clock.
    target: Option<Duration>,
    interval: Duration,
    handle: Option<TimerHandle>,
    /// How often it was set.
    sequence: u32,
    /// The sample of a CPU clock before.
    last_sample: Option<(Duration, Duration)>,
}

impl Timer {
    /// A disarmed timer on `source`.
    pub fn new(
        queue: &Arc<TimerQueue>,
        source: Arc<dyn TimeSource>,
        listener: Arc<dyn ExpirationListener>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            queue: queue.clone(),
            source,
            listener,
            state: Mutex::default(),
            announcing: Mutex::default(),
            own: own.clone(),
        })
    }

    /// Arms the timer, or disarms it with a value of zero, and returns what was set. `setting.value` is a
    /// time of the clock if `is_absolute`, and may then be past.
    ///
    /// # Errors
    /// EAGAIN: the host is out of threads.
    pub fn set(&self, setting: TimerSetting, is_absolute: bool) -> Result<TimerSetting, Errno> {
        let mut state = self.state.lock();
        let now = self.source.now();
        let old = state.setting(now);
        let old_handle = state.handle.take();
        state.last_sample = None;
        state.sequence = state.sequence.wrapping_add(1);
        state.interval = setting.interval;
        state.target = match setting.value {
            Duration::ZERO => None,
            value if is_absolute => Some(value),
            value => Some(now.saturating_add(value)),
        };
        let result = self.arm(&mut state, now, Duration::ZERO);
        drop(state);
        drop(old_handle);
        result.map(|()| old)
    }

    /// Waits until an announcement that is under way is over: what was set before has been told of by then, or never will be.
    /// Not for listeners.
    pub fn await_announcement(&self) {
        drop(self.announcing.lock());
    }

    /// How often it was set.
    pub fn sequence(&self) -> u32 {
        self.state.lock().sequence
    }

    /// What it is set on.
    pub fn source(&self) -> &Arc<dyn TimeSource> {
        &self.source
    }

    /// What is set now.
    pub fn get(&self) -> TimerSetting {
        let now = self.source.now();
        self.state.lock().setting(now)
    }

    /// Has the queue call when the target is due, and not before `delay` has passed.
    fn arm(&self, state: &mut State, now: Duration, delay: Duration) -> Result<(), Errno> {
        let Some(target) = state.target else { return Ok(()) };
        let mut wait = target.saturating_sub(now).max(delay);
        if !self.source.is_steady() {
            wait = state.sample_delay(now, wait);
        }
        let own: Weak<dyn Expire> = self.own.clone();
        if let Some(handle) = self.queue.schedule_after(wait, own)? {
            state.handle = Some(handle);
        }
        Ok(())
    }
}

impl State {
    fn setting(&self, now: Duration) -> TimerSetting {
        let Some(target) = self.target else {
            return TimerSetting { value: Duration::ZERO, interval: self.interval };
        };
        // One that is due and not yet announced is not disarmed, and must not look so.
        let value = target.saturating_sub(now).max(Duration::from_nanos(1));
        TimerSetting { value, interval: self.interval }
    }

    /// When to look at a CPU clock again: the process may run on many CPUs, or not at all.
    fn sample_delay(&mut self, now: Duration, wait: Duration) -> Duration {
        let delay = match self.last_sample {
            Some((then, delay)) if then == now => delay.saturating_mul(2).min(LONGEST_SAMPLE),
            _ => wait.min(LONGEST_SAMPLE).max(SHORTEST_SAMPLE),
        };
        self.last_sample = Some((now, delay));
        delay
    }

    /// Takes the expirations until `now`, and sets the next target.
    fn take_expirations(&mut self, now: Duration) -> u64 {
        let Some(target) = self.target.filter(|target| *target <= now) else { return 0 };
        if self.interval.is_zero() {
            self.target = None;
            return 1;
        }
        let interval_ns = self.interval.as_nanos();
        let further = (now - target).as_nanos() / interval_ns;
        let expirations = u64::try_from(further + 1).unwrap_or(u64::MAX);
        let advance_ns = interval_ns.saturating_mul(u128::from(expirations));
        let advance = Duration::from_nanos(u64::try_from(advance_ns).unwrap_or(u64::MAX));
        self.target = target.checked_add(advance);
        expirations
    }
}

impl Expire for Timer {
    fn expire(&self) {
        let _announcing = self.announcing.lock();
        let mut state = self.state.lock();
        let now = self.source.now();
        let expirations = state.take_expirations(now);
        let delay = if expirations == 0 { Duration::ZERO } else { SHORTEST_PERIOD };
        // Replacing the handle drops one whose deadline has passed. The thread runs, so that this cannot fail.
        if self.arm(&mut state, now, delay).is_err() {
            state.target = None;
        }
        let sequence = state.sequence;
        drop(state);
        if expirations > 0 {
            self.listener.expired(expirations, sequence);
        }
    }
}

#[cfg(test)]
mod tests;
