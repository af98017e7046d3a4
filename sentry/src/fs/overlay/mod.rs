//! The root file system: a read-only host directory below, memory above.
//!
//! Linux's overlay copies a file to the upper layer when it is first changed. Here the file itself stays where it
//! is known ([`tmpfs`]): its attributes and pages begin as the host's and may then differ, one page at
//! a time. So a change costs what it changes, and numbers, hard links, locks and mappings are the same before and
//! after; a directory of the lower layer is renamed as any other.

use std::sync::Arc;

use super::host::HostTree;
use super::mount::{Mount, MountFlags};
use super::tmpfs::{self, MemoryResources, TmpfsOptions};
use crate::Errno;

/// A copy-on-write view of `tree`, ready to be attached. The host's files are never changed.
///
/// # Errors
/// The host's, if the directory cannot be read.
pub fn new_mount(
    resources: &MemoryResources,
    tree: &Arc<HostTree>,
    flags: MountFlags,
) -> Result<Arc<Mount>, Errno> {
    tmpfs::new_mount_over(resources, &TmpfsOptions::default(), tree, flags)
}
