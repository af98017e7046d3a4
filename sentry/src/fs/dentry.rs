//! Dentries: the names by which inodes have been reached, as a tree that caches lookups.
//!
//! A dentry keeps its parent; a parent only remembers its children weakly. What keeps an unused dentry is the
//! file system's [`DentryCache`], which holds a bounded number of them and gives up the ones not used lately.
//! A name known not to exist is remembered too, in a bounded number.
//!
//! Where others change a directory as well, nothing is kept: what is in use is remembered, and looked up anew each time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::fanotify::FanMask;
use super::file_handle::HandleTable;
use super::inode::Inode;
use super::inotify::{WatchList, WatchRegister};
use super::metadata::FileKind;
use super::mount::{FileSystem, Mount};
use super::sleeper;
use crate::Errno;
use crate::heap::{self, HeapCharge, shrink_map};

/// Unused dentries that one file system keeps.
const MAX_CACHED: usize = 16 * 1024;
/// Absent names that one file system remembers.
const MAX_ABSENT: usize = 16 * 1024;
/// What a dentry takes beside its name, with its place in its directory and the inode that it keeps.
const DENTRY_BYTES: usize = 768;
/// What a name known to be absent takes beside its letters.
const ABSENT_BYTES: usize = 96;

/// A name in a directory, and the inode that it leads to.
pub struct Dentry {
    /// No other dentry of the file system ever has it.
    id: u64,
    inode: Arc<dyn Inode>,
    /// Protects the parent and the name, which rename changes.
    place: RwLock<Place>,
    children: Mutex<Children>,
    cache: Arc<DentryCache>,
    /// Mounts on top of this dentry, in all namespaces.
    mount_count: AtomicU32,
    /// Those of them that end with the dentry's name, by their ids: a guest can have very many on one. Changed under the lock
    /// of changes of mounts.
    mounts: Mutex<BTreeMap<u64, Weak<Mount>>>,
    is_deleted: AtomicBool,
    was_used: AtomicBool,
    /// The dentry itself, while the cache keeps it.
    kept: Mutex<Option<Arc<Dentry>>>,
    /// The same, while a handle leads to it.
    kept_for_handle: Mutex<Option<Arc<Dentry>>>,
    /// For an inode that cannot keep them itself.
    watches: WatchList,
    _heap_charge: HeapCharge,
}

struct Place {
    parent: Option<Arc<Dentry>>,
    name: Arc<[u8]>,
}

/// What a directory knows of its entries. Whoever holds its lock is the only one to change the directory.
pub(crate) struct Children {
    entries: HashMap<Box<[u8]>, Child>,
    sweep_at: usize,
}

enum Child {
    Present(Weak<Dentry>),
    Absent { _heap_charge: HeapCharge },
}

/// The dentries that a file system keeps though nobody uses them.
#[derive(Default)]
pub(crate) struct DentryCache {
    next_id: AtomicU64,
    /// In the order of the clock that looks for victims.
    kept: Mutex<VecDeque<Weak<Dentry>>>,
    absent: AtomicUsize,
    /// Mounts of the file system. When there is none any more, nothing is kept.
    mounts: AtomicUsize,
    /// Held by renames between directories, so that ancestry stays as it is meanwhile.
    rename: Mutex<()>,
    /// How many there have been.
    renames: AtomicU32,
    watches: WatchRegister,
    handles: Mutex<HandleTable>,
    /// Whether fanotify has ever had a mark on it, a mount or a file of it.
    has_marks: AtomicBool,
    /// Since it has been mounted.
    identity: OnceLock<FileSystemIdentity>,
}

/// What tells a file system from others.
#[derive(Clone, Copy, Default)]
pub(super) struct FileSystemIdentity {
    /// As [`FileSystem::handle_generation`].
    pub(super) generation: Option<u32>,
    /// As statfs(2) tells it.
    pub(super) id: [i32; 2],
}

impl Dentry {
    /// The root of a file system's tree.
    pub fn new_root(inode: Arc<dyn Inode>) -> Arc<Self> {
        Arc::new(Self::new(inode, None, Arc::new([]), Arc::default()))
    }

    /// A dentry without an entry in any directory (O_TMPFILE, memfd, pipes): deleted from the start. Its name is
    /// shown below `parent`.
    pub fn new_unnamed(inode: Arc<dyn Inode>, parent: Option<&Arc<Dentry>>, name: &[u8]) -> Arc<Self> {
        let cache = parent.map(|parent| parent.cache.clone()).unwrap_or_default();
        let dentry = Self::new(inode, parent.cloned(), name.into(), cache);
        dentry.is_deleted.store(true, Ordering::Release);
        Arc::new(dentry)
    }

    /// A dentry without an entry in any directory that counts as there nevertheless: `name` tells its place elsewhere.
    pub fn new_foreign(inode: Arc<dyn Inode>, name: &[u8]) -> Arc<Self> {
        Arc::new(Self::new(inode, None, name.into(), Arc::default()))
    }

    fn new(
        inode: Arc<dyn Inode>,
        parent: Option<Arc<Dentry>>,
        name: Arc<[u8]>,
        cache: Arc<DentryCache>,
    ) -> Self {
        let _heap_charge = HeapCharge::forced(DENTRY_BYTES + 3 * name.len());
        Self {
            id: cache.next_id.fetch_add(1, Ordering::Relaxed),
            inode,
            place: RwLock::new(Place { parent, name }),
            children: Mutex::new(Children { entries: HashMap::new(), sweep_at: 64 }),
            cache,
            mount_count: AtomicU32::new(0),
            mounts: Mutex::default(),
            is_deleted: AtomicBool::new(false),
            was_used: AtomicBool::new(true),
            kept: Mutex::default(),
            kept_for_handle: Mutex::default(),
            watches: WatchList::default(),
            _heap_charge,
        }
    }

    /// Its number among the dentries of the file system.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// What the name stands for.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// The directory that holds the name; `None` for the root of a file system.
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.read().parent.clone()
    }

    /// The name; empty for the root of a file system.
    pub fn name(&self) -> Arc<[u8]> {
        self.place.read().name.clone()
    }

    /// Parent and name, of the same moment.
    pub(crate) fn place(&self) -> (Option<Arc<Dentry>>, Arc<[u8]>) {
        let place = self.place.read();
        (place.parent.clone(), place.name.clone())
    }

    /// Whether the name has been removed.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// Records that the name has been removed. Whoever calls this holds a reference.
    pub(crate) fn set_deleted(&self) {
        self.is_deleted.store(true, Ordering::Release);
        self.unpin_watches();
        self.let_go();
        self.let_go_of_handle();
    }

    /// Somebody else has taken the name, which may have been the file's last.
    fn lost_name(&self) {
        if self.inode.metadata().is_ok_and(|metadata| metadata.links == 0) {
            self.set_deleted();
        }
    }

    /// The inotify watches on the file.
    pub(super) fn watches(&self) -> &WatchList {
        self.inode.watches().unwrap_or(&self.watches)
    }

    /// All watches on files of the file system.
    pub(super) fn watch_register(&self) -> &WatchRegister {
        &self.cache.watches
    }

    /// A number that no other rename of the file system has had lately.
    pub(crate) fn next_rename_cookie(&self) -> u32 {
        self.cache.renames.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Has the cache no longer keep this.
    fn let_go(&self) {
        let kept = self.kept.lock().take();
        drop(kept);
    }

    /// Has no handle keep this.
    fn let_go_of_handle(&self) {
        let kept = self.kept_for_handle.lock().take();
        drop(kept);
    }

    /// Keeps this for as long as its name exists, for a handle of file `number`, which it is.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn keep_for_handle(self: &Arc<Self>, number: u64) -> Result<(), Errno> {
        let released = self.cache.handles.lock().enter(number, self)?;
        released.iter().for_each(|dentry| dentry.let_go_of_handle());
        if self.cache.mounts.load(Ordering::Acquire) != 0 && !self.is_deleted() {
            *self.kept_for_handle.lock() = Some(self.clone());
        }
        Ok(())
    }

    /// Whether fanotify may have marks on the file system, mounts or files of it.
    pub(super) fn may_have_marks(&self) -> bool {
        self.cache.has_marks.load(Ordering::Relaxed)
    }

    /// Records that it has.
    pub(super) fn set_has_marks(&self) {
        self.cache.has_marks.store(true, Ordering::Relaxed);
    }

    /// What tells the file system from others.
    pub(super) fn file_system_identity(&self) -> FileSystemIdentity {
        self.cache.identity.get().copied().unwrap_or_default()
    }

    /// What statfs(2) tells the file system from others by.
    pub(super) fn file_system_id(&self) -> [i32; 2] {
        self.file_system_identity().id
    }

    /// The file of this file system that a handle was made of.
    pub(super) fn find_by_handle(&self, number: u64) -> Option<Arc<Dentry>> {
        self.cache.handles.lock().find(number)
    }

    /// A mount of the file system has been made.
    pub(crate) fn file_system_mounted(&self, file_system: &dyn FileSystem) {
        self.cache.identity.get_or_init(|| FileSystemIdentity {
            generation: file_system.handle_generation(),
            id: [file_system.device().as_u64() as i32, 0],
        });
        self.cache.mounts.fetch_add(1, Ordering::AcqRel);
    }

    /// A mount of the file system has ended.
    pub(crate) fn file_system_unmounted(&self) {
        if self.cache.mounts.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.cache.watches.end();
            let kept = std::mem::take(&mut *self.cache.kept.lock());
            kept.iter().filter_map(Weak::upgrade).for_each(|dentry| dentry.let_go());
            let with_handles = self.cache.handles.lock().take();
            with_handles.iter().for_each(|dentry| dentry.let_go_of_handle());
        }
    }

    /// Whether the inode is a directory.
    pub fn is_directory(&self) -> bool {
        self.inode.kind() == FileKind::Directory
    }

    /// Whether something is mounted here, in any namespace.
    pub fn is_mount_point(&self) -> bool {
        self.mount_count.load(Ordering::Acquire) != 0
    }

    pub(crate) fn mount_added(&self) {
        self.mount_count.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn mount_removed(&self) {
        self.mount_count.fetch_sub(1, Ordering::AcqRel);
    }

    /// The mounts on top that end with the name.
    pub(super) fn mounts(&self) -> Vec<Weak<Mount>> {
        self.mounts.lock().values().cloned().collect()
    }

    /// Has `mount`, which is on top, end with the name.
    pub(super) fn remember_mount(&self, mount: &Arc<Mount>) {
        let mut mounts = self.mounts.lock();
        // Those that ended with their whole namespace; seldom, that it costs nothing.
        if mounts.len().is_power_of_two() {
            mounts.retain(|_, mount| mount.strong_count() != 0);
        }
        mounts.insert(mount.id(), Arc::downgrade(mount));
    }

    /// Undoes [`Dentry::remember_mount`].
    pub(super) fn forget_mount(&self, mount: &Mount) {
        self.mounts.lock().remove(&mount.id());
    }

    /// What stands for this dentry from now on, for as long as somebody holds it: lookups find it even where names are
    /// not stable. A mount point is one of these.
    pub(super) fn pinned(self: &Arc<Self>) -> Arc<Dentry> {
        let mut below = Vec::new();
        let mut top = self.clone();
        while let Some(parent) = top.parent() {
            below.push(std::mem::replace(&mut top, parent));
        }
        while let Some(dentry) = below.pop() {
            if dentry.is_deleted() {
                return self.clone();
            }
            if top.inode.has_stable_names() {
                top = dentry;
                continue;
            }
            let Some(found) = top.lock().pin(&dentry) else { return self.clone() };
            top = found;
        }
        top
    }

    /// The child called `name`: from the cache, or from the file system.
    ///
    /// # Errors
    /// ENOENT, and those of [`Inode::lookup`].
    pub fn lookup(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
        // A directory that has been removed has no entries, whatever its file system may still find.
        if self.is_deleted() {
            return Err(Errno::ENOENT);
        }
        self.lock().lookup(name)
    }

    /// Locks the directory for changes and uncached lookups.
    pub(crate) fn lock(self: &Arc<Self>) -> LockedDirectory<'_> {
        let children = match self.inode.may_sleep() {
            true => sleeper::wait_for_lock(|| self.children.try_lock()),
            false => self.children.lock(),
        };
        LockedDirectory { directory: self, children }
    }

    /// Locks two directories, which may be the same (then the second is `None`), in the order of the file.
    pub(crate) fn lock_two<'a>(
        first: &'a Arc<Self>,
        second: &'a Arc<Self>,
    ) -> (LockedDirectory<'a>, Option<LockedDirectory<'a>>) {
        if Arc::ptr_eq(first, second) {
            return (first.lock(), None);
        }
        let second_goes_first =
            second.is_ancestor_of(first) || !first.is_ancestor_of(second) && second.id < first.id;
        if second_goes_first {
            let locked = second.lock();
            (first.lock(), Some(locked))
        } else {
            let locked = first.lock();
            (locked, Some(second.lock()))
        }
    }

    /// Keeps the ancestry of all dentries of the file system as it is until the guard is dropped.
    pub(crate) fn lock_ancestry(&self) -> MutexGuard<'_, ()> {
        match self.inode.may_sleep() {
            true => sleeper::wait_for_lock(|| self.cache.rename.try_lock()),
            false => self.cache.rename.lock(),
        }
    }

    /// Whether this dentry is `other` or lies above it.
    pub(crate) fn is_ancestor_of(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let mut current = Some(other.clone());
        while let Some(dentry) = current {
            if Arc::ptr_eq(self, &dentry) {
                return true;
            }
            current = dentry.parent();
        }
        false
    }
}

impl Dentry {
    /// Undoes what this dentry, which nobody refers to any more, is part of, and yields its parent.
    fn dissolve(&mut self) -> Option<Arc<Dentry>> {
        let is_last_name = || self.inode.metadata().is_ok_and(|metadata| metadata.links == 0);
        if self.may_have_marks() && is_last_name() {
            self.occurrence(FanMask::DELETE_SELF).tell();
        }
        // A dentry that keeps watches itself is kept by them while its name exists.
        if self.watches.was_used() && (self.is_directory() || is_last_name()) {
            self.watches.end();
        }
        if let Some(watches) = self.inode.watches().filter(|watches| watches.was_used())
            && is_last_name()
        {
            watches.end();
        }
        let absent = self.children.get_mut().count_absent();
        self.children.get_mut().entries.clear();
        self.cache.absent.fetch_sub(absent, Ordering::Relaxed);
        let place = self.place.get_mut();
        let parent = place.parent.take()?;
        // Whoever holds the lock now will meet the dead entry in due course.
        if let Some(mut children) = parent.children.try_lock()
            && matches!(children.entries.get(&*place.name), Some(Child::Present(child)) if child.strong_count() == 0)
        {
            children.entries.remove(&*place.name);
            shrink_map(&mut children.entries);
        }
        Some(parent)
    }
}

impl Drop for Dentry {
    fn drop(&mut self) {
        // Not by recursion: a guest decides how deep its directories are.
        let mut parent = self.dissolve();
        while let Some(mut last) = parent.and_then(Arc::into_inner) {
            parent = last.dissolve();
        }
    }
}

impl Children {
    fn count_absent(&self) -> usize {
        self.entries.values().filter(|child| matches!(child, Child::Absent { .. })).count()
    }

    /// Forgets children that have gone.
    fn sweep(&mut self) {
        self.entries.retain(|_, child| !matches!(child, Child::Present(child) if child.strong_count() == 0));
        self.entries.shrink_to(self.entries.len() * 2);
        self.sweep_at = (self.entries.len() * 2).max(64);
    }
}

/// A directory whose entries nobody else reads or changes.
pub(crate) struct LockedDirectory<'a> {
    directory: &'a Arc<Dentry>,
    children: MutexGuard<'a, Children>,
}

impl LockedDirectory<'_> {
    /// Fails if the directory itself has been removed.
    pub(crate) fn check_alive(&self) -> Result<(), Errno> {
        if self.directory.is_deleted() { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// The child called `name`.
    ///
    /// # Errors
    /// ENOENT; ENOMEM; those of [`Inode::lookup`].
    pub(crate) fn lookup(&mut self, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
        let known = match self.children.entries.get(name) {
            Some(Child::Present(child)) => child.upgrade(),
            Some(Child::Absent { .. }) => return Err(Errno::ENOENT),
            None => None,
        };
        if let Some(child) = known.clone().filter(|child| self.is_settled(child)) {
            child.was_used.store(true, Ordering::Relaxed);
            return Ok(child);
        }
        heap::check_room(DENTRY_BYTES)?;
        match (self.directory.inode.lookup(name), known) {
            (Ok(inode), Some(known)) if Arc::ptr_eq(&inode, &known.inode) => Ok(known),
            (Ok(inode), known) => {
                known.iter().for_each(|known| known.lost_name());
                Ok(self.adopt(name, inode))
            }
            (Err(Errno::ENOENT), known) => {
                known.iter().for_each(|known| known.lost_name());
                self.vacated(name);
                Err(Errno::ENOENT)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Whether `child`, which is known, need not be looked up again.
    fn is_settled(&self, child: &Dentry) -> bool {
        !self.directory.inode.revalidates_names() || child.is_mount_point()
    }

    /// What stands for `child`, or for its like if that has become stale: the one that is kept already, if there is one.
    fn pin(&mut self, child: &Arc<Dentry>) -> Option<Arc<Dentry>> {
        let name = child.name();
        if let Some(Child::Present(known)) = self.children.entries.get(&*name)
            && let Some(known) = known.upgrade()
        {
            return Some(known);
        }
        let is_own = child.parent().is_some_and(|parent| Arc::ptr_eq(&parent, self.directory));
        let child = if is_own { child.clone() } else { self.lookup(&name).ok()? };
        self.put(&name, Child::Present(Arc::downgrade(&child)));
        Some(child)
    }

    /// Records that `name` is now `inode`.
    pub(crate) fn adopt(&mut self, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let cache = &self.directory.cache;
        let child = Arc::new(Dentry::new(inode, Some(self.directory.clone()), name.into(), cache.clone()));
        if self.directory.inode.has_stable_names() {
            self.put(name, Child::Present(Arc::downgrade(&child)));
            cache.keep(&child);
        } else if self.directory.inode.revalidates_names() {
            self.put(name, Child::Present(Arc::downgrade(&child)));
        }
        child
    }

    /// Records that `name` has been removed, and with it `child`.
    pub(crate) fn removed(&mut self, name: &[u8], child: &Dentry) {
        child.set_deleted();
        self.vacated(name);
    }

    /// Records that `name` is free now.
    pub(crate) fn vacated(&mut self, name: &[u8]) {
        self.forget(name);
        self.remember_absent(name);
    }

    /// Forgets what is known of `name`.
    pub(crate) fn forget(&mut self, name: &[u8]) {
        let removed = self.children.entries.remove(name);
        shrink_map(&mut self.children.entries);
        if let Some(Child::Absent { .. }) = removed {
            self.directory.cache.absent.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Records that `child` is now called `name` here.
    pub(crate) fn moved_in(&mut self, name: &[u8], child: &Arc<Dentry>) {
        let old = {
            let mut place = child.place.write();
            place.name = name.into();
            place.parent.replace(self.directory.clone())
        };
        self.put(name, Child::Present(Arc::downgrade(child)));
        // The last reference to the old parent is not this one: its lock is held by whoever renames.
        drop(old);
    }

    fn remember_absent(&mut self, name: &[u8]) {
        let absent = &self.directory.cache.absent;
        if !self.directory.inode.has_stable_names() {
            return;
        }
        if absent.load(Ordering::Relaxed) >= MAX_ABSENT {
            let forgotten = self.children.count_absent();
            self.children.entries.retain(|_, child| matches!(child, Child::Present(_)));
            absent.fetch_sub(forgotten, Ordering::Relaxed);
        }
        if absent.load(Ordering::Relaxed) < MAX_ABSENT
            && let Ok(_heap_charge) = HeapCharge::new(ABSENT_BYTES + name.len())
        {
            self.put(name, Child::Absent { _heap_charge });
        }
    }

    fn put(&mut self, name: &[u8], child: Child) {
        let absent = &self.directory.cache.absent;
        if matches!(child, Child::Absent { .. }) {
            absent.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(Child::Absent { .. }) = self.children.entries.insert(name.into(), child) {
            absent.fetch_sub(1, Ordering::Relaxed);
        }
        if self.children.entries.len() >= self.children.sweep_at {
            self.children.sweep();
        }
    }
}

impl DentryCache {
    /// Keeps `dentry` for a while, and lets go of one that has not been used lately if there are too many.
    fn keep(&self, dentry: &Arc<Dentry>) {
        if self.mounts.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut victims = Vec::new();
        {
            let mut kept = self.kept.lock();
            kept.push_back(Arc::downgrade(dentry));
            let mut second_chances = 8;
            while kept.len() > MAX_CACHED {
                let Some(oldest) = kept.pop_front() else { break };
                let Some(oldest) = oldest.upgrade() else { continue };
                if second_chances > 0
                    && !oldest.is_deleted()
                    && oldest.was_used.swap(false, Ordering::Relaxed)
                {
                    second_chances -= 1;
                    kept.push_back(Arc::downgrade(&oldest));
                } else {
                    oldest.let_go();
                }
                victims.push(oldest);
            }
        }
        *dentry.kept.lock() = Some(dentry.clone());
        // Outside the lock: dropping a dentry may drop its ancestors and their inodes.
        drop(victims);
    }
}
