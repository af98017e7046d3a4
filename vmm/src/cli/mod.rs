//! The command line: options and subcommands, a file each.

mod control;
mod cp;
mod detached;
mod environment;
mod exec;
mod images;
mod limit_arguments;
mod logs;
mod man;
mod mount_arguments;
mod network_arguments;
mod output;
mod profile;
mod ps;
mod run;
mod signal_name;
mod size;
mod stats;
mod stream_arguments;
mod target;
mod user;
mod wait;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use vmm::{Failure, doctor};

use self::control::{KillArguments, TargetArguments};
use self::cp::CpArguments;
use self::exec::ExecArguments;
use self::logs::LogsArguments;
use self::man::ManArguments;
use self::output::print_bytes;
use self::profile::{ProfileArguments, ReportArguments};
use self::ps::PsArguments;
use self::run::RunArguments;
use self::stats::StatsArguments;
use self::wait::{RmArguments, WaitArguments};

const EXAMPLES: &str = "\
Examples:
  vmm -- sh -c 'echo hello from $(uname -s)'    a shell on the host's own files, which stay as they are
  vmm --image ./rootfs -- make test             tests on a root file system in a directory
  vmm --image ./hello                           a single static executable in an empty root
  vmm --image app.tar.gz                        an image that `docker save` has written, as it says that it is to be run
  vmm --image app:1 --diff d -- pip install x   what this changes, as a layer; then: vmm images commit app:1 d app:2
  vmm doctor                                    what this host offers, and what is missing
  vmm -d --name web --image app.tar             the same, on its own; then: vmm exec web -- sh; vmm logs -f web
  vmm pause 4711; vmm resume 4711               have the sandbox of process 4711 stand still and go on
  vmm --allow pypi.org:443 -- pip download x    with the network as far as it is allowed, else with none
  vmm --profile p.html -- make                  where the time goes, as a page; vmm profile web --for 10s of one that runs
  vmm --memory 512M --strace -- python3 x.py    with a memory limit, and every system call on standard error

Exit status: the program's own; 128+N if signal N killed it; 125 if vmm itself failed, 126 if COMMAND cannot
be executed, 127 if it is not found; 124 if the --timeout has passed.";

/// Run a Linux program inside a KVM microVM that has no guest kernel.
///
/// The program's system calls are served by the sentry, a Linux kernel in user space. The image is never written:
/// what the program changes lives in memory and ends with it.
#[derive(Debug, Parser)]
#[command(name = "vmm", version, after_help = EXAMPLES, max_term_width = 110)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: RunArguments,

    /// How much vmm says of itself on standard error: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    pub(crate) log: log::LevelFilter,

    #[command(subcommand)]
    subcommand: Option<Subcommand>,
}

/// What vmm does instead of running a program. After `--` or an option, the same words name programs.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
enum Subcommand {
    /// Tell what this host offers, what is missing and how to get it
    Doctor {
        /// Judge the host as for a run with this option
        #[arg(long)]
        insecure_no_landlock: bool,
    },

    /// Tell what images are unpacked, and manage them
    Images(images::Arguments),

    /// Print what completes vmm's options in a shell
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Print a manual page, for man(1)
    Man(ManArguments),

    /// Have every task of a running sandbox stand still, and return once all do
    ///
    /// Only the sandbox's own user and root may pause it. Inside, nothing but the time that passes
    /// is noticed: timers that are due meanwhile expire afterwards, and signals wait, those sent to the vmm included.
    Pause(TargetArguments),

    /// Send a signal to the first processes of running sandboxes
    Kill(KillArguments),

    /// Let a paused sandbox go on
    Resume(TargetArguments),

    /// Run a command in a running sandbox, beside its first process and where that is
    ///
    /// Its exit status is the command's. Signals to vmm reach the command. Standard input is the command's with --interactive, or at a terminal.
    Exec(ExecArguments),

    /// Copy a file or tree between a running sandbox and the host: whole or not at all
    Cp(CpArguments),

    /// Tell which of your sandboxes run
    Ps(PsArguments),

    /// Show what a detached sandbox has written
    Logs(LogsArguments),

    /// Wait for sandboxes to end, and print their exit statuses
    Wait(WaitArguments),

    /// Remove what is kept of detached sandboxes that have ended
    Rm(RmArguments),

    /// Tell what running sandboxes use
    Stats(StatsArguments),

    /// Record where the time of a running sandbox goes
    ///
    /// As --profile does for a whole run: what the sandbox does meanwhile is recorded, and nothing else of it changes.
    Profile(ProfileArguments),

    /// Show a profile that --profile FILE.json has written
    Report(ReportArguments),
}

impl Arguments {
    /// What completes the command line in `shell`.
    fn completions(shell: Shell) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "vmm", &mut script);
        script
    }

    /// Does what is asked, and returns the status to exit with.
    ///
    /// # Errors
    /// What keeps it from being done.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        match self.subcommand {
            None => self.run.run(),
            Some(Subcommand::Doctor { insecure_no_landlock }) => doctor::run(!insecure_no_landlock),
            Some(Subcommand::Pause(arguments)) => arguments.pause(),
            Some(Subcommand::Kill(arguments)) => arguments.run(),
            Some(Subcommand::Resume(arguments)) => arguments.resume(),
            Some(Subcommand::Exec(arguments)) => arguments.run(),
            Some(Subcommand::Cp(arguments)) => arguments.run(),
            Some(Subcommand::Ps(arguments)) => arguments.run(),
            Some(Subcommand::Logs(arguments)) => arguments.run(),
            Some(Subcommand::Wait(arguments)) => arguments.run(),
            Some(Subcommand::Rm(arguments)) => arguments.run(),
            Some(Subcommand::Stats(arguments)) => arguments.run(),
            Some(Subcommand::Profile(arguments)) => arguments.run(),
            Some(Subcommand::Report(arguments)) => arguments.run(),
            Some(Subcommand::Images(arguments)) => images::run(arguments).map(|()| 0).map_err(Failure::from),
            Some(Subcommand::Completions { shell }) => print_bytes(&Self::completions(shell)),
            Some(Subcommand::Man(arguments)) => arguments.run(Self::command()),
        }
    }
}

#[cfg(test)]
mod tests;
