//! What the root file system is made from.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use crate::fs::host::{HostOwners, holds_files};

/// What is run if no command is given.
const DEFAULT_COMMAND: &[u8] = b"/bin/sh";
/// What the sandbox makes in a root that is otherwise empty.
const OWN_DIRECTORIES: [&[u8]; 4] = [b"dev", b"proc", b"sys", b"tmp"];

/// An image, opened on the host and told apart.
pub enum Image {
    /// A directory of the host that holds a root file system.
    Directory {
        /// The directory.
        root: OwnedFd,
        /// How the host tells of the owners of its files.
        owners: HostOwners,
    },
    /// An image's layers, as [`fs::layers`](crate::fs::layers) reads them.
    Layers {
        /// The index of the tree that they make.
        index: OwnedFd,
        /// The contents of each layer's files, in the index's order.
        contents: Vec<OwnedFd>,
    },
    /// One executable, in a root that is empty otherwise.
    Executable {
        /// Open for reading, whatever the name leads to later.
        file: OwnedFd,
        /// What it is called in the root directory.
        name: Vec<u8>,
    },
}

/// Why a path is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The host does not open it.
    #[error("cannot be opened")]
    Open(#[source] io::Error),
    /// The host does not tell what it is.
    #[error("cannot be looked at")]
    Look(#[source] io::Error),
    /// It is something else.
    #[error("neither a directory that holds a root file system nor an ELF executable")]
    Kind,
    /// It is an interface of the host's kernel, or of a process of the host.
    #[error("an interface of the host's kernel, which no guest gets to see")]
    KernelInterface,
    /// The path ends without a name.
    #[error("has no name")]
    Nameless,
    /// The executable would be in the way of a mount.
    #[error("an executable needs another name, since the sandbox has a directory of that name")]
    Name,
}

impl Image {
    /// Opens the image at `path` of the host.
    ///
    /// # Errors
    /// It cannot be opened, or is no image.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(CWD, path, flags, Mode::empty());
        let mut file = File::from(file.map_err(|errno| ImageError::Open(errno.into()))?);
        let kind = file.metadata().map_err(ImageError::Look)?.file_type();
        if kind.is_dir() {
            if !holds_files(&file).map_err(ImageError::Look)? {
                return Err(ImageError::KernelInterface);
            }
            return Ok(Self::Directory { root: file.into(), owners: HostOwners::Told });
        }
        let mut head = [0; 4];
        let is_elf = kind.is_file() && file.read_exact(&mut head).is_ok() && head == *b"\x7fELF";
        if !is_elf {
            return Err(ImageError::Kind);
        }
        let name = path.file_name().ok_or(ImageError::Nameless)?.as_encoded_bytes();
        if OWN_DIRECTORIES.contains(&name) {
            return Err(ImageError::Name);
        }
        Ok(Self::Executable { file: file.into(), name: name.to_vec() })
    }

    /// The program to run and its arguments, its own name first, if `words` are given.
    pub fn command(&self, words: Vec<Vec<u8>>) -> (Vec<u8>, Vec<Vec<u8>>) {
        match self {
            Self::Directory { .. } | Self::Layers { .. } => {
                let words = if words.is_empty() { vec![DEFAULT_COMMAND.to_vec()] } else { words };
                (words.first().cloned().unwrap_or_default(), words)
            }
            Self::Executable { name, .. } => {
                let path = [b"/", name.as_slice()].concat();
                let names_itself = words.first().is_some_and(|word| *word == path || word == name);
                let own = if names_itself { Vec::new() } else { vec![path.clone()] };
                (path, own.into_iter().chain(words).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests;
