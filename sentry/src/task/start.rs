//! Making a task and starting it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::config::TaskConfig;
use super::cpu_time::CpuTime;
use super::current::CurrentTask;
use super::external_stop::StopState;
use super::flags::TaskFlags;
use super::id::{TaskId, Tid};
use super::member::TaskMember;
use super::ptrace::TraceState;
use super::rseq::{RseqArea, RseqState};
use super::run::State;
use super::seccomp::SeccompState;
use super::shortage::Standstill;
use super::status::ExitStatus;
use super::task::{DEFAULT_TIMER_SLACK_NS, NAME_LEN, Resources, TaskSignals};
use super::tree::{GroupNode, TaskNode, Tree};
use super::usage::IoCounters;
use super::{Task, TaskSet};
use crate::Errno;
use crate::cgroup::{NewCgroup, Reservation};
use crate::heap::HeapCharge;
use crate::kernel::Kernel;
use crate::limits::ProcessCharge;
use crate::memory::{MemoryManager, MemoryPolicy};
use crate::platform::{Context, Interrupter, Registers, SegmentBases};
use crate::process_identity::ProcessIdentity;
use crate::settings::KernelNumber;
use crate::signal::{AlternateStack, Signal, TrapState};
use crate::virtual_cpus::SchedEntity;
use crate::wait::{Events, Waiter};

/// What a task takes, with the stack of its host thread and its execution state.
const TASK_BYTES: usize = 32 << 10;

/// A task that everybody may see and that nobody runs yet. Dropped instead of started, it is taken back: nobody hears of it.
#[must_use = "a task that is dropped before its start is taken back"]
pub struct UnstartedTask {
    // What the thread would have owned goes first.
    current: Box<CurrentTask>,
    creation: Creation,
}

/// What has been done to make a task, and is taken back unless it is kept.
struct Creation {
    task: Arc<Task>,
    /// The control group of the container that the task begins.
    container: Option<NewCgroup>,
    is_kept: bool,
}

impl TaskSet {
    /// Makes a task, seen at once by everybody who can see it. It does not run before [`UnstartedTask::start`].
    ///
    /// # Errors
    /// - EAGAIN: there are `kernel.threads-max` tasks, the user has RLIMIT_NPROC, a control group has as many as it may, a PID namespace has no number left, or the host has no room for
    ///   another task.
    /// - EINTR: the thread group, or the creator's, is exiting or in execve.
    /// - ERESTARTNOINTR: the creator was sent a signal together with others, which the new process would have been sent too.
    /// - ENOMEM: the PID namespace's init has died; the creator may have no more of the heap.
    /// - EEXIST, EINVAL: a wanted number is in use, or is none.
    /// - ENODEV, EBUSY, EOPNOTSUPP: the wanted control group takes no task.
    pub fn new_task(&self, config: TaskConfig) -> Result<UnstartedTask, Errno> {
        if self.task_count() >= config.kernel.settings().bound(KernelNumber::ThreadsMax) {
            return Err(Errno::EAGAIN);
        }
        let charges = Charges::take(&config)?;
        let container = config.container_cgroup()?;
        let creator = config.parent.as_ref().map(|task| task.member_key());
        let into = config.initial_cgroup.as_ref().or(container.as_ref().map(|container| container.cgroup()));
        let reservation = config.kernel.cgroups().reserve(creator, into)?;
        let (parent, inherit_parent) = (config.parent.clone(), config.inherit_parent.clone());
        let family = Family { parent: parent.as_deref(), inherit_parent: inherit_parent.as_deref() };
        let (wanted_numbers, broadcasts_seen) = (config.wanted_numbers.clone(), config.broadcasts_seen);
        let own = OwnState::of(&config);
        let task = Arc::new(Task::new(self.task_id(), config, charges));

        let (mut tree, broadcasts) = self.lock_for_creation();
        if broadcasts != broadcasts_seen && family.parent.is_some_and(Task::has_unblocked_signal) {
            return Err(Errno::ERESTARTNOINTR);
        }
        let end = task.kernel.settings().get(KernelNumber::PidMax) - 1;
        let end = Tid(i32::try_from(end).unwrap_or(i32::MAX));
        tree.insert(&task, family, (&wanted_numbers, end), reservation)?;
        // The last step. What follows a failure is the exact reverse of what came before.
        let context = new_context(&task.kernel, own.segment_bases, own.extended_state.as_deref())
            .inspect_err(|_| tree.remove_unstarted(&task))?;
        task.set_interrupter(context.interrupter());
        drop(tree);
        task.pay_for_memory(family.parent);
        let current = Box::new(CurrentTask::new(task.clone(), context, own));
        Ok(UnstartedTask { current, creation: Creation { task, container, is_kept: false } })
    }
}

/// What a task is charged with before anybody sees it.
struct Charges {
    heap: HeapCharge,
    process: ProcessCharge,
}

impl Charges {
    /// Charges the creator's heap and the user.
    ///
    /// # Errors
    /// ENOMEM, EAGAIN.
    fn take(config: &TaskConfig) -> Result<Self, Errno> {
        let heap = HeapCharge::new(TASK_BYTES)?;
        let process = config.user_counters.charge_process(config.process_limit())?;
        Ok(Self { heap, process })
    }
}

/// What of a configuration the task's own thread alone has.
struct OwnState {
    registers: Registers,
    segment_bases: SegmentBases,
    extended_state: Option<Vec<u8>>,
    memory: Arc<MemoryManager>,
    syscall_number: Option<u64>,
    signal_stack: AlternateStack,
    rseq_area: Option<RseqArea>,
}

impl OwnState {
    fn of(config: &TaskConfig) -> Self {
        let image = &config.image;
        Self {
            registers: image.registers,
            segment_bases: image.segment_bases,
            extended_state: image.extended_state.clone(),
            memory: image.memory.clone(),
            syscall_number: image.syscall_number,
            signal_stack: config.signal_stack,
            rseq_area: config.rseq_area,
        }
    }
}

impl Task {
    /// A task as it is before anybody sees it.
    fn new(id: TaskId, config: TaskConfig, charges: Charges) -> Self {
        config.thread_group.set_user_namespace(&config.credentials.user_namespace);
        let parent = config.parent.as_deref();
        let timer_slack_ns = parent.map_or(DEFAULT_TIMER_SLACK_NS, Self::timer_slack_ns);
        let waiter = Arc::<Waiter>::default();
        let resources = Resources {
            memory: config.image.memory,
            executable: config.image.executable,
            descriptors: config.descriptors,
            task_fs: config.task_fs,
        };
        let task = Self {
            id,
            container_id: config.container_id,
            group: config.thread_group,
            tid: AtomicI32::new(0),
            root_tid: AtomicI32::new(0),
            sched_entity: SchedEntity::new(waiter.clone()),
            rseq_area: Mutex::new(config.rseq_area),
            keyrings: Mutex::new(config.keyrings),
            waiter,
            interrupter: Mutex::default(),
            // A stop or a signal of the group may have come before the task was part of it.
            is_interrupted: AtomicBool::new(true),
            is_asleep: AtomicBool::new(false),
            sleeps_in: Mutex::default(),
            has_stopped: AtomicBool::new(false),
            signals: Mutex::new(TaskSignals { mask: config.signal_mask, ..TaskSignals::default() }),
            credentials: Mutex::new(config.credentials),
            resources: Mutex::new(Some(resources)),
            name: Mutex::new([0; NAME_LEN]),
            namespaces: Mutex::new(config.namespaces),
            niceness: AtomicI32::new(config.niceness),
            scheduling: Mutex::new(config.scheduling),
            io_context: config.io_context,
            allowed_cpus: Mutex::new(config.allowed_cpus),
            has_new_cpus: AtomicBool::new(false),
            last_cpu: AtomicU32::new(0),
            clear_child_tid: AtomicU64::new(config.clear_child_tid),
            robust_list: AtomicU64::new(0),
            is_reaped: AtomicBool::new(false),
            parent_death_signal: AtomicU8::new(0),
            flags: parent.map_or_else(TaskFlags::default, |parent| parent.flags().inherited()),
            io: IoCounters::default(),
            faults: AtomicU64::new(0),
            events: Default::default(),
            memory_policy: Mutex::new(parent.map_or_else(MemoryPolicy::default, Self::memory_policy)),
            timer_slack_ns: AtomicU64::new(timer_slack_ns),
            default_timer_slack_ns: timer_slack_ns,
            start_time: config.kernel.timekeeper().monotonic(),
            cpu_time: CpuTime::new(Instant::now()),
            stops: StopState::default(),
            vfork: Mutex::new(config.vfork),
            process_charge: Mutex::new(Some(charges.process)),
            membership: Mutex::default(),
            pids_charge: Mutex::default(),
            undo_list: Mutex::new(config.undo_list),
            deferred: Default::default(),
            ptrace: TraceState::default(),
            seccomp: SeccompState::default(),
            kernel: config.kernel,
            _heap_charge: charges.heap,
        };
        task.set_name(&config.image.name);
        task
    }
}

impl CurrentTask {
    /// A task that runs no instruction yet, with the state that the platform has made for it.
    fn new(task: Arc<Task>, context: Box<dyn Context>, own: OwnState) -> Self {
        Self {
            task,
            context,
            registers: own.registers,
            syscall_number: own.syscall_number,
            restart: None,
            saved_signal_mask: None,
            buffer: Vec::new(),
            signal_stack: own.signal_stack,
            trap: TrapState::default(),
            is_stepping: false,
            debug: Default::default(),
            standstill: Standstill::default(),
            charged_time: None,
            rseq: RseqState::new(own.rseq_area),
            memory: own.memory,
            lending: Default::default(),
            answers: Default::default(),
            has_waited_in_vain: false,
            profile: None,
            attempted: None,
            user_dispatch: None,
            registered_rings: Vec::new(),
            state: State::App,
        }
    }
}

impl UnstartedTask {
    /// The part of it that others see.
    pub fn task(&self) -> &Arc<Task> {
        &self.creation.task
    }

    /// Starts the task's thread. A task that has exited, as it was restored, does not run.
    ///
    /// # Errors
    /// EAGAIN if the host has no thread left: the task is taken back.
    pub fn start(self) -> Result<Arc<Task>, Errno> {
        let Self { current, creation } = self;
        let task = creation.task.clone();
        if task.memory().is_some() {
            task.count_start();
            task.kernel.tasks().host_threads.run(current).map_err(|error| {
                log::debug!("EAGAIN: no host thread for task {}: {error}", task.root_tid());
                task.count_end();
                Errno::EAGAIN
            })?;
        }
        creation.keep();
        Ok(task)
    }

    /// The task, and what its thread would own: for tests that let no thread run it.
    #[cfg(test)]
    pub(super) fn into_parts(self) -> (Arc<Task>, Box<CurrentTask>) {
        let task = self.creation.task.clone();
        self.creation.keep();
        (task, self.current)
    }
}

impl Creation {
    fn keep(mut self) {
        self.is_kept = true;
        self.container.take().into_iter().for_each(NewCgroup::keep);
    }
}

impl Drop for Creation {
    fn drop(&mut self) {
        if !self.is_kept {
            self.task.leave_events();
            self.task.kernel.tasks().tree.write().remove_unstarted(&self.task);
            self.task.release();
        }
    }
}

fn new_context(
    kernel: &Kernel,
    bases: SegmentBases,
    extended_state: Option<&[u8]>,
) -> Result<Box<dyn Context>, Errno> {
    let mut context = kernel.platform().new_context().map_err(|error| {
        log::debug!("EAGAIN: no execution state for a new task: {error}");
        Errno::EAGAIN
    })?;
    context.set_segment_bases(bases);
    if let Some(state) = extended_state {
        context.set_extended_state(state).map_err(|error| {
            log::debug!("EINVAL: {error}");
            Errno::EINVAL
        })?;
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
        (wanted, end): (&[Tid], Tid),
        reservation: Reservation,
    ) -> Result<(), Errno> {
        let group = &task.group;
        // Who is being killed leaves nobody behind.
        if family
            .parent
            .is_some_and(|parent| parent.group.id() != group.id() && parent.pending_exit().is_some())
        {
            return Err(Errno::EINTR);
        }
        let mut state = group.state.lock();
        if state.exit.is_some() || state.exec.is_some() {
            return Err(Errno::EINTR);
        }
        let numbers = self.assign_numbers(task.id, group.pid_namespace(), wanted, end)?;
        // Nothing below fails.
        if let Some(creator) = family.parent {
            task.seccomp.inherit(&creator.seccomp);
        }
        task.stops.begin_with(self.stops);
        let cpu = task.allowed_cpus().nth(task.root_tid().unsigned_abs());
        task.last_cpu.store(cpu, Ordering::Relaxed);
        let own = Self::number_in(&numbers, group.pid_namespace().id());
        task.tid.store(own.0, Ordering::Relaxed);
        task.root_tid.store(numbers.last().map_or(0, |(_, tid)| tid.0), Ordering::Relaxed);
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
                group.tgid.store(own.0, Ordering::Relaxed);
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

    /// Takes back [`Tree::insert`]. One that has exited meanwhile stays what it is.
    fn remove_unstarted(&mut self, task: &Task) {
        if self.tasks.get(&task.id).is_none_or(|node| node.has_exited) {
            return;
        }
        drop(task.membership.lock().take());
        let id = task.group.id();
        {
            let mut state = task.group.state.lock();
            state.tasks.retain(|other| other.id != task.id);
            state.active_tasks -= 1;
            if let Some(dump) = &state.core_dump {
                dump.add(None);
            }
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
        // Whoever waits for a child may have no other.
        let parent = node.parent;
        self.reap(id);
        if let Some(parent) = parent.and_then(|parent| self.groups.get(&parent)) {
            parent.group.changes.notify(Events::IN);
        }
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

    fn set_interrupter(&self, interrupter: Arc<dyn Interrupter>) {
        self.sched_entity.set_interrupter(interrupter.clone());
        *self.interrupter.lock() = Some(interrupter);
    }
}
