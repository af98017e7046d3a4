//! Leases: who has one on a file hears before somebody else opens or truncates it (`man 2 fcntl`, "Leases").
//!
//! A lease that stands in the way is *broken*: its holder is signalled, and has some seconds to give it up or to make a read
//! lease of it; then it is taken. Whoever breaks it waits for that, with the queue that [`OpenFiles`] has for all leases.

use std::sync::{Arc, Weak};
use std::time::Duration;

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use super::async_io::AsyncSignals;
use super::{Fd, FileDescription, FileKind, OpenFiles, Path};
use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::time::MonotonicTime;
use crate::wait::Events;

/// What a lease keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseKind {
    /// Writing.
    Read,
    /// Opening at all.
    Write,
}

/// What becomes of a lease that is broken, and when if its holder does nothing.
#[derive(Clone, Copy)]
struct Breaking {
    /// It is taken, or made a read lease.
    is_taken: bool,
    /// `None` for never.
    at: Option<MonotonicTime>,
}

struct Lease {
    /// The id of the description that it was taken through.
    holder: u64,
    description: Weak<FileDescription>,
    fd: Fd,
    kind: LeaseKind,
    breaking: Option<Breaking>,
    signals: Arc<AsyncSignals>,
    files: Arc<OpenFiles>,
}

/// The leases on one file. Takes no memory until the first.
#[derive(Default)]
pub struct Leases(Mutex<Vec<Lease>>);

impl Leases {
    /// Takes or changes the lease of `description`, which `fd` refers to.
    ///
    /// # Errors
    /// EACCES: it is not the caller's file. EINVAL: not a regular one. EAGAIN: others have it open, or a lease on it.
    pub fn set(
        &self,
        description: &Arc<FileDescription>,
        (fd, kind): (Fd, LeaseKind),
        credentials: &Credentials,
        (signals, files): (&Arc<AsyncSignals>, &Arc<OpenFiles>),
    ) -> Result<(), Errno> {
        check_may_lease(description, credentials)?;
        check_no_other_opens(description, kind)?;
        let holder = description.id().ok_or(Errno::EINVAL)?;
        let mut leases = self.0.lock();
        expire(&mut leases);
        let mut others = leases.iter().filter(|lease| lease.holder != holder);
        let is_refused = |lease: &Lease| {
            kind == LeaseKind::Write
                || lease.kind == LeaseKind::Write
                || lease.breaking.is_some_and(|breaking| breaking.is_taken)
        };
        if others.any(is_refused) {
            return Err(Errno::EAGAIN);
        }
        leases.retain(|lease| lease.holder != holder);
        leases.push(Lease {
            holder,
            description: Arc::downgrade(description),
            fd,
            kind,
            breaking: None,
            signals: signals.clone(),
            files: files.clone(),
        });
        files.lease_queue().notify(Events::IN);
        Ok(())
    }

    /// Gives up the lease of `description`.
    ///
    /// # Errors
    /// EACCES and EINVAL as for taking one; EAGAIN: there is none.
    pub fn unset(&self, description: &FileDescription, credentials: &Credentials) -> Result<(), Errno> {
        check_may_lease(description, credentials)?;
        let holder = description.id().ok_or(Errno::EAGAIN)?;
        if self.release(holder) { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    /// The holder, a description's id, has no lease any more; whether it had one.
    pub(super) fn release(&self, holder: u64) -> bool {
        let mut leases = self.0.lock();
        let index = leases.iter().position(|lease| lease.holder == holder);
        let released = index.map(|index| leases.swap_remove(index));
        drop(leases);
        if let Some(lease) = &released {
            lease.files.lease_queue().notify(Events::IN);
        }
        released.is_some()
    }

    /// The lease of `description`, as it will be once it has been broken (F_GETLEASE).
    pub fn of(&self, description: &FileDescription) -> Option<LeaseKind> {
        let mut leases = self.0.lock();
        expire(&mut leases);
        let own = leases.iter().find(|lease| Some(lease.holder) == description.id())?;
        match own.breaking {
            Some(Breaking { is_taken: true, .. }) => None,
            Some(Breaking { is_taken: false, .. }) => Some(LeaseKind::Read),
            None => Some(own.kind),
        }
    }

    /// Breaks the leases that are in the way of who opens the file, to write it or not.
    ///
    /// # Errors
    /// [`Errno::ELEASED`]: one of them is still there.
    fn break_for(&self, is_write: bool) -> Result<(), Errno> {
        let mut leases = self.0.lock();
        expire(&mut leases);
        let mut is_in_the_way = false;
        for lease in leases.iter_mut().filter(|lease| is_write || lease.kind == LeaseKind::Write) {
            is_in_the_way = true;
            let is_told = match lease.breaking {
                Some(breaking) => breaking.is_taken || !is_write,
                None => false,
            };
            if !is_told {
                let seconds = lease.files.lease_break_seconds();
                let at = (seconds != 0).then(|| lease.files.now() + Duration::from_secs(seconds.into()));
                lease.breaking = Some(Breaking { is_taken: is_write, at });
                lease.signals.told(&lease.description, lease.fd);
            }
        }
        if is_in_the_way { Err(Errno::ELEASED) } else { Ok(()) }
    }
}

/// Takes what has been broken for long enough.
fn expire(leases: &mut Vec<Lease>) {
    let Some(now) = leases.first().map(|lease| lease.files.now()) else { return };
    let is_over = |lease: &Lease| lease.breaking.filter(|breaking| breaking.at.is_some_and(|at| at <= now));
    leases.retain(|lease| !is_over(lease).is_some_and(|breaking| breaking.is_taken));
    for lease in leases {
        if is_over(lease).is_some() {
            (lease.kind, lease.breaking) = (LeaseKind::Read, None);
        }
    }
}

fn check_may_lease(description: &FileDescription, credentials: &Credentials) -> Result<(), Errno> {
    let metadata = description.metadata()?;
    if metadata.uid != credentials.fs_uid && !credentials.has(Capabilities::LEASE) {
        return Err(Errno::EACCES);
    }
    if metadata.kind() == FileKind::Regular && description.path().is_some() {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// Fails if somebody else has the file open in a way that a lease of this kind would have broken.
fn check_no_other_opens(description: &FileDescription, kind: LeaseKind) -> Result<(), Errno> {
    let Some(path) = description.path() else { return Err(Errno::EINVAL) };
    let writers = path.inode().write_count().map_or(0, |count| count.writers());
    let own = i32::from(description.flags().is_writable());
    let is_open = match kind {
        LeaseKind::Read => writers > 0,
        LeaseKind::Write => {
            let readers = path.inode().locks().map_or(1 - own, |locks| locks.readers());
            writers != own || readers != 1 - own
        }
    };
    if is_open { Err(Errno::EAGAIN) } else { Ok(()) }
}

/// Breaks the leases on the file at `path` that are in the way of who opens it, to write it or not.
///
/// # Errors
/// [`Errno::ELEASED`]: one of them is still there. [`OpenFiles::lease_queue`] tells when it may no longer be.
pub fn break_leases(path: &Path, is_write: bool) -> Result<(), Errno> {
    match path.inode().locks() {
        Some(locks) => locks.leases().break_for(is_write),
        None => Ok(()),
    }
}

/// The `F_*` value of a lease.
pub fn lease_value(kind: Option<LeaseKind>) -> u32 {
    match kind {
        None => uapi::F_UNLCK,
        Some(LeaseKind::Read) => uapi::F_RDLCK,
        Some(LeaseKind::Write) => uapi::F_WRLCK,
    }
}
