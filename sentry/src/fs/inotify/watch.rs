//! The watches on one dentry, and how events reach them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::WatchMask;
use super::instance::{Event, InotifyFile};
use crate::Errno;
use crate::fs::dnotify::Notices;
use crate::fs::fanotify::{FanMask, MarkList, Occurrence};
use crate::fs::{Dentry, Path};
use crate::heap::HeapCharge;

/// What a watch takes, with its places in its instance and on its file.
const WATCH_BYTES: usize = 384;

/// One watch of one instance.
pub(super) struct Watch {
    pub(super) instance: Weak<InotifyFile>,
    pub(super) descriptor: i32,
    /// Events and options.
    mask: AtomicU32,
    is_on_directory: bool,
    _heap_charge: HeapCharge,
}

impl Watch {
    /// # Errors
    /// ENOMEM.
    pub(super) fn new(
        instance: Weak<InotifyFile>,
        descriptor: i32,
        mask: WatchMask,
        is_on_directory: bool,
    ) -> Result<Self, Errno> {
        let _heap_charge = HeapCharge::new(WATCH_BYTES)?;
        Ok(Self { instance, descriptor, mask: AtomicU32::new(mask.bits()), is_on_directory, _heap_charge })
    }

    pub(super) fn mask(&self) -> WatchMask {
        WatchMask::from_bits_retain(self.mask.load(Ordering::Relaxed))
    }

    pub(super) fn set_mask(&self, mask: WatchMask) {
        self.mask.store(mask.bits(), Ordering::Relaxed);
    }
}

/// The watches on one file. Most have none, and cost a pointer.
#[derive(Default)]
pub struct WatchList {
    watches: OnceLock<Box<Mutex<Vec<Arc<Watch>>>>>,
    marks: MarkList,
    notices: Notices,
}

impl WatchList {
    /// The marks of fanotify on the same file.
    pub(in crate::fs) fn marks(&self) -> &MarkList {
        &self.marks
    }

    pub(super) fn add(&self, watch: Arc<Watch>) {
        self.watches.get_or_init(Box::default).lock().push(watch);
    }

    pub(super) fn remove(&self, watch: &Arc<Watch>) {
        if let Some(watches) = self.watches.get() {
            watches.lock().retain(|other| !Arc::ptr_eq(other, watch));
        }
    }

    /// The watch of `instance`, if it has one.
    pub(super) fn of_instance(&self, instance: &Weak<InotifyFile>) -> Option<Arc<Watch>> {
        let watches = self.watches.get()?.lock();
        watches.iter().find(|watch| Weak::ptr_eq(&watch.instance, instance)).cloned()
    }

    fn snapshot(&self) -> Vec<Arc<Watch>> {
        self.watches.get().map(|watches| watches.lock().clone()).unwrap_or_default()
    }

    /// Nobody uses the name any more, and its file no longer exists: the watches end.
    pub(in crate::fs) fn end(&self) {
        for watch in self.snapshot() {
            let Some(instance) = watch.instance.upgrade() else { continue };
            if watch.mask().contains(WatchMask::DELETE_SELF) {
                let (mask, name) = (WatchMask::DELETE_SELF, Box::default());
                instance.push(Event { watch: watch.descriptor, mask, cookie: 0, name });
            }
            instance.end_watch(watch.descriptor);
        }
        self.marks.end();
    }

    /// Whether there has been a watch.
    pub(in crate::fs) fn was_used(&self) -> bool {
        self.watches.get().is_some() || self.marks.was_used()
    }

    /// Those who want signals when something happens in the directory.
    pub(in crate::fs) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// `is_excluded`: those who want no events of removed entries hear nothing.
    fn tell(&self, events: WatchMask, name: Option<&[u8]>, cookie: u32, is_excluded: bool) {
        if name.is_some() || events.contains(WatchMask::ISDIR) {
            self.notices.tell(events);
        }
        for watch in self.snapshot() {
            let mask = watch.mask();
            if !mask.intersects(events & WatchMask::ALL_EVENTS)
                || is_excluded && mask.contains(WatchMask::EXCL_UNLINK)
            {
                continue;
            }
            let Some(instance) = watch.instance.upgrade() else { continue };
            let name = name.unwrap_or_default().into();
            instance.push(Event { watch: watch.descriptor, mask: events, cookie, name });
            if mask.contains(WatchMask::ONESHOT) {
                instance.end_watch(watch.descriptor);
            }
        }
    }
}

/// The watches on the files of one file system, in the order in which they were made.
#[derive(Default)]
pub(in crate::fs) struct WatchRegister {
    registered: Mutex<Registered>,
    marks: MarkList,
}

#[derive(Default)]
struct Registered {
    watches: Vec<Weak<Watch>>,
    sweep_at: usize,
}

impl WatchRegister {
    /// The marks of fanotify on the file system.
    pub(in crate::fs) fn marks(&self) -> &MarkList {
        &self.marks
    }

    fn add(&self, watch: &Arc<Watch>) {
        const MIN_SWEEP: usize = 64;
        let mut registered = self.registered.lock();
        if registered.watches.len() >= registered.sweep_at.max(MIN_SWEEP) {
            registered.watches.retain(|watch| watch.strong_count() != 0);
            registered.sweep_at = registered.watches.len() * 2;
        }
        registered.watches.push(Arc::downgrade(watch));
    }

    /// The file system is mounted nowhere any more: the watches end.
    pub(in crate::fs) fn end(&self) {
        let watches = std::mem::take(&mut self.registered.lock().watches);
        for watch in watches.iter().rev().filter_map(Weak::upgrade) {
            let Some(instance) = watch.instance.upgrade() else { continue };
            let mask = WatchMask::UNMOUNT | directory_bit(watch.is_on_directory);
            instance.push(Event { watch: watch.descriptor, mask, cookie: 0, name: Box::default() });
            instance.end_watch(watch.descriptor);
        }
        self.marks.end();
    }
}

/// What is or was behind an entry of a directory.
#[derive(Clone, Copy)]
pub(in crate::fs) struct EntryChild {
    pub(in crate::fs) is_directory: bool,
    /// Its inode number.
    pub(in crate::fs) number: u64,
}

impl EntryChild {
    /// What is behind `dentry`.
    pub(in crate::fs) fn of(dentry: &Dentry) -> Self {
        let number = dentry.inode().metadata().map_or(0, |metadata| metadata.inode);
        Self { is_directory: dentry.is_directory(), number }
    }
}

/// The directory bit, for a directory.
fn directory_bit(is_directory: bool) -> WatchMask {
    if is_directory { WatchMask::ISDIR } else { WatchMask::empty() }
}

impl Dentry {
    /// Hangs a watch on the file.
    pub(super) fn watch(&self, watch: Arc<Watch>) {
        self.watch_register().add(&watch);
        self.watches().add(watch);
    }

    /// Tells who watches the file, and who watches the directory that it is in, that `event` was done to it.
    pub(crate) fn announce(&self, event: WatchMask) {
        self.announce_unless(event, FanMask::of_watch(event), None, false);
    }

    /// As [`Dentry::announce`], by an open file at `path`: of a removed one not everybody wants to hear. `more` is what only
    /// fanotify has a name for.
    pub(in crate::fs) fn announce_use(&self, event: WatchMask, more: FanMask, path: &Path) {
        self.announce_unless(event, FanMask::of_watch(event) | more, Some(path), self.is_deleted());
    }

    fn announce_unless(&self, event: WatchMask, mask: FanMask, path: Option<&Path>, is_excluded: bool) {
        let (parent, name) = self.place();
        let events = event | directory_bit(self.is_directory());
        if let Some(parent) = &parent {
            parent.watches().tell(events, Some(&name), 0, is_excluded);
        }
        self.watches().tell(events, None, 0, is_excluded);
        let place = parent.as_ref().map(|parent| (&**parent, &*name));
        Occurrence { path, place, ..self.occurrence(mask) }.tell();
    }

    /// Tells who watches the file itself that `event` happened to it.
    pub(in crate::fs) fn announce_self(&self, event: WatchMask) {
        // As Linux has it, the others bear no directory bit.
        let bit = directory_bit(event == WatchMask::ATTRIB && self.is_directory());
        self.watches().tell(event | bit, None, 0, false);
        self.occurrence(FanMask::of_watch(event)).tell();
    }

    /// Something that happens to the file.
    pub(in crate::fs) fn occurrence(&self, mask: FanMask) -> Occurrence<'_> {
        Occurrence {
            mask,
            is_directory: self.is_directory(),
            object: Some(self),
            number: 0,
            place: None,
            renamed_to: None,
            path: None,
        }
    }

    /// Tells who watches this directory that `event` happened to the entry `name`, which is or was `child`.
    pub(in crate::fs) fn announce_entry(
        &self,
        event: WatchMask,
        name: &[u8],
        child: EntryChild,
        cookie: u32,
    ) {
        let bit = directory_bit(child.is_directory);
        self.watches().tell(event | bit, Some(name), cookie, false);
        self.announce_to_groups(FanMask::of_watch(event), name, child, None);
    }

    /// Tells groups of fanotify of a renamed entry, by both names.
    pub(in crate::fs) fn announce_rename(&self, name: &[u8], child: EntryChild, to: (&Dentry, &[u8])) {
        self.watches().notices().tell_rename();
        self.announce_to_groups(FanMask::RENAME, name, child, Some(to));
    }

    fn announce_to_groups(
        &self,
        mask: FanMask,
        name: &[u8],
        child: EntryChild,
        renamed_to: Option<(&Dentry, &[u8])>,
    ) {
        let place = Some((self, name));
        let EntryChild { is_directory, number } = child;
        Occurrence { mask, is_directory, object: None, number, place, renamed_to, path: None }.tell();
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
