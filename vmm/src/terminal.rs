//! The caller's terminal is left as it was found.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// Restores the terminal on standard input, if it is one, when dropped.
pub(crate) struct TerminalGuard(Option<Termios>);

impl TerminalGuard {
    /// Remembers the terminal's state.
    pub(crate) fn new() -> Self {
        Self(tcgetattr(rustix::stdio::stdin()).ok())
    }

    /// Puts the terminal back into the state that is remembered.
    pub(crate) fn restore(&self) {
        if let Some(state) = &self.0 {
            // Nothing can be done about a terminal that is gone.
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, state);
        }
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        self.restore();
    }
}
