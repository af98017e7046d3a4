//! execve (`man 2 execve`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::status::ExitStatus;
use super::{CurrentTask, TaskSet};
use crate::Errno;
use crate::fs::{DescriptorTable, ExecutedFile, Path, Viewer};
use crate::limits::Resource;
use crate::loader::{self, LoadRequest, LoadedProgram};
use crate::memory::MemoryManager;
use crate::platform::{Registers, SegmentBases};
use crate::profile::EventKind;
use crate::signal::{AlternateStack, Signal};
use crate::wait::Events;

/// What is to be executed.
pub(crate) struct ExecRequest {
    /// The file, resolved.
    pub(crate) file: Path,
    /// What it is called.
    pub(crate) file_name: Vec<u8>,
    /// Whether an interpreter could open it by that name.
    pub(crate) is_reachable: bool,
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) environment: Vec<Vec<u8>>,
}

impl CurrentTask {
    /// Replaces the program. Until the new one is loaded nothing of the old has changed.
    ///
    /// # Errors
    /// Those of execve(2).
    pub(crate) fn execute(&mut self, request: ExecRequest) -> Result<(), Errno> {
        let kernel = self.kernel().clone();
        let view = self.task_fs().view();
        let viewer: Viewer = self.viewer();
        // A program begins in the time namespace of the task's children (`man 7 time_namespaces`).
        let file_name = if self.profile.is_some() { request.file_name.clone() } else { Vec::new() };
        let time_namespace = self.task().namespaces().time_for_children;
        let program = loader::load(LoadRequest {
            kernel: &*kernel,
            formats: &kernel.file_systems().binary_formats,
            view: &view,
            viewer: &viewer,
            file: request.file,
            file_name: request.file_name,
            is_reachable: request.is_reachable,
            arguments: request.arguments,
            environment: request.environment,
            stack_limit_bytes: self.thread_group().soft_limit(Resource::STACK),
            payer: self.task().cgroup().memory().cloned(),
            allows_new_privileges: self.task().ptrace.allows_new_privileges(),
            time_namespace: time_namespace.clone(),
        })
        .map_err(|error| {
            log::debug!("execve: {error}");
            if error.is_late {
                let (signal, has_dumped_core) = (Signal::SIGSEGV, false);
                self.thread_group().exit(ExitStatus::Signaled { signal, has_dumped_core });
            }
            error.errno
        })?;
        let task = self.task().clone();
        let former_number = kernel.tasks().number_for_tracer(&task, &task);
        self.end_other_tasks(kernel.tasks())?;
        self.enter(program);
        self.task().enter_time_namespace(time_namespace);
        self.profile_event(EventKind::Exec(file_name));
        self.trap_exec(former_number);
        Ok(())
    }

    /// Ends the group's other tasks, and becomes its leader.
    fn end_other_tasks(&mut self, tasks: &TaskSet) -> Result<(), Errno> {
        let task = self.task().clone();
        {
            let mut state = task.group.state.lock();
            if state.exit.is_some() || state.exec.is_some_and(|other| other != task.id) {
                return Err(Errno::ERESTARTNOINTR);
            }
            state.exec = Some(task.id);
            for other in state.tasks.iter().filter(|other| other.id != task.id) {
                other.interrupt();
            }
        }
        // Signals wait; only the end of the whole group ends the wait.
        self.fall_asleep();
        let _registration = task.group.changes.register(Events::IN, task.waiter().clone());
        while !tasks.is_alone(&task) {
            if task.group.exiting().is_some() {
                return Err(Errno::EINTR);
            }
            self.rest(None);
        }
        tasks.become_leader(&task);
        task.group.state.lock().exec = None;
        Ok(())
    }

    /// The point of no return: the old program goes, attribute by attribute (`man 2 execve`, "Effect on process attributes").
    fn enter(&mut self, program: LoadedProgram) {
        let task = self.task().clone();
        self.release_robust_futexes();
        self.clear_child_tid();
        self.forget_rseq();
        task.keyrings.lock().begin_program();
        let old = task.credentials();
        let may_gain = task.ptrace.allows_new_privileges();
        let (new, is_secure) = loader::credentials_after_exec(&old, program.grants, may_gain);
        let is_dumpable =
            !program.is_unreadable && new.effective_uid == new.real_uid && new.effective_gid == new.real_gid;
        if !is_dumpable || new != *old {
            // Nobody looks into the new memory by the leave that the old credentials gave.
            task.group.set_dumpable(0);
        }
        if !self.replace_resources(program.memory, program.executable) {
            return;
        }
        self.forget_requests();

        task.group.set_executed_in(new.user_namespace.clone());
        let is_closed = new != *old && task.set_credentials(new);
        if !is_closed {
            task.group.set_dumpable(if is_dumpable {
                1
            } else {
                task.kernel.core_settings().suid_dumpable()
            });
        }
        task.execute_for_events(is_dumpable);
        if is_secure {
            task.parent_death_signal.store(0, Ordering::Relaxed);
        }
        task.set_name(&program.name);
        self.begin_at(program.registers);
    }

    /// Puts the new memory in the place of the old, and leaves what the old program had open; `false` if the task ends.
    fn replace_resources(&mut self, memory: Arc<MemoryManager>, executable: Arc<ExecutedFile>) -> bool {
        let task = self.task().clone();
        memory.set_limits(task.group.memory_limits());
        let (descriptors, old_executable) = {
            let mut resources = task.resources.lock();
            let Some(resources) = resources.as_mut() else { return false };
            resources.memory = memory.clone();
            let old_executable = resources.executable.replace(executable);
            if Arc::strong_count(&resources.descriptors) > 1 {
                // There is no way back: a process that cannot have its own table ends.
                resources.descriptors = resources.descriptors.duplicate().unwrap_or_else(|_| {
                    task.group.exit(ExitStatus::Signaled { signal: Signal::SIGKILL, has_dumped_core: false });
                    DescriptorTable::new(task.kernel.open_files())
                });
            }
            (resources.descriptors.clone(), old_executable)
        };
        let old_memory = std::mem::replace(&mut self.memory, memory);
        task.count_replaced_memory(&old_memory);
        self.memory.inherit_mm_flags(&old_memory);
        if Arc::strong_count(&old_memory) == 1 {
            self.empty_memory(&old_memory);
        }
        drop((old_memory, old_executable));
        // It may have been moved while the program was loaded.
        task.settle_memory();
        drop(descriptors.remove_close_on_exec());
        task.complete_vfork();
        true
    }

    /// Takes back what the old program had asked for: handlers, timers, asynchronous I/O.
    fn forget_requests(&mut self) {
        let task = self.task().clone();
        let mut actions = task.group.signal_actions().lock().clone();
        actions.reset_handlers();
        task.group.replace_signal_actions(actions);
        self.signal_stack = AlternateStack::default();
        self.restart = None;
        task.group.timers.posix.clear();
        task.group.aio_contexts.clear();
        self.registered_rings.clear();
        self.user_dispatch = None;
        task.abandon_deferred_work(false);
    }

    /// Gives the processor's state the values with which a program begins.
    fn begin_at(&mut self, registers: Registers) {
        self.registers = registers;
        self.debug = Default::default();
        self.context.set_segment_bases(SegmentBases::default());
        let initial = crate::signal::initial_extended_state();
        if self.context.set_extended_state(&initial).is_err() {
            log::error!("the initial extended state is refused");
            self.task().group.exit(ExitStatus::Signaled { signal: Signal::SIGKILL, has_dumped_core: false });
        }
    }
}
