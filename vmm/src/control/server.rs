//! The sandbox's side.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SocketFlags, UCred, accept_with};
use rustix::process::{Uid, getpid};
use sentry::boot::Text;
use sentry::fs::terminal::WindowSize;
use sentry::kernel::Kernel;
use sentry::signal::{Signal, SignalInfo};
use sentry::task::{StopGuard, ThreadGroup};

use super::channel::Channel;
use super::ending::{Ending, Listener};
use super::message::{About, During, Execution, Reply, Request, Statistics};
use super::target::Target;
use crate::copy::{receive_into_guest, send_from_guest};
use crate::exec::Executor;
use crate::failure::Failure;
use crate::profile::ProfileSource;

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);
/// Callers that are served at a time; others wait to be accepted.
const MAX_CALLERS: usize = 512;
/// How often stacks are sampled a second, at most.
const MAX_HZ: u32 = 10_000;
/// How soon a recording ends whose caller has gone.
const STEP: Duration = Duration::from_millis(100);

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

    /// Serves the requests of the sandbox's owner and root for as long as vmm lives, on threads of its own.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(crate) fn serve(self, served: Served) -> anyhow::Result<()> {
        if self.sockets.is_empty() {
            return Ok(());
        }
        let serve = move || {
            let kernel = served.executor.kernel();
            let server =
                Server { served: &served, kernel, pause: Mutex::new(None), callers: AtomicUsize::new(0) };
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

/// The sandbox that is served.
pub(crate) struct Served {
    /// Who may ask.
    pub(crate) owner: Uid,
    /// What it is.
    pub(crate) about: About,
    /// What runs programs beside the first one.
    pub(crate) executor: Executor,
    /// What records where its time goes.
    pub(crate) profile_source: ProfileSource,
    /// Its end.
    pub(crate) ending: Arc<Ending>,
}

/// Who serves.
struct Server<'a> {
    served: &'a Served,
    kernel: &'a Kernel,
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
        let is_owner = caller.uid == self.served.owner || caller.uid == Uid::ROOT;
        ensure!(is_owner, "user {} may not do that", caller.uid.as_raw());
        let channel = Channel::new(peer);
        let reply = match channel.receive(Some(PATIENCE)) {
            Ok(Some((Request::Execute(execution), descriptors))) => {
                return self.execute(&channel, execution, descriptors, &caller);
            }
            Ok(Some((Request::Wait, _))) => {
                let listener = self.served.ending.listen();
                return channel.send(&Reply::Ended { status: listener.status() }, &[]);
            }
            Ok(Some((request @ (Request::CopyOut { .. } | Request::CopyIn { .. }), descriptors))) => {
                let _listener = self.served.ending.listen();
                match self.copy(request, descriptors) {
                    Ok(()) => Reply::Done,
                    Err(error) => Reply::Refused(Failure::from(error).text()),
                }
            }
            Ok(Some((Request::Profile { milliseconds, hz }, descriptors))) => {
                let listener = self.served.ending.listen();
                match self.profile(&channel, &listener, Duration::from_millis(milliseconds), hz, descriptors)
                {
                    Ok(()) => Reply::Done,
                    Err(error) => Reply::Refused(Failure::from(error).text()),
                }
            }
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
                let mut pause = self.lock_pause();
                if pause.is_some() {
                    return refused("it is paused already");
                }
                *pause = Some(self.kernel.tasks().stop_all());
                Reply::Done
            }
            Request::Resume => match self.lock_pause().take() {
                Some(_) => Reply::Done,
                None => refused("it is not paused"),
            },
            Request::Kill { signal } => match Signal::new(*signal) {
                Ok(signal) => {
                    send_signal(self.served.executor.first_group(), signal);
                    Reply::Done
                }
                Err(_) => refused("there is no such signal"),
            },
            Request::Describe => {
                let is_paused = self.lock_pause().is_some();
                Reply::Description(About { is_paused, ..self.served.about.clone() })
            }
            Request::Statistics => Reply::Statistics(self.statistics()),
            Request::Wait
            | Request::Execute(_)
            | Request::Profile { .. }
            | Request::CopyOut { .. }
            | Request::CopyIn { .. } => refused("it does not know the request"),
        }
    }

    fn lock_pause(&self) -> MutexGuard<'_, Option<StopGuard<'a>>> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn statistics(&self) -> Statistics {
        let (memory, cgroups) = (self.kernel.frames().statistics(), self.kernel.cgroups());
        let usage = cgroups.cpu_usage(cgroups.root());
        Statistics {
            memory_bytes: memory.total_bytes.saturating_sub(memory.free_bytes),
            memory_limit_bytes: memory.total_bytes,
            user_seconds: usage.user.as_secs_f64(),
            system_seconds: usage.system.as_secs_f64(),
            tasks: cgroups.root().pids().current(),
            tasks_limit: cgroups.root().pids().max(),
            uptime_seconds: self.kernel.uptime().as_secs_f64(),
        }
    }

    /// Records for as long as `time`, until the sandbox ends or the caller goes, and sends the profile.
    fn profile(
        &self,
        channel: &Channel,
        listener: &Listener<'_>,
        time: Duration,
        hz: u32,
        descriptors: Vec<OwnedFd>,
    ) -> anyhow::Result<()> {
        ensure!((1..=MAX_HZ).contains(&hz), "stacks are sampled 1 to {MAX_HZ} times a second");
        let pipe = descriptors.into_iter().next().context("a descriptor is missing")?;
        let source = &self.served.profile_source;
        source.begin(hz)?;
        let begun = Instant::now();
        while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            if listener.status_within(left.min(STEP)).is_some() || channel.is_hung_up() {
                break;
            }
        }
        let profile = source.end().context("the recording has ended")?;
        let mut pipe = std::io::BufWriter::new(std::fs::File::from(pipe));
        serde_json::to_writer(&mut pipe, &profile)?;
        Ok(pipe.flush()?)
    }

    /// Copies something out of the sandbox or into it.
    fn copy(&self, request: Request, descriptors: Vec<OwnedFd>) -> anyhow::Result<()> {
        let pipe = descriptors.into_iter().next().context("a descriptor is missing")?;
        let (view, viewer) = (self.served.executor.view()?, self.kernel.viewer());
        let shown = |path: &Text| path.0.escape_ascii().to_string();
        match request {
            Request::CopyOut { path } => {
                send_from_guest(&view, &viewer, &path.0, pipe).with_context(|| shown(&path))
            }
            Request::CopyIn { path, name } => {
                let place = (&*path.0, &*name.0);
                receive_into_guest(&view, &viewer, place, pipe).with_context(|| shown(&path))
            }
            _ => anyhow::bail!("it does not know the request"),
        }
    }

    /// Runs a program beside the first one, and serves its caller until both have ended.
    fn execute(
        &self,
        channel: &Channel,
        execution: Execution,
        descriptors: Vec<OwnedFd>,
        caller: &UCred,
    ) -> anyhow::Result<()> {
        if self.lock_pause().is_some() {
            return channel.send(&Reply::Refused("it is paused: resume it first".into()), &[]);
        }
        let listener = self.served.ending.listen();
        let executing = match self.served.executor.start(execution, descriptors, caller) {
            Ok(executing) => executing,
            Err(failure) => {
                let reply = Reply::Failed { status: failure.status, reason: failure.text() };
                return channel.send(&reply, &[]);
            }
        };
        channel.send(&Reply::Started, &[])?;
        let (group, terminal) = (executing.group().clone(), executing.terminal());
        thread::scope(|scope| {
            let tell_the_end = move || {
                let status = executing.finish();
                // A caller that has gone does not mind.
                let _ = channel.send(&Reply::Ended { status }, &[]);
                drop(listener);
            };
            let builder = thread::Builder::new().name("execution".into());
            if let Err(error) = builder.spawn_scoped(scope, tell_the_end) {
                send_signal(&group, Signal::SIGKILL);
                return Err(error.into());
            }
            while let Ok(Some((during, _))) = channel.receive(None) {
                match during {
                    During::Signal(signal) => {
                        if let Ok(signal) = Signal::new(signal) {
                            send_signal(&group, signal);
                        }
                    }
                    During::Resize(fields) => {
                        if let Some(terminal) = terminal.upgrade() {
                            terminal.resize(WindowSize { fields });
                        }
                    }
                }
            }
            // The caller has gone, and its terminal with it.
            if let Some(terminal) = terminal.upgrade() {
                terminal.hang_up();
            }
            Ok(())
        })
    }
}

/// Sends `signal` from outside of every PID namespace: as process 0.
fn send_signal(group: &ThreadGroup, signal: Signal) {
    group.send_signal(SignalInfo::from_kill(signal, 0, sentry::cred::Uid::ROOT));
}
