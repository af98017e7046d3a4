//! `vmm cp`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use anyhow::bail;
use vmm::Failure;
use vmm::control::Target;
use vmm::copy::{copy_in, copy_out};

use super::target::sandbox;

/// What is copied where.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct CpArguments {
    /// What is copied: a path on the host, or NAME:PATH in a sandbox
    #[arg(value_name = "SOURCE")]
    source: OsString,

    /// Where to: the other of the two; into it, if it is a directory
    #[arg(value_name = "TARGET")]
    target: OsString,
}

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Host(OsString),
    Sandbox(Target, Vec<u8>),
}

impl CpArguments {
    /// Copies.
    ///
    /// # Errors
    /// There is no such sandbox or file, or no room.
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        match (place(&self.source)?, place(&self.target)?) {
            (Place::Sandbox(target, path), Place::Host(host)) => copy_out(&target, &path, Path::new(&host))?,
            (Place::Host(host), Place::Sandbox(target, path)) => copy_in(&target, Path::new(&host), &path)?,
            _ => {
                return Err(
                    anyhow::anyhow!("one of the two has to be NAME:PATH, and the other a path").into()
                );
            }
        }
        Ok(0)
    }
}

/// What is before the first colon is a sandbox's name, unless a slash is ahead of it.
fn place(text: &OsStr) -> anyhow::Result<Place> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':');
    let Some((name, path)) =
        colon.map(|colon| bytes.split_at(colon)).filter(|(name, _)| !name.contains(&b'/'))
    else {
        return Ok(Place::Host(text.to_owned()));
    };
    let path = path.get(1..).unwrap_or_default();
    if !path.starts_with(b"/") {
        bail!("'{}' names no absolute path in the sandbox: use NAME:PATH", text.to_string_lossy());
    }
    let name = OsString::from_vec(name.to_vec());
    Ok(Place::Sandbox(sandbox(&name.to_string_lossy())?, path.to_vec()))
}

#[cfg(test)]
mod tests;
