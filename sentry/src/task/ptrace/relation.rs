//! Who traces whom: beginning and ending it.

use std::sync::Arc;

use super::state::{Grant, Trace, TraceOptions};
use crate::Errno;
use crate::cred::{Capabilities, Credentials, Uid};
use crate::signal::{Signal, SignalInfo};
use crate::task::id::TaskId;
use crate::task::tree::Tree;
use crate::task::{PidNamespace, Task, TaskSet, ThreadGroup, Tid};

impl TaskSet {
    /// PTRACE_TRACEME: the parent traces `task`.
    ///
    /// # Errors
    /// EPERM: somebody traces it already, or there is no parent.
    pub(crate) fn trace_me(&self, task: &Task) -> Result<(), Errno> {
        let mut tree = self.tree.write();
        let parent = tree.groups.get(&task.group.id()).and_then(|node| {
            let leader = || Some(tree.groups.get(&node.parent?)?.leader);
            node.parent_task.or_else(leader)
        });
        let parent = parent.and_then(|parent| tree.tasks.get(&parent)).filter(|parent| !parent.has_exited);
        let parent = parent.ok_or(Errno::EPERM)?.task.clone();
        let domain = parent.credentials().landlock.clone();
        if domain.is_some_and(|domain| !domain.is_around(task.credentials().landlock.as_ref())) {
            return Err(Errno::EPERM);
        }
        // Who asks to be traced vouches for its tracer.
        tree.link(task.id, &parent, &task.credentials(), TraceOptions::empty(), false)
    }

    /// PTRACE_ATTACH: `tracer` traces `target`, which is to stop.
    ///
    /// # Errors
    /// EPERM: `tracer` may not, or somebody does already, or `target` has ended.
    pub(crate) fn attach(&self, tracer: &Task, target: &Arc<Task>) -> Result<(), Errno> {
        self.begin_tracing(tracer, target, TraceOptions::empty(), false)?;
        target.send_signal(SignalInfo::from_kernel(Signal::SIGSTOP));
        Ok(())
    }

    /// PTRACE_SEIZE: `tracer` traces `target`, which goes on.
    ///
    /// # Errors
    /// As [`TaskSet::attach`].
    pub(crate) fn seize(
        &self,
        tracer: &Task,
        target: &Arc<Task>,
        options: TraceOptions,
    ) -> Result<(), Errno> {
        self.begin_tracing(tracer, target, options, true)?;
        // One in a group stop stops for its tracer now.
        target.waiter.wake();
        Ok(())
    }

    fn begin_tracing(
        &self,
        tracer: &Task,
        target: &Arc<Task>,
        options: TraceOptions,
        is_seized: bool,
    ) -> Result<(), Errno> {
        if Arc::ptr_eq(&tracer.group, &target.group) {
            return Err(Errno::EPERM);
        }
        super::check_access(tracer, target)?;
        self.tree.write().link(target.id, tracer, &tracer.credentials(), options, is_seized)
    }

    /// Has who traces `parent` trace `child`, which has not started, in the same way: its first stop comes before its
    /// first instruction.
    pub(in crate::task) fn trace_child(&self, parent: &Task, child: &Task) {
        let mut tree = self.tree.write();
        let Some(tracer) = tree.tasks.get(&parent.id).and_then(|node| node.tracer) else { return };
        let grant = parent.ptrace.lock().grant;
        tree.insert_link(child.id, tracer, grant);
        if grant.is_seized {
            child.ptrace.lock().is_trap_pending = true;
        } else {
            let info = SignalInfo::from_kill(Signal::SIGSTOP, 0, Uid::ROOT);
            // The queue is empty: there is room.
            let _ = child.signals.lock().pending.enqueue(info, u64::MAX);
        }
    }

    /// PTRACE_DETACH.
    pub(super) fn detach(&self, tracee: &Task, signal: Option<SignalInfo>) {
        self.tree.write().unlink(tracee.id, signal);
    }

    /// Whether `tracer` traces `tracee`: the very thread, as on Linux.
    pub(super) fn is_tracer(&self, tracer: &Task, tracee: &Task) -> bool {
        self.tree.read().tasks.get(&tracee.id).is_some_and(|node| node.tracer == Some(tracer.id))
    }

    /// What the tracer of `task` calls `subject`; 0 if it does not see it, or if there is no tracer.
    pub(in crate::task) fn number_for_tracer(&self, task: &Task, subject: &Task) -> Tid {
        let tree = self.tree.read();
        let Some(tracer) = tree.tracer_group(task.id) else { return Tid(0) };
        let namespace = tracer.pid_namespace().id();
        tree.tasks.get(&subject.id).map_or(Tid(0), |node| Tree::number_in(&node.numbers, namespace))
    }

    /// What `namespace` calls the tracer of `task`; 0 if there is none.
    pub(in crate::task) fn tracer_number(&self, task: &Task, namespace: &PidNamespace) -> Tid {
        let tree = self.tree.read();
        let tracer = tree.tasks.get(&task.id).and_then(|node| tree.tasks.get(&node.tracer?));
        tracer.map_or(Tid(0), |tracer| Tree::number_in(&tracer.numbers, namespace.id()))
    }
}

impl Tree {
    fn link(
        &mut self,
        tracee: TaskId,
        tracer: &Task,
        voucher: &Credentials,
        options: TraceOptions,
        is_seized: bool,
    ) -> Result<(), Errno> {
        let node = self.tasks.get(&tracee).ok_or(Errno::ESRCH)?;
        if node.tracer.is_some() || node.has_exited {
            return Err(Errno::EPERM);
        }
        let is_privileged = {
            let namespace = node.task.credentials().user_namespace.clone();
            voucher.has_in(&namespace, Capabilities::SYS_PTRACE)
        };
        self.insert_link(tracee, tracer.id, Grant { is_seized, is_privileged, options });
        Ok(())
    }

    fn insert_link(&mut self, tracee: TaskId, tracer: TaskId, grant: Grant) {
        let Some(tracer_node) = self.tasks.get_mut(&tracer) else { return };
        tracer_node.tracees.insert(tracee);
        let Some(node) = self.tasks.get_mut(&tracee) else { return };
        node.tracer = Some(tracer);
        *node.task.ptrace.lock() = Trace { grant, ..Trace::default() };
        node.task.ptrace.set_traced(true);
    }

    /// Ends the tracing of `tracee`. If it is stopped it goes on, perhaps with a signal, unless its process is stopped.
    /// One that has ended is left to its parent.
    pub(in crate::task) fn unlink(&mut self, tracee: TaskId, signal: Option<SignalInfo>) {
        let is_of_parent = !self.is_reparented(tracee);
        let Some(task) = self.forget_tracer(tracee) else { return };
        let is_group_stopped = task.group.has_begun_to_stop();
        {
            let mut trace = task.ptrace.lock();
            let mut stop = trace.stop.take();
            if let Some(stop) = stop.as_mut().filter(|stop| stop.resumed.is_none()) {
                stop.resumed = Some(signal);
            }
            *trace = Trace { stop, ..Trace::default() };
        }
        match is_group_stopped {
            true => task.interrupt(),
            false => task.waiter.wake(),
        }
        self.leave_ended_to_parent(tracee, is_of_parent);
    }

    /// Takes the relation out of the tree. Returns the task that was traced.
    pub(in crate::task) fn forget_tracer(&mut self, tracee: TaskId) -> Option<Arc<Task>> {
        let node = self.tasks.get_mut(&tracee)?;
        let tracer = node.tracer.take()?;
        let task = node.task.clone();
        task.ptrace.set_traced(false);
        if let Some(tracer) = self.tasks.get_mut(&tracer) {
            tracer.tracees.remove(&tracee);
        }
        Some(task)
    }

    /// The end of `tracer`: nobody stays traced by it.
    pub(in crate::task) fn release_tracees(&mut self, tracer: TaskId) {
        let Some(node) = self.tasks.get(&tracer) else { return };
        for tracee in node.tracees.clone() {
            let Some(task) = self.tasks.get(&tracee).map(|node| node.task.clone()) else { continue };
            if task.ptrace.lock().grant.options.contains(TraceOptions::EXITKILL) {
                task.group.send_signal(SignalInfo::from_kernel(Signal::SIGKILL));
            }
            self.unlink(tracee, None);
        }
    }

    /// The process of the task that traces `tracee`.
    pub(super) fn tracer_group(&self, tracee: TaskId) -> Option<Arc<ThreadGroup>> {
        let tracer = self.tasks.get(&tracee)?.tracer?;
        Some(self.tasks.get(&tracer)?.task.group.clone())
    }

    /// Whether a process other than the parent traces `tracee`.
    pub(in crate::task) fn is_reparented(&self, tracee: TaskId) -> bool {
        let Some(tracer) = self.tracer_group(tracee) else { return false };
        let group = self.tasks.get(&tracee).and_then(|node| self.groups.get(&node.group));
        group.is_some_and(|group| group.parent != Some(tracer.id()))
    }
}
