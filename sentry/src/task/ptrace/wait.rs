//! Waiting for tracees: their stops and their ends (`man 2 ptrace`, "Death under ptrace").

use crate::task::id::TaskId;
use crate::task::tree::Tree;
use crate::task::{ChildEvent, ExitStatus, ResourceUsage, Task, WaitOptions, WaitSelector, Waited};

impl Tree {
    /// The tasks that `caller`'s process traces, or `caller` alone with NOTHREAD, of those selected.
    pub(in crate::task) fn selected_tracees(
        &self,
        caller: &Task,
        selector: WaitSelector,
        options: WaitOptions,
    ) -> Vec<TaskId> {
        let Some(group) = self.groups.get(&caller.group.id()) else { return Vec::new() };
        let tracers = group
            .tasks
            .iter()
            .filter(|task| !options.contains(WaitOptions::NOTHREAD) || **task == caller.id)
            .filter_map(|task| self.tasks.get(task));
        let tracees = tracers.flat_map(|tracer| tracer.tracees.iter().copied());
        tracees.filter(|tracee| self.is_selected_tracee(*tracee, caller, selector)).collect()
    }

    fn is_selected_tracee(&self, tracee: TaskId, caller: &Task, selector: WaitSelector) -> bool {
        let namespace = caller.group.pid_namespace().id();
        let Some(node) = self.tasks.get(&tracee) else { return false };
        let Some(group) = self.groups.get(&node.group) else { return false };
        match selector {
            WaitSelector::Any => true,
            WaitSelector::Process(tid) => Self::number_in(&node.numbers, namespace) == tid,
            WaitSelector::Group(id) => node.group == id && group.leader == tracee,
            WaitSelector::ProcessGroup(tid) => {
                self.process_group(namespace, tid) == Some(group.process_group)
            }
        }
    }

    /// Whether `tracee` has ended: it has no more stops to tell.
    pub(in crate::task) fn has_tracee_ended(&self, tracee: TaskId) -> bool {
        self.tasks.get(&tracee).is_none_or(|node| node.has_exited)
    }

    /// What `tracee` has to tell, and the telling consumed unless NOWAIT.
    pub(in crate::task) fn take_tracee_event(
        &mut self,
        tracee: TaskId,
        caller: &Task,
        options: WaitOptions,
    ) -> Option<Waited> {
        let node = self.tasks.get(&tracee)?;
        let task = node.task.clone();
        let is_consumed = !options.contains(WaitOptions::NOWAIT);
        let event = match node.exit_status {
            Some(_) if !options.contains(WaitOptions::EXITED) => return None,
            Some(status) => ChildEvent::Ended(self.reportable_end(tracee, status)?),
            None => {
                let mut trace = task.ptrace.lock();
                let stop = trace.stop.as_mut().filter(|stop| stop.is_open() && !stop.is_reported)?;
                stop.is_reported = is_consumed;
                ChildEvent::Trapped(stop.code)
            }
        };
        let group = self.groups.get(&node.group)?;
        let is_leader = group.leader == tracee;
        let waited = Waited {
            pid: Self::number_in(&node.numbers, caller.group.pid_namespace().id()),
            uid: task.credentials().real_uid,
            event,
            usage: if is_leader { self.usage_with_children(node.group) } else { ResourceUsage::default() },
        };
        if matches!(event, ChildEvent::Ended(_)) && is_consumed {
            let process = node.group;
            match is_leader && !self.is_reparented(tracee) {
                true => self.reap_for_parent(process),
                false => self.unlink(tracee, None),
            }
        }
        Some(waited)
    }

    /// How an ended `tracee` ended, to whoever waits for it: if its process is ending, that counts. `None` if it leads
    /// a process that still has other threads: its end is not to be told yet.
    fn reportable_end(&self, tracee: TaskId, status: ExitStatus) -> Option<ExitStatus> {
        let group = self.groups.get(&self.tasks.get(&tracee)?.group)?;
        if group.leader == tracee {
            return group.zombie.filter(|_| group.tasks.len() == 1);
        }
        Some(group.group.exiting().unwrap_or(status))
    }
}
