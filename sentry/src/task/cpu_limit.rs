//! RLIMIT_CPU (`man 2 setrlimit`): SIGXCPU at the soft limit and every second after it, SIGKILL at the hard one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::ThreadGroup;
use crate::Errno;
use crate::limits::{INFINITY, Resource};
use crate::signal::{Signal, SignalInfo};
use crate::time::{ExpirationListener, TimeSource, Timer, TimerQueue, TimerSetting};

/// From one SIGXCPU to the next.
const PERIOD: Duration = Duration::from_secs(1);

/// A process whose CPU time is limited.
struct Limited(Weak<ThreadGroup>);

impl TimeSource for Limited {
    fn now(&self) -> Duration {
        self.0.upgrade().map_or(Duration::ZERO, |group| group.cpu_time())
    }

    fn is_steady(&self) -> bool {
        false
    }
}

impl ExpirationListener for Limited {
    fn expired(&self, _expirations: u64, _sequence: u32) {
        let Some(group) = self.0.upgrade() else { return };
        let is_over = group.cpu_time() >= Duration::from_secs(group.limits().get(Resource::CPU).hard);
        let signal = if is_over { Signal::SIGKILL } else { Signal::SIGXCPU };
        group.send_signal(SignalInfo::from_kernel(signal));
    }
}

impl ThreadGroup {
    /// Enforces the limit that the process has now: it has just been made, or its limit has been changed.
    ///
    /// # Errors
    /// EAGAIN: the host is out of threads.
    pub(crate) fn enforce_cpu_limit(self: &Arc<Self>, queue: &Arc<TimerQueue>) -> Result<(), Errno> {
        let seconds = self.soft_limit(Resource::CPU);
        if seconds == INFINITY {
            self.timers.end_cpu_limit();
            return Ok(());
        }
        // A limit of nothing is one of a second, as Linux has it.
        let setting = TimerSetting { value: Duration::from_secs(seconds.max(1)), interval: PERIOD };
        let limited = Arc::new(Limited(Arc::downgrade(self)));
        self.timers.set_cpu_limit(setting, || Timer::new(queue, limited.clone(), limited))
    }

    fn cpu_time(&self) -> Duration {
        let usage = self.usage();
        usage.user_time.saturating_add(usage.system_time)
    }
}
