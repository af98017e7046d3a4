//! Group stops (`man 7 signal`): SIGSTOP, SIGTSTP, SIGTTIN and SIGTTOU stop all tasks of a process, SIGCONT
//! continues them.
//!
//! A stop begins when one task takes the signal. Each task stops when it comes by, between two stretches of
//! user code; the last to arrive completes the stop and tells the parent.

use std::sync::atomic::Ordering;

use linux_raw_sys::general::{CLD_CONTINUED, CLD_STOPPED};

use super::thread_group::{GroupState, Stop, StopReport};
use super::{CurrentTask, Task, TaskSet, ThreadGroup};
use crate::cred::Uid;
use crate::signal::{ActionFlags, Handler, Signal, SignalDetail, SignalInfo};
use crate::wait::Events;

impl ThreadGroup {
    /// Whether every task has stopped.
    pub(super) fn has_stopped(&self) -> bool {
        matches!(self.state.lock().stop, Stop::Stopped(_))
    }

    /// Whether a stop is in force, or about to be.
    pub(super) fn has_begun_to_stop(&self) -> bool {
        self.state.lock().stop != Stop::None
    }

    /// `task` has left the group: others take its signals, and a stop may be complete without it. Returns
    /// whether it is, and the parent is to be told.
    #[must_use]
    pub(super) fn lost_a_task(&self, task: &Task) -> bool {
        let mut state = self.state.lock();
        state.retarget(task);
        state.complete_stop()
    }
}

impl GroupState {
    /// The stop that tasks are to make, if there is one, by its signal and its number.
    pub(super) fn due_stop(&self) -> Option<(Signal, u64)> {
        let signal = self.stop.signal().filter(|_| self.exec.is_none())?;
        Some((signal, self.stop_count))
    }

    /// Completes the stop if all tasks have arrived.
    fn complete_stop(&mut self) -> bool {
        let Stop::Stopping(signal) = self.stop else { return false };
        let is_complete = self.tasks.iter().all(|task| task.has_stopped());
        if is_complete {
            self.stop = Stop::Stopped(signal);
            self.report = Some(StopReport::Stopped(signal));
        }
        is_complete
    }
}

impl CurrentTask {
    /// Begins a stop, unless nobody could end it: then only SIGSTOP stops (POSIX, orphaned process groups).
    pub(super) fn begin_group_stop(&mut self, signal: Signal) {
        let group = &self.task.group;
        if signal != Signal::SIGSTOP && self.kernel().tasks().is_orphaned(group) {
            return;
        }
        let mut state = group.state.lock();
        if state.exit.is_some() || state.exec.is_some() {
            return;
        }
        // A traced task may run although its process is stopped, and stop again.
        if state.stop == Stop::None || self.task.is_traced() {
            state.stop = match state.stop {
                Stop::None => Stop::Stopping(signal),
                begun => begun,
            };
            state.stop_count += 1;
            for task in &state.tasks {
                task.interrupt();
            }
        }
    }

    /// Tells the parent of a continuation, and stops while the group does or its control group is frozen.
    pub(super) fn stop_if_told(&mut self) {
        let task = self.task.clone();
        let tasks = task.kernel.tasks();
        loop {
            let mut state = task.group.state.lock();
            let has_continued = std::mem::take(&mut state.has_continued);
            let is_told = state.due_stop().is_some();
            let is_ending = state.exit.is_some() || state.exec.is_some();
            task.has_stopped.store(is_told, Ordering::Relaxed);
            let has_completed = is_told && state.complete_stop();
            drop(state);
            let is_frozen = !is_ending && task.is_to_freeze();
            task.set_frozen(is_frozen);
            if has_continued {
                tasks.report_stop(&task.group, StopReport::Continued);
            }
            if let (true, Some(report)) = (has_completed, task.group.stop_report()) {
                tasks.report_stop(&task.group, report);
            }
            if task.is_traced() && !is_frozen {
                if self.trap_if_told() {
                    continue;
                }
                return;
            }
            if !is_told && !is_frozen {
                return;
            }
            self.fall_asleep();
            self.rest(None);
        }
    }
}

impl ThreadGroup {
    fn stop_report(&self) -> Option<StopReport> {
        self.state.lock().report
    }

    /// Tells the parent of a stop that was completed by the end of a task.
    pub(super) fn report_completed_stop(&self, tasks: &TaskSet) {
        if let Some(report @ StopReport::Stopped(_)) = self.stop_report() {
            tasks.report_stop(self, report);
        }
    }
}

impl TaskSet {
    /// Tells the parent of `group` that it has stopped or continued: SIGCHLD, unless it does not want that, and
    /// wait4(2) looks again.
    fn report_stop(&self, group: &ThreadGroup, report: StopReport) {
        let tree = self.tree.read();
        // A parent that traces the process hears of each task's stop.
        let leader = tree.groups.get(&group.id()).map(|node| node.leader);
        let is_traced_by_parent = leader.is_some_and(|leader| {
            tree.tasks.get(&leader).is_some_and(|node| node.tracer.is_some()) && !tree.is_reparented(leader)
        });
        if is_traced_by_parent && report != StopReport::Continued {
            return;
        }
        let parent = tree.groups.get(&group.id()).and_then(|node| node.parent);
        let Some(parent) = parent.and_then(|parent| tree.groups.get(&parent)).map(|node| node.group.clone())
        else {
            return;
        };
        let (code, status) = match report {
            StopReport::Stopped(signal) => (CLD_STOPPED, signal),
            StopReport::Continued => (CLD_CONTINUED, Signal::SIGCONT),
        };
        let pid = tree.group_number_in(group.id(), parent.pid_namespace().id());
        let leader = tree.groups.get(&group.id()).and_then(|node| tree.tasks.get(&node.leader));
        let uid = leader.map_or(Uid::ROOT, |leader| leader.task.uid_for(&parent));
        drop(tree);
        let action = parent.signal_actions().lock().get(Signal::SIGCHLD);
        if action.handler != Handler::Ignore && !action.flags.contains(ActionFlags::NOCLDSTOP) {
            let detail = SignalDetail::Child {
                pid: pid.0,
                uid,
                status: status.number().into(),
                user_ticks: 0,
                system_ticks: 0,
            };
            parent.send_signal(SignalInfo { signal: Signal::SIGCHLD, errno: 0, code: code as i32, detail });
        }
        parent.changes.notify(Events::IN);
    }
}
