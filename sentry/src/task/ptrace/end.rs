//! The end of a traced task: its tracer hears of it first, then its parent.

use crate::signal::{Signal, SignalDetail, SignalInfo};
use crate::task::id::{GroupId, TaskId};
use crate::task::status::ExitStatus;
use crate::task::tree::Tree;
use crate::wait::Events;

impl Tree {
    /// Tells the tracer of a thread that has ended, which stays until the tracer has waited for it. Returns whether
    /// somebody traces it.
    pub(in crate::task) fn notify_tracer_of_thread(&mut self, task: TaskId, status: ExitStatus) -> bool {
        let Some(tracer) = self.tracer_group(task) else { return false };
        let Some(node) = self.tasks.get(&task) else { return false };
        let (code, status) = status.child_code_and_status();
        let detail = SignalDetail::Child {
            pid: Self::number_in(&node.numbers, tracer.pid_namespace().id()).0,
            uid: node.task.uid_for(&tracer),
            status,
            user_ticks: 0,
            system_ticks: 0,
        };
        tracer.send_signal(SignalInfo { signal: Signal::SIGCHLD, errno: 0, code: code as i32, detail });
        tracer.changes.notify(Events::IN);
        true
    }

    /// Tells the tracer of the end of a process. Returns whether somebody traces its leader: then it stays until
    /// the tracer has waited for it.
    pub(in crate::task) fn notify_tracer_of_process(&mut self, process: GroupId, status: ExitStatus) -> bool {
        let Some(node) = self.groups.get(&process) else { return false };
        let (leader, exit_signal) = (node.leader, node.exit_signal);
        let Some(tracer) = self.tracer_group(leader) else { return false };
        let signal = if self.is_reparented(leader) { Signal::SIGCHLD.number().into() } else { exit_signal };
        if let Ok(signal) = Signal::new(signal) {
            tracer.send_signal(self.child_info(process, signal, status, &tracer));
        }
        tracer.changes.notify(Events::IN);
        true
    }

    /// `task` is no longer traced. If it has ended it goes, or its parent hears of it now. The parent has heard already
    /// if it was the tracer.
    pub(super) fn leave_ended_to_parent(&mut self, task: TaskId, is_of_parent: bool) {
        let Some(node) = self.tasks.get(&task).filter(|node| node.has_exited) else { return };
        let Some(group) = self.groups.get(&node.group) else { return };
        if group.leader != task {
            self.remove_task(task);
            return;
        }
        let Some(status) = group.zombie.filter(|_| group.tasks.len() == 1) else { return };
        let process = group.group.id();
        let is_ignored = group
            .parent
            .and_then(|parent| self.groups.get(&parent))
            .is_some_and(|parent| parent.group.signal_actions().lock().discards_children());
        if !is_of_parent || is_ignored {
            self.notify_parent(process, status);
        }
    }
}
