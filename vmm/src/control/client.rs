//! The caller's side.

use std::os::fd::BorrowedFd;

use anyhow::{Context, bail, ensure};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use rustix::thread::set_thread_res_uid;

use super::channel::Channel;
use super::message::{Reply, Request};
use super::target::Target;

/// A sandbox that has been called.
pub(crate) struct Call<'a> {
    target: &'a Target,
    channel: Channel,
}

impl<'a> Call<'a> {
    /// Calls `target`, and says what is wanted.
    ///
    /// # Errors
    /// There is no such sandbox, or it belongs to somebody else.
    pub(crate) fn begin(
        target: &'a Target,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> anyhow::Result<Self> {
        let mut socket = target.connect()?;
        let listener = socket_peercred(&socket)?;
        ensure!(target.is(&listener), "{target} runs no sandbox");
        if geteuid().is_root() && !listener.uid.is_root() {
            // One in a user namespace of its own is not told who root is.
            set_thread_res_uid(None, listener.uid, None).context("act for its user")?;
            socket = target.connect()?;
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

/// Has a sandbox do what is asked, and returns once it has.
///
/// # Errors
/// There is no such sandbox, it belongs to somebody else, or it is paused, or running, already.
pub fn ask(target: &Target, request: &Request) -> anyhow::Result<()> {
    match Call::begin(target, request, &[])?.first()? {
        Reply::Done => Ok(()),
        other => bail!("{target} answers {other:?}"),
    }
}
