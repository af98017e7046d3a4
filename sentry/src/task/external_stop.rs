//! External stops: somebody outside has every task of the set stand still, to look at it or to keep it as it is.
//!
//! A task stands still between two states of its run loop, or where it sleeps in a system call, which it does not complete
//! before the stop is over. Nothing inside notices, but that time passes: timers that are due meanwhile expire, and what they
//! send waits. Stops nest; the last one's end lets the tasks go on.
//!
//! A task is active while its thread may touch what others see. Whoever stops the set raises the count of every
//! task and then waits for each to be inactive; a task becomes active and then looks at its count. So one of the two
//! sees the other, without a lock for the task that nobody stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::cpu_time::VtimeState;
use super::host_threads::HostThread;
use super::{CurrentTask, Task, TaskSet};
use crate::Errno;
use crate::host::{HostCall, count_call};
use crate::memory::MemoryManager;
use crate::pace::Pace;

/// What a task knows of external stops.
#[derive(Default)]
pub(super) struct StopState {
    /// How many stops are in force. Changes with the tree locked.
    count: AtomicU32,
    /// Its thread runs the task, and neither sleeps nor stands still.
    is_active: AtomicBool,
}

impl StopState {
    /// Has the stops in force when the task is made hold for it.
    pub(super) fn begin_with(&self, count: u32) {
        self.count.store(count, Ordering::SeqCst);
    }

    /// Whether the task is to stand still.
    pub(super) fn is_in_force(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }
}

/// Where those meet who stop and who are stopped. Its lock is taken last.
#[derive(Default)]
pub(super) struct StopGate {
    lock: Mutex<()>,
    came_to_rest: Condvar,
    is_over: Condvar,
}

impl StopGate {
    fn announce_rest(&self) {
        let _lock = self.lock.lock();
        self.came_to_rest.notify_all();
    }

    fn wait_for_rest(&self, state: &StopState) {
        let mut lock = self.lock.lock();
        while state.is_active.load(Ordering::SeqCst) {
            self.came_to_rest.wait(&mut lock);
        }
    }

    fn announce_end(&self) {
        let _lock = self.lock.lock();
        self.is_over.notify_all();
    }

    fn wait_for_end(&self, state: &StopState) {
        let mut lock = self.lock.lock();
        while state.is_in_force() {
            self.is_over.wait(&mut lock);
        }
    }
}

/// An external stop; it ends when this is dropped.
#[must_use = "dropping the guard lets the tasks go on"]
pub struct StopGuard<'a>(&'a TaskSet);

impl TaskSet {
    /// Stops every task, and returns once all stand still. A task that is made meanwhile does not run.
    ///
    /// Must not be called by a task's own thread, which would wait for itself.
    pub fn stop_all(&self) -> StopGuard<'_> {
        let tasks: Vec<Arc<Task>> = {
            let mut tree = self.tree.write();
            tree.stops += 1;
            for node in tree.tasks.values() {
                node.task.stops.count.fetch_add(1, Ordering::SeqCst);
            }
            tree.tasks.values().map(|node| node.task.clone()).collect()
        };
        for task in tasks.iter().filter(|task| task.stops.is_active.load(Ordering::SeqCst)) {
            task.kick();
        }
        for task in &tasks {
            self.stop_gate.wait_for_rest(&task.stops);
        }
        StopGuard(self)
    }
}

impl Drop for StopGuard<'_> {
    fn drop(&mut self) {
        {
            let mut tree = self.0.tree.write();
            tree.stops -= 1;
            for node in tree.tasks.values() {
                node.task.stops.count.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.0.stop_gate.announce_end();
    }
}

impl Task {
    /// Its thread may touch what others see, once no stop is in force.
    pub(super) fn become_active(&self) {
        let gate = &self.kernel.tasks().stop_gate;
        loop {
            self.stops.is_active.store(true, Ordering::SeqCst);
            if !self.stops.is_in_force() {
                self.count_run();
                return;
            }
            self.retire();
            gate.wait_for_end(&self.stops);
        }
    }

    /// Its thread touches nothing that others see, until it becomes active again.
    pub(super) fn become_inactive(&self) {
        self.count_rest();
        self.retire();
    }

    fn retire(&self) {
        self.stops.is_active.store(false, Ordering::SeqCst);
        if self.stops.is_in_force() {
            self.kernel.tasks().stop_gate.announce_rest();
        }
    }

    /// The calling thread begins to run the task, once no stop is in force.
    pub(super) fn begin_activity(&self, thread: &HostThread) {
        self.become_active();
        self.cpu_time.start(thread.id);
        if thread.confined_to != Some(self.allowed_cpus()) {
            self.has_new_cpus.store(true, Ordering::Release);
        }
        self.follow_allowed_cpus();
    }

    /// Confines the calling thread, which runs the task, to the CPUs that the task may run on, if they are not those that they were:
    /// a thread is confined by itself alone, so that the jail need not let it name another.
    pub(super) fn follow_allowed_cpus(&self) {
        if !self.has_new_cpus.load(Ordering::Relaxed) {
            return;
        }
        let allowed = self.allowed_cpus.lock();
        self.has_new_cpus.store(false, Ordering::Relaxed);
        if let Err(error) = self.kernel.cpus().confine_this_thread(allowed.0) {
            log::debug!("a thread runs on other CPUs than it should: {error}");
        }
    }

    /// The thread touches the task no more.
    pub(super) fn end_activity(&self, thread: &mut HostThread) {
        let allowed = self.allowed_cpus.lock();
        self.cpu_time.end();
        thread.confined_to = (!self.has_new_cpus.load(Ordering::Relaxed)).then_some(*allowed);
        drop(allowed);
        self.become_inactive();
    }
}

impl Pace for CurrentTask {
    fn keep_going(&self) -> Result<(), Errno> {
        // While the task is lent its own thread stands still, as soon as this call is over.
        if !self.is_lent() {
            self.stand_still();
        }
        if self.is_to_end() { Err(Errno::EINTR) } else { Ok(()) }
    }

    fn is_wanted(&self) -> bool {
        self.task.stops.is_in_force() || self.is_to_end()
    }
}

/// The pace of a task that tidies up after itself, and does so to the end even if it is ending.
struct Tidying<'a>(&'a CurrentTask);

impl Pace for Tidying<'_> {
    fn keep_going(&self) -> Result<(), Errno> {
        self.0.stand_still();
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        self.0.task.stops.is_in_force()
    }
}

impl Task {
    /// Stands still while external stops are in force. For the task's own thread, with no lock held.
    pub(super) fn stand_still(&self) {
        if self.stops.is_in_force() {
            self.cpu_time.mark(VtimeState::Inactive);
            self.become_inactive();
            self.become_active();
            self.cpu_time.mark(VtimeState::System);
        }
    }

    /// Sleeps until the task's waiter is woken, or until `deadline`, and while external stops are in force. Returns whether it
    /// was woken. Every sleep of a task is this one.
    pub(super) fn rest(&self, deadline: Option<Instant>) -> bool {
        let cpu = u32::try_from(self.kernel.cpus().current()).unwrap_or(0);
        self.last_cpu.store(cpu, Ordering::Relaxed);
        self.cpu_time.mark(VtimeState::Inactive);
        self.become_inactive();
        count_call(HostCall::Sleep);
        let is_woken = self.waiter.sleep(deadline);
        self.become_active();
        self.cpu_time.mark(VtimeState::System);
        is_woken
    }
}

impl CurrentTask {
    /// As [`Task::rest`].
    pub(super) fn rest(&self, deadline: Option<Instant>) -> bool {
        self.task.rest(deadline)
    }

    /// Stands still while external stops are in force.
    pub(super) fn stop_externally(&mut self) {
        self.context.sleep();
        self.stand_still();
    }

    /// As [`CurrentTask::stop_externally`], within a system call, with no lock held.
    fn stand_still(&self) {
        self.task.stand_still();
    }

    /// Whether the task ends as soon as it comes out of its call.
    fn is_to_end(&self) -> bool {
        self.task.is_interrupted() && self.task.pending_exit().is_some()
    }

    /// Empties, in steps, what the task alone has and will not use any more: so that an external stop need not wait until all of
    /// it is let go. What others have too is left to the last of them.
    pub(super) fn empty_resources(&self) {
        // Here and among the task's resources. Memory first, as Linux does: what a file has to do with it is over then.
        if Arc::strong_count(&self.memory) == 2 {
            self.empty_memory(&self.memory);
        }
        let descriptors = self.descriptors();
        if Arc::strong_count(&descriptors) == 2 {
            let _ = descriptors.remove_range(0, usize::MAX, &Tidying(self));
        }
    }

    /// Empties an address space that nobody uses any more.
    pub(super) fn empty_memory(&self, memory: &MemoryManager) {
        let _ = memory.unmap_all(&Tidying(self));
    }

    /// Frees what files have left that nobody uses any more, though the task should be ending.
    pub(super) fn free_leftovers(&self) {
        let _ = self.kernel().frames().free_leftovers(&Tidying(self));
    }
}

#[cfg(test)]
mod tests;
