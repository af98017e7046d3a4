//! Copies of mounts: for bind mounts, for new namespaces and for those who receive.

use std::collections::HashMap;
use std::sync::Arc;

use super::propagation::{PeerGroup, join, set_master};
use super::topology::{Change, tree};
use super::{Links, Mount, MountFlags, MountTable};
use crate::Errno;
use crate::fs::dentry::Dentry;
use crate::fs::nsfs;

/// What a copy of a mount is to the mount.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinship {
    /// In the same group, with the same master, if there are such.
    Peer,
    /// A slave of its group, shared in a new group or not.
    Slave { is_shared: bool },
    /// A slave of a shared one, else a peer: for a less privileged namespace.
    LessPrivileged,
}

/// How a tree is copied.
#[derive(Clone, Copy)]
pub(super) struct Copying {
    pub(super) kinship: Kinship,
    /// Whether unbindable mounts are copied; they are left out otherwise.
    pub(super) keeps_unbindable: bool,
    /// Whether the files of mount namespaces are.
    pub(super) keeps_namespace_files: bool,
}

/// A copied tree.
pub(super) struct Copies {
    pub(super) root: Arc<Mount>,
    /// Each copy, by the number of what it is a copy of.
    pub(super) by_id: HashMap<u64, Arc<Mount>>,
}

impl Change<'_> {
    /// Copies `top`, from `root` on, and what is mounted below that.
    ///
    /// # Errors
    /// ENOSPC; EINVAL if `root` is the file of a mount namespace, EPERM if something that must be left out hides what
    /// must not be seen.
    pub(super) fn copy_tree(
        &mut self,
        top: &Arc<Mount>,
        root: &Arc<Dentry>,
        copying: Copying,
    ) -> Result<Copies, Errno> {
        if !copying.keeps_namespace_files && nsfs::mount_namespace_ino(&**root.inode()).is_some() {
            return Err(Errno::EINVAL);
        }
        let copy = copy_one(self.table(), top, root, copying.kinship)?;
        let mut copies = Copies { by_id: HashMap::from([(top.id, copy.clone())]), root: copy };
        match self.copy_below(top, root, copying, &mut copies) {
            Ok(()) => Ok(copies),
            Err(error) => {
                self.dissolve(&copies.root);
                Err(error)
            }
        }
    }

    fn copy_below(
        &mut self,
        top: &Arc<Mount>,
        root: &Arc<Dentry>,
        copying: Copying,
        copies: &mut Copies,
    ) -> Result<(), Errno> {
        let mut work: Vec<_> = top.children();
        work.retain(|child| child.mount_point().is_some_and(|place| root.is_ancestor_of(&place.dentry)));
        while let Some(old) = work.pop() {
            let (is_unbindable, is_locked) = {
                let links = old.links.lock();
                (links.is_unbindable, links.is_locked)
            };
            let is_namespace_file = nsfs::mount_namespace_ino(&**old.root.inode()).is_some();
            if is_unbindable && !copying.keeps_unbindable {
                if is_locked {
                    return Err(Errno::EPERM);
                }
                continue;
            }
            if is_namespace_file && !copying.keeps_namespace_files {
                continue;
            }
            let Some(place) = old.mount_point() else { continue };
            let Some(parent) = copies.by_id.get(&place.mount.id).cloned() else { continue };
            let copy = copy_one(self.table(), &old, &old.root, copying.kinship)?;
            copy.links.lock().is_locked = is_locked;
            self.link(&copy, &parent, &place.dentry);
            copies.by_id.insert(old.id, copy);
            work.extend(old.children());
        }
        Ok(())
    }
}

/// A copy of `old` alone, from `root` on.
pub(super) fn copy_one(
    table: &Arc<MountTable>,
    old: &Arc<Mount>,
    root: &Arc<Dentry>,
    kinship: Kinship,
) -> Result<Arc<Mount>, Errno> {
    table.check_total()?;
    let (group, master, links) = {
        let links = old.links.lock();
        let own = Links {
            is_unbindable: links.is_unbindable,
            locked_flags: links.locked_flags,
            ..Links::default()
        };
        (links.group.clone(), links.master.clone(), own)
    };
    let copy =
        Mount::make(Some(table), old.instance.clone(), root.clone(), old.source.clone(), old.flags(), links);
    if let Some(namespace) = old.id_mapping.get() {
        copy.id_mapping.get_or_init(|| namespace.clone());
    }
    let is_slave = match kinship {
        Kinship::Peer => false,
        Kinship::Slave { .. } => true,
        Kinship::LessPrivileged => group.is_some(),
    };
    if is_slave {
        set_master(&copy, group);
    } else {
        set_master(&copy, master);
        if let Some(group) = group {
            join(&copy, group);
        }
    }
    if kinship == (Kinship::Slave { is_shared: true }) {
        join(&copy, PeerGroup::new(table));
        copy.links.lock().is_unbindable = false;
    }
    Ok(copy)
}

/// Makes what a less privileged namespace has got a whole that it cannot look behind (`man 7 mount_namespaces`,
/// "Restrictions on mount namespaces").
pub(super) fn lock_tree(top: &Arc<Mount>) {
    for mount in tree(top) {
        let mut links = mount.links.lock();
        links.is_locked = !Arc::ptr_eq(&mount, top);
        links.locked_flags |= mount.flags() & MountFlags::LOCKABLE | MountFlags::ACCESS_TIMES;
    }
}
