//! Instances of file systems, which mounts show.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::FileSystem;
use crate::Errno;
use crate::cred::{Capabilities, Credentials, UserNamespace};
use crate::fs::dentry::Dentry;
use crate::fs::fs_context::split_options;
use crate::fs::locks::LockTable;
use crate::heap::HeapCharge;

/// What one that somebody has mounted takes, with its file system and what that was asked for.
const INSTANCE_BYTES: usize = 2048;

/// One instance of a file system (Linux's superblock), which may be mounted many times.
pub struct Instance {
    pub(super) file_system: Arc<dyn FileSystem>,
    pub(super) root: Arc<Dentry>,
    owner: Option<Arc<UserNamespace>>,
    is_read_only: AtomicBool,
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

    pub(super) fn of(
        file_system: Arc<dyn FileSystem>,
        root: Arc<Dentry>,
        owner: Option<Arc<UserNamespace>>,
    ) -> Arc<Self> {
        let (is_read_only, writers) = (AtomicBool::new(false), AtomicUsize::new(0));
        let locks = LockTable::default();
        let _heap_charge = owner.as_ref().map(|_| HeapCharge::forced(INSTANCE_BYTES));
        Arc::new(Self { file_system, root, owner, is_read_only, writers, locks, _heap_charge })
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

    /// Changes its options, and then what `and_then` changes: everything or nothing. Unless the options say so, nothing may be
    /// changed through any mount from then on if `is_read_only`.
    ///
    /// # Errors
    /// EBUSY: nothing shall be changed, but somebody writes. Those of [`FileSystem::reconfigure`] and of `and_then`.
    pub fn reconfigure(
        &self,
        options: &str,
        is_read_only: bool,
        and_then: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (options, is_read_only) = split_options(options, is_read_only);
        if !is_read_only && self.file_system.is_never_writable() {
            return Err(Errno::EROFS);
        }
        let was_read_only = self.is_read_only();
        self.set_read_only(is_read_only)?;
        match self.file_system.reconfigure(&options).and_then(|()| and_then()) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.set_read_only(was_read_only)?;
                Err(error)
            }
        }
    }
}
