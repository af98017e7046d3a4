//! What all mounts of a kernel share, whichever namespace they are in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::ThreadId;

use parking_lot::{Mutex, MutexGuard};

use super::namespace::MAX_MOUNTS_OF_NAMESPACE;
use super::{Mount, MountNamespace};
use crate::Errno;
use crate::cred::Namespace;
use crate::heap;
use crate::settings::{KernelNumber, KernelSettings};

/// Mounts that the sandbox may have, in all namespaces together: each takes memory of the sentry.
const MAX_MOUNTS: usize = 1 << 16;
/// What a mount takes, with its places where others know it.
pub(super) const MOUNT_BYTES: usize = 1536;

/// The mounts of a kernel: their number, their ids and the lock of their changes. The first namespace and its
/// descendants share it.
pub struct MountTable {
    /// Held by whoever changes how mounts hang together.
    changes: Mutex<()>,
    mounts: AtomicUsize,
    next_id: AtomicU64,
    group_ids: Mutex<GroupIds>,
    under_way: Mutex<HashMap<ThreadId, Vec<Arc<Mount>>>>,
    /// The namespaces that there are, by number.
    namespaces: Mutex<BTreeMap<u64, Weak<MountNamespace>>>,
    settings: Arc<KernelSettings>,
}

/// Numbers of peer groups that are free: Linux gives the lowest.
struct GroupIds {
    free: BTreeSet<u32>,
    next: u32,
}

impl Default for MountTable {
    fn default() -> Self {
        Self {
            changes: Mutex::default(),
            mounts: AtomicUsize::new(0),
            next_id: AtomicU64::new(Mount::INTERNAL_ID + 1),
            group_ids: Mutex::new(GroupIds { free: BTreeSet::new(), next: 1 }),
            under_way: Mutex::default(),
            namespaces: Mutex::default(),
            settings: Arc::default(),
        }
    }
}

impl MountTable {
    /// No mounts yet; `settings` bound them.
    pub fn bounded_by(settings: &Arc<KernelSettings>) -> Arc<Self> {
        Arc::new(Self { settings: settings.clone(), ..Self::default() })
    }

    /// The mount namespace with this number.
    pub fn namespace(&self, ino: u64) -> Option<Arc<MountNamespace>> {
        self.namespaces.lock().get(&ino).and_then(Weak::upgrade)
    }

    /// The next mount namespace by number that `is_wanted`, or the one before.
    pub fn namespace_beside(
        &self,
        ino: u64,
        is_next: bool,
        is_wanted: impl Fn(&MountNamespace) -> bool,
    ) -> Option<Arc<MountNamespace>> {
        let all: Vec<_> = {
            let namespaces = self.namespaces.lock();
            match is_next {
                true => namespaces.range(ino + 1..).map(|(_, namespace)| namespace.clone()).collect(),
                false => namespaces.range(..ino).rev().map(|(_, namespace)| namespace.clone()).collect(),
            }
        };
        all.iter().filter_map(Weak::upgrade).find(|namespace| is_wanted(namespace))
    }

    pub(super) fn add_namespace(&self, namespace: &Arc<MountNamespace>) {
        self.namespaces.lock().insert(namespace.identity().ino(), Arc::downgrade(namespace));
    }

    pub(super) fn forget_namespace(&self, ino: u64) {
        self.namespaces.lock().remove(&ino);
    }

    /// How many mounts a namespace may have.
    pub(super) fn max_of_namespace(&self) -> usize {
        self.settings.bound(KernelNumber::MountMax).min(MAX_MOUNTS_OF_NAMESPACE)
    }

    /// Fails if the sandbox may not have one more mount.
    ///
    /// # Errors
    /// ENOSPC; ENOMEM.
    pub fn check_total(&self) -> Result<(), Errno> {
        if self.mounts.load(Ordering::Relaxed) >= MAX_MOUNTS {
            return Err(Errno::ENOSPC);
        }
        heap::check_room(MOUNT_BYTES)
    }

    /// Counts a new mount, and says which id it has. No two ever have the same.
    pub(super) fn mount_added(&self) -> u64 {
        self.mounts.fetch_add(1, Ordering::Relaxed);
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn mount_removed(&self) {
        self.mounts.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn lock_changes(&self) -> MutexGuard<'_, ()> {
        self.changes.lock()
    }

    /// The lowest id that no peer group has.
    pub(super) fn take_group_id(&self) -> u32 {
        let mut ids = self.group_ids.lock();
        ids.free.pop_first().unwrap_or_else(|| {
            // There are no more groups than mounts.
            let id = ids.next;
            ids.next = id.wrapping_add(1);
            id
        })
    }

    pub(super) fn give_group_id_back(&self, id: u32) {
        self.group_ids.lock().free.insert(id);
    }

    /// Drops mounts. One may hold the last reference to a namespace, whose mounts end in turn: not by recursion, for a
    /// guest decides how many there are in a row.
    pub(super) fn bury(&self, mounts: Vec<Arc<Mount>>) {
        if mounts.is_empty() {
            return;
        }
        let thread = std::thread::current().id();
        {
            let mut under_way = self.under_way.lock();
            if let Some(rest) = under_way.get_mut(&thread) {
                rest.extend(mounts);
                return;
            }
            under_way.insert(thread, mounts);
        }
        let next = || {
            let mut under_way = self.under_way.lock();
            let next = under_way.get_mut(&thread).and_then(Vec::pop);
            if next.is_none() {
                under_way.remove(&thread);
            }
            next
        };
        while let Some(mount) = next() {
            drop(mount);
        }
    }
}
