//! A tree of files around an image, which nobody inside may change or read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The tree: the image in its middle, secrets beside and above it.
pub(crate) struct Honeypot {
    directory: TempDir,
    secret: String,
}

/// What there is to see of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    mode: u32,
    owner: (u32, u32),
    links: u64,
    modified: (i64, i64),
    contents: Vec<u8>,
}

impl Honeypot {
    /// A tree whose secrets contain a word that `seed` makes.
    pub(crate) fn new(seed: u64) -> io::Result<Self> {
        let honeypot = Self { directory: tempfile::tempdir()?, secret: format!("honeypot-{seed:016x}") };
        let top = honeypot.directory.path();
        for directory in ["above/image/executables", "above/beside"] {
            fs::create_dir_all(top.join(directory))?;
        }
        for file in ["secret", "above/secret", "above/beside/secret"] {
            fs::write(top.join(file), &honeypot.secret)?;
        }
        symlink("../secret", honeypot.image().join("link-to-secret"))?;
        symlink(top.join("secret"), honeypot.image().join("link-by-name"))?;
        Ok(honeypot)
    }

    /// The image's directory.
    pub(crate) fn image(&self) -> PathBuf {
        self.directory.path().join("above/image")
    }

    /// The word that no guest may learn.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// All files as they are now, by path.
    pub(crate) fn look(&self) -> io::Result<BTreeMap<PathBuf, Seen>> {
        let mut all = BTreeMap::new();
        look_below(self.directory.path(), &mut all)?;
        Ok(all)
    }
}

fn look_below(path: &Path, all: &mut BTreeMap<PathBuf, Seen>) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    let contents = match found.file_type() {
        kind if kind.is_file() => fs::read(path)?,
        kind if kind.is_symlink() => fs::read_link(path)?.into_os_string().into_encoded_bytes(),
        _ => Vec::new(),
    };
    let seen = Seen {
        mode: found.mode(),
        owner: (found.uid(), found.gid()),
        links: found.nlink(),
        modified: (found.mtime(), found.mtime_nsec()),
        contents,
    };
    all.insert(path.to_owned(), seen);
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            look_below(&entry?.path(), all)?;
        }
    }
    Ok(())
}
