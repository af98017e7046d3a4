//! An inode in memory.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use linux_raw_sys::general as uapi;
use parking_lot::{Mutex, MutexGuard};

use super::directory::{Entries, Lookup, Target};
use super::file::{DirectoryFile, RegularFile};
use super::lower::Identity;
use super::{TmpfsOptions, Volume};
use crate::Errno;
use crate::fs::host::{HostNode, HostPages, HostStatus};
use crate::fs::inode::{Attachment, Inode, LinkTarget, NewNode, NodeCreation, RenameMode, Viewer};
use crate::fs::locks::FileLocks;
use crate::fs::metadata::{AttributeChanges, DeviceNumber, FileKind, Metadata, Timestamp};
use crate::fs::{File, OpenFlags};
use crate::memory::{MemoryAccount, PageCache};

const SET_GID: u32 = 0o2000;
/// Names that one file may have (ext4's limit).
const MAX_LINKS: u32 = 65_000;

/// A file, directory or other object.
pub(crate) struct Node {
    this: Weak<Node>,
    volume: Arc<Volume>,
    number: u64,
    kind: FileKind,
    lower: Option<Lower>,
    attributes: Mutex<Attributes>,
    body: Body,
    /// `None` until somebody asks.
    xattrs: Mutex<Option<BTreeMap<Vec<u8>, Vec<u8>>>>,
    locks: FileLocks,
    attachment: Attachment,
}

/// The file of the host that a node began as.
struct Lower {
    host: Arc<HostNode>,
    identity: Identity,
    blocks: u64,
    /// The node differs from the host's file, and is counted and kept.
    is_changed: AtomicBool,
}

struct Attributes {
    permissions: u32,
    links: u32,
    /// It was made without a name (O_TMPFILE) and may still get one.
    is_linkable: bool,
    uid: u32,
    gid: u32,
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

/// The contents of a regular file.
pub(super) struct Data {
    /// Made when it is first mapped or written.
    cache: OnceLock<Arc<PageCache>>,
    /// Length of the host's file.
    lower_size: u64,
    /// Whether the pages may differ from the host's file: reads then go to the cache.
    is_own: AtomicBool,
    /// Held while data is appended.
    append: Mutex<()>,
    /// `F_SEAL_*`: what may not be done any more.
    seals: AtomicU32,
}

impl Body {
    fn new(node: &NewNode<'_>, parent_number: u64) -> Self {
        match *node {
            NewNode::Regular => Self::Regular(Data::new(0, true)),
            NewNode::Directory => Self::Directory(Mutex::new(Entries::new(false, parent_number))),
            NewNode::Symlink(text) => Self::Symlink(text.into()),
            NewNode::CharacterDevice(device) | NewNode::BlockDevice(device) => Self::Device(device),
            NewNode::Fifo | NewNode::Socket => Self::Endpoint,
        }
    }
}

impl Data {
    fn new(lower_size: u64, is_own: bool) -> Self {
        Self {
            cache: OnceLock::new(),
            lower_size,
            is_own: AtomicBool::new(is_own),
            append: Mutex::new(()),
            seals: AtomicU32::new(uapi::F_SEAL_SEAL),
        }
    }

    fn is_sealed(&self, seals: u32) -> bool {
        self.seals.load(Ordering::Acquire) & seals != 0
    }

    /// Fails if a seal forbids to write up to `end`.
    fn check_write_seals(&self, end: u64) -> Result<(), Errno> {
        let is_forbidden = self.is_sealed(uapi::F_SEAL_WRITE | uapi::F_SEAL_FUTURE_WRITE)
            || self.is_sealed(uapi::F_SEAL_GROW) && end > self.size();
        if is_forbidden { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Fails if a seal forbids to change the length.
    fn check_resize_seals(&self, size: u64) -> Result<(), Errno> {
        let old = self.size();
        let is_forbidden = size < old && self.is_sealed(uapi::F_SEAL_SHRINK)
            || size > old && self.is_sealed(uapi::F_SEAL_GROW);
        if is_forbidden { Err(Errno::EPERM) } else { Ok(()) }
    }

    fn size(&self) -> u64 {
        self.cache.get().map_or(self.lower_size, |cache| cache.size())
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
        };
        Self::new(volume, &creation, 1)
    }

    fn new(
        volume: &Arc<Volume>,
        creation: &NodeCreation<'_>,
        parent_number: u64,
    ) -> Result<Arc<Self>, Errno> {
        if let NewNode::Symlink(text) = creation.node {
            volume.usage.keep_bytes(text.len())?;
        }
        if let Err(error) = volume.usage.add_inode() {
            if let NewNode::Symlink(text) = creation.node {
                volume.usage.release_bytes(text.len());
            }
            return Err(error);
        }
        let now = Timestamp::now();
        let kind = creation.node.kind();
        Ok(Arc::new_cyclic(|this| Self {
            this: this.clone(),
            volume: volume.clone(),
            number: volume.take_number(),
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
            body: Body::new(&creation.node, parent_number),
            xattrs: Mutex::default(),
            locks: FileLocks::default(),
            attachment: Attachment::default(),
        }))
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn file_kind(&self) -> FileKind {
        self.kind
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

    fn data(&self) -> Result<&Data, Errno> {
        match &self.body {
            Body::Regular(data) => Ok(data),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The pages of a regular file. With `for_change` they may come to differ from the host's file.
    pub(super) fn page_cache(&self, for_change: bool) -> Result<Arc<PageCache>, Errno> {
        let data = self.data()?;
        if for_change {
            self.begin_change()?;
        }
        let make = || {
            let pages = self.lower.as_ref().map(|lower| Box::new(HostPages(lower.host.clone())) as _);
            let budget = self.volume.usage.clone();
            PageCache::with_budget(&self.volume.frames, pages, data.lower_size, Some(budget))
        };
        let cache = data.cache.get_or_init(make).clone();
        if for_change {
            data.is_own.store(true, Ordering::Release);
        }
        Ok(cache)
    }

    pub(super) fn read_data(
        &self,
        buffer: &mut [u8],
        offset: u64,
        payer: Option<&Arc<MemoryAccount>>,
    ) -> Result<usize, Errno> {
        let data = self.data()?;
        if let (Some(lower), false) = (&self.lower, data.is_own.load(Ordering::Acquire)) {
            let left = usize::try_from(data.lower_size.saturating_sub(offset)).unwrap_or(usize::MAX);
            let len = buffer.len().min(left);
            return match buffer.get_mut(..len) {
                Some(buffer) if !buffer.is_empty() => lower.host.read_at(buffer, offset),
                _ => Ok(0),
            };
        }
        match data.cache.get() {
            Some(cache) => cache.read_at(buffer, offset, payer),
            None => Ok(0),
        }
    }

    pub(super) fn write_data(
        &self,
        buffer: &[u8],
        offset: u64,
        payer: Option<&Arc<MemoryAccount>>,
    ) -> Result<usize, Errno> {
        self.data()?.check_write_seals(offset.saturating_add(buffer.len() as u64))?;
        let written = self.page_cache(true)?.write_at(buffer, offset, payer)?;
        self.stamp_modified();
        Ok(written)
    }

    pub(super) fn append_data(
        &self,
        buffer: &[u8],
        payer: Option<&Arc<MemoryAccount>>,
    ) -> Result<(usize, u64), Errno> {
        let data = self.data()?;
        let cache = self.page_cache(true)?;
        let _appending = data.append.lock();
        let offset = cache.size();
        data.check_write_seals(offset.saturating_add(buffer.len() as u64))?;
        let written = cache.write_at(buffer, offset, payer)?;
        self.stamp_modified();
        Ok((written, offset + written as u64))
    }

    /// Fails if a seal forbids fallocate(2) up to `end`.
    pub(super) fn check_allocate_seals(&self, end: u64, makes_hole: bool) -> Result<(), Errno> {
        let data = self.data()?;
        if makes_hole { data.check_write_seals(0) } else { data.check_resize_seals(end.max(data.size())) }
    }

    /// Fails if a seal forbids shared writable mappings.
    pub(super) fn check_mapping_seals(&self) -> Result<(), Errno> {
        self.data()?.check_write_seals(0)
    }

    pub(super) fn seals(&self) -> Result<u32, Errno> {
        Ok(self.data().map_err(|_| Errno::EINVAL)?.seals.load(Ordering::Acquire))
    }

    pub(super) fn add_seals(&self, seals: u32) -> Result<(), Errno> {
        let data = self.data().map_err(|_| Errno::EINVAL)?;
        if data.seals.load(Ordering::Acquire) & uapi::F_SEAL_SEAL != 0 {
            return Err(Errno::EPERM);
        }
        if seals & (uapi::F_SEAL_WRITE | uapi::F_SEAL_FUTURE_WRITE) != 0 {
            let leaves_existing = seals & uapi::F_SEAL_WRITE == 0;
            self.page_cache(true)?.forbid_writable_mappings(leaves_existing)?;
        }
        let add = |old: u32| (old & uapi::F_SEAL_SEAL == 0).then_some(old | seals);
        data.seals.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).map(drop).map_err(|_| Errno::EPERM)
    }

    pub(super) fn set_seals(&self, seals: u32) -> Result<(), Errno> {
        self.data()?.seals.store(seals, Ordering::Release);
        Ok(())
    }

    pub(super) fn size(&self) -> u64 {
        match &self.body {
            Body::Regular(data) => data.size(),
            Body::Symlink(text) => text.len() as u64,
            Body::Directory(_) => 4096,
            Body::Device(_) | Body::Endpoint => 0,
        }
    }

    pub(super) fn stamp_modified(&self) {
        let now = Timestamp::now();
        let mut attributes = self.attributes.lock();
        (attributes.modified, attributes.changed) = (now, now);
    }

    /// Moves the access time, if it has fallen behind (`relatime`).
    pub(super) fn stamp_accessed(&self) {
        const DAY_SECONDS: i64 = 24 * 60 * 60;
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

    fn entries(&self) -> Result<MutexGuard<'_, Entries>, Errno> {
        match &self.body {
            Body::Directory(entries) => Ok(entries.lock()),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The entries, taken over from the host if need be.
    pub(super) fn loaded_entries(&self) -> Result<MutexGuard<'_, Entries>, Errno> {
        let mut entries = self.entries()?;
        if let (Some(lower), Some(table), true) = (&self.lower, &self.volume.lower, entries.is_untouched()) {
            let listed = lower.host.list()?;
            entries.load(listed, |inode| table.number((lower.identity.0, inode)));
        }
        Ok(entries)
    }

    /// The entries, to be changed.
    fn entries_for_change(&self) -> Result<MutexGuard<'_, Entries>, Errno> {
        self.begin_change()?;
        self.loaded_entries()
    }

    fn child(&self, name: &[u8]) -> Result<Arc<Node>, Errno> {
        let found = self.entries()?.lookup(name);
        match (found, &self.lower) {
            (Lookup::Own(node), _) => Ok(node),
            (Lookup::AskLower, Some(lower)) => {
                let (host, status) = lower.host.lookup(name)?;
                self.volume.node_of_lower_in(host, &status, self.number)
            }
            _ => Err(Errno::ENOENT),
        }
    }

    /// Counts one name less of this node. A directory has lost its only one.
    fn unlinked(&self) {
        let is_last = {
            let mut attributes = self.attributes.lock();
            let is_directory = self.kind == FileKind::Directory;
            attributes.links = if is_directory { 0 } else { attributes.links.saturating_sub(1) };
            attributes.changed = Timestamp::now();
            attributes.links == 0
        };
        if let (true, Some(lower), Some(table)) = (is_last, &self.lower, &self.volume.lower) {
            table.release(lower.identity);
        }
    }

    fn add_links(&self, count: i32) {
        let mut attributes = self.attributes.lock();
        attributes.links = attributes.links.saturating_add_signed(count);
    }

    /// Enters `node` under a new name.
    fn enter(&self, name: &[u8], node: &Arc<Node>) -> Result<(), Errno> {
        let mut entries = self.entries_for_change()?;
        self.volume.usage.keep_bytes(name.len())?;
        let old = entries.insert(name, Target::Own(node.clone()));
        drop(entries);
        self.left(name, old);
        self.stamp_modified();
        Ok(())
    }

    /// Accounts for a name that has been removed.
    fn left(&self, name: &[u8], target: Option<Target>) {
        if let Some(Target::Own(_)) = target {
            self.volume.usage.release_bytes(name.len());
        }
    }

    fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        let removed = self.entries_for_change()?.remove(name);
        self.left(name, removed);
        self.stamp_modified();
        Ok(())
    }

    /// Makes a node that inherits from this directory what new files do (`man 7 inode`, S_ISGID).
    fn make(&self, creation: &NodeCreation<'_>) -> Result<Arc<Node>, Errno> {
        let mut creation = *creation;
        {
            let attributes = self.attributes.lock();
            if attributes.links == 0 {
                return Err(Errno::ENOENT);
            }
            if attributes.permissions & SET_GID != 0 {
                creation.gid = attributes.gid;
                if creation.node == NewNode::Directory {
                    creation.permissions |= SET_GID;
                }
            }
        }
        Self::new(&self.volume, &creation, self.number)
    }

    fn same_volume<'a>(&self, inode: &'a Arc<dyn Inode>) -> Result<&'a Node, Errno> {
        let node: &Node = inode.as_any().downcast_ref().ok_or(Errno::EXDEV)?;
        if Arc::ptr_eq(&node.volume, &self.volume) { Ok(node) } else { Err(Errno::EXDEV) }
    }

    /// Runs `change` on the extended attributes, which come from the host the first time.
    fn with_xattrs<R>(&self, change: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>) -> R) -> R {
        let mut xattrs = self.xattrs.lock();
        let has_lower_xattrs = matches!(self.kind, FileKind::Regular | FileKind::Directory);
        change(xattrs.get_or_insert_with(|| match &self.lower {
            Some(lower) if has_lower_xattrs => lower.host.xattrs().into_iter().collect(),
            _ => BTreeMap::new(),
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
    /// The node of the host's root directory.
    pub(super) fn node_of_lower(
        self: &Arc<Self>,
        host: Arc<HostNode>,
        status: &HostStatus,
    ) -> Result<Arc<Node>, Errno> {
        let root_number = self.lower.as_ref().map_or(1, |table| table.number(status.identity));
        self.node_of_lower_in(host, status, root_number)
    }

    fn node_of_lower_in(
        self: &Arc<Self>,
        host: Arc<HostNode>,
        status: &HostStatus,
        parent_number: u64,
    ) -> Result<Arc<Node>, Errno> {
        let table = self.lower.as_ref().ok_or(Errno::ENOENT)?;
        let number = table.number(status.identity);
        let body = match status.kind {
            FileKind::Regular => Body::Regular(Data::new(status.size_bytes, false)),
            FileKind::Directory => Body::Directory(Mutex::new(Entries::new(true, parent_number))),
            FileKind::Symlink => Body::Symlink(status.link_text.clone().unwrap_or_default()),
            FileKind::CharacterDevice | FileKind::BlockDevice => Body::Device(status.special_device),
            FileKind::Fifo | FileKind::Socket => Body::Endpoint,
        };
        let make = || {
            Arc::new_cyclic(|this| Node {
                this: this.clone(),
                volume: self.clone(),
                number,
                kind: status.kind,
                lower: Some(Lower {
                    host,
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
                body,
                xattrs: Mutex::default(),
                locks: FileLocks::default(),
                attachment: Attachment::default(),
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
            }
        }
        if let (Body::Symlink(text), None) = (&self.body, &self.lower) {
            usage.release_bytes(text.len());
        }
        if let Some(xattrs) = self.xattrs.get_mut() {
            usage.release_bytes(xattrs.iter().map(|(name, value)| name.len() + value.len()).sum());
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
            (_, None) => 0,
        };
        let special_device = match self.body {
            Body::Device(device) => device,
            _ => DeviceNumber::default(),
        };
        Ok(Metadata {
            device: self.volume.device,
            inode: self.number,
            mode: self.kind.mode_bits() | attributes.permissions,
            links: attributes.links,
            uid: attributes.uid,
            gid: attributes.gid,
            special_device,
            size_bytes,
            block_size_bytes: 4096,
            blocks,
            accessed: attributes.accessed,
            modified: attributes.modified,
            changed: attributes.changed,
            created: attributes.created,
        })
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        self.begin_change()?;
        if let Some(size) = changes.size_bytes {
            self.data()?.check_resize_seals(size)?;
            self.page_cache(true)?.resize(size)?;
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
        drop(self.loaded_entries()?);
        new_directory.enter(new_name, &moved)?;
        match (&target, mode) {
            (Some(target), RenameMode::Exchange) => self.enter(name, target)?,
            _ => self.remove(name)?,
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

    fn open(self: Arc<Self>, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        match &self.body {
            Body::Regular(data) => {
                let is_lower = !data.is_own.load(Ordering::Acquire) && !flags.contains(OpenFlags::TRUNC);
                if let (Some(lower), true) = (&self.lower, is_lower) {
                    lower.host.check_readable()?;
                }
                Ok(Arc::new(RegularFile::new(self, flags)))
            }
            Body::Directory(_) => Ok(Arc::new(DirectoryFile(self))),
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
            match (must_exist, xattrs.contains_key(name)) {
                (Some(false), true) => return Err(Errno::EEXIST),
                (Some(true), false) => return Err(Errno::ENODATA),
                _ => {}
            }
            usage.keep_bytes(name.len() + value.len())?;
            if let Some(old) = xattrs.insert(name.to_vec(), value.to_vec()) {
                usage.release_bytes(name.len() + old.len());
            }
            Ok(())
        })?;
        self.attributes.lock().changed = Timestamp::now();
        Ok(())
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        Ok(self.with_xattrs(|xattrs| xattrs.keys().cloned().collect()))
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        check_namespace(name)?;
        self.begin_change()?;
        let removed = self.with_xattrs(|xattrs| xattrs.remove(name)).ok_or(Errno::ENODATA)?;
        self.volume.usage.release_bytes(name.len() + removed.len());
        self.attributes.lock().changed = Timestamp::now();
        Ok(())
    }

    fn attachment(&self) -> Option<&Attachment> {
        Some(&self.attachment)
    }

    fn locks(&self) -> Option<&FileLocks> {
        Some(&self.locks)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Node {
    /// Accounts for a move from `old` to `new`.
    fn moved_to(&self, old: &Node, new: &Node) {
        self.attributes.lock().changed = Timestamp::now();
        if let Body::Directory(entries) = &self.body {
            entries.lock().parent_number = new.number;
            old.add_links(-1);
            new.add_links(1);
        }
    }
}

/// Fails for extended attributes that are not kept.
fn check_namespace(name: &[u8]) -> Result<(), Errno> {
    let is_kept = [&b"user."[..], b"trusted.", b"security."].iter().any(|prefix| name.starts_with(prefix));
    if is_kept { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}
