//! The file below: what an overlay's files begin as.

use std::collections::BTreeSet;
use std::sync::Arc;

use vm_memory::VolatileSlice;

use super::disk_control::{LABEL_BYTES, TrimRange};
use super::file_flags::FileFlags;
use super::metadata::{DeviceNumber, FileKind, Metadata, Timestamp};
use super::mount::FileSystemInfo;
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::memory::{HostExtent, PageCache, PageSource, fill_by_reads};

/// A file of a lower layer, which nobody changes.
pub trait LowerFile: Send + Sync {
    /// The entry `name` of this directory.
    ///
    /// # Errors
    /// ENOENT, and what keeps the layer from being read.
    fn lookup(&self, name: &[u8]) -> Result<(Arc<dyn LowerFile>, LowerStatus), Errno>;

    /// All entries of this directory but `.` and `..`.
    ///
    /// # Errors
    /// The layer cannot be read.
    fn list(&self) -> Result<Vec<LowerEntry>, Errno>;

    /// Reads this regular file at `offset`; 0 at its end.
    ///
    /// # Errors
    /// The layer cannot be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno>;

    /// Where the host has the bytes of this regular file, if it has them in one piece and in a file of its own.
    fn host_extent(&self) -> Option<HostExtent> {
        None
    }

    /// Fails unless this regular file can be read.
    ///
    /// # Errors
    /// What [`Self::read_at`] would fail with.
    fn check_readable(&self) -> Result<(), Errno>;

    /// The extended attributes that mean something to the guest: `user.*` and `security.capability`.
    fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)>;
}

/// What is known of a file below.
#[derive(Clone, Debug)]
pub struct LowerStatus {
    /// What tells it from every other file of the layer: a device and an inode number in it.
    pub identity: (u64, u64),
    /// The type.
    pub kind: FileKind,
    /// Type and permission bits.
    pub mode: u32,
    /// Names.
    pub links: u32,
    /// Owner.
    pub uid: KernelUid,
    /// Group.
    pub gid: KernelGid,
    /// Which device a device node is.
    pub special_device: DeviceNumber,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Storage, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the contents.
    pub modified: Timestamp,
    /// Last change of the inode.
    pub changed: Timestamp,
    /// Creation, where known.
    pub created: Option<Timestamp>,
    /// The text of a symbolic link.
    pub link_text: Option<Box<[u8]>>,
    /// Flags that are no part of the mode.
    pub file_flags: FileFlags,
}

/// An entry of a directory below.
#[derive(Clone, Debug)]
pub struct LowerEntry {
    /// One component, without slashes.
    pub name: Box<[u8]>,
    /// The inode number, on the directory's device.
    pub inode: u64,
    /// The type; `None` if the layer does not say.
    pub kind: Option<FileKind>,
}

/// The pages of a regular file below.
pub struct LowerPages(pub Arc<dyn LowerFile>);

impl PageSource for LowerPages {
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
        fill_by_reads(offset, destination, |portion, position| self.0.read_at(portion, position)).map(drop)
    }

    fn host_extent(&self) -> Option<HostExtent> {
        self.0.host_extent()
    }
}

/// A layer that takes back what was changed above it.
pub trait LowerStore: Send + Sync {
    /// What statfs(2) tells of the layer as it is.
    fn info(&self) -> FileSystemInfo;

    /// What tells it from all others, if it has that.
    fn uuid(&self) -> Option<[u8; 16]> {
        None
    }

    /// Whether files are stored as extents, which may be allocated without being written.
    fn has_extents(&self) -> bool;

    /// As [`DiskControl::label`](super::disk_control::DiskControl::label).
    fn label(&self) -> [u8; LABEL_BYTES];

    /// As [`DiskControl::set_label`](super::disk_control::DiskControl::set_label).
    ///
    /// # Errors
    /// What keeps the layer from being written.
    fn set_label(&self, label: [u8; LABEL_BYTES]) -> Result<(), Errno>;

    /// As [`DiskControl::trim`](super::disk_control::DiskControl::trim).
    ///
    /// # Errors
    /// Those of that.
    fn trim(&self, range: TrimRange) -> Result<u64, Errno>;

    /// How many disks lie below it.
    fn disk_depth(&self) -> usize;

    /// Comes before changes are taken.
    ///
    /// # Errors
    /// EROFS: none can be.
    fn begin(&self) -> Result<(), Errno>;

    /// Takes a file as it is now.
    ///
    /// # Errors
    /// ENOSPC, and what keeps the layer from being written.
    fn store(&self, file: &ChangedFile<'_>) -> Result<(), Errno>;

    /// Removes a file that has no name any more and that nobody uses.
    ///
    /// # Errors
    /// What keeps the layer from being written.
    fn remove(&self, id: FileId) -> Result<(), Errno>;

    /// Removes all new files but those with these numbers.
    ///
    /// # Errors
    /// As [`Self::remove`].
    fn retain_new(&self, live: &BTreeSet<u64>) -> Result<(), Errno>;

    /// Comes after changes: what was taken is in the layer from then on.
    ///
    /// # Errors
    /// What keeps the layer from being written.
    fn finish(&self) -> Result<(), Errno>;

    /// Nobody uses the file system above any more.
    ///
    /// # Errors
    /// As [`Self::finish`].
    fn unmounted(&self) -> Result<(), Errno>;
}

/// Which file is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileId {
    /// The layer's inode.
    Lower(u64),
    /// One that was made above, by its number there.
    New(u64),
}

/// A file that was made or changed above a layer.
pub struct ChangedFile<'a> {
    /// Which one.
    pub id: FileId,
    /// What stat(2) tells.
    pub metadata: Metadata,
    /// All extended attributes in their order; `None` if they are the layer's.
    pub xattrs: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    /// Flags that are no part of the mode.
    pub file_flags: FileFlags,
    /// What is in it.
    pub body: ChangedBody<'a>,
}

/// A name, what it leads to, and the type of that if it is known.
pub type ChangedEntry = (Box<[u8]>, FileId, Option<FileKind>);

/// What is in a changed file. Versions tell contents from earlier ones of the same file.
pub enum ChangedBody<'a> {
    /// Bytes; `None` if they are the layer's, or there are none.
    Regular {
        /// Where its pages are cached.
        contents: Option<Arc<PageCache>>,
        /// Of the contents.
        version: u64,
    },
    /// Names.
    Directory {
        /// Each with what it leads to, in the order of listing.
        entries: Vec<ChangedEntry>,
        /// The directory above, if it is not the layer's.
        parent: Option<FileId>,
        /// Of the entries.
        version: u64,
    },
    /// The text of a symbolic link.
    Symlink(&'a [u8]),
    /// A device, FIFO or socket.
    Special,
}
