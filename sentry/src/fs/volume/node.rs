//! One file of the host that is in use.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags, Statx, StatxTimestamp, openat2};

use super::contents::Contents;
use super::handle::Handle;
use super::host_locks::HostLocks;
use super::{Volume, VolumeRoot, retry, status_of};
use crate::Errno;
use crate::fs::host::{CONFINED, device_of, open_beneath};
use crate::fs::inode::Attachment;
use crate::fs::locks::FileLocks;
use crate::fs::metadata::{DeviceNumber, FileKind, Metadata, Timestamp};
use crate::fs::{Inode, WriteCount};
use crate::host::{HostCall, count_call};

/// Device and inode number on the host.
pub(super) type Identity = (u64, u64);

/// A file, directory or other object of a volume.
pub(super) struct Node {
    this: Weak<Self>,
    volume: Arc<Volume>,
    identity: Identity,
    kind: FileKind,
    /// Keeps the identity from being given to another file.
    handle: Arc<Handle>,
    /// Where it was found last: its contents are opened there.
    place: Mutex<Option<Place>>,
    contents: Contents,
    locks: FileLocks,
    writers: WriteCount,
    attachment: Attachment,
}

struct Place {
    directory: Weak<Node>,
    name: Box<[u8]>,
}

impl Node {
    pub(super) fn root(volume: &Arc<Volume>, root: VolumeRoot) -> Result<Arc<Self>, Errno> {
        let VolumeRoot { descriptor, kind } = root;
        let handle = Arc::new(Handle::open(&volume.handles, || Ok(descriptor))?);
        let node = Self::of_handle(volume, handle.clone(), &status_of(&*handle)?);
        if kind == FileKind::Regular {
            // It has no place below the volume by which it could be opened again.
            let mode = rustix::fs::fcntl_getfl(&*handle)? & OFlags::ACCMODE;
            node.contents.keep(&handle, mode == OFlags::RDWR);
        }
        Ok(node)
    }

    /// The node of the file behind `handle`: the one that is in use, or a new one.
    fn of_handle(volume: &Arc<Volume>, handle: Arc<Handle>, status: &Statx) -> Arc<Self> {
        let identity = (device_of(status), status.stx_ino);
        let kind = FileKind::from_mode(u32::from(status.stx_mode)).unwrap_or(FileKind::Regular);
        let mut nodes = volume.nodes.lock();
        if let Some(known) = nodes.get(&identity).and_then(Weak::upgrade) {
            return known;
        }
        let node = Arc::new_cyclic(|this: &Weak<Self>| Self {
            this: this.clone(),
            volume: volume.clone(),
            identity,
            kind,
            handle,
            place: Mutex::default(),
            contents: Contents::new(&volume.frames),
            locks: FileLocks::with_outer(Box::new(HostLocks::new(this.clone()))),
            writers: WriteCount::default(),
            attachment: Attachment::default(),
        });
        nodes.insert(identity, Arc::downgrade(&node));
        node
    }

    /// A file that was just opened without a name (O_TMPFILE).
    pub(super) fn unnamed(&self, descriptor: OwnedFd) -> Result<Arc<Self>, Errno> {
        let handle = Arc::new(Handle::open(&self.volume.handles, || Ok(descriptor))?);
        let node = Self::of_handle(&self.volume, handle.clone(), &status_of(&*handle)?);
        node.contents.keep(&handle, true);
        Ok(node)
    }

    /// The entry `name` of this directory.
    ///
    /// # Errors
    /// ENOENT. EACCES: an interface of the host's kernel is mounted there. And the host's.
    pub(super) fn child(&self, name: &[u8]) -> Result<Arc<Self>, Errno> {
        let open = || open_beneath(&*self.handle, name, OFlags::PATH);
        let handle = Handle::open(&self.volume.handles, open)?;
        let status = status_of(&handle)?;
        let device = device_of(&status);
        if device != self.identity.0 && !self.volume.mounts.hold_files(&handle, device)? {
            return Err(Errno::EACCES);
        }
        let child = Self::of_handle(&self.volume, Arc::new(handle), &status);
        child.found_at(self, name);
        Ok(child)
    }

    /// Remembers where it is.
    pub(super) fn found_at(&self, directory: &Self, name: &[u8]) {
        *self.place.lock() = Some(Place { directory: directory.this.clone(), name: name.into() });
    }

    /// The directory and the name by which it was found last.
    pub(super) fn place(&self) -> Option<(Arc<Self>, Box<[u8]>)> {
        let place = self.place.lock();
        let place = place.as_ref()?;
        Some((place.directory.upgrade()?, place.name.clone()))
    }

    /// Opens the file once more.
    ///
    /// # Errors
    /// ESTALE: it is no longer where it was found. And the host's.
    pub(super) fn open_again(&self, flags: OFlags) -> Result<Arc<Handle>, Errno> {
        if self.kind == FileKind::Directory {
            let flags = flags | OFlags::DIRECTORY;
            return Ok(Arc::new(Handle::open(&self.volume.handles, || {
                open_beneath(&*self.handle, b".", flags)
            })?));
        }
        let (directory, name) = self.place().ok_or(Errno::ESTALE)?;
        let opened =
            Handle::open(&self.volume.handles, || match open_beneath(&*directory.handle, &name, flags) {
                Err(Errno::ENOENT | Errno::ELOOP) => Err(Errno::ESTALE),
                result => result,
            })?;
        let status = status_of(&opened)?;
        let is_it = (device_of(&status), status.stx_ino) == self.identity;
        if is_it { Ok(Arc::new(opened)) } else { Err(Errno::ESTALE) }
    }

    /// Makes the file `name` in this directory, and opens it (O_CREAT and O_EXCL), or one without a name (O_TMPFILE).
    pub(super) fn create_file(&self, name: &[u8], flags: OFlags, permissions: u32) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::from_bits_truncate(permissions);
        loop {
            count_call(HostCall::Open);
            match openat2(&*self.handle, name, flags, mode, CONFINED) {
                // Something above was renamed meanwhile (`man 2 openat2`).
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    /// What the host tells of it now.
    pub(super) fn status(&self) -> Result<Statx, Errno> {
        status_of(&*self.handle)
    }

    /// What stat(2) tells.
    pub(super) fn current_metadata(&self) -> Result<Metadata, Errno> {
        // A mapping may have changed it.
        self.contents.write_back(0..u64::MAX)?;
        let status = self.status()?;
        self.contents.notice_size(status.stx_size);
        let (uid, gid) = self.volume.owners.inside((status.stx_uid, status.stx_gid));
        let has_creation = status.stx_mask & rustix::fs::StatxFlags::BTIME.bits() != 0;
        Ok(Metadata {
            device: self.volume.device(self.identity.0),
            inode: self.identity.1,
            mode: u32::from(status.stx_mode),
            links: status.stx_nlink,
            uid,
            gid,
            special_device: DeviceNumber::new(status.stx_rdev_major, status.stx_rdev_minor),
            size_bytes: status.stx_size,
            block_size_bytes: status.stx_blksize,
            blocks: status.stx_blocks,
            accessed: timestamp(&status.stx_atime),
            modified: timestamp(&status.stx_mtime),
            changed: timestamp(&status.stx_ctime),
            created: has_creation.then(|| timestamp(&status.stx_btime)),
        })
    }

    /// The node as what `target` has to be: one of the same volume.
    pub(super) fn same_volume<'a>(&self, inode: &'a Arc<dyn Inode>) -> Result<&'a Self, Errno> {
        let node: &Self = inode.as_any().downcast_ref().ok_or(Errno::EXDEV)?;
        if Arc::ptr_eq(&node.volume, &self.volume) { Ok(node) } else { Err(Errno::EXDEV) }
    }

    /// The node of the file called `name` in this directory, if it is in use, remembers its new place.
    pub(super) fn moved_here(&self, name: &[u8]) {
        let found = self.child(name);
        // The host may have moved it on; then it will be looked up.
        if let Err(error) = found {
            log::debug!("a file that was renamed is not where it went: {error}");
        }
    }

    /// syncfs(2).
    pub(super) fn sync_file_system(&self) -> Result<(), Errno> {
        let opened = match self.kind {
            FileKind::Directory => self.open_again(OFlags::RDONLY)?,
            _ => self.handle.clone(),
        };
        count_call(HostCall::Sync);
        retry(|| rustix::fs::syncfs(opened.as_fd()))
    }

    pub(super) fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn file_kind(&self) -> FileKind {
        self.kind
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    pub(super) fn file_locks(&self) -> &FileLocks {
        &self.locks
    }

    pub(super) fn writers(&self) -> &WriteCount {
        &self.writers
    }

    pub(super) fn endpoint(&self) -> &Attachment {
        &self.attachment
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut nodes = self.volume.nodes.lock();
        if nodes.get(&self.identity).is_some_and(|node| node.strong_count() == 0) {
            nodes.remove(&self.identity);
        }
    }
}

fn timestamp(stamp: &StatxTimestamp) -> Timestamp {
    Timestamp { seconds: stamp.tv_sec, nanoseconds: stamp.tv_nsec }
}
