//! The root file system: a read-only layer below, memory above.
//!
//! Linux's overlay copies a file to the upper layer when it is first changed. Here the file itself stays where it
//! is known ([`tmpfs`]): its attributes and pages begin as those of the file below and may then differ, one page at
//! a time. So a change costs what it changes, and numbers, hard links, locks and mappings are the same before and
//! after; a directory of the lower layer is renamed as any other.
//!
//! Below is a [directory of the host](super::host) or the [layers of an image](super::layers).

use std::sync::Arc;

use super::lower::{LowerFile, LowerStatus};
use super::mount::{Mount, MountFlags};
use super::tmpfs::{self, MemoryResources, TmpfsOptions};
use crate::Errno;

pub use super::tmpfs::{Change, ChangeKind, changes};

/// A copy-on-write view of the tree below `root`, a directory, ready to be attached. The tree is never changed.
///
/// # Errors
/// ENOSPC if there is no room for the root directory.
pub fn new_mount(
    resources: &MemoryResources,
    root: Arc<dyn LowerFile>,
    status: &LowerStatus,
    flags: MountFlags,
) -> Result<Arc<Mount>, Errno> {
    tmpfs::new_mount_over(resources, &TmpfsOptions::default(), (root, status), flags)
}
