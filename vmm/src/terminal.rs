//! The caller's terminal is left as it was found.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use rustix::process::{Pid, getpgrp};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// The terminal that was made raw.
static MADE_RAW: OnceLock<Found> = OnceLock::new();

/// Restores the terminal that was made raw, if one was, from between two instructions of any thread.
pub(crate) fn restore_raw() {
    if let Some(Found { terminal, state, .. }) = MADE_RAW.get() {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(terminal, OptionalActions::Now, state);
    }
}

/// Restores the terminal on standard input, if it is one, when dropped.
pub(crate) struct TerminalGuard(Option<Found>);

struct Found {
    terminal: OwnedFd,
    state: Termios,
    /// vmm's process group.
    own_group: Pid,
}

impl TerminalGuard {
    /// Remembers the state of the terminal on `input`.
    pub(crate) fn new(input: Option<BorrowedFd<'_>>) -> Self {
        Self(input.and_then(|input| {
            let state = tcgetattr(input).ok()?;
            let terminal = rustix::io::fcntl_dupfd_cloexec(input, 3).ok()?;
            Some(Found { terminal, state, own_group: getpgrp() })
        }))
    }

    /// Has the terminal pass on every key, and show what it gets as it is (`man 3 cfmakeraw`). However the process ends, it does
    /// not stay so.
    pub(crate) fn make_raw(&self) {
        let Some(Found { terminal, state, own_group }) = &self.0 else { return };
        let duplicate = rustix::io::fcntl_dupfd_cloexec(terminal, 3);
        if let Ok(terminal) = duplicate {
            let _ = MADE_RAW.set(Found { terminal, state: state.clone(), own_group: *own_group });
        }
        let mut raw = state.clone();
        raw.make_raw();
        // A terminal that is gone has nothing to show.
        let _ = tcsetattr(terminal, OptionalActions::Now, &raw);
    }

    /// Puts the terminal back into the state that is remembered. From the background it does not: there it would be
    /// stopped for it (SIGTTOU), and the state is the foreground's.
    pub(crate) fn restore(&self) {
        if let Some(found) = &self.0 {
            found.restore();
        }
    }
}

impl Found {
    fn restore(&self) {
        let Self { terminal, state, own_group } = self;
        let is_foreground = tcgetpgrp(terminal).is_ok_and(|group| group == *own_group);
        let is_changed = tcgetattr(terminal).is_ok_and(|now| !is_same(&now, state));
        if is_foreground && is_changed {
            // Nothing can be done about a terminal that is gone.
            let _ = tcsetattr(terminal, OptionalActions::Now, state);
        }
    }
}

/// Whether two states are the same, speeds included.
fn is_same(a: &Termios, b: &Termios) -> bool {
    let modes =
        |state: &Termios| (state.input_modes, state.output_modes, state.control_modes, state.local_modes);
    let speeds = |state: &Termios| (state.input_speed(), state.output_speed());
    let codes = |state: &Termios| format!("{:?}", state.special_codes);
    modes(a) == modes(b) && speeds(a) == speeds(b) && codes(a) == codes(b)
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        self.restore();
    }
}
