//! fork, vfork, clone and clone3 (`man 2 clone`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use super::id::Tid;
use super::ptrace::Event;
use super::start::{TaskConfig, TaskImage};
use super::unshare::mount_identity;
use super::vfork::VforkCompletion;
use super::{CurrentTask, PidNamespace, ProcessFile, Task, ThreadGroup};
use crate::Errno;
use crate::cgroup::Cgroup;
use crate::cred::{Capabilities, Credentials};
use crate::fs::{Caller, FileDescription, OpenFlags};
use crate::memory::MemoryManager;
use crate::namespace::Namespace;
use crate::platform::VirtualAddress;
use crate::signal::{AlternateStack, Signal};
use crate::wait::Events;

bitflags::bitflags! {
    /// `CLONE_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct CloneFlags: u64 {
        const VM = uapi::CLONE_VM as u64;
        const FS = uapi::CLONE_FS as u64;
        const FILES = uapi::CLONE_FILES as u64;
        const SIGHAND = uapi::CLONE_SIGHAND as u64;
        const PIDFD = uapi::CLONE_PIDFD as u64;
        const PTRACE = uapi::CLONE_PTRACE as u64;
        const VFORK = uapi::CLONE_VFORK as u64;
        const PARENT = uapi::CLONE_PARENT as u64;
        const THREAD = uapi::CLONE_THREAD as u64;
        const NEWNS = uapi::CLONE_NEWNS as u64;
        const SYSVSEM = uapi::CLONE_SYSVSEM as u64;
        const SETTLS = uapi::CLONE_SETTLS as u64;
        const PARENT_SETTID = uapi::CLONE_PARENT_SETTID as u64;
        const CHILD_CLEARTID = uapi::CLONE_CHILD_CLEARTID as u64;
        const DETACHED = uapi::CLONE_DETACHED as u64;
        const UNTRACED = uapi::CLONE_UNTRACED as u64;
        const CHILD_SETTID = uapi::CLONE_CHILD_SETTID as u64;
        const NEWCGROUP = uapi::CLONE_NEWCGROUP as u64;
        const NEWUTS = uapi::CLONE_NEWUTS as u64;
        const NEWIPC = uapi::CLONE_NEWIPC as u64;
        const NEWUSER = uapi::CLONE_NEWUSER as u64;
        const NEWPID = uapi::CLONE_NEWPID as u64;
        const NEWNET = uapi::CLONE_NEWNET as u64;
        const IO = uapi::CLONE_IO as u64;
        const CLEAR_SIGHAND = 0x1_0000_0000;
        const INTO_CGROUP = 0x2_0000_0000;
        const NEWTIME = uapi::CLONE_NEWTIME as u64;
    }
}

/// What is asked of clone.
#[derive(Clone, Debug)]
pub(crate) struct CloneRequest {
    pub(crate) flags: CloneFlags,
    /// What tells the parent of the end; 0 for nothing.
    pub(crate) exit_signal: i32,
    /// The new stack pointer; 0 keeps the caller's.
    pub(crate) stack_pointer: u64,
    /// Base of FS, with SETTLS.
    pub(crate) thread_local_storage: u64,
    /// Where PIDFD stores the descriptor.
    pub(crate) pidfd: u64,
    /// Where PARENT_SETTID stores the number.
    pub(crate) parent_tid: u64,
    /// Where CHILD_SETTID stores the number and CHILD_CLEARTID clears it.
    pub(crate) child_tid: u64,
    /// clone3's `set_tid`, from the innermost namespace outwards.
    pub(crate) wanted_numbers: Vec<Tid>,
    /// clone3's `cgroup`, with INTO_CGROUP.
    pub(crate) cgroup: Option<Arc<Cgroup>>,
}

impl CloneRequest {
    /// The rules between flags.
    fn check(&self, caller: &CurrentTask) -> Result<(), Errno> {
        let has = |flags| self.flags.contains(flags);
        let is_contradictory = has(CloneFlags::SIGHAND) && !has(CloneFlags::VM)
            || has(CloneFlags::THREAD) && !has(CloneFlags::SIGHAND)
            || has(CloneFlags::THREAD) && self.flags.intersects(CloneFlags::NEWPID | CloneFlags::NEWUSER)
            || has(CloneFlags::FS) && self.flags.intersects(CloneFlags::NEWNS | CloneFlags::NEWUSER)
            || has(CloneFlags::SIGHAND | CloneFlags::CLEAR_SIGHAND)
            || has(CloneFlags::PIDFD | CloneFlags::DETACHED);
        let is_init = caller.thread_group().number() == Tid::INIT.0;
        if is_contradictory || has(CloneFlags::PARENT) && is_init {
            return Err(Errno::EINVAL);
        }
        if self.exit_signal != 0 {
            Signal::new(self.exit_signal)?;
        }
        if has(CloneFlags::SETTLS) && self.thread_local_storage >= VirtualAddress::USER_END.0 {
            return Err(Errno::EPERM);
        }
        // A thread is in the PID namespace of its process.
        let children = caller.task().namespaces().pid_for_children;
        let is_elsewhere = !Arc::ptr_eq(&children, caller.thread_group().pid_namespace());
        if has(CloneFlags::THREAD) && is_elsewhere { Err(Errno::EINVAL) } else { Ok(()) }
    }
}

impl CurrentTask {
    /// Makes a task as `request` has it, starts it, and returns its number in the caller's PID namespace.
    ///
    /// # Errors
    /// EINVAL for flags that contradict each other, EPERM, and those of [`TaskSet::new_task`](super::TaskSet::new_task).
    pub(crate) fn clone_task(&mut self, request: &CloneRequest) -> Result<Tid, Errno> {
        request.check(self)?;
        let broadcasts_seen = self.kernel().tasks().broadcast_count();
        let vfork = request.flags.contains(CloneFlags::VFORK).then(Arc::<VforkCompletion>::default);
        let config = self.child_config(request, vfork.clone(), broadcasts_seen)?;
        let kernel = self.kernel().clone();
        let child_memory = config.image.memory.clone();
        if request.flags.contains(CloneFlags::PIDFD) {
            // Whether the descriptor can be stored is known before there is a child.
            self.memory().check_writable(VirtualAddress(request.pidfd), size_of::<i32>())?;
        }
        let child = kernel.tasks().new_task(config)?;
        if request.flags.contains(CloneFlags::PIDFD)
            && let Err(error) = self.store_pidfd(request, &child)
        {
            child.abandon();
            return Err(error);
        }
        if !request.flags.contains(CloneFlags::THREAD)
            && let Err(error) = child.thread_group().enforce_cpu_limit(kernel.timers())
        {
            child.abandon();
            return Err(error);
        }
        let number = kernel.tasks().number_of(&child, self.thread_group().pid_namespace());
        self.store_numbers(request, &child, number, &child_memory);
        drop(child_memory);
        let event = self.clone_event(request);
        if event.is_some() || request.flags.contains(CloneFlags::PTRACE) {
            kernel.tasks().trace_child(self.task(), &child);
        }
        let number_for_tracer = kernel.tasks().number_for_tracer(self.task(), &child).0 as u64;
        child.start()?;
        if let Some(event) = event {
            self.trap_event(event, number_for_tracer);
        }
        if let Some(vfork) = vfork {
            self.wait_for_vfork(&vfork);
            self.trap_event(Event::VforkDone, number_for_tracer);
        }
        Ok(number)
    }

    /// The event that this clone is to the tracer, if it wants to know.
    fn clone_event(&self, request: &CloneRequest) -> Option<Event> {
        if request.flags.contains(CloneFlags::UNTRACED) {
            return None;
        }
        let event = if request.flags.contains(CloneFlags::VFORK) {
            Event::Vfork
        } else if request.exit_signal == i32::from(Signal::SIGCHLD.number()) {
            Event::Fork
        } else {
            Event::Clone
        };
        self.task.wants_event(event).then_some(event)
    }

    fn child_config(
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
        let mut namespaces = self.unshared_namespaces(request.flags, &credentials)?;
        check_wanted_numbers(&request.wanted_numbers, &namespaces.pid_for_children, &credentials)?;
        let mount_identity = mount_identity(request.flags, &credentials)?;
        let memory: Arc<MemoryManager> =
            if has(CloneFlags::VM) { self.memory().clone() } else { self.memory().fork()? };
        // Who shares memory shares the vDSO's clocks, and stays until it executes a program.
        if !has(CloneFlags::VM) && !Arc::ptr_eq(&namespaces.time, &namespaces.time_for_children) {
            namespaces.time = namespaces.time_for_children.clone();
            task.kernel.switch_vdso(&memory, &namespaces.time)?;
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
        let keyrings = {
            let keyrings = task.keyrings.lock();
            if is_thread { keyrings.for_thread(&credentials)? } else { keyrings.for_process() }
        };
        let extended_state = Some(self.context.extended_state());
        let keeps_signal_stack = !has(CloneFlags::VM) || has(CloneFlags::VFORK);
        let (descriptors, mut fs_context) = (self.descriptors(), self.fs_context());
        if let Some(identity) = mount_identity {
            fs_context = fs_context.in_new_namespace(identity)?;
        } else if !has(CloneFlags::FS) {
            fs_context = fs_context.duplicate();
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
            image: TaskImage {
                registers,
                segment_bases,
                extended_state,
                memory,
                name: task.name(),
                executable: task.executable(),
                syscall_number: self.syscall_number,
            },
            fs_context,
            descriptors: if has(CloneFlags::FILES) { descriptors } else { descriptors.duplicate()? },
            user_counters: task.kernel.users().counters(credentials.real_uid),
            credentials,
            niceness: task.scheduling().niceness_of_child(task.niceness()),
            namespaces,
            undo_list: has(CloneFlags::SYSVSEM).then(|| task.undo_list()),
            scheduling: task.scheduling().of_child(),
            allowed_cpus: task.allowed_cpus(),
            initial_cgroup: request.cgroup.clone(),
            keyrings,
            rseq_area: if has(CloneFlags::VM) { None } else { self.rseq_area() },
            clear_child_tid: if has(CloneFlags::CHILD_CLEARTID) { request.child_tid } else { 0 },
            vfork,
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
        child.is_dumpable.store(group.is_dumpable.load(Ordering::Relaxed), Ordering::Relaxed);
        child
    }

    /// Makes a descriptor for the new process and stores its number.
    fn store_pidfd(&self, request: &CloneRequest, child: &Arc<Task>) -> Result<(), Errno> {
        let file = match request.flags.contains(CloneFlags::THREAD) {
            true => ProcessFile::of_thread(child),
            false => ProcessFile::of_process(child),
        };
        let file = FileDescription::new(file, None, OpenFlags::RDWR);
        let descriptor = self.install_descriptor(file, true)?;
        self.memory().write_object(VirtualAddress(request.pidfd), &descriptor)
    }

    /// Stores the new task's number where the flags want it. As on Linux, a bad address is not an error.
    fn store_numbers(
        &self,
        request: &CloneRequest,
        child: &Task,
        number: Tid,
        child_memory: &Arc<MemoryManager>,
    ) {
        if request.flags.contains(CloneFlags::PARENT_SETTID) {
            let _ = self.memory().write_object(VirtualAddress(request.parent_tid), &number.0);
        }
        if request.flags.contains(CloneFlags::CHILD_SETTID) {
            let _ = child_memory.write_object(VirtualAddress(request.child_tid), &child.number());
        }
    }

    /// Sleeps until the child executes a program or exits; only this task's own end ends it earlier.
    fn wait_for_vfork(&mut self, vfork: &VforkCompletion) {
        self.fall_asleep();
        let _registration = vfork.queue().register(Events::IN, self.task.waiter().clone());
        while !vfork.is_complete() && self.thread_group().exiting().is_none() {
            self.rest(None);
        }
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
