//! Locks on the host's file, which the sandbox holds as one open file description on behalf of its processes.
//!
//! Record locks are open file description locks there (`man 2 fcntl`), which see POSIX locks of the host's processes and are
//! seen by them.

use std::os::fd::AsRawFd;
use std::sync::{Arc, Weak};

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, OFlags};

use super::handle::Handle;
use super::node::Node;
use crate::Errno;
use crate::fs::FileKind;
use crate::fs::locks::{Hold, OuterLocks};
use crate::host::{HostCall, count_call};

/// The locks on the file of a node.
pub(super) struct HostLocks {
    node: Weak<Node>,
    /// The description that holds them, while there are any.
    holder: Mutex<Option<Arc<Handle>>>,
}

impl HostLocks {
    pub(super) fn new(node: Weak<Node>) -> Self {
        Self { node, holder: Mutex::default() }
    }

    /// The description that holds the locks, opened if there is none yet.
    fn holder(&self) -> Result<Arc<Handle>, Errno> {
        let mut holder = self.holder.lock();
        if let Some(holder) = &*holder {
            return Ok(holder.clone());
        }
        let node = self.node.upgrade().ok_or(Errno::ENOLCK)?;
        let opened = open(&node)?;
        *holder = Some(opened.clone());
        Ok(opened)
    }

    fn existing_holder(&self) -> Option<Arc<Handle>> {
        self.holder.lock().clone()
    }
}

/// Opens the file for whatever the host allows: exclusive record locks ask for leave to write, shared ones to read.
fn open(node: &Node) -> Result<Arc<Handle>, Errno> {
    if node.file_kind() == FileKind::Directory {
        return node.open_again(OFlags::RDONLY);
    }
    let attempts = [OFlags::RDWR, OFlags::RDONLY, OFlags::WRONLY];
    let opened = attempts.into_iter().map(|flags| node.open_again(flags)).find(Result::is_ok);
    match opened {
        Some(opened) => opened,
        // One without a name, or that has lost it, is open here alone, and locked where it is open.
        None => node.contents().any_open().ok_or(Errno::ENOLCK),
    }
}

impl OuterLocks for HostLocks {
    fn hold_whole(&self, hold: Hold) -> Result<(), Errno> {
        let (holder, operation) = match hold {
            None => match self.existing_holder() {
                Some(holder) => (holder, FlockOperation::NonBlockingUnlock),
                None => return Ok(()),
            },
            Some(false) => (self.holder()?, FlockOperation::NonBlockingLockShared),
            Some(true) => (self.holder()?, FlockOperation::NonBlockingLockExclusive),
        };
        count_call(HostCall::Lock);
        Ok(rustix::fs::flock(&*holder, operation)?)
    }

    fn hold_range(&self, start: u64, end: u64, hold: Hold) -> Result<(), Errno> {
        let kind = match hold {
            None => uapi::F_UNLCK,
            Some(false) => uapi::F_RDLCK,
            Some(true) => uapi::F_WRLCK,
        };
        let holder = match hold {
            None => match self.existing_holder() {
                Some(holder) => holder,
                None => return Ok(()),
            },
            Some(_) => self.holder()?,
        };
        let mut lock = describe(kind, start, end);
        match record_lock(&holder, uapi::F_OFD_SETLK, &mut lock) {
            // The host's file cannot be opened for what the guest's description could.
            Err(Errno::EBADF) => Err(Errno::ENOLCK),
            Err(Errno::EACCES) => Err(Errno::EAGAIN),
            result => result,
        }
    }

    fn find_conflict(&self, start: u64, end: u64, is_exclusive: bool) -> Option<(u64, u64, bool)> {
        let kind = if is_exclusive { uapi::F_WRLCK } else { uapi::F_RDLCK };
        let had_holder = self.existing_holder().is_some();
        let holder = self.holder().ok()?;
        let mut lock = describe(kind, start, end);
        let asked = record_lock(&holder, uapi::F_OFD_GETLK, &mut lock);
        if !had_holder {
            self.release_all();
        }
        asked.ok()?;
        let kind = u32::try_from(lock.l_type).ok()?;
        let start = u64::try_from(lock.l_start).ok()?;
        let end = match lock.l_len {
            0 => u64::MAX,
            len => start.saturating_add(len.unsigned_abs()),
        };
        (kind != uapi::F_UNLCK).then_some((start, end, kind == uapi::F_WRLCK))
    }

    fn release_all(&self) {
        let holder = self.holder.lock().take();
        let Some(holder) = holder else { return };
        count_call(HostCall::Lock);
        // Somebody else may keep it open.
        let _ = rustix::fs::flock(&*holder, FlockOperation::NonBlockingUnlock);
        let _ = record_lock(&holder, uapi::F_OFD_SETLK, &mut describe(uapi::F_UNLCK, 0, u64::MAX));
    }
}

fn describe(kind: u32, start: u64, end: u64) -> libc::flock {
    let to_end = end > i64::MAX.unsigned_abs();
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: i64::try_from(start).unwrap_or(i64::MAX),
        l_len: if to_end { 0 } else { end.saturating_sub(start).cast_signed() },
        l_pid: 0,
    }
}

fn record_lock(holder: &Handle, command: u32, lock: &mut libc::flock) -> Result<(), Errno> {
    use std::os::fd::AsFd;
    // SAFETY: the descriptor is open, and the structure is the one that these commands read and write.
    let result =
        unsafe { libc::fcntl(holder.as_fd().as_raw_fd(), command as libc::c_int, std::ptr::from_mut(lock)) };
    if result < 0 { Err(std::io::Error::last_os_error().into()) } else { Ok(()) }
}
