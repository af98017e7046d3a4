//! `vmm exec`.

use std::ffi::OsString;
use std::path::PathBuf;

use sentry::boot::Joining;
use vmm::Failure;
use vmm::control::Target;
use vmm::exec::{StreamChoice, execute};

use super::environment::{changes, variables_of_files};
use super::stream_arguments::StreamArguments;
use super::target::sandbox;
use super::user::{UserChoice, user};

/// What is run beside the first program of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct ExecArguments {
    #[command(flatten)]
    streams: StreamArguments,

    /// Set environment variables from a file: NAME=VALUE or NAME a line, as for --env, which wins; `#` begins a comment
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// Set an environment variable; without =VALUE, pass on your own
    #[arg(long, short = 'e', value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,

    /// The command's working directory [default: the first program's]
    #[arg(long, short = 'w', value_name = "DIRECTORY")]
    workdir: Option<OsString>,

    /// Run as this user and group, by number or by name in the sandbox's passwd and group [default: the first program's]
    #[arg(long, short = 'u', value_name = "USER[:GROUP]", value_parser = user)]
    user: Option<UserChoice>,

    /// The process number of the vmm that runs the sandbox, or the name that you gave it with --name
    #[arg(value_name = "PID|NAME", value_parser = sandbox)]
    sandbox: Target,

    /// The command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, required = true)]
    command: Vec<OsString>,
}

impl ExecArguments {
    /// Runs the command, and returns its status.
    ///
    /// # Errors
    /// What keeps it from running.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        let choice = StreamChoice {
            has_terminal: self.streams.has_terminal(true),
            has_input: self.streams.has_input(self.streams.is_on_terminal_by_itself()),
        };
        let terminal = choice.has_terminal.then(|| OsString::from("TERM"));
        let requested = terminal.into_iter().chain(variables_of_files(&self.env_file)?).chain(self.env);
        let program = Joining {
            command: self.command.into_iter().map(Into::into).collect(),
            environment: changes(requested)?.into_iter().map(Into::into).collect(),
            working_directory: self.workdir.map(Into::into),
            user: self.user.map(|user| match user {
                UserChoice::Named(name) => name,
                UserChoice::Numbers(user) => format!("{}:{}", user.uid, user.gid),
            }),
        };
        execute(&self.sandbox, program, choice)
    }
}
