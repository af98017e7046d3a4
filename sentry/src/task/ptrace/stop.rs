//! The stops of a traced task (`man 2 ptrace`, "Stopped tracees").

use linux_raw_sys::general::{CLD_STOPPED, CLD_TRAPPED, TRAP_BRKPT};
use linux_raw_sys::ptrace as uapi;

use super::Image;
use super::state::{Mode, Stop, TraceOptions};
use crate::Errno;
use crate::signal::{ActionFlags, Handler, Signal, SignalDetail, SignalInfo};
use crate::task::status::ExitStatus;
use crate::task::{CurrentTask, Task, TaskSet, Tid};
use crate::wait::Events;

/// `PTRACE_EVENT_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::task) enum Event {
    Fork = uapi::PTRACE_EVENT_FORK as isize,
    Vfork = uapi::PTRACE_EVENT_VFORK as isize,
    Clone = uapi::PTRACE_EVENT_CLONE as isize,
    Exec = uapi::PTRACE_EVENT_EXEC as isize,
    VforkDone = uapi::PTRACE_EVENT_VFORK_DONE as isize,
    Exit = uapi::PTRACE_EVENT_EXIT as isize,
    Seccomp = uapi::PTRACE_EVENT_SECCOMP as isize,
    Stop = uapi::PTRACE_EVENT_STOP as isize,
}

impl Event {
    /// The option that asks for it. PTRACE_EVENT_STOP comes with PTRACE_SEIZE.
    fn option(self) -> TraceOptions {
        match self {
            Self::Fork => TraceOptions::FORK,
            Self::Vfork => TraceOptions::VFORK,
            Self::Clone => TraceOptions::CLONE,
            Self::Exec => TraceOptions::EXEC,
            Self::VforkDone => TraceOptions::VFORKDONE,
            Self::Exit => TraceOptions::EXIT,
            Self::Seccomp => TraceOptions::SECCOMP,
            Self::Stop => TraceOptions::empty(),
        }
    }

    /// What wait4(2) shows above the low byte.
    pub(super) fn code(self, signal: Signal) -> i32 {
        i32::from(signal.number()) | (self as i32) << 8
    }
}

/// The bit that PTRACE_O_TRACESYSGOOD adds to the SIGTRAP of system calls.
pub(super) const SYSGOOD_BIT: i32 = 0x80;

/// How a stop ended.
enum Ended {
    /// Nobody traces the task: there was no stop.
    Untraced,
    /// The task is to end.
    Killed,
    /// The tracer lets it go on. The signal is what the tracer asked for; the other what the stop was about.
    Resumed { signal: Option<SignalInfo>, info: Option<SignalInfo> },
}

impl CurrentTask {
    /// Stops for the tracer until it lets the task go on, and takes over what it changed.
    fn trap(&mut self, code: i32, info: Option<SignalInfo>, message: u64) -> Ended {
        let is_last = code == Event::Exit.code(Signal::SIGTRAP);
        let kills = self.task.group.kill_count();
        let is_killed = |task: &Self| {
            if is_last { task.task.group.kill_count() != kills } else { task.pending_exit().is_some() }
        };
        if is_killed(self) {
            return Ended::Killed;
        }
        let image = self.image();
        let stop =
            Stop { code, info, message, image, is_reported: false, is_listening: false, resumed: None };
        let task = self.task.clone();
        if !task.kernel.tasks().begin_trap(&task, stop) {
            return Ended::Untraced;
        }
        self.fall_asleep();
        loop {
            let is_killed = is_killed(self);
            {
                let mut trace = task.ptrace.lock();
                let is_over = trace.stop.as_ref().is_none_or(|stop| stop.resumed.is_some());
                if is_over || is_killed {
                    self.is_stepping = trace.mode.is_step();
                    self.debug.steps_by_branches = trace.mode == Mode::StepByBranches;
                    let stop = trace.stop.take();
                    drop(trace);
                    let Some(stop) = stop else { return Ended::Untraced };
                    let Some(signal) = stop.resumed else { return Ended::Killed };
                    self.take_back(stop.image);
                    return Ended::Resumed { signal, info: stop.info };
                }
            }
            self.rest(None);
        }
    }

    /// The task's registers.
    pub(in crate::task) fn image(&mut self) -> Image {
        Image {
            registers: self.registers,
            original_rax: self.syscall_number.unwrap_or(u64::MAX),
            bases: self.context.segment_bases(),
            debug: self.debug.registers,
            extended_state: self.context.extended_state(),
            extended_features: self.kernel().platform().extended_features(),
            has_new_extended_state: false,
            user_dispatch: self.user_dispatch,
        }
    }

    fn take_back(&mut self, image: Image) {
        self.registers = image.registers;
        self.syscall_number = (image.original_rax as i32 != -1).then_some(image.original_rax);
        if self.context.segment_bases() != image.bases {
            self.context.set_segment_bases(image.bases);
        }
        self.debug.registers = image.debug;
        self.user_dispatch = image.user_dispatch;
        if image.has_new_extended_state && self.context.set_extended_state(&image.extended_state).is_err() {
            log::warn!("the extended state that a tracer set is refused");
        }
    }

    /// A SIGTRAP that stands for no signal: events and system calls.
    fn trap_info(&self, code: i32) -> SignalInfo {
        let detail = SignalDetail::Kill { pid: self.task.tid(), uid: self.task.uid_for(&self.task.group) };
        SignalInfo { signal: Signal::SIGTRAP, errno: 0, code, detail }
    }

    /// Stops at `event`, if the tracer wants it.
    pub(in crate::task) fn trap_event(&mut self, event: Event, message: u64) {
        if self.task.wants_event(event) {
            let code = event.code(Signal::SIGTRAP);
            let info = self.trap_info(code);
            // As on Linux, a signal that the tracer gives here is lost.
            let _ = self.trap(code, Some(info), message);
        }
    }

    /// The stop after execve(2), with the number that the task had before. A tracer that knows no event gets SIGTRAP.
    pub(in crate::task) fn trap_exec(&mut self, former: Tid) {
        if !self.task.ptrace.is_traced() {
            return;
        }
        let gets_signal = {
            let trace = self.task.ptrace.lock();
            !trace.grant.is_seized && !trace.grant.options.contains(TraceOptions::EXEC)
        };
        if gets_signal {
            let (pid, uid) = (self.task.group.tgid(), self.task.uid_for(&self.task.group));
            self.task.send_signal(SignalInfo::from_kill(Signal::SIGTRAP, pid, uid));
        } else {
            self.trap_event(Event::Exec, former.0 as u64);
        }
    }

    /// The stop before the task's end, with its registers still there.
    pub(in crate::task) fn trap_exit(&mut self, status: ExitStatus) {
        self.trap_event(Event::Exit, status.wait_status() as u64);
    }

    /// The stop before a system call. The tracer may change its number and its arguments. Returns whether the call is not
    /// to be made.
    pub(in crate::task) fn trap_syscall_entry(&mut self) -> bool {
        let mode = self.task.ptrace.lock().mode;
        if mode == Mode::Syscalls || mode.emulates() {
            self.trap_syscall(uapi::PTRACE_EVENTMSG_SYSCALL_ENTRY);
        }
        mode.emulates()
    }

    /// The stop after a system call. The tracer may change its result. A step ends here, too, unless the call was not made.
    pub(in crate::task) fn trap_syscall_exit(&mut self, is_emulated: bool) {
        let mode = self.task.ptrace.lock().mode;
        if self.is_stepping && !is_emulated {
            let info = SignalInfo::from_fault(Signal::SIGTRAP, TRAP_BRKPT as i32, self.registers.rip);
            self.force_signal(info);
        } else if mode == Mode::Syscalls {
            self.trap_syscall(uapi::PTRACE_EVENTMSG_SYSCALL_EXIT);
        }
    }

    fn trap_syscall(&mut self, message: u32) {
        if !self.task.ptrace.is_traced() {
            return;
        }
        let options = self.task.ptrace.lock().grant.options;
        let sysgood = if options.contains(TraceOptions::SYSGOOD) { SYSGOOD_BIT } else { 0 };
        let code = i32::from(Signal::SIGTRAP.number()) | sysgood;
        let info = self.trap_info(code);
        if let Ended::Resumed { signal: Some(signal), .. } = self.trap(code, Some(info), message.into()) {
            self.task.send_signal(SignalInfo::from_kernel(signal.signal));
        }
    }

    /// The stop before a signal is delivered. Returns what is to be delivered: the tracer may replace the signal, or
    /// suppress it.
    pub(in crate::task) fn trap_signal(&mut self, info: SignalInfo) -> Option<SignalInfo> {
        if !self.task.ptrace.is_traced() || info.signal == Signal::SIGKILL {
            return Some(info);
        }
        match self.trap(info.signal.number().into(), Some(info), 0) {
            Ended::Untraced => Some(info),
            Ended::Killed => None,
            Ended::Resumed { signal, info } => {
                let signal = signal?;
                let info = info.filter(|info| info.signal == signal.signal).unwrap_or(signal);
                if self.task.signal_mask().contains(info.signal) {
                    self.task.send_signal(info);
                    return None;
                }
                Some(info)
            }
        }
    }

    /// A step has entered a signal handler: the tracer hears of it before the handler's first instruction.
    pub(in crate::task) fn trap_handler_entry(&mut self) {
        if self.is_stepping {
            let code = i32::from(Signal::SIGTRAP.number());
            let info = self.trap_info(code);
            let _ = self.trap(code, Some(info), 0);
        }
    }

    /// Stops for the tracer if it asked for that, or if the process is in a group stop for which the task has not
    /// stopped yet. Returns whether it did, so that things may have changed.
    pub(in crate::task) fn trap_if_told(&mut self) -> bool {
        let (is_seized, group_stop) = {
            // SIGCONT ends the stop and asks for a trap under this lock. A trap that was taken for that and told of the stop
            // still would leave a tracer that listens waiting for good.
            let group = self.task.group.state.lock();
            let group_stop = group.due_stop();
            let mut trace = self.task.ptrace.lock();
            let is_new_stop = group_stop.is_some_and(|(_, number)| number != trace.handled_group_stop);
            if !trace.is_trap_pending && !is_new_stop {
                return false;
            }
            trace.is_trap_pending = false;
            trace.handled_group_stop = group_stop.map_or(trace.handled_group_stop, |(_, number)| number);
            (trace.grant.is_seized, group_stop)
        };
        match (is_seized, group_stop) {
            (true, _) => {
                let signal = group_stop.map_or(Signal::SIGTRAP, |(signal, _)| signal);
                let code = Event::Stop.code(signal);
                let info = self.trap_info(code);
                let _ = self.trap(code, Some(info), 0);
            }
            (false, Some((signal, _))) => {
                let _ = self.trap(signal.number().into(), None, 0);
            }
            (false, None) => return false,
        }
        true
    }
}

impl Task {
    /// Whether somebody traces the task.
    pub(crate) fn is_traced(&self) -> bool {
        self.ptrace.is_traced()
    }

    /// Whether the tracer wants to know of `event`, and so traces what comes of it.
    pub(in crate::task) fn wants_event(&self, event: Event) -> bool {
        self.ptrace.is_traced() && {
            let options = self.ptrace.lock().grant.options;
            options.contains(event.option())
        }
    }
}

impl TaskSet {
    /// Shows `stop` to the tracer of `task`, and tells it. Returns false if there is none.
    fn begin_trap(&self, task: &Task, stop: Stop) -> bool {
        // While the tree is locked the tracer cannot go.
        let tree = self.tree.read();
        let Some(tracer) = tree.tracer_group(task.id) else { return false };
        let (code, is_group_stop) = (stop.code, stop.info.is_none());
        task.ptrace.lock().stop = Some(stop);
        let namespace = tracer.pid_namespace().id();
        let pid = tree
            .tasks
            .get(&task.id)
            .map_or(Tid(0), |node| crate::task::tree::Tree::number_in(&node.numbers, namespace));
        let action = tracer.signal_actions().lock().get(Signal::SIGCHLD);
        if action.handler != Handler::Ignore && !action.flags.contains(ActionFlags::NOCLDSTOP) {
            let detail = SignalDetail::Child {
                pid: pid.0,
                uid: task.uid_for(&tracer),
                status: code & 0x7f,
                user_ticks: 0,
                system_ticks: 0,
            };
            let reason = if is_group_stop { CLD_STOPPED } else { CLD_TRAPPED };
            tracer.send_signal(SignalInfo { signal: Signal::SIGCHLD, errno: 0, code: reason as i32, detail });
        }
        tracer.changes.notify(Events::IN);
        true
    }
}

/// What `rax` holds while a traced system call is served.
pub(in crate::task) const PENDING_RESULT: u64 = Errno::ENOSYS.as_return_value();
