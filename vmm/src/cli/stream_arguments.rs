//! What a program has for its standard streams, in docker's spelling.

use rustix::process::getpgrp;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{isatty, tcgetpgrp};

/// The options of standard streams.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct StreamArguments {
    /// Have the program be on a terminal of its own, relayed to yours; without the option where standard input and output are terminals
    #[arg(long, short = 't', value_name = "WHETHER", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tty: Option<bool>,

    /// Pass standard input on to the program
    #[arg(long, short = 'i', value_name = "WHETHER", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    interactive: Option<bool>,
}

impl StreamArguments {
    /// Whether nothing is said of a terminal, and there is one.
    pub(crate) fn is_on_terminal_by_itself(&self) -> bool {
        self.tty.is_none() && is_on_terminal()
    }

    /// Whether the program is on a terminal of its own; `may_be_by_itself` if that is so where there is one and nothing is said.
    pub(crate) fn has_terminal(&self, may_be_by_itself: bool) -> bool {
        self.tty.unwrap_or_else(|| may_be_by_itself && is_on_terminal())
    }

    /// Whether the program reads standard input, if nothing is said of it.
    pub(crate) fn has_input(&self, usually: bool) -> bool {
        self.interactive.unwrap_or(usually)
    }
}

/// Whether standard input and output are terminals, and vmm is in the foreground, where it may change the terminal's settings.
fn is_on_terminal() -> bool {
    isatty(stdin()) && isatty(stdout()) && tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}
