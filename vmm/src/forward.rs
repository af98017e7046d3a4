//! Signals sent to vmm reach the guest's first process.

use std::sync::Arc;

use anyhow::Context;
use sentry::signal::{Signal, SignalInfo};
use sentry::task::ThreadGroup;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

/// The signals that are caught from now on, and passed on once there is somebody to pass them to.
pub(crate) struct Forwarder(Signals);

impl Forwarder {
    /// Catches the signals.
    ///
    /// # Errors
    /// The host refuses.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Signals::new([SIGHUP, SIGINT, SIGTERM, SIGWINCH]).context("catch signals").map(Self)
    }

    /// Passes every signal on to `group`, on a thread of its own, for as long as vmm lives.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(crate) fn start(mut self, group: Arc<ThreadGroup>) -> anyhow::Result<()> {
        let pass_on = move || {
            for number in &mut self.0 {
                if let Ok(signal) = Signal::new(number) {
                    // From outside of every PID namespace: as process 0, like a signal from a parent namespace.
                    group.send_signal(SignalInfo::from_kill(signal, 0, 0));
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(pass_on).context("start a thread")?;
        Ok(())
    }
}
