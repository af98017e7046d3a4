//! Between a terminal of the guest's own and the caller: what the caller types goes in, what is shown comes out.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno as HostErrno, read, retry_on_intr, write};
use sentry::Errno;
use sentry::fs::pts::HeldTerminal;
use sentry::fs::terminal::WindowSize;
use sentry::wait::{Events, Waiter};

/// Bytes that are passed on at a time.
const CHUNK_LEN: usize = 16 * 1024;

/// The threads that relay.
pub(crate) struct Relay {
    is_over: Arc<AtomicBool>,
    shown: Arc<Waiter>,
    output: JoinHandle<()>,
}

impl Relay {
    /// Relays between `terminal` and the caller's descriptors until [`Relay::finish`].
    ///
    /// # Errors
    /// The host has no thread left.
    pub(crate) fn start(
        terminal: &Arc<HeldTerminal>,
        input: Option<OwnedFd>,
        output: OwnedFd,
    ) -> anyhow::Result<Self> {
        if let Some(input) = input {
            let terminal = Arc::downgrade(terminal);
            let typing = move || type_in(&terminal, &input);
            Builder::new().name("terminal-input".into()).spawn(typing).context("start a thread")?;
        }
        let (is_over, shown) = (Arc::<AtomicBool>::default(), Arc::<Waiter>::default());
        let (terminal, over, waiter) = (terminal.clone(), is_over.clone(), shown.clone());
        let showing = move || show(&terminal, &output, &over, &waiter);
        let output =
            Builder::new().name("terminal-output".into()).spawn(showing).context("start a thread")?;
        Ok(Self { is_over, shown, output })
    }

    /// Passes on what is still to be shown, and ends. What is typed from now on is lost.
    pub(crate) fn finish(self) {
        self.is_over.store(true, Ordering::Release);
        self.shown.wake();
        // Its thread has no way to fail.
        let _ = self.output.join();
    }
}

/// Types what comes from `input` until its end, or the terminal's.
fn type_in(terminal: &Weak<HeldTerminal>, input: &OwnedFd) {
    let mut buffer = [0; CHUNK_LEN];
    loop {
        let mut rest = match retry_on_intr(|| read(input, &mut buffer)) {
            Ok(0) => return,
            Ok(len) => buffer.get(..len).unwrap_or_default(),
            Err(HostErrno::AGAIN) => {
                wait_for(input, PollFlags::IN);
                continue;
            }
            Err(_) => return,
        };
        let waiter = Arc::<Waiter>::default();
        let Some(registration) = terminal
            .upgrade()
            .map(|terminal| terminal.queue().register(Events::OUT | Events::HUP, waiter.clone()))
        else {
            return;
        };
        while !rest.is_empty() {
            let Some(terminal) = terminal.upgrade() else { return };
            match terminal.type_in(rest) {
                Ok(typed) => rest = rest.get(typed..).unwrap_or_default(),
                Err(Errno::EAGAIN) => {
                    drop(terminal);
                    waiter.sleep(None);
                }
                Err(_) => return,
            }
        }
        drop(registration);
    }
}

/// Passes on what is shown, until it is over and nothing is left.
fn show(terminal: &HeldTerminal, output: &OwnedFd, is_over: &AtomicBool, waiter: &Arc<Waiter>) {
    let _registration = terminal.queue().register(Events::IN | Events::HUP, waiter.clone());
    let mut buffer = [0; CHUNK_LEN];
    let mut has_reader = true;
    loop {
        let was_over = is_over.load(Ordering::Acquire);
        match terminal.take_shown(&mut buffer) {
            // Without a reader it is taken all the same, so that the program does not wait for one.
            Ok(len) => has_reader = has_reader && pass_on(output, buffer.get(..len).unwrap_or_default()),
            Err(_) if was_over => return,
            Err(_) => {
                waiter.sleep(None);
            }
        }
    }
}

/// Writes everything; returns whether somebody reads.
fn pass_on(output: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match write(output, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(HostErrno::INTR) => {}
            Err(HostErrno::AGAIN) => wait_for(output, PollFlags::OUT),
            Err(_) => return false,
        }
    }
    true
}

fn wait_for(descriptor: &OwnedFd, events: PollFlags) {
    // A failure is met again, and told, by what follows.
    let _ = poll(&mut [PollFd::new(descriptor, events)], None);
}

/// The size of the window of a terminal of the host; `None` if it is none.
pub(crate) fn window_of(terminal: impl AsFd) -> Option<WindowSize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    Some(WindowSize { fields: [size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel] })
}
