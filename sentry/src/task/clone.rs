//! fork, vfork, clone and clone3 (`man 2 clone`).

use std::sync::Arc;

use linux_raw_sys::general as uapi;

use super::id::Tid;
use super::ptrace::Event;
use super::vfork::VforkCompletion;
use super::{CurrentTask, ProcessFile, Task};
use crate::Errno;
use crate::cgroup::Cgroup;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::memory::MemoryManager;
use crate::platform::VirtualAddress;
use crate::signal::Signal;
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
        let is_init = caller.thread_group().tgid() == Tid::INIT.0;
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
        if !request.flags.contains(CloneFlags::THREAD) {
            child.task().thread_group().enforce_cpu_limit(kernel.timers())?;
        }
        self.task().hand_down_events(child.task(), request.flags.contains(CloneFlags::THREAD))?;
        let has_pidfd = request.flags.contains(CloneFlags::PIDFD);
        let pidfd = has_pidfd.then(|| self.store_pidfd(request, child.task())).transpose()?;
        let number = kernel.tasks().number_of(child.task(), self.thread_group().pid_namespace());
        self.store_numbers(request, child.task(), number, &child_memory);
        drop(child_memory);
        let event = self.clone_event(request);
        if event.is_some() || request.flags.contains(CloneFlags::PTRACE) {
            kernel.tasks().trace_child(self.task(), child.task());
        }
        let number_for_tracer = kernel.tasks().number_for_tracer(self.task(), child.task()).0 as u64;
        child.start().inspect_err(|_| pidfd.into_iter().for_each(|pidfd| self.forget_descriptor(pidfd)))?;
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

    /// Makes a descriptor for the new task, or its process, and stores its number.
    fn store_pidfd(&self, request: &CloneRequest, child: &Arc<Task>) -> Result<Fd, Errno> {
        let file = match request.flags.contains(CloneFlags::THREAD) {
            true => ProcessFile::of_thread(child),
            false => ProcessFile::of_process(child),
        };
        let file = FileDescription::new(file, None, OpenFlags::RDWR);
        let descriptor = self.install_descriptor(file, true)?;
        let stored = self.memory().write_object(VirtualAddress(request.pidfd), &descriptor);
        stored.inspect_err(|_| self.forget_descriptor(descriptor)).map(|()| descriptor)
    }

    /// Removes a descriptor of a task that does not come to be.
    fn forget_descriptor(&self, descriptor: Fd) {
        let _ = self.descriptors().remove(descriptor);
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
            let _ = child_memory.write_object(VirtualAddress(request.child_tid), &child.tid());
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
