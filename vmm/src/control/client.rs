//! The caller's side.

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Context, anyhow, bail, ensure};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Uid, geteuid};
use rustix::thread::set_thread_res_uid;

use super::channel::Channel;
use super::known::known_to_run;
use super::message::{About, During, Reply, Request, Statistics};
use super::target::Target;

/// A sandbox that has been called.
pub(crate) struct Call {
    target: Target,
    channel: Channel,
}

impl Call {
    /// Calls `target`, and says what is wanted.
    ///
    /// # Errors
    /// There is no such sandbox: the error says which there are. Or it belongs to somebody else.
    pub(crate) fn begin(
        target: Target,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> anyhow::Result<Self> {
        let shown = target.to_string();
        Self::try_begin(target, request, descriptors).map_err(|error| match error.downcast_ref() {
            Some(&Errno::CONNREFUSED) => anyhow!("{shown} runs no sandbox; {}", known_to_run()),
            _ => error,
        })
    }

    /// The same, for who knows which sandboxes there are.
    ///
    /// # Errors
    /// ECONNREFUSED: there is no such sandbox. Or it belongs to somebody else.
    pub(super) fn try_begin(
        target: Target,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> anyhow::Result<Self> {
        let mut socket = target.connect()?;
        let listener = socket_peercred(&socket)?;
        ensure!(target.is(&listener), "{target} runs no sandbox");
        if geteuid().is_root() && !listener.uid.is_root() {
            // One in a user namespace of its own is not told who root is.
            socket = connect_as(&target, listener.uid)?;
        }
        let channel = Channel::new(socket);
        channel.send(request, descriptors).with_context(|| format!("{target} does not let you"))?;
        Ok(Self { target, channel })
    }

    /// What it answers next; `None` once it has hung up.
    ///
    /// # Errors
    /// It refuses what was asked, or does not speak the same language.
    pub(crate) fn next(&self) -> anyhow::Result<Option<Reply>> {
        match self.channel.receive(None) {
            Ok(Some((Reply::Refused(reason), _))) => bail!("{}: {reason}", self.target),
            Ok(reply) => Ok(reply.map(|(reply, _)| reply)),
            Err(error) => Err(error.context(self.target.to_string())),
        }
    }

    /// Says something while a program runs.
    ///
    /// # Errors
    /// It has hung up.
    pub(crate) fn say(&self, during: During) -> anyhow::Result<()> {
        self.channel.send(&during, &[])
    }

    /// The first answer.
    ///
    /// # Errors
    /// As [`Call::next`], and it hangs up instead.
    pub(crate) fn first(&self) -> anyhow::Result<Reply> {
        let refused = || format!("{} does not let you", self.target);
        match self.next() {
            Err(error) if error.downcast_ref::<rustix::io::Errno>().is_some() => bail!(refused()),
            answer => answer?.with_context(refused),
        }
    }
}

/// Connects root as `user`, as whom it does nothing else: what it reads and writes besides is its own.
fn connect_as(target: &Target, user: Uid) -> anyhow::Result<OwnedFd> {
    let act_for = |uid: Uid| set_thread_res_uid(None, uid, None);
    act_for(user).context("act for its user")?;
    let socket = target.connect();
    act_for(Uid::ROOT).context("act for its user no more")?;
    socket
}

/// What the sandbox is.
///
/// # Errors
/// As for [`ask`], but without a word of those that there are.
pub fn about(target: &Target) -> anyhow::Result<About> {
    match Call::try_begin(target.clone(), &Request::Describe, &[])?.first()? {
        Reply::Description(about) => Ok(about),
        other => bail!("{target} answers {other:?}"),
    }
}

/// What the sandbox uses.
///
/// # Errors
/// As for [`ask`].
pub fn statistics(target: &Target) -> anyhow::Result<Statistics> {
    match Call::begin(target.clone(), &Request::Statistics, &[])?.first()? {
        Reply::Statistics(statistics) => Ok(statistics),
        other => bail!("{target} answers {other:?}"),
    }
}

/// Waits for the end of the sandbox, and returns its status.
///
/// # Errors
/// As for [`ask`], and it ends without a word.
pub fn wait(target: &Target) -> anyhow::Result<u8> {
    match Call::begin(target.clone(), &Request::Wait, &[])?.first()? {
        Reply::Ended { status } => Ok(status),
        other => bail!("{target} answers {other:?}"),
    }
}

/// Has a sandbox do what is asked, and returns once it has.
///
/// # Errors
/// There is no such sandbox, it belongs to somebody else, or it is paused, or running, already.
pub fn ask(target: &Target, request: &Request) -> anyhow::Result<()> {
    match Call::begin(target.clone(), request, &[])?.first()? {
        Reply::Done => Ok(()),
        other => bail!("{target} answers {other:?}"),
    }
}
