//! What is told of mounts: where they are seen, and what of their file systems.

use std::sync::Arc;

use super::Mount;
use crate::fs::dentry::Dentry;
use crate::fs::{FsView, Viewer};

impl Mount {
    /// Where who looks at `view` sees it; `None` if it lies outside of his root.
    pub fn place_in(self: &Arc<Self>, view: &FsView) -> Option<Vec<u8>> {
        if Arc::ptr_eq(self, &view.root.mount) {
            return Some(b"/".to_vec());
        }
        let (place, is_reachable) = self.root_path().absolute_from(&view.root);
        is_reachable.then_some(place)
    }

    /// The path of its root in the file system.
    pub fn root_in_file_system(&self, viewer: &Viewer) -> Vec<u8> {
        let shown = self.file_system().shown_root(&**self.root.inode(), viewer);
        shown.unwrap_or_else(|| place_in_file_system(&self.root))
    }
}

/// The path of `root` in its file system, as the root of a mount.
fn place_in_file_system(root: &Arc<Dentry>) -> Vec<u8> {
    /// A path that is longer is cut: a guest decides how deep its directories are.
    const MAX_NAMES: usize = 4096;
    let (mut names, mut dentry) = (Vec::new(), root.clone());
    while names.len() < MAX_NAMES {
        let (parent, name) = dentry.place();
        match parent {
            Some(parent) => {
                names.push(name);
                dentry = parent;
            }
            // What a file system without directories calls it: a namespace's file.
            None if names.is_empty() && !name.is_empty() => return name.to_vec(),
            None => break,
        }
    }
    let mut path: Vec<u8> = names.iter().rev().flat_map(|name| [b"/", &**name].concat()).collect();
    if path.is_empty() {
        path.push(b'/');
    }
    if root.is_deleted() {
        path.extend_from_slice(b"//deleted");
    }
    path
}
