//! The sandbox's side.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Uid, getpid};
use sentry::kernel::Kernel;
use sentry::signal::{Signal, SignalInfo};
use sentry::task::{StopGuard, ThreadGroup};

use super::channel::Channel;
use super::message::{Reply, Request};
use super::target::Target;

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);
/// Callers that are served at a time; others wait to be accepted.
const MAX_CALLERS: usize = 512;

/// Where requests arrive.
pub(crate) struct ControlSocket {
    /// One for the process, and one for the container.
    sockets: Vec<OwnedFd>,
}

impl ControlSocket {
    /// Listens for requests, which wait until they are served.
    ///
    /// # Errors
    /// The host refuses, or the container's name is taken.
    pub(crate) fn open(container: Option<&str>) -> anyhow::Result<Self> {
        let mut sockets = Vec::new();
        match Target::Process(getpid()).listen() {
            Ok(socket) => sockets.push(socket),
            Err(error) => log::warn!("the sandbox cannot be paused by its number: {error:#}"),
        }
        if let Some(name) = container {
            let socket = Target::Container(name.to_owned()).listen();
            sockets.push(socket.with_context(|| format!("--name {name}: is there a sandbox of that name?"))?);
        }
        Ok(Self { sockets })
    }

    /// Serves the requests of `owner` and root for as long as vmm lives, on threads of its own. Signals go to `first`.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(crate) fn serve(
        self,
        kernel: Arc<Kernel>,
        owner: Uid,
        first: Arc<ThreadGroup>,
    ) -> anyhow::Result<()> {
        if self.sockets.is_empty() {
            return Ok(());
        }
        let serve = move || {
            let (pause, callers) = (Mutex::new(None), AtomicUsize::new(0));
            let server = Server { kernel: &kernel, owner, first: &first, pause, callers };
            thread::scope(|scope| {
                loop {
                    match self.accept() {
                        Ok(peer) => server.receive(scope, peer),
                        Err(Errno::INTR | Errno::CONNABORTED) => {}
                        // The caller waits in the queue until there is room.
                        Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                            thread::sleep(PATIENCE)
                        }
                        Err(error) => {
                            log::warn!("the sandbox can no longer be called from outside: {error}");
                            return;
                        }
                    }
                }
            });
        };
        thread::Builder::new().name("control".into()).spawn(serve).context("start a thread")?;
        Ok(())
    }

    /// Waits for the next caller at any of the sockets.
    fn accept(&self) -> rustix::io::Result<OwnedFd> {
        let mut sockets: Vec<_> =
            self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        poll(&mut sockets, None)?;
        let called = sockets.iter().position(|socket| !socket.revents().is_empty());
        let socket = called.and_then(|index| self.sockets.get(index)).ok_or(Errno::INTR)?;
        accept_with(socket, SocketFlags::CLOEXEC)
    }
}

/// Who serves.
struct Server<'a> {
    kernel: &'a Kernel,
    owner: Uid,
    first: &'a ThreadGroup,
    pause: Mutex<Option<StopGuard<'a>>>,
    /// Those that are being served.
    callers: AtomicUsize,
}

impl<'a> Server<'a> {
    /// Serves `peer` on a thread of its own.
    fn receive<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>, peer: OwnedFd) {
        while self.callers.load(Ordering::Acquire) >= MAX_CALLERS {
            thread::sleep(PATIENCE / 100);
        }
        self.callers.fetch_add(1, Ordering::AcqRel);
        let serve = move || {
            if let Err(error) = self.serve(peer) {
                log::info!("a request: {error:#}");
            }
            self.callers.fetch_sub(1, Ordering::AcqRel);
        };
        if let Err(error) = thread::Builder::new().name("caller".into()).spawn_scoped(scope, serve) {
            log::warn!("a request is not served: {error}");
            self.callers.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn serve(&self, peer: OwnedFd) -> anyhow::Result<()> {
        let caller = socket_peercred(&peer)?;
        let is_owner = caller.uid == self.owner || caller.uid == Uid::ROOT;
        ensure!(is_owner, "user {} may not do that", caller.uid.as_raw());
        let channel = Channel::new(peer);
        let reply = match channel.receive(Some(PATIENCE)) {
            Ok(Some((request, _))) => self.answer(&request),
            Ok(None) => return Ok(()),
            Err(error) => Reply::Refused(format!("{error:#}")),
        };
        channel.send(&reply, &[])
    }

    fn answer(&self, request: &Request) -> Reply {
        let refused = |reason: &str| Reply::Refused(reason.to_owned());
        match request {
            Request::Pause => {
                let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
                if pause.is_some() {
                    return refused("it is paused already");
                }
                *pause = Some(self.kernel.tasks().stop_all());
            }
            Request::Resume => {
                let pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner).take();
                if pause.is_none() {
                    return refused("it is not paused");
                }
            }
            Request::Kill { signal } => match Signal::new(*signal) {
                // From outside of every PID namespace: as process 0.
                Ok(signal) => {
                    self.first.send_signal(SignalInfo::from_kill(signal, 0, sentry::cred::Uid::ROOT))
                }
                Err(_) => return refused("there is no such signal"),
            },
        }
        Reply::Done
    }
}
