//! An inode in memory.

mod acl;
mod changes;
mod content;
mod entries;
mod inode;
mod write_back;
mod xattrs;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

pub(super) use changes::Listed;
use content::Data;
use xattrs::Xattrs;

use super::directory::Entries;
use super::lower::Identity;
use super::{TmpfsOptions, Volume};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::inode::{Attachment, NewNode, NodeCreation};
use crate::fs::inotify::WatchList;
use crate::fs::locks::FileLocks;
use crate::fs::lower::{LowerFile, LowerStatus};
use crate::fs::metadata::{DeviceNumber, FileKind, Timestamp};
use crate::fs::{FileFlags, WriteCount};
use crate::heap::HeapCharge;

const SET_GID: u32 = 0o2000;
/// What a node takes with its entry in a directory and the cache of its pages.
const NODE_BYTES: usize = 1536;
/// Names that one file may have (ext4's limit).
const MAX_LINKS: u32 = 65_000;

/// A file, directory or other object.
pub(crate) struct Node {
    this: Weak<Node>,
    volume: Arc<Volume>,
    ino: u64,
    kind: FileKind,
    lower: Option<Lower>,
    attributes: Mutex<Attributes>,
    /// [`FileFlags`].
    flags: AtomicU32,
    body: Body,
    /// `None` until somebody asks.
    xattrs: Mutex<Option<Xattrs>>,
    locks: FileLocks,
    writers: WriteCount,
    watches: WatchList,
    attachment: Attachment,
    _heap_charge: HeapCharge,
}

/// The file of the layer below that a node began as.
struct Lower {
    file: Arc<dyn LowerFile>,
    identity: Identity,
    blocks: u64,
    /// The node differs from the file below, and is counted and kept.
    is_changed: AtomicBool,
}

struct Attributes {
    permissions: u32,
    links: u32,
    /// It was made without a name (O_TMPFILE) and may still get one.
    is_linkable: bool,
    uid: KernelUid,
    gid: KernelGid,
    accessed: Timestamp,
    modified: Timestamp,
    changed: Timestamp,
    created: Option<Timestamp>,
}

enum Body {
    Regular(Data),
    Directory(Mutex<Entries>),
    Symlink(Box<[u8]>),
    Device(DeviceNumber),
    /// A FIFO or a socket: what it is hangs on the attachment.
    Endpoint,
}

impl Body {
    fn new(node: &NewNode<'_>, parent_ino: u64) -> Self {
        match *node {
            NewNode::Regular => Self::Regular(Data::new(0, true)),
            NewNode::Directory => Self::Directory(Mutex::new(Entries::new(false, parent_ino))),
            NewNode::Symlink(text) => Self::Symlink(text.into()),
            NewNode::CharacterDevice(device) | NewNode::BlockDevice(device) => Self::Device(device),
            NewNode::Fifo | NewNode::Socket => Self::Endpoint,
        }
    }
}

impl Node {
    /// The root directory of an empty file system.
    pub(super) fn new_root(volume: &Arc<Volume>, options: &TmpfsOptions) -> Result<Arc<Self>, Errno> {
        let creation = NodeCreation {
            node: NewNode::Directory,
            permissions: options.permissions,
            uid: options.uid,
            gid: options.gid,
            acls: None,
        };
        Self::new(volume, &creation, 1)
    }

    fn new(volume: &Arc<Volume>, creation: &NodeCreation<'_>, parent_ino: u64) -> Result<Arc<Self>, Errno> {
        let text_bytes = if let NewNode::Symlink(text) = creation.node { text.len() } else { 0 };
        let heap_charge = HeapCharge::new(NODE_BYTES + text_bytes).map_err(|_| Errno::ENOSPC)?;
        volume.usage.keep_link(text_bytes)?;
        volume.usage.add_inode().inspect_err(|_| volume.usage.release_link(text_bytes))?;
        let now = Timestamp::now();
        let kind = creation.node.kind();
        Ok(Arc::new_cyclic(|this| Self {
            this: this.clone(),
            volume: volume.clone(),
            ino: volume.take_ino(),
            kind,
            lower: None,
            attributes: Mutex::new(Attributes {
                permissions: if kind == FileKind::Symlink { 0o777 } else { creation.permissions & 0o7777 },
                links: if kind == FileKind::Directory { 2 } else { 1 },
                is_linkable: false,
                uid: creation.uid,
                gid: creation.gid,
                accessed: now,
                modified: now,
                changed: now,
                created: Some(now),
            }),
            flags: AtomicU32::new(0),
            body: Body::new(&creation.node, parent_ino),
            xattrs: Mutex::default(),
            locks: FileLocks::default(),
            writers: WriteCount::default(),
            watches: WatchList::default(),
            attachment: Attachment::default(),
            _heap_charge: heap_charge,
        }))
    }

    /// The file system that it is in.
    pub(super) fn volume(&self) -> &Volume {
        &self.volume
    }

    pub(super) fn ino(&self) -> u64 {
        self.ino
    }

    pub(super) fn file_kind(&self) -> FileKind {
        self.kind
    }

    fn current_flags(&self) -> FileFlags {
        FileFlags::from_bits_retain(self.flags.load(Ordering::Acquire))
    }

    /// Fails if nobody may write the contents, not even who has opened the file before: ext4 is as strict as that.
    fn check_contents_mutable(&self) -> Result<(), Errno> {
        let is_immutable = self.volume.lower.is_some() && self.current_flags().contains(FileFlags::IMMUTABLE);
        if is_immutable { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// To be called before anything changes: from then on a node of the lower layer is kept.
    fn begin_change(&self) -> Result<(), Errno> {
        let Some(lower) = &self.lower else { return Ok(()) };
        if lower.is_changed.load(Ordering::Acquire) {
            return Ok(());
        }
        let (Some(table), Some(this)) = (&self.volume.lower, self.this.upgrade()) else { return Ok(()) };
        self.volume.usage.add_inode()?;
        if lower.is_changed.swap(true, Ordering::AcqRel) {
            self.volume.usage.remove_inode();
        } else {
            table.keep(lower.identity, this);
        }
        Ok(())
    }

    pub(super) fn stamp_modified(&self) {
        let now = Timestamp::now();
        let mut attributes = self.attributes.lock();
        (attributes.modified, attributes.changed) = (now, now);
    }

    /// Moves the access time, if it has fallen behind (`relatime`).
    pub(super) fn stamp_accessed(&self) {
        const DAY_SECONDS: i64 = 24 * 60 * 60;
        if self.current_flags().contains(FileFlags::NOATIME) {
            return;
        }
        let now = Timestamp::now();
        let mut attributes = self.attributes.lock();
        let accessed = attributes.accessed;
        if accessed <= attributes.modified
            || accessed <= attributes.changed
            || now.seconds.saturating_sub(accessed.seconds) >= DAY_SECONDS
        {
            attributes.accessed = now;
        }
    }

    /// Runs `change` on the extended attributes, which come from the file below the first time.
    fn with_xattrs<R>(&self, change: impl FnOnce(&mut Xattrs) -> R) -> R {
        let mut xattrs = self.xattrs.lock();
        let has_lower_xattrs = matches!(self.kind, FileKind::Regular | FileKind::Directory);
        change(xattrs.get_or_insert_with(|| match &self.lower {
            Some(lower) if has_lower_xattrs => {
                let xattrs = Xattrs::of_lower(lower.file.xattrs());
                self.volume.usage.keep_bytes_anyway(xattrs.kept_bytes());
                xattrs
            }
            _ => Xattrs::default(),
        }))
    }

    fn take_children(&mut self) -> Vec<Arc<Node>> {
        match &mut self.body {
            Body::Directory(entries) => {
                let (nodes, name_bytes) = entries.get_mut().take_nodes();
                self.volume.usage.release_bytes(name_bytes);
                nodes
            }
            _ => Vec::new(),
        }
    }
}

impl Volume {
    /// The node of the lower layer's root directory.
    pub(super) fn node_of_lower(
        self: &Arc<Self>,
        file: Arc<dyn LowerFile>,
        status: &LowerStatus,
    ) -> Result<Arc<Node>, Errno> {
        let root_ino = self.lower.as_ref().map_or(1, |table| table.ino(status.identity));
        self.node_of_lower_in(file, status, root_ino)
    }

    fn node_of_lower_in(
        self: &Arc<Self>,
        file: Arc<dyn LowerFile>,
        status: &LowerStatus,
        parent_ino: u64,
    ) -> Result<Arc<Node>, Errno> {
        let table = self.lower.as_ref().ok_or(Errno::ENOENT)?;
        let ino = table.ino(status.identity);
        let body = match status.kind {
            FileKind::Regular => Body::Regular(Data::new(status.size_bytes, false)),
            FileKind::Directory => Body::Directory(Mutex::new(Entries::new(true, parent_ino))),
            FileKind::Symlink => Body::Symlink(status.link_text.clone().unwrap_or_default()),
            FileKind::CharacterDevice | FileKind::BlockDevice => Body::Device(status.special_device),
            FileKind::Fifo | FileKind::Socket => Body::Endpoint,
        };
        let make = || {
            Arc::new_cyclic(|this| Node {
                this: this.clone(),
                volume: self.clone(),
                ino,
                kind: status.kind,
                lower: Some(Lower {
                    file,
                    identity: status.identity,
                    blocks: status.blocks,
                    is_changed: AtomicBool::new(false),
                }),
                attributes: Mutex::new(Attributes {
                    permissions: status.mode & 0o7777,
                    links: status.links.max(1),
                    is_linkable: false,
                    uid: status.uid,
                    gid: status.gid,
                    accessed: status.accessed,
                    modified: status.modified,
                    changed: status.changed,
                    created: status.created,
                }),
                flags: AtomicU32::new(status.file_flags.bits()),
                body,
                xattrs: Mutex::default(),
                locks: FileLocks::default(),
                writers: WriteCount::default(),
                watches: WatchList::default(),
                attachment: Attachment::default(),
                _heap_charge: HeapCharge::forced(NODE_BYTES),
            })
        };
        Ok(table.get_or_insert(status.identity, |node| node.kind == status.kind, make))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let usage = &self.volume.usage;
        match &self.lower {
            None => usage.remove_inode(),
            Some(lower) => {
                if lower.is_changed.load(Ordering::Acquire) {
                    usage.remove_inode();
                }
                if let Some(table) = &self.volume.lower {
                    table.forget(lower.identity);
                }
                if let (Some(store), 0) = (&self.volume.store, self.attributes.get_mut().links) {
                    store.ended(lower.identity.1);
                    usage.add_room(lower.blocks);
                }
            }
        }
        if let (Body::Symlink(text), None) = (&self.body, &self.lower) {
            usage.release_link(text.len());
        }
        if let Some(xattrs) = self.xattrs.get_mut() {
            usage.release_bytes(xattrs.kept_bytes());
        }
        // Not by recursion: a guest decides how deep its directories are.
        let mut ending = self.take_children();
        while let Some(child) = ending.pop() {
            if let Some(mut child) = Arc::into_inner(child) {
                ending.append(&mut child.take_children());
            }
        }
    }
}
