//! Places in the tree of mounted file systems, and their names.

use std::sync::Arc;

use super::FileDescription;
use super::dentry::Dentry;
use super::description_inode::DescriptionInode;
use super::inode::Inode;
use super::metadata::{FileKind, Metadata};
use super::mount::Mount;
use crate::Errno;

/// Longest name of one component, in bytes (`NAME_MAX`).
pub const MAX_NAME_LEN: usize = 255;
/// Longest path that a system call takes, in bytes, without the NUL (`PATH_MAX` - 1).
pub const MAX_PATH_LEN: usize = 4095;

/// A place: a dentry, as seen through one mount.
#[derive(Clone)]
pub struct Path {
    /// Which mount of the file system the name is reached by.
    pub mount: Arc<Mount>,
    /// The dentry below the mount's root.
    pub dentry: Arc<Dentry>,
}

impl Path {
    /// The place `dentry` in `mount`.
    pub fn new(mount: Arc<Mount>, dentry: Arc<Dentry>) -> Self {
        Self { mount, dentry }
    }

    /// A place for an inode that has no name in any tree: pipes, sockets and the like. `name` is what
    /// /proc/PID/fd shows.
    pub fn anonymous(inode: Arc<dyn Inode>, name: &[u8]) -> Self {
        let dentry = Dentry::new_unnamed(inode, None, name);
        Self { mount: Mount::internal(dentry.clone()), dentry }
    }

    /// A place for an inode whose name is in a tree that the guest does not have.
    pub fn foreign(inode: Arc<dyn Inode>, name: &[u8]) -> Self {
        let dentry = Dentry::new_foreign(inode, name);
        Self { mount: Mount::internal(dentry.clone()), dentry }
    }

    /// Where `description` was opened; for a file without a path, a place made up for it.
    pub fn of_description(description: &Arc<FileDescription>) -> Self {
        if let Some(path) = description.path() {
            return path.clone();
        }
        let file = description.file();
        let inode = file.nameless_inode().unwrap_or_else(|| DescriptionInode::new(description));
        let name = file.anonymous_name();
        let Some(file_system) = file.nameless_file_system() else {
            return Self::anonymous(inode, name.as_bytes());
        };
        let dentry = Dentry::new_unnamed(inode, None, name.as_bytes());
        Self { mount: Mount::internal_of(Arc::new(file_system), dentry.clone(), "none", None), dentry }
    }

    /// The root of what is mounted here, or this if nothing is.
    pub fn cross(mut self) -> Self {
        while self.dentry.is_mount_point() {
            let Some(mounted) = self.mount.mounted_on(&self.dentry) else { break };
            mounted.entered();
            self = mounted.root_path();
        }
        self
    }

    /// The same, at a dentry that lookups will find again ([`Dentry::pinned`]).
    pub(super) fn pinned(mut self) -> Self {
        self.dentry = self.dentry.pinned();
        self
    }

    /// The inode there.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// What stat(2) tells of the inode there, with its owner as the mount shows it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode().metadata().map(|metadata| self.mount.shown(metadata))
    }

    /// The type of the inode there.
    pub fn kind(&self) -> FileKind {
        self.inode().kind()
    }

    /// The symbolic link there has been read: its access time moves.
    pub fn link_accessed(&self) {
        if self.mount.moves_access_times(false) {
            self.inode().stamp_link_accessed();
        }
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.dentry.is_directory()
    }

    /// The directory that holds this name, within the mount; `None` at the mount's root.
    pub fn parent_in_mount(&self) -> Option<Self> {
        if Arc::ptr_eq(&self.dentry, self.mount.root()) {
            return None;
        }
        self.dentry.parent().map(|dentry| Self { mount: self.mount.clone(), dentry })
    }

    /// One step up, across mount points, but not above `root`; a root has itself as parent.
    pub fn parent(&self, root: &Self) -> Self {
        let mut current = self.clone();
        loop {
            if current == *root {
                return current;
            }
            if let Some(parent) = current.parent_in_mount() {
                return parent;
            }
            match current.mount.mount_point() {
                Some(mount_point) => current = mount_point,
                None => return current,
            }
        }
    }

    /// Whether it lies below the root of its mount. What was moved out of a directory that is mounted elsewhere does not, and
    /// has nothing above it there.
    pub(super) fn is_connected(&self) -> bool {
        let root = self.mount.root();
        if root.parent().is_none() {
            return true;
        }
        let mut above = std::iter::successors(Some(self.dentry.clone()), |dentry| dentry.parent());
        above.any(|dentry| Arc::ptr_eq(&dentry, root))
    }

    /// Whether this is `top` or lies below it, across mount points.
    pub fn is_below(&self, top: &Self) -> bool {
        let mut current = self.clone();
        loop {
            if current == *top {
                return true;
            }
            match current.parent_in_mount().or_else(|| current.mount.mount_point()) {
                Some(up) => current = up,
                None => return false,
            }
        }
    }

    /// The absolute path as seen from `root`, and whether it really begins there: it does not for what lies
    /// outside a changed root.
    pub fn absolute_from(&self, root: &Self) -> (Vec<u8>, bool) {
        /// A path that is longer is cut: a guest decides how deep its directories are.
        const MAX_LEN: usize = 4 * MAX_PATH_LEN;
        let (mut names, mut len) = (Vec::new(), 0);
        let mut current = self.clone();
        let is_reachable = loop {
            if current == *root {
                break true;
            }
            if len > MAX_LEN {
                break false;
            }
            if Arc::ptr_eq(&current.dentry, current.mount.root()) {
                match current.mount.mount_point() {
                    Some(mount_point) => current = mount_point,
                    None => {
                        // Without a slash before it: the name that an anonymous inode has been given.
                        let (parent, name) = current.dentry.place();
                        if parent.is_none() && !name.is_empty() {
                            return (name.to_vec(), false);
                        }
                        break false;
                    }
                }
                continue;
            }
            let (parent, name) = current.dentry.place();
            len += name.len() + 1;
            names.push(name);
            match parent {
                Some(dentry) => current.dentry = dentry,
                None => break false,
            }
        };
        let mut text = Vec::new();
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        if text.is_empty() {
            text.push(b'/');
        }
        (text, is_reachable)
    }

    /// The text of a /proc link to here: the absolute path from `root`, with ` (deleted)` after a removed name.
    pub fn display_from(&self, root: &Self) -> Vec<u8> {
        let (mut text, _) = self.absolute_from(root);
        if self.dentry.is_deleted() && text.starts_with(b"/") {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }

    /// The root of the outermost mount around here.
    pub fn outermost_root(&self) -> Self {
        let mut mount = self.mount.clone();
        while let Some(place) = mount.mount_point() {
            mount = place.mount;
        }
        let dentry = mount.root().clone();
        Self { mount, dentry }
    }

    /// What getcwd(2) returns for here: ENOENT's `None` if the directory has been removed.
    pub fn as_working_directory(&self, root: &Self) -> Option<Vec<u8>> {
        if self.dentry.is_deleted() {
            return None;
        }
        let (text, is_reachable) = self.absolute_from(root);
        Some(if is_reachable { text } else { [b"(unreachable)", &*text].concat() })
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }
}
