//! The running task: what only its own thread touches, and how that thread sleeps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::block::Blocked;
use super::lent::Lending;
use super::{RestartBlock, Task, ThreadGroup};
use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::fs::proc::WaitingPlace;
use crate::fs::{DescriptorBounds, DescriptorTable, Fd, FileDescription, TaskFs};
use crate::kernel::Kernel;
use crate::limits::Resource;
use crate::memory::MemoryManager;
use crate::pace::Pace;
use crate::platform::{Context, Registers, VirtualAddress};
use crate::signal::{AlternateStack, SignalSet, TrapState};
use crate::wait::{Events, Observer, WaitQueue};

/// Queues that a sleep is registered with in one step.
const REGISTRATION_STEP: usize = 4096;

/// A task as its own thread sees it. System call handlers get it by `&mut`, and reach everything through it.
pub struct CurrentTask {
    pub(super) task: Arc<Task>,
    pub(super) context: Box<dyn Context>,
    /// User registers at the last exit; what they hold when the handler returns is what user code goes on with.
    pub registers: Registers,
    /// The number of the system call being served, before `rax` took its result; `None` outside of one. Debuggers
    /// know it as `orig_rax`.
    pub syscall_number: Option<u64>,
    /// How restart_syscall(2) goes on with what a signal interrupted.
    pub(crate) restart: Option<RestartBlock>,
    /// The mask to put back once a handler frame holds it (sigsuspend, pselect, ppoll, epoll_pwait).
    pub(crate) saved_signal_mask: Option<SignalSet>,
    /// sigaltstack(2).
    pub(crate) signal_stack: AlternateStack,
    /// The last exception, which a handler finds in its frame.
    pub(super) trap: TrapState,
    /// The tracer wants one instruction (PTRACE_SINGLESTEP).
    pub(super) is_stepping: bool,
    /// Hardware breakpoints that the tracer set.
    pub(super) debug: super::ptrace::DebugState,
    /// Restartable sequences.
    pub(super) rseq: super::rseq::RseqState,
    /// Whether the instruction that it is at gets on, while memory is short.
    pub(super) standstill: super::shortage::Standstill,
    /// The processor time that its control groups have been charged with, while there is a limit.
    pub(super) charged_time: Option<std::time::Duration>,
    /// The address of the task's memory, kept here so that a system call takes no lock for it.
    pub(super) memory: Arc<MemoryManager>,
    /// What reads and writes move data through, kept from one call to the next.
    pub(super) buffer: Vec<u8>,
    /// Whether another thread serves its calls just now.
    pub(super) lending: super::lent::Lending,
    /// What user code was told in advance, and as whom it was.
    pub(super) answers: Option<super::lent::ToldAnswers>,
    /// The last call had waited in vain to be served while the task was lent.
    pub(super) has_waited_in_vain: bool,
    /// What is kept for a recording, while there is one.
    pub(super) profile: Option<Box<super::profiling::TaskProfile>>,
    /// Which of its system calls it gets back by a signal.
    pub(crate) user_dispatch: Option<super::UserDispatch>,
    /// While it does what must not sleep.
    pub(super) attempted: Option<super::deferred::Attempted>,
    /// The rings that io_uring_enter(2) finds by number (IORING_REGISTER_RING_FDS).
    pub(crate) registered_rings: Vec<Option<Arc<FileDescription>>>,
    /// The next thing that the run loop does.
    pub(super) state: super::run::State,
}

impl CurrentTask {
    /// The part of the task that others see.
    pub fn task(&self) -> &Arc<Task> {
        &self.task
    }

    /// The kernel that the task lives in.
    pub fn kernel(&self) -> &Arc<Kernel> {
        self.task.kernel()
    }

    /// The task's process.
    pub fn thread_group(&self) -> &Arc<ThreadGroup> {
        self.task.thread_group()
    }

    /// The task's address space.
    pub fn memory(&self) -> &Arc<MemoryManager> {
        &self.memory
    }

    /// The task's credentials.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.task.credentials()
    }

    /// The task's descriptors.
    pub fn descriptors(&self) -> Arc<DescriptorTable> {
        self.task.descriptors()
    }

    /// The task's root, working directory and umask.
    pub fn task_fs(&self) -> Arc<TaskFs> {
        self.task.task_fs()
    }

    /// The open file behind `descriptor`. O_PATH descriptors are found too.
    ///
    /// # Errors
    /// EBADF.
    pub fn file(&self, descriptor: Fd) -> Result<Arc<FileDescription>, Errno> {
        if descriptor == Fd::HELD
            && let Some(file) = self.held_file()
        {
            return Ok(file.clone());
        }
        self.task.descriptors().get(descriptor)
    }

    /// The open file behind `descriptor`, for reading, writing and the like: not one that O_PATH opened.
    ///
    /// # Errors
    /// EBADF.
    pub fn usable_file(&self, descriptor: Fd) -> Result<Arc<FileDescription>, Errno> {
        let file = self.file(descriptor)?;
        if file.flags().contains(crate::fs::OpenFlags::PATH) { Err(Errno::EBADF) } else { Ok(file) }
    }

    /// RLIMIT_NOFILE.
    pub fn open_files_limit(&self) -> usize {
        usize::try_from(self.thread_group().soft_limit(Resource::OPEN_FILES)).unwrap_or(usize::MAX)
    }

    /// What bounds new descriptors.
    pub fn descriptor_bounds(&self) -> DescriptorBounds {
        let is_privileged = self.credentials().has(Capabilities::SYS_ADMIN);
        DescriptorBounds { limit: self.open_files_limit(), is_privileged }
    }

    /// The platform's execution state: signal frames and ptrace read and edit it.
    pub(crate) fn context(&mut self) -> &mut dyn Context {
        &mut *self.context
    }

    /// A buffer of at least `len_bytes` to move data through, with whatever is in it.
    pub(crate) fn take_buffer(&mut self, len_bytes: usize) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.len() < len_bytes {
            buffer.resize(len_bytes, 0);
        }
        buffer
    }

    /// Gives the buffer back for the next call, unless it is large.
    pub(crate) fn return_buffer(&mut self, buffer: Vec<u8>) {
        const MAX_KEPT_LEN: usize = 64 * 1024;
        if buffer.len() <= MAX_KEPT_LEN {
            self.buffer = buffer;
        }
    }

    /// Copies a NUL-terminated path from user memory.
    ///
    /// # Errors
    /// EFAULT, ENAMETOOLONG.
    pub fn read_path(&self, address: u64) -> Result<Vec<u8>, Errno> {
        self.memory.read_c_string(VirtualAddress(address), linux_raw_sys::general::PATH_MAX as usize)
    }

    /// Sleeps until `condition` gives a value. It is asked at once, and again whenever one of `queues` announces one of its events.
    ///
    /// # Errors
    /// [`Blocked::Interrupted`] if a signal, a stop or the task's end is to be dealt with first; [`Blocked::TimedOut`]
    /// once `deadline` has passed.
    pub fn block<T>(
        &mut self,
        queues: &[(&WaitQueue, Events)],
        deadline: Option<Instant>,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Result<T, Blocked> {
        self.block_with(queues, deadline, |_| condition())
    }

    /// As [`CurrentTask::block`], for a condition that needs the task.
    ///
    /// # Errors
    /// As [`CurrentTask::block`].
    pub fn block_with<T>(
        &mut self,
        queues: &[(&WaitQueue, Events)],
        deadline: Option<Instant>,
        mut condition: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, Blocked> {
        let waiter: Arc<dyn Observer> = match &self.attempted {
            Some(attempted) => attempted.observer.clone(),
            None => self.task.waiter().clone(),
        };
        let mut registrations = Vec::with_capacity(queues.len());
        for portion in queues.chunks(REGISTRATION_STEP) {
            registrations
                .extend(portion.iter().map(|(queue, events)| queue.register(*events, waiter.clone())));
            if portion.len() == REGISTRATION_STEP {
                self.keep_going().map_err(|_| Blocked::Interrupted)?;
            }
        }
        let mut has_slept = false;
        loop {
            self.run_deferred_work();
            if let Some(value) = condition(self) {
                return Ok(value);
            }
            if let Some(attempted) = &mut self.attempted {
                attempted.registrations = Some(registrations);
                return Err(Blocked::Interrupted);
            }
            if self.task.is_interrupted() || self.must_not_sleep() {
                return Err(Blocked::Interrupted);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Blocked::TimedOut);
            }
            if !std::mem::replace(&mut has_slept, true) {
                self.note_place();
                self.fall_asleep();
            }
            self.task.sleep_once(deadline);
        }
    }

    /// Notes where the task is about to sleep.
    fn note_place(&self) {
        let Registers { rdi, rsi, rdx, r10, r8, r9, rsp, rip, .. } = self.registers;
        let call = self.syscall_number.map(|number| (number, [rdi, rsi, rdx, r10, r8, r9]));
        *self.task.sleeps_in.lock() =
            Some(WaitingPlace { call, stack_pointer: rsp, instruction_pointer: rip });
    }

    /// Fails where the task could not sleep now: before something is done that may have to wait.
    ///
    /// # Errors
    /// ERESTARTSYS: a signal, a stop or the task's end is to be dealt with first, or another thread serves the call.
    pub fn check_may_sleep(&mut self) -> Result<(), Errno> {
        if self.task.is_interrupted() || self.must_not_sleep() { Err(Errno::ERESTARTSYS) } else { Ok(()) }
    }

    /// Whether the thread is not the task's own. Who served the call is then told that it would have slept.
    fn must_not_sleep(&mut self) -> bool {
        let is_lent = self.is_lent();
        if is_lent {
            self.lending = Lending::WouldSleep;
        }
        is_lent
    }

    /// Whether another thread serves the task's calls just now.
    pub(super) fn is_lent(&self) -> bool {
        self.lending != Lending::Not
    }
}

impl Task {
    /// Sleeps until the task's waiter is woken, or until `deadline`. For the task's own thread.
    pub(super) fn sleep_once(&self, deadline: Option<Instant>) {
        self.is_asleep.store(true, Ordering::Relaxed);
        self.rest(deadline);
        self.is_asleep.store(false, Ordering::Relaxed);
    }
}
