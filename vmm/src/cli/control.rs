//! `vmm pause`, `vmm resume` and `vmm kill`.

use sentry::signal::Signal;
use vmm::Failure;
use vmm::control::{self, Request, Target};

use super::output::print;
use super::signal_name;
use super::target::sandbox;

/// The sandbox that is to stand still, or to go on.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct TargetArguments {
    /// The process number of the vmm that runs the sandbox, or the name that you gave it with --name
    #[arg(value_name = "PID|NAME", value_parser = sandbox)]
    pub(crate) sandbox: Target,
}

/// Who gets which signal.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct KillArguments {
    /// The signal, by name or number
    #[arg(long, short = 's', value_name = "SIGNAL", default_value = "KILL", value_parser = signal_name::parse)]
    signal: Signal,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// The process numbers of the vmm that run the sandboxes, or the names that you gave them with --name
    #[arg(value_name = "PID|NAME", value_parser = sandbox, required = true)]
    sandboxes: Vec<Target>,
}

impl TargetArguments {
    /// Has the sandbox stand still.
    pub(crate) fn pause(&self) -> Result<u8, Failure> {
        ask(&self.sandbox, Request::Pause)
    }

    /// Lets the sandbox go on.
    pub(crate) fn resume(&self) -> Result<u8, Failure> {
        ask(&self.sandbox, Request::Resume)
    }
}

impl KillArguments {
    /// Sends the signal.
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let signal = self.signal.number().into();
        for sandbox in &self.sandboxes {
            ask(sandbox, Request::Kill { signal })?;
        }
        match self.json {
            true => {
                let names: Vec<_> = self.sandboxes.iter().map(ToString::to_string).collect();
                print(true, &names, |_| String::new())
            }
            false => Ok(0),
        }
    }
}

fn ask(sandbox: &Target, request: Request) -> Result<u8, Failure> {
    control::ask(sandbox, &request)?;
    Ok(0)
}
