//! What becomes of a signal that a task takes from its queue, and of the call that it interrupted
//! (`man 7 signal`).

use linux_raw_sys::general::__NR_restart_syscall;

use super::{Action, ActionFlags, DefaultDisposition, Handler, Signal};
use crate::Errno;
use crate::platform::Registers;

/// Length of the SYSCALL instruction: a restart goes back this far.
const SYSCALL_INSTRUCTION_BYTES: u64 = 2;

/// What is to be done with a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Nothing.
    Ignore,
    /// The thread group stops.
    Stop,
    /// The thread group ends, killed by the signal.
    Terminate {
        /// Whether wait(2) says that it dumped core.
        dumps_core: bool,
    },
    /// A handler runs.
    Handle(Action),
}

/// What `action` makes of `signal`. A PID namespace's first process `is_init`: from inside, only signals that
/// it handles reach it (`man 7 pid_namespaces`).
pub fn decide(signal: Signal, action: Action, is_init: bool) -> Delivery {
    match action.handler {
        Handler::User(_) if !signal.is_unblockable() => Delivery::Handle(action),
        Handler::Ignore if !signal.is_unblockable() => Delivery::Ignore,
        _ => match signal.default_disposition() {
            DefaultDisposition::Ignore | DefaultDisposition::Continue => Delivery::Ignore,
            // Those two are not even sent from inside.
            _ if is_init && !signal.is_unblockable() => Delivery::Ignore,
            DefaultDisposition::Stop => Delivery::Stop,
            DefaultDisposition::Terminate => Delivery::Terminate { dumps_core: false },
            DefaultDisposition::Core => Delivery::Terminate { dumps_core: true },
        },
    }
}

/// A system call that a signal or a stop ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptedCall {
    /// Its number, which `rax` held.
    pub number: u64,
    /// One of the restart codes ([`Errno::is_restart`]).
    pub errno: Errno,
}

/// Settles `call` in `registers`: it is made again, or it has failed with EINTR. `handler` has the flags of
/// the handler that runs first, if one does.
pub fn resume_call(registers: &mut Registers, call: InterruptedCall, handler: Option<ActionFlags>) {
    let again = match (call.errno, handler) {
        (Errno::ERESTART_RESTARTBLOCK, None) => Some(u64::from(__NR_restart_syscall)),
        (_, None) | (Errno::ERESTARTNOINTR, Some(_)) => Some(call.number),
        (Errno::ERESTARTSYS, Some(flags)) if flags.contains(ActionFlags::RESTART) => Some(call.number),
        (_, Some(_)) => None,
    };
    match again {
        Some(number) => {
            registers.rax = number;
            registers.rip = registers.rip.wrapping_sub(SYSCALL_INSTRUCTION_BYTES);
        }
        None => registers.rax = Errno::EINTR.as_return_value(),
    }
}

#[cfg(test)]
mod tests;
