//! How much of inotify each user may have (`man 7 inotify`, "/proc interfaces"), and all of them together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::Errno;
use crate::cred::KernelUid;

/// Watches that the sandbox may have, whatever the settings say: each keeps a file.
const MAX_WATCHES: u32 = 1 << 18;
/// Bytes that wait in all queues together, whatever the settings say.
const MAX_QUEUED_BYTES: usize = 64 << 20;

/// One of the settings in /proc/sys/fs/inotify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fs) enum InotifyLimit {
    /// Events that wait in one queue.
    QueuedEvents,
    /// Instances of one user.
    UserInstances,
    /// Watches of all instances of one user.
    UserWatches,
}

/// The settings, and what they limit.
pub struct InotifyLimits {
    queued_events: AtomicU32,
    user_instances: AtomicU32,
    user_watches: AtomicU32,
    queued_bytes: AtomicUsize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    watches: u32,
    users: HashMap<KernelUid, UsedByUser>,
}

#[derive(Default)]
struct UsedByUser {
    instances: u32,
    watches: u32,
}

impl Default for InotifyLimits {
    fn default() -> Self {
        Self {
            queued_events: AtomicU32::new(16_384),
            user_instances: AtomicU32::new(128),
            user_watches: AtomicU32::new(65_536),
            queued_bytes: AtomicUsize::new(0),
            used: Mutex::default(),
        }
    }
}

impl InotifyLimits {
    /// The settings of fanotify, whose groups and marks are as instances and watches.
    pub fn of_fanotify() -> Self {
        Self { user_watches: AtomicU32::new(131_072), ..Self::default() }
    }

    fn slot(&self, limit: InotifyLimit) -> &AtomicU32 {
        match limit {
            InotifyLimit::QueuedEvents => &self.queued_events,
            InotifyLimit::UserInstances => &self.user_instances,
            InotifyLimit::UserWatches => &self.user_watches,
        }
    }

    /// What a setting says.
    pub(in crate::fs) fn get(&self, limit: InotifyLimit) -> u32 {
        self.slot(limit).load(Ordering::Relaxed)
    }

    /// Changes a setting. What there is stays.
    pub(in crate::fs) fn set(&self, limit: InotifyLimit, number: u32) {
        self.slot(limit).store(number, Ordering::Relaxed);
    }
}

/// What one instance is charged for, and to whom.
pub(in crate::fs) struct Account {
    limits: Arc<InotifyLimits>,
    uid: KernelUid,
}

impl Account {
    /// Charges user `uid` for an instance.
    ///
    /// # Errors
    /// EMFILE: the user has too many.
    pub(in crate::fs) fn open(limits: &Arc<InotifyLimits>, uid: KernelUid) -> Result<Self, Errno> {
        let mut used = limits.used.lock();
        let user = used.users.entry(uid).or_default();
        let has_room = user.instances < limits.get(InotifyLimit::UserInstances);
        user.instances += u32::from(has_room);
        used.forget_unused(uid);
        drop(used);
        if has_room { Ok(Self { limits: limits.clone(), uid }) } else { Err(Errno::EMFILE) }
    }

    /// Charges for a watch.
    ///
    /// # Errors
    /// ENOSPC: the user, or the sandbox, has too many.
    pub(in crate::fs) fn add_watch(&self) -> Result<(), Errno> {
        let mut used = self.limits.used.lock();
        if used.watches >= MAX_WATCHES {
            return Err(Errno::ENOSPC);
        }
        let user = used.users.entry(self.uid).or_default();
        if user.watches >= self.limits.get(InotifyLimit::UserWatches) {
            return Err(Errno::ENOSPC);
        }
        user.watches += 1;
        used.watches += 1;
        Ok(())
    }

    /// Takes the charges for `count` watches back.
    pub(in crate::fs) fn remove_watches(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut used = self.limits.used.lock();
        used.watches = used.watches.saturating_sub(count);
        if let Some(user) = used.users.get_mut(&self.uid) {
            user.watches = user.watches.saturating_sub(count);
        }
    }

    /// How many events a new queue may hold.
    pub(in crate::fs) fn max_queued_events(&self) -> usize {
        usize::try_from(self.limits.get(InotifyLimit::QueuedEvents)).unwrap_or(usize::MAX)
    }

    /// Charges for an event in the queue; whether there was room.
    pub(in crate::fs) fn queue(&self, len_bytes: usize) -> bool {
        let queued = &self.limits.queued_bytes;
        let add = |sum: usize| sum.checked_add(len_bytes).filter(|&sum| sum <= MAX_QUEUED_BYTES);
        queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Takes the charge for events in the queue back.
    pub(in crate::fs) fn unqueue(&self, len_bytes: usize) {
        self.limits.queued_bytes.fetch_sub(len_bytes, Ordering::Relaxed);
    }
}

impl Used {
    fn forget_unused(&mut self, uid: KernelUid) {
        if self.users.get(&uid).is_some_and(|user| (user.instances, user.watches) == (0, 0)) {
            self.users.remove(&uid);
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut used = self.limits.used.lock();
        if let Some(user) = used.users.get_mut(&self.uid) {
            user.instances = user.instances.saturating_sub(1);
        }
        used.forget_unused(self.uid);
    }
}
