//! Standard streams that are regular files or directories of the host.
//!
//! What the caller redirected to a file is that file inside: it is read and written on the host, at the position that the
//! caller's open file description has. What opens it again (`/dev/stdin`, `/proc/self/fd/N`) gets a position of its own
//! and no access that the caller's description lacks. All else about the file is the host's affair: owner, mode,
//! extended attributes and seals cannot be changed from inside, and one that the caller opened to append to only grows.
//!
//! Advisory locks are the guest's own, among its processes. Mappings show pages of a cache, which hears of what is
//! read and written from inside; what others on the host write appears once the pages are fetched anew.

mod contents;
mod directory;
mod inode;
mod regular;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::OFlags;

use self::contents::Contents;
use self::directory::DirectoryStream;
use self::inode::StreamInode;
use self::regular::RegularStream;
use crate::Errno;
use crate::fs::{File, FileDescription, FileKind, OpenFiles, OpenFlags, Path};
use crate::host::{HostCall, count_call};
use crate::memory::FrameAllocator;

/// Whose files the caller's are inside: who starts the sandbox is the first process's user there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owners {
    /// The caller's user and group on the host.
    pub host: (u32, u32),
    /// The first process's.
    pub guest: (u32, u32),
}

/// The host's files behind standard streams.
pub struct StorageStreams {
    frames: Arc<FrameAllocator>,
    open_files: Arc<OpenFiles>,
    owners: Owners,
    /// The largest file that the host lets this process write (RLIMIT_FSIZE).
    size_limit: Option<u64>,
    known: Vec<Arc<Contents>>,
}

/// The caller's description, with what it may do.
struct Handle {
    descriptor: OwnedFd,
    is_readable: bool,
    is_writable: bool,
    /// Opened with O_APPEND: the file can only grow.
    is_append_only: bool,
}

impl Handle {
    fn of(stream: BorrowedFd<'_>) -> Result<Arc<Self>, Errno> {
        let flags = rustix::fs::fcntl_getfl(stream)?;
        let mode = flags & OFlags::ACCMODE;
        Ok(Arc::new(Self {
            descriptor: super::duplicate(stream)?,
            is_readable: mode == OFlags::RDONLY || mode == OFlags::RDWR,
            is_writable: mode == OFlags::WRONLY || mode == OFlags::RDWR,
            is_append_only: flags.contains(OFlags::APPEND),
        }))
    }

    /// Whether a description with `flags` does nothing that this one may not.
    fn allows(&self, flags: OpenFlags) -> bool {
        (!flags.is_readable() || self.is_readable) && (!flags.is_writable() || self.is_writable)
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl StorageStreams {
    /// No streams yet.
    pub fn new(frames: &Arc<FrameAllocator>, open_files: &Arc<OpenFiles>, owners: Owners) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
        let (frames, open_files) = (frames.clone(), open_files.clone());
        Self { frames, open_files, owners, size_limit: limit.current, known: Vec::new() }
    }

    /// The description of `stream`, opened with `flags`, which /proc/PID/fd shows as `name`; `None` if it is neither a
    /// regular file nor a directory.
    ///
    /// # Errors
    /// The host's on duplicating or inspecting the descriptor.
    pub fn describe(
        &mut self,
        stream: BorrowedFd<'_>,
        flags: OpenFlags,
        name: &[u8],
    ) -> Result<Option<Arc<FileDescription>>, Errno> {
        count_call(HostCall::Stat);
        let stat = rustix::fs::fstat(stream)?;
        let Some(kind @ (FileKind::Regular | FileKind::Directory)) = FileKind::from_mode(stat.st_mode) else {
            return Ok(None);
        };
        let handle = Handle::of(stream)?;
        let contents = self.contents((stat.st_dev, stat.st_ino), kind);
        contents.add_handle(&handle);
        let file: Arc<dyn File> = match kind {
            FileKind::Directory => Arc::new(DirectoryStream::shared(contents.clone(), handle.clone())),
            _ => Arc::new(RegularStream::shared(contents.clone(), handle.clone())),
        };
        let path = Path::foreign(StreamInode::new(contents, handle), name);
        Ok(Some(FileDescription::new(file, Some(path), flags)))
    }

    /// Writes what mappings have changed to the host, at the end of the sandbox.
    pub fn write_back(&self) {
        for contents in &self.known {
            if let Err(error) = contents.write_back(0..u64::MAX) {
                log::warn!("what a mapping changed could not be written to the host: {error}");
            }
        }
    }

    fn contents(&mut self, host_identity: (u64, u64), kind: FileKind) -> Arc<Contents> {
        if let Some(known) = self.known.iter().find(|known| known.is(host_identity)) {
            return known.clone();
        }
        let (frames, files) = (self.frames.clone(), &self.open_files);
        let contents = Contents::new(host_identity, kind, self.owners, self.size_limit, frames, files);
        self.known.push(contents.clone());
        contents
    }
}
