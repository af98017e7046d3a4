//! A task: what others may see of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Namespaces;
use super::ThreadGroup;
use super::cpu_time::CpuTime;
use super::deferred::Deferred;
use super::external_stop::StopState;
use super::flags::TaskFlags;
use super::id::TaskId;
use super::io_priority::IoContext;
use super::perf::TaskEvents;
use super::ptrace::TraceState;
use super::rseq::RseqArea;
use super::scheduling::Scheduling;
use super::seccomp::SeccompState;
use super::usage::IoCounters;
use super::vfork::VforkCompletion;
use crate::Errno;
use crate::cgroup::{Membership, PidsCharge};
use crate::cred::{Credentials, Uid};
use crate::fs::proc::WaitingPlace;
use crate::fs::{DescriptorTable, ExecutedFile, TaskFs};
use crate::heap::{HeapAccount, HeapCharge};
use crate::ipc::{IpcNamespace, UndoList};
use crate::kernel::Kernel;
use crate::keys::TaskKeyrings;
use crate::limits::{ProcessCharge, UserCounters};
use crate::memory::{MemoryManager, MemoryPolicy};
use crate::net::NetworkNamespace;
use crate::platform::Interrupter;
use crate::signal::{PendingSignals, SignalSet};
use crate::time::{MonotonicTime, TimeNamespace};
use crate::uts::UtsNamespace;
use crate::virtual_cpus::SchedEntity;
use crate::wait::Waiter;

/// Longest name of a task, with its NUL (`TASK_COMM_LEN`).
pub const NAME_LEN: usize = 16;

/// What PR_SET_TIMERSLACK begins with.
pub(super) const DEFAULT_TIMER_SLACK_NS: u64 = 50_000;

/// A task. Its thread owns a [`CurrentTask`](super::CurrentTask) beside it.
pub struct Task {
    pub(super) id: TaskId,
    pub(super) kernel: Arc<Kernel>,
    pub(super) group: Arc<ThreadGroup>,
    pub(super) container_id: Option<Arc<[u8]>>,
    /// Its number in its own PID namespace.
    pub(super) tid: AtomicI32,
    /// Its number in the root PID namespace: for logs.
    pub(super) root_tid: AtomicI32,
    /// Nothing leads to it any more: it has ended, and whoever had to hear of it has.
    pub(super) is_reaped: AtomicBool,
    pub(super) waiter: Arc<Waiter>,
    pub(super) interrupter: Mutex<Option<Arc<dyn Interrupter>>>,
    /// Something is to be dealt with before user code goes on: a signal, a stop, the end.
    pub(super) is_interrupted: AtomicBool,
    pub(super) is_asleep: AtomicBool,
    /// Where it sleeps, or slept last.
    pub(super) sleeps_in: Mutex<Option<WaitingPlace>>,
    pub(super) has_stopped: AtomicBool,
    pub(super) signals: Mutex<TaskSignals>,
    pub(super) credentials: Mutex<Arc<Credentials>>,
    /// What the task shares or owns until it exits.
    pub(super) resources: Mutex<Option<Resources>>,
    pub(super) name: Mutex<[u8; NAME_LEN]>,
    pub(super) namespaces: Mutex<Namespaces>,
    pub(super) niceness: AtomicI32,
    pub(super) scheduling: Mutex<Scheduling>,
    pub(super) io_context: IoContext,
    pub(super) allowed_cpus: Mutex<CpuSet>,
    /// The host thread is not confined to them yet.
    pub(super) has_new_cpus: AtomicBool,
    /// The CPU where it was seen last.
    pub(super) last_cpu: AtomicU32,
    /// CLONE_CHILD_CLEARTID's address; 0 for none.
    pub(crate) clear_child_tid: AtomicU64,
    /// set_robust_list(2)'s address; 0 for none.
    pub(crate) robust_list: AtomicU64,
    /// Its share in the CPU numbers of its address space.
    pub(super) sched_entity: Arc<SchedEntity>,
    /// Its session, process and thread keyrings.
    pub(super) keyrings: Mutex<TaskKeyrings>,
    /// The rseq(2) area that it has registered.
    pub(super) rseq_area: Mutex<Option<RseqArea>>,
    /// PR_SET_PDEATHSIG; 0 for none.
    pub(super) parent_death_signal: AtomicU8,
    /// PR_GET_TIMERSLACK, nanoseconds.
    pub(super) timer_slack_ns: AtomicU64,
    /// What prctl(2) has set for it alone.
    pub(super) flags: TaskFlags,
    /// What it has read and written.
    pub(super) io: IoCounters,
    /// The page faults of its user code.
    pub(super) faults: AtomicU64,
    pub(super) events: TaskEvents,
    /// Where its memory is to come from, where a mapping does not say.
    pub(super) memory_policy: Mutex<MemoryPolicy>,
    /// What its creator had, which it began with.
    pub(super) default_timer_slack_ns: u64,
    pub(super) start_time: MonotonicTime,
    /// Its CPU clock, and the host thread that runs it.
    pub(super) cpu_time: CpuTime,
    pub(super) stops: StopState,
    pub(super) vfork: Mutex<Option<Arc<VforkCompletion>>>,
    pub(super) process_charge: Mutex<Option<ProcessCharge>>,
    /// Its place in a control group, until it exits.
    pub(super) membership: Mutex<Option<Membership>>,
    /// What the pids controller charges it with between its exit and its being reaped.
    pub(super) pids_charge: Mutex<Option<PidsCharge>>,
    /// What its semaphore operations take back at its end.
    pub(super) undo_list: Mutex<Option<Arc<UndoList>>>,
    /// What a tracer asked of it.
    pub(super) deferred: Deferred,
    pub(super) ptrace: TraceState,
    /// Its seccomp(2) mode and filters.
    pub(super) seccomp: SeccompState,
    /// For all of this, and its host thread.
    pub(super) _heap_charge: HeapCharge,
}

/// What a task shares or owns until it exits.
#[derive(Clone)]
pub(super) struct Resources {
    pub(super) memory: Arc<MemoryManager>,
    /// What the memory was loaded from.
    pub(super) executable: Option<Arc<ExecutedFile>>,
    pub(super) descriptors: Arc<DescriptorTable>,
    pub(super) task_fs: Arc<TaskFs>,
}

/// A task's own signals.
#[derive(Default)]
pub(super) struct TaskSignals {
    pub(super) pending: PendingSignals,
    pub(super) mask: SignalSet,
    /// What sigtimedwait(2) waits for now.
    pub(super) awaited: SignalSet,
}

/// A set of CPUs, bit N for CPU N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub struct CpuSet(pub u64);

impl CpuSet {
    /// The first `count` CPUs, at most 64.
    pub fn first(count: usize) -> Self {
        Self(if count >= 64 { u64::MAX } else { (1 << count) - 1 })
    }
}

impl CpuSet {
    /// Whether it holds `cpu`.
    pub fn contains(self, cpu: u32) -> bool {
        self.0.checked_shr(cpu).is_some_and(|rest| rest & 1 == 1)
    }

    /// One of its CPUs, in turn as `index` grows; 0 if there is none.
    pub fn nth(self, index: u32) -> u32 {
        let Some(index) = index.checked_rem(self.0.count_ones()) else { return 0 };
        let lower = (0..index).fold(self.0, |rest, _| rest & (rest - 1));
        lower.trailing_zeros()
    }
}

impl Task {
    /// Unique in its kernel, and never given again: tids are.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The kernel that it lives in.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// Its process.
    pub fn thread_group(&self) -> &Arc<ThreadGroup> {
        &self.group
    }

    /// What the sentry's heap holds for its process.
    pub(super) fn heap(&self) -> &Arc<HeapAccount> {
        self.group.heap_of(self.kernel.frames())
    }

    /// The container that it is in, if that has a name.
    pub fn container_id(&self) -> Option<&Arc<[u8]>> {
        self.container_id.as_ref()
    }

    /// gettid(2).
    pub fn tid(&self) -> i32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// Its number in the root PID namespace.
    pub fn root_tid(&self) -> i32 {
        self.root_tid.load(Ordering::Relaxed)
    }

    /// Process and thread, as the root PID namespace numbers them.
    pub(super) fn actor(&self) -> (i32, i32) {
        (self.group.root_tgid(), self.root_tid())
    }

    /// Where its thread sleeps.
    pub fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }

    /// Has the task look for signals, stops and its end before it goes on: user code is left, sleeps end.
    pub fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::Release);
        self.waiter.wake();
        self.kick();
    }

    /// Has the task leave user code for a moment. Sleeps go on.
    pub(super) fn kick(&self) {
        let interrupter = self.interrupter.lock().clone();
        if let Some(interrupter) = interrupter {
            interrupter.interrupt();
        }
    }

    /// Its user code is not told any more what it was told in advance of call `number`.
    pub(super) fn withdraw_answer(&self, number: u8) {
        let interrupter = self.interrupter.lock().clone();
        if let Some(interrupter) = interrupter {
            interrupter.withdraw_answer(number);
        }
    }

    /// Whether something is to be dealt with before user code goes on.
    pub fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Acquire)
    }

    /// Whether it has ended, and whoever had to hear of that has.
    pub fn is_reaped(&self) -> bool {
        self.is_reaped.load(Ordering::Acquire)
    }

    /// What checks of permission look at now; execve(2) and setuid(2) replace it whole.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.lock().clone()
    }

    /// Has it act as `credentials` for a moment; who it was is returned.
    pub(super) fn swap_credentials(&self, credentials: Arc<Credentials>) -> Arc<Credentials> {
        std::mem::replace(&mut *self.credentials.lock(), credentials)
    }

    /// Its real user, as the processes in the user namespace of `receiver` number them.
    pub(super) fn uid_for(&self, receiver: &ThreadGroup) -> Uid {
        receiver.user_namespace().from_kernel_uid(self.credentials().real_uid)
    }

    /// Replaces its credentials. With another effective identity, or more capabilities, others may no longer look into
    /// the process (`man 2 prctl`, PR_SET_DUMPABLE), and the death of the parent tells it nothing:
    /// then it returns true.
    pub fn set_credentials(&self, credentials: Credentials) -> bool {
        let new = Arc::new(credentials);
        let old = std::mem::replace(&mut *self.credentials.lock(), new.clone());
        if old.fs_uid != new.fs_uid {
            self.keyrings.lock().change_user(new.fs_uid);
        }
        if new.user_namespace != old.user_namespace {
            self.group.set_user_namespace(&new.user_namespace);
        }
        let identity = |of: &Credentials| (of.effective_uid, of.effective_gid, of.fs_uid, of.fs_gid);
        let is_closed = identity(&old) != identity(&new) || !new.are_within(&old);
        if is_closed {
            self.group.set_dumpable(self.kernel.core_settings().suid_dumpable());
            self.set_parent_death_signal(0);
        }
        is_closed
    }

    /// Its address space, until it exits.
    pub fn memory(&self) -> Option<Arc<MemoryManager>> {
        self.resources.lock().as_ref().map(|resources| resources.memory.clone())
    }

    /// Its descriptors; an exited task has an empty table.
    pub fn descriptors(&self) -> Arc<DescriptorTable> {
        match &*self.resources.lock() {
            Some(resources) => resources.descriptors.clone(),
            None => DescriptorTable::new(self.kernel.open_files()),
        }
    }

    /// Gives it a descriptor table of its own, if others share the one that it has (unshare(2), CLONE_FILES).
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn unshare_descriptors(&self) -> Result<(), Errno> {
        let mut resources = self.resources.lock();
        if let Some(resources) = resources.as_mut()
            && Arc::strong_count(&resources.descriptors) > 1
        {
            resources.descriptors = resources.descriptors.duplicate()?;
        }
        Ok(())
    }

    /// Its root, working directory and umask.
    ///
    /// # Panics
    /// The task has exited: only its own thread and those who checked ask.
    pub fn task_fs(&self) -> Arc<TaskFs> {
        self.try_task_fs().expect("a task's file-system context is there until it exits")
    }

    /// Its root, working directory and umask, until it exits.
    pub fn try_task_fs(&self) -> Option<Arc<TaskFs>> {
        self.resources.lock().as_ref().map(|resources| resources.task_fs.clone())
    }

    /// PR_GET_PDEATHSIG; 0 for none.
    pub fn parent_death_signal(&self) -> u8 {
        self.parent_death_signal.load(Ordering::Relaxed)
    }

    /// PR_SET_PDEATHSIG.
    pub fn set_parent_death_signal(&self, signal: u8) {
        self.parent_death_signal.store(signal, Ordering::Relaxed);
    }

    /// Whether it has one I/O context with `other` (CLONE_IO).
    pub fn shares_io_context(&self, other: &Self) -> bool {
        self.io_context.is_shared_with(&other.io_context)
    }

    /// What set_mempolicy(2) has set, or its creator had.
    pub fn memory_policy(&self) -> MemoryPolicy {
        *self.memory_policy.lock()
    }

    /// Sets what set_mempolicy(2) sets.
    pub fn set_memory_policy(&self, policy: MemoryPolicy) {
        *self.memory_policy.lock() = policy;
    }

    /// What prctl(2) has set for it alone.
    pub fn flags(&self) -> &TaskFlags {
        &self.flags
    }

    /// PR_GET_TIMERSLACK, nanoseconds.
    pub fn timer_slack_ns(&self) -> u64 {
        self.timer_slack_ns.load(Ordering::Relaxed)
    }

    /// PR_SET_TIMERSLACK, nanoseconds; 0 is what its creator had.
    pub fn set_timer_slack_ns(&self, slack_ns: u64) {
        let slack_ns = if slack_ns == 0 { self.default_timer_slack_ns } else { slack_ns };
        self.timer_slack_ns.store(slack_ns, Ordering::Relaxed);
    }

    /// Has `user` be charged for this task instead (setuid). As on Linux, the limit does not count here.
    pub fn charge_to(&self, user: &Arc<UserCounters>) {
        if let Ok(charge) = user.charge_process(None) {
            *self.process_charge.lock() = Some(charge);
        }
    }

    /// The file that it executes; `None` once it has exited.
    pub fn executed_file(&self) -> Option<Arc<ExecutedFile>> {
        self.resources.lock().as_ref().and_then(|resources| resources.executable.clone())
    }

    /// Changes the file that it is said to execute (PR_SET_MM_EXE_FILE). Returns the one before.
    pub fn set_executed_file(&self, executed: Arc<ExecutedFile>) -> Option<Arc<ExecutedFile>> {
        self.resources.lock().as_mut().and_then(|resources| resources.executable.replace(executed))
    }

    /// Its namespaces, but for those of its credentials, its file-system context and its group.
    pub fn namespaces(&self) -> Namespaces {
        self.namespaces.lock().clone()
    }

    /// The same, until it exits.
    pub fn try_namespaces(&self) -> Option<Namespaces> {
        // It loses the resources first.
        let namespaces = self.namespaces();
        self.resources.lock().is_some().then_some(namespaces)
    }

    /// Leaves its namespaces, to end: a zombie must not keep what is in them. It passes for one of the first ones from here on.
    pub(super) fn leave_namespaces(&self) {
        self.leave_ipc_namespace();
        let old = std::mem::replace(&mut *self.namespaces.lock(), self.kernel.initial_namespaces().clone());
        drop(old);
    }

    /// Moves it to other namespaces.
    pub(crate) fn set_namespaces(&self, namespaces: Namespaces) {
        let is_same_ipc = Arc::ptr_eq(&self.ipc_namespace(), &namespaces.ipc);
        if !is_same_ipc {
            self.leave_ipc_namespace();
        }
        let old = std::mem::replace(&mut *self.namespaces.lock(), namespaces);
        drop(old);
    }

    /// What CLOCK_MONOTONIC and CLOCK_BOOTTIME are shifted by.
    pub fn time_namespace(&self) -> Arc<TimeNamespace> {
        self.namespaces.lock().time.clone()
    }

    /// Moves it to a time namespace, whose clocks its memory shows already.
    pub(super) fn enter_time_namespace(&self, namespace: Arc<TimeNamespace>) {
        let old = std::mem::replace(&mut self.namespaces.lock().time, namespace);
        drop(old);
    }

    /// Where the host and domain name come from.
    pub fn uts_namespace(&self) -> Arc<UtsNamespace> {
        self.namespaces.lock().uts.clone()
    }

    /// Whose System V objects and message queues it sees.
    pub fn ipc_namespace(&self) -> Arc<IpcNamespace> {
        self.namespaces.lock().ipc.clone()
    }

    /// Whose links, sockets and ports it sees.
    pub fn network_namespace(&self) -> Arc<NetworkNamespace> {
        self.namespaces.lock().network.clone()
    }

    /// Its name (`comm`), without the NUL.
    pub fn name(&self) -> Vec<u8> {
        let name = self.name.lock();
        name.iter().copied().take_while(|byte| *byte != 0).collect()
    }

    /// Names it, cut to 15 bytes.
    pub fn set_name(&self, name: &[u8]) {
        let mut bytes = [0; NAME_LEN];
        let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len()).min(NAME_LEN - 1);
        bytes[..len].copy_from_slice(&name[..len]);
        *self.name.lock() = bytes;
    }

    /// Its niceness, -20 to 19.
    pub fn niceness(&self) -> i32 {
        self.niceness.load(Ordering::Relaxed)
    }

    /// Sets its niceness, clamped.
    pub fn set_niceness(&self, niceness: i32) {
        self.niceness.store(niceness.clamp(-20, 19), Ordering::Relaxed);
    }

    /// How it is scheduled.
    pub fn scheduling(&self) -> Scheduling {
        *self.scheduling.lock()
    }

    /// Sets how it is scheduled.
    pub fn set_scheduling(&self, scheduling: Scheduling) {
        *self.scheduling.lock() = scheduling;
    }

    /// The CPUs that it may run on.
    pub fn allowed_cpus(&self) -> CpuSet {
        *self.allowed_cpus.lock()
    }

    /// Sets the CPUs that it may run on; its host thread follows before user code goes on.
    ///
    /// # Errors
    /// EINVAL if none of them exists.
    pub fn set_allowed_cpus(&self, cpus: CpuSet) -> Result<(), Errno> {
        let cpus = CpuSet(cpus.0 & CpuSet::first(self.kernel.cpu_count()).0);
        if cpus.0 == 0 {
            return Err(Errno::EINVAL);
        }
        let mut allowed = self.allowed_cpus.lock();
        *allowed = cpus;
        self.has_new_cpus.store(true, Ordering::Release);
        drop(allowed);
        self.sched_entity.recall();
        Ok(())
    }

    /// The CPU where it ran when it was seen last, one of those that it may run on.
    pub fn last_cpu(&self) -> u32 {
        let (cpu, allowed) = (self.last_cpu.load(Ordering::Relaxed), self.allowed_cpus());
        if allowed.contains(cpu) { cpu } else { allowed.nth(0) }
    }

    /// When it was made.
    pub fn start_time(&self) -> MonotonicTime {
        self.start_time
    }

    /// Whether it sleeps in a system call.
    pub fn is_asleep(&self) -> bool {
        self.is_asleep.load(Ordering::Relaxed)
    }

    /// Whether it is in a group stop.
    pub fn has_stopped(&self) -> bool {
        self.has_stopped.load(Ordering::Relaxed)
    }

    /// Has the vfork that made this task return, if it has not.
    pub(super) fn complete_vfork(&self) {
        if let Some(vfork) = self.vfork.lock().take() {
            vfork.complete();
        }
    }
}
