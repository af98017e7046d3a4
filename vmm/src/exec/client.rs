//! The caller's side: passes its streams and signals on, and waits for the status.

use std::os::fd::AsFd;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use sentry::boot::Joining;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;

use super::client_streams::{ClientStreams, StreamChoice, size_of};
use crate::control::{Call, During, Execution, Reply, Request, Target};
use crate::failure::Failure;

/// Runs `program` in the sandbox, and returns the status to exit with.
///
/// # Errors
/// There is no such sandbox, or what keeps the program from running in it.
pub fn execute(target: &Target, program: Joining, choice: StreamChoice) -> Result<u8, Failure> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH])
        .context("catch signals")?;
    let (mut client, streams) = ClientStreams::new(choice)?;
    let request = Request::Execute(Execution { program, streams });
    let descriptors: Vec<_> = client.descriptors.iter().map(AsFd::as_fd).collect();
    let call = Arc::new(Call::begin(target.clone(), &request, &descriptors)?);
    match call.first()? {
        Reply::Started => {}
        Reply::Failed { status, reason } => return Err(Failure { status, error: anyhow!(reason) }),
        other => return Err(anyhow!("{target} answers {other:?}").into()),
    }
    client.begin();
    let (caller, window) = (call.clone(), client.window());
    let pass_on = move || {
        for signal in &mut signals {
            let during = match signal {
                SIGWINCH => window.as_ref().and_then(size_of).map(During::Resize),
                _ => Some(During::Signal(signal)),
            };
            // A sandbox that has hung up says so below.
            let _ = during.map(|during| caller.say(during));
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(pass_on).context("start a thread")?;
    let status = wait_for_end(&call, target);
    client.finish();
    status
}

fn wait_for_end(call: &Call, target: &Target) -> Result<u8, Failure> {
    loop {
        match call.next()? {
            Some(Reply::Ended { status }) => return Ok(status),
            Some(_) => {}
            None => return Err(anyhow!("{target} has ended").into()),
        }
    }
}
