//! What a new task is to be.
//!
//! A configuration is made in two ways only: of its creator, as clone(2) has it, and for a task that nobody inside creates.

use std::sync::Arc;

use parking_lot::Mutex;

use super::clone::{CloneFlags, CloneRequest};
use super::id::Tid;
use super::io_priority::IoContext;
use super::rseq::RseqArea;
use super::scheduling::Scheduling;
use super::unshare::mount_identity;
use super::vfork::VforkCompletion;
use super::{CpuSet, CurrentTask, Namespaces, PidNamespace, Task, ThreadGroup};
use crate::Errno;
use crate::cgroup::{Cgroup, FileOwner, NewCgroup};
use crate::cred::{Capabilities, Credentials, KernelUid, Namespace};
use crate::fs::{DescriptorTable, ExecutedFile, TaskFs};
use crate::ipc::UndoList;
use crate::kernel::Kernel;
use crate::keys::TaskKeyrings;
use crate::limits::{Resource, UserCounters};
use crate::loader::LoadedProgram;
use crate::memory::MemoryManager;
use crate::platform::{Registers, SegmentBases};
use crate::signal::{AlternateStack, SignalSet};

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
    /// What /proc/PID/exe leads to; `None` before the first execve(2).
    pub executable: Option<Arc<ExecutedFile>>,
    /// The system call that made the task: its tracer sees it in the first stop.
    pub syscall_number: Option<u64>,
}

impl From<LoadedProgram> for TaskImage {
    fn from(program: LoadedProgram) -> Self {
        Self {
            registers: program.registers,
            segment_bases: SegmentBases::default(),
            extended_state: None,
            memory: program.memory,
            name: program.name,
            executable: Some(program.executable),
            syscall_number: None,
        }
    }
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
    pub task_fs: Arc<TaskFs>,
    /// Open files, shared with the creator by CLONE_FILES.
    pub descriptors: Arc<DescriptorTable>,
    /// What checks of permission look at.
    pub credentials: Arc<Credentials>,
    /// -20 to 19.
    pub niceness: i32,
    /// The namespaces that are not part of the group, the credentials or the file-system context.
    pub namespaces: Namespaces,
    /// The creator's list of what semaphore operations are to take back, if the two share it (CLONE_SYSVSEM).
    pub undo_list: Option<Arc<UndoList>>,
    /// How it is scheduled.
    pub scheduling: Scheduling,
    /// Its I/O priority: the creator's own if the two share it (CLONE_IO).
    pub(crate) io_context: IoContext,
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

impl TaskConfig {
    /// A task that nobody inside creates: without parent, container and CPU restrictions, in the kernel's own namespaces.
    pub fn without_creator(
        kernel: &Arc<Kernel>,
        thread_group: Arc<ThreadGroup>,
        image: TaskImage,
        task_fs: Arc<TaskFs>,
        descriptors: Arc<DescriptorTable>,
        credentials: Credentials,
    ) -> Self {
        Self {
            kernel: kernel.clone(),
            parent: None,
            inherit_parent: None,
            thread_group,
            broadcasts_seen: kernel.tasks().broadcast_count(),
            container_id: None,
            wanted_numbers: Vec::new(),
            signal_mask: SignalSet::EMPTY,
            signal_stack: AlternateStack::default(),
            image,
            task_fs,
            descriptors,
            user_counters: kernel.users().counters(credentials.real_uid),
            credentials: Arc::new(credentials),
            niceness: 0,
            namespaces: kernel.initial_namespaces().clone(),
            undo_list: None,
            scheduling: Scheduling::default(),
            io_context: IoContext::default(),
            allowed_cpus: CpuSet::first(kernel.cpu_count()),
            initial_cgroup: None,
            keyrings: TaskKeyrings::new(kernel.keys()),
            rseq_area: None,
            clear_child_tid: 0,
            vfork: None,
        }
    }

    /// The control group of the container that a first task begins, made if it is not there. Its first user may use it.
    pub(super) fn container_cgroup(&self) -> Result<Option<NewCgroup>, Errno> {
        let Some(id) = self.container_id.as_ref().filter(|_| self.parent.is_none()) else { return Ok(None) };
        let credentials = &self.credentials;
        let owner =
            FileOwner { uid: credentials.effective_uid, gid: credentials.effective_gid, permissions: 0o755 };
        NewCgroup::make(self.kernel.cgroups(), id, owner).map(Some)
    }

    /// RLIMIT_NPROC, unless the creator is exempt (`man 2 getrlimit`): the system's root user, CAP_SYS_RESOURCE,
    /// CAP_SYS_ADMIN.
    pub(super) fn process_limit(&self) -> Option<u64> {
        let credentials = &self.credentials;
        let is_exempt = credentials.real_uid == KernelUid::ROOT
            || credentials.has(Capabilities::SYS_RESOURCE)
            || credentials.has(Capabilities::SYS_ADMIN);
        (!is_exempt).then(|| self.thread_group.soft_limit(Resource::PROCESSES))
    }
}

impl CurrentTask {
    /// What a task that this one makes is to be. `broadcasts_seen` is from before anything of it was copied.
    ///
    /// # Errors
    /// EINVAL, EPERM and ENOSPC for namespaces and numbers that it may not have, ENOMEM.
    pub(super) fn child_config(
        &mut self,
        request: &CloneRequest,
        vfork: Option<Arc<VforkCompletion>>,
        broadcasts_seen: u64,
    ) -> Result<TaskConfig, Errno> {
        let has = |flags| request.flags.contains(flags);
        let task = self.task().clone();
        let is_thread = has(CloneFlags::THREAD);
        let credentials = self.credentials_for(request.flags)?;
        if has(CloneFlags::NEWIPC | CloneFlags::SYSVSEM) {
            return Err(Errno::EINVAL);
        }
        if !task.scheduling().allows_children() {
            return Err(Errno::EAGAIN);
        }
        let mut namespaces = self.unshared_namespaces(request.flags, &credentials)?;
        check_wanted_numbers(&request.wanted_numbers, &namespaces.pid_for_children, &credentials)?;
        let mount_identity = mount_identity(request.flags, &credentials)?;
        let image = self.child_image(request, &mut namespaces)?;
        let keyrings = {
            let keyrings = task.keyrings.lock();
            if is_thread { keyrings.for_thread(&credentials)? } else { keyrings.for_process() }
        };
        let keeps_signal_stack = !has(CloneFlags::VM) || has(CloneFlags::VFORK);
        let (descriptors, mut task_fs) = (self.descriptors(), self.task_fs());
        if let Some(identity) = mount_identity {
            task_fs = task_fs.in_new_namespace(identity)?;
        } else if !has(CloneFlags::FS) {
            task_fs = task_fs.duplicate();
        }
        Ok(TaskConfig {
            kernel: task.kernel.clone(),
            parent: Some(task.clone()),
            inherit_parent: (has(CloneFlags::PARENT) || is_thread).then(|| task.clone()),
            thread_group: if is_thread {
                task.group.clone()
            } else {
                self.child_group(request, namespaces.pid_for_children.clone())
            },
            broadcasts_seen,
            container_id: task.container_id.clone(),
            wanted_numbers: request.wanted_numbers.clone(),
            signal_mask: task.signals.lock().mask,
            signal_stack: if keeps_signal_stack { self.signal_stack } else { AlternateStack::default() },
            image,
            task_fs,
            descriptors: if has(CloneFlags::FILES) { descriptors } else { descriptors.duplicate()? },
            user_counters: task.kernel.users().counters(credentials.real_uid),
            credentials,
            niceness: task.scheduling().niceness_of_child(task.niceness()),
            namespaces,
            undo_list: has(CloneFlags::SYSVSEM).then(|| task.undo_list()),
            scheduling: task.scheduling().of_child(),
            io_context: if has(CloneFlags::IO) {
                task.io_context.clone()
            } else {
                task.io_context.duplicate()
            },
            allowed_cpus: task.allowed_cpus(),
            initial_cgroup: request.cgroup.clone(),
            keyrings,
            rseq_area: if has(CloneFlags::VM) { None } else { self.rseq_area() },
            clear_child_tid: if has(CloneFlags::CHILD_CLEARTID) { request.child_tid } else { 0 },
            vfork,
        })
    }

    /// The creator's memory, shared or copied, and its registers, with what the request replaces in them.
    fn child_image(
        &mut self,
        request: &CloneRequest,
        namespaces: &mut Namespaces,
    ) -> Result<TaskImage, Errno> {
        let has = |flags| request.flags.contains(flags);
        let memory: Arc<MemoryManager> =
            if has(CloneFlags::VM) { self.memory().clone() } else { self.memory().fork(self)? };
        // Who shares memory shares the vDSO's clocks, and stays until it executes a program.
        if !has(CloneFlags::VM) && !Arc::ptr_eq(&namespaces.time, &namespaces.time_for_children) {
            namespaces.time = namespaces.time_for_children.clone();
            self.kernel().switch_vdso(&memory, &namespaces.time)?;
        }
        let mut registers = self.registers;
        registers.rax = 0;
        if request.stack_pointer != 0 {
            registers.rsp = request.stack_pointer;
        }
        let mut segment_bases = self.context.segment_bases();
        if has(CloneFlags::SETTLS) {
            segment_bases.fs = request.thread_local_storage;
        }
        Ok(TaskImage {
            registers,
            segment_bases,
            extended_state: Some(self.context.extended_state()),
            memory,
            name: self.task.name(),
            executable: self.task.executed_file(),
            syscall_number: self.syscall_number,
        })
    }

    fn child_group(&self, request: &CloneRequest, pid_namespace: Arc<PidNamespace>) -> Arc<ThreadGroup> {
        let group = self.thread_group();
        let actions = group.signal_actions();
        let actions = if request.flags.contains(CloneFlags::SIGHAND) {
            actions
        } else {
            let mut copy = actions.lock().clone();
            if request.flags.contains(CloneFlags::CLEAR_SIGHAND) {
                copy.reset_handlers();
            }
            Arc::new(Mutex::new(copy))
        };
        let tasks = self.kernel().tasks();
        let exit_signal =
            if request.flags.contains(CloneFlags::PARENT) { group.exit_signal } else { request.exit_signal };
        let child = tasks.new_thread_group(pid_namespace, actions, group.limits(), exit_signal);
        child.set_executed_in(group.executed_in());
        child.set_dumpable(group.dumpable());
        child.set_core_filter(group.core_filter());
        let association = self.kernel().terminals().association_of(self.task().session_member());
        child.set_terminal_association(association);
        child
    }
}

/// Who chooses a number needs leave for it in each PID namespace (`man 2 clone`, `set_tid`).
fn check_wanted_numbers(
    wanted: &[Tid],
    namespace: &Arc<PidNamespace>,
    credentials: &Credentials,
) -> Result<(), Errno> {
    if wanted.len() > namespace.level() + 1 {
        return Err(Errno::EINVAL);
    }
    for (namespace, tid) in namespace.with_ancestors().zip(wanted) {
        let owner = namespace.identity().owner().ok_or(Errno::EPERM)?;
        let may_choose = [Capabilities::CHECKPOINT_RESTORE, Capabilities::SYS_ADMIN]
            .into_iter()
            .any(|capability| credentials.has_in(owner, capability));
        match tid.0 {
            ..=0 => return Err(Errno::EINVAL),
            _ if *tid > Tid::MAX => return Err(Errno::EINVAL),
            _ if !may_choose => return Err(Errno::EPERM),
            _ => {}
        }
    }
    Ok(())
}
