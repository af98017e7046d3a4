//! Signals sent to vmm reach the guest's first process. Those that the caller's terminal sends reach the process group
//! that is in the guest's foreground.

use std::sync::Arc;

use anyhow::Context;
use sentry::kernel::Kernel;
use sentry::signal::{Signal, SignalInfo};
use sentry::task::ThreadGroup;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::sandbox::FIRST_SESSION;

/// What a terminal sends to its foreground.
const OF_TERMINALS: [i32; 4] = [SIGINT, SIGQUIT, SIGTSTP, SIGWINCH];

/// The signals that are caught from now on, and passed on once there is somebody to pass them to.
pub(crate) struct Forwarder(Signals);

impl Forwarder {
    /// Catches the signals.
    ///
    /// # Errors
    /// The host refuses.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH]).context("catch signals").map(Self)
    }

    /// Passes every signal on to `group`, on a thread of its own, for as long as vmm lives.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(crate) fn start(mut self, kernel: Arc<Kernel>, group: Arc<ThreadGroup>) -> anyhow::Result<()> {
        let pass_on = move || {
            for number in &mut self.0 {
                let foreground = kernel.terminals().foreground_of_session(FIRST_SESSION);
                let has_jobs = foreground > 0 && foreground != FIRST_SESSION;
                if OF_TERMINALS.contains(&number) && has_jobs {
                    kernel.terminals().signal_foreground(FIRST_SESSION, number.cast_unsigned());
                } else if number == SIGTSTP || number == SIGQUIT && foreground <= 0 {
                    // Without jobs in the guest, the key is meant for vmm itself.
                    let _ = emulate_default_handler(number);
                } else if let Ok(signal) = Signal::new(number) {
                    // From outside of every PID namespace: as process 0, like a signal from a parent namespace.
                    group.send_signal(SignalInfo::from_kill(signal, 0, 0));
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(pass_on).context("start a thread")?;
        Ok(())
    }
}
