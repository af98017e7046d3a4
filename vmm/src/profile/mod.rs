//! `--profile`, `vmm profile` and `vmm report`: a profile (see [`sentry::profile`]) in a file or on a terminal.
//!
//! The file's name says what it holds:
//!
//! | name | holds |
//! |---|---|
//! | `.json` | all of it, as [`Profile`] has it |
//! | `.txt` | tables ([`text`]) |
//! | `.html` | tables, histograms, flame graph and time line in one page that needs nothing else ([`html`]) |
//! | `.svg` | the flame graph ([`flame`]) |
//! | `.folded` | its stacks, for other tools |

mod client;
mod flame;
mod html;
mod html_time_line;
mod source;
#[cfg(test)]
mod tests;
mod text;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rustix::fs::{Mode, OFlags};
use sentry::profile::data::{Profile, SCHEMA};

pub use client::profile;
pub(crate) use source::{OwnProgram, ProfileSource};

/// The longest profile that is read.
const MAX_PROFILE_LEN: u64 = 1 << 30;

/// What a profile becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The data.
    Json,
    /// Tables.
    Text,
    /// A page.
    Html,
    /// The flame graph.
    Svg,
    /// Its stacks.
    Folded,
}

impl Format {
    /// What the name of `file` says.
    ///
    /// # Errors
    /// It says nothing.
    pub fn of(file: &Path) -> anyhow::Result<Self> {
        Ok(match file.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Self::Json,
            Some("txt") => Self::Text,
            Some("html") => Self::Html,
            Some("svg") => Self::Svg,
            Some("folded") => Self::Folded,
            _ => bail!("{}: name it .json, .txt, .html, .svg or .folded", file.display()),
        })
    }

    /// The bytes of `profile`.
    ///
    /// # Errors
    /// The flame graph cannot be drawn.
    pub fn render(self, profile: &Profile) -> anyhow::Result<Vec<u8>> {
        Ok(match self {
            Self::Json => serde_json::to_vec(profile)?,
            Self::Text => text::render(profile).into_bytes(),
            Self::Html => html::render(profile)?.into_bytes(),
            Self::Svg => flame::picture(profile)?,
            Self::Folded => flame::folded(profile).into_bytes(),
        })
    }
}

/// What is asked of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where the profile goes; absolute.
    pub file: PathBuf,
    /// How often stacks are sampled a second.
    pub hz: u32,
}

/// A file for a profile, opened before the jail is entered.
#[derive(Debug)]
pub struct ProfileFile {
    path: PathBuf,
    format: Format,
    file: File,
}

impl ProfileFile {
    /// Opens or makes the file at `path`. What it holds stays until there is a profile.
    ///
    /// # Errors
    /// It cannot be made, or its name says not what it is to hold.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let format = Format::of(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o666));
        let file = file.with_context(|| path.display().to_string())?.into();
        Ok(Self { path: path.to_owned(), format, file })
    }

    /// Writes `profile`, whole or not at all.
    ///
    /// # Errors
    /// There is no room.
    pub fn write(mut self, profile: &Profile) -> anyhow::Result<()> {
        let bytes = self.format.render(profile).with_context(|| self.path.display().to_string())?;
        // What is no regular file has no length to cut.
        let _ = self.file.set_len(0);
        let written = self.file.write_all(&bytes);
        if written.is_err() {
            let _ = self.file.set_len(0);
        }
        written.with_context(|| format!("{}: the profile cannot be written", self.path.display()))
    }
}

/// Reads the profile in the file at `path`, or from standard input if that is `-`.
///
/// # Errors
/// It is none, or of another schema.
pub fn read(path: &Path) -> anyhow::Result<Profile> {
    let shown = || path.display().to_string();
    match path.as_os_str() == "-" {
        true => parse(std::io::stdin().lock()).with_context(|| "standard input".to_owned()),
        false => parse(File::open(path).with_context(shown)?).with_context(shown),
    }
}

/// Reads a profile.
///
/// # Errors
/// It is none, or of another schema.
pub(crate) fn parse(reader: impl Read) -> anyhow::Result<Profile> {
    let mut bytes = Vec::new();
    reader.take(MAX_PROFILE_LEN).read_to_end(&mut bytes)?;
    let profile: Profile = serde_json::from_slice(&bytes).context("it is no profile")?;
    ensure!(profile.schema == SCHEMA, "it is of schema {}, and not {SCHEMA}", profile.schema);
    Ok(profile)
}

/// A time for people: three digits, and its unit.
fn shown_time(time_ns: u64) -> String {
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns")];
    let (unit, name) = units.into_iter().find(|(unit, _)| time_ns >= *unit).unwrap_or((1, "ns"));
    let value = time_ns as f64 / unit as f64;
    match (unit, value) {
        (1, _) => format!("{time_ns} ns"),
        (_, value) if value < 9.995 => format!("{value:.2} {name}"),
        (_, value) if value < 99.95 => format!("{value:.1} {name}"),
        (_, value) => format!("{value:.0} {name}"),
    }
}

/// A number of bytes for people.
fn shown_bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}
