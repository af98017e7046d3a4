//! Process groups as terminals know them: by their numbers in the root PID namespace.

use std::sync::{Arc, Weak};

use super::id::Tid;
use crate::fs::terminal::ProcessGroups;
use crate::kernel::Kernel;
use crate::signal::{Signal, SignalInfo};

/// The process groups of a kernel.
pub(crate) struct TaskGroups(Weak<Kernel>);

impl TaskGroups {
    /// Those of `kernel`.
    pub(crate) fn new(kernel: &Arc<Kernel>) -> Arc<Self> {
        Arc::new(Self(Arc::downgrade(kernel)))
    }
}

impl ProcessGroups for TaskGroups {
    fn signal_process(&self, process_id: i32, signal: i32) {
        let (Some(kernel), Ok(signal)) = (self.0.upgrade(), Signal::new(signal)) else { return };
        let tasks = kernel.tasks();
        if let Some(process) = tasks.thread_group(tasks.root(), Tid(process_id)) {
            process.send_signal(SignalInfo::from_kernel(signal));
        }
    }

    fn signal_process_group(&self, process_group_id: i32, signal: i32) {
        let (Some(kernel), Ok(signal)) = (self.0.upgrade(), Signal::new(signal)) else { return };
        let tasks = kernel.tasks();
        tasks.signal_process_group(Tid(process_group_id), signal);
    }

    fn session_of_process_group(&self, process_group_id: i32) -> Option<i32> {
        let kernel = self.0.upgrade()?;
        let tasks = kernel.tasks();
        tasks.session_of_process_group(tasks.root(), Tid(process_group_id)).map(|session| session.0)
    }
}
