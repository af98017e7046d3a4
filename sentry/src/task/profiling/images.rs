//! The files that stacks lead through, as a sandbox has them.

use std::fs::File as HostFile;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::fs::{FileDescription, FileKind, MountNamespace, OpenFlags, Resolver, TaskFs, Viewer, operations};
use crate::profile::{ImageSource, ReadSeek};

/// Opens files of a mount namespace, and the program that this process runs.
pub struct ProfileImages {
    mounts: Arc<MountNamespace>,
    viewer: Viewer,
    own: Option<HostFile>,
}

impl ProfileImages {
    /// Files as `viewer` finds them in `mounts`, and the process's own program, if its file is at hand.
    pub fn new(mounts: &Arc<MountNamespace>, viewer: Viewer, own: Option<HostFile>) -> Self {
        Self { mounts: mounts.clone(), viewer, own }
    }
}

impl ImageSource for ProfileImages {
    fn open_guest(&self, path: &[u8]) -> Option<Box<dyn ReadSeek>> {
        if !path.starts_with(b"/") {
            return None;
        }
        let view = TaskFs::new(self.mounts.clone()).view();
        let found = Resolver::new(&view, &self.viewer).resolve(&view.root, path, true).ok()?;
        if found.kind() != FileKind::Regular {
            return None;
        }
        let len = found.inode().metadata().ok()?.size_bytes;
        let file = operations::open_path(&found, OpenFlags::empty(), &self.viewer).ok()?;
        Some(Box::new(GuestFile { file, position: 0, len }))
    }

    fn open_own(&self) -> Option<Box<dyn ReadSeek>> {
        Some(Box::new(self.own.as_ref()?.try_clone().ok()?))
    }
}

/// A file of the guest's, to be read from the sentry.
struct GuestFile {
    file: Arc<FileDescription>,
    position: u64,
    len: u64,
}

impl Read for GuestFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.file().read_at(buffer, self.position).map_err(io::Error::other)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for GuestFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match position {
            SeekFrom::Start(offset) => (0, i64::try_from(offset).map_err(io::Error::other)?),
            SeekFrom::End(offset) => (self.len, offset),
            SeekFrom::Current(offset) => (self.position, offset),
        };
        self.position = base.checked_add_signed(offset).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
