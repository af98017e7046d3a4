//! How many threads of a process, and of the whole set, there are.
//!
//! A thread lives from [`UnstartedTask::start`](super::UnstartedTask::start) until it leaves the task for good. It runs while it may touch what others see: not while it
//! sleeps in a system call, is stopped, or stands still for an external stop.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Task;

#[derive(Default)]
pub(super) struct ThreadCounts {
    live: AtomicUsize,
    running: AtomicUsize,
}

impl ThreadCounts {
    /// Threads that have been started and have not ended.
    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Those of them that run.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    fn start(&self) {
        self.live.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns whether it was the last.
    fn end(&self) -> bool {
        self.live.fetch_sub(1, Ordering::SeqCst) == 1
    }

    fn run(&self) {
        self.running.fetch_add(1, Ordering::SeqCst);
    }

    fn rest(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Task {
    /// Counts the task's thread as alive.
    pub(super) fn count_start(&self) {
        self.group.threads.start();
        self.kernel.tasks().threads.start();
    }

    /// Counts it no more. Who waits for the end of all hears of the last.
    pub(super) fn count_end(&self) {
        self.group.threads.end();
        if self.kernel.tasks().threads.end() {
            self.kernel.tasks().announce_end_of_all();
        }
    }

    /// Counts it as running.
    pub(super) fn count_run(&self) {
        self.kernel.tasks().note_load();
        self.group.threads.run();
        self.kernel.tasks().threads.run();
    }

    /// Counts it as not running.
    pub(super) fn count_rest(&self) {
        self.kernel.tasks().note_load();
        self.group.threads.rest();
        self.kernel.tasks().threads.rest();
    }
}
