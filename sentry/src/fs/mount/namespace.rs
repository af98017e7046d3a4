//! Mount namespaces: a tree of mounts that some tasks see.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::copy::{Copying, Kinship, lock_tree};
use super::propagation::{Propagation, has_unbindable, receivers};
use super::topology::{Change, is_mounted_on, tree};
use super::{DetachedTree, Home, Mount, MountFlags, MountTable, Settings};
use crate::Errno;
use crate::cred::{Identity, Namespace, NamespaceKind, UserNamespace};
use crate::fs::dentry::Dentry;
use crate::fs::nsfs;
use crate::fs::path::Path;
use crate::fs::protections::Protections;
use crate::wait::{Events, WaitQueue};

/// Mounts that one namespace may hold (Linux: 100,000, `fs.mount-max`).
pub(super) const MAX_MOUNTS_OF_NAMESPACE: usize = 10_000;

/// The tree of mounts that some tasks see.
pub struct MountNamespace {
    core: Arc<NamespaceCore>,
    root: RwLock<Arc<Mount>>,
    protections: Arc<Protections>,
}

/// What the mounts of a namespace know of it.
pub(super) struct NamespaceCore {
    identity: Identity,
    table: Arc<MountTable>,
    mounts: AtomicUsize,
    changes: AtomicU64,
    watchers: WaitQueue,
}

impl NamespaceCore {
    fn new(identity: Identity, table: &Arc<MountTable>) -> Arc<Self> {
        let (mounts, changes) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { identity, table: table.clone(), mounts, changes, watchers: WaitQueue::default() })
    }

    pub(super) fn table(&self) -> &Arc<MountTable> {
        &self.table
    }

    pub(super) fn ino(&self) -> u64 {
        self.identity.ino()
    }

    pub(super) fn mounts(&self) -> usize {
        self.mounts.load(Ordering::Relaxed)
    }

    pub(super) fn mount_added(&self) {
        self.mounts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn mount_removed(&self) {
        self.mounts.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether both are owned by the same user namespace.
    pub(super) fn has_owner_of(&self, other: &Self) -> bool {
        self.identity.owner() == other.identity.owner()
    }

    /// Tells who polls /proc/PID/mounts that it has changed.
    pub(super) fn announce(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.watchers.notify(Events::PRI | Events::ERR);
    }
}

impl MountNamespace {
    /// The first namespace of a kernel, with one mount, whose table it shares. `owner` is the initial user namespace.
    pub fn new(root: Arc<Mount>, owner: &Arc<UserNamespace>) -> Arc<Self> {
        let table = root.table.clone().unwrap_or_default();
        let core = NamespaceCore::new(Identity::initial(NamespaceKind::Mount, owner), &table);
        Change::begin(&table).settle(std::slice::from_ref(&root), &Home::Namespace(core.clone()));
        let namespace = Arc::new(Self { core, root: RwLock::new(root), protections: Arc::default() });
        table.add_namespace(&namespace);
        namespace
    }

    /// What is forbidden in directories that many may write to, in all namespaces.
    pub fn protections(&self) -> &Arc<Protections> {
        &self.protections
    }

    /// What it shares with all namespaces of the kernel.
    pub fn table(&self) -> &Arc<MountTable> {
        self.core.table()
    }

    /// The top of the tree: the root directory, with what is mounted on it.
    pub fn root(&self) -> Path {
        self.root.read().root_path().cross()
    }

    /// All mounts, in the order of their numbers.
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        let root = self.root.read().clone();
        let change = Change::begin(self.table());
        let mut mounts = tree(&root);
        drop(change);
        mounts.sort_by_key(|mount| mount.id);
        mounts
    }

    /// How often the mounts have changed.
    pub fn changes(&self) -> u64 {
        self.core.changes.load(Ordering::Acquire)
    }

    /// Where changes of the mounts are announced.
    pub fn watchers(&self) -> &WaitQueue {
        &self.core.watchers
    }

    /// Whether `mount` is one of its.
    pub fn holds(&self, mount: &Mount) -> bool {
        mount.namespace().is_some_and(|core| Arc::ptr_eq(&core, &self.core))
    }

    /// Whether something is mounted on `dentry` here.
    pub fn is_mount_point(&self, dentry: &Arc<Dentry>) -> bool {
        is_mounted_on(dentry, &self.core)
    }

    fn check_holds(&self, mount: &Mount) -> Result<(), Errno> {
        if self.holds(mount) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Attaches the new `mount` at `place`, on top of what is mounted there.
    ///
    /// # Errors
    /// ENOSPC if there are too many mounts, ENOENT if the place has been removed, ENOTDIR if only one of the two is a
    /// directory, EBUSY if the same file system is mounted there already, EINVAL if the place is in another namespace.
    pub fn attach(&self, mount: &Arc<Mount>, place: Path) -> Result<(), Errno> {
        let place = place.pinned();
        let mut change = Change::begin(self.table());
        let place = change.top_of(place)?;
        self.check_holds(&place.mount)?;
        let is_same = Arc::ptr_eq(&place.mount.instance.root, &mount.instance.root);
        if is_same && Arc::ptr_eq(&place.dentry, &place.mount.root) {
            return Err(Errno::EBUSY);
        }
        check_same_kind(&mount.root, &place.dentry, Errno::ENOTDIR)?;
        change.attach(mount, &place.mount, &place.dentry)
    }

    /// Shows what is at `source` at `place` too, with the mounts below it if `is_recursive` (MS_BIND).
    ///
    /// # Errors
    /// As [`MountNamespace::attach`]; EINVAL if the source is of another namespace, unbindable, the file of a mount
    /// namespace that is not younger than this one, or would show what a locked mount hides.
    pub fn bind(&self, source: &Path, place: Path, is_recursive: bool) -> Result<(), Errno> {
        let place = place.pinned();
        let mut change = Change::begin(self.table());
        let place = change.top_of(place)?;
        let copy = self.copy(&mut change, source, is_recursive)?;
        let attached = self.check_holds(&place.mount).and_then(|()| {
            check_same_kind(&copy.root, &place.dentry, Errno::ENOTDIR)?;
            change.attach(&copy, &place.mount, &place.dentry)
        });
        if attached.is_err() {
            change.dissolve(&copy);
        }
        attached
    }

    /// A copy of what is at `source` that is attached nowhere yet (open_tree with OPEN_TREE_CLONE).
    ///
    /// # Errors
    /// As [`MountNamespace::bind`].
    pub fn detached_copy(&self, source: &Path, is_recursive: bool) -> Result<DetachedTree, Errno> {
        let mut change = Change::begin(self.table());
        let copy = self.copy(&mut change, source, is_recursive)?;
        Ok(DetachedTree::in_change(&mut change, copy))
    }

    fn copy(&self, change: &mut Change<'_>, source: &Path, is_recursive: bool) -> Result<Arc<Mount>, Errno> {
        let own_ino = self.core.ino();
        if nsfs::mount_namespace_ino(&**source.inode()).is_some_and(|ino| ino <= own_ino) {
            return Err(Errno::EINVAL);
        }
        if source.mount.links.lock().is_unbindable {
            return Err(Errno::EINVAL);
        }
        if !self.holds(&source.mount) && !source.mount.is_detached() && !nsfs::is_file(&**source.inode()) {
            return Err(Errno::EINVAL);
        }
        let copying =
            Copying { kinship: Kinship::Peer, keeps_unbindable: false, keeps_namespace_files: true };
        if is_recursive {
            return Ok(change.copy_tree(&source.mount, &source.dentry, copying)?.root);
        }
        let hides = |child: &Arc<Mount>| {
            child.is_locked()
                && child.mount_point().is_some_and(|place| source.dentry.is_ancestor_of(&place.dentry))
        };
        if source.mount.children().iter().any(hides) {
            return Err(Errno::EINVAL);
        }
        super::copy::copy_one(self.table(), &source.mount, &source.dentry, Kinship::Peer)
    }

    /// Unmounts `mount`, and with `is_lazy` all mounts below it, wherever that is received.
    ///
    /// # Errors
    /// EINVAL if it is not attached here, is the root or is locked to its parent; EBUSY, unless `is_lazy`, if there are
    /// mounts below it, or somebody besides the caller, who has one reference, uses it.
    pub fn unmount(&self, mount: &Arc<Mount>, is_lazy: bool) -> Result<(), Errno> {
        let mut change = Change::begin(self.table());
        self.check_holds(mount)?;
        let place = mount.mount_point().ok_or(Errno::EINVAL)?;
        if mount.is_locked() {
            return Err(Errno::EINVAL);
        }
        let is_busy = || mount.is_busy() || received_copies_of(mount, &place).iter().any(is_busy_copy);
        if !is_lazy && is_busy() {
            return Err(Errno::EBUSY);
        }
        change.unmount(mount, is_lazy);
        Ok(())
    }

    /// Moves the mount whose root is `source` to `place` (MS_MOVE, move_mount(2)).
    ///
    /// # Errors
    /// EINVAL if it is not the root of a mount here or of a detached tree, if it or its parent must stay, or if only
    /// one of the two is a directory; ELOOP if `place` lies within it, or it holds the file of a mount namespace that
    /// is not younger than this one.
    pub fn move_mount(&self, source: &Path, place: Path) -> Result<(), Errno> {
        let place = place.pinned();
        let mut change = Change::begin(self.table());
        let place = change.top_of(place)?;
        self.move_to(&mut change, source, place)
    }

    /// As [`Self::move_mount`], but below what is on top at `place`, which has to be a mount (MOVE_MOUNT_BENEATH).
    ///
    /// # Errors
    /// EINVAL: nothing is mounted there, or it cannot be parted from what it is on, or would be seen twice.
    pub fn move_mount_beneath(&self, source: &Path, place: Path) -> Result<(), Errno> {
        let mut change = Change::begin(self.table());
        let top = change.top_of(place)?;
        let above = top.mount.mount_point().filter(|_| Arc::ptr_eq(&top.dentry, top.mount.root()));
        let place = above.filter(|_| !top.mount.is_locked()).ok_or(Errno::EINVAL)?;
        // Copies for others would come to lie on what is above, or on what is moved.
        let is_covered = source.mount.mounted_on(source.mount.root()).is_some();
        if is_covered || tree(&source.mount).iter().any(|inner| Arc::ptr_eq(inner, &top.mount)) {
            return Err(Errno::EINVAL);
        }
        self.move_to(&mut change, source, place)
    }

    fn move_to(&self, change: &mut Change<'_>, source: &Path, place: Path) -> Result<(), Errno> {
        self.check_holds(&place.mount)?;
        let mount = &source.mount;
        if !Arc::ptr_eq(&source.dentry, &mount.root) {
            return Err(Errno::EINVAL);
        }
        check_same_kind(&mount.root, &place.dentry, Errno::EINVAL)?;
        let parent = mount.mount_point().map(|place| place.mount);
        let may_move = match &parent {
            Some(parent) => self.holds(mount) && !mount.is_locked() && parent.group().is_none(),
            None => mount.is_detached(),
        };
        if !may_move || place.mount.group().is_some() && has_unbindable(mount) {
            return Err(Errno::EINVAL);
        }
        let tree = tree(mount);
        let own_ino = self.core.ino();
        let is_old = |mount: &Arc<Mount>| {
            nsfs::mount_namespace_ino(&**mount.root.inode()).is_some_and(|ino| ino <= own_ino)
        };
        if tree.iter().any(|inner| Arc::ptr_eq(inner, &place.mount) || is_old(inner)) {
            return Err(Errno::ELOOP);
        }
        change.attach(mount, &place.mount, &place.dentry)
    }

    /// Makes the mount at `new_root` the root, and puts the one that was there, at whose root `old_root` is, at
    /// `put_old` (`man 2 pivot_root`).
    ///
    /// # Errors
    /// EINVAL if one of them is not attached as that asks for, EBUSY if the old root is in the way, ENOENT if the new
    /// one has been removed.
    pub fn pivot(&self, old_root: &Path, new_root: &Path, put_old: Path) -> Result<(), Errno> {
        let put_old = put_old.pinned();
        let mut change = Change::begin(self.table());
        let put_old = change.top_of(put_old)?;
        let (old, new) = (&old_root.mount, &new_root.mount);
        let old_place = old.mount_point();
        let is_shared = |mount: &Arc<Mount>| mount.group().is_some();
        let new_place = new.mount_point();
        if is_shared(&put_old.mount)
            || new_place.as_ref().is_some_and(|place| is_shared(&place.mount))
            || old_place.as_ref().is_some_and(|place| is_shared(&place.mount))
            || !self.holds(old)
            || !self.holds(new)
            || new.is_locked()
        {
            return Err(Errno::EINVAL);
        }
        if new_root.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        if Arc::ptr_eq(new, old) || Arc::ptr_eq(&put_old.mount, old) {
            return Err(Errno::EBUSY);
        }
        let is_root_of_mount = |path: &Path| Arc::ptr_eq(&path.dentry, &path.mount.root);
        let is_whole = is_root_of_mount(old_root) && is_root_of_mount(new_root) && new_place.is_some();
        if !is_whole || !put_old.is_below(new_root) || !new_root.is_below(old_root) {
            return Err(Errno::EINVAL);
        }
        let was_locked = std::mem::replace(&mut old.links.lock().is_locked, false);
        new.links.lock().is_locked = was_locked;
        match &old_place {
            Some(place) => {
                change.put(old, None);
                change.put(new, Some((&place.mount, &place.dentry)));
            }
            None => {
                change.put(new, None);
                *self.root.write() = new.clone();
            }
        }
        change.put(old, Some((&put_old.mount, &put_old.dentry)));
        Ok(())
    }

    /// Sets what the mount at whose root `place` is, and with `is_recursive` those below it, give and receive.
    ///
    /// # Errors
    /// EINVAL if it is not the root of a mount here.
    pub fn set_propagation(
        &self,
        place: &Path,
        propagation: Propagation,
        is_recursive: bool,
    ) -> Result<(), Errno> {
        let settings = Settings { propagation: Some(propagation), ..Settings::default() };
        self.change_settings(place, settings, is_recursive)
    }

    /// Changes the settings of the mount at whose root `place` is, and with `is_recursive` of those below it: of all or
    /// of none.
    ///
    /// # Errors
    /// EINVAL if it is not the root of a mount here or of a detached tree, EPERM if a flag is locked.
    pub fn change_settings(&self, place: &Path, settings: Settings, is_recursive: bool) -> Result<(), Errno> {
        let mut change = Change::begin(self.table());
        if !Arc::ptr_eq(&place.dentry, &place.mount.root) {
            return Err(Errno::EINVAL);
        }
        if !place.mount.is_detached() {
            self.check_holds(&place.mount)?;
        }
        let mounts = if is_recursive { tree(&place.mount) } else { vec![place.mount.clone()] };
        settings.apply(&mut change, &mounts)
    }

    /// A copy with mounts of its own (CLONE_NEWNS), and a function that finds a place of the old one in it.
    ///
    /// # Errors
    /// ENOSPC.
    pub fn duplicate(
        &self,
        identity: Identity,
    ) -> Result<(Arc<Self>, impl Fn(&Path) -> Path + use<>), Errno> {
        let core = NamespaceCore::new(identity, self.table());
        let is_less_privileged = !core.has_owner_of(&self.core);
        let kinship = if is_less_privileged { Kinship::LessPrivileged } else { Kinship::Peer };
        let mut change = Change::begin(self.table());
        let root = self.root.read().clone();
        let copying = Copying { kinship, keeps_unbindable: true, keeps_namespace_files: false };
        let copies = change.copy_tree(&root, &root.root, copying)?;
        if is_less_privileged {
            lock_tree(&copies.root);
        }
        change.settle(&tree(&copies.root), &Home::Namespace(core.clone()));
        let copy = Self { core, root: RwLock::new(copies.root), protections: self.protections.clone() };
        let by_id: HashMap<u64, Arc<Mount>> = copies.by_id;
        let translate = move |path: &Path| match by_id.get(&path.mount.id) {
            Some(mount) => Path::new(mount.clone(), path.dentry.clone()),
            None => path.clone(),
        };
        let copy = Arc::new(copy);
        self.table().add_namespace(&copy);
        Ok((copy, translate))
    }

    /// The locks that a new mount of the type called `type_name`, with these flags, must have: those of a mount here
    /// that shows all of such a file system, and is not less strict. `None` if there is none: then a less privileged
    /// namespace must not have the new one (`man 7 user_namespaces` on proc and sysfs).
    pub fn flags_to_keep(&self, type_name: &str, flags: MountFlags) -> Option<MountFlags> {
        let is_whole = |mount: &&Arc<Mount>| {
            let is_of_type = mount.file_system().type_name() == type_name;
            if !is_of_type || !Arc::ptr_eq(&mount.root, mount.instance.root()) {
                return false;
            }
            let locked = mount.links.lock().locked_flags;
            let is_laxer = locked.contains(MountFlags::RDONLY) && !flags.contains(MountFlags::RDONLY)
                || locked.contains(MountFlags::ACCESS_TIMES)
                    && mount.flags() & MountFlags::ACCESS_TIMES != flags & MountFlags::ACCESS_TIMES;
            let hides = |child: &Arc<Mount>| {
                let place = child.mount_point();
                child.is_locked() && !place.is_some_and(|place| place.inode().is_permanently_empty())
            };
            !is_laxer && !mount.children().iter().any(hides)
        };
        let mounts = self.mounts();
        let whole = mounts.iter().find(is_whole)?;
        let kept = MountFlags::RDONLY | MountFlags::ACCESS_TIMES;
        Some(whole.links.lock().locked_flags & kept)
    }
}

/// What others have received of `mount`, which is at `place`.
fn received_copies_of(mount: &Arc<Mount>, place: &Path) -> Vec<Arc<Mount>> {
    let receivers = place.mount.group().iter().flat_map(receivers).collect::<Vec<_>>();
    let copies = receivers.iter().filter_map(|receiver| receiver.mounted_on(&place.dentry));
    copies.filter(|copy| !Arc::ptr_eq(copy, mount)).collect()
}

/// Whether a received copy would go, but is in use. One with mounts of its own below, except on its root, stays.
fn is_busy_copy(copy: &Arc<Mount>) -> bool {
    let is_on_root =
        |child: &Arc<Mount>| child.mount_point().is_some_and(|place| Arc::ptr_eq(&place.dentry, &copy.root));
    let stays = copy.children().iter().any(|child| !is_on_root(child));
    // Its parent's reference, and the caller's.
    !stays && Arc::strong_count(copy) > 2
}

fn check_same_kind(mounted: &Dentry, place: &Dentry, error: Errno) -> Result<(), Errno> {
    if mounted.is_directory() == place.is_directory() { Ok(()) } else { Err(error) }
}

impl Namespace for MountNamespace {
    fn identity(&self) -> &Identity {
        &self.core.identity
    }
}

impl Drop for MountNamespace {
    fn drop(&mut self) {
        self.core.table.forget_namespace(self.core.ino());
        Change::begin(&self.core.table).dissolve(self.root.get_mut());
    }
}
