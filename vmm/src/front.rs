//! What the first program has for its standard streams: the caller's own, or a terminal of the guest's, which is relayed to the
//! caller's.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Weak};

use anyhow::Context;
use sentry::boot::Sandbox;
use sentry::fs::host_stdio::{HostNotifier, StorageStreams};
use sentry::fs::pts::HeldTerminal;
use sentry::fs::{DescriptorTable, TaskFs};

use crate::relay::{Relay, window_of};
use crate::sandbox::{Custody, FIRST_SESSION};
use crate::streams::{self, Streams, Surroundings};
use crate::terminal::TerminalGuard;

/// The streams of the first program.
pub(crate) struct Front {
    descriptors: Arc<DescriptorTable>,
    /// Restores the caller's terminal, whatever becomes of the rest.
    guard: TerminalGuard,
    storage: Option<StorageStreams>,
    terminal: Option<OwnTerminal>,
}

/// A terminal of the guest's own, and what it is relayed to.
struct OwnTerminal {
    terminal: Arc<HeldTerminal>,
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    window: Option<OwnedFd>,
    relay: Option<Relay>,
}

impl Front {
    /// Makes the descriptors of `sandbox`'s program. `image` is where its root lies on the host.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub(crate) fn new(
        custody: &Custody,
        sandbox: &Sandbox,
        image: &Path,
        notifier: &Arc<HostNotifier>,
    ) -> anyhow::Result<Self> {
        let kernel = sandbox.kernel();
        let streams = Streams::take(custody.has_input, image)?;
        let guard = TerminalGuard::new(streams.get(0));
        if custody.has_terminal {
            let terminal = OwnTerminal::new(sandbox, streams, custody.has_input)?;
            let descriptors = streams::on_terminal(&terminal.terminal, kernel.open_files())?;
            return Ok(Self { descriptors, guard, storage: None, terminal: Some(terminal) });
        }
        let surroundings = Surroundings {
            frames: kernel.frames(),
            open_files: kernel.open_files(),
            terminals: kernel.terminals(),
            notifier,
            mounts: sandbox.mounts(),
            viewer: kernel.viewer(),
            user: sandbox.user().clone(),
            caller: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            session: Some(FIRST_SESSION),
        };
        let (descriptors, storage) = streams::descriptors(&streams, &surroundings)?;
        Ok(Self { descriptors, guard, storage: Some(storage), terminal: None })
    }

    pub(crate) fn descriptors(&self) -> Arc<DescriptorTable> {
        self.descriptors.clone()
    }

    /// Begins to relay, on threads of the jail: the caller's terminal is raw from now on.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(crate) fn begin(&mut self) -> anyhow::Result<()> {
        if let Some(own) = &mut self.terminal {
            if own.input.is_some() {
                self.guard.make_raw();
            }
            let output = own.output.take();
            own.relay =
                output.map(|output| Relay::start(&own.terminal, own.input.take(), output)).transpose()?;
        }
        Ok(())
    }

    /// What has the guest's terminal be as large as the caller's.
    pub(crate) fn window(&self) -> Option<Window> {
        let own = self.terminal.as_ref()?;
        let caller = rustix::io::fcntl_dupfd_cloexec(own.window.as_ref()?, 3).ok()?;
        Some(Window { caller, terminal: Arc::downgrade(&own.terminal) })
    }

    /// Passes on what is still to be shown, and writes what mappings have changed to the caller's files.
    pub(crate) fn finish(self) {
        if let Some(relay) = self.terminal.and_then(|own| own.relay) {
            relay.finish();
        }
        if let Some(storage) = self.storage {
            storage.write_back();
        }
    }
}

impl OwnTerminal {
    fn new(sandbox: &Sandbox, streams: Streams, has_input: bool) -> anyhow::Result<Self> {
        let view = TaskFs::new(sandbox.mounts().clone()).view();
        let terminal = HeldTerminal::new(&view, sandbox.kernel().viewer(), sandbox.user().uid);
        let terminal = Arc::new(terminal.context("--tty")?);
        terminal.control_session(FIRST_SESSION).context("--tty")?;
        let (mut input, mut output, mut window) = (None, None, None);
        for stream in streams.all() {
            if window.is_none() && window_of(&stream.descriptor).is_some() {
                window = Some(rustix::io::fcntl_dupfd_cloexec(&stream.descriptor, 3)?);
            }
            match stream.number {
                0 => input = Some(stream.descriptor).filter(|_| has_input),
                1 => output = Some(stream.descriptor),
                _ => {}
            }
        }
        if let Some(size) = window.as_ref().and_then(window_of) {
            terminal.resize(size);
        }
        Ok(Self { terminal, input, output, window, relay: None })
    }
}

/// The caller's window, and the guest's terminal that is to be as large.
pub(crate) struct Window {
    caller: OwnedFd,
    terminal: Weak<HeldTerminal>,
}

impl Window {
    /// Has the guest's terminal be as large as the caller's is now.
    pub(crate) fn follow(&self) {
        if let Some((size, terminal)) = window_of(&self.caller).zip(self.terminal.upgrade()) {
            terminal.resize(size);
        }
    }
}
