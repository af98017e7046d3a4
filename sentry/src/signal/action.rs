//! What a process has asked to be done with each signal (`man 2 sigaction`).
//!
//! One table is shared by all who share it with CLONE_SIGHAND; a fork copies it; exec resets its handlers.

use super::{DefaultDisposition, Signal, SignalSet};
use crate::Errno;
use crate::platform::VirtualAddress;

bitflags::bitflags! {
    /// `SA_*`. Unknown bits are dropped when an action is set, so that programs can find out which are known.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct ActionFlags: u64 {
        /// SA_NOCLDSTOP: no SIGCHLD for stops.
        const NOCLDSTOP = 1;
        /// SA_NOCLDWAIT: children leave no zombie.
        const NOCLDWAIT = 2;
        /// SA_SIGINFO: the handler takes three arguments. The kernel passes them always.
        const SIGINFO = 4;
        /// SA_UNSUPPORTED: never stored.
        const UNSUPPORTED = 0x400;
        /// SA_EXPOSE_TAGBITS: accepted, without meaning on x86.
        const EXPOSE_TAGBITS = 0x800;
        /// SA_RESTORER: `restorer` is valid.
        const RESTORER = 0x0400_0000;
        /// SA_ONSTACK: run on the alternate stack.
        const ONSTACK = 0x0800_0000;
        /// SA_RESTART: restart interrupted calls.
        const RESTART = 0x1000_0000;
        /// SA_NODEFER: do not block the signal in its own handler.
        const NODEFER = 0x4000_0000;
        /// SA_RESETHAND: one shot.
        const RESETHAND = 0x8000_0000;
    }
}

/// Who takes a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Handler {
    /// SIG_DFL.
    #[default]
    Default,
    /// SIG_IGN.
    Ignore,
    /// A function of the program.
    User(VirtualAddress),
}

/// One entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Action {
    /// Who takes the signal.
    pub handler: Handler,
    /// How.
    pub flags: ActionFlags,
    /// Where the handler returns to.
    pub restorer: VirtualAddress,
    /// What is blocked while the handler runs.
    pub mask: SignalSet,
}

impl Action {
    /// The kernel's `struct sigaction` as words: handler, flags, restorer, mask.
    pub fn from_words([handler, flags, restorer, mask]: [u64; 4]) -> Self {
        let handler = match handler {
            0 => Handler::Default,
            1 => Handler::Ignore,
            address => Handler::User(VirtualAddress(address)),
        };
        Self {
            handler,
            flags: ActionFlags::from_bits_truncate(flags) - ActionFlags::UNSUPPORTED,
            restorer: VirtualAddress(restorer),
            mask: SignalSet::from_bits(mask).as_blocked_mask(),
        }
    }

    /// The kernel's `struct sigaction` as words.
    pub fn to_words(self) -> [u64; 4] {
        let handler = match self.handler {
            Handler::Default => 0,
            Handler::Ignore => 1,
            Handler::User(address) => address.0,
        };
        [handler, self.flags.bits(), self.restorer.0, self.mask.bits()]
    }

    /// Whether `signal` has no effect under this action.
    pub fn ignores(&self, signal: Signal) -> bool {
        match self.handler {
            Handler::Ignore => true,
            Handler::Default => matches!(signal.default_disposition(), DefaultDisposition::Ignore),
            Handler::User(_) => false,
        }
    }
}

/// The table of all 64 actions.
#[derive(Clone, Debug)]
pub struct SignalActions {
    table: [Action; Signal::COUNT],
}

impl Default for SignalActions {
    fn default() -> Self {
        Self { table: [Action::default(); Signal::COUNT] }
    }
}

impl SignalActions {
    /// What is done with `signal`.
    pub fn get(&self, signal: Signal) -> Action {
        self.table[signal.index()]
    }

    /// Replaces what is done with `signal` and returns what was. When the new action ignores the signal, the
    /// caller discards pending instances of it.
    ///
    /// # Errors
    /// EINVAL: SIGKILL and SIGSTOP cannot be changed.
    pub fn set(&mut self, signal: Signal, action: Action) -> Result<Action, Errno> {
        if signal.is_unblockable() {
            return Err(Errno::EINVAL);
        }
        Ok(std::mem::replace(&mut self.table[signal.index()], action))
    }

    /// Back to the default, as SA_RESETHAND and a fatal fault do it. The flags and the mask stay.
    pub fn reset_handler(&mut self, signal: Signal) {
        self.table[signal.index()].handler = Handler::Default;
    }

    /// For exec(2) and CLONE_CLEAR_SIGHAND: handlers go, what is ignored stays ignored.
    pub fn reset_handlers(&mut self) {
        for action in &mut self.table {
            let handler = if action.handler == Handler::Ignore { Handler::Ignore } else { Handler::Default };
            *action = Action { handler, ..Action::default() };
        }
    }

    /// Whether children that end leave no zombie: SIGCHLD is ignored, or has SA_NOCLDWAIT.
    pub fn discards_children(&self) -> bool {
        let action = self.get(Signal::SIGCHLD);
        action.handler == Handler::Ignore || action.flags.contains(ActionFlags::NOCLDWAIT)
    }

    /// The signals that are explicitly ignored (SIG_IGN), and those with a handler: what `/proc/[pid]/status`
    /// shows.
    pub fn ignored_and_caught(&self) -> (SignalSet, SignalSet) {
        let (mut ignored, mut caught) = (SignalSet::EMPTY, SignalSet::EMPTY);
        for signal in SignalSet::ALL.iter() {
            match self.get(signal).handler {
                Handler::Default => (),
                Handler::Ignore => ignored.insert(signal),
                Handler::User(_) => caught.insert(signal),
            }
        }
        (ignored, caught)
    }
}

#[cfg(test)]
mod tests;
