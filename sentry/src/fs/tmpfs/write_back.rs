//! Changes go back to the layer below, where that takes any: a file system on a block device.
//!
//! A walk from the root through all directories that have been changed, and over all files of the layer that have been; each of
//! them is handed to the layer as it is at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::Volume;
use super::node::Node;
use crate::Errno;
use crate::fs::disk_control::{DiskControl, LABEL_BYTES, TrimRange};
use crate::fs::lower::{FileId, LowerStore};
use crate::fs::mount::FileSystemInfo;
use crate::platform::PAGE_SIZE;

/// A layer that takes changes, and what is to be told to it.
pub(super) struct Stored {
    store: Arc<dyn LowerStore>,
    has_extents: bool,
    /// What there was at the mount.
    first: FileSystemInfo,
    /// Held while changes are written. The layer's files that have ended since.
    ended: Mutex<Vec<u64>>,
    writing: Mutex<()>,
    /// The device stays as it is (FIFREEZE).
    is_frozen: AtomicBool,
}

impl Stored {
    pub(super) fn new(store: Arc<dyn LowerStore>) -> Self {
        let (first, has_extents) = (store.info(), store.has_extents());
        Self {
            store,
            has_extents,
            first,
            ended: Mutex::default(),
            writing: Mutex::default(),
            is_frozen: AtomicBool::new(false),
        }
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

    /// Whether files are stored as extents.
    pub(super) fn has_extents(&self) -> bool {
        self.has_extents
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
        if stored.is_frozen.load(Ordering::Acquire) {
            return Ok(());
        }
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
        stored.is_frozen.store(false, Ordering::Release);
        self.write_back().and(stored.store.unmounted())
    }
}

impl DiskControl for Volume {
    fn freeze(&self) -> Result<(), Errno> {
        self.write_back()?;
        let stored = self.store.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        let was_frozen = stored.is_frozen.swap(true, Ordering::AcqRel);
        if was_frozen { Err(Errno::EBUSY) } else { Ok(()) }
    }

    fn thaw(&self) -> Result<(), Errno> {
        let stored = self.store.as_ref().ok_or(Errno::EINVAL)?;
        let was_frozen = stored.is_frozen.swap(false, Ordering::AcqRel);
        if was_frozen { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn label(&self) -> [u8; LABEL_BYTES] {
        self.store.as_ref().map(|stored| stored.store.label()).unwrap_or_default()
    }

    fn set_label(&self, label: [u8; LABEL_BYTES]) -> Result<(), Errno> {
        self.store.as_ref().ok_or(Errno::ENOTTY)?.store.set_label(label)
    }

    fn trim(&self, range: TrimRange) -> Result<u64, Errno> {
        // What is still to be written takes blocks.
        self.write_back()?;
        let stored = self.store.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        let _writing = stored.writing.lock();
        stored.store.trim(range)
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
