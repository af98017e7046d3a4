//! Changes go back to the layer below, where that takes any: a file system on a block device.
//!
//! A walk from the root through all directories that have been changed, and over all files of the layer that have been; each of
//! them is handed to the layer as it is at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Volume;
use super::node::Node;
use crate::Errno;
use crate::fs::lower::{FileId, LowerStore};
use crate::fs::mount::FileSystemInfo;
use crate::platform::PAGE_SIZE;

/// A layer that takes changes, and what is to be told to it.
pub(super) struct Stored {
    store: Arc<dyn LowerStore>,
    /// What there was at the mount.
    first: FileSystemInfo,
    /// Held while changes are written. The layer's files that have ended since.
    ended: Mutex<Vec<u64>>,
    writing: Mutex<()>,
}

impl Stored {
    pub(super) fn new(store: Arc<dyn LowerStore>) -> Self {
        let first = store.info();
        Self { store, first, ended: Mutex::default(), writing: Mutex::default() }
    }

    /// A file of the layer has no name any more, and nobody uses it.
    pub(super) fn ended(&self, ino: u64) {
        self.ended.lock().push(ino);
    }

    /// What statfs(2) tells: the layer's size, and what is left of it beside what `own` says is left in memory.
    pub(super) fn info(&self, own: FileSystemInfo) -> FileSystemInfo {
        let blocks_per_page = (PAGE_SIZE / self.first.block_size_bytes.max(1)).max(1);
        FileSystemInfo {
            free_blocks: own.free_blocks.saturating_mul(blocks_per_page),
            free_inodes: own.free_inodes,
            ..self.first
        }
    }

    /// What tells the layer from all others.
    pub(super) fn uuid(&self) -> Option<[u8; 16]> {
        self.store.uuid()
    }

    pub(super) fn disk_depth(&self) -> usize {
        self.store.disk_depth()
    }
}

impl Volume {
    /// Has all changes reach the layer below, if it takes any.
    ///
    /// # Errors
    /// The layer's; what could not be written is tried again with the next call.
    pub(super) fn write_back(&self) -> Result<(), Errno> {
        let (Some(stored), Some(lower)) = (&self.store, &self.lower) else { return Ok(()) };
        let _writing = stored.writing.lock();
        let changed = lower.changed();
        let ended = std::mem::take(&mut *stored.ended.lock());
        if changed.is_empty() && ended.is_empty() {
            return Ok(());
        }
        let nodes = Walk::over(changed);
        stored.store.begin()?;
        let mut result = Ok(());
        for node in nodes.found.values() {
            let parent = nodes.parents.get(&node.ino()).copied();
            let stores = node.changed_file(parent).and_then(|file| stored.store.store(&file));
            result = result.and(stores);
        }
        for ino in ended {
            result = result.and(stored.store.remove(FileId::Lower(ino)));
        }
        let is_new = |node: &&Arc<Node>| matches!(node.file_id(), FileId::New(_));
        let live: BTreeSet<_> = nodes.found.values().filter(is_new).map(|node| node.ino()).collect();
        result.and(stored.store.retain_new(&live)).and(stored.store.finish())
    }

    /// Has all changes reach the layer, at the end of the file system.
    ///
    /// # Errors
    /// The layer's.
    pub(super) fn unmounted(&self) -> Result<(), Errno> {
        let Some(stored) = &self.store else { return Ok(()) };
        self.write_back().and(stored.store.unmounted())
    }
}

/// The changed nodes, and which changed directories they are in.
struct Walk {
    found: BTreeMap<u64, Arc<Node>>,
    parents: BTreeMap<u64, FileId>,
}

impl Walk {
    /// Begins at the files of the layer that have been changed: whatever is new is in a directory of them.
    fn over(changed: Vec<Arc<Node>>) -> Self {
        let mut walk = Self { found: BTreeMap::new(), parents: BTreeMap::new() };
        let mut rest = changed;
        while let Some(node) = rest.pop() {
            if !node.is_changed() || walk.found.contains_key(&node.ino()) {
                continue;
            }
            for child in node.known_children() {
                walk.parents.insert(child.ino(), node.file_id());
                rest.push(child);
            }
            walk.found.insert(node.ino(), node);
        }
        walk
    }
}
