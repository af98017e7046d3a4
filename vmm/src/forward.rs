//! Signals sent to vmm reach the guest's first process. Those that the caller's terminal makes of a key, or of its
//! window's size, reach the process group that is in the guest's foreground.
//!
//! After SIGTERM, the first process has a while to end, and is then killed; a second SIGTERM kills it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use sentry::cred::Uid;
use sentry::kernel::Kernel;
use sentry::signal::{Signal, SignalInfo};
use sentry::task::ThreadGroup;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::raw::WithRawSiginfo;
use signal_hook::low_level::emulate_default_handler;

use crate::front::Window;
use crate::sandbox::FIRST_SESSION;

/// The signals that are caught from now on, and passed on once there is somebody to pass them to.
pub(crate) struct Forwarder(SignalsInfo<WithRawSiginfo>);

/// How the first process is asked to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    /// What it gets in the place of a SIGTERM.
    pub(crate) signal: Signal,
    /// How long it has after that.
    pub(crate) timeout: Duration,
}

impl Forwarder {
    /// Catches the signals.
    ///
    /// # Errors
    /// The host refuses.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let signals = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH];
        SignalsInfo::new(signals).context("catch signals").map(Self)
    }

    /// Passes every signal on to `group`, on a thread of its own, for as long as vmm lives. `stop` says what comes of a SIGTERM, and
    /// `window` of a SIGWINCH.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(crate) fn start(
        mut self,
        kernel: Arc<Kernel>,
        group: Arc<ThreadGroup>,
        stop: Stop,
        window: Option<Window>,
    ) -> anyhow::Result<()> {
        let pass_on = move || {
            let mut is_stopping = false;
            for info in &mut self.0 {
                let number = info.si_signo;
                if let Some(window) = window.as_ref().filter(|_| number == SIGWINCH) {
                    window.follow();
                    continue;
                }
                let is_of_terminal = info.si_code == libc::SI_KERNEL && number != SIGHUP;
                let foreground = kernel.terminals().foreground_of_session(FIRST_SESSION);
                let has_jobs = foreground > 0 && foreground != FIRST_SESSION;
                if is_of_terminal && has_jobs {
                    kernel.terminals().signal_foreground(FIRST_SESSION, number.cast_unsigned());
                } else if is_of_terminal && (number == SIGTSTP || number == SIGQUIT && foreground <= 0) {
                    // Without jobs in the guest, the key is meant for vmm itself.
                    let _ = emulate_default_handler(number);
                } else if number == SIGTERM && is_stopping {
                    kill(&group);
                } else if number == SIGTERM {
                    is_stopping = true;
                    send(&group, stop.signal);
                    kill_after(&group, stop.timeout);
                } else if let Ok(signal) = Signal::new(number) {
                    send(&group, signal);
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(pass_on).context("start a thread")?;
        Ok(())
    }
}

/// The time that the first process has in all.
pub(crate) struct TimeLimit(Arc<AtomicBool>);

impl TimeLimit {
    /// Asks `group` to end, as `stop` says, when `limit` has passed.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(crate) fn start(
        limit: Option<Duration>,
        group: &Arc<ThreadGroup>,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        let has_passed = Arc::<AtomicBool>::default();
        if let Some(limit) = limit {
            let (group, passing) = (group.clone(), has_passed.clone());
            let wait = move || {
                std::thread::sleep(limit);
                passing.store(true, Ordering::Release);
                send(&group, stop.signal);
                kill_after(&group, stop.timeout);
            };
            std::thread::Builder::new().name("timeout".into()).spawn(wait).context("start a thread")?;
        }
        Ok(Self(has_passed))
    }

    /// Whether it has passed.
    pub(crate) fn has_passed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Sends `signal` from outside of every PID namespace: as process 0, like a signal from a parent namespace.
fn send(group: &ThreadGroup, signal: Signal) {
    group.send_signal(SignalInfo::from_kill(signal, 0, Uid::ROOT));
}

fn kill(group: &ThreadGroup) {
    send(group, Signal::SIGKILL);
}

/// Kills `group` when `timeout` has passed; now, if the host has no thread to wait on.
fn kill_after(group: &Arc<ThreadGroup>, timeout: Duration) {
    let waiting = group.clone();
    let wait = move || {
        std::thread::sleep(timeout);
        kill(&waiting);
    };
    if std::thread::Builder::new().name("stop-timeout".into()).spawn(wait).is_err() {
        kill(group);
    }
}
