//! Names in a directory: found, made, removed, and taken over from the layer below when first asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::{Body, Node, SET_GID};
use crate::Errno;
use crate::fs::inode::{Inode, NewNode, NodeCreation, RenameMode};
use crate::fs::metadata::{DeviceNumber, FileKind, Timestamp};
use crate::fs::tmpfs::directory::{Entries, Lookup, Target};

impl Node {
    pub(super) fn entries(&self) -> Result<MutexGuard<'_, Entries>, Errno> {
        match &self.body {
            Body::Directory(entries) => Ok(entries.lock()),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The entries, taken over from the layer below if need be.
    pub(in crate::fs::tmpfs) fn loaded_entries(&self) -> Result<MutexGuard<'_, Entries>, Errno> {
        let mut entries = self.entries()?;
        if let (Some(lower), Some(table), true) = (&self.lower, &self.volume.lower, entries.is_untouched()) {
            let listed = lower.file.list()?;
            entries.load(listed, |inode| table.ino((lower.identity.0, inode)))?;
        }
        Ok(entries)
    }

    /// The entries, to be changed.
    pub(super) fn entries_for_change(&self) -> Result<MutexGuard<'_, Entries>, Errno> {
        self.begin_change()?;
        self.loaded_entries()
    }

    pub(in crate::fs::tmpfs) fn child(&self, name: &[u8]) -> Result<Arc<Node>, Errno> {
        let found = self.entries()?.lookup(name);
        match (found, &self.lower) {
            (Lookup::Own(node), _) => Ok(node),
            (Lookup::AskLower, Some(lower)) => {
                let (file, status) = lower.file.lookup(name)?;
                self.volume.node_of_lower_in(file, &status, self.ino)
            }
            _ => Err(Errno::ENOENT),
        }
    }

    /// Counts one name less of this node. A directory has lost its only one.
    pub(super) fn unlinked(&self) {
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

    pub(super) fn add_links(&self, count: i32) {
        let mut attributes = self.attributes.lock();
        attributes.links = attributes.links.saturating_add_signed(count);
    }

    /// Enters `node` under a new name.
    pub(super) fn enter(&self, name: &[u8], node: &Arc<Node>) -> Result<(), Errno> {
        let mut entries = self.entries_for_change()?;
        Entries::check_room(name)?;
        self.volume.usage.keep_bytes(name.len())?;
        let old = entries.insert(name, Target::Own(node.clone()));
        drop(entries);
        self.left(name, old);
        self.stamp_modified();
        Ok(())
    }

    /// Accounts for a name that has been removed.
    pub(super) fn left(&self, name: &[u8], target: Option<Target>) {
        if let Some(Target::Own(_)) = target {
            self.volume.usage.release_bytes(name.len());
        }
    }

    pub(super) fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        let removed = self.entries_for_change()?.remove(name);
        self.left(name, removed);
        self.stamp_modified();
        Ok(())
    }

    /// Makes a node that inherits from this directory what new files do (`man 7 inode`, S_ISGID).
    pub(super) fn make(&self, creation: &NodeCreation<'_>) -> Result<Arc<Node>, Errno> {
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
        let node = Self::new(&self.volume, &creation, self.ino)?;
        let flags = self.current_flags().inherited_by(node.kind) & self.volume.file_flags();
        node.flags.store(flags.bits(), Ordering::Release);
        if let Some(acls) = creation.acls {
            node.inherit(acls)?;
        }
        Ok(node)
    }

    /// What a rename leaves behind, if it does.
    pub(super) fn whiteout(&self, mode: RenameMode) -> Result<Option<Arc<Node>>, Errno> {
        let RenameMode::Whiteout { owner: (uid, gid), .. } = mode else { return Ok(None) };
        let node = NewNode::CharacterDevice(DeviceNumber::default());
        let creation = NodeCreation { node, permissions: 0, uid, gid, acls: None };
        Self::new(&self.volume, &creation, self.ino).map(Some)
    }

    pub(super) fn same_volume<'a>(&self, inode: &'a Arc<dyn Inode>) -> Result<&'a Node, Errno> {
        let node: &Node = inode.as_any().downcast_ref().ok_or(Errno::EXDEV)?;
        if Arc::ptr_eq(&node.volume, &self.volume) { Ok(node) } else { Err(Errno::EXDEV) }
    }

    /// Accounts for a move from `old` to `new`.
    pub(super) fn moved_to(&self, old: &Node, new: &Node) {
        self.attributes.lock().changed = Timestamp::now();
        if let Body::Directory(entries) = &self.body {
            entries.lock().parent_ino = new.ino;
            old.add_links(-1);
            new.add_links(1);
        }
    }
}
