//! Instances of file systems, which mounts show.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use linux_raw_sys::general as uapi;

use super::FileSystem;
use crate::Errno;
use crate::cred::{Capabilities, Credentials, UserNamespace};
use crate::fs::dentry::Dentry;
use crate::fs::fs_context::split_options;
use crate::fs::inode::Viewer;
use crate::fs::locks::LockTable;
use crate::heap::HeapCharge;

/// What one that somebody has mounted takes, with its file system and what that was asked for.
const INSTANCE_BYTES: usize = 2048;

bitflags::bitflags! {
    /// What holds for all mounts of an instance, as mount(2) has it (`MS_*`). All but the first are only remembered and shown:
    /// what is written is there at once, and locks are never mandatory.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SuperFlags: u32 {
        /// Nothing may be changed.
        const RDONLY = uapi::MS_RDONLY;
        /// Writes reach the device at once.
        const SYNCHRONOUS = uapi::MS_SYNCHRONOUS;
        /// Locks may be mandatory.
        const MANDLOCK = uapi::MS_MANDLOCK;
        /// Changes of directories reach the device at once.
        const DIRSYNC = uapi::MS_DIRSYNC;
        /// Times reach the device late.
        const LAZYTIME = uapi::MS_LAZYTIME;
    }
}

impl SuperFlags {
    /// How /proc/mounts shows those beside the access, in its order.
    pub fn text(self) -> String {
        let shown = [
            (Self::SYNCHRONOUS, ",sync"),
            (Self::DIRSYNC, ",dirsync"),
            (Self::MANDLOCK, ",mand"),
            (Self::LAZYTIME, ",lazytime"),
        ];
        shown.into_iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, text)| text).collect()
    }
}

/// One instance of a file system (Linux's superblock), which may be mounted many times.
pub struct Instance {
    pub(super) file_system: Arc<dyn FileSystem>,
    pub(super) root: Arc<Dentry>,
    owner: Option<Arc<UserNamespace>>,
    is_read_only: AtomicBool,
    /// All of [`SuperFlags`] but RDONLY.
    flags: AtomicU32,
    /// Those who may write through any mount of it.
    pub(super) writers: AtomicUsize,
    locks: LockTable,
    /// One of the kernel's own is its mount's.
    _heap_charge: Option<HeapCharge>,
}

impl Instance {
    /// `file_system`, whose root directory is `root`, mounted by somebody in `owner`.
    pub fn new(file_system: Arc<dyn FileSystem>, root: Arc<Dentry>, owner: Arc<UserNamespace>) -> Arc<Self> {
        Self::of(file_system, root, Some(owner))
    }

    pub(in crate::fs) fn of(
        file_system: Arc<dyn FileSystem>,
        root: Arc<Dentry>,
        owner: Option<Arc<UserNamespace>>,
    ) -> Arc<Self> {
        let (is_read_only, writers) = (AtomicBool::new(false), AtomicUsize::new(0));
        let locks = LockTable::default();
        let _heap_charge = owner.as_ref().map(|_| HeapCharge::forced(INSTANCE_BYTES));
        let flags = AtomicU32::new(0);
        Arc::new(Self { file_system, root, owner, is_read_only, flags, writers, locks, _heap_charge })
    }

    /// What is mounted.
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.file_system
    }

    /// The advisory locks on files whose inodes have no place for them.
    pub fn locks(&self) -> &LockTable {
        &self.locks
    }

    /// Its root directory.
    pub fn root(&self) -> &Arc<Dentry> {
        &self.root
    }

    /// The user namespace whose administrators may reconfigure it, and which numbers its users. `None`: it is the kernel's, for
    /// inodes without names.
    pub fn owner(&self) -> Option<&Arc<UserNamespace>> {
        self.owner.as_ref()
    }

    /// Whether nothing may be changed through any mount of it.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::SeqCst)
    }

    /// What holds for all mounts of it.
    pub fn flags(&self) -> SuperFlags {
        let mut flags = SuperFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed));
        flags.set(SuperFlags::RDONLY, self.is_read_only());
        flags
    }

    /// Says what holds for all mounts of it, but for the access.
    pub(in crate::fs) fn remember_flags(&self, flags: SuperFlags) {
        self.flags.store((flags - SuperFlags::RDONLY).bits(), Ordering::Relaxed);
    }

    /// Says whether something may be changed.
    ///
    /// # Errors
    /// EBUSY: nothing shall, but somebody writes.
    pub fn set_read_only(&self, is_read_only: bool) -> Result<(), Errno> {
        // First the mark, then the count: a writer does it the other way round.
        let old = self.is_read_only.swap(is_read_only, Ordering::SeqCst);
        if is_read_only && !old && self.writers.load(Ordering::SeqCst) != 0 {
            self.is_read_only.store(false, Ordering::SeqCst);
            return Err(Errno::EBUSY);
        }
        Ok(())
    }

    /// Fails with EPERM unless `credentials` may change its options.
    ///
    /// # Errors
    /// EPERM.
    pub fn check_may_reconfigure(&self, credentials: &Credentials) -> Result<(), Errno> {
        let may = self.owner.as_ref().is_some_and(|owner| credentials.has_in(owner, Capabilities::SYS_ADMIN));
        if may { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Changes its options for `viewer`, and then what `and_then` changes: everything or nothing. `flags` hold
    /// from then on unless the options say otherwise, but for DIRSYNC, which stays as it is.
    ///
    /// # Errors
    /// EBUSY: nothing shall be changed, but somebody writes. Those of [`FileSystem::reconfigure`] and of `and_then`.
    pub fn reconfigure(
        &self,
        options: &str,
        flags: SuperFlags,
        viewer: &Viewer,
        and_then: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (options, flags) = split_options(options, flags);
        let is_read_only = flags.contains(SuperFlags::RDONLY);
        if !is_read_only && self.file_system.is_never_writable() {
            return Err(Errno::EROFS);
        }
        let was_read_only = self.is_read_only();
        self.set_read_only(is_read_only)?;
        match self.file_system.reconfigure(&options, viewer).and_then(|()| and_then()) {
            Ok(()) => {
                let kept = self.flags() & SuperFlags::DIRSYNC;
                self.remember_flags((flags - SuperFlags::DIRSYNC) | kept);
                Ok(())
            }
            Err(error) => {
                self.set_read_only(was_read_only)?;
                Err(error)
            }
        }
    }
}
