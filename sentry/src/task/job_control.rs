//! Process groups and sessions (`man 2 setpgid`, `man 2 setsid`), and who is whose subreaper.

use super::id::Tid;
use super::status::ResourceUsage;
use super::tree::{GroupNode, Tree};
use super::{GroupId, NamespaceId, PidNamespace, Task, TaskSet, ThreadGroup};
use crate::Errno;

impl TaskSet {
    /// setpgid(2) by `caller`: 0 means the caller, and the process's own number.
    ///
    /// # Errors
    /// ESRCH, EACCES, EPERM, EINVAL as the manual page has them.
    pub(crate) fn set_process_group(
        &self,
        caller: &Task,
        process: Tid,
        process_group: Tid,
    ) -> Result<(), Errno> {
        let is_negative = |tid: Tid| tid.0 < 0;
        if is_negative(process_group) || process_group.0 == 0 && is_negative(process) {
            return Err(Errno::EINVAL);
        }
        let namespace = caller.group.pid_namespace().id();
        let mut tree = self.tree.write();
        let target = movable_process(&tree, caller, namespace, process)?;
        let id = target.group.id();
        let (session, leader, old) = (target.session, target.leader, target.process_group);
        let own_number = tree.group_number_in(id, namespace);
        let wanted = if process_group.0 == 0 { own_number } else { process_group };
        let new = match tree.process_group(namespace, wanted) {
            Some(existing) => {
                if tree.process_groups.get(&existing).ok_or(Errno::EPERM)?.session != session {
                    return Err(Errno::EPERM);
                }
                existing
            }
            None if wanted == own_number => {
                let numbers = tree.tasks.get(&leader).ok_or(Errno::ESRCH)?.numbers.clone();
                tree.begin_process_group(id, &numbers, session);
                id
            }
            None => return Err(Errno::EPERM),
        };
        if new != old {
            tree.leave_process_group(id);
            tree.join_process_group(id, new);
        }
        Ok(())
    }

    /// setsid(2) by `caller`: returns the new session's number.
    ///
    /// # Errors
    /// EPERM if a process group already has the caller's number.
    pub(crate) fn set_session(&self, caller: &Task) -> Result<Tid, Errno> {
        let mut tree = self.tree.write();
        let id = caller.group.id();
        let namespace = caller.group.pid_namespace().id();
        let leader = tree.groups.get(&id).ok_or(Errno::ESRCH)?.leader;
        let numbers = tree.tasks.get(&leader).ok_or(Errno::ESRCH)?.numbers.clone();
        let own_number = Tree::number_in(&numbers, namespace);
        if tree.process_group(namespace, own_number).is_some() {
            return Err(Errno::EPERM);
        }
        tree.begin_session(id, &numbers);
        tree.leave_process_group(id);
        tree.join_process_group(id, id);
        Ok(own_number)
    }

    /// What `namespace` calls the process group and the session of `group`.
    pub(crate) fn process_group_and_session(
        &self,
        group: &ThreadGroup,
        namespace: &PidNamespace,
    ) -> (Tid, Tid) {
        let tree = self.tree.read();
        let namespace = namespace.id();
        tree.groups.get(&group.id()).map_or((Tid(0), Tid(0)), |node| {
            (
                tree.process_group_number_in(node.process_group, namespace),
                tree.session_number_in(node.session, namespace),
            )
        })
    }

    /// The ids of the process group and the session of `group`.
    pub(crate) fn process_group_ids(&self, group: &ThreadGroup) -> Option<(GroupId, GroupId)> {
        self.tree.read().groups.get(&group.id()).map(|node| (node.process_group, node.session))
    }

    /// Whether the process group of `group` is orphaned.
    pub(crate) fn is_orphaned(&self, group: &ThreadGroup) -> bool {
        let tree = self.tree.read();
        tree.groups.get(&group.id()).is_none_or(|node| tree.is_orphaned(node.process_group))
    }

    /// PR_SET_CHILD_SUBREAPER.
    pub(crate) fn set_child_subreaper(&self, group: &ThreadGroup, is_subreaper: bool) {
        if let Some(node) = self.tree.write().groups.get_mut(&group.id()) {
            node.is_child_subreaper = is_subreaper;
        }
    }

    /// PR_GET_CHILD_SUBREAPER.
    pub(crate) fn is_child_subreaper(&self, group: &ThreadGroup) -> bool {
        self.tree.read().groups.get(&group.id()).is_some_and(|node| node.is_child_subreaper)
    }

    /// What the reaped children of `group` used.
    pub(crate) fn children_usage(&self, group: &ThreadGroup) -> ResourceUsage {
        self.tree
            .read()
            .groups
            .get(&group.id())
            .map_or_else(ResourceUsage::default, |node| node.children_usage)
    }
}

impl Tree {
    /// What the tasks of `group` have used.
    pub(super) fn usage_of(&self, group: GroupId) -> ResourceUsage {
        self.groups.get(&group).map_or_else(ResourceUsage::default, |node| node.group.usage())
    }

    /// The same with what its reaped children used.
    pub(super) fn usage_with_children(&self, group: GroupId) -> ResourceUsage {
        let mut usage = self.usage_of(group);
        if let Some(node) = self.groups.get(&group) {
            usage += node.children_usage;
        }
        usage
    }
}

/// The process that setpgid(2) names, if `caller` may move it to another process group: its own, or that of a child in its session
/// that has executed nothing.
fn movable_process<'a>(
    tree: &'a Tree,
    caller: &Task,
    namespace: NamespaceId,
    process: Tid,
) -> Result<&'a GroupNode, Errno> {
    let own = tree.groups.get(&caller.group.id()).ok_or(Errno::ESRCH)?;
    let target = match process.0 {
        0 => own,
        _ => {
            let named = tree.task(namespace, process).ok_or(Errno::ESRCH)?;
            let target = tree.groups.get(&named.group).ok_or(Errno::ESRCH)?;
            if target.leader != named.task.id {
                return Err(Errno::EINVAL);
            }
            target
        }
    };
    let id = target.group.id();
    if id != caller.group.id() {
        if target.parent != Some(caller.group.id()) {
            return Err(Errno::ESRCH);
        }
        if target.session != own.session {
            return Err(Errno::EPERM);
        }
        if target.has_execed {
            return Err(Errno::EACCES);
        }
    }
    if target.session == id { Err(Errno::EPERM) } else { Ok(target) }
}
