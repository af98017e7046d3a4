//! A read-only view of a host directory: the lower layer of an overlay.
//!
//! Everything is opened by its path below the directory's handle with RESOLVE_BENEATH, and without following any
//! link: symbolic links are read and resolved by the sentry alone, so nothing outside is ever reached. Handles are
//! opened when needed and kept in a bounded cache. The host's devices, sockets and FIFOs are seen but never opened.
//!
//! Where the host has mounted something below the directory, it is seen if it holds files. Interfaces of the host's kernel
//! (procfs, sysfs and the like) are empty instead: [`mounts`] says which these are.

mod handles;
mod mounts;
mod node;
mod owners;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, StatVfs, Statx, StatxFlags, fstatvfs, openat2, statx,
};

use crate::Errno;
use crate::fs::lower::LowerStatus;
use crate::fs::metadata::DeviceNumber;
use crate::host::{HostCall, count_call};
use handles::HandleCache;
pub(in crate::fs) use mounts::HostMounts;

pub use node::HostNode;
pub use owners::HostOwners;

/// A host directory, opened when the sandbox started.
pub struct HostTree {
    root: OwnedFd,
    mounts: HostMounts,
    owners: HostOwners,
    handles: HandleCache,
}

/// Whether `directory` holds files, and not an interface of the host's kernel, so that it may be an image.
///
/// # Errors
/// The host's.
pub fn holds_files(directory: impl AsFd) -> io::Result<bool> {
    count_call(HostCall::Stat);
    let status = statx(&directory, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
    Ok(HostMounts::read().allow_root(directory, device_of(&status))?)
}

/// How names are resolved: beneath the directory, without following any link.
pub(in crate::fs) const CONFINED: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

/// The device of the file system on which a file lies.
pub(in crate::fs) fn device_of(status: &Statx) -> u64 {
    DeviceNumber::new(status.stx_dev_major, status.stx_dev_minor).as_u64()
}

impl HostTree {
    /// The tree below `root`. At most `max_handles` of its files are open at a time, besides those being read.
    /// `owners`: how the host tells of them.
    pub fn new(root: OwnedFd, owners: HostOwners, max_handles: usize) -> Arc<Self> {
        Arc::new(Self { root, mounts: HostMounts::read(), owners, handles: HandleCache::new(max_handles) })
    }

    /// The directory itself.
    ///
    /// # Errors
    /// The host's.
    pub fn root(self: &Arc<Self>) -> Result<(Arc<HostNode>, LowerStatus), Errno> {
        HostNode::root(self)
    }

    /// The host's figures on the file system.
    ///
    /// # Errors
    /// The host's.
    pub fn statistics(&self) -> Result<StatVfs, Errno> {
        Ok(fstatvfs(&self.root)?)
    }

    /// Opens `path`, relative to the root and free of links, and tells its type. When it was looked up, it lay on `device`.
    ///
    /// # Errors
    /// ESTALE: the host has mounted an interface of its kernel there since. And the host's.
    fn open(&self, path: &[u8], flags: OFlags, device: u64) -> Result<(OwnedFd, FileType), Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let file = open_beneath(&self.root, path, flags)?;
        count_call(HostCall::Stat);
        let status = statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
        let now_on = device_of(&status);
        if now_on != device && !self.mounts.hold_files(&file, now_on)? {
            return Err(Errno::ESTALE);
        }
        Ok((file, FileType::from_raw_mode(u32::from(status.stx_mode))))
    }
}

/// Opens `path` below `directory` without following links.
pub(in crate::fs) fn open_beneath(
    directory: impl AsFd,
    path: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let mut flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if !flags.contains(OFlags::PATH) {
        flags |= OFlags::NOCTTY | OFlags::NONBLOCK;
    }
    loop {
        count_call(HostCall::Open);
        // EAGAIN: something above was renamed meanwhile (`man 2 openat2`).
        match openat2(&directory, path, flags, Mode::empty(), CONFINED) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
