//! CPU clocks (`man 3 clock_getcpuclockid`), and RLIMIT_CPU, which is a timer on one.
//!
//! A process that has used its soft limit gets SIGXCPU, and again after every second more; at the hard limit
//! it gets SIGKILL (`man 2 getrlimit`).

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Task, ThreadGroup};
use crate::Errno;
use crate::limits::{INFINITY, Resource};
use crate::signal::{Signal, SignalInfo};
use crate::time::{CpuClockKind, ExpirationListener, TimeSource, Timer, TimerQueue, TimerSetting};

/// A CPU clock, as a function that reads user and system time. One whose process is gone stands still.
struct CpuSource<F> {
    read: F,
    kind: CpuClockKind,
}

impl<F: Fn() -> Option<(Duration, Duration)> + Send + Sync> TimeSource for CpuSource<F> {
    fn now(&self) -> Duration {
        let (user, system) = (self.read)().unwrap_or_default();
        match self.kind {
            CpuClockKind::Total => user + system,
            CpuClockKind::User => user,
        }
    }

    fn is_steady(&self) -> bool {
        false
    }
}

impl Task {
    /// The clock of what the task uses.
    pub(crate) fn cpu_clock(self: &Arc<Self>, kind: CpuClockKind) -> Arc<dyn TimeSource> {
        let task = Arc::downgrade(self);
        Arc::new(CpuSource { read: move || task.upgrade()?.cpu_times(), kind })
    }
}

impl ThreadGroup {
    /// The clock of what the process uses.
    pub(crate) fn cpu_clock(self: &Arc<Self>, kind: CpuClockKind) -> Arc<dyn TimeSource> {
        let group = Arc::downgrade(self);
        let read = move || {
            let usage = group.upgrade()?.usage();
            Some((usage.user_time, usage.system_time))
        };
        Arc::new(CpuSource { read, kind })
    }

    /// Has RLIMIT_CPU, as it is now, obeyed: when the process is made, and when the limit is changed.
    ///
    /// # Errors
    /// EAGAIN: the host is out of threads.
    pub(crate) fn enforce_cpu_limit(self: &Arc<Self>, queue: &Arc<TimerQueue>) -> Result<(), Errno> {
        let limit = self.limits().get(Resource::CPU);
        let setting = match limit.soft {
            INFINITY => TimerSetting::default(),
            seconds => {
                TimerSetting { value: Duration::from_secs(seconds.max(1)), interval: Duration::from_secs(1) }
            }
        };
        self.timers.set_cpu_limit(setting, || {
            let watcher = Arc::new(LimitWatcher { group: Arc::downgrade(self) });
            Timer::new(queue, self.cpu_clock(CpuClockKind::Total), watcher)
        })
    }
}

/// Hears that the process has used its soft limit, and every second more.
struct LimitWatcher {
    group: Weak<ThreadGroup>,
}

impl ExpirationListener for LimitWatcher {
    fn expired(&self, _expirations: u64) {
        let Some(group) = self.group.upgrade() else { return };
        let usage = group.usage();
        let used = usage.user_time + usage.system_time;
        let is_spent = used.as_secs() >= group.limits().get(Resource::CPU).hard;
        let signal = if is_spent { Signal::SIGKILL } else { Signal::SIGXCPU };
        group.send_signal(SignalInfo::from_kernel(signal));
    }
}
