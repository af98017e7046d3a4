//! Delivering signals to the running task: between two stretches of user code, never inside a system call.

use super::CurrentTask;
use super::run::State;
use crate::Errno;
use crate::abi::SignalStack;
use crate::memory::FaultError;
use crate::platform::{Access, VirtualAddress};
use crate::signal::{
    Action, ActionFlags, AlternateStack, Delivery, FaultKind, FrameBuilder, InterruptedCall, Signal,
    SignalInfo, SignalSet, decide, exception_signal, fault_signal, initial_extended_state,
    is_initial_extended_state, normalized_exception, restore_frame, resume_call,
};

impl CurrentTask {
    /// Deals with stops and with all signals that are not blocked. Handlers' frames go on top of each other;
    /// the last one entered runs first.
    pub(super) fn deliver_signals(&mut self) -> State {
        loop {
            self.stop_if_told();
            if let Some(status) = self.pending_exit() {
                return State::Exit(status);
            }
            let accepted = !self.task.signal_mask();
            let Some(info) = self.task.take_signal(accepted) else { break };
            let Some(info) = self.trap_signal(info) else { continue };
            let action = self.task.group.signal_actions().lock().get(info.signal);
            match decide(info.signal, action, self.task.group.is_protected_init()) {
                Delivery::Ignore => {}
                Delivery::Stop => self.begin_group_stop(info.signal),
                Delivery::Terminate { .. } => return State::Exit(self.die_of(info)),
                Delivery::Handle(action) => {
                    if let Some(call) = self.interrupted_call() {
                        resume_call(&mut self.registers, call, Some(action.flags));
                    }
                    // What the frame saves is where the task will go on.
                    match self.abort_critical_section().and_then(|()| self.enter_handler(info, action)) {
                        Ok(()) => self.trap_handler_entry(),
                        Err(_) => self.refuse_frame(info.signal),
                    }
                }
            }
        }
        if let Some(call) = self.interrupted_call() {
            resume_call(&mut self.registers, call, None);
        }
        if let Some(mask) = self.saved_signal_mask.take() {
            self.set_signal_mask(mask);
        }
        State::App
    }

    /// The system call that is to be restarted, if one was interrupted. The registers alone tell: a tracer may
    /// have changed them.
    pub(super) fn interrupted_call(&self) -> Option<InterruptedCall> {
        let number = self.syscall_number?;
        let raw = i32::try_from((self.registers.rax as i64).checked_neg()?).ok()?;
        let errno = Errno::from_raw(raw);
        errno.is_restart().then_some(InterruptedCall { number, errno })
    }

    /// Puts the handler's frame on the stack and has user code go on in the handler.
    ///
    /// # Errors
    /// EFAULT: there is no room for it. Nothing has changed.
    fn enter_handler(&mut self, info: SignalInfo, action: Action) -> Result<(), Errno> {
        let mask = self.task.signal_mask();
        let extended_state = self.context.extended_state();
        let frame = FrameBuilder {
            registers: &self.registers,
            info,
            action,
            mask: self.saved_signal_mask.unwrap_or(mask),
            stack: self.signal_stack,
            trap: self.trap,
            extended_state: &extended_state,
            extended_features: self.kernel().platform().extended_features(),
        }
        .build()?;
        self.memory.write_bytes(frame.address, &frame.bytes)?;
        self.registers = frame.registers;
        self.saved_signal_mask = None;
        if !is_initial_extended_state(&extended_state) {
            self.reset_extended_state();
        }
        if self.signal_stack.is_disarmed_by_use() {
            self.signal_stack = AlternateStack::default();
        }
        if action.flags.contains(ActionFlags::RESETHAND) {
            self.task.group.signal_actions().lock().reset_handler(info.signal);
        }
        let own = if action.flags.contains(ActionFlags::NODEFER) {
            SignalSet::EMPTY
        } else {
            SignalSet::of(&[info.signal])
        };
        self.set_signal_mask(mask | action.mask | own);
        Ok(())
    }

    /// There was no room for the frame: SIGSEGV, which kills if it was SIGSEGV's own frame.
    fn refuse_frame(&mut self, signal: Signal) {
        if signal == Signal::SIGSEGV {
            self.die_of(SignalInfo::from_kernel(signal));
        } else {
            self.force_signal(SignalInfo::from_kernel(Signal::SIGSEGV));
        }
    }

    fn reset_extended_state(&mut self) {
        if self.context.set_extended_state(&initial_extended_state()).is_err() {
            log::error!("the initial extended state is refused");
            self.die_of(SignalInfo::from_kernel(Signal::SIGKILL));
        }
    }

    /// rt_sigreturn(2): takes back what the frame holds. A bad frame is SIGSEGV.
    pub(crate) fn return_from_handler(&mut self) {
        // Whatever comes of it, there is no result to be put into a register.
        self.syscall_number = None;
        let state_len_bytes = self.kernel().platform().extended_state_len_bytes();
        let read = |address, bytes: &mut [u8]| self.memory.read_bytes(address, bytes);
        let Ok(frame) = restore_frame(&self.registers, state_len_bytes, read) else {
            return self.force_signal(SignalInfo::from_kernel(Signal::SIGSEGV));
        };
        match &frame.extended_state {
            None => self.reset_extended_state(),
            Some(area) => {
                if self.context.set_extended_state(area).is_err() {
                    return self.force_signal(SignalInfo::from_kernel(Signal::SIGSEGV));
                }
            }
        }
        self.registers = frame.registers;
        self.set_signal_mask(frame.mask);
        // A stack that cannot be set is left as it is, as Linux does it.
        let _ = self.set_signal_stack(frame.stack);
    }

    /// sigaltstack(2).
    ///
    /// # Errors
    /// EPERM: the task runs on its alternate stack. EINVAL, ENOMEM: [`AlternateStack::from_user`].
    pub(crate) fn set_signal_stack(&mut self, stack: SignalStack) -> Result<(), Errno> {
        if self.signal_stack.contains(self.registers.rsp) {
            return Err(Errno::EPERM);
        }
        let min_len_bytes = u64::from(linux_raw_sys::general::MINSIGSTKSZ);
        self.signal_stack = AlternateStack::from_user(stack, min_len_bytes)?;
        Ok(())
    }

    /// Sends the task the signal for a page fault that cannot be served.
    pub(super) fn force_fault(&mut self, address: VirtualAddress, access: Access, error: FaultError) {
        let kind = match error {
            FaultError::Unmapped => FaultKind::NotMapped,
            FaultError::Denied => FaultKind::Denied,
            FaultError::PastEnd | FaultError::Poisoned | FaultError::Io(_) => FaultKind::NoBackingStore,
            // Nobody else's end would help.
            FaultError::OutOfMemory => {
                log::warn!("task {} is killed: guest memory is exhausted", self.task.root_tid());
                self.die_of(SignalInfo::from_kernel(Signal::SIGKILL));
                return;
            }
        };
        self.trap = crate::signal::TrapState::of_page_fault(address, access, kind == FaultKind::Denied);
        self.force_signal(fault_signal(kind, address));
    }

    /// Sends the task the signal for any other exception.
    pub(super) fn force_exception(&mut self, vector: u8, code: u32) {
        let mut instruction = [0; 2];
        self.memory.read_partial(VirtualAddress(self.registers.rip), &mut instruction);
        let (vector, code) = normalized_exception(vector, code, instruction);
        self.trap = self.trap.with_exception(vector, code);
        let context = &mut self.context;
        let info = exception_signal(vector, &self.registers, || context.extended_state());
        self.force_signal(info);
    }
}
