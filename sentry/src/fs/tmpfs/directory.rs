//! The entries of a directory.
//!
//! A directory of the lower layer is *untouched* until it is listed or changed: the layer answers lookups. Then
//! its entries are copied once, and from there on these are the truth; so there are no whiteouts to keep.
//!
//! Each entry has a position of its own, given in the order of insertion: a listing goes on from a position
//! whatever has been added or removed meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::node::Node;
use crate::Errno;
use crate::fs::DirectoryEntry;
use crate::fs::lower::LowerEntry;
use crate::fs::metadata::FileKind;
use crate::heap::{self, HeapCharge, shrink_map};

/// What a name takes in both tables, beside its bytes.
const NAME_BYTES: usize = 192;
/// The first positions are those of `.` and `..`.
const FIRST_POSITION: u64 = 2;

/// A directory's entries.
pub(super) struct Entries {
    is_untouched: bool,
    by_name: HashMap<Arc<[u8]>, u64>,
    by_position: BTreeMap<u64, Entry>,
    next_position: u64,
    /// Counts changes.
    version: u64,
    /// The inode number of `..`.
    pub(super) parent_ino: u64,
}

struct Entry {
    name: Arc<[u8]>,
    target: Target,
    _heap_charge: HeapCharge,
}

/// What a name leads to.
#[derive(Clone)]
pub(super) enum Target {
    /// A node that only this file system has, or that was moved here.
    Own(Arc<Node>),
    /// The layer's file of the same name.
    Lower {
        /// The inode number.
        ino: u64,
        /// The type, if the layer told.
        kind: Option<FileKind>,
    },
}

/// What a directory knows of a name.
pub(super) enum Lookup {
    /// Nothing: the layer is to be asked.
    AskLower,
    /// This node.
    Own(Arc<Node>),
    /// There is no such entry.
    Absent,
}

impl Entries {
    pub(super) fn new(is_untouched: bool, parent_ino: u64) -> Self {
        Self {
            is_untouched,
            by_name: HashMap::new(),
            by_position: BTreeMap::new(),
            next_position: FIRST_POSITION,
            version: 1,
            parent_ino,
        }
    }

    /// Whether the layer still answers.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_untouched
    }

    /// Takes over the layer's entries.
    ///
    /// # Errors
    /// ENOMEM: they cannot be paid for.
    pub(super) fn load(&mut self, entries: Vec<LowerEntry>, ino: impl Fn(u64) -> u64) -> Result<(), Errno> {
        heap::check_room(entries.iter().map(|entry| NAME_BYTES + entry.name.len()).sum())?;
        self.is_untouched = false;
        for entry in entries {
            self.insert(&entry.name, Target::Lower { ino: ino(entry.inode), kind: entry.kind });
        }
        Ok(())
    }

    /// Fails if one more name of so many bytes cannot be paid for.
    ///
    /// # Errors
    /// ENOSPC.
    pub(super) fn check_room(name: &[u8]) -> Result<(), Errno> {
        heap::check_room(NAME_BYTES + name.len()).map_err(|_| Errno::ENOSPC)
    }

    pub(super) fn lookup(&self, name: &[u8]) -> Lookup {
        if self.is_untouched {
            return Lookup::AskLower;
        }
        match self.by_name.get(name).and_then(|position| self.by_position.get(position)) {
            Some(Entry { target: Target::Own(node), .. }) => Lookup::Own(node.clone()),
            Some(Entry { target: Target::Lower { .. }, .. }) => Lookup::AskLower,
            None => Lookup::Absent,
        }
    }

    /// Tells these entries from others before or after.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Each name with what it leads to, in the order of listing.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&[u8], &Target)> {
        self.by_position.values().map(|entry| (&*entry.name, &entry.target))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Enters `name`, which is then at a new position, and returns what it led to before.
    pub(super) fn insert(&mut self, name: &[u8], target: Target) -> Option<Target> {
        let old = self.remove(name);
        let name: Arc<[u8]> = name.into();
        let position = self.next_position;
        self.next_position += 1;
        self.version += 1;
        self.by_name.insert(name.clone(), position);
        let _heap_charge = HeapCharge::forced(NAME_BYTES + name.len());
        self.by_position.insert(position, Entry { name, target, _heap_charge });
        old
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Target> {
        let position = self.by_name.remove(name)?;
        shrink_map(&mut self.by_name);
        self.version += 1;
        self.by_position.remove(&position).map(|entry| entry.target)
    }

    /// Lists from `position` on until `sink` has had enough.
    pub(super) fn list(&self, own_number: u64, position: u64, sink: &mut dyn FnMut(DirectoryEntry) -> bool) {
        let directory = FileKind::Directory.directory_entry_type();
        let dots = [(0, own_number, &b"."[..]), (1, self.parent_ino, &b".."[..])];
        for (at, inode, name) in dots.into_iter().filter(|(at, ..)| *at >= position) {
            let entry = DirectoryEntry { inode, next_position: at + 1, kind: directory, name: name.to_vec() };
            if !sink(entry) {
                return;
            }
        }
        for (&at, entry) in self.by_position.range(position.max(FIRST_POSITION)..) {
            let (inode, kind) = match &entry.target {
                Target::Own(node) => (node.ino(), Some(node.file_kind())),
                Target::Lower { ino, kind } => (*ino, *kind),
            };
            let listed = DirectoryEntry {
                inode,
                next_position: at + 1,
                kind: kind.map_or(0, FileKind::directory_entry_type),
                name: entry.name.to_vec(),
            };
            if !sink(listed) {
                return;
            }
        }
    }

    /// Takes the nodes out, for the directory's end, and says how many bytes their names were counted for.
    pub(super) fn take_nodes(&mut self) -> (Vec<Arc<Node>>, usize) {
        self.by_name.clear();
        let mut name_bytes = 0;
        let entries = std::mem::take(&mut self.by_position).into_values();
        let nodes = entries.filter_map(|entry| match entry.target {
            Target::Own(node) => {
                name_bytes += entry.name.len();
                Some(node)
            }
            Target::Lower { .. } => None,
        });
        (nodes.collect(), name_bytes)
    }
}
