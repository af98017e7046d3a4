//! Open directories whose entries are gathered at each reading: those of file systems that hold few, or make them up.

use std::any::Any;
use std::sync::Arc;

use super::{DirectoryEntry, File, FileKind, Inode, Metadata};
use crate::Errno;

/// An entry of a directory.
pub(super) struct Listed {
    /// Its place, by which a reading goes on behind it: it stays while other entries come and go.
    pub(super) place: u64,
    /// Its inode number.
    pub(super) inode: u64,
    /// What it is.
    pub(super) kind: FileKind,
    pub(super) name: Vec<u8>,
}

impl Listed {
    /// An entry whose name is text.
    pub(super) fn new(place: u64, inode: u64, kind: FileKind, name: impl Into<Vec<u8>>) -> Self {
        Self { place, inode, kind, name: name.into() }
    }
}

/// A directory that tells all its entries at once.
pub(super) trait ListedDirectory: Inode {
    /// Its entries with `.` and `..`, in the order of their places.
    fn entries(&self) -> Vec<Listed>;

    /// Fails if there is nothing to list any more: ENOENT.
    fn check_listed(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// Such a directory, open.
pub(super) struct OpenDirectory<D>(pub(super) Arc<D>);

impl<D: ListedDirectory> File for OpenDirectory<D> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn read_directory(
        &self,
        position: u64,
        sink: &mut dyn FnMut(DirectoryEntry) -> bool,
    ) -> Result<(), Errno> {
        self.0.check_listed()?;
        for Listed { place, inode, kind, name } in self.0.entries() {
            let kind = kind.directory_entry_type();
            let next_position = place.saturating_add(1);
            if place >= position && !sink(DirectoryEntry { inode, next_position, kind, name }) {
                break;
            }
        }
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.0.metadata()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
