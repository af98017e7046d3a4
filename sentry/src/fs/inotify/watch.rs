//! The watches on one dentry, and how events reach them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::WatchMask;
use super::instance::{Event, InotifyFile};
use crate::fs::Dentry;

/// One watch of one instance.
pub(super) struct Watch {
    pub(super) instance: Weak<InotifyFile>,
    pub(super) descriptor: i32,
    /// Events and options.
    mask: AtomicU32,
}

impl Watch {
    pub(super) fn new(instance: Weak<InotifyFile>, descriptor: i32, mask: WatchMask) -> Self {
        Self { instance, descriptor, mask: AtomicU32::new(mask.bits()) }
    }

    pub(super) fn mask(&self) -> WatchMask {
        WatchMask::from_bits_retain(self.mask.load(Ordering::Relaxed))
    }

    pub(super) fn set_mask(&self, mask: WatchMask) {
        self.mask.store(mask.bits(), Ordering::Relaxed);
    }
}

/// The watches on one dentry. Most have none, and cost a pointer.
#[derive(Default)]
pub(in crate::fs) struct WatchList(OnceLock<Box<Mutex<Vec<Arc<Watch>>>>>);

impl WatchList {
    pub(super) fn add(&self, watch: Arc<Watch>) {
        self.0.get_or_init(Box::default).lock().push(watch);
    }

    pub(super) fn remove(&self, watch: &Arc<Watch>) {
        if let Some(watches) = self.0.get() {
            watches.lock().retain(|other| !Arc::ptr_eq(other, watch));
        }
    }

    fn snapshot(&self) -> Vec<Arc<Watch>> {
        self.0.get().map(|watches| watches.lock().clone()).unwrap_or_default()
    }

    /// Nobody uses the dentry any more, and its file no longer exists: the watches end.
    pub(in crate::fs) fn end(&self) {
        for watch in self.snapshot() {
            let Some(instance) = watch.instance.upgrade() else { continue };
            if watch.mask().contains(WatchMask::DELETE_SELF) {
                let (mask, name) = (WatchMask::DELETE_SELF, Box::default());
                instance.push(Event { watch: watch.descriptor, mask, cookie: 0, name });
            }
            instance.end_watch(watch.descriptor);
        }
    }

    /// Whether there has been a watch.
    pub(in crate::fs) fn was_used(&self) -> bool {
        self.0.get().is_some()
    }

    fn tell(&self, events: WatchMask, name: Option<&[u8]>, cookie: u32, is_removed: bool) {
        for watch in self.snapshot() {
            let mask = watch.mask();
            if !mask.intersects(events & WatchMask::EVENTS)
                || is_removed && mask.contains(WatchMask::EXCLUDE_REMOVED)
            {
                continue;
            }
            let Some(instance) = watch.instance.upgrade() else { continue };
            let name = name.unwrap_or_default().into();
            instance.push(Event { watch: watch.descriptor, mask: events, cookie, name });
            if mask.contains(WatchMask::ONCE) {
                instance.end_watch(watch.descriptor);
            }
        }
    }
}

/// The directory bit, for a directory.
fn kind_bit(dentry: &Dentry) -> WatchMask {
    if dentry.is_directory() { WatchMask::IS_DIRECTORY } else { WatchMask::empty() }
}

impl Dentry {
    /// Tells who watches the file, and who watches the directory that it is in, that `event` happened to it.
    pub(in crate::fs) fn announce(&self, event: WatchMask) {
        let (parent, name) = self.place();
        let events = event | kind_bit(self);
        if let Some(parent) = parent {
            parent.watches().tell(events, Some(&name), 0, self.is_deleted());
        }
        self.watches().tell(events, None, 0, false);
    }

    /// Tells who watches the file itself that `event` happened to it.
    pub(in crate::fs) fn announce_self(&self, event: WatchMask) {
        // As Linux has it, these bear no directory bit.
        let bit = if event == WatchMask::ATTRIB { kind_bit(self) } else { WatchMask::empty() };
        self.watches().tell(event | bit, None, 0, false);
    }

    /// Tells who watches this directory that `event` happened to the entry `name`, which is `child`.
    pub(in crate::fs) fn announce_entry(&self, event: WatchMask, name: &[u8], child: &Dentry, cookie: u32) {
        self.watches().tell(event | kind_bit(child), Some(name), cookie, false);
    }

    /// Has the instances that watch the file no longer keep it: its name has been removed.
    pub(in crate::fs) fn unpin_watches(&self) {
        for watch in self.watches().snapshot() {
            if let Some(instance) = watch.instance.upgrade() {
                instance.unpin(watch.descriptor);
            }
        }
    }
}
