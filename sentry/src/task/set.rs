//! Every task of a sandbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, RwLock, RwLockWriteGuard};

use super::cpu_time::SwitchCost;
use super::external_stop::StopGate;
use super::host_threads::HostThreads;
use super::id::{GroupId, NamespaceId, TaskId, Tid};
use super::load_average::LoadAverages;
use super::status::ExitStatus;
use super::thread_counts::ThreadCounts;
use super::thread_group::ThreadGroup;
use super::tree::{NamespaceNode, Tree};
use super::{Dispatcher, PidNamespace, Task};
use crate::Errno;
use crate::cred::{Identity, KernelUid, NamespaceKind, UserNamespace};
use crate::fs::TaskFs;
use crate::limits::Limits;
use crate::signal::{Signal, SignalActions, SignalInfo};
use crate::wait::{Events, Observer, Waiter};

/// Every task of a sandbox.
pub struct TaskSet {
    pub(super) tree: RwLock<Tree>,
    next_id: AtomicU64,
    created: AtomicU64,
    root: Arc<PidNamespace>,
    /// The initial user namespace.
    user_namespace: Arc<UserNamespace>,
    /// How many signals have been sent to several processes at once. Locked while one is sent, and while a process is
    /// made visible.
    broadcasts: Mutex<u64>,
    /// The threads of all tasks.
    pub(super) threads: ThreadCounts,
    /// How many of them ran on average.
    pub(super) load: LoadAverages,
    /// Announces the end of the last of them.
    all_ended: (Mutex<()>, Condvar),
    pub(super) stop_gate: StopGate,
    pub(super) host_threads: Arc<HostThreads>,
    /// What entering and leaving user code costs on this host.
    pub(super) switch_cost: SwitchCost,
    /// The same for a call that another thread serves.
    pub(super) lent_switch_cost: SwitchCost,
    /// The same for a call that had waited for that in vain.
    pub(super) vain_switch_cost: SwitchCost,
}

/// Sleeps through what else a process's queue tells, such as that one of its threads is gone.
struct WakesAtEnd(Arc<Waiter>);

impl Observer for WakesAtEnd {
    fn notify(&self, events: Events) {
        if events.intersects(ThreadGroup::ENDED) {
            self.0.wake();
        }
    }
}

impl TaskSet {
    /// No tasks. Those to come have `dispatcher` serve their system calls, and begin in `user_namespace`.
    pub fn new(dispatcher: Arc<dyn Dispatcher>, user_namespace: &Arc<UserNamespace>) -> Self {
        let identity = Identity::initial(NamespaceKind::Pid, user_namespace);
        let root = PidNamespace::new(NamespaceId::ROOT, identity, None);
        let mut tree = Tree::default();
        tree.namespaces.insert(root.id(), NamespaceNode::new());
        Self {
            tree: RwLock::new(tree),
            next_id: AtomicU64::new(1),
            created: AtomicU64::new(0),
            root,
            user_namespace: user_namespace.clone(),
            broadcasts: Mutex::default(),
            threads: ThreadCounts::default(),
            load: LoadAverages::default(),
            all_ended: Default::default(),
            stop_gate: StopGate::default(),
            host_threads: HostThreads::new(dispatcher),
            switch_cost: SwitchCost::default(),
            lent_switch_cost: SwitchCost::default(),
            vain_switch_cost: SwitchCost::default(),
        }
    }

    /// The PID namespace that sees every task.
    pub fn root(&self) -> &Arc<PidNamespace> {
        &self.root
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a process without tasks, for the next [`TaskSet::new_task`].
    pub fn new_thread_group(
        &self,
        pid_namespace: Arc<PidNamespace>,
        actions: Arc<Mutex<SignalActions>>,
        limits: Limits,
        exit_signal: i32,
    ) -> Arc<ThreadGroup> {
        let id = GroupId(self.next_id());
        ThreadGroup::new(id, pid_namespace, actions, limits, exit_signal, &self.user_namespace)
    }

    /// Makes a process without tasks for one that nobody inside creates: in the root PID namespace, with actions of its own.
    pub(crate) fn new_first_group(&self, limits: Limits) -> Arc<ThreadGroup> {
        let (actions, exit_signal) = (Arc::default(), i32::from(Signal::SIGCHLD.number()));
        self.new_thread_group(self.root.clone(), actions, limits, exit_signal)
    }

    /// Makes a PID namespace inside of `parent`, owned by `owner` and made by the effective user `uid`.
    ///
    /// # Errors
    /// ENOSPC: too deep (`man 7 pid_namespaces`), or too many.
    pub fn new_pid_namespace(
        &self,
        parent: &Arc<PidNamespace>,
        owner: &Arc<UserNamespace>,
        uid: KernelUid,
    ) -> Result<Arc<PidNamespace>, Errno> {
        if parent.level() >= PidNamespace::MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        let identity = Identity::new(NamespaceKind::Pid, owner, uid)?;
        Ok(PidNamespace::new(NamespaceId(self.next_id()), identity, Some(parent.clone())))
    }

    /// The task that `namespace` calls `tid`.
    pub fn task(&self, namespace: &PidNamespace, tid: Tid) -> Option<Arc<Task>> {
        self.tree.read().task(namespace.id(), tid).map(|node| node.task.clone())
    }

    /// The process that `namespace` calls `tid`.
    pub fn thread_group(&self, namespace: &PidNamespace, tid: Tid) -> Option<Arc<ThreadGroup>> {
        self.tree.read().group(namespace.id(), tid).map(|node| node.group.clone())
    }

    /// Whether `namespace` calls a task, a process group or a session `tid`.
    pub(crate) fn is_in_use(&self, namespace: &PidNamespace, tid: Tid) -> bool {
        let tree = self.tree.read();
        tree.namespaces.get(&namespace.id()).is_some_and(|node| {
            node.tasks.contains_key(&tid)
                || node.process_groups.contains_key(&tid)
                || node.sessions.contains_key(&tid)
        })
    }

    /// The process's leader, until it is reaped.
    pub(crate) fn leader(&self, group: &ThreadGroup) -> Option<Arc<Task>> {
        let tree = self.tree.read();
        tree.tasks.get(&tree.groups.get(&group.id())?.leader).map(|node| node.task.clone())
    }

    /// The members of the process group that `namespace` calls `tid`, or `None` if there is no such group.
    pub fn process_group(&self, namespace: &PidNamespace, tid: Tid) -> Option<Vec<Arc<ThreadGroup>>> {
        let tree = self.tree.read();
        let group = tree.process_group(namespace.id(), tid)?;
        let members = &tree.process_groups.get(&group)?.members;
        Some(members.iter().filter_map(|id| tree.groups.get(id)).map(|node| node.group.clone()).collect())
    }

    /// Finds several processes and signals them, in `send`, as one step for those who make processes: a new one is
    /// found, or its creator is signalled before it is there. Its lock is taken before the tree's.
    pub(crate) fn broadcast<T>(&self, send: impl FnOnce() -> T) -> T {
        let mut broadcasts = self.broadcasts.lock();
        *broadcasts += 1;
        send()
    }

    /// Sends `signal`, as the kernel, to all of the process group that the root PID namespace calls `number`.
    pub(super) fn signal_process_group(&self, number: Tid, signal: Signal) {
        self.broadcast(|| {
            for group in self.process_group(&self.root, number).unwrap_or_default() {
                group.send_signal(SignalInfo::from_kernel(signal));
            }
        });
    }

    /// How many broadcasts there have been.
    pub(super) fn broadcast_count(&self) -> u64 {
        *self.broadcasts.lock()
    }

    /// Locks the tree to make a process visible. Returns how many broadcasts have not found it, too.
    pub(super) fn lock_for_creation(&self) -> (RwLockWriteGuard<'_, Tree>, u64) {
        let broadcasts = self.broadcasts.lock();
        (self.tree.write(), *broadcasts)
    }

    /// The session of the process group that `namespace` calls `tid`; `None` if there is none.
    pub(super) fn session_of_process_group(&self, namespace: &PidNamespace, tid: Tid) -> Option<Tid> {
        let tree = self.tree.read();
        let group = tree.process_group(namespace.id(), tid)?;
        let session = tree.process_groups.get(&group)?.session;
        Some(tree.session_number_in(session, namespace.id()))
    }

    /// Every process that `namespace` sees, with its number there.
    pub fn thread_groups(&self, namespace: &PidNamespace) -> Vec<(Tid, Arc<ThreadGroup>)> {
        let tree = self.tree.read();
        let Some(node) = tree.namespaces.get(&namespace.id()) else { return Vec::new() };
        let mut groups: Vec<_> = node
            .tasks
            .iter()
            .filter_map(|(tid, task)| {
                let group = tree.groups.get(&tree.tasks.get(task)?.group)?;
                (group.leader == *task).then(|| (*tid, group.group.clone()))
            })
            .collect();
        groups.sort_unstable_by_key(|(tid, _)| *tid);
        groups
    }

    /// What `namespace` calls `task`; 0 if it does not see it.
    pub fn number_of(&self, task: &Task, namespace: &PidNamespace) -> Tid {
        let tree = self.tree.read();
        tree.tasks.get(&task.id).map_or(Tid(0), |node| Tree::number_in(&node.numbers, namespace.id()))
    }

    /// What `namespace` calls the process; 0 if it does not see it.
    pub fn group_number(&self, group: &ThreadGroup, namespace: &PidNamespace) -> Tid {
        self.tree.read().group_number_in(group.id(), namespace.id())
    }

    /// The parent's number as `group`'s own namespace has it; 0 if it does not see the parent.
    pub fn parent_number(&self, group: &ThreadGroup) -> Tid {
        self.parent_number_in(group, group.pid_namespace())
    }

    /// The parent's number as `namespace` has it; 0 if it does not see the parent.
    pub fn parent_number_in(&self, group: &ThreadGroup, namespace: &PidNamespace) -> Tid {
        let tree = self.tree.read();
        let parent = tree.groups.get(&group.id()).and_then(|node| node.parent);
        parent.map_or(Tid(0), |parent| tree.group_number_in(parent, namespace.id()))
    }

    /// Whether `is_wanted` holds for a task other than `task`.
    pub(super) fn any_other(&self, task: &Task, is_wanted: impl Fn(&Task) -> bool) -> bool {
        let others: Vec<_> = self.tree.read().tasks.values().map(|node| node.task.clone()).collect();
        others.iter().any(|other| other.id != task.id && is_wanted(other))
    }

    /// Calls `action` with the file-system context of every task that has one.
    pub(crate) fn for_each_task_fs(&self, action: impl Fn(&TaskFs)) {
        let tasks: Vec<_> = self.tree.read().tasks.values().map(|node| node.task.clone()).collect();
        tasks.iter().filter_map(|task| task.try_task_fs()).for_each(|context| action(&context));
    }

    /// Calls `action` with every task that has not ended.
    pub(super) fn for_each_running(&self, action: impl Fn(&Task)) {
        let tree = self.tree.read();
        let running = tree.tasks.values().filter(|node| !node.has_exited);
        let tasks: Vec<_> = running.map(|node| node.task.clone()).collect();
        drop(tree);
        tasks.iter().for_each(|task| action(task));
    }

    /// How many tasks there are, exited ones that are not reaped included.
    pub fn task_count(&self) -> usize {
        self.tree.read().tasks.len()
    }

    /// How many tasks have been made, ever.
    pub fn created_count(&self) -> u64 {
        self.created.load(Ordering::Relaxed)
    }

    /// Whether `namespace` has, or had, its init.
    pub(super) fn has_begun(&self, namespace: &PidNamespace) -> bool {
        namespace.is_over() || self.tree.read().namespaces.contains_key(&namespace.id())
    }

    /// The number that `namespace` gave last.
    pub fn last_number(&self, namespace: &PidNamespace) -> Tid {
        self.tree.read().namespaces.get(&namespace.id()).map_or(Tid(0), |node| node.numbers.last())
    }

    /// Has the next task of `namespace` get a number after `tid` (`ns_last_pid`).
    pub(super) fn set_last_number(&self, namespace: &PidNamespace, tid: Tid) {
        if let Some(node) = self.tree.write().namespaces.get_mut(&namespace.id()) {
            node.numbers.set_last(tid);
        }
    }

    /// How many of them run now, and how many there are: (running, all).
    pub fn running_count(&self) -> (usize, usize) {
        (self.threads.running(), self.task_count())
    }

    /// No thread is left.
    pub(super) fn announce_end_of_all(&self) {
        let (lock, condition) = &self.all_ended;
        let _lock = lock.lock();
        condition.notify_all();
    }

    /// Waits until the process has ended, and returns how. One that has no parent is gone then.
    pub fn wait_until_ended(&self, group: &ThreadGroup) -> ExitStatus {
        let waiter = Arc::new(Waiter::default());
        let of_end = Arc::new(WakesAtEnd(waiter.clone()));
        let _registration = group.changes.register(ThreadGroup::ENDED, of_end);
        loop {
            if let Some(status) = *group.ended.lock() {
                return status;
            }
            waiter.sleep(None);
        }
    }

    /// Waits until every task's thread has ended.
    pub fn wait_until_all_ended(&self) {
        let (lock, condition) = &self.all_ended;
        let mut lock = lock.lock();
        while self.threads.live() > 0 {
            condition.wait(&mut lock);
        }
    }

    pub(super) fn task_id(&self) -> TaskId {
        self.created.fetch_add(1, Ordering::Relaxed);
        TaskId(self.next_id())
    }

    /// Checks every invariant of the relations. For tests.
    ///
    /// # Panics
    /// One does not hold.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.tree.read().check();
    }
}
