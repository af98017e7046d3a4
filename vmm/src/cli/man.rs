//! `vmm man`: manual pages, one for vmm and one for each subcommand.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Command;
use clap_mangen::Man;
use vmm::Failure;

use super::output::print_bytes;

/// Which page is wanted.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct ManArguments {
    /// Write all pages into this directory, as man(1) finds them: vmm.1, vmm-exec.1 and so on
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "subcommand")]
    all: Option<PathBuf>,

    /// The subcommand that it is about, as `images commit`; vmm itself if left out
    #[arg(value_name = "SUBCOMMAND")]
    subcommand: Vec<String>,
}

impl ManArguments {
    /// Prints the page of a subcommand of `vmm`, or writes all.
    ///
    /// # Errors
    /// There is no such subcommand, or the pages cannot be written.
    pub(crate) fn run(&self, vmm: Command) -> Result<u8, Failure> {
        match &self.all {
            Some(directory) => Ok(write_all(vmm, directory).map(|()| 0)?),
            None => print_bytes(&page(vmm, &self.subcommand)?),
        }
    }
}

fn write_all(vmm: Command, directory: &Path) -> anyhow::Result<()> {
    let shown = || directory.display().to_string();
    std::fs::create_dir_all(directory).with_context(shown)?;
    clap_mangen::generate_to(vmm, directory).with_context(shown)
}

/// The page of a subcommand.
///
/// # Errors
/// There is no such subcommand.
pub(super) fn page(mut vmm: Command, subcommand: &[String]) -> anyhow::Result<Vec<u8>> {
    vmm.build();
    let mut command = &vmm;
    for name in subcommand {
        command = command.find_subcommand(name).with_context(|| {
            let known: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
            format!(
                "'{}' is no subcommand of {}: there are {}",
                name.escape_debug(),
                command,
                known.join(", ")
            )
        })?;
    }
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
