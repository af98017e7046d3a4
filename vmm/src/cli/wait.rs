//! `vmm wait` and `vmm rm`.

use sentry::signal::Signal;
use serde::Serialize;
use vmm::Failure;
use vmm::control::{self, Request, Target};
use vmm::records::Records;

use super::output::print;
use super::target::{container_name, no_record, sandbox};

/// Whose end is waited for.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct WaitArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// The process numbers of the vmm that run the sandboxes, or their names
    #[arg(value_name = "PID|NAME", value_parser = sandbox, required = true)]
    sandboxes: Vec<Target>,
}

/// How a sandbox has ended.
#[derive(Serialize)]
struct Ended {
    sandbox: String,
    exit_status: u8,
}

impl WaitArguments {
    /// Waits for each, and prints its exit status.
    ///
    /// # Errors
    /// There is no such sandbox, or nobody has seen its end.
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let mut ended = Vec::new();
        for target in &self.sandboxes {
            let sandbox = match target {
                Target::Container(name) => name.clone(),
                Target::Process(pid) => pid.as_raw_nonzero().to_string(),
            };
            ended.push(Ended { sandbox, exit_status: wait(target)? });
        }
        print(self.json, &ended, |ended| {
            ended.iter().map(|ended| format!("{}\n", ended.exit_status)).collect()
        })
    }
}

fn wait(target: &Target) -> anyhow::Result<u8> {
    let record = match target {
        Target::Container(name) => Records::of_caller().ok().and_then(|records| records.find(name)),
        Target::Process(_) => None,
    };
    match record {
        Some(record) => {
            // One that keeps nothing tells its status while it ends.
            let told = control::wait(target);
            record.wait().map(|end| end.status).or(told)
        }
        None => control::wait(target),
    }
}

/// Whose record is removed.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct RmArguments {
    /// Kill the sandbox first, if it runs
    #[arg(long, short = 'f')]
    force: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Names of detached sandboxes
    #[arg(value_name = "NAME", value_parser = container_name, required = true)]
    names: Vec<String>,
}

impl RmArguments {
    /// Removes them, and prints their names.
    ///
    /// # Errors
    /// There is no such sandbox, or it runs.
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let records = Records::of_caller()?;
        let mut removed: Vec<&String> = Vec::new();
        for name in &self.names {
            self.remove(&records, name)?;
            removed.push(name);
        }
        print(self.json, &removed, |names| names.iter().map(|name| format!("{name}\n")).collect())
    }

    fn remove(&self, records: &Records, name: &str) -> anyhow::Result<()> {
        let record = records.find(name);
        let Some(record) = record else { anyhow::bail!(no_record(records, name)) };
        if record.is_kept() {
            anyhow::ensure!(self.force, "{name} runs: end it with `vmm kill`, or use --force");
            // It may end by itself meanwhile.
            let signal = Signal::SIGKILL.number().into();
            let killed = control::ask(&Target::Container(name.to_owned()), &Request::Kill { signal });
            if record.is_kept() {
                killed?;
            }
            let _ = record.wait();
        }
        // One that keeps nothing is gone by itself.
        if records.find(name).is_some() { record.remove() } else { Ok(()) }
    }
}
