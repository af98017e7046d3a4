//! A file of the store that is not whole yet.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::retry;

/// What the name of a file that is not whole ends with.
pub(super) const SUFFIX: &str = ".partial";

/// A file that is written under another name. Who holds it has it locked; if it is not committed, it is removed. One that a process has
/// left behind when it ended is taken over by the next.
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    is_committed: bool,
}

impl Partial {
    /// The empty file that is to become `path`. Waits while somebody else writes it.
    ///
    /// # Errors
    /// The host's.
    pub(super) fn lock(target: &Path) -> io::Result<Self> {
        let mut path = target.as_os_str().to_owned();
        path.push(SUFFIX);
        let path = PathBuf::from(path);
        loop {
            let options =
                File::options().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
            let file = options.open(&path)?;
            retry(|| flock(&file, FlockOperation::LockExclusive))?;
            // Whoever had it may have given it its name, or removed it.
            if is_at(&file, &path)? {
                file.set_len(0)?;
                return Ok(Self { file, path, is_committed: false });
            }
        }
    }

    /// Removes `path`, a file that is not whole, unless somebody writes it.
    ///
    /// # Errors
    /// The host's.
    pub(super) fn remove_left_behind(path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&file, path)? => fs::remove_file(path),
            Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// The host's. The file is removed then.
    pub(super) fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let target = self.path.with_extension("");
        fs::rename(&self.path, &target)?;
        self.is_committed = true;
        match target.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_committed {
            // One that stays is overwritten by the next.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
