//! Pausing and resuming a sandbox from outside.
//!
//! A vmm that runs a sandbox listens at an abstract unix socket (`man 7 unix`) named after its process, opened before the jail
//! is entered: it leaves no file behind and needs no directory. `vmm pause PID` sends one packet there and gets one back. The
//! listener serves its own user and root, by what the host says of the peer; the caller makes sure that
//! the listener is the process that it names.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recv, send, socket_with, sockopt::socket_peercred,
};
use rustix::process::{Pid, Uid, getpid, getuid};
use sentry::kernel::Kernel;
use sentry::task::StopGuard;

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);
/// Callers that wait while one is served.
const BACKLOG: i32 = 8;
const MAX_PACKET_LEN: usize = 256;
/// The answer to a request that was done; any other tells why not.
const DONE: &[u8] = b"done";

/// What is asked of a running sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Have every task stand still.
    Pause,
    /// Let them go on.
    Resume,
}

impl Request {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Pause => b"pause",
            Self::Resume => b"resume",
        }
    }

    fn from_word(word: &[u8]) -> Option<Self> {
        [Self::Pause, Self::Resume].into_iter().find(|request| request.word() == word)
    }
}

/// Where requests arrive.
pub(crate) struct ControlSocket {
    socket: OwnedFd,
    /// Whom it serves besides root.
    owner: Uid,
}

impl ControlSocket {
    /// Listens for requests, which wait until they are served.
    ///
    /// # Errors
    /// The host refuses, or somebody else has taken the name.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let socket = new_socket()?;
        bind(&socket, &address_of(getpid())?)?;
        listen(&socket, BACKLOG)?;
        Ok(Self { socket, owner: getuid() })
    }

    /// Serves requests for as long as vmm lives, on a thread of its own.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(crate) fn serve(self, kernel: Arc<Kernel>) -> anyhow::Result<()> {
        let serve = move || {
            let mut pause: Option<StopGuard<'_>> = None;
            loop {
                match accept_with(&self.socket, SocketFlags::CLOEXEC) {
                    Ok(peer) => {
                        if let Err(error) = self.serve_one(&peer, &kernel, &mut pause) {
                            log::info!("a request to pause or resume: {error:#}");
                        }
                    }
                    Err(Errno::INTR | Errno::CONNABORTED) => {}
                    Err(error) => {
                        log::warn!("the sandbox can no longer be paused or resumed: {error}");
                        return;
                    }
                }
            }
        };
        std::thread::Builder::new().name("control".into()).spawn(serve).context("start a thread")?;
        Ok(())
    }

    fn serve_one<'a>(
        &self,
        peer: &OwnedFd,
        kernel: &'a Kernel,
        pause: &mut Option<StopGuard<'a>>,
    ) -> anyhow::Result<()> {
        let caller = socket_peercred(peer)?;
        ensure!(
            caller.uid == self.owner || caller.uid == Uid::ROOT,
            "user {} may not do that",
            caller.uid.as_raw()
        );
        let patience = Timespec::try_from(PATIENCE)?;
        ensure!(
            poll(&mut [PollFd::new(peer, PollFlags::IN)], Some(&patience))? > 0,
            "the caller says nothing"
        );
        let answer: &[u8] = match (Request::from_word(&receive(peer)?), pause.is_some()) {
            (Some(Request::Pause), false) => {
                *pause = Some(kernel.tasks().stop_all());
                DONE
            }
            (Some(Request::Resume), true) => {
                *pause = None;
                DONE
            }
            (Some(Request::Pause), true) => b"it is paused already",
            (Some(Request::Resume), false) => b"it is not paused",
            (None, _) => b"it does not know the request",
        };
        send(peer, answer, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// Has the sandbox that process `pid` runs do what is asked, and returns once it has.
///
/// # Errors
/// There is no such sandbox, it belongs to somebody else, or it is paused, or running, already.
pub(crate) fn ask(pid: Pid, request: Request) -> anyhow::Result<()> {
    let number = pid.as_raw_nonzero();
    let socket = new_socket()?;
    connect(&socket, &address_of(pid)?).with_context(|| format!("process {number} runs no sandbox"))?;
    let listener = socket_peercred(&socket)?;
    ensure!(listener.pid == pid, "process {number} runs no sandbox");
    let refused = || format!("process {number} does not let you");
    send(&socket, request.word(), SendFlags::NOSIGNAL).with_context(refused)?;
    let answer = receive(&socket).with_context(refused)?;
    match answer.as_slice() {
        DONE => Ok(()),
        [] => bail!(refused()),
        reason => bail!("process {number}: {}", reason.escape_ascii()),
    }
}

fn new_socket() -> anyhow::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context("make a unix socket")
}

fn address_of(pid: Pid) -> anyhow::Result<SocketAddrUnix> {
    let name = format!("palisade-vmm-{}", pid.as_raw_nonzero());
    Ok(SocketAddrUnix::new_abstract_name(name.as_bytes())?)
}

fn receive(socket: impl AsFd) -> rustix::io::Result<Vec<u8>> {
    let mut packet = [0; MAX_PACKET_LEN];
    let (len, _) = rustix::io::retry_on_intr(|| recv(&socket, &mut packet[..], RecvFlags::empty()))?;
    Ok(packet[..len].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_words() {
        for request in [Request::Pause, Request::Resume] {
            assert_eq!(Request::from_word(request.word()), Some(request));
        }
        assert_eq!(Request::from_word(b"stop"), None);
    }

    #[test]
    fn a_process_without_a_sandbox_is_named() {
        let error = ask(getpid(), Request::Pause).unwrap_err();
        assert!(error.to_string().contains("runs no sandbox"), "{error}");
    }
}
