//! Making a task and starting it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::cpu_time::CpuTime;
use super::current::CurrentTask;
use super::external_stop::StopState;
use super::id::Tid;
use super::member::TaskMember;
use super::ptrace::TraceState;
use super::rseq::{RseqArea, RseqState};
use super::run::State;
use super::scheduling::Scheduling;
use super::status::ExitStatus;
use super::task::{DEFAULT_TIMER_SLACK_NS, NAME_LEN, Resources, TaskSignals};
use super::tree::{GroupNode, TaskNode, Tree};
use super::vfork::VforkCompletion;
use super::{CpuSet, Namespaces, Task, TaskSet, ThreadGroup};
use crate::Errno;
use crate::cgroup::{Cgroup, FileOwner, NewCgroup, Reservation};
use crate::cred::{Capabilities, Credentials};
use crate::fs::{DescriptorTable, FsContext, Path};
use crate::ipc::UndoList;
use crate::kernel::Kernel;
use crate::keys::TaskKeyrings;
use crate::limits::{Resource, UserCounters};
use crate::memory::MemoryManager;
use crate::platform::{Context, Registers, SegmentBases};
use crate::process_identity::ProcessIdentity;
use crate::signal::{AlternateStack, Signal, SignalSet, TrapState};
use crate::virtual_cpus::CpuSeat;
use crate::wait::Waiter;

/// What a task executes: its registers and its memory.
pub struct TaskImage {
    /// User registers.
    pub registers: Registers,
    /// Bases of FS and GS.
    pub segment_bases: SegmentBases,
    /// The extended state; `None` is the initial one.
    pub extended_state: Option<Vec<u8>>,
    /// The address space.
    pub memory: Arc<MemoryManager>,
    /// The task's name (`comm`).
    pub name: Vec<u8>,
    /// The file that is executed.
    pub executable: Option<Path>,
    /// The system call that made the task: its tracer sees it in the first stop.
    pub syscall_number: Option<u64>,
}

/// What a new task is to be. The configuration owns all of it: what a failed creation leaves is released by being
/// dropped.
pub struct TaskConfig {
    /// The kernel that the task lives in.
    pub kernel: Arc<Kernel>,
    /// The parent; `None` for the first task.
    pub parent: Option<Arc<Task>>,
    /// Take this task's parent instead (CLONE_PARENT).
    pub inherit_parent: Option<Arc<Task>>,
    /// The process that the task belongs to: an existing one, or a new one without tasks.
    pub thread_group: Arc<ThreadGroup>,
    /// How many signals had been sent to several processes when the creator began: one that has come since is dealt with
    /// before there is a child.
    pub(crate) broadcasts_seen: u64,
    /// The container that the task is in: that of its creator. A first task enters the control group of this name, in the
    /// root, which is made for it.
    pub container_id: Option<Arc<[u8]>>,
    /// Exact numbers, from the task's own PID namespace outwards (clone3's `set_tid`); usually empty.
    pub wanted_numbers: Vec<Tid>,
    /// Blocked signals.
    pub signal_mask: SignalSet,
    /// sigaltstack(2)'s stack: kept by fork and vfork, not by threads.
    pub signal_stack: AlternateStack,
    /// Registers and memory.
    pub image: TaskImage,
    /// Root, working directory, umask.
    pub fs_context: Arc<FsContext>,
    /// Descriptors.
    pub descriptors: Arc<DescriptorTable>,
    /// Credentials.
    pub credentials: Arc<Credentials>,
    /// -20 to 19.
    pub niceness: i32,
    /// The namespaces that are not part of the group, the credentials or the file-system context.
    pub namespaces: Namespaces,
    /// The creator's list of what semaphore operations are to take back, if the two share it (CLONE_SYSVSEM).
    pub undo_list: Option<Arc<UndoList>>,
    /// How it is scheduled.
    pub scheduling: Scheduling,
    /// The CPUs that the task may run on.
    pub allowed_cpus: CpuSet,
    /// The user who is charged for it.
    pub user_counters: Arc<UserCounters>,
    /// The control group to enter, instead of the creator's (CLONE_INTO_CGROUP) or the container's. A task that nobody inside
    /// creates, and that has no container, enters the root; it is held against no limit.
    pub initial_cgroup: Option<Arc<Cgroup>>,
    /// The keyrings: the session's, and for a thread the process's and its own.
    pub keyrings: TaskKeyrings,
    /// The rseq(2) area: kept by fork, not by what shares memory.
    pub rseq_area: Option<RseqArea>,
    /// Where its number is cleared and a futex woken when it exits; 0 for nowhere.
    pub clear_child_tid: u64,
    /// Who sleeps until it executes a program or exits (CLONE_VFORK).
    pub(crate) vfork: Option<Arc<VforkCompletion>>,
}

/// What a new task's thread takes with it.
pub(super) struct Unstarted {
    context: Box<dyn Context>,
    registers: Registers,
    signal_stack: AlternateStack,
    rseq_area: Option<RseqArea>,
    syscall_number: Option<u64>,
}

impl TaskSet {
    /// Makes a task, seen at once by everybody who can see it. It does not run before [`Task::start`].
    ///
    /// # Errors
    /// - EAGAIN: the user has RLIMIT_NPROC tasks, a control group has as many as it may, a PID namespace has no number left, or the host has no room for
    ///   another task.
    /// - EINTR: the thread group, or the creator's, is exiting or in execve.
    /// - ERESTARTNOINTR: the creator was sent a signal together with others, which the new process would have been sent too.
    /// - ENOMEM: the PID namespace's init has died.
    /// - EEXIST, EINVAL: a wanted number is in use, or is none.
    /// - ENODEV, EBUSY, EOPNOTSUPP: the wanted control group takes no task.
    pub fn new_task(&self, config: TaskConfig) -> Result<Arc<Task>, Errno> {
        let charge = config.user_counters.charge_process(process_limit(&config))?;
        let creator = config.parent.as_ref().map(|task| task.member_key());
        let container = config.container_cgroup()?;
        let into = config.initial_cgroup.as_ref().or(container.as_ref().map(|container| container.cgroup()));
        let reservation = config.kernel.cgroups().reserve(creator, into)?;
        let TaskConfig { kernel, parent, inherit_parent, thread_group: group, image, .. } = config;
        let TaskImage { registers, segment_bases, extended_state, memory, name, executable, syscall_number } =
            image;
        group.set_user_namespace(&config.credentials.user_namespace);
        let waiter = Arc::<Waiter>::default();
        let now = Instant::now();
        let task = Arc::new(Task {
            id: self.task_id(),
            container_id: config.container_id,
            kernel,
            group: group.clone(),
            number: AtomicI32::new(0),
            root_number: AtomicI32::new(0),
            cpu_seat: CpuSeat::new(waiter.clone()),
            rseq_area: Mutex::new(config.rseq_area),
            keyrings: Mutex::new(config.keyrings),
            waiter,
            interrupter: Mutex::default(),
            // A stop or a signal of the group may have come before the task was part of it.
            is_interrupted: AtomicBool::new(true),
            is_asleep: AtomicBool::new(false),
            has_stopped: AtomicBool::new(false),
            signals: Mutex::new(TaskSignals { mask: config.signal_mask, ..TaskSignals::default() }),
            credentials: Mutex::new(config.credentials),
            resources: Mutex::new(Some(Resources {
                memory,
                descriptors: config.descriptors,
                fs_context: config.fs_context,
            })),
            name: Mutex::new([0; NAME_LEN]),
            namespaces: Mutex::new(config.namespaces),
            niceness: AtomicI32::new(config.niceness),
            scheduling: Mutex::new(config.scheduling),
            allowed_cpus: Mutex::new(config.allowed_cpus),
            last_cpu: AtomicU32::new(0),
            clear_child_tid: AtomicU64::new(config.clear_child_tid),
            robust_list: AtomicU64::new(0),
            parent_death_signal: AtomicU8::new(0),
            timer_slack_ns: AtomicU64::new(DEFAULT_TIMER_SLACK_NS),
            start_time: now,
            executable: Mutex::new(executable),
            cpu_time: CpuTime::new(now),
            stops: StopState::default(),
            vfork: Mutex::new(config.vfork),
            process_charge: Mutex::new(Some(charge)),
            membership: Mutex::default(),
            pids_charge: Mutex::default(),
            unstarted: Mutex::default(),
            undo_list: Mutex::new(config.undo_list),
            ptrace: TraceState::default(),
        });
        task.set_name(&name);

        let (mut tree, broadcasts) = self.lock_for_creation();
        if broadcasts != config.broadcasts_seen
            && parent.as_ref().is_some_and(|parent| parent.has_unblocked_signal())
        {
            return Err(Errno::ERESTARTNOINTR);
        }
        let family = Family { parent: parent.as_deref(), inherit_parent: inherit_parent.as_deref() };
        tree.insert(&task, family, &config.wanted_numbers, reservation)?;
        // The last step. What follows a failure is the exact reverse of what came before.
        match new_context(&task, segment_bases, extended_state.as_deref()) {
            Ok(context) => {
                let interrupter = context.interrupter();
                task.cpu_seat.set_interrupter(interrupter.clone());
                *task.interrupter.lock() = Some(interrupter);
                let TaskConfig { signal_stack, rseq_area, .. } = config;
                let unstarted = Unstarted { context, registers, signal_stack, rseq_area, syscall_number };
                *task.unstarted.lock() = Some(Box::new(unstarted));
                drop(tree);
                container.into_iter().for_each(NewCgroup::keep);
                task.pay_for_memory(parent.as_deref());
                Ok(task)
            }
            Err(error) => {
                tree.remove_unstarted(&task);
                Err(error)
            }
        }
    }
}

impl TaskConfig {
    /// The control group of the container that a first task begins, made if it is not there. Its first user may use it.
    fn container_cgroup(&self) -> Result<Option<NewCgroup>, Errno> {
        let Some(id) = self.container_id.as_ref().filter(|_| self.parent.is_none()) else { return Ok(None) };
        let credentials = &self.credentials;
        let owner =
            FileOwner { uid: credentials.effective_uid, gid: credentials.effective_gid, permissions: 0o755 };
        NewCgroup::make(self.kernel.cgroups(), id, owner).map(Some)
    }
}

/// RLIMIT_NPROC, unless the creator is exempt (`man 2 getrlimit`): the system's root user, CAP_SYS_RESOURCE,
/// CAP_SYS_ADMIN.
fn process_limit(config: &TaskConfig) -> Option<u64> {
    let credentials = &config.credentials;
    let is_exempt = credentials.real_uid == 0
        || credentials.has(Capabilities::SYS_RESOURCE)
        || credentials.has(Capabilities::SYS_ADMIN);
    (!is_exempt).then(|| config.thread_group.soft_limit(Resource::PROCESSES))
}

fn new_context(
    task: &Task,
    bases: SegmentBases,
    extended_state: Option<&[u8]>,
) -> Result<Box<dyn Context>, Errno> {
    let mut context = task.kernel.platform().new_context().map_err(|error| {
        log::warn!("no execution state for a new task: {error}");
        Errno::EAGAIN
    })?;
    context.set_segment_bases(bases);
    if let Some(state) = extended_state {
        context.set_extended_state(state).map_err(|_| Errno::EINVAL)?;
    }
    Ok(context)
}

/// Where a new task's parent comes from.
#[derive(Clone, Copy)]
struct Family<'a> {
    parent: Option<&'a Task>,
    inherit_parent: Option<&'a Task>,
}

impl Tree {
    /// Makes `task`, and its group if it is the first, visible, and puts it into its control group: all or nothing.
    fn insert(
        &mut self,
        task: &Arc<Task>,
        family: Family<'_>,
        wanted: &[Tid],
        reservation: Reservation,
    ) -> Result<(), Errno> {
        let group = &task.group;
        // Who is being killed leaves nobody behind.
        if family.parent.is_some_and(|parent| parent.group.id() != group.id() && parent.fate().is_some()) {
            return Err(Errno::EINTR);
        }
        let mut state = group.state.lock();
        if state.exit.is_some() || state.exec.is_some() {
            return Err(Errno::EINTR);
        }
        let numbers = self.assign_numbers(task.id, group.pid_namespace(), wanted)?;
        // Nothing below fails.
        task.stops.begin_with(self.stops);
        let cpu = task.allowed_cpus().nth(task.root_number().unsigned_abs());
        task.last_cpu.store(cpu, Ordering::Relaxed);
        let own = Self::number_in(&numbers, group.pid_namespace().id());
        task.number.store(own.0, Ordering::Relaxed);
        task.root_number.store(numbers.last().map_or(0, |(_, tid)| tid.0), Ordering::Relaxed);
        let node = TaskNode {
            task: task.clone(),
            group: group.id(),
            numbers: numbers.clone(),
            has_exited: false,
            exit_status: None,
            tracer: None,
            tracees: Default::default(),
        };
        self.tasks.insert(task.id, node);
        state.tasks.push(task.clone());
        state.active_tasks += 1;
        let (membership, was_killed) =
            task.kernel.cgroups().enter(reservation, task.member_key(), TaskMember::new(task));
        *task.membership.lock() = Some(membership);
        if was_killed {
            state.begin_exit(ExitStatus::Signaled { signal: Signal::SIGKILL, has_dumped_core: false });
        }
        match self.groups.get_mut(&group.id()) {
            Some(node) => {
                node.tasks.insert(task.id);
                node.live_tasks += 1;
            }
            None => {
                group.number.store(own.0, Ordering::Relaxed);
                self.insert_group(task, family, &numbers);
            }
        }
        Ok(())
    }

    /// Gives a new process its place: parent, process group and session.
    fn insert_group(
        &mut self,
        leader: &Arc<Task>,
        Family { parent, inherit_parent }: Family<'_>,
        numbers: &super::tree::Numbers,
    ) {
        let group = &leader.group;
        let id = group.id();
        let identity = ProcessIdentity::new(numbers.iter().map(|(namespace, tid)| (namespace.0, tid.0)));
        group.identity.get_or_init(|| identity);
        let (parent_group, parent_task) =
            match inherit_parent.and_then(|task| self.groups.get(&task.group.id())) {
                Some(sibling) => (sibling.parent, sibling.parent_task),
                None => (parent.map(|task| task.group.id()), parent.map(|task| task.id)),
            };
        let creator = parent.and_then(|task| self.groups.get(&task.group.id()));
        let (process_group, session) =
            creator.map_or((id, id), |creator| (creator.process_group, creator.session));
        let begins_session = creator.is_none();
        let node = GroupNode {
            group: group.clone(),
            leader: leader.id,
            tasks: [leader.id].into(),
            live_tasks: 1,
            parent: parent_group,
            parent_task,
            children: Default::default(),
            process_group,
            session,
            exit_signal: group.exit_signal,
            zombie: None,
            children_usage: Default::default(),
            is_child_subreaper: false,
            has_execed: false,
        };
        self.groups.insert(id, node);
        if let Some(parent) = parent_group.and_then(|parent| self.groups.get_mut(&parent)) {
            parent.children.insert(id);
        }
        if begins_session {
            self.begin_session(id, numbers);
        }
        self.join_process_group(id, process_group);
        if let Some(namespace) = self.namespaces.get_mut(&group.pid_namespace().id()) {
            namespace.init.get_or_insert(id);
        }
    }

    /// Takes back [`Tree::insert`].
    fn remove_unstarted(&mut self, task: &Task) {
        drop(task.membership.lock().take());
        let id = task.group.id();
        {
            let mut state = task.group.state.lock();
            state.tasks.retain(|other| other.id != task.id);
            state.active_tasks -= 1;
        }
        let Some(node) = self.groups.get_mut(&id) else { return };
        node.live_tasks -= 1;
        if node.tasks.len() > 1 {
            node.tasks.remove(&task.id);
            self.forget_tracer(task.id);
            if let Some(node) = self.tasks.remove(&task.id) {
                self.remove_numbers(&node.numbers);
            }
            return;
        }
        node.zombie = Some(ExitStatus::Exited(0));
        if let Some(namespace) = self.namespaces.get_mut(&task.group.pid_namespace().id()) {
            namespace.init.take_if(|init| *init == id);
        }
        self.reap(id);
    }
}

impl Task {
    /// Has its control group pay for its address space, unless that is its parent's too.
    fn pay_for_memory(self: &Arc<Self>, parent: Option<&Task>) {
        let (own, parents) = (self.memory(), parent.and_then(|parent| parent.memory()));
        let is_shared = own.zip(parents).is_some_and(|(own, parents)| Arc::ptr_eq(&own, &parents));
        if !is_shared {
            self.settle_memory();
        }
    }

    /// Takes back a task that has not been started: nobody hears of it.
    pub(super) fn abandon(&self) {
        self.unstarted.lock().take();
        self.kernel.tasks().tree.write().remove_unstarted(self);
        self.uncharge();
    }

    /// Starts the task's thread. One that has exited, as it was restored, does not run.
    ///
    /// # Errors
    /// EAGAIN if the host has no thread left: the task has exited then, and its parent is told as of any exit.
    ///
    /// # Panics
    /// The task has been started before: a programming error.
    pub fn start(self: &Arc<Self>) -> Result<(), Errno> {
        let Some(current) = self.take_up() else { return Ok(()) };
        match self.kernel.tasks().host_threads.run(current) {
            Ok(()) => Ok(()),
            Err(error) => {
                log::warn!("no host thread for task {}: {error}", self.root_number());
                self.begin_exit(ExitStatus::Exited(0));
                self.exit_resources();
                self.kernel.tasks().task_exited(self, ExitStatus::Exited(0));
                self.count_end();
                Err(Errno::EAGAIN)
            }
        }
    }

    /// What the task's thread needs to run it, once; `None` if the task has exited.
    ///
    /// # Panics
    /// It has been taken before.
    pub(super) fn take_up(self: &Arc<Self>) -> Option<CurrentTask> {
        let unstarted = self.unstarted.lock().take();
        let Some(unstarted) = unstarted else {
            panic!("task {} is started a second time", self.root_number())
        };
        let memory = self.memory()?;
        let Unstarted { context, registers, signal_stack, rseq_area, syscall_number } = *unstarted;
        self.count_start();
        Some(CurrentTask {
            task: self.clone(),
            context,
            registers,
            syscall_number,
            restart: None,
            saved_signal_mask: None,
            buffer: Vec::new(),
            signal_stack,
            trap: TrapState::default(),
            is_stepping: false,
            debug: Default::default(),
            charged_time: None,
            rseq: RseqState::new(rseq_area),
            memory,
            state: State::App,
        })
    }
}
