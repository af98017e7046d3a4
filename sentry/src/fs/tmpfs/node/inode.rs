//! A node as the virtual file system asks for it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Body, MAX_LINKS, Node};
use crate::Errno;
use crate::fs::acl::{Acl, AclKind};
use crate::fs::inode::{Attachment, Inode, LinkTarget, NewNode, NodeCreation, RenameMode, Viewer};
use crate::fs::inotify::WatchList;
use crate::fs::locks::FileLocks;
use crate::fs::metadata::{AttributeChanges, DeviceNumber, FileKind, Metadata, Timestamp};
use crate::fs::operations::check_prefix;
use crate::fs::sleeper::ServedPace;
use crate::fs::tmpfs::file::{DirectoryFile, RegularFile};
use crate::fs::tmpfs::usage::link_pages;
use crate::fs::{File, FileFlags, HugeFile, OpenFlags, WriteCount};
use crate::heap::HeapCharge;
use crate::memory::HUGE_PAGE_BYTES;

impl Inode for Node {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let attributes = self.attributes.lock();
        let size_bytes = self.size();
        let blocks = match (&self.body, &self.lower) {
            (Body::Regular(data), Some(_)) if data.is_own.load(Ordering::Acquire) => {
                size_bytes.div_ceil(4096) * 8
            }
            (_, Some(lower)) => lower.blocks,
            (Body::Regular(data), None) => data.cache.get().map_or(0, |cache| cache.pages() * 8),
            (Body::Symlink(text), None) => link_pages(text.len()) * 8,
            (_, None) => 0,
        };
        let special_device = match self.body {
            Body::Device(device) => device,
            _ => DeviceNumber::default(),
        };
        Ok(Metadata {
            device: self.volume.device,
            inode: self.ino,
            mode: self.kind.mode_bits() | attributes.permissions,
            links: attributes.links,
            uid: attributes.uid,
            gid: attributes.gid,
            special_device,
            size_bytes,
            block_size_bytes: self.volume.block_size_bytes(),
            blocks,
            accessed: attributes.accessed,
            modified: attributes.modified,
            changed: attributes.changed,
            created: attributes.created,
        })
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        self.check_contents_mutable()?;
        if let Some(permissions) = changes.permissions {
            self.check_executable_seal(permissions)?;
        }
        self.begin_change()?;
        if let Some(size) = changes.size_bytes {
            self.check_whole_pages(size)?;
            self.data()?.check_resize_seals(size)?;
            self.page_cache(true)?.resize(size, &ServedPace)?;
        }
        let now = Timestamp::now();
        let mut attributes = self.attributes.lock();
        if let Some(permissions) = changes.permissions {
            attributes.permissions = permissions & 0o7777;
        }
        attributes.uid = changes.uid.unwrap_or(attributes.uid);
        attributes.gid = changes.gid.unwrap_or(attributes.gid);
        if changes.size_bytes.is_some() {
            attributes.modified = now;
        }
        if let Some(accessed) = changes.accessed {
            attributes.accessed = accessed.timestamp();
        }
        if let Some(modified) = changes.modified {
            attributes.modified = modified.timestamp();
        }
        attributes.changed = now;
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.child(name)?)
    }

    fn create(&self, name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<dyn Inode>, Errno> {
        if self.volume.only_has_names.load(Ordering::Relaxed) {
            match creation.node {
                NewNode::Directory | NewNode::Symlink(_) => {}
                NewNode::Regular => return Err(Errno::EACCES),
                _ => return Err(Errno::EPERM),
            }
        }
        let node = self.make(creation)?;
        self.enter(name, &node)?;
        if creation.node == NewNode::Directory {
            self.add_links(1);
        }
        Ok(node)
    }

    fn create_unnamed(
        &self,
        creation: &NodeCreation<'_>,
        is_linkable: bool,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let node = self.make(creation)?;
        {
            let mut attributes = node.attributes.lock();
            (attributes.links, attributes.is_linkable) = (0, is_linkable);
        }
        Ok(node)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let node = self.same_volume(target)?;
        let target = node.this.upgrade().ok_or(Errno::ENOENT)?;
        {
            let attributes = node.attributes.lock();
            if attributes.links == 0 && !attributes.is_linkable {
                return Err(Errno::ENOENT);
            }
            if attributes.links >= MAX_LINKS {
                return Err(Errno::EMLINK);
            }
        }
        node.begin_change()?;
        self.enter(name, &target)?;
        let mut attributes = node.attributes.lock();
        attributes.links += 1;
        attributes.changed = Timestamp::now();
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        let node = self.child(name)?;
        node.begin_change()?;
        self.remove(name)?;
        node.unlinked();
        Ok(())
    }

    fn rmdir(&self, name: &[u8]) -> Result<(), Errno> {
        let node = self.child(name)?;
        if !node.loaded_entries()?.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        node.begin_change()?;
        self.remove(name)?;
        node.unlinked();
        self.add_links(-1);
        Ok(())
    }

    fn rename(
        &self,
        name: &[u8],
        new_directory: &Arc<dyn Inode>,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let new_directory = self.same_volume(new_directory)?;
        let moved = self.child(name)?;
        let target = match new_directory.child(new_name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        moved.begin_change()?;
        self.begin_change()?;
        if let Some(target) = &target {
            let is_replaced = mode != RenameMode::Exchange;
            if is_replaced && target.kind == FileKind::Directory && !target.loaded_entries()?.is_empty() {
                return Err(Errno::ENOTEMPTY);
            }
            target.begin_change()?;
        }
        // What can fail comes first.
        let whiteout = self.whiteout(mode)?;
        drop(self.loaded_entries()?);
        new_directory.enter(new_name, &moved)?;
        match (&target, mode) {
            (Some(target), RenameMode::Exchange) => self.enter(name, target)?,
            _ => match whiteout {
                Some(whiteout) => self.enter(name, &whiteout)?,
                None => self.remove(name)?,
            },
        }
        moved.moved_to(self, new_directory);
        match (target, mode) {
            (Some(target), RenameMode::Exchange) => target.moved_to(new_directory, self),
            (Some(target), _) => {
                target.unlinked();
                if target.kind == FileKind::Directory {
                    new_directory.add_links(-1);
                }
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn follow_link(&self, _viewer: &Viewer) -> Result<LinkTarget, Errno> {
        match &self.body {
            Body::Symlink(text) => Ok(LinkTarget::Text(text.to_vec())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn stamp_link_accessed(&self) {
        self.stamp_accessed();
    }

    fn open(self: Arc<Self>, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        match &self.body {
            Body::Regular(data) => {
                let is_lower = !data.is_own.load(Ordering::Acquire) && !flags.contains(OpenFlags::TRUNC);
                if let (Some(lower), true) = (&self.lower, is_lower) {
                    lower.file.check_readable()?;
                }
                let is_huge = self.volume.huge.is_some();
                let file = Arc::new(RegularFile::new(self, flags));
                Ok(if is_huge { HugeFile::new(file, HUGE_PAGE_BYTES) } else { file })
            }
            Body::Directory(_) => Ok(Arc::new(DirectoryFile::new(self, flags))),
            Body::Symlink(_) => Err(Errno::ELOOP),
            Body::Device(device) => {
                let (kind, device) = (self.kind, *device);
                let inode: Arc<dyn Inode> = self.clone();
                self.volume.specials.open(kind, device, &inode, flags, viewer)
            }
            Body::Endpoint => {
                let inode: Arc<dyn Inode> = self.clone();
                self.volume.specials.open(self.kind, DeviceNumber::default(), &inode, flags, viewer)
            }
        }
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        check_namespace(name)?;
        self.with_xattrs(|xattrs| xattrs.get(name).cloned()).ok_or(Errno::ENODATA)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], must_exist: Option<bool>) -> Result<(), Errno> {
        check_namespace(name)?;
        self.begin_change()?;
        let usage = &self.volume.usage;
        self.with_xattrs(|xattrs| {
            match (must_exist, xattrs.get(name).is_some()) {
                (Some(false), true) => return Err(Errno::EEXIST),
                (Some(true), false) => return Err(Errno::ENODATA),
                _ => {}
            }
            let len = name.len() + value.len();
            usage.keep_bytes(len)?;
            let old = xattrs.insert(name, value.to_vec()).inspect_err(|_| usage.release_bytes(len))?;
            usage.release_bytes(old.map_or(0, |old| name.len() + old.len()));
            Ok(())
        })?;
        self.attributes.lock().changed = Timestamp::now();
        Ok(())
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        self.with_xattrs(|xattrs| {
            let len = xattrs.iter().map(|(name, _)| size_of::<Vec<u8>>() + 2 * name.len()).sum();
            let _copy = HeapCharge::transient(len)?;
            Ok(xattrs.iter().map(|(name, _)| name.clone()).collect())
        })
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        check_namespace(name)?;
        self.begin_change()?;
        let removed = self.with_xattrs(|xattrs| xattrs.remove(name)).ok_or(Errno::ENODATA)?;
        self.volume.usage.release_bytes(name.len() + removed.len());
        self.attributes.lock().changed = Timestamp::now();
        Ok(())
    }

    fn acl(&self, kind: AclKind) -> Result<Option<Acl>, Errno> {
        self.kept_acl(kind)
    }

    fn set_acl(&self, kind: AclKind, acl: Option<&Acl>, permissions: Option<u32>) -> Result<(), Errno> {
        if self.kind == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        self.keep_acl(kind, acl)?;
        let mut attributes = self.attributes.lock();
        attributes.permissions = permissions.unwrap_or(attributes.permissions);
        attributes.changed = Timestamp::now();
        Ok(())
    }

    fn file_flags(&self) -> Option<FileFlags> {
        matches!(self.body, Body::Regular(_) | Body::Directory(_)).then(|| {
            let stored = if self.volume.has_extents() { FileFlags::EXTENT } else { FileFlags::empty() };
            self.current_flags() | stored
        })
    }

    fn possible_file_flags(&self) -> FileFlags {
        self.volume.file_flags()
    }

    fn set_file_flags(&self, flags: FileFlags) -> Result<(), Errno> {
        let kept = flags.to_keep(self.kind, self.volume.file_flags(), self.current_flags())?;
        self.begin_change()?;
        self.flags.store(kept.bits(), Ordering::Release);
        self.attributes.lock().changed = Timestamp::now();
        Ok(())
    }

    fn attachment(&self) -> Option<&Attachment> {
        Some(&self.attachment)
    }

    fn locks(&self) -> Option<&FileLocks> {
        Some(&self.locks)
    }

    fn write_count(&self) -> Option<&WriteCount> {
        Some(&self.writers)
    }

    fn watches(&self) -> Option<&WatchList> {
        Some(&self.watches)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Fails for extended attributes that are not kept.
fn check_namespace(name: &[u8]) -> Result<(), Errno> {
    check_prefix(name, &[b"user.", b"trusted.", b"security."])
}
