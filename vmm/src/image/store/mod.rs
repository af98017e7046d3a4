//! Where images are kept once they are unpacked.
//!
//! ```text
//! STORE/lock              held shared while an image is opened, alone while something is removed
//! STORE/layers/DIGEST     a layer, by the digest of its archive (crate::image::layer)
//! STORE/trees/CHAIN       the index of the tree that a chain of layers makes, by the chain's id
//! STORE/catalogue.json    the images: names, configurations, layers; and which archives they came from
//! ```
//!
//! A file is written under another name, made durable and then renamed ([`partial`]): what has its name is whole, whenever the power
//! fails. Who runs an image has its files open, so that they may be removed at any time.

mod catalogue;
mod partial;
mod room;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

use super::chain;
use super::digest::Digest;
pub(crate) use catalogue::{ArchiveKey, Catalogue, Record, SourceImage, id_of};
use partial::Partial;

const LAYERS: &str = "layers";
const TREES: &str = "trees";

/// A store, which may be shared with others.
pub(crate) struct Store {
    root: PathBuf,
}

/// Nothing is removed from the store as long as this lives.
pub(crate) struct SharedLock {
    _unlocked_by_closing: File,
}

/// Nobody opens an image of the store as long as this lives.
pub(crate) struct ExclusiveLock {
    _unlocked_by_closing: File,
}

impl Store {
    /// The store in `directory`, which is made if it is missing. By default it is the caller's cache.
    ///
    /// # Errors
    /// The directory cannot be made, or the caller has no home.
    pub(crate) fn open(directory: Option<&Path>) -> anyhow::Result<Self> {
        let root = match directory {
            Some(directory) => directory.to_owned(),
            None => default_directory()?,
        };
        for part in ["", LAYERS, TREES] {
            let directory = root.join(part);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.with_context(|| format!("make the image store {}", directory.display()))?;
        }
        Ok(Self { root })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// Keeps everything in it. Waits while something is removed.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn lock_shared(&self) -> anyhow::Result<SharedLock> {
        self.lock(FlockOperation::LockShared).map(|file| SharedLock { _unlocked_by_closing: file })
    }

    /// Keeps others from opening images. Waits for those that are at it.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn lock_exclusive(&self) -> anyhow::Result<ExclusiveLock> {
        self.lock(FlockOperation::LockExclusive).map(|file| ExclusiveLock { _unlocked_by_closing: file })
    }

    fn lock(&self, operation: FlockOperation) -> anyhow::Result<File> {
        let path = self.root.join("lock");
        let open = || File::options().create(true).truncate(false).write(true).open(&path);
        let lock = open().and_then(|file| retry(|| flock(&file, operation)).map(|()| file));
        lock.with_context(|| format!("lock the image store {}", self.root.display()))
    }

    /// The layer `digest`; `make` unpacks it into an empty file if it is not there.
    ///
    /// # Errors
    /// What `make` fails with, and the host's.
    pub(crate) fn layer(
        &self,
        digest: &Digest,
        make: impl FnOnce(&File) -> anyhow::Result<()>,
    ) -> anyhow::Result<File> {
        self.get_or_make(&self.root.join(LAYERS).join(digest.hex()), make)
    }

    /// Whether the layer `digest` is there.
    pub(crate) fn has_layer(&self, digest: &Digest) -> bool {
        self.root.join(LAYERS).join(digest.hex()).exists()
    }

    /// The index of an image that has these layers, and the layers; `None` if they are not all there.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn open_image(&self, layers: &[Digest]) -> anyhow::Result<Option<(File, Vec<File>)>> {
        let tree = self.root.join(TREES).join(chain::id(layers).hex());
        let layers = layers.iter().map(|layer| self.root.join(LAYERS).join(layer.hex()));
        let mut files = Vec::new();
        for path in [tree].into_iter().chain(layers) {
            let opened = open_if_there(&path).with_context(|| format!("open {}", path.display()))?;
            let Some(file) = opened else { return Ok(None) };
            files.push(file);
        }
        let tree = files.remove(0);
        Ok(Some((tree, files)))
    }

    /// The index of the tree of a chain of layers; `make` writes it if it is not there.
    ///
    /// # Errors
    /// What `make` fails with, and the host's.
    pub(crate) fn tree(
        &self,
        chain: &Digest,
        make: impl FnOnce(&File) -> anyhow::Result<()>,
    ) -> anyhow::Result<File> {
        self.get_or_make(&self.root.join(TREES).join(chain.hex()), make)
    }

    /// A file without a name, for what is needed while an image is opened.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn temporary_file(&self) -> anyhow::Result<File> {
        tempfile::tempfile_in(&self.root).with_context(|| format!("write to {}", self.root.display()))
    }

    /// The file `path`, open for reading. Of all who want to make it at once, one does.
    fn get_or_make(
        &self,
        path: &Path,
        make: impl FnOnce(&File) -> anyhow::Result<()>,
    ) -> anyhow::Result<File> {
        let in_store = || format!("the image store {}", self.root.display());
        if let Some(file) = open_if_there(path).with_context(in_store)? {
            return Ok(file);
        }
        let partial = Partial::lock(path).with_context(in_store)?;
        if let Some(file) = open_if_there(path).with_context(in_store)? {
            return Ok(file);
        }
        make(partial.file())?;
        partial.commit().with_context(in_store)?;
        File::open(path).with_context(in_store)
    }
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `$XDG_CACHE_HOME/palisade`, or what the base directory specification says in its place.
fn default_directory() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let cache = cache
        .context("there is no place for unpacked images: set HOME, or name one with --store DIRECTORY")?;
    Ok(cache.join("palisade"))
}

/// Does `operation` again when a signal has interrupted it.
fn retry<T>(mut operation: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
