//! A process: what its tasks share.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::core_dump::{self, CoreDump};
use super::id::{GroupId, TaskId};
use super::status::{ExitStatus, ResourceUsage};
use super::thread_counts::ThreadCounts;
use super::{PidNamespace, Task};
use crate::cred::UserNamespace;
use crate::heap::HeapAccount;
use crate::limits::{Limits, Resource};
use crate::memory::{FrameAllocator, MemoryLimits};
use crate::process_identity::ProcessIdentity;
use crate::signal::{PendingSignals, Signal, SignalActions};
use crate::wait::{Events, WaitQueue};

/// A process: tasks with one tgid (`struct signal_struct`).
pub struct ThreadGroup {
    id: GroupId,
    pid_namespace: Arc<PidNamespace>,
    /// Its number in its own PID namespace; 0 until its first task is made.
    pub(super) tgid: AtomicI32,
    /// What exit of the process tells the parent with; 0 for nothing.
    pub(super) exit_signal: i32,
    pub(super) state: Mutex<GroupState>,
    actions: Mutex<Arc<Mutex<SignalActions>>>,
    limits: Mutex<Limits>,
    pub(super) threads: ThreadCounts,
    /// Children changed state, or a task of this group ended: wait4 and execve sleep here.
    pub(super) changes: WaitQueue,
    /// Its numbers, from the making of its first task on.
    pub(super) identity: OnceLock<ProcessIdentity>,
    /// How the process ended, once it has.
    pub(super) ended: Mutex<Option<ExitStatus>>,
    /// Whoever had to hear of its end has: it has no number any more.
    pub(super) is_reaped: AtomicBool,
    /// PR_GET_DUMPABLE: 0, 1, or 2 for "only for root".
    dumpable: AtomicU8,
    /// /proc/PID/coredump_filter.
    core_filter: AtomicU32,
    user_namespaces: Mutex<UserNamespaces>,
    out_of_memory_adjustment: AtomicI32,
    /// How often it got another parent.
    pub(super) reparentings: AtomicU32,
    /// personality(2).
    pub(crate) personality: AtomicU32,
    /// Interval and POSIX timers.
    pub(crate) timers: crate::time::ProcessTimers,
    /// Its contexts of asynchronous input and output.
    pub(crate) aio_contexts: crate::aio::Contexts,
    /// What terminals know it by, unless it leads a session.
    terminal_association: AtomicU64,
    /// What the sentry's heap holds for it.
    heap: OnceLock<Arc<HeapAccount>>,
}

/// The user namespaces of a process: only one without further threads changes to another.
#[derive(Clone)]
struct UserNamespaces {
    /// Of its tasks' credentials.
    current: Arc<UserNamespace>,
    /// The one that it executed its program in: who may look into it there may, if nobody else may.
    executed_in: Arc<UserNamespace>,
}

/// What is decided under the group's lock.
#[derive(Default)]
pub(super) struct GroupState {
    /// The tasks that have not exited.
    pub(super) tasks: Vec<Arc<Task>>,
    /// How many of them have not begun to exit.
    pub(super) active_tasks: usize,
    /// Signals for whichever task takes them.
    pub(super) pending: PendingSignals,
    /// Set once the whole group is to end: exit_group, or a fatal signal.
    pub(super) exit: Option<ExitStatus>,
    /// The core dump that is being made.
    pub(super) core_dump: Option<Arc<CoreDump>>,
    /// Its end has been put down (`man 2 acct`).
    pub(super) is_accounted: bool,
    /// The task that is in execve: the others end.
    pub(super) exec: Option<TaskId>,
    /// The group stop.
    pub(super) stop: Stop,
    /// How many there have been: who is traced stops once for each.
    pub(super) stop_count: u64,
    /// How many times SIGKILL was sent.
    pub(super) kill_count: u64,
    /// What wait4 with WUNTRACED or WCONTINUED has not yet been told.
    pub(super) report: Option<StopReport>,
    /// SIGCONT has ended a stop, and the parent is to be told by the next task that comes by.
    pub(super) has_continued: bool,
    /// What exited tasks used, and former programs' memory.
    pub(super) usage: ResourceUsage,
    /// What it used of the address space that its tasks have left.
    pub(super) left_memory: ResourceUsage,
}

/// A group stop (`man 7 signal`, SIGSTOP).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stop {
    /// The group runs.
    #[default]
    None,
    /// Tasks are on their way to a stop by this signal.
    Stopping(Signal),
    /// Every task has stopped.
    Stopped(Signal),
}

impl Stop {
    /// The signal that stopped the group.
    pub(super) fn signal(self) -> Option<Signal> {
        match self {
            Self::None => None,
            Self::Stopping(signal) | Self::Stopped(signal) => Some(signal),
        }
    }
}

/// A change of a child that wait4(2) can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReport {
    /// Job control stopped it by this signal.
    Stopped(Signal),
    /// SIGCONT continued it.
    Continued,
}

impl Drop for ThreadGroup {
    fn drop(&mut self) {
        if let Some(heap) = self.heap.get() {
            heap.end();
        }
    }
}

impl ThreadGroup {
    /// One of its tasks, unless all have ended.
    pub(super) fn first_task(&self) -> Option<Arc<Task>> {
        self.state.lock().tasks.first().cloned()
    }

    /// What announces the end of the last task in [`ThreadGroup::changes`], and no other one's. Nobody polls for it.
    pub(super) const ENDED: Events = Events::PRI;

    /// A group without tasks.
    pub(super) fn new(
        id: GroupId,
        pid_namespace: Arc<PidNamespace>,
        actions: Arc<Mutex<SignalActions>>,
        limits: Limits,
        exit_signal: i32,
        user_namespace: &Arc<UserNamespace>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            pid_namespace,
            tgid: AtomicI32::new(0),
            exit_signal,
            state: Mutex::default(),
            actions: Mutex::new(actions),
            limits: Mutex::new(limits),
            threads: ThreadCounts::default(),
            changes: WaitQueue::default(),
            identity: OnceLock::new(),
            ended: Mutex::default(),
            is_reaped: AtomicBool::new(false),
            dumpable: AtomicU8::new(1),
            core_filter: AtomicU32::new(core_dump::DEFAULT_FILTER),
            user_namespaces: Mutex::new(UserNamespaces {
                current: user_namespace.clone(),
                executed_in: user_namespace.clone(),
            }),
            out_of_memory_adjustment: AtomicI32::new(0),
            reparentings: AtomicU32::new(0),
            personality: AtomicU32::new(0),
            timers: crate::time::ProcessTimers::default(),
            aio_contexts: crate::aio::Contexts::default(),
            terminal_association: AtomicU64::new(0),
            heap: OnceLock::new(),
        })
    }

    /// What the sentry's heap holds for it, out of the memory that `frames` has.
    pub(super) fn heap_of(&self, frames: &Arc<FrameAllocator>) -> &Arc<HeapAccount> {
        self.heap.get_or_init(|| frames.new_heap_account())
    }

    /// What terminals know it by ([`SessionMember::association`](crate::fs::terminal::SessionMember::association)).
    pub(crate) fn terminal_association(&self) -> u64 {
        self.terminal_association.load(Ordering::Relaxed)
    }

    /// Sets what terminals know it by.
    pub(crate) fn set_terminal_association(&self, association: u64) {
        self.terminal_association.store(association, Ordering::Relaxed);
    }

    /// Unique in its kernel, and never given again: tgids are.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// The PID namespace that its tasks live in.
    pub fn pid_namespace(&self) -> &Arc<PidNamespace> {
        &self.pid_namespace
    }

    /// getpid(2).
    pub fn tgid(&self) -> i32 {
        self.tgid.load(Ordering::Relaxed)
    }

    /// The user namespace that its tasks are in.
    pub fn user_namespace(&self) -> Arc<UserNamespace> {
        self.user_namespaces.lock().current.clone()
    }

    /// The user namespace that it executed its program in.
    pub fn executed_in(&self) -> Arc<UserNamespace> {
        self.user_namespaces.lock().executed_in.clone()
    }

    /// Its tasks are in `namespace` now.
    pub(super) fn set_user_namespace(&self, namespace: &Arc<UserNamespace>) {
        self.user_namespaces.lock().current = namespace.clone();
    }

    /// It executes a program in `namespace`, or goes on with one that was executed there.
    pub(super) fn set_executed_in(&self, namespace: Arc<UserNamespace>) {
        self.user_namespaces.lock().executed_in = namespace;
    }

    /// Its numbers, for those that remember it after its end.
    pub fn identity(&self) -> ProcessIdentity {
        self.identity.get().cloned().unwrap_or_default()
    }

    /// Its number in the root PID namespace; 0 before it has one.
    pub(super) fn root_tgid(&self) -> i32 {
        self.identity.get().map_or(0, ProcessIdentity::root_tgid)
    }

    /// Whether others may look into the process.
    pub fn is_dumpable(&self) -> bool {
        self.dumpable() == 1
    }

    /// PR_GET_DUMPABLE: 0, 1, or 2 if only root may have its core dump.
    pub fn dumpable(&self) -> u8 {
        self.dumpable.load(Ordering::Acquire)
    }

    /// PR_SET_DUMPABLE, and what takes it away.
    pub fn set_dumpable(&self, dumpable: u8) {
        self.dumpable.store(dumpable, Ordering::Release);
    }

    /// Which mappings a core dump holds (`man 5 core`).
    pub fn core_filter(&self) -> u32 {
        self.core_filter.load(Ordering::Relaxed)
    }

    /// Sets which mappings a core dump holds; unknown bits do not count.
    pub fn set_core_filter(&self, filter: u32) {
        self.core_filter.store(filter & core_dump::FILTER_BITS, Ordering::Relaxed);
    }

    /// The adjustment of the out-of-memory score, -1000 to 1000: kept for those who read it back.
    pub fn out_of_memory_adjustment(&self) -> i32 {
        self.out_of_memory_adjustment.load(Ordering::Relaxed)
    }

    /// Sets the adjustment of the out-of-memory score.
    pub fn set_out_of_memory_adjustment(&self, adjustment: i32) {
        self.out_of_memory_adjustment.store(adjustment.clamp(-1000, 1000), Ordering::Relaxed);
    }

    /// What is done with signals.
    pub fn signal_actions(&self) -> Arc<Mutex<SignalActions>> {
        self.actions.lock().clone()
    }

    /// After execve: nobody else's actions any more.
    pub(super) fn replace_signal_actions(&self, actions: SignalActions) {
        *self.actions.lock() = Arc::new(Mutex::new(actions));
    }

    /// The resource limits.
    pub fn limits(&self) -> Limits {
        self.limits.lock().clone()
    }

    /// What getrlimit(2) calls rlim_cur.
    pub fn soft_limit(&self, resource: Resource) -> u64 {
        self.limits.lock().soft(resource)
    }

    /// The limits that an address space of the process obeys.
    pub fn memory_limits(&self) -> MemoryLimits {
        let limits = self.limits.lock();
        MemoryLimits {
            address_space_bytes: limits.soft(Resource::ADDRESS_SPACE),
            data_bytes: limits.soft(Resource::DATA),
            stack_bytes: limits.soft(Resource::STACK),
            locked_bytes: limits.soft(Resource::LOCKED_MEMORY),
            ..MemoryLimits::default()
        }
    }

    /// Changes limits for all threads at once.
    pub fn with_limits<T>(&self, change: impl FnOnce(&mut Limits) -> T) -> T {
        change(&mut self.limits.lock())
    }

    /// The tasks that have not exited.
    pub fn live_tasks(&self) -> Vec<Arc<Task>> {
        self.state.lock().tasks.clone()
    }

    /// Ends every task of the group with `status`, unless it is already ending.
    pub fn exit(&self, status: ExitStatus) {
        self.state.lock().begin_exit(status);
    }

    /// Whether it has ended, and whoever had to hear of that has.
    pub fn is_reaped(&self) -> bool {
        self.is_reaped.load(Ordering::Acquire)
    }

    /// How many times SIGKILL was sent: the stop before a task's end ends with the next.
    pub(super) fn kill_count(&self) -> u64 {
        self.state.lock().kill_count
    }

    /// How the group is ending, if it is.
    pub fn exiting(&self) -> Option<ExitStatus> {
        self.state.lock().exit
    }
}
