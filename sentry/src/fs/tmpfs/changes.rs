//! What a tree has that the layer below has not, and the other way round.
//!
//! A walk from the root, breadth first: directories of the layer that nobody has changed are passed through only as long as a changed
//! file of the layer has not been met yet.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::node::{Listed, Node};
use crate::Errno;
use crate::fs::inode::Inode;
use crate::fs::metadata::{FileKind, Timestamp};

/// A difference between a tree and the layer below it.
#[derive(Clone)]
pub struct Change {
    /// Where, from the root and without a slash at either end; empty for the root directory.
    pub path: Vec<u8>,
    /// What is different.
    pub kind: ChangeKind,
    above: Arc<Directory>,
}

/// What is different at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// What is there is new, or has changed; with its inode number and its last change (`st_ino`, `st_ctim`). Of a directory this
    /// says nothing about what is in it.
    Present(u64, Timestamp),
    /// It is a directory, and nothing that the layer has in it is there. Comes after it is [`Self::Present`].
    Opaque,
    /// It is not there any more.
    Absent,
}

/// A directory on the way to a change.
struct Directory {
    node: Arc<Node>,
    path: Vec<u8>,
    above: Option<Arc<Self>>,
}

impl Change {
    /// The inode that is there.
    ///
    /// # Errors
    /// ENOENT: it is absent. And what keeps the layer from being read.
    pub fn inode(&self) -> Result<Arc<dyn Inode>, Errno> {
        match self.path.rsplit(is_slash).next() {
            Some(name) if !name.is_empty() => self.above.node.lookup(name),
            _ => Ok(self.above.node.clone()),
        }
    }

    /// The directories that lead there, from the outermost, with their paths; not the root.
    pub fn directories(&self) -> Vec<(&[u8], Arc<dyn Inode>)> {
        let way = std::iter::successors(Some(&self.above), |directory| directory.above.as_ref());
        let below_root = way.filter(|directory| directory.above.is_some());
        let mut directories: Vec<(&[u8], Arc<dyn Inode>)> =
            below_root.map(|directory| (&*directory.path, directory.node.clone() as _)).collect();
        directories.reverse();
        directories
    }
}

/// How the tree whose root directory is `root` differs from its layer, in the order of paths, so that a directory comes ahead of
/// what is in it; everything of a tree without a layer.
///
/// # Errors
/// EINVAL: it is no tree of files in memory. What keeps the layer from being read.
pub fn changes(root: &Arc<dyn Inode>) -> Result<Vec<Change>, Errno> {
    let root: &Node = root.as_any().downcast_ref().ok_or(Errno::EINVAL)?;
    let root = root.handle().ok_or(Errno::EINVAL)?;
    let mut walk = Walk { found: Vec::new(), pending: VecDeque::new(), unseen: root.changed_names_below() };
    walk.root(root)?;
    while let Some(step) = walk.pending.pop_front() {
        walk.visit(&step)?;
    }
    // Stable: what comes after the same path stays behind it.
    walk.found.sort_by(|one, other| one.path.split(is_slash).cmp(other.path.split(is_slash)));
    Ok(walk.found)
}

fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

/// A directory that is to be looked through.
struct Step {
    directory: Arc<Directory>,
    /// It is the layer's directory of that path.
    is_in_place: bool,
}

struct Walk {
    found: Vec<Change>,
    pending: VecDeque<Step>,
    /// Names of changed files of the layer that have not been met.
    unseen: u64,
}

impl Walk {
    fn root(&mut self, node: Arc<Node>) -> Result<(), Errno> {
        self.note_met(&node);
        let (is_in_place, is_changed) = (node.identity().is_some(), node.is_changed());
        let directory = Arc::new(Directory { node, path: Vec::new(), above: None });
        if is_changed {
            let (ino, changed) = directory.node.version();
            self.tell(&directory, Vec::new(), ChangeKind::Present(ino, changed));
        }
        self.pending.push_back(Step { directory, is_in_place });
        Ok(())
    }

    fn tell(&mut self, above: &Arc<Directory>, path: Vec<u8>, kind: ChangeKind) {
        self.found.push(Change { path, kind, above: above.clone() });
    }

    fn visit(&mut self, step: &Step) -> Result<(), Errno> {
        let Directory { node, path, .. } = &*step.directory;
        let listing = match node.listing() {
            Err(error) if step.is_in_place && !node.is_changed() => {
                log::warn!("/{}: it is not looked through for changes: {error}", path.escape_ascii());
                return Ok(());
            }
            listing => listing?,
        };
        let may_differ = !step.is_in_place || (node.is_changed() && !listing.is_untouched);
        if !may_differ && self.unseen == 0 {
            return Ok(());
        }
        for listed in &listing.entries {
            self.enter(step, listed)?;
        }
        if step.is_in_place && !listing.is_untouched {
            let there: BTreeSet<&[u8]> = listing.entries.iter().map(|listed| &*listed.name).collect();
            for name in node.lower_names()?.iter().filter(|name| !there.contains(&***name)) {
                self.tell(&step.directory, joined(path, name), ChangeKind::Absent);
            }
        }
        Ok(())
    }

    fn enter(&mut self, step: &Step, listed: &Listed) -> Result<(), Errno> {
        let above = &step.directory;
        let node = match above.node.child(&listed.name) {
            // The layer is the host's, and has changed meanwhile.
            Err(Errno::ENOENT) if listed.is_lower => return Ok(()),
            node => node?,
        };
        let path = joined(&above.path, &listed.name);
        let below = match (step.is_in_place, listed.is_lower) {
            (true, false) => above.node.lower_status(&listed.name)?,
            _ => None,
        };
        let is_same = below.as_ref().is_some_and(|below| Some(below.identity) == node.identity());
        let is_in_place = step.is_in_place && (listed.is_lower || is_same);
        if !is_in_place || node.is_changed() {
            let (ino, changed) = node.version();
            self.tell(above, path.clone(), ChangeKind::Present(ino, changed));
        }
        self.note_met(&node);
        if node.file_kind() == FileKind::Directory {
            if !is_in_place && below.is_some_and(|below| below.kind == FileKind::Directory) {
                self.tell(above, path.clone(), ChangeKind::Opaque);
            }
            let directory = Arc::new(Directory { node, path, above: Some(above.clone()) });
            self.pending.push_back(Step { directory, is_in_place });
        }
        Ok(())
    }

    /// A node has been met by one of its names.
    fn note_met(&mut self, node: &Node) {
        if node.identity().is_some() && node.is_changed() {
            self.unseen = self.unseen.saturating_sub(1);
        }
    }
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, name].join(&b'/') }
}
