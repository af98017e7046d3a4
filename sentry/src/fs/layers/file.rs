//! One file of the tree.

use std::sync::Arc;

use super::format::{self, CONTENT_ALIGNMENT, InodeRecord, MAX_LINK_LEN, MAX_XATTRS_LEN};
use super::tree::LayeredTree;
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::FileFlags;
use crate::fs::lower::{LowerEntry, LowerFile, LowerStatus};
use crate::fs::metadata::{DeviceNumber, FileKind, Timestamp};
use crate::memory::HostExtent;

/// The device that all inodes are on: the overlay has one of its own.
const DEVICE: u64 = 0;
const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

/// A file of a [`LayeredTree`].
pub(super) struct LayeredFile {
    tree: Arc<LayeredTree>,
    kind: FileKind,
    inode: InodeRecord,
}

impl LayeredFile {
    /// The inode `number` of `tree`.
    ///
    /// # Errors
    /// EIO: it makes no sense. And the host's.
    pub(super) fn open(
        tree: &Arc<LayeredTree>,
        ino: u32,
    ) -> Result<(Arc<dyn LowerFile>, LowerStatus), Errno> {
        let inode = tree.inode(ino)?;
        let kind = FileKind::from_mode(inode.mode).ok_or(Errno::EIO)?;
        let file = Self { tree: tree.clone(), kind, inode };
        let status = file.status(ino)?;
        Ok((Arc::new(file), status))
    }

    fn status(&self, ino: u32) -> Result<LowerStatus, Errno> {
        let inode = &self.inode;
        let size_bytes = if self.kind == FileKind::Regular { inode.size } else { 0 };
        let is_sound = inode.modified_nanoseconds < NANOSECONDS_PER_SECOND
            && inode.start.checked_add(inode.size).is_some_and(|end| i64::try_from(end).is_ok());
        if !is_sound {
            return Err(Errno::EIO);
        }
        let modified = Timestamp { seconds: inode.modified_seconds, nanoseconds: inode.modified_nanoseconds };
        Ok(LowerStatus {
            identity: (DEVICE, number_of(ino)),
            kind: self.kind,
            mode: inode.mode,
            links: inode.links,
            uid: KernelUid(inode.uid),
            gid: KernelGid(inode.gid),
            special_device: DeviceNumber::new(inode.device_major, inode.device_minor),
            size_bytes,
            blocks: inode.stored_bytes.div_ceil(format::CONTENT_ALIGNMENT)
                * (format::CONTENT_ALIGNMENT / 512),
            accessed: modified,
            modified,
            changed: modified,
            created: None,
            link_text: self.link_text()?,
            file_flags: FileFlags::empty(),
        })
    }

    fn link_text(&self) -> Result<Option<Box<[u8]>>, Errno> {
        if self.kind != FileKind::Symlink {
            return Ok(None);
        }
        let len =
            usize::try_from(self.inode.size).ok().filter(|len| *len <= MAX_LINK_LEN).ok_or(Errno::EIO)?;
        Ok(Some(self.tree.text(self.inode.start, len)?.into()))
    }

    fn require(&self, kind: FileKind, errno: Errno) -> Result<(), Errno> {
        if self.kind == kind { Ok(()) } else { Err(errno) }
    }
}

/// An inode number as the guest may see it: 0 is none.
fn number_of(inode: u32) -> u64 {
    u64::from(inode) + 1
}

impl LowerFile for LayeredFile {
    fn lookup(&self, name: &[u8]) -> Result<(Arc<dyn LowerFile>, LowerStatus), Errno> {
        self.require(FileKind::Directory, Errno::ENOTDIR)?;
        Self::open(&self.tree, self.tree.find(&self.inode, name)?)
    }

    fn list(&self) -> Result<Vec<LowerEntry>, Errno> {
        self.require(FileKind::Directory, Errno::ENOTDIR)?;
        let entries = self.tree.entries(&self.inode)?.into_iter();
        let listed = entries.map(|(entry, name)| LowerEntry {
            name: name.into(),
            inode: number_of(entry.inode),
            kind: FileKind::from_mode(u32::from(entry.kind) << 12),
        });
        Ok(listed.collect())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.require(FileKind::Regular, Errno::EINVAL)?;
        let left = usize::try_from(self.inode.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buffer.len().min(left);
        match buffer.get_mut(..len) {
            Some(buffer) if !buffer.is_empty() => {
                self.tree.read_contents(self.inode.layer, buffer, self.inode.start + offset)
            }
            _ => Ok(0),
        }
    }

    fn host_extent(&self) -> Option<HostExtent> {
        // What fills up the last page is zeroes.
        let is_mappable =
            self.kind == FileKind::Regular && self.inode.start.is_multiple_of(CONTENT_ALIGNMENT);
        let file = self.tree.contents_of(self.inode.layer).filter(|_| is_mappable)?;
        Some(HostExtent { file: file.clone(), start: self.inode.start })
    }

    fn check_readable(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let len = (self.inode.xattrs_len as usize).min(MAX_XATTRS_LEN);
        let bytes = self.tree.text(self.inode.xattrs_start.into(), len);
        bytes.ok().and_then(|bytes| format::xattrs(&bytes)).unwrap_or_default()
    }
}
