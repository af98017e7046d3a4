//! Changes of the trees of mounts, one at a time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use parking_lot::MutexGuard;

use super::namespace::NamespaceCore;
use super::propagation::{Delivery, Propagation, receivers};
use super::{Home, Mount, MountPoint, MountTable};
use crate::Errno;
use crate::fs::dentry::Dentry;
use crate::fs::path::Path;

/// A change in progress. What it lets go of is dropped after the lock.
pub(super) struct Change<'a> {
    table: &'a Arc<MountTable>,
    lock: Option<MutexGuard<'a, ()>>,
    ended: Vec<Arc<Mount>>,
    dentries: Vec<Arc<Dentry>>,
    touched: Vec<Arc<NamespaceCore>>,
}

impl<'a> Change<'a> {
    pub(super) fn begin(table: &'a Arc<MountTable>) -> Self {
        Self {
            table,
            lock: Some(table.lock_changes()),
            ended: Vec::new(),
            dentries: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// Of all mounts that it is about.
    pub(super) fn table(&self) -> &'a Arc<MountTable> {
        self.table
    }

    /// The top of what is mounted at `place`, where something further can be mounted.
    ///
    /// # Errors
    /// ENOENT if its name has been removed, or comes and goes.
    pub(super) fn top_of(&self, place: Path) -> Result<Path, Errno> {
        let place = place.cross();
        let has_no_place = place.dentry.is_deleted() || place.inode().refuses_mounts();
        if has_no_place { Err(Errno::ENOENT) } else { Ok(place) }
    }

    /// Has `parent` own `mount`, which is attached nowhere, at `dentry`. What is there goes on top of `mount`.
    pub(super) fn link(&mut self, mount: &Arc<Mount>, parent: &Arc<Mount>, dentry: &Arc<Dentry>) {
        let mut next = Some((mount.clone(), parent.clone(), dentry.clone()));
        // Not by recursion: a guest decides how many lie on each other.
        while let Some((mount, parent, dentry)) = next.take() {
            let above = parent.mounted_on(&dentry);
            if let Some(above) = &above {
                self.unlink(above);
            }
            dentry.mount_added();
            mount.links.lock().place =
                Some(MountPoint { mount: Arc::downgrade(&parent), dentry: dentry.clone() });
            let replaced = parent.links.lock().children.insert(dentry.id(), mount.clone());
            self.ended.extend(replaced);
            dentry.remember_mount(&mount);
            next = above.map(|above| (above, mount.clone(), mount.root.clone()));
        }
    }

    /// Undoes [`Change::link`].
    fn unlink(&mut self, mount: &Arc<Mount>) {
        self.forget_place(mount);
        let Some(place) = mount.links.lock().place.take() else { return };
        place.dentry.mount_removed();
        if let Some(parent) = place.mount.upgrade() {
            let owned = parent.links.lock().children.remove(&place.dentry.id());
            self.ended.extend(owned);
            self.ended.push(parent);
        }
        self.dentries.push(place.dentry);
    }

    /// Has [`detach_from`] no longer find `mount`.
    fn forget_place(&mut self, mount: &Arc<Mount>) {
        if let Some(place) = &mount.links.lock().place {
            place.dentry.forget_mount(mount);
        }
    }

    /// Makes the mounts of `tree` part of `home`.
    pub(super) fn settle(&mut self, tree: &[Arc<Mount>], home: &Home) {
        for mount in tree {
            let old = std::mem::replace(&mut mount.links.lock().home, home.clone());
            if let Home::Namespace(core) = &old {
                core.mount_removed();
                self.touch(core);
            }
            if let Home::Namespace(core) = home {
                core.mount_added();
                self.touch(core);
            }
        }
    }

    /// Has those who watch the mounts of a namespace hear of the change.
    pub(super) fn touch(&mut self, core: &Arc<NamespaceCore>) {
        if !self.touched.iter().any(|touched| Arc::ptr_eq(touched, core)) {
            self.touched.push(core.clone());
        }
    }

    /// Attaches the tree `source`, which may be attached elsewhere, to `dentry` of `parent`, and copies of it to
    /// whatever receives from `parent`.
    ///
    /// # Errors
    /// ENOSPC, and EINVAL if the tree holds what cannot be copied.
    pub(super) fn attach(
        &mut self,
        source: &Arc<Mount>,
        parent: &Arc<Mount>,
        dentry: &Arc<Dentry>,
    ) -> Result<(), Errno> {
        let core = parent.namespace().ok_or(Errno::EINVAL)?;
        let tree = tree(source);
        let copies = self.propagate(&tree, parent, dentry)?;
        let mut wanted: HashMap<u64, (Arc<NamespaceCore>, usize)> = HashMap::new();
        let receivers = copies.iter().filter_map(|delivery| delivery.receiver.namespace());
        for core in receivers.chain([core.clone()]) {
            wanted.entry(core.ino()).or_insert((core, 0)).1 += tree.len();
        }
        if wanted.values().any(|(core, more)| core.mounts() + more > self.table.max_of_namespace()) {
            copies.iter().for_each(|delivery| self.dissolve(&delivery.copy));
            return Err(Errno::ENOSPC);
        }
        self.unlink(source);
        self.link(source, parent, dentry);
        self.settle(&tree, &Home::Namespace(core.clone()));
        for Delivery { copy, receiver } in copies {
            let Some(other) = receiver.namespace() else { continue };
            if !other.has_owner_of(&core) {
                super::copy::lock_tree(&copy);
            }
            self.link(&copy, &receiver, dentry);
            let tree = self::tree(&copy);
            self.settle(&tree, &Home::Namespace(other));
        }
        Ok(())
    }

    /// Makes `mount` the one at `dentry` of `parent`, without anybody receiving it. For what the root of a namespace
    /// becomes.
    pub(super) fn put(&mut self, mount: &Arc<Mount>, place: Option<(&Arc<Mount>, &Arc<Dentry>)>) {
        self.unlink(mount);
        if let Some((parent, dentry)) = place {
            self.link(mount, parent, dentry);
        }
        if let Some(core) = mount.namespace() {
            self.touch(&core);
        }
    }

    /// Unmounts `top`, with everything below it if `is_lazy`, and what others have received of that.
    pub(super) fn unmount(&mut self, top: &Arc<Mount>, is_lazy: bool) {
        let mut going = if is_lazy { tree(top) } else { vec![top.clone()] };
        let mut ids: HashSet<u64> = going.iter().map(|mount| mount.id).collect();
        let received = received_copies(&going, &mut ids);
        going.extend(received.into_iter().filter(|mount| ids.contains(&mount.id)));
        self.take_down(going, &ids, is_lazy);
    }

    /// Takes the whole tree apart. Nobody else hears of it.
    pub(super) fn dissolve(&mut self, top: &Arc<Mount>) {
        let tree = tree(top);
        let ids = tree.iter().map(|mount| mount.id).collect();
        self.take_down(tree, &ids, false);
    }

    fn take_down(&mut self, going: Vec<Arc<Mount>>, ids: &HashSet<u64>, keeps_locked: bool) {
        // What was mounted on the root of one that goes comes to lie where that was.
        let stays = |mount: &Arc<Mount>| !ids.contains(&mount.id);
        let mut sunken = Vec::new();
        for mount in &going {
            let Some(above) = mount.mounted_on(&mount.root).filter(&stays) else { continue };
            let mut place = mount.mount_point();
            while let Some(inside) = place.as_ref().filter(|place| !stays(&place.mount)) {
                place = inside.mount.mount_point();
            }
            sunken.extend(place.map(|place| (above, place)));
        }
        for (above, _) in &sunken {
            self.unlink(above);
        }
        self.settle(&going, &Home::Nowhere);
        for mount in &going {
            self.set_propagation(mount, Propagation::Private);
            let has_parent_gone = mount.mount_point().is_some_and(|place| !stays(&place.mount));
            if keeps_locked && has_parent_gone && mount.is_locked() {
                self.forget_place(mount);
            } else {
                self.unlink(mount);
            }
        }
        for (above, place) in &sunken {
            self.link(above, &place.mount, &place.dentry);
        }
        self.ended.extend(going);
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.lock = None;
        for core in &self.touched {
            core.announce();
        }
        self.table.bury(std::mem::take(&mut self.ended));
    }
}

/// `top` and everything below it, parents first.
pub(super) fn tree(top: &Arc<Mount>) -> Vec<Arc<Mount>> {
    let mut tree = vec![top.clone()];
    let mut next = 0;
    while let Some(parent) = tree.get(next).cloned() {
        tree.extend(parent.children());
        next += 1;
    }
    tree
}

/// The copies that others have received of `going`. Those of them that can go too are added to `ids`: the ones
/// without mounts of their own below, except on their roots.
fn received_copies(going: &[Arc<Mount>], ids: &mut HashSet<u64>) -> Vec<Arc<Mount>> {
    let mut copies = Vec::new();
    for place in going.iter().filter_map(|mount| mount.mount_point()) {
        let Some(group) = place.mount.group() else { continue };
        for receiver in receivers(&group) {
            if let Some(copy) = receiver.mounted_on(&place.dentry)
                && ids.insert(copy.id)
            {
                copies.push(copy);
            }
        }
    }
    let by_id: HashMap<u64, Arc<Mount>> = copies.iter().map(|copy| (copy.id, copy.clone())).collect();
    let mut suspects = copies.clone();
    while let Some(copy) = suspects.pop() {
        if !ids.contains(&copy.id) {
            continue;
        }
        let place = copy.mount_point();
        let is_on_root = |child: &Arc<Mount>| {
            child.mount_point().is_some_and(|place| Arc::ptr_eq(&place.dentry, &copy.root))
        };
        let children = copy.children();
        let has_own = children.iter().any(|child| !ids.contains(&child.id) && !is_on_root(child));
        let parent_stays = place.as_ref().is_some_and(|place| !ids.contains(&place.mount.id));
        if has_own || copy.is_locked() && parent_stays {
            ids.remove(&copy.id);
            suspects.extend(place.and_then(|place| by_id.get(&place.mount.id).cloned()));
            suspects.extend(children.iter().filter_map(|child| by_id.get(&child.id).cloned()));
        }
    }
    copies
}

/// Unmounts everything on `dentry`, whose name has been removed, in all namespaces (`man 2 unlink` says of EBUSY that
/// it is for mount points of the caller's namespace only).
pub(crate) fn detach_from(dentry: &Arc<Dentry>) {
    if !dentry.is_mount_point() {
        return;
    }
    // All are of the kernel that the dentry is of.
    let mounts = dentry.mounts();
    let Some(table) = mounts.iter().find_map(|mount| mount.upgrade()?.table.clone()) else { return };
    let mut change = Change::begin(&table);
    for mount in dentry.mounts().iter().filter_map(Weak::upgrade) {
        let is_there =
            mount.links.lock().place.as_ref().is_some_and(|place| Arc::ptr_eq(&place.dentry, dentry));
        if is_there {
            let tree = tree(&mount);
            let ids = tree.iter().map(|mount| mount.id).collect();
            change.take_down(tree, &ids, true);
        }
        change.ended.push(mount);
    }
}

/// Whether something is mounted on `dentry` in the namespace `core`.
pub(super) fn is_mounted_on(dentry: &Arc<Dentry>, core: &Arc<NamespaceCore>) -> bool {
    if !dentry.is_mount_point() {
        return false;
    }
    let mut change = Change::begin(core.table());
    let mounts: Vec<_> = dentry.mounts().iter().filter_map(Weak::upgrade).collect();
    let is_mounted = mounts.iter().any(|mount| {
        let is_in = mount.namespace().is_some_and(|other| Arc::ptr_eq(&other, core));
        is_in && mount.links.lock().place.as_ref().is_some_and(|place| Arc::ptr_eq(&place.dentry, dentry))
    });
    change.ended.extend(mounts);
    is_mounted
}
