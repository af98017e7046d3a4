//! What tasks use: their host threads' clocks tell.

use std::time::Duration;

use super::status::ResourceUsage;
use super::{Task, ThreadGroup};

impl Task {
    /// What the task has used until now.
    pub fn usage(&self) -> ResourceUsage {
        let mut usage =
            ResourceUsage { voluntary_switches: self.cpu_time.rests(), ..ResourceUsage::default() };
        if let Some((user_time, system_time)) = self.cpu_times() {
            usage.user_time = user_time;
            usage.system_time = system_time;
        }
        if let Some(memory) = self.memory() {
            usage.max_resident_kib = memory.max_resident_bytes() / 1024;
            usage.minor_faults = memory.fault_count();
        }
        usage
    }

    /// Time in user code and in the sentry; `None` once the thread has ended.
    pub fn cpu_times(&self) -> Option<(Duration, Duration)> {
        self.cpu_time.read()
    }
}

impl ThreadGroup {
    /// What the tasks of the process have used until now, exited ones included.
    pub fn usage(&self) -> ResourceUsage {
        let (mut usage, tasks) = {
            let state = self.state.lock();
            (state.usage, state.tasks.clone())
        };
        for task in tasks {
            usage += task.usage();
        }
        usage
    }
}
