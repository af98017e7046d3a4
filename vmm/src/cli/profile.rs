//! `vmm profile` and `vmm report`.

use std::path::PathBuf;
use std::time::Duration;

use vmm::Failure;
use vmm::control::Target;
use vmm::profile::{self, Format, ProfileFile, Wanted};

use super::limit_arguments::duration;
use super::output::print_bytes;
use super::target::sandbox;

/// How often stacks are sampled a second, at most.
const MAX_HZ: i64 = 10_000;

/// The options of a run that is profiled.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct ProfileOptions {
    /// Write where the time went: system calls, exits, tasks, a time line, a flame graph of guest and sentry
    ///
    /// FILE's name says as what: .json (all of it; see `vmm report`), .txt (tables), .html (a page that stands alone), .svg (the flame graph)
    /// or .folded (its stacks).
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,

    /// How often stacks are sampled a second
    #[arg(long, value_name = "HZ", default_value = "1000", requires = "profile", value_parser = clap::value_parser!(u32).range(1..=MAX_HZ))]
    profile_hz: u32,
}

/// Which sandbox is profiled, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct ProfileArguments {
    /// For how long: 10s, 2m, 500ms
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = duration)]
    time: Duration,

    /// How often stacks are sampled a second
    #[arg(long, value_name = "HZ", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=MAX_HZ))]
    hz: u32,

    /// The process number of the vmm that runs the sandbox, or the name that you gave it with --name
    #[arg(value_name = "PID|NAME", value_parser = sandbox)]
    sandbox: Target,

    /// Where the profile goes, by its name as for --profile; tables to standard output if left out
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Which profile is shown, and as what.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct ReportArguments {
    /// The profile, as --profile FILE.json wrote it; `-` for standard input
    #[arg(value_name = "FILE.json")]
    profile: PathBuf,

    /// What it becomes, by its name as for --profile; tables on standard output if left out
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl ProfileOptions {
    /// What is wanted of the run.
    ///
    /// # Errors
    /// The file's name does not say what it is to hold.
    pub(crate) fn wanted(&self) -> anyhow::Result<Option<Wanted>> {
        let Some(file) = &self.profile else { return Ok(None) };
        Format::of(file)?;
        Ok(Some(Wanted { file: std::path::absolute(file)?, hz: self.profile_hz }))
    }
}

impl ProfileArguments {
    /// Profiles the sandbox.
    ///
    /// # Errors
    /// There is no such sandbox, or the file cannot be written.
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let file = self.file.as_deref().map(ProfileFile::open).transpose()?;
        let profile = profile::profile(&self.sandbox, self.time, self.hz)?;
        show(file, &profile)
    }
}

impl ReportArguments {
    /// Shows the profile.
    ///
    /// # Errors
    /// It is none, or the file cannot be written.
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let profile = profile::read(&self.profile)?;
        show(self.file.as_deref().map(ProfileFile::open).transpose()?, &profile)
    }
}

fn show(file: Option<ProfileFile>, profile: &sentry::profile::data::Profile) -> Result<u8, Failure> {
    match file {
        Some(file) => {
            file.write(profile)?;
            Ok(0)
        }
        None => print_bytes(&Format::Text.render(profile)?),
    }
}
