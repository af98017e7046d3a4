//! The thread that has stacks sampled, and looks at the whole sandbox now and then.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Session;
use crate::host;
use crate::kernel::Kernel;
use crate::profile::{Frame, Point, Recording, TaskRecord, request};
use crate::task::Task;
use crate::task::cpu_time::VtimeState;
use crate::time::thread_cpu_time;

/// Stack of the thread.
const STACK_BYTES: usize = 256 << 10;
/// A sample is taken once so many parts of its time, of four, have been used.
const PARTS: u64 = 1;

/// Starts the sampler, which ends with the session.
///
/// # Errors
/// The host has no thread left.
pub(super) fn start(session: &Arc<Session>, kernel: &Arc<Kernel>) -> io::Result<()> {
    let (session, kernel) = (session.clone(), Arc::downgrade(kernel));
    host::start_thread(STACK_BYTES, Box::new(move || session.sample_until_over(&kernel)))
}

impl Session {
    fn sample_until_over(&self, kernel: &Weak<Kernel>) {
        let _ = rustix::thread::set_name(c"sampler");
        let period = Duration::from_secs(1) / self.recording.hz().max(1);
        let mut next = Instant::now();
        loop {
            {
                let mut is_over = self.is_over.lock();
                if !*is_over {
                    self.ended.wait_until(&mut is_over, next);
                }
                if *is_over {
                    return;
                }
            }
            let now = Instant::now();
            if now < next {
                continue;
            }
            // What was slept through is not made up for: samples have weights.
            next = (next + period).max(now);
            self.sample_tasks(period);
            self.sample_helpers(period);
            if self.recording.now_ns() >= self.recording.next_point_ns() {
                let Some(kernel) = kernel.upgrade() else { return };
                self.note_point(&kernel);
                self.find_tasks(&kernel);
            }
        }
    }

    /// Records of the calling thread's task begin. The records of a task that there is no room for are those of all such.
    pub(super) fn add_task(&self, task: &Arc<Task>) -> Arc<TaskRecord> {
        let tasks = task.kernel.tasks();
        let pid = tasks.group_number(task.thread_group(), tasks.root()).0;
        let record = self.recording.add_task(task.root_tid(), pid);
        if Recording::is_own(&record) {
            record.set_name(String::from_utf8_lossy(&task.name()).into_owned());
            self.sampled.lock().push((task.clone(), record.clone()));
        }
        record
    }

    /// The task has ended.
    pub(super) fn remove_task(&self, task: &Arc<Task>) {
        self.sampled.lock().retain(|(other, _)| !Arc::ptr_eq(other, task));
    }

    fn sample_tasks(&self, period: Duration) {
        let least_ns = as_ns(period) * PARTS / 4;
        for (task, record) in &*self.sampled.lock() {
            let state = task.cpu_time.state();
            let thread = task.cpu_time.host_thread_id();
            if state == VtimeState::Inactive || thread == 0 {
                continue;
            }
            let Some(cpu_ns) = thread_cpu_time(thread).map(as_ns) else { continue };
            let weight_ns = record.unsampled_ns(cpu_ns);
            if weight_ns < least_ns {
                continue;
            }
            record.note_sampled(cpu_ns);
            if state == VtimeState::System && record.host_stacks.has_room() {
                request(&record.host_stacks, thread, weight_ns);
            } else {
                let is_overdue = record.want_guest_stack(weight_ns);
                if is_overdue || !record.leaves_soon() {
                    task.kick();
                }
            }
        }
    }

    /// Threads that serve calls of others: what they do for a call is a stack, and looking for calls is another.
    fn sample_helpers(&self, period: Duration) {
        let least_ns = as_ns(period) * PARTS / 4;
        for helper in &*self.helpers.lock() {
            let Some(cpu_ns) = thread_cpu_time(helper.host_thread_id).map(as_ns) else { continue };
            let sampled_ns = helper.sampled_ns.swap(cpu_ns, Ordering::Relaxed);
            let weight_ns = cpu_ns.saturating_sub(sampled_ns);
            if sampled_ns == 0 || weight_ns < least_ns {
                continue;
            }
            if helper.serving.load(Ordering::Relaxed) >= 0 && helper.stacks.has_room() {
                request(&helper.stacks, helper.host_thread_id, weight_ns);
            } else {
                let frames: Vec<Frame> =
                    ["(dispatcher)", "polling"].map(|name| self.recording.label(name)).into();
                self.recording.add_stack(frames, weight_ns);
            }
        }
    }

    pub(super) fn note_point(&self, kernel: &Kernel) {
        let (memory, cgroups) = (kernel.frames().statistics(), kernel.cgroups());
        let usage = cgroups.cpu_usage(cgroups.root());
        self.recording.note_point(Point {
            user_ns: as_ns(usage.user),
            system_ns: as_ns(usage.system),
            memory_bytes: memory.total_bytes.saturating_sub(memory.free_bytes),
            tasks: cgroups.root().pids().current(),
        });
    }

    /// Has tasks that are in user code, and were before the recording began, come out for a moment, so that they are recorded too.
    fn find_tasks(&self, kernel: &Kernel) {
        let known: HashSet<_> = self.sampled.lock().iter().map(|(task, _)| task.id()).collect();
        kernel.tasks().for_each_running(|task| {
            if task.cpu_time.state() == VtimeState::User && !known.contains(&task.id()) {
                task.kick();
            }
        });
    }
}

fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
