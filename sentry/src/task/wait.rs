//! Waiting for children (`man 2 wait`).

use super::id::{GroupId, TaskId, Tid};
use super::status::{ExitStatus, ResourceUsage};
use super::thread_group::StopReport;
use super::tree::{GroupNode, Tree};
use super::{CurrentTask, Task, TaskSet};
use crate::Errno;
use crate::cred::KernelUid;
use crate::signal::Signal;
use crate::wait::Events;

/// Which children are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitSelector {
    /// Any child.
    Any,
    /// The child with this number.
    Process(Tid),
    /// This child (P_PIDFD).
    Group(GroupId),
    /// Those of this process group; 0 is the caller's own at the time of the call.
    ProcessGroup(Tid),
}

bitflags::bitflags! {
    /// The options of wait4(2) and waitid(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct WaitOptions: u32 {
        const NOHANG = 1;
        /// Stopped children (WUNTRACED, WSTOPPED).
        const STOPPED = 2;
        const EXITED = 4;
        const CONTINUED = 8;
        const NOWAIT = 0x0100_0000;
        const NOTHREAD = 0x2000_0000;
        const ALL = 0x4000_0000;
        const CLONE = 0x8000_0000;
    }
}

/// What there is to tell of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) pid: Tid,
    pub(crate) uid: KernelUid,
    pub(crate) event: ChildEvent,
    pub(crate) usage: ResourceUsage,
}

/// What a child did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildEvent {
    Ended(ExitStatus),
    Stopped(Signal),
    Continued,
    /// A tracee stopped: the signal, and the event above its 8 bits.
    Trapped(i32),
}

impl CurrentTask {
    /// Waits for a child. `None` with NOHANG if none has anything to tell.
    ///
    /// # Errors
    /// ECHILD if no child is selected; ERESTARTSYS if interrupted.
    pub(crate) fn wait_for_child(
        &mut self,
        selector: WaitSelector,
        options: WaitOptions,
    ) -> Result<Option<Waited>, Errno> {
        let task = self.task().clone();
        let selector = match selector {
            WaitSelector::ProcessGroup(Tid(0)) => {
                let (own, _) =
                    task.kernel.tasks().process_group_and_session(&task.group, task.group.pid_namespace());
                WaitSelector::ProcessGroup(own)
            }
            selector => selector,
        };
        let find = || match task.kernel.tasks().find_child(&task, selector, options) {
            Ok(None) if options.contains(WaitOptions::NOHANG) => Some(Ok(None)),
            Ok(None) => None,
            found => Some(found),
        };
        let queue = task.group.changes.clone();
        self.block(&[(&queue, Events::IN)], None, find)?
    }
}

impl TaskSet {
    /// A child that has something to tell, and the telling consumed unless NOWAIT.
    pub(super) fn find_child(
        &self,
        caller: &Task,
        selector: WaitSelector,
        options: WaitOptions,
    ) -> Result<Option<Waited>, Errno> {
        let mut tree = self.tree.write();
        let own = tree.groups.get(&caller.group.id()).ok_or(Errno::ECHILD)?;
        // One that is named is looked up, however many there are.
        let named = match selector {
            WaitSelector::Process(tid) => {
                Some(tree.group(caller.group.pid_namespace().id(), tid).map(|node| node.group.id()))
            }
            WaitSelector::Group(id) => Some(Some(id)),
            WaitSelector::Any | WaitSelector::ProcessGroup(_) => None,
        };
        let is_selected = |child: &GroupId| {
            tree.groups.get(child).is_some_and(|node| tree.is_selected(node, caller, selector, options))
        };
        let children: Vec<GroupId> = match named {
            Some(named) => {
                named.filter(|child| own.children.contains(child) && is_selected(child)).into_iter().collect()
            }
            None => own.children.iter().copied().filter(is_selected).collect(),
        };
        let tracees = tree.selected_tracees(caller, selector, options);
        // Zombies have no more stops and continuations to tell.
        let is_over = |child: &GroupId| tree.groups.get(child).is_none_or(|node| node.zombie.is_some());
        let is_hopeless = match options.contains(WaitOptions::EXITED) {
            true => children.is_empty() && tracees.is_empty(),
            false => {
                children.iter().all(is_over) && tracees.iter().all(|tracee| tree.has_tracee_ended(*tracee))
            }
        };
        if is_hopeless {
            return Err(Errno::ECHILD);
        }
        let of_tracee =
            tracees.into_iter().find_map(|tracee| tree.take_tracee_event(tracee, caller, options));
        let of_child = || children.into_iter().find_map(|child| tree.take_event(child, caller, options));
        Ok(of_tracee.or_else(of_child))
    }
}

impl Tree {
    fn is_selected(
        &self,
        child: &GroupNode,
        caller: &Task,
        selector: WaitSelector,
        options: WaitOptions,
    ) -> bool {
        let namespace = caller.group.pid_namespace().id();
        let is_chosen = match selector {
            WaitSelector::Any => true,
            WaitSelector::Process(tid) => self.group_number_in(child.group.id(), namespace) == tid,
            WaitSelector::Group(id) => child.group.id() == id,
            WaitSelector::ProcessGroup(tid) => {
                self.process_group(namespace, tid) == Some(child.process_group)
            }
        };
        let is_clone = child.exit_signal != i32::from(Signal::SIGCHLD.number());
        let is_kind = options.contains(WaitOptions::ALL) || is_clone == options.contains(WaitOptions::CLONE);
        let is_own = !options.contains(WaitOptions::NOTHREAD) || child.parent_task == Some(caller.id);
        is_chosen && is_kind && is_own
    }

    /// What `child` has to tell, if it is asked for.
    fn take_event(&mut self, child: GroupId, caller: &Task, options: WaitOptions) -> Option<Waited> {
        let namespace = caller.group.pid_namespace().id();
        let node = self.groups.get(&child)?;
        let leader: TaskId = node.leader;
        let tracer = self.tasks.get(&leader)?.tracer;
        let is_traced_by_parent = tracer.is_some() && !self.is_reparented(leader);
        let event = match node.zombie {
            // Its tracer comes first, and before that its threads' tracers and an init's namespace.
            Some(_) if tracer.is_some() || !self.is_all_over(child) => return None,
            Some(status) if options.contains(WaitOptions::EXITED) => ChildEvent::Ended(status),
            Some(_) => return None,
            None => {
                let mut state = node.group.state.lock();
                let event = match state.report? {
                    StopReport::Stopped(signal)
                        if options.contains(WaitOptions::STOPPED) && !is_traced_by_parent =>
                    {
                        ChildEvent::Stopped(signal)
                    }
                    StopReport::Continued if options.contains(WaitOptions::CONTINUED) => {
                        ChildEvent::Continued
                    }
                    _ => return None,
                };
                if !options.contains(WaitOptions::NOWAIT) {
                    state.report = None;
                }
                event
            }
        };
        let waited = Waited {
            pid: self.group_number_in(child, namespace),
            uid: self.tasks.get(&leader)?.task.credentials().real_uid,
            event,
            usage: self.usage_with_children(child),
        };
        if matches!(event, ChildEvent::Ended(_)) && !options.contains(WaitOptions::NOWAIT) {
            self.reap_for_parent(child);
        }
        Some(waited)
    }
}
