//! The sandbox's side: a program is made of a message, and of descriptors that have come with it.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use anyhow::{Context, ensure};
use rustix::net::UCred;
use sentry::boot::{LaterPrograms, PreparedProgram};
use sentry::fs::host_stdio::{HostNotifier, Opening, StorageStreams};
use sentry::fs::pts::HeldTerminal;
use sentry::fs::terminal::WindowSize;
use sentry::fs::{FsView, OpenFlags, TaskFs};
use sentry::kernel::Kernel;
use sentry::task::{Task, ThreadGroup};

use crate::control::{Execution, PassedStream, PassedStreams};
use crate::failure::Failure;
use crate::relay::Relay;
use crate::streams::{self, Stream, Streams, Surroundings};

/// Runs programs beside the first one.
pub(crate) struct Executor {
    first: Arc<Task>,
    later: LaterPrograms,
    notifier: Arc<HostNotifier>,
}

/// A program that runs.
pub(crate) struct Executing {
    task: Arc<Task>,
    storage: Option<StorageStreams>,
    terminal: Option<(Arc<HeldTerminal>, Relay)>,
}

/// The descriptors of a program, before it runs.
type Ready = (Arc<sentry::fs::DescriptorTable>, Option<StorageStreams>, Option<(Arc<HeldTerminal>, Relay)>);

impl Executor {
    /// Runs programs beside `first`, as `later` says; `notifier` hears of what their streams are ready for.
    pub(crate) fn new(first: Arc<Task>, later: LaterPrograms, notifier: Arc<HostNotifier>) -> Self {
        Self { first, later, notifier }
    }

    pub(crate) fn kernel(&self) -> &Kernel {
        self.first.kernel()
    }

    /// Where the first program's mounts begin.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn view(&self) -> anyhow::Result<FsView> {
        let mounts = self.first.try_task_fs().context("the sandbox is ending")?.namespace();
        Ok(TaskFs::new(mounts).view())
    }

    /// The first process.
    pub(crate) fn first_group(&self) -> &ThreadGroup {
        self.first.thread_group()
    }

    /// Starts the program that `caller` wants, with these descriptors of the host.
    ///
    /// # Errors
    /// What keeps it from running.
    pub(crate) fn start(
        &self,
        execution: Execution,
        descriptors: Vec<OwnedFd>,
        caller: &UCred,
    ) -> Result<Executing, Failure> {
        let Execution { program, streams } = execution;
        let prepared = self.later.prepare(program, &self.first).map_err(Failure::of_program)?;
        let (table, storage, terminal) = match streams {
            PassedStreams::Own(streams) => self.own_streams(&prepared, streams, descriptors, caller)?,
            PassedStreams::Terminal { window } => self.terminal(&prepared, window, descriptors)?,
        };
        let started = prepared.start(table, terminal.as_ref().map(|(terminal, _)| &**terminal));
        match started {
            Ok(task) => Ok(Executing { task, storage, terminal }),
            Err(error) => {
                if let Some((_, relay)) = terminal {
                    relay.finish();
                }
                Err(Failure::of_program(error))
            }
        }
    }

    fn own_streams(
        &self,
        prepared: &PreparedProgram,
        passed: Vec<PassedStream>,
        descriptors: Vec<OwnedFd>,
        caller: &UCred,
    ) -> anyhow::Result<Ready> {
        let kernel = self.first.kernel();
        let mut streams = Vec::new();
        for passed in passed {
            let PassedStream { number, descriptor: identity, name, .. } = passed;
            ensure!((0..3).contains(&number), "there is no standard stream {number}");
            let descriptor = descriptors.get(identity).context("a descriptor is missing")?;
            let descriptor = rustix::io::fcntl_dupfd_cloexec(descriptor, 3).context("standard streams")?;
            let flags = OpenFlags::from_bits_truncate(passed.flags);
            let opening = if passed.is_opened_again { Opening::Done } else { Opening::Never };
            streams.push(Stream { number, descriptor, identity, name: name.0, flags, opening });
        }
        let surroundings = Surroundings {
            frames: kernel.frames(),
            open_files: kernel.open_files(),
            terminals: kernel.terminals(),
            notifier: &self.notifier,
            mounts: prepared.mounts(),
            viewer: kernel.viewer(),
            user: prepared.user().clone(),
            caller: (caller.uid.as_raw(), caller.gid.as_raw()),
            session: None,
        };
        let (table, storage) = streams::descriptors(&Streams::of(streams), &surroundings)?;
        Ok((table, Some(storage), None))
    }

    fn terminal(
        &self,
        prepared: &PreparedProgram,
        window: [u16; 4],
        descriptors: Vec<OwnedFd>,
    ) -> anyhow::Result<Ready> {
        let kernel = self.first.kernel();
        let terminal = HeldTerminal::new(&prepared.view(), kernel.viewer(), prepared.user().uid);
        let terminal = Arc::new(terminal.context("a terminal in the sandbox")?);
        terminal.resize(WindowSize { fields: window });
        let table = streams::on_terminal(&terminal, kernel.open_files())?;
        let mut descriptors = descriptors.into_iter();
        let output = descriptors.next().context("a descriptor is missing")?;
        let relay = Relay::start(&terminal, descriptors.next(), output)?;
        Ok((table, None, Some((terminal, relay))))
    }
}

impl Executing {
    /// Its process.
    pub(crate) fn group(&self) -> &Arc<ThreadGroup> {
        self.task.thread_group()
    }

    /// Its terminal, if it is on one, for as long as it is.
    pub(crate) fn terminal(&self) -> Weak<HeldTerminal> {
        self.terminal.as_ref().map(|(terminal, _)| Arc::downgrade(terminal)).unwrap_or_default()
    }

    /// Waits for its end, passes on what it has left, and returns the status.
    pub(crate) fn finish(self) -> u8 {
        let status = self.task.kernel().tasks().wait_until_ended(self.task.thread_group());
        if let Some((_, relay)) = self.terminal {
            relay.finish();
        }
        if let Some(storage) = self.storage {
            storage.write_back();
        }
        status.shell_status()
    }
}
