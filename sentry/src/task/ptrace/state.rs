//! What a tracer asked of a task, and the stop that the task is in.

use std::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::ptrace as uapi;
use parking_lot::{Mutex, MutexGuard};

use super::Image;
use crate::signal::SignalInfo;

bitflags::bitflags! {
    /// `PTRACE_O_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct TraceOptions: u32 {
        const SYSGOOD = uapi::PTRACE_O_TRACESYSGOOD;
        const FORK = uapi::PTRACE_O_TRACEFORK;
        const VFORK = uapi::PTRACE_O_TRACEVFORK;
        const CLONE = uapi::PTRACE_O_TRACECLONE;
        const EXEC = uapi::PTRACE_O_TRACEEXEC;
        const VFORKDONE = uapi::PTRACE_O_TRACEVFORKDONE;
        const EXIT = uapi::PTRACE_O_TRACEEXIT;
        const SECCOMP = uapi::PTRACE_O_TRACESECCOMP;
        const EXITKILL = uapi::PTRACE_O_EXITKILL;
    }
}

/// How far a resumed task runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To the next signal or event (PTRACE_CONT).
    #[default]
    Continue,
    /// To the next begin or end of a system call, too (PTRACE_SYSCALL).
    Syscalls,
    /// One instruction (PTRACE_SINGLESTEP).
    Step,
    /// To the next branch that is taken (PTRACE_SINGLEBLOCK).
    StepByBranches,
    /// To the next system call, which is then not made (PTRACE_SYSEMU).
    Emulate,
    /// One instruction; a system call is not made (PTRACE_SYSEMU_SINGLESTEP).
    EmulateStep,
}

impl Mode {
    /// Whether the task stops after one instruction, or a few.
    pub(super) fn is_step(self) -> bool {
        matches!(self, Self::Step | Self::StepByBranches | Self::EmulateStep)
    }

    /// Whether system calls are left to the tracer.
    pub(super) fn emulates(self) -> bool {
        matches!(self, Self::Emulate | Self::EmulateStep)
    }
}

/// A traced task's side of the relation.
#[derive(Default)]
pub(in crate::task) struct TraceState {
    /// Whether the tree has a tracer for the task: so that the run loop need not look there.
    is_traced: AtomicBool,
    trace: Mutex<Trace>,
}

/// What is decided under the lock. All of it is at its default while nobody traces the task.
#[derive(Default)]
pub(super) struct Trace {
    /// What its tracer was granted.
    pub(super) grant: Grant,
    pub(super) mode: Mode,
    /// A seized task is to stop when it comes by: PTRACE_INTERRUPT, SIGCONT, or because it is new.
    pub(super) is_trap_pending: bool,
    /// The group stop for which the task has stopped already, by its number in the group.
    pub(super) handled_group_stop: u64,
    /// Where the task is stopped.
    pub(super) stop: Option<Stop>,
}

/// How a task is traced. Tasks that it makes inherit this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grant {
    /// PTRACE_SEIZE.
    pub(super) is_seized: bool,
    /// Whether the tracer, or who asked to be traced, had CAP_SYS_PTRACE: then set-user-ID programs and capabilities of
    /// files keep their effect.
    pub(super) is_privileged: bool,
    pub(super) options: TraceOptions,
}

/// A stop, as the tracer sees it.
pub(super) struct Stop {
    /// What wait4(2) shows above the low byte: the signal, and the event above that.
    pub(super) code: i32,
    /// PTRACE_GETSIGINFO; none in the group stop of a task that is not seized.
    pub(super) info: Option<SignalInfo>,
    /// PTRACE_GETEVENTMSG.
    pub(super) message: u64,
    pub(super) image: Image,
    /// wait4(2) has told of it.
    pub(super) is_reported: bool,
    /// PTRACE_LISTEN: the stop lasts, but the tracer has let go of it.
    pub(super) is_listening: bool,
    /// Set once the tracer lets the task go on, perhaps with a signal.
    pub(super) resumed: Option<Option<SignalInfo>>,
}

impl Stop {
    /// Whether the tracer can act on it.
    pub(super) fn is_open(&self) -> bool {
        self.resumed.is_none() && !self.is_listening
    }
}

impl Trace {
    /// Has a seized task stop soon; one that listens stops anew. Returns whether it is to be woken.
    pub(super) fn request_trap(&mut self) -> bool {
        if !self.grant.is_seized {
            return false;
        }
        self.is_trap_pending = true;
        match &mut self.stop {
            Some(stop) if stop.is_listening => stop.resumed = Some(None),
            Some(_) => return false,
            None => {}
        }
        true
    }
}

impl TraceState {
    /// Whether somebody traces the task.
    pub(in crate::task) fn is_traced(&self) -> bool {
        self.is_traced.load(Ordering::Relaxed)
    }

    pub(super) fn set_traced(&self, is_traced: bool) {
        self.is_traced.store(is_traced, Ordering::Relaxed);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock()
    }

    /// Whether the task is stopped for its tracer.
    pub(in crate::task) fn is_stopped(&self) -> bool {
        self.is_traced() && self.lock().stop.is_some()
    }

    /// SIGCONT was sent: a seized task tells its tracer. Returns whether it is to be woken.
    pub(in crate::task) fn note_continuation(&self) -> bool {
        self.is_traced() && self.lock().request_trap()
    }

    /// Whether a set-user-ID program that the task executes has its effect.
    pub(in crate::task) fn allows_new_privileges(&self) -> bool {
        !self.is_traced() || self.lock().grant.is_privileged
    }
}
