//! Which sandbox is meant, and where it listens.

use std::fmt;
use std::os::fd::OwnedFd;

use anyhow::Context;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, UCred, bind, connect, listen, socket_with,
};
use rustix::process::{Pid, getuid};

/// What the names of sockets begin with that are named after a process.
pub(super) const PROCESS_PREFIX: &str = "palisade-vmm-";

/// Callers that wait to be accepted.
const BACKLOG: i32 = 128;

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
            Self::Process(pid) => format!("{PROCESS_PREFIX}{}", pid.as_raw_nonzero()),
            Self::Container(name) => format!("palisade-container-{}-{name}", getuid().as_raw()),
        };
        Ok(SocketAddrUnix::new_abstract_name(name.as_bytes())?)
    }

    /// Whether the listener at the address is not somebody who has taken it from whom it is meant for.
    pub(super) fn is(&self, listener: &UCred) -> bool {
        match self {
            Self::Process(pid) => listener.pid == *pid,
            Self::Container(_) => listener.uid == getuid(),
        }
    }

    /// Listens in its place.
    ///
    /// # Errors
    /// The address is taken, or the host refuses.
    pub(super) fn listen(&self) -> anyhow::Result<OwnedFd> {
        let socket = new_socket()?;
        bind(&socket, &self.address()?)?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    }

    /// Calls it.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(super) fn connect(&self) -> anyhow::Result<OwnedFd> {
        let socket = new_socket()?;
        connect(&socket, &self.address()?).with_context(|| format!("{self} runs no sandbox"))?;
        Ok(socket)
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

fn new_socket() -> anyhow::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .context("make a unix socket")
}
