//! A root directory that holds nothing.

use std::os::fd::OwnedFd;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsmount, fsopen, mount_change, move_mount, unmount,
};
use rustix::process::{chroot, fchdir, pivot_root};

/// A root directory that holds nothing.
#[derive(Debug)]
pub(super) struct EmptyRoot {
    directory: OwnedFd,
}

impl EmptyRoot {
    /// Makes it the root and working directory of the calling thread, which has entered its mounts.
    ///
    /// # Errors
    /// The host refuses.
    pub(super) fn enter(&self) -> Result<(), Errno> {
        fchdir(&self.directory)?;
        chroot(c".")
    }
}

/// Makes an empty file system, which nobody can write to. If the second value is true, the mounts of the calling thread's namespace begin
/// with it, and it is the thread's working directory; the host's lie on it until [`give_up_host_mounts`].
///
/// # Errors
/// The host refuses.
pub(super) fn leave_directory_tree() -> Result<(EmptyRoot, bool), Errno> {
    let file_system = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&file_system)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let directory = fsmount(&file_system, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // Where the root cannot be another (initramfs, or vmm's is no mount), the host's mounts stay, out of reach.
    let is_pivoted = pivot_into(&directory).is_ok();
    Ok((EmptyRoot { directory }, is_pivoted))
}

/// Gives up the host's mounts, which takes a grace period. The calling thread has made an empty root, which they lie on.
pub(super) fn give_up_host_mounts() {
    // Where they stay, they are out of reach.
    let _ = unmount(c".", UnmountFlags::DETACH);
}

fn pivot_into(root: &OwnedFd) -> Result<(), Errno> {
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    move_mount(root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    fchdir(root)?;
    // The old root lies on the new one then.
    pivot_root(c".", c".")
}
