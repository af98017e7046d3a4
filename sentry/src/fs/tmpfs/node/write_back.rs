//! What a node tells of itself to the layer that takes changes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Body, Node};
use crate::Errno;
use crate::fs::inode::Inode;
use crate::fs::lower::{ChangedBody, ChangedEntry, ChangedFile, FileId};
use crate::fs::tmpfs::directory::{Entries, Target};

impl Node {
    /// Which file it is to the layer.
    pub(in crate::fs::tmpfs) fn file_id(&self) -> FileId {
        match &self.lower {
            Some(lower) => FileId::Lower(lower.identity.1),
            None => FileId::New(self.ino),
        }
    }

    /// Whether the layer does not know it as it is.
    pub(in crate::fs::tmpfs) fn is_changed(&self) -> bool {
        self.lower.as_ref().is_none_or(|lower| lower.is_changed.load(Ordering::Acquire))
    }

    /// The nodes that are known to be in this directory.
    pub(in crate::fs::tmpfs) fn known_children(&self) -> Vec<Arc<Node>> {
        let Body::Directory(entries) = &self.body else { return Vec::new() };
        let own = |(_, target): (&[u8], &Target)| match target {
            Target::Own(node) => Some(node.clone()),
            Target::Lower { .. } => None,
        };
        entries.lock().targets().filter_map(own).collect()
    }

    /// The file as it is now; `parent` is the directory that it is in, if that is not the layer's.
    ///
    /// # Errors
    /// The layer's.
    pub(in crate::fs::tmpfs) fn changed_file(
        &self,
        parent: Option<FileId>,
    ) -> Result<ChangedFile<'_>, Errno> {
        let body = match &self.body {
            Body::Regular(data) => {
                let (contents, version) = data.changed();
                ChangedBody::Regular { contents, version }
            }
            Body::Directory(_) => {
                let entries = self.loaded_entries()?;
                ChangedBody::Directory { entries: listed(&entries), parent, version: entries.version() }
            }
            Body::Symlink(text) => ChangedBody::Symlink(text),
            Body::Device(_) | Body::Endpoint => ChangedBody::Special,
        };
        let xattrs = self
            .xattrs
            .lock()
            .as_ref()
            .map(|xattrs| xattrs.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
        let is_new = self.lower.is_none();
        let xattrs = if is_new { xattrs.or(Some(Vec::new())) } else { xattrs };
        let (metadata, file_flags) = (self.metadata()?, self.current_flags());
        Ok(ChangedFile { id: self.file_id(), metadata, xattrs, file_flags, body })
    }

    /// Has all changes of the file system reach the layer, if that takes any.
    ///
    /// # Errors
    /// The layer's.
    pub(in crate::fs::tmpfs) fn write_back(&self) -> Result<(), Errno> {
        self.volume.write_back()
    }
}

fn listed(entries: &Entries) -> Vec<ChangedEntry> {
    let entry = |(name, target): (&[u8], &Target)| {
        let (id, kind) = match target {
            Target::Own(node) => (node.file_id(), Some(node.file_kind())),
            // With one file system below, a number is the layer's own.
            Target::Lower { ino, kind } => (FileId::Lower(*ino), *kind),
        };
        (name.into(), id, kind)
    };
    entries.targets().map(entry).collect()
}
