//! The run loop: a task moves from state to state until it exits.
//!
//! A task can stop only between states: group stops, ptrace and checkpoints rely on it.

use std::sync::atomic::Ordering;

use super::cpu_time::VtimeState;
use super::dispatch::call_number;
use super::host_threads::HostThread;
use super::status::ExitStatus;
use super::{CurrentTask, Dispatcher, ptrace};
use crate::fs::sleeper::serve_own;
use crate::heap::serve;
use crate::host;
use crate::platform::{Access, Exit, Registers, VirtualAddress};
use crate::signal::{Signal, SignalInfo};

/// #DB (SDM 3A 6.15).
const DEBUG_EXCEPTION: u8 = 1;

/// What a task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Run user code.
    App,
    /// Serve the system call in the registers.
    Syscall,
    /// Deal with signals, stops and the end of the group.
    Interrupt,
    /// End.
    Exit(ExitStatus),
}

impl CurrentTask {
    /// Runs the task from its start to its end, on the calling thread, which is `thread`. Its system calls are served by
    /// `dispatcher`.
    pub(super) fn run(&mut self, thread: &mut HostThread, dispatcher: &dyn Dispatcher) {
        self.task.begin_activity(thread);
        self.profile_start();
        let _paying = serve(self.task.heap().clone(), self.task.actor());
        let _serving = serve_own(self.task.clone());
        let status = loop {
            if self.task.stops.is_in_force() {
                self.stop_externally();
            }
            self.state = match self.state {
                State::App => self.run_app(dispatcher),
                State::Syscall => self.run_syscall(dispatcher),
                State::Interrupt => self.run_interrupt(),
                State::Exit(status) => break status,
            };
        };
        self.run_exit(status);
        self.profile_end(status);
        self.task.end_activity(thread);
    }

    fn run_app(&mut self, dispatcher: &dyn Dispatcher) -> State {
        if self.task.is_interrupted() {
            return State::Interrupt;
        }
        self.run_deferred_work();
        self.is_stepping &= self.task.is_traced();
        let is_watching = self.is_watching();
        if is_watching && self.stops_at_breakpoint() {
            return State::Interrupt;
        }
        if self.wait_for_processor() {
            return State::App;
        }
        self.task.follow_allowed_cpus();
        if let Err(state) = self.enter_user_code() {
            return state;
        }
        let has_own_trap_flag = self.registers.rflags & Registers::TRAP_FLAG != 0;
        let sets_trap_flag = !has_own_trap_flag && (self.is_stepping || is_watching);
        if sets_trap_flag {
            self.registers.rflags |= Registers::TRAP_FLAG;
        }
        let resumed = (self.registers.rflags & Registers::RESUME_FLAG != 0).then_some(self.registers.rip);
        let exit = self.run_user_code(dispatcher);
        // The platform does not tell of RF; it lasts until the instruction has been executed.
        if resumed == Some(self.registers.rip) && matches!(exit, Exit::Fault { .. } | Exit::Interrupted) {
            self.registers.rflags |= Registers::RESUME_FLAG;
        }
        self.leave_user_code();
        let state = self.handle_app_exit(exit, has_own_trap_flag);
        if sets_trap_flag {
            self.registers.rflags &= !Registers::TRAP_FLAG;
        }
        state
    }

    /// Runs user code until it stops; the time until then is its own.
    fn run_user_code(&mut self, dispatcher: &dyn Dispatcher) -> Exit {
        self.task.cpu_time.mark(VtimeState::User);
        self.profile_entering();
        let exit = if self.task.is_traced() {
            self.context.run(self.memory.address_space(), &mut self.registers)
        } else {
            self.run_lent(dispatcher)
        };
        let (task, is_syscall) = (&self.task, matches!(exit, Exit::Syscall));
        let tasks = task.kernel.tasks();
        let has_waited = std::mem::take(&mut self.has_waited_in_vain);
        let cost = if has_waited { &tasks.vain_switch_cost } else { &tasks.switch_cost };
        task.cpu_time.mark_left_user_code(is_syscall, cost);
        self.profile_leaving(&exit);
        if is_syscall && let Some(syscall) = self.memory.address_space().take_frequent_call() {
            self.memory.rewrite_call(syscall);
        }
        exit
    }

    fn handle_app_exit(&mut self, exit: Exit, has_own_trap_flag: bool) -> State {
        match exit {
            Exit::Syscall => State::Syscall,
            Exit::Fault { address, access } => self.handle_fault(address, access),
            Exit::Exception { vector: DEBUG_EXCEPTION, .. } if self.is_stepping || self.is_watching() => {
                if self.stops_after_step(has_own_trap_flag) {
                    State::Interrupt
                } else {
                    State::App
                }
            }
            Exit::Exception { vector, code } => {
                self.force_exception(vector, code);
                State::Interrupt
            }
            Exit::Interrupted => State::App,
            // What is tried again faults past the end of its file.
            Exit::Lost if self.memory.cut_off_lost() || self.may_get_on() => State::App,
            Exit::Lost => self.end_broken("the host cannot show its memory"),
            Exit::Broken(reason) => self.end_broken(&reason),
        }
    }

    fn end_broken(&self, reason: &str) -> State {
        log::error!("task {} is killed: {reason}", self.task.root_tid());
        let status = ExitStatus::Signaled { signal: Signal::SIGKILL, has_dumped_core: false };
        self.task.group.exit(status);
        State::Exit(status)
    }

    fn handle_fault(&mut self, address: VirtualAddress, access: Access) -> State {
        self.task.faults.fetch_add(1, Ordering::Relaxed);
        let fault = self.memory.handle_fault(address, access);
        self.profile_fault(&fault);
        match self.gets_on_after(fault) {
            Ok(()) => {
                self.wait_above_high();
                State::App
            }
            Err(error) => match self.enters_vsyscall(address, access) {
                Ok(true) => State::Syscall,
                Ok(false) => {
                    self.force_fault(address, access, error);
                    State::Interrupt
                }
                Err(_) => {
                    self.force_signal(SignalInfo::from_kernel(Signal::SIGSEGV));
                    State::Interrupt
                }
            },
        }
    }

    fn run_syscall(&mut self, dispatcher: &dyn Dispatcher) -> State {
        self.syscall_number = Some(self.registers.rax);
        if self.hands_call_to_user() {
            self.syscall_number = None;
            return State::Interrupt;
        }
        let mut is_emulated = false;
        if self.task.is_traced() {
            self.registers.rax = ptrace::PENDING_RESULT;
            is_emulated = self.trap_syscall_entry();
            if self.pending_exit().is_some() {
                return State::Interrupt;
            }
        }
        let is_skipped = is_emulated || !self.passes_seccomp();
        if let State::Exit(_) = self.state {
            return self.state;
        }
        // A tracer can have the call skipped: then it sets the result, too.
        if let Some(number) = self.syscall_number.filter(|_| !is_skipped) {
            let result = self.serve_despite_shortage(number, |task| {
                let arguments = task.registers.syscall_arguments();
                dispatcher.dispatch(task, call_number(number), arguments)
            });
            if let State::Exit(_) = self.state {
                return self.state;
            }
            self.profile_result(result.is_err());
            self.wait_above_high();
            // A task that ends leaves them to others.
            let _ = self.kernel().frames().free_leftovers(self);
            self.trim_heap();
            self.send_async_signals();
            // rt_sigreturn has replaced the registers and cleared the number: they are whole.
            if self.syscall_number.is_some() {
                self.registers.rax = match result {
                    Ok(value) => value as u64,
                    Err(error) => error.as_return_value(),
                };
            }
        }
        if self.task.is_traced() {
            self.trap_syscall_exit(is_emulated);
        }
        // What a tracer or a supervisor answers is made again by nobody but a signal.
        if self.task.is_interrupted() || !is_skipped && self.interrupted_call().is_some() {
            return State::Interrupt;
        }
        self.syscall_number = None;
        State::App
    }

    /// Gives back to the host what the heap has been relieved of, if that is much. With no lock held: it takes its time.
    fn trim_heap(&self) {
        if self.kernel().frames().take_trim_due() {
            host::trim_heap();
        }
    }

    /// What the call has made ready tells so.
    pub(super) fn send_async_signals(&self) {
        let signals = self.kernel().async_signals();
        if signals.has_notes() {
            signals.send();
        }
    }

    /// Ends the task at the end of this system call.
    pub(crate) fn exit(&mut self, status: ExitStatus) {
        self.state = State::Exit(status);
    }

    fn run_interrupt(&mut self) -> State {
        self.task.is_interrupted.store(false, Ordering::SeqCst);
        if let Some(status) = self.pending_exit() {
            return State::Exit(status);
        }
        let state = self.deliver_signals();
        self.syscall_number = None;
        state
    }

    /// How this task ends, if its group is ending or another of its tasks is in execve.
    pub(super) fn pending_exit(&self) -> Option<ExitStatus> {
        self.task.pending_exit()
    }

    fn run_exit(&mut self, status: ExitStatus) {
        let task = self.task.clone();
        task.begin_exit(status, |dump| self.join_core_dump(dump));
        self.trap_exit(status);
        let kernel = self.kernel().clone();
        self.release_robust_futexes();
        self.clear_child_tid();
        self.forget_rseq();
        self.registered_rings.clear();
        task.abandon_deferred_work(true);
        self.empty_resources();
        self.memory = kernel.empty_memory().clone();
        self.task.exit_resources();
        self.free_leftovers();
        self.trim_heap();
        // The vCPU is free before anybody hears of the end.
        self.context.sleep();
        self.task.account(status);
        kernel.tasks().task_exited(&self.task, status);
    }
}
