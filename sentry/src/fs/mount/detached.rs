//! Trees that only a descriptor refers to (`man 2 open_tree`, `fsmount`).

use std::any::Any;
use std::sync::Arc;

use super::topology::{Change, tree};
use super::{Home, Mount, MountTable};
use crate::Errno;
use crate::fs::metadata::Metadata;
use crate::fs::{File, FileDescription, OpenFlags};

/// A tree that is attached nowhere. Unless it is attached by then, it ends with this.
pub struct DetachedTree {
    table: Arc<MountTable>,
    root: Arc<Mount>,
}

impl DetachedTree {
    /// A tree of the new `mount`, which `table` counts.
    pub fn new(table: &Arc<MountTable>, mount: Arc<Mount>) -> Self {
        Self::in_change(&mut Change::begin(table), mount)
    }

    pub(super) fn in_change(change: &mut Change<'_>, root: Arc<Mount>) -> Self {
        change.settle(&tree(&root), &Home::Detached);
        Self { table: change.table().clone(), root }
    }

    /// Opens the tree's root, as with O_PATH.
    pub fn open(self) -> Arc<FileDescription> {
        let path = self.root.root_path();
        FileDescription::new(Arc::new(DetachedRoot(self)), Some(path), OpenFlags::PATH)
    }
}

impl Drop for DetachedTree {
    fn drop(&mut self) {
        let mut change = Change::begin(&self.table);
        if self.root.is_detached() {
            change.dissolve(&self.root);
        }
    }
}

/// What a descriptor of a detached tree refers to.
struct DetachedRoot(DetachedTree);

impl File for DetachedRoot {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.0.root.root.inode().metadata()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
