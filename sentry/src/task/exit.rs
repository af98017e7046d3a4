//! The end of a task, of its process, and of what depended on it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::core_dump::CoreDump;
use super::id::{GroupId, TaskId};
use super::lent::PARENT_NUMBER_CALL;
use super::status::ExitStatus;
use super::tree::{NamespaceNode, Numbers, Tree};
use super::{Task, TaskSet, ThreadGroup};
use crate::cred::Uid;
use crate::signal::{Signal, SignalDetail, SignalInfo};
use crate::wait::Events;

impl Task {
    /// The task begins to exit. The last of its process to do so decides how that ends, unless something else has. While a
    /// core dump is being made it does not begin: `join` lets the dump have its registers first.
    pub(super) fn begin_exit(&self, status: ExitStatus, mut join: impl FnMut(&CoreDump)) {
        let mut has_joined = false;
        loop {
            let mut state = self.group.state.lock();
            match state.core_dump.clone().filter(|_| !has_joined) {
                Some(dump) => {
                    drop(state);
                    join(&dump);
                    has_joined = true;
                }
                None => {
                    state.active_tasks -= 1;
                    if state.active_tasks == 0 {
                        state.begin_exit(status);
                    }
                    return;
                }
            }
        }
    }

    /// How it ends, if its group is ending or another of its tasks is in execve.
    pub(super) fn pending_exit(&self) -> Option<ExitStatus> {
        let state = self.group.state.lock();
        let is_replaced = state.exec.is_some_and(|task| task != self.id);
        state.exit.or(is_replaced.then_some(ExitStatus::Exited(0)))
    }

    /// Whether nothing keeps its process alive any more.
    pub fn is_being_killed(&self) -> bool {
        self.group.state.lock().exit.is_some()
    }

    /// Releases what the task shares or owns: memory, descriptors, working directory, semaphores.
    pub(super) fn exit_resources(&self) {
        // Files are closed, and memory freed, without a lock held.
        let resources = self.resources.lock().take();
        if let Some(resources) = &resources {
            self.remember_memory_usage(&resources.memory);
        }
        drop(resources);
        let is_last = self.group.state.lock().active_tasks == 0;
        if is_last {
            self.group.aio_contexts.clear();
        }
        self.release_keyrings();
        self.release_seccomp();
        self.leave_namespaces();
        self.complete_vfork();
    }
}

impl TaskSet {
    /// Takes an ended task out of its group, and ends the process with its last task.
    pub(super) fn task_exited(&self, task: &Arc<Task>, status: ExitStatus) {
        task.cpu_time.stop();
        task.leave_events();
        task.leave_cgroup();
        let mut tree = self.tree.write();
        let id = task.group.id();
        let group_status = {
            let mut state = task.group.state.lock();
            state.tasks.retain(|other| other.id != task.id);
            state.usage += task.own_usage();
            if state.exec == Some(task.id) {
                state.exec = None;
            }
            state.exit.unwrap_or(status)
        };
        let Some(node) = tree.groups.get_mut(&id) else { return };
        node.live_tasks -= 1;
        let is_last = node.live_tasks == 0;
        let is_leader = node.leader == task.id;
        if let Some(node) = tree.tasks.get_mut(&task.id) {
            node.has_exited = true;
            node.exit_status = Some(group_status);
        }
        tree.release_tracees(task.id);
        tree.signal_death_of_parent(task.id);
        if !is_leader && !tree.notify_tracer_of_thread(task.id, group_status) {
            tree.remove_task(task.id);
        }
        let mut has_completed_stop = false;
        let mut led_session = None;
        if is_last {
            task.group.timers.clear();
            // A session is named like the process that leads it.
            led_session =
                tree.sessions.contains_key(&id).then(|| tree.session_number_in(id, self.root().id()));
            tree.end_process(id, group_status);
        } else {
            has_completed_stop = task.group.lost_a_task(task);
        }
        drop(tree);
        if let Some(session) = led_session {
            task.kernel.terminals().session_leader_exited(session.0);
        }
        if has_completed_stop {
            task.group.report_completed_stop(self);
        }
        // Who waits for the process only is not bothered for each of its tasks.
        task.group.changes.notify(if is_last { Events::IN | ThreadGroup::ENDED } else { Events::IN });
    }

    /// Makes every other task of `task`'s group end, and `task` their leader, for execve (`man 2 execve`, "Effect on process attributes"). Called
    /// again and again until it returns true; the group's queue announces each end.
    pub(super) fn is_alone(&self, task: &Task) -> bool {
        let tree = self.tree.read();
        tree.groups.get(&task.group.id()).is_none_or(|node| node.live_tasks == 1)
    }

    /// Gives `task`, the only living one of its group, its leader's place and numbers.
    pub(super) fn become_leader(&self, task: &Arc<Task>) {
        let mut tree = self.tree.write();
        let Some(group) = tree.groups.get_mut(&task.group.id()) else { return };
        let old_leader = std::mem::replace(&mut group.leader, task.id);
        group.has_execed = true;
        if old_leader == task.id {
            return;
        }
        group.tasks.remove(&old_leader);
        tree.forget_tracer(old_leader);
        let Some(old) = tree.tasks.remove(&old_leader) else { return };
        old.task.release();
        let Some(node) = tree.tasks.get_mut(&task.id) else { return };
        let own = std::mem::replace(&mut node.numbers, old.numbers.clone());
        tree.remove_numbers(&own);
        for &(namespace, tid) in old.numbers.iter() {
            if let Some(namespace) = tree.namespaces.get_mut(&namespace) {
                namespace.tasks.insert(tid, task.id);
            }
        }
        let children =
            tree.groups.get(&task.group.id()).map(|node| node.children.clone()).unwrap_or_default();
        for child in children {
            if let Some(node) =
                tree.groups.get_mut(&child).filter(|node| node.parent_task == Some(old_leader))
            {
                node.parent_task = Some(task.id);
            }
        }
        task.tid.store(task.group.tgid(), Ordering::Relaxed);
        task.root_tid.store(old.numbers.last().map_or(0, |(_, tid)| tid.0), Ordering::Relaxed);
    }
}

impl Tree {
    /// Takes a task that is nobody's leader out of the tree.
    pub(super) fn remove_task(&mut self, id: TaskId) {
        self.forget_tracer(id);
        let Some(node) = self.tasks.remove(&id) else { return };
        self.remove_numbers(&node.numbers);
        node.task.release();
        let Some(group) = self.groups.get_mut(&node.group) else { return };
        group.tasks.remove(&id);
        // The process had ended, and waited for a tracer to wait for this thread.
        self.notify_parent_if_over(node.group);
        self.notify_parents_of_inits(&node.numbers);
    }

    /// Whether the process has ended, and all that must end before its parent hears of it: threads that a tracer has not
    /// waited for, and, if it was the init of a PID namespace, every other process there.
    pub(super) fn is_all_over(&self, id: GroupId) -> bool {
        let Some(node) = self.groups.get(&id).filter(|node| node.zombie.is_some()) else { return false };
        let namespace = self.namespaces.get(&node.group.pid_namespace().id());
        let is_last = namespace
            .is_none_or(|namespace| namespace.init != Some(id) || namespace.tasks.len() <= node.tasks.len());
        is_last && node.tasks.len() == 1
    }

    fn notify_parent_if_over(&mut self, id: GroupId) {
        let status = self.groups.get(&id).and_then(|node| node.zombie);
        if let Some(status) = status.filter(|_| self.is_all_over(id)) {
            self.notify_parent(id, status);
        }
    }

    /// A task with these numbers has gone: a namespace's init that has ended may have waited for that.
    fn notify_parents_of_inits(&mut self, numbers: &Numbers) {
        for (namespace, _) in numbers.iter() {
            if let Some(init) = self.namespaces.get(namespace).and_then(|node| node.init) {
                self.notify_parent_if_over(init);
            }
        }
    }

    /// Sends their PR_SET_PDEATHSIG to the children that `parent` made.
    fn signal_death_of_parent(&mut self, parent: TaskId) {
        let Some(group) = self.tasks.get(&parent).and_then(|node| self.groups.get(&node.group)) else {
            return;
        };
        let mut successor =
            group.tasks.iter().copied().find(|id| !self.tasks.get(id).is_none_or(|node| node.has_exited));
        for child in group.children.clone() {
            let Some(node) = self.groups.get_mut(&child) else { continue };
            if node.parent_task != Some(parent) {
                continue;
            }
            node.parent_task = successor.as_mut().copied();
            let Some(leader) = self.tasks.get(&node.leader) else { continue };
            let signal = i32::from(leader.task.parent_death_signal.load(Ordering::Relaxed));
            if let Ok(signal) = Signal::new(signal) {
                node.group.send_signal(SignalInfo::from_kernel(signal));
            }
        }
    }

    /// The last task of `id` has ended.
    fn end_process(&mut self, id: GroupId, status: ExitStatus) {
        self.end_namespace_of(id);
        let affected = self.process_groups_anchored_by(id);
        self.reparent_children(id);
        self.signal_orphaned_process_groups(id, affected);
        let Some(node) = self.groups.get_mut(&id) else { return };
        node.zombie = Some(status);
        *node.group.ended.lock() = Some(status);
        self.notify_parent_if_over(id);
    }

    /// If `id` was the init of a PID namespace, everything in that namespace is killed and nothing is created
    /// there any more (`man 7 pid_namespaces`).
    fn end_namespace_of(&mut self, id: GroupId) {
        let Some(group) = self.groups.get(&id) else { return };
        let namespace_id = group.group.pid_namespace().id();
        let Some(namespace) = self.namespaces.get_mut(&namespace_id) else { return };
        if namespace.init != Some(id) {
            return;
        }
        group.group.pid_namespace().end();
        let killed = ExitStatus::Signaled { signal: Signal::SIGKILL, has_dumped_core: false };
        for task in namespace.tasks.values() {
            let Some(node) = self.tasks.get(task) else { continue };
            if node.group != id {
                node.task.group.exit(killed);
            }
        }
    }

    /// Gives the children of `id` to the next subreaper or init.
    fn reparent_children(&mut self, id: GroupId) {
        let reaper = self.reaper_of(id);
        let Some(node) = self.groups.get_mut(&id) else { return };
        let children = std::mem::take(&mut node.children);
        let reaper_task = reaper.and_then(|reaper| self.groups.get(&reaper)).map(|node| node.leader);
        for child in children {
            let Some(node) = self.groups.get_mut(&child) else { continue };
            node.parent = reaper;
            node.parent_task = reaper_task;
            node.exit_signal = Signal::SIGCHLD.number().into();
            if let Some(reaper) = reaper.and_then(|reaper| self.groups.get_mut(&reaper)) {
                reaper.children.insert(child);
            }
            self.withdraw_parent_number(child);
            self.notify_parent_if_over(child);
        }
    }

    /// Process `id` has another parent, which its tasks are not to hear from the page that answers in advance.
    fn withdraw_parent_number(&self, id: GroupId) {
        let Some(node) = self.groups.get(&id) else { return };
        node.group.reparentings.fetch_add(1, Ordering::SeqCst);
        let tasks = node.tasks.iter().filter_map(|task| self.tasks.get(task));
        tasks.filter(|node| !node.has_exited).for_each(|node| node.task.withdraw_answer(PARENT_NUMBER_CALL));
    }

    /// The process groups that `id` keeps from being orphaned: its own as a member, its children's as their parent.
    fn process_groups_anchored_by(&self, id: GroupId) -> BTreeSet<GroupId> {
        let Some(node) = self.groups.get(&id) else { return BTreeSet::new() };
        let own = self.anchors(id, node.process_group, node.session, None).then_some(node.process_group);
        let children = node.children.iter().filter_map(|child| self.groups.get(child));
        let of_children = children
            .filter(|child| child.session == node.session && child.process_group != node.process_group)
            .map(|child| child.process_group);
        own.into_iter().chain(of_children).collect()
    }

    /// Wakes stopped members of those process groups that the end of `leaving` has orphaned (POSIX, _exit: SIGHUP,
    /// then SIGCONT).
    fn signal_orphaned_process_groups(&self, leaving: GroupId, affected: BTreeSet<GroupId>) {
        for process_group in affected {
            let Some(node) = self.process_groups.get(&process_group) else { continue };
            let others: Vec<_> = node.members.iter().copied().filter(|member| *member != leaving).collect();
            let is_anchored =
                others.iter().any(|member| self.anchors(*member, process_group, node.session, Some(leaving)));
            let groups: Vec<_> = others.iter().filter_map(|member| self.groups.get(member)).collect();
            if is_anchored || !groups.iter().any(|node| node.group.has_stopped()) {
                continue;
            }
            for node in groups {
                node.group.send_signal(SignalInfo::from_kernel(Signal::SIGHUP));
                node.group.send_signal(SignalInfo::from_kernel(Signal::SIGCONT));
            }
        }
    }

    /// Tells the parent of a zombie, or its tracer first; one that nobody waits for is reaped at once.
    pub(super) fn notify_parent(&mut self, child: GroupId, status: ExitStatus) {
        if self.notify_tracer_of_process(child, status) {
            return;
        }
        let Some(node) = self.groups.get(&child) else { return };
        let Some(parent) = node.parent.and_then(|parent| self.groups.get(&parent)) else {
            self.reap(child);
            return;
        };
        let parent_group = parent.group.clone();
        let exit_signal = node.exit_signal;
        let is_ignored = exit_signal == i32::from(Signal::SIGCHLD.number())
            && parent_group.signal_actions().lock().discards_children();
        if let Ok(signal) = Signal::new(exit_signal) {
            let info = self.child_info(child, signal, status, &parent_group);
            parent_group.send_signal(info);
        }
        if is_ignored {
            self.reap(child);
        }
        parent_group.changes.notify(Events::IN);
    }

    /// The siginfo that tells `receiver` of the end of `child`.
    pub(super) fn child_info(
        &self,
        child: GroupId,
        signal: Signal,
        status: ExitStatus,
        receiver: &ThreadGroup,
    ) -> SignalInfo {
        let pid = self.group_number_in(child, receiver.pid_namespace().id());
        let leader = self.groups.get(&child).and_then(|node| self.tasks.get(&node.leader));
        let uid = leader.map_or(Uid::ROOT, |leader| leader.task.uid_for(receiver));
        let usage = self.usage_of(child);
        let (code, status) = status.child_code_and_status();
        let detail = SignalDetail::Child {
            pid: pid.0,
            uid,
            status,
            user_ticks: clock_ticks(usage.user_time),
            system_ticks: clock_ticks(usage.system_time),
        };
        SignalInfo { signal, errno: 0, code: code as i32, detail }
    }

    /// Removes a process that has ended, for the parent that has waited for it: what it used counts as its children's
    /// (`man 2 getrusage`, RUSAGE_CHILDREN).
    pub(super) fn reap_for_parent(&mut self, id: GroupId) {
        let usage = self.usage_with_children(id);
        let parent = self.groups.get(&id).and_then(|node| node.parent);
        if let Some(parent) = parent.and_then(|parent| self.groups.get_mut(&parent)) {
            parent.children_usage += usage;
        }
        self.reap(id);
    }

    /// Removes a process that has ended, its numbers last.
    pub(super) fn reap(&mut self, id: GroupId) {
        let own_usage = self.usage_of(id);
        self.past_usage += own_usage;
        self.leave_process_group(id);
        let Some(node) = self.groups.remove(&id) else { return };
        if let Some(parent) = node.parent.and_then(|parent| self.groups.get_mut(&parent)) {
            parent.children.remove(&id);
        }
        node.group.is_reaped.store(true, Ordering::Release);
        for task in &node.tasks {
            self.forget_tracer(*task);
            if let Some(node) = self.tasks.remove(task) {
                self.remove_numbers(&node.numbers);
                node.task.release();
                self.notify_parents_of_inits(&node.numbers);
            }
        }
        let namespace = node.group.pid_namespace();
        let is_empty = |node: &NamespaceNode| node.tasks.is_empty();
        if namespace.is_over() && self.namespaces.get(&namespace.id()).is_some_and(is_empty) {
            self.namespaces.remove(&namespace.id());
        }
    }
}

/// A time in ticks of `USER_HZ`, 100 a second.
fn clock_ticks(time: Duration) -> i64 {
    i64::try_from(time.as_millis() / 10).unwrap_or(i64::MAX)
}
