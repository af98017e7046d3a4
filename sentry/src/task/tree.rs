//! Who is related to whom: tasks, processes, process groups, sessions and PID namespaces.
//!
//! All of it lives in one value under one lock, and refers to itself by ids that are never reused. So a change is
//! seen whole or not at all, and the invariants can be checked in one place (`Tree::check`, in tests).

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::id::{GroupId, NamespaceId, TaskId, Tid};
use super::status::{ExitStatus, ResourceUsage};
use super::tid_allocator::TidAllocator;
use super::{PidNamespace, Task, ThreadGroup};
use crate::Errno;

/// A task's number in each PID namespace that sees it, its own first.
pub(super) type Numbers = Arc<[(NamespaceId, Tid)]>;

/// All relations.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) tasks: FxHashMap<TaskId, TaskNode>,
    pub(super) groups: FxHashMap<GroupId, GroupNode>,
    /// By the process that began each: its number is the group's.
    pub(super) process_groups: FxHashMap<GroupId, ProcessGroupNode>,
    /// By the leader of each.
    pub(super) sessions: FxHashMap<GroupId, SessionNode>,
    pub(super) namespaces: FxHashMap<NamespaceId, NamespaceNode>,
    /// External stops in force.
    pub(super) stops: u32,
    /// What processes used that have been reaped.
    pub(super) past_usage: ResourceUsage,
}

/// A task's place.
pub(super) struct TaskNode {
    pub(super) task: Arc<Task>,
    pub(super) group: GroupId,
    pub(super) numbers: Numbers,
    pub(super) has_exited: bool,
    /// How it ended, once it has.
    pub(super) exit_status: Option<ExitStatus>,
    /// Who traces it (`man 2 ptrace`).
    pub(super) tracer: Option<TaskId>,
    /// Whom it traces.
    pub(super) tracees: BTreeSet<TaskId>,
}

/// A process's place.
pub(super) struct GroupNode {
    pub(super) group: Arc<ThreadGroup>,
    pub(super) leader: TaskId,
    /// Every task that has not been reaped; the leader stays until the process is.
    pub(super) tasks: BTreeSet<TaskId>,
    pub(super) live_tasks: usize,
    pub(super) parent: Option<GroupId>,
    /// The task that made this process, while it lives: __WNOTHREAD and PR_SET_PDEATHSIG ask for it.
    pub(super) parent_task: Option<TaskId>,
    pub(super) children: BTreeSet<GroupId>,
    pub(super) process_group: GroupId,
    pub(super) session: GroupId,
    /// The signal that tells the parent of the end; 0 for none. Anything but SIGCHLD makes a "clone" child (wait4's __WCLONE).
    pub(super) exit_signal: i32,
    /// How the process ended, from the exit of its last task until it is reaped.
    pub(super) zombie: Option<ExitStatus>,
    /// What reaped children used.
    pub(super) children_usage: ResourceUsage,
    pub(super) is_child_subreaper: bool,
    pub(super) has_execed: bool,
}

pub(super) struct ProcessGroupNode {
    pub(super) numbers: Numbers,
    pub(super) session: GroupId,
    pub(super) members: BTreeSet<GroupId>,
}

pub(super) struct SessionNode {
    pub(super) numbers: Numbers,
    pub(super) process_groups: BTreeSet<GroupId>,
    /// What /proc/PID/autogroup tells, -20 to 19.
    pub(super) niceness: i32,
}

/// What one PID namespace sees, from its first task to its last.
pub(super) struct NamespaceNode {
    pub(super) numbers: TidAllocator,
    pub(super) tasks: FxHashMap<Tid, TaskId>,
    pub(super) process_groups: FxHashMap<Tid, GroupId>,
    pub(super) sessions: FxHashMap<Tid, GroupId>,
    /// The namespace's first process; `None` before it is made.
    pub(super) init: Option<GroupId>,
}

impl NamespaceNode {
    pub(super) fn new() -> Self {
        Self {
            numbers: TidAllocator::new(),
            tasks: FxHashMap::default(),
            process_groups: FxHashMap::default(),
            sessions: FxHashMap::default(),
            init: None,
        }
    }
}

impl Tree {
    /// Gives `task` a number in `namespace` and every ancestor: in all or in none. `wanted` are exact numbers, from
    /// `namespace` outwards; others are at most `end`.
    ///
    /// # Errors
    /// ENOMEM if a namespace's init has died, EAGAIN if one has no number left; of exact numbers EEXIST or EINVAL.
    pub(super) fn assign_numbers(
        &mut self,
        task: TaskId,
        namespace: &Arc<PidNamespace>,
        wanted: &[Tid],
        end: Tid,
    ) -> Result<Numbers, Errno> {
        let mut numbers = Vec::with_capacity(namespace.level() + 1);
        let mut wanted = wanted.iter();
        for namespace in namespace.with_ancestors() {
            match self.assign_number(task, namespace, wanted.next().copied(), end) {
                Ok(tid) => numbers.push((namespace.id(), tid)),
                Err(error) => {
                    for (namespace, tid) in numbers {
                        self.remove_number(namespace, tid);
                    }
                    return Err(error);
                }
            }
        }
        Ok(numbers.into())
    }

    fn assign_number(
        &mut self,
        task: TaskId,
        namespace: &PidNamespace,
        wanted: Option<Tid>,
        end: Tid,
    ) -> Result<Tid, Errno> {
        if namespace.is_over() {
            return Err(Errno::ENOMEM);
        }
        let node = self.namespaces.entry(namespace.id()).or_insert_with(NamespaceNode::new);
        let tid = match wanted {
            Some(tid) => {
                if node.init.is_none() && tid != Tid::INIT {
                    return Err(Errno::EINVAL);
                }
                node.numbers.allocate_exactly(tid).map(|()| tid)?
            }
            None => node.numbers.allocate(end)?,
        };
        node.tasks.insert(tid, task);
        Ok(tid)
    }

    fn remove_number(&mut self, namespace: NamespaceId, tid: Tid) {
        let Some(node) = self.namespaces.get_mut(&namespace) else { return };
        node.tasks.remove(&tid);
        node.numbers.release(tid);
        if node.tasks.is_empty() && node.init.is_none() && namespace != NamespaceId::ROOT {
            // Its first task did not come to be.
            self.namespaces.remove(&namespace);
        }
    }

    /// Takes `task` out of every namespace.
    pub(super) fn remove_numbers(&mut self, numbers: &Numbers) {
        for &(namespace, tid) in numbers.iter() {
            self.remove_number(namespace, tid);
        }
    }

    /// The task that `namespace` calls `tid`.
    pub(super) fn task(&self, namespace: NamespaceId, tid: Tid) -> Option<&TaskNode> {
        self.tasks.get(self.namespaces.get(&namespace)?.tasks.get(&tid)?)
    }

    /// The process that `namespace` calls `tid`: only its leader's number will do.
    pub(super) fn group(&self, namespace: NamespaceId, tid: Tid) -> Option<&GroupNode> {
        let task = *self.namespaces.get(&namespace)?.tasks.get(&tid)?;
        let group = self.groups.get(&self.tasks.get(&task)?.group)?;
        (group.leader == task).then_some(group)
    }

    /// What `namespace` calls the task with these numbers; 0 if it does not see it.
    pub(super) fn number_in(numbers: &Numbers, namespace: NamespaceId) -> Tid {
        numbers.iter().find(|(id, _)| *id == namespace).map_or(Tid(0), |&(_, tid)| tid)
    }

    /// What `namespace` calls the process; 0 if it does not see it.
    pub(super) fn group_number_in(&self, group: GroupId, namespace: NamespaceId) -> Tid {
        let leader = self.groups.get(&group).and_then(|node| self.tasks.get(&node.leader));
        leader.map_or(Tid(0), |leader| Self::number_in(&leader.numbers, namespace))
    }

    /// What `namespace` calls the process group.
    pub(super) fn process_group_number_in(&self, id: GroupId, namespace: NamespaceId) -> Tid {
        self.process_groups.get(&id).map_or(Tid(0), |node| Self::number_in(&node.numbers, namespace))
    }

    /// What `namespace` calls the session.
    pub(super) fn session_number_in(&self, id: GroupId, namespace: NamespaceId) -> Tid {
        self.sessions.get(&id).map_or(Tid(0), |node| Self::number_in(&node.numbers, namespace))
    }

    /// The process group that `namespace` calls `tid`.
    pub(super) fn process_group(&self, namespace: NamespaceId, tid: Tid) -> Option<GroupId> {
        self.namespaces.get(&namespace)?.process_groups.get(&tid).copied()
    }

    /// Begins a session and a process group, both led by `group`, whose leader has `numbers`.
    pub(super) fn begin_session(&mut self, group: GroupId, numbers: &Numbers) {
        for &(namespace, tid) in numbers.iter() {
            if let Some(node) = self.namespaces.get_mut(&namespace) {
                node.numbers.hold(tid);
                node.sessions.insert(tid, group);
            }
        }
        let session = SessionNode { numbers: numbers.clone(), process_groups: BTreeSet::new(), niceness: 0 };
        self.sessions.insert(group, session);
        self.begin_process_group(group, numbers, group);
    }

    /// Begins an empty process group named after `group`.
    pub(super) fn begin_process_group(&mut self, group: GroupId, numbers: &Numbers, session: GroupId) {
        for &(namespace, tid) in numbers.iter() {
            if let Some(node) = self.namespaces.get_mut(&namespace) {
                node.numbers.hold(tid);
                node.process_groups.insert(tid, group);
            }
        }
        self.process_groups
            .insert(group, ProcessGroupNode { numbers: numbers.clone(), session, members: BTreeSet::new() });
        if let Some(session) = self.sessions.get_mut(&session) {
            session.process_groups.insert(group);
        }
    }

    /// Adds `group` to a process group that exists.
    pub(super) fn join_process_group(&mut self, group: GroupId, process_group: GroupId) {
        if let Some(node) = self.process_groups.get_mut(&process_group) {
            node.members.insert(group);
            let session = node.session;
            if let Some(node) = self.groups.get_mut(&group) {
                node.process_group = process_group;
                node.session = session;
            }
        }
    }

    /// Takes `group` out of its process group, which ends with its last member, as the session does with its
    /// last process group.
    pub(super) fn leave_process_group(&mut self, group: GroupId) {
        let Some(process_group) = self.groups.get(&group).map(|node| node.process_group) else { return };
        let Some(node) = self.process_groups.get_mut(&process_group) else { return };
        node.members.remove(&group);
        if !node.members.is_empty() {
            return;
        }
        let Some(node) = self.process_groups.remove(&process_group) else { return };
        for &(namespace, tid) in node.numbers.iter() {
            if let Some(namespace) = self.namespaces.get_mut(&namespace) {
                namespace.process_groups.remove(&tid);
                namespace.numbers.release(tid);
            }
        }
        self.leave_session(process_group, node.session);
    }

    fn leave_session(&mut self, process_group: GroupId, session: GroupId) {
        let Some(node) = self.sessions.get_mut(&session) else { return };
        node.process_groups.remove(&process_group);
        if !node.process_groups.is_empty() {
            return;
        }
        let Some(node) = self.sessions.remove(&session) else { return };
        for &(namespace, tid) in node.numbers.iter() {
            if let Some(namespace) = self.namespaces.get_mut(&namespace) {
                namespace.sessions.remove(&tid);
                namespace.numbers.release(tid);
            }
        }
    }

    /// Whether no member of the process group has a parent outside of it but in its session (`man 2 setpgid`):
    /// nobody is left who could continue a stopped member.
    pub(super) fn is_orphaned(&self, process_group: GroupId) -> bool {
        let Some(node) = self.process_groups.get(&process_group) else { return true };
        !node.members.iter().any(|member| self.anchors(*member, process_group, node.session, None))
    }

    /// Whether `member`'s parent keeps the process group from being orphaned. `leaving` does not count.
    pub(super) fn anchors(
        &self,
        member: GroupId,
        process_group: GroupId,
        session: GroupId,
        leaving: Option<GroupId>,
    ) -> bool {
        // The caller of vmm is outside, and in the session as far as anybody inside can tell.
        if self.namespaces.get(&NamespaceId::ROOT).and_then(|root| root.init) == Some(member) {
            return true;
        }
        let parent =
            self.groups.get(&member).filter(|node| node.zombie.is_none()).and_then(|node| node.parent);
        parent
            .filter(|parent| Some(*parent) != leaving)
            .and_then(|parent| self.groups.get(&parent))
            .is_some_and(|parent| {
                parent.zombie.is_none() && parent.process_group != process_group && parent.session == session
            })
    }

    /// Who takes the children of `group`: the nearest living ancestor that is a child subreaper, else the init
    /// of its PID namespace (`man 2 prctl`, PR_SET_CHILD_SUBREAPER).
    pub(super) fn reaper_of(&self, group: GroupId) -> Option<GroupId> {
        let namespace = self.groups.get(&group)?.group.pid_namespace().id();
        let init = self.namespaces.get(&namespace)?.init;
        let mut ancestor = self.groups.get(&group)?.parent;
        while let Some(id) = ancestor {
            let node = self.groups.get(&id)?;
            if node.group.pid_namespace().id() != namespace {
                break;
            }
            if node.is_child_subreaper && node.live_tasks > 0 {
                return Some(id);
            }
            ancestor = node.parent;
        }
        init.filter(|init| *init != group && self.groups.get(init).is_some_and(|node| node.live_tasks > 0))
    }

    /// Checks every invariant. For tests.
    ///
    /// # Panics
    /// One does not hold.
    #[cfg(test)]
    pub(super) fn check(&self) {
        for (id, node) in &self.tasks {
            assert!(self.groups[&node.group].tasks.contains(id), "a task outside of its group");
            for (namespace, tid) in node.numbers.iter() {
                assert_eq!(self.namespaces[namespace].tasks[tid], *id, "a number that leads elsewhere");
            }
            assert!(node.tracees.iter().all(|tracee| self.tasks[tracee].tracer == Some(*id)));
            assert_eq!(node.task.is_traced(), node.tracer.is_some());
            if let Some(tracer) = node.tracer {
                assert!(self.tasks[&tracer].tracees.contains(id), "a tracer that does not know its tracee");
            }
        }
        for (id, node) in &self.groups {
            assert!(node.tasks.contains(&node.leader), "a process without its leader");
            assert_eq!(
                node.live_tasks,
                node.tasks.iter().filter(|task| !self.tasks[task].has_exited).count()
            );
            let (living, active) = {
                let state = node.group.state.lock();
                (state.tasks.len(), state.active_tasks)
            };
            assert_eq!(living, node.live_tasks, "a process that has lost a task, or not");
            assert!(active <= living, "more tasks run than live");
            assert!(self.process_groups[&node.process_group].members.contains(id));
            assert_eq!(self.process_groups[&node.process_group].session, node.session);
            assert!(node.children.iter().all(|child| self.groups[child].parent == Some(*id)));
            if let Some(parent) = node.parent {
                assert!(self.groups[&parent].children.contains(id), "a parent that does not know its child");
            }
        }
        for (id, node) in &self.process_groups {
            assert!(!node.members.is_empty(), "an empty process group");
            assert!(self.sessions[&node.session].process_groups.contains(id));
        }
        for node in self.namespaces.values() {
            assert!(node.tasks.values().all(|task| self.tasks.contains_key(task)), "a dangling number");
        }
    }
}
