//! Serving calls of a task whose own thread is in user code.
//!
//! The platform may find a call before its context has left user code, on a thread of its own
//! ([`Context::run_served`]). The task's thread lends its [`CurrentTask`] for that: all but the context, which runs, and
//! the registers, which are user code's. Only calls that need neither are served so; which they are, the
//! [`Dispatcher`] says.
//!
//! Nothing may sleep on that thread: others wait for it. An operation that would have to finds that it is interrupted
//! ([`CurrentTask::block`]), as by a signal, and by what such an operation promises has changed nothing. The call is then
//! declined, and made by the task's own thread, which may sleep.
//!
//! What is for the task alone to do, such as signals, stops and its end, interrupts user code as ever; the answer of a call
//! that was served meanwhile is in the registers by then.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use syscalls::Sysno;

use super::cpu_time::VtimeState;
use super::dispatch::call_number;
use super::seccomp::SeccompMode;
use super::shortage::is_refusal_of_heap;
use super::{CurrentTask, Dispatcher};
use crate::Errno;
use crate::cred::Credentials;
use crate::fs::sleeper::serve_lent;
use crate::heap::serve;
use crate::platform::{
    AddressSpace, Answers, CallServer, Context, Exit, Interrupter, InvalidExtendedState, Registers, Reply,
    SegmentBases,
};

/// Whether, and how, the task is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Lending {
    /// Its own thread serves.
    #[default]
    Not,
    /// Another thread serves.
    Lent,
    /// The same, and what it served would have slept.
    WouldSleep,
}

/// A task that is lent.
struct Lent<'a> {
    task: &'a mut CurrentTask,
    dispatcher: &'a dyn Dispatcher,
}

/// What user code was told in advance, and what that holds for.
pub(super) struct ToldAnswers {
    credentials: Arc<Credentials>,
    /// The task's own.
    number: i32,
    /// How often its process had got another parent.
    reparentings: u32,
    answers: Answers,
}

/// The calls that are answered in advance: those whose answers change by calls of the task itself alone, which exit, and
/// getppid, whose answer is withdrawn when the parent ends.
const ANSWERED: [Sysno; 7] = [
    Sysno::getpid,
    Sysno::gettid,
    Sysno::getppid,
    Sysno::getuid,
    Sysno::geteuid,
    Sysno::getgid,
    Sysno::getegid,
];
/// The number of getppid(2).
pub(super) const PARENT_NUMBER_CALL: u8 = Sysno::getppid as u8;

impl CallServer for Lent<'_> {
    fn answers(&mut self) -> Answers {
        let Self { task, dispatcher } = self;
        // Another thread could have this one's calls filtered, while it is in user code.
        let is_known = task.task.group.threads.live() == 1 && task.has_final_numbers();
        if !task.may_be_served_lent() || !is_known {
            return Answers::default();
        }
        task.answers_in_advance(*dispatcher)
    }

    fn counts_answers(&self) -> bool {
        self.task.profile.is_some()
    }

    fn note_answered(&mut self, number: u64, count: u32) {
        self.task.profile_answered(number, count);
    }

    fn serve(&mut self, number: u64, arguments: [u64; 6]) -> Reply {
        let Self { task, dispatcher } = self;
        if !task.may_be_served_lent() || !dispatcher.serves_lent(task, call_number(number), arguments) {
            return Reply::Decline;
        }
        let (cpu_time, cost) = (&task.task.cpu_time, &task.task.kernel.tasks().lent_switch_cost);
        cpu_time.mark_left_user_code(true, cost);
        let lap = task.profile_lent_call(number);
        let result = task.dispatch_lent(*dispatcher, number, arguments);
        task.task.cpu_time.mark(VtimeState::User);
        if let Some(lap) = lap {
            task.profile_lent_end(number, &lap, result);
        }
        match result {
            Some(value) if task.task.is_interrupted() => Reply::ValueAndStop(value),
            Some(value) => Reply::Value(value),
            None => Reply::Decline,
        }
    }

    fn note_vain_wait(&mut self) {
        self.task.has_waited_in_vain = true;
    }
}

impl CurrentTask {
    /// Whether users and groups have numbers in the task's user namespace, which then stay: whoever writes the maps, which may
    /// be somebody else, changes what its credentials look like.
    fn has_final_numbers(&self) -> bool {
        let credentials = self.credentials();
        let namespace = &credentials.user_namespace;
        namespace.maps_uid(credentials.effective_uid)
            && namespace.maps_gid(credentials.effective_gid)
            && namespace.maps_uid(credentials.real_uid)
            && namespace.maps_gid(credentials.real_gid)
    }

    fn answers_in_advance(&mut self, dispatcher: &dyn Dispatcher) -> Answers {
        let (credentials, number) = (self.credentials(), self.task.tid());
        // Before the parent is looked for: a change that comes later is seen the next time.
        let reparentings = self.task.group.reparentings.load(Ordering::SeqCst);
        if let Some(told) = &self.answers
            && Arc::ptr_eq(&told.credentials, &credentials)
            && (told.number, told.reparentings) == (number, reparentings)
        {
            return told.answers;
        }
        let answers = ANSWERED.map(|call| {
            let value = dispatcher.dispatch(self, call as u64, [0; 6]).ok()?;
            Some((u8::try_from(call as u64).ok()?, value as u64))
        });
        self.answers = Some(ToldAnswers { credentials, number, reparentings, answers });
        answers
    }

    /// Whether a call may be served at all: nobody wants to see it, or to see the task, and it need not wait afterwards.
    fn may_be_served_lent(&self) -> bool {
        !self.task.is_interrupted()
            && self.user_dispatch.is_none()
            && !self.task.is_traced()
            && self.task.seccomp_mode() == SeccompMode::Disabled
            && !self.kernel().cgroups().limits_memory_softly()
    }

    /// Serves a call on another thread than the task's own. `None`: that must make it, and nothing has changed.
    fn dispatch_lent(
        &mut self,
        dispatcher: &dyn Dispatcher,
        number: u64,
        arguments: [u64; 6],
    ) -> Option<u64> {
        let _paying = serve(self.task.heap().clone(), self.task.actor());
        let serving = serve_lent(self.task.clone());
        self.lending = Lending::Lent;
        self.syscall_number = Some(number);
        let result = dispatcher.dispatch(self, call_number(number), arguments);
        self.syscall_number = None;
        self.send_async_signals();
        let would_sleep =
            std::mem::take(&mut self.lending) == Lending::WouldSleep || serving.would_have_slept();
        drop(serving);
        // It may find memory where there was none now, or wait for it.
        let lacks_memory = matches!(result, Err(Errno::EFAULT | Errno::EAGAIN))
            && self.memory.take_shortage()
            || self.task.heap().take_shortage() > 0 && result.is_err_and(is_refusal_of_heap);
        match result {
            Ok(value) => Some(value as u64),
            Err(Errno::ENOMEM) => None,
            Err(error) if would_sleep || lacks_memory || error.is_restart() => None,
            Err(error) => Some(error.as_return_value()),
        }
    }

    /// Runs user code in its address space, with calls served meanwhile by whoever finds them.
    pub(super) fn run_lent(&mut self, dispatcher: &dyn Dispatcher) -> Exit {
        let memory = self.memory.clone();
        let mut registers = self.registers;
        let mut context: Box<dyn Context> = std::mem::replace(&mut self.context, Box::new(Away));
        let exit =
            context.run_served(memory.address_space(), &mut registers, &mut Lent { task: self, dispatcher });
        (self.context, self.registers) = (context, registers);
        exit
    }
}

/// Stands for the context of a task while that runs. Nothing that is served meanwhile asks for it.
struct Away;

impl Context for Away {
    fn run(&mut self, _space: &Arc<dyn AddressSpace>, _registers: &mut Registers) -> Exit {
        Exit::Broken("the context runs already".into())
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        Arc::new(Nobody)
    }

    fn segment_bases(&mut self) -> SegmentBases {
        SegmentBases::default()
    }

    fn set_segment_bases(&mut self, _bases: SegmentBases) {}

    fn extended_state(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn set_extended_state(&mut self, _area: &[u8]) -> Result<(), InvalidExtendedState> {
        Err(InvalidExtendedState)
    }

    fn sleep(&mut self) {}

    fn wake(&mut self) -> bool {
        true
    }

    fn prepare(&mut self) {}
}

/// Interrupts nothing.
struct Nobody;

impl Interrupter for Nobody {
    fn interrupt(&self) {}
}
