//! What is kept of sandboxes that run on their own: a directory each, below the caller's state directory.
//!
//! | file | holds |
//! |---|---|
//! | `about.json` | what the sandbox is |
//! | `log`, `log.1` | what it has written, and the older half of that |
//! | `end.json` | how it ended, once it has |
//! | `lock` | nothing: locked for as long as somebody keeps the rest |
//!
//! A directory appears when it is complete, by a rename that replaces nothing; so two sandboxes never have one name.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Below the state directory.
const PLACE: &str = "palisade/sandboxes";

/// All records of the caller.
#[derive(Clone, Debug)]
pub struct Records {
    directory: PathBuf,
}

/// What a kept sandbox is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What `--name` said, or the id.
    pub name: String,
    /// The image, as it was named.
    pub image: String,
    /// The first program and its arguments.
    pub command: Vec<String>,
    /// When it was started, in seconds since 1970.
    pub started_at: u64,
}

/// How a kept sandbox ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its exit status.
    pub status: u8,
    /// When, in seconds since 1970.
    pub ended_at: u64,
}

/// The record of one sandbox.
#[derive(Clone, Debug)]
pub struct Record {
    path: PathBuf,
}

/// Who holds it keeps the record.
#[derive(Debug)]
pub struct Keeping(#[expect(dead_code, reason = "it is held")] OwnedFd);

impl Records {
    /// Those of the caller: in `$XDG_STATE_HOME/palisade/sandboxes`, or below `~/.local/state`.
    ///
    /// # Errors
    /// The caller has no home.
    pub fn of_caller() -> anyhow::Result<Self> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        let state = state.context("neither XDG_STATE_HOME nor HOME says where records are kept")?;
        Ok(Self { directory: state.join(PLACE) })
    }

    /// Makes a record, which the caller keeps.
    ///
    /// # Errors
    /// There is one of that name, or it cannot be written.
    pub fn create(&self, kept: &Kept) -> anyhow::Result<(Record, Keeping)> {
        let shown = || self.directory.display().to_string();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).with_context(shown)?;
        let temporary =
            tempfile::Builder::new().prefix(".new-").tempdir_in(&self.directory).with_context(shown)?;
        let lock = File::create(temporary.path().join("lock")).with_context(shown)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).with_context(shown)?;
        write(&temporary.path().join("about.json"), kept)?;
        let path = self.directory.join(&kept.name);
        match renameat_with(CWD, temporary.path(), CWD, &path, RenameFlags::NOREPLACE) {
            Ok(()) => {
                // It is no longer where it would be removed.
                let _ = temporary.keep();
                Ok((Record { path }, Keeping(lock.into())))
            }
            Err(Errno::EXIST) => {
                bail!(
                    "--name {0}: there is a sandbox of that name; one that has ended is removed by `vmm rm {0}`",
                    kept.name
                )
            }
            Err(error) => Err(error).with_context(shown),
        }
    }

    /// The record of that name, if there is one.
    pub fn find(&self, name: &str) -> Option<Record> {
        let path = self.directory.join(name);
        path.join("about.json").exists().then_some(Record { path })
    }

    /// All records, those that were started first before the others.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn all(&self) -> anyhow::Result<Vec<(Record, Kept)>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| self.directory.display().to_string())?,
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let records = names.filter(|name| !name.starts_with('.')).filter_map(|name| self.find(&name));
        // One that is being removed has nothing to tell.
        let mut all: Vec<_> =
            records.filter_map(|record| Some((record.clone(), record.kept().ok()?))).collect();
        all.sort_by(|(_, a), (_, b)| (a.started_at, &a.name).cmp(&(b.started_at, &b.name)));
        Ok(all)
    }
}

impl Record {
    /// What the sandbox is.
    ///
    /// # Errors
    /// The record is broken.
    pub fn kept(&self) -> anyhow::Result<Kept> {
        read(&self.path.join("about.json"))
    }

    /// How it ended; `None` as long as nobody knows.
    pub fn end(&self) -> Option<End> {
        read(&self.path.join("end.json")).ok()
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether somebody keeps it.
    pub fn is_kept(&self) -> bool {
        let lock = File::open(self.path.join("lock"));
        lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
    }

    /// Waits until nobody keeps it, and returns how it ended.
    ///
    /// # Errors
    /// The record is gone, or nobody has seen the end.
    pub fn wait(&self) -> anyhow::Result<End> {
        if let Ok(lock) = File::open(self.path.join("lock")) {
            rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockShared))?;
        }
        // The one whose lock it was may have removed it.
        self.end().context("nobody has seen how it ended")
    }

    /// Writes down how it ended.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn set_end(&self, status: u8) -> anyhow::Result<()> {
        let ended_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
        serde_json::to_writer(&mut file, &End { status, ended_at })?;
        file.persist(self.path.join("end.json"))?;
        Ok(())
    }

    /// Removes the record of a sandbox that has ended.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self) -> anyhow::Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // From one moment to the next it is nobody's.
        let gone = self.path.with_file_name(format!(".gone-{}-{name}", std::process::id()));
        fs::rename(&self.path, &gone).and_then(|()| fs::remove_dir_all(&gone)).with_context(|| name)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let shown = || path.display().to_string();
    serde_json::from_slice(&fs::read(path).with_context(shown)?).with_context(shown)
}

fn write(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    fs::write(path, serde_json::to_vec(value)?).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests;
