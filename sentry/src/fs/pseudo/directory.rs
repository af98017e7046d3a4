//! Open directories.

use std::any::Any;
use std::sync::Arc;

use super::{Child, Children, Directory, Node, PseudoInode, Subject};
use crate::Errno;
use crate::fs::{DirectoryEntry, File, FileKind, Inode, Metadata, Viewer};
use crate::heap::HeapCharge;

/// Positions from here on are keys of made-up children; below, places in the table.
const CHILDREN_START: u64 = 1 << 32;
/// What a made-up child takes while it is listed.
const CHILD_BYTES: usize = 64;

/// An open directory.
pub(super) struct DirectoryFile<S: Subject> {
    inode: Arc<PseudoInode<S>>,
    directory: &'static Directory<S>,
    /// Who has opened it.
    viewer: Viewer,
}

impl<S: Subject> DirectoryFile<S> {
    pub(super) fn new(inode: Arc<PseudoInode<S>>, directory: &'static Directory<S>, viewer: &Viewer) -> Self {
        Self { inode, directory, viewer: viewer.clone() }
    }

    /// Whether the made-up child called `name` is there for who has opened the directory.
    fn shows(&self, children: &dyn Children<S>, name: &[u8]) -> bool {
        if !self.inode.subject.hides_some() {
            return true;
        }
        match children.find(&self.inode.subject, name) {
            Ok(Child { subject, node: Node::Directory(directory), .. }) => {
                subject.check_visible(directory, &self.viewer).is_ok()
            }
            _ => true,
        }
    }

    /// The fixed names with `.` and `..`.
    fn fixed(&self) -> impl Iterator<Item = (&[u8], u64, FileKind)> {
        let dots: [(&[u8], u64, FileKind); 2] = [
            (b".", self.inode.ino, FileKind::Directory),
            (b"..", self.inode.parent_ino, FileKind::Directory),
        ];
        dots.into_iter().chain(self.directory.entries.iter().map(|entry| {
            let name = entry.name.as_bytes();
            (name, self.inode.child_ino(name), entry.node.kind())
        }))
    }
}

impl<S: Subject> File for DirectoryFile<S> {
    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_directory(
        &self,
        position: u64,
        sink: &mut dyn FnMut(DirectoryEntry) -> bool,
    ) -> Result<(), Errno> {
        self.inode.subject.check_listable(self.directory)?;
        for (place, (name, inode, kind)) in (0u64..).zip(self.fixed()) {
            if place < position || self.inode.subject.hides(self.directory, name) {
                continue;
            }
            let kind = kind.directory_entry_type();
            let entry = DirectoryEntry { inode, next_position: place + 1, kind, name: name.to_vec() };
            if !sink(entry) {
                return Ok(());
            }
        }
        let Some(children) = self.directory.children else { return Ok(()) };
        let first_key = position.saturating_sub(CHILDREN_START);
        let listed = children.list(&self.inode.subject)?;
        let _charge = HeapCharge::transient(listed.len() * CHILD_BYTES)?;
        for (key, name) in listed {
            if key < first_key || !self.shows(children, &name) {
                continue;
            }
            let entry = DirectoryEntry {
                inode: self.inode.child_ino(&name),
                next_position: CHILDREN_START.saturating_add(key).saturating_add(1),
                kind: children.kind_of(&name).directory_entry_type(),
                name,
            };
            if !sink(entry) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
