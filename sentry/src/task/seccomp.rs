//! What a task's seccomp(2) mode does to its system calls.
//!
//! A task's own thread installs its filters; another thread of the process may replace them (SECCOMP_FILTER_FLAG_TSYNC)
//! while it has the group's state locked, under which new threads take over their creator's, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use linux_raw_sys::general as uapi;
use linux_raw_sys::ptrace::{SECCOMP_MODE_DISABLED, SECCOMP_MODE_FILTER, SECCOMP_MODE_STRICT};
use parking_lot::Mutex;

use super::ptrace::Event;
use super::status::ExitStatus;
use super::{CurrentTask, Task};
use crate::Errno;
use crate::abi::SeccompData;
use crate::bpf::Program;
use crate::cred::Credentials;
use crate::fs::{Caller, Fd};
use crate::seccomp::{ARCHITECTURE, Action, Addition, Answer, Filter, FilterFlags, Listener, Step, Verdict};
use crate::signal::{Signal, SignalDetail, SignalInfo};
use crate::wait::Events;

/// What SECCOMP_MODE_STRICT lets pass.
const STRICT_CALLS: [u32; 4] = [uapi::__NR_read, uapi::__NR_write, uapi::__NR_exit, uapi::__NR_rt_sigreturn];

/// `si_code` of a SIGSYS that a filter raises.
const SYS_SECCOMP: i32 = linux_raw_sys::general::SYS_SECCOMP as i32;

/// Largest error number that a filter can have returned (`MAX_ERRNO`).
const MAX_ERRNO: u16 = 4095;

/// `SECCOMP_MODE_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SeccompMode {
    Disabled = SECCOMP_MODE_DISABLED as u8,
    Strict = SECCOMP_MODE_STRICT as u8,
    Filter = SECCOMP_MODE_FILTER as u8,
}

/// A task's mode and its newest filter.
pub(super) struct SeccompState {
    /// Changes with `filter` locked; the run loop reads it without.
    mode: AtomicU8,
    filter: Mutex<Option<Arc<Filter>>>,
}

impl Default for SeccompState {
    /// No filter.
    fn default() -> Self {
        Self { mode: AtomicU8::new(SeccompMode::Disabled as u8), filter: Mutex::default() }
    }
}

impl SeccompState {
    fn mode(&self) -> SeccompMode {
        match u32::from(self.mode.load(Ordering::Relaxed)) {
            SECCOMP_MODE_STRICT => SeccompMode::Strict,
            SECCOMP_MODE_FILTER => SeccompMode::Filter,
            _ => SeccompMode::Disabled,
        }
    }

    fn filter(&self) -> Option<Arc<Filter>> {
        self.filter.lock().clone()
    }

    fn set(&self, mode: SeccompMode, filter: Option<Arc<Filter>>) {
        let mut place = self.filter.lock();
        let old = std::mem::replace(&mut *place, filter);
        self.mode.store(mode as u8, Ordering::Relaxed);
        drop(place);
        drop(old);
    }

    /// A new task begins with what its creator has.
    pub(super) fn inherit(&self, creator: &Self) {
        let filter = creator.filter.lock();
        self.set(creator.mode(), filter.clone());
    }

    /// Whether the task may go on to a state with `filter`: nothing that it has now is lost.
    fn may_become(&self, filter: &Filter) -> bool {
        match self.mode() {
            SeccompMode::Disabled => true,
            SeccompMode::Strict => false,
            SeccompMode::Filter => self.filter().is_some_and(|own| own.is_within(filter)),
        }
    }
}

impl Task {
    /// PR_GET_SECCOMP.
    pub(crate) fn seccomp_mode(&self) -> SeccompMode {
        self.seccomp.mode()
    }

    /// Its newest filter.
    pub(crate) fn seccomp_filter(&self) -> Option<Arc<Filter>> {
        self.seccomp.filter()
    }

    /// An ended task keeps no filter: who listens to it hears of its end.
    pub(super) fn release_seccomp(&self) {
        let mode = self.seccomp.mode();
        self.seccomp.set(mode, None);
    }
}

/// A filter that has been installed.
pub(crate) enum Installation {
    /// It holds for the threads that it was meant for.
    Done,
    /// SECCOMP_FILTER_FLAG_TSYNC: this thread's filters are none of the caller's.
    Refused(Arc<Task>),
}

impl CurrentTask {
    /// SECCOMP_SET_MODE_STRICT.
    ///
    /// # Errors
    /// EINVAL: the task has filters.
    pub(crate) fn set_seccomp_strict(&mut self) -> Result<(), Errno> {
        match self.task.seccomp.mode() {
            SeccompMode::Filter => Err(Errno::EINVAL),
            _ => {
                self.task.seccomp.set(SeccompMode::Strict, None);
                Ok(())
            }
        }
    }

    /// SECCOMP_SET_MODE_FILTER, with who is to listen to the filter.
    ///
    /// # Errors
    /// EINVAL: the task is in strict mode. ENOMEM: its filters are too long. EBUSY: one of them has a listener, and so
    /// has the new one.
    pub(crate) fn install_filter(
        &mut self,
        program: Program,
        flags: FilterFlags,
        listener: Option<&Arc<Listener>>,
    ) -> Result<Installation, Errno> {
        let task = self.task.clone();
        let program = Arc::new(program);
        loop {
            let previous = task.seccomp.filter();
            let filter = Filter::new(program.clone(), previous.clone(), flags, listener.cloned())?;
            let state = task.group.state.lock();
            if task.seccomp.mode() == SeccompMode::Strict {
                return Err(Errno::EINVAL);
            }
            let is_current = match (&previous, &*task.seccomp.filter.lock()) {
                (None, None) => true,
                (Some(previous), Some(now)) => Arc::ptr_eq(previous, now),
                _ => false,
            };
            if !is_current {
                continue;
            }
            let others =
                || state.tasks.iter().filter(|other| other.id != task.id && other.memory().is_some());
            let is_synchronised = flags.contains(FilterFlags::TSYNC);
            if is_synchronised && let Some(other) = others().find(|other| !other.seccomp.may_become(&filter))
            {
                return Ok(Installation::Refused(other.clone()));
            }
            task.seccomp.set(SeccompMode::Filter, Some(filter.clone()));
            if is_synchronised {
                let has_no_new_privs = task.credentials().no_new_privs;
                others().for_each(|other| other.take_over_filter(&filter, has_no_new_privs));
            }
            return Ok(Installation::Done);
        }
    }

    /// Shows the system call to the task's filters. Returns whether it is to be made; if not, its result is in place, a
    /// signal is on its way, or the task ends.
    pub(super) fn passes_seccomp(&mut self) -> bool {
        match self.task.seccomp.mode() {
            SeccompMode::Disabled => true,
            SeccompMode::Strict => self.passes_strict_mode(),
            SeccompMode::Filter => self.passes_filters(false),
        }
    }

    fn passes_strict_mode(&mut self) -> bool {
        let passes = self
            .syscall_number
            .is_none_or(|number| STRICT_CALLS.iter().any(|allowed| u64::from(*allowed) == number));
        if !passes {
            self.exit(ExitStatus::Signaled { signal: Signal::SIGKILL, has_dumped_core: false });
        }
        passes
    }

    /// `was_traced`: a tracer has seen the call already, and let it pass.
    fn passes_filters(&mut self, was_traced: bool) -> bool {
        let (Some(filter), Some(call)) = (self.task.seccomp.filter(), self.seccomp_data()) else {
            return true;
        };
        let verdict = filter.judge(&call);
        if verdict.is_logged && verdict.action != Action::Allow || verdict.action == Action::Log {
            log::info!("task {}: seccomp {:?} of call {}", self.task.root_tid(), verdict.action, call.nr);
        }
        match verdict.action {
            Action::Allow | Action::Log => return true,
            Action::Trace if was_traced => return true,
            Action::Trace => return self.asks_tracer(&verdict),
            Action::UserNotif => return self.asks_listener(&verdict, call),
            Action::Errno => self.registers.rax = u64::from(verdict.data.min(MAX_ERRNO)).wrapping_neg(),
            Action::Trap => {
                self.registers.rax = u64::from(call.nr.cast_unsigned());
                self.force_signal(seccomp_signal(&call, verdict.data));
            }
            Action::KillThread if self.task.group.state.lock().tasks.len() > 1 => {
                self.exit(ExitStatus::Signaled { signal: Signal::SIGSYS, has_dumped_core: false });
            }
            Action::KillThread | Action::KillProcess => {
                self.die_of(seccomp_signal(&call, verdict.data));
            }
        }
        false
    }

    /// SECCOMP_RET_TRACE: the tracer may change the call, and what comes of that is shown to the filters again. Without a
    /// tracer that wants the event the call is ENOSYS.
    fn asks_tracer(&mut self, verdict: &Verdict) -> bool {
        if !self.task.wants_event(Event::Seccomp) {
            self.set_result(Err(Errno::ENOSYS));
            return false;
        }
        self.trap_event(Event::Seccomp, verdict.data.into());
        self.task.pending_exit().is_none() && self.syscall_number.is_some() && self.passes_filters(true)
    }

    /// SECCOMP_RET_USER_NOTIF: the call waits for what the supervisor says of it. Without one it is ENOSYS.
    fn asks_listener(&mut self, verdict: &Verdict, call: SeccompData) -> bool {
        let posted = verdict.listener.as_ref().ok_or(Errno::ENOSYS);
        let posted = posted.and_then(|listener| Ok((listener, listener.post(self.task.root_tid(), call)?)));
        let (listener, id) = match posted {
            Ok(posted) => posted,
            Err(error) => {
                self.set_result(Err(error));
                return false;
            }
        };
        let answer = self.wait_for_answer(listener, id);
        listener.withdraw(id);
        match answer {
            Ok(Answer::Continue) => return true,
            Ok(Answer::Result(value)) => self.registers.rax = value.cast_unsigned(),
            Err(error) => self.set_result(Err(error)),
        }
        false
    }

    /// # Errors
    /// ERESTARTSYS if a signal comes first.
    fn wait_for_answer(&mut self, listener: &Listener, id: u64) -> Result<Answer, Errno> {
        let waiter = self.task.waiter().clone();
        let _registration = listener.steps().register(Events::IN, waiter);
        self.fall_asleep();
        loop {
            match listener.next_step(id) {
                Some(Step::Answered(answer)) => return Ok(answer),
                Some(Step::Add(number, addition)) => {
                    let answers = addition.answers;
                    let result = self.add_descriptor(addition);
                    listener.set_added(id, number, result, answers);
                }
                None if self.is_called_away(listener, id) => return Err(Errno::ERESTARTSYS),
                None => {
                    self.rest(None);
                }
            }
        }
    }

    /// Whether a signal ends the wait for an answer.
    fn is_called_away(&self, listener: &Listener, id: u64) -> bool {
        if listener.is_killable_only() && listener.is_received(id) {
            return self.task.pending_exit().is_some();
        }
        self.task.is_interrupted()
    }

    fn add_descriptor(&self, addition: Addition) -> Result<Fd, Errno> {
        let Addition { file, at, is_close_on_exec, .. } = addition;
        match at {
            None => self.install_descriptor(file, is_close_on_exec),
            Some(at) => {
                let limit = self.open_files_limit();
                drop(self.descriptors().install_at(file, at, is_close_on_exec, limit)?);
                Ok(at)
            }
        }
    }

    fn set_result(&mut self, result: Result<usize, Errno>) {
        self.registers.rax = result.map_or_else(Errno::as_return_value, |value| value as u64);
    }

    /// The system call that the task makes, as filters see it.
    pub(super) fn seccomp_data(&self) -> Option<SeccompData> {
        Some(SeccompData {
            nr: self.syscall_number? as i32,
            arch: ARCHITECTURE,
            instruction_pointer: self.registers.rip,
            args: self.registers.syscall_arguments(),
        })
    }
}

impl Task {
    /// Another thread of the process has given it `filter`.
    fn take_over_filter(&self, filter: &Arc<Filter>, has_no_new_privs: bool) {
        if has_no_new_privs && !self.credentials().no_new_privs {
            self.set_credentials(Credentials { no_new_privs: true, ..(*self.credentials()).clone() });
        }
        self.seccomp.set(SeccompMode::Filter, Some(filter.clone()));
    }
}

/// SIGSYS about a call that a filter refused.
fn seccomp_signal(call: &SeccompData, data: u16) -> SignalInfo {
    let detail = SignalDetail::SystemCall {
        address: call.instruction_pointer,
        number: call.nr,
        architecture: call.arch,
    };
    SignalInfo { signal: Signal::SIGSYS, errno: data.into(), code: SYS_SECCOMP, detail }
}
