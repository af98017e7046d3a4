//! `vmm profile`: the caller's side.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::bail;
use rustix::pipe::{PipeFlags, pipe_with};
use sentry::profile::data::Profile;

use super::parse;
use crate::control::{Call, Reply, Request, Target};

/// Profiles `target` for as long as `time`, or until it ends.
///
/// # Errors
/// There is no such sandbox, it belongs to somebody else, or is profiled already.
pub fn profile(target: &Target, time: Duration, hz: u32) -> anyhow::Result<Profile> {
    let (received, sent) = pipe_with(PipeFlags::CLOEXEC)?;
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let call = Call::begin(target.clone(), &Request::Profile { milliseconds, hz }, &[sent.as_fd()])?;
    drop(sent);
    let profile = parse(File::from(received));
    match call.next()? {
        Some(Reply::Done) => profile,
        Some(other) => bail!("the sandbox answers {other:?}"),
        None => bail!("the sandbox has ended"),
    }
}
