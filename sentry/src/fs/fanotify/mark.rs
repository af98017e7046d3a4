//! Marks: what a group wants to hear of a file, a mount or a file system.

use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use super::group::FanotifyFile;
use super::{FanMask, MarkFlags};
use crate::Errno;
use crate::fs::mount::Mount;
use crate::fs::{Dentry, Inode, Path};
use crate::heap::HeapCharge;

/// What a mark takes, with its places in its group and on its file.
const MARK_BYTES: usize = 448;

/// What a mark is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkPlace {
    /// A file.
    Inode,
    /// A mount.
    Mount,
    /// A file system.
    FileSystem,
}

/// A change of marks that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct MarkChange {
    /// On what.
    pub place: MarkPlace,
    /// Which events.
    pub mask: FanMask,
    /// How.
    pub flags: MarkFlags,
}

impl MarkChange {
    /// Whether it is about what is not to be heard of.
    fn is_about_ignored(&self) -> bool {
        self.flags.intersects(MarkFlags::IGNORED_MASK | MarkFlags::IGNORE)
    }

    /// Whether the next write to the file would undo it.
    pub(super) fn is_undone_by_writers(&self) -> bool {
        let survives = self.flags.contains(MarkFlags::IGNORED_SURV_MODIFY);
        self.is_about_ignored() && !survives && matches!(self.place, MarkPlace::Inode)
    }
}

/// What a mark says now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Masks {
    pub(super) mask: FanMask,
    pub(super) ignored: FanMask,
    /// Of `ignored`: whether it is kept when the file changes, and has modifiers of its own; and whether the mark keeps the file.
    pub(super) flags: MarkFlags,
}

impl Masks {
    /// What is not to be heard of an event of a directory or not, which reached the mark through a child or not.
    pub(super) fn ignored_for(&self, is_directory: bool, is_through_child: bool) -> FanMask {
        let mut ignored = self.ignored;
        if !self.flags.contains(MarkFlags::IGNORE) {
            ignored |= FanMask::ONDIR | self.mask & FanMask::EVENT_ON_CHILD;
        }
        let is_void = is_directory && !ignored.contains(FanMask::ONDIR)
            || is_through_child && !ignored.contains(FanMask::EVENT_ON_CHILD);
        if is_void { FanMask::empty() } else { ignored }
    }
}

/// A mark of a group.
pub(super) struct Mark {
    pub(super) group: Weak<FanotifyFile>,
    pub(super) place: MarkPlace,
    masks: Mutex<Masks>,
    _heap_charge: HeapCharge,
}

impl Mark {
    /// # Errors
    /// ENOMEM.
    pub(super) fn new(group: Weak<FanotifyFile>, place: MarkPlace) -> Result<Arc<Self>, Errno> {
        let _heap_charge = HeapCharge::new(MARK_BYTES)?;
        Ok(Arc::new(Self { group, place, masks: Mutex::default(), _heap_charge }))
    }

    pub(super) fn masks(&self) -> Masks {
        *self.masks.lock()
    }

    /// Adds to what it says.
    ///
    /// # Errors
    /// EEXIST: what is asked for would take something back.
    pub(super) fn add(&self, change: &MarkChange) -> Result<(), Errno> {
        let mut masks = self.masks.lock();
        let has = |flag| change.flags.contains(flag);
        let is_old = !masks.mask.is_empty() || !masks.ignored.is_empty();
        if has(MarkFlags::EVICTABLE) && is_old && !masks.flags.contains(MarkFlags::EVICTABLE) {
            return Err(Errno::EEXIST);
        }
        if change.is_about_ignored() {
            let has_ignored = masks.flags.contains(MarkFlags::IGNORE);
            let survives = masks.flags.contains(MarkFlags::IGNORED_SURV_MODIFY);
            if has_ignored && has(MarkFlags::IGNORED_MASK)
                || has_ignored && survives && !has(MarkFlags::IGNORED_SURV_MODIFY)
            {
                return Err(Errno::EEXIST);
            }
            masks.ignored |= change.mask;
            masks.flags |= change.flags & (MarkFlags::IGNORED_SURV_MODIFY | MarkFlags::IGNORE);
        } else {
            masks.mask |= change.mask;
        }
        if !is_old {
            masks.flags |= change.flags & MarkFlags::EVICTABLE;
        } else if !has(MarkFlags::EVICTABLE) {
            masks.flags.remove(MarkFlags::EVICTABLE);
        }
        Ok(())
    }

    /// Takes from what it says; whether nothing is left.
    pub(super) fn remove(&self, change: &MarkChange) -> bool {
        let mut masks = self.masks.lock();
        if change.is_about_ignored() {
            masks.ignored.remove(change.mask);
        } else {
            masks.mask.remove(change.mask);
        }
        (masks.mask | masks.ignored).difference(FanMask::MODIFIERS).is_empty()
    }

    /// The file has changed: what was not to be heard of until then is heard of again.
    pub(super) fn file_changed(&self) {
        let mut masks = self.masks.lock();
        if !masks.flags.contains(MarkFlags::IGNORED_SURV_MODIFY) {
            masks.ignored = FanMask::empty();
        }
    }
}

/// The marks on one object. Most have none, and cost a pointer.
#[derive(Default)]
pub(in crate::fs) struct MarkList(OnceLock<Box<Mutex<Vec<Arc<Mark>>>>>);

impl MarkList {
    pub(super) fn add(&self, mark: Arc<Mark>) {
        self.0.get_or_init(Box::default).lock().push(mark);
    }

    pub(super) fn remove(&self, mark: &Arc<Mark>) {
        if let Some(marks) = self.0.get() {
            marks.lock().retain(|other| !Arc::ptr_eq(other, mark));
        }
    }

    /// The mark of `group`, if it has one.
    pub(super) fn of_group(&self, group: &Weak<FanotifyFile>) -> Option<Arc<Mark>> {
        let marks = self.0.get()?.lock();
        marks.iter().find(|mark| Weak::ptr_eq(&mark.group, group)).cloned()
    }

    pub(super) fn snapshot(&self) -> Vec<Arc<Mark>> {
        self.0.get().map(|marks| marks.lock().clone()).unwrap_or_default()
    }

    /// Whether there has been a mark.
    pub(in crate::fs) fn was_used(&self) -> bool {
        self.0.get().is_some()
    }

    /// The object is gone, and the marks with it.
    pub(in crate::fs) fn end(&self) {
        for mark in self.snapshot() {
            if let Some(group) = mark.group.upgrade() {
                group.forget(&mark);
            }
            self.remove(&mark);
        }
    }
}

/// What a mark hangs on, as its group keeps it.
#[derive(Clone)]
pub(super) enum Holder {
    Inode(Arc<dyn Inode>),
    Dentry(Arc<Dentry>),
    Mount(Weak<Mount>),
    FileSystem(Weak<Mount>),
}

impl Holder {
    pub(super) fn new(path: &Path, place: MarkPlace) -> Self {
        match place {
            MarkPlace::Inode if path.inode().watches().is_some() => Self::Inode(path.inode().clone()),
            MarkPlace::Inode => Self::Dentry(path.dentry.clone()),
            MarkPlace::Mount => Self::Mount(Arc::downgrade(&path.mount)),
            MarkPlace::FileSystem => Self::FileSystem(Arc::downgrade(&path.mount)),
        }
    }

    /// Does something with the list of marks there, if that is still there.
    pub(super) fn with_list<R>(&self, operation: impl FnOnce(&MarkList) -> R) -> Option<R> {
        match self {
            Self::Inode(inode) => inode.watches().map(|watches| operation(watches.marks())),
            Self::Dentry(dentry) => Some(operation(dentry.watches().marks())),
            Self::Mount(mount) => mount.upgrade().map(|mount| operation(mount.marks())),
            Self::FileSystem(mount) => {
                mount.upgrade().map(|mount| operation(mount.root().watch_register().marks()))
            }
        }
    }

    /// Whether the object is still there.
    pub(super) fn is_alive(&self) -> bool {
        match self {
            Self::Inode(_) | Self::Dentry(_) => true,
            Self::Mount(mount) | Self::FileSystem(mount) => mount.strong_count() != 0,
        }
    }
}

impl Holder {
    /// What /proc/PID/fdinfo calls the object.
    pub(super) fn shown(&self) -> Option<String> {
        let inode = match self {
            Self::Inode(inode) => inode,
            Self::Dentry(dentry) => dentry.inode(),
            Self::Mount(mount) => return mount.upgrade().map(|mount| format!("mnt_id:{:x}", mount.id())),
            Self::FileSystem(mount) => {
                let device = mount.upgrade()?.file_system().device();
                return Some(format!("sdev:{:x}", device.major << 20 | device.minor));
            }
        };
        let metadata = inode.metadata().ok()?;
        let device = metadata.device.major << 20 | metadata.device.minor;
        Some(format!("ino:{:x} sdev:{device:x}", metadata.inode))
    }
}
