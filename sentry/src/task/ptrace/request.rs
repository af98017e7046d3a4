//! What a tracer does to its tracee: nearly all of it while the tracee is stopped.

use std::sync::Arc;

use linux_raw_sys::ptrace as uapi;

use super::state::{Mode, Stop, TraceOptions};
use super::stop::{Event, SYSGOOD_BIT};
use super::{GENERAL_REGISTER_COUNT, Image};
use crate::Errno;
use crate::platform::VirtualAddress;
use crate::seccomp::Filter;
use crate::signal::{Signal, SignalInfo, SignalSet};
use crate::task::{RseqArea, Task, TaskSet, Tid};

/// A task and who traces it. Every request finds out anew whether the tracee is stopped: it may be killed at any time.
pub(crate) struct Tracee {
    tracer: Arc<Task>,
    task: Arc<Task>,
}

/// What PTRACE_GET_SYSCALL_INFO tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyscallInfo {
    pub(crate) instruction_pointer: u64,
    pub(crate) stack_pointer: u64,
    pub(crate) phase: SyscallPhase,
}

/// Where a tracee is in a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyscallPhase {
    /// The stop has nothing to do with one.
    None,
    /// Before it.
    Entry { number: u64, arguments: [u64; 6] },
    /// After it.
    Exit { result: i64 },
}

/// A queue that PTRACE_PEEKSIGINFO reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PendingQueue {
    /// The task's own.
    Own,
    /// Its process's.
    Shared,
}

impl Tracee {
    /// The rseq(2) area that the tracee has registered.
    ///
    /// # Errors
    /// ESRCH if it is not stopped.
    pub(crate) fn rseq_area(&self) -> Result<Option<RseqArea>, Errno> {
        self.check_stopped()?;
        Ok(*self.task.rseq_area.lock())
    }

    /// Its newest filter of system calls.
    pub(crate) fn seccomp_filter(&self) -> Option<Arc<Filter>> {
        self.task.seccomp_filter()
    }
}

impl TaskSet {
    /// The task that `tracer` calls `tid` and traces.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn tracee(&self, tracer: &Arc<Task>, tid: Tid) -> Result<Tracee, Errno> {
        let task = self.task(tracer.group.pid_namespace(), tid).ok_or(Errno::ESRCH)?;
        if !self.is_tracer(tracer, &task) {
            return Err(Errno::ESRCH);
        }
        Ok(Tracee { tracer: tracer.clone(), task })
    }
}

impl Tracee {
    /// Does `operation` on the stop.
    ///
    /// # Errors
    /// ESRCH if the tracee is not stopped, or listens; and the operation's.
    fn with_stop<T>(&self, operation: impl FnOnce(&mut Stop) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut trace = self.task.ptrace.lock();
        let stop = trace.stop.as_mut().filter(|stop| stop.is_open()).ok_or(Errno::ESRCH)?;
        operation(stop)
    }

    /// Checks that the tracee is stopped.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn check_stopped(&self) -> Result<(), Errno> {
        self.with_stop(|_| Ok(()))
    }

    /// Reads or edits the registers.
    ///
    /// # Errors
    /// ESRCH, and the operation's.
    pub(crate) fn with_image<T>(
        &self,
        operation: impl FnOnce(&mut Image) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.with_stop(|stop| operation(&mut stop.image))
    }

    /// `struct user_regs_struct`.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn registers(&self) -> Result<[u64; GENERAL_REGISTER_COUNT], Errno> {
        self.with_image(|image| Ok(image.words()))
    }

    /// Reads a word of memory, whatever its protection.
    ///
    /// # Errors
    /// ESRCH; EIO if it is not there.
    pub(crate) fn read_word(&self, address: u64) -> Result<u64, Errno> {
        self.check_stopped()?;
        let memory = self.task.memory().ok_or(Errno::ESRCH)?;
        let mut bytes = [0; 8];
        match memory.read_forced(VirtualAddress(address), &mut bytes) {
            8 => Ok(u64::from_le_bytes(bytes)),
            _ => Err(Errno::EIO),
        }
    }

    /// Writes a word of memory, whatever its protection.
    ///
    /// # Errors
    /// ESRCH; EIO if it is not there.
    pub(crate) fn write_word(&self, address: u64, word: u64) -> Result<(), Errno> {
        self.check_stopped()?;
        let memory = self.task.memory().ok_or(Errno::ESRCH)?;
        match memory.write_forced(VirtualAddress(address), &word.to_le_bytes()) {
            8 => Ok(()),
            _ => Err(Errno::EIO),
        }
    }

    /// PTRACE_GETSIGINFO.
    ///
    /// # Errors
    /// ESRCH; EINVAL in a group stop.
    pub(crate) fn signal_info(&self) -> Result<SignalInfo, Errno> {
        self.with_stop(|stop| stop.info.ok_or(Errno::EINVAL))
    }

    /// PTRACE_SETSIGINFO.
    ///
    /// # Errors
    /// As [`Tracee::signal_info`].
    pub(crate) fn set_signal_info(&self, info: SignalInfo) -> Result<(), Errno> {
        self.with_stop(|stop| {
            let place = stop.info.as_mut().ok_or(Errno::EINVAL)?;
            *place = info;
            Ok(())
        })
    }

    /// The blocked signals.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn signal_mask(&self) -> Result<SignalSet, Errno> {
        self.check_stopped()?;
        Ok(self.task.signal_mask())
    }

    /// Replaces the blocked signals.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn set_signal_mask(&self, mask: SignalSet) -> Result<(), Errno> {
        self.check_stopped()?;
        self.task.set_signal_mask(mask);
        Ok(())
    }

    /// PTRACE_GETEVENTMSG.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn event_message(&self) -> Result<u64, Errno> {
        self.with_stop(|stop| Ok(stop.message))
    }

    /// PTRACE_SETOPTIONS.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn set_options(&self, options: TraceOptions) -> Result<(), Errno> {
        let mut trace = self.task.ptrace.lock();
        trace.stop.as_ref().filter(|stop| stop.is_open()).ok_or(Errno::ESRCH)?;
        trace.grant.options = options;
        Ok(())
    }

    /// PTRACE_GET_SYSCALL_INFO.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn syscall_info(&self) -> Result<SyscallInfo, Errno> {
        self.with_stop(|stop| {
            let registers = &stop.image.registers;
            let is_syscall =
                stop.info.is_some_and(|info| info.code == i32::from(Signal::SIGTRAP.number()) | SYSGOOD_BIT);
            const ENTRY: u64 = uapi::PTRACE_EVENTMSG_SYSCALL_ENTRY as u64;
            const EXIT: u64 = uapi::PTRACE_EVENTMSG_SYSCALL_EXIT as u64;
            let phase = match stop.message {
                ENTRY if is_syscall => SyscallPhase::Entry {
                    number: stop.image.original_rax,
                    arguments: registers.syscall_arguments(),
                },
                EXIT if is_syscall => SyscallPhase::Exit { result: registers.rax as i64 },
                _ => SyscallPhase::None,
            };
            Ok(SyscallInfo { instruction_pointer: registers.rip, stack_pointer: registers.rsp, phase })
        })
    }

    /// PTRACE_PEEKSIGINFO: at most `count` entries of a queue, from place `first` on.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn pending_signals(
        &self,
        queue: PendingQueue,
        first: usize,
        count: usize,
    ) -> Result<Vec<SignalInfo>, Errno> {
        self.check_stopped()?;
        Ok(match queue {
            PendingQueue::Own => self.task.signals.lock().pending.entries().skip(first).take(count).collect(),
            PendingQueue::Shared => {
                self.task.group.state.lock().pending.entries().skip(first).take(count).collect()
            }
        })
    }

    /// Lets the tracee go on, with `signal` if it stopped for one.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn resume(&self, mode: Mode, signal: Option<Signal>) -> Result<(), Errno> {
        let signal = signal.map(|signal| self.signal_from_tracer(signal));
        {
            let mut trace = self.task.ptrace.lock();
            let stop = trace.stop.as_mut().filter(|stop| stop.is_open()).ok_or(Errno::ESRCH)?;
            stop.resumed = Some(signal);
            trace.mode = mode;
        }
        self.task.waiter.wake();
        Ok(())
    }

    /// PTRACE_DETACH: lets the tracee go on untraced.
    ///
    /// # Errors
    /// ESRCH.
    pub(crate) fn detach(&self, signal: Option<Signal>) -> Result<(), Errno> {
        self.check_stopped()?;
        let signal = signal.map(|signal| self.signal_from_tracer(signal));
        self.task.kernel.tasks().detach(&self.task, signal);
        Ok(())
    }

    /// What a signal is taken for that the tracee did not stop for: kill(2) by its tracer.
    fn signal_from_tracer(&self, signal: Signal) -> SignalInfo {
        let namespace = self.task.group.pid_namespace();
        let pid = self.task.kernel.tasks().number_of(&self.tracer, namespace);
        SignalInfo::from_kill(signal, pid.0, self.tracer.uid_for(&self.task.group))
    }

    /// PTRACE_INTERRUPT: has a seized tracee stop soon.
    ///
    /// # Errors
    /// EIO if it is not seized.
    pub(crate) fn interrupt(&self) -> Result<(), Errno> {
        let is_awake = {
            let mut trace = self.task.ptrace.lock();
            if !trace.grant.is_seized {
                return Err(Errno::EIO);
            }
            trace.request_trap()
        };
        if is_awake {
            self.task.interrupt();
        }
        Ok(())
    }

    /// PTRACE_LISTEN: the group stop lasts, and the tracer hears of its end.
    ///
    /// # Errors
    /// ESRCH; EIO if the tracee is not seized, or not in such a stop.
    pub(crate) fn listen(&self) -> Result<(), Errno> {
        let is_awake = {
            let mut trace = self.task.ptrace.lock();
            let (is_seized, is_trap_pending) = (trace.grant.is_seized, trace.is_trap_pending);
            let stop = trace.stop.as_mut().filter(|stop| stop.is_open()).ok_or(Errno::ESRCH)?;
            let is_event_stop = stop.info.is_some_and(|info| info.code >> 8 == Event::Stop as i32);
            if !is_seized || !is_event_stop {
                return Err(Errno::EIO);
            }
            stop.is_listening = true;
            // What was to be told meanwhile is told at once.
            stop.resumed = is_trap_pending.then_some(None);
            is_trap_pending
        };
        if is_awake {
            self.task.waiter.wake();
        }
        Ok(())
    }

    /// PTRACE_KILL.
    pub(crate) fn kill(&self) {
        self.task.group.send_signal(SignalInfo::from_kernel(Signal::SIGKILL));
    }
}
