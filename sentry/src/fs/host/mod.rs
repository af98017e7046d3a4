//! A read-only view of a host directory: the lower layer of an overlay.
//!
//! Everything is opened by its path below the directory's handle with RESOLVE_BENEATH, and without following any
//! link: symbolic links are read and resolved by the sentry alone, so nothing outside is ever reached. Handles are
//! opened when needed and kept in a bounded cache. The host's devices, sockets and FIFOs are seen but never opened.

mod handles;
mod node;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, StatVfs, fstatvfs, openat2};

use crate::Errno;
use handles::HandleCache;

pub use node::{HostEntry, HostNode, HostPages, HostStatus};

/// A host directory, opened when the sandbox started.
pub struct HostTree {
    root: OwnedFd,
    handles: HandleCache,
}

impl HostTree {
    /// The tree below `root`. At most `max_handles` of its files are open at a time, besides those being read.
    pub fn new(root: OwnedFd, max_handles: usize) -> Arc<Self> {
        Arc::new(Self { root, handles: HandleCache::new(max_handles) })
    }

    /// The directory itself.
    ///
    /// # Errors
    /// The host's.
    pub fn root(self: &Arc<Self>) -> Result<(Arc<HostNode>, HostStatus), Errno> {
        HostNode::root(self)
    }

    /// The host's figures on the file system.
    ///
    /// # Errors
    /// The host's.
    pub fn statistics(&self) -> Result<StatVfs, Errno> {
        Ok(fstatvfs(&self.root)?)
    }

    /// Opens `path`, relative to the root and free of links.
    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let mut flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !flags.contains(OFlags::PATH) {
            flags |= OFlags::NOCTTY | OFlags::NONBLOCK;
        }
        let confined = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        loop {
            // EAGAIN: something above was renamed meanwhile (`man 2 openat2`).
            match openat2(&self.root, path, flags, Mode::empty(), confined) {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }
}
