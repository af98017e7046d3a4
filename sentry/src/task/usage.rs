//! What tasks use: their host threads' clocks tell, and their address spaces.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Errno;
use crate::fs::proc::IoCounts;
use std::time::Duration;

use super::status::ResourceUsage;
use super::{Task, ThreadGroup};
use crate::memory::MemoryManager;

/// What the system calls of one task have read and written.
#[derive(Default)]
pub(super) struct IoCounters {
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl IoCounters {
    fn counts(&self) -> IoCounts {
        IoCounts {
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
            written_bytes: self.written_bytes.load(Ordering::Relaxed),
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }
}

impl Task {
    /// What the task has used until now.
    pub fn usage(&self) -> ResourceUsage {
        let mut usage = self.own_usage();
        usage += self.memory().map(|memory| memory_usage(&memory)).unwrap_or_default();
        usage
    }

    /// What it used alone: all but memory, which its process shares.
    pub(super) fn own_usage(&self) -> ResourceUsage {
        let (user_time, system_time) = self.cpu_time.total();
        let voluntary_switches = self.cpu_time.rests();
        let io = self.io.counts();
        ResourceUsage { user_time, system_time, voluntary_switches, io, ..ResourceUsage::default() }
    }

    /// Counts a call that has read so many bytes, or has failed.
    pub(crate) fn count_read(&self, result: Result<usize, Errno>) {
        self.io.reads.fetch_add(1, Ordering::Relaxed);
        self.io.read_bytes.fetch_add(result.map_or(0, |len| len as u64), Ordering::Relaxed);
    }

    /// Counts a call that has written so many bytes, or has failed.
    pub(crate) fn count_write(&self, result: Result<usize, Errno>) {
        self.io.writes.fetch_add(1, Ordering::Relaxed);
        self.io.written_bytes.fetch_add(result.map_or(0, |len| len as u64), Ordering::Relaxed);
    }

    /// Time in user code and in the sentry; `None` once the thread has ended.
    pub fn cpu_times(&self) -> Option<(Duration, Duration)> {
        self.cpu_time.read()
    }

    /// Has the process remember what it used of an address space that the task leaves.
    pub(super) fn remember_memory_usage(&self, memory: &MemoryManager) {
        self.group.state.lock().left_memory = memory_usage(memory);
    }

    /// Counts an address space that execve replaces; one that the process had from vfork was not its own.
    pub(super) fn count_replaced_memory(&self, memory: &MemoryManager) {
        if self.vfork.lock().is_none() {
            self.group.state.lock().usage += memory_usage(memory);
        }
    }
}

impl ThreadGroup {
    /// What the tasks of the process have used until now, exited ones included.
    pub fn usage(&self) -> ResourceUsage {
        let (mut usage, left_memory, tasks) = {
            let state = self.state.lock();
            (state.usage, state.left_memory, state.tasks.clone())
        };
        let memory = tasks.iter().find_map(|task| task.memory());
        usage += memory.map_or(left_memory, |memory| memory_usage(&memory));
        for task in tasks {
            usage += task.own_usage();
        }
        usage
    }
}

fn memory_usage(memory: &MemoryManager) -> ResourceUsage {
    ResourceUsage {
        max_resident_kib: memory.max_resident_bytes() / 1024,
        minor_faults: memory.fault_count(),
        ..ResourceUsage::default()
    }
}
