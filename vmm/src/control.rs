//! Pausing and resuming a sandbox, and sending it signals, from outside.
//!
//! A vmm that runs a sandbox listens at an abstract unix socket (`man 7 unix`) named after its process, and at one named after
//! its user and the container, if that has a name. They are opened before the jail is entered, leave no file behind and need no
//! directory. `vmm pause` sends one packet there and gets one back. The listener serves its own user and root, by
//! what the host says of the peer; the caller makes sure that the listener is the process that it names, or belongs to the user
//! whose containers it names: its own.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, UCred, accept_with, bind,
    connect, listen, recv, send, socket_with, sockopt::socket_peercred,
};
use rustix::process::{Pid, Uid, geteuid, getpid, getuid};
use rustix::thread::set_thread_res_uid;
use sentry::kernel::Kernel;
use sentry::signal::{Signal, SignalInfo};
use sentry::task::{StopGuard, ThreadGroup};

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);
/// Callers that wait while one is served.
const BACKLOG: i32 = 8;
const MAX_PACKET_LEN: usize = 256;
/// The answer to a request that was done; any other tells why not.
const DONE: &[u8] = b"done";

/// What is asked of a running sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Have every task stand still.
    Pause,
    /// Let them go on.
    Resume,
    /// Send the first process this signal.
    Kill(i32),
}

impl Request {
    fn to_words(self) -> String {
        match self {
            Self::Pause => "pause".to_owned(),
            Self::Resume => "resume".to_owned(),
            Self::Kill(signal) => format!("kill {signal}"),
        }
    }

    fn from_words(words: &[u8]) -> Option<Self> {
        let words = std::str::from_utf8(words).ok()?;
        match words.split_once(' ').unwrap_or((words, "")) {
            ("pause", "") => Some(Self::Pause),
            ("resume", "") => Some(Self::Resume),
            ("kill", signal) => signal.parse().ok().map(Self::Kill),
            _ => None,
        }
    }
}

/// The sandbox that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one that this process runs.
    Process(Pid),
    /// The caller's own container of this name.
    Container(String),
}

impl Target {
    fn address(&self) -> anyhow::Result<SocketAddrUnix> {
        let name = match self {
            Self::Process(pid) => format!("palisade-vmm-{}", pid.as_raw_nonzero()),
            Self::Container(name) => format!("palisade-container-{}-{name}", getuid().as_raw()),
        };
        Ok(SocketAddrUnix::new_abstract_name(name.as_bytes())?)
    }

    /// Whether the listener at the address is not somebody who has taken it from whom it is meant for.
    fn is(&self, listener: &UCred) -> bool {
        match self {
            Self::Process(pid) => listener.pid == *pid,
            Self::Container(_) => listener.uid == getuid(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "process {}", pid.as_raw_nonzero()),
            Self::Container(name) => write!(f, "container {name}"),
        }
    }
}

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
        match listen_at(&Target::Process(getpid())) {
            Ok(socket) => sockets.push(socket),
            Err(error) => log::warn!("the sandbox cannot be paused by its number: {error:#}"),
        }
        if let Some(name) = container {
            let socket = listen_at(&Target::Container(name.to_owned()));
            sockets.push(socket.with_context(|| format!("--name {name}: is there a sandbox of that name?"))?);
        }
        Ok(Self { sockets })
    }

    /// Serves the requests of `owner` and root for as long as vmm lives, on a thread of its own. Signals go to `first`.
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
            let mut pause: Option<StopGuard<'_>> = None;
            loop {
                match self.accept() {
                    Ok(peer) => {
                        if let Err(error) = serve_one(&peer, owner, (&kernel, &first), &mut pause) {
                            log::info!("a request: {error:#}");
                        }
                    }
                    Err(Errno::INTR | Errno::CONNABORTED) => {}
                    // The caller waits in the queue until there is room.
                    Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        thread::sleep(PATIENCE)
                    }
                    Err(error) => {
                        log::warn!("the sandbox can no longer be paused or resumed: {error}");
                        return;
                    }
                }
            }
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

fn serve_one<'a>(
    peer: &OwnedFd,
    owner: Uid,
    (kernel, first): (&'a Kernel, &ThreadGroup),
    pause: &mut Option<StopGuard<'a>>,
) -> anyhow::Result<()> {
    let caller = socket_peercred(peer)?;
    ensure!(caller.uid == owner || caller.uid == Uid::ROOT, "user {} may not do that", caller.uid.as_raw());
    let patience = Timespec::try_from(PATIENCE)?;
    ensure!(poll(&mut [PollFd::new(peer, PollFlags::IN)], Some(&patience))? > 0, "the caller says nothing");
    let answer: &[u8] = match (Request::from_words(&receive(peer)?), pause.is_some()) {
        (Some(Request::Pause), false) => {
            *pause = Some(kernel.tasks().stop_all());
            DONE
        }
        (Some(Request::Resume), true) => {
            *pause = None;
            DONE
        }
        (Some(Request::Kill(signal)), _) => match Signal::new(signal) {
            Ok(signal) => {
                // From outside of every PID namespace: as process 0.
                first.send_signal(SignalInfo::from_kill(signal, 0, 0));
                DONE
            }
            Err(_) => b"there is no such signal",
        },
        (Some(Request::Pause), true) => b"it is paused already",
        (Some(Request::Resume), false) => b"it is not paused",
        (None, _) => b"it does not know the request",
    };
    send(peer, answer, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Has a sandbox do what is asked, and returns once it has.
///
/// # Errors
/// There is no such sandbox, it belongs to somebody else, or it is paused, or running, already.
pub fn ask(target: &Target, request: Request) -> anyhow::Result<()> {
    let mut socket = connect_to(target)?;
    let listener = socket_peercred(&socket)?;
    ensure!(target.is(&listener), "{target} runs no sandbox");
    if geteuid().is_root() && !listener.uid.is_root() {
        // One in a user namespace of its own is not told who root is.
        set_thread_res_uid(None, listener.uid, None).context("act for its user")?;
        socket = connect_to(target)?;
    }
    let refused = || format!("{target} does not let you");
    send(&socket, request.to_words().as_bytes(), SendFlags::NOSIGNAL).with_context(refused)?;
    let answer = receive(&socket).with_context(refused)?;
    match answer.as_slice() {
        DONE => Ok(()),
        [] => bail!(refused()),
        reason => bail!("{target}: {}", reason.escape_ascii()),
    }
}

fn connect_to(target: &Target) -> anyhow::Result<OwnedFd> {
    let socket = new_socket()?;
    connect(&socket, &target.address()?).with_context(|| format!("{target} runs no sandbox"))?;
    Ok(socket)
}

fn new_socket() -> anyhow::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context("make a unix socket")
}

fn listen_at(target: &Target) -> anyhow::Result<OwnedFd> {
    let socket = new_socket()?;
    bind(&socket, &target.address()?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn receive(socket: impl AsFd) -> rustix::io::Result<Vec<u8>> {
    let mut packet = [0; MAX_PACKET_LEN];
    let (len, _) = rustix::io::retry_on_intr(|| recv(&socket, &mut packet[..], RecvFlags::empty()))?;
    Ok(packet.into_iter().take(len).collect())
}

#[cfg(test)]
mod tests;
